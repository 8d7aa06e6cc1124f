"""Data bundles: a subscriber receives them, and nothing comes back."""

from typing import Final

from telvend.catalog.kinds.model import ProductKind
from telvend.catalog.kinds.phone_recipient import PHONE

DATA: Final = ProductKind("data", "Data bundle", PHONE)
