"""The recipient that most kinds share: a mobile number of the product's country, in E.164."""

from typing import Final

from telvend.catalog.kinds.model import RecipientRule
from telvend.kit.phone import masked, parse_mobile

PHONE: Final = RecipientRule("phone number", parse_mobile, masked)
