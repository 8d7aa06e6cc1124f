"""What people type behind a command, read: telephone numbers and currencies. What cannot be one is InvalidInput."""

from telvend.errors import InvalidInput
from telvend.kit.money import Currency, currency_of
from telvend.kit.phone import NotAMobileNumber, parse_mobile_of_any_market


def parsed_msisdn(text: str, field: str = "msisdn") -> str:
    """The number in E.164. Raises InvalidInput."""
    try:
        return parse_mobile_of_any_market(text)
    except NotAMobileNumber as error:
        raise InvalidInput(field, str(error)) from None


def parsed_currency(code: str) -> Currency:
    """The currency of this code. Raises InvalidInput."""
    try:
        return currency_of(code)
    except ValueError as error:
        raise InvalidInput("currency", str(error)) from None
