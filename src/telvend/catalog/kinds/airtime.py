"""Airtime: a subscriber receives it, and nothing comes back."""

from typing import Final

from telvend.catalog.kinds.model import ProductKind
from telvend.catalog.kinds.phone_recipient import PHONE

AIRTIME: Final = ProductKind("airtime", "Airtime", PHONE, by_amount=True)
