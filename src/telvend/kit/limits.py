"""Limits by currency, as a setting states them: `500`, `"500.50"`, or `{ GHS = "500.00", NGN = "20000.00" }`."""

from collections.abc import Mapping
from typing import Any, Final

from telvend.kit.money import CURRENCIES, Currency, Money, currency_of

_DECIMALS: Final = 2
"""The decimals of an amount without a currency."""


class NotALimit(ValueError):
    """A value is no limit. The message completes the sentence "…: "."""


def read_limits(value: Any) -> dict[str, int]:
    """Return each limit in minor units by currency code; empty where there is none.

    One amount alone counts in whole units of every currency, rounded down where a currency has fewer decimals: what is above
    500.50 in a currency without decimals is above 500. Raises NotALimit.
    """
    if not isinstance(value, Mapping):
        try:
            hundredths = _amount("", value, Currency("every currency", _DECIMALS))
        except NotALimit as error:
            raise NotALimit(f'{error}; or a table such as {{ GHS = "500.00", NGN = "20000.00" }}') from None
        return {code: hundredths * 10**one.digits // 10**_DECIMALS for code, one in CURRENCIES.items()}
    found: dict[str, int] = {}
    for name, amount in value.items():
        try:
            currency = currency_of(str(name))
        except ValueError as error:
            raise NotALimit(str(error)) from None
        if currency.code in found:
            raise NotALimit(f"{currency.code} is there twice")
        found[currency.code] = _amount(f"{currency.code} ", amount, currency)
    return found


def written(value: Any) -> str | dict[str, str]:
    """The value with each amount as text; empty where it is. Raises NotALimit for what `read_limits` refuses."""
    if value == "":
        return ""
    read_limits(value)
    if isinstance(value, Mapping):
        return {str(name).upper(): str(amount) for name, amount in value.items()}
    return str(value)


def _amount(whose: str, value: Any, currency: Currency) -> int:
    """Whole numbers and texts; a float could have been rounded. Raises NotALimit."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise NotALimit(f'{whose}{value!r} must be an amount such as 500 or "500.00"')
    try:
        return Money.parse(str(value), currency).minor
    except ValueError as error:
        raise NotALimit(f"{whose}{value} {error}") from None
