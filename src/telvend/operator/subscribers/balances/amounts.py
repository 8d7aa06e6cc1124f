"""Amounts as people write them: `1GB`, `500MB`, `30min`, `100sms`, `5.50`; and as they read them.

One GB is 1024 MB, as networks count. What is smaller than a unit (a byte, a second) is cut off.
"""

import re
from decimal import Context, Decimal
from typing import Final

from telvend.errors import InvalidInput
from telvend.kit.money import Currency, Money
from telvend.operator.subscribers.balances.model import BucketKind

_BYTES: Final = {"b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3, "tb": 1024**4}
_SECONDS: Final = {"s": 1, "sec": 1, "min": 60, "mins": 60, "minutes": 60, "h": 3600}
_UNITS: Final = {
    **{unit: (BucketKind.DATA, factor) for unit, factor in _BYTES.items()},
    **{unit: (BucketKind.MINUTES, factor) for unit, factor in _SECONDS.items()},
    "sms": (BucketKind.SMS, 1),
}
_WITH_UNIT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([A-Za-z]{1,7})", re.ASCII)
_EXACT: Final = Context(prec=60)
_TWO_DECIMALS: Final = Decimal("0.01")


def parse_amount(text: str, currency: Currency | None, *, least: int = 1) -> tuple[BucketKind, int]:
    """Read an amount: its unit says the kind, a bare number is money in `currency`.

    Raises InvalidInput, also for money where no currency is known.
    """
    text = text.strip()
    match = _WITH_UNIT.fullmatch(text)
    if match is not None and (unit := _UNITS.get(match[2].lower())) is not None:
        kind, factor = unit
        amount = int(_EXACT.multiply(Decimal(match[1]), factor))
    elif currency is None:
        raise InvalidInput("amount", "must be such as 1GB, 500MB, 30min or 100sms")
    else:
        try:
            kind, amount = BucketKind.MONEY, Money.parse(text, currency).minor
        except ValueError:
            raise InvalidInput(
                "amount",
                f"must be such as 1GB, 500MB, 30min, 100sms, or money in {currency} with at most {currency.digits} decimals",
            ) from None
    if not least <= amount <= 10**15:
        raise InvalidInput("amount", "must be more than nothing, and less than can be counted")
    return kind, amount


def amount_text(kind: BucketKind, amount: int, currency: Currency) -> str:
    """What people read: `1024.00 MB`, `30.00 min`, `100 SMS`, `GHS 5.50`."""
    match kind:
        case BucketKind.DATA:
            return f"{in_units(amount, 1024**2)} MB"
        case BucketKind.MINUTES:
            return f"{in_units(amount, 60)} min"
        case BucketKind.SMS:
            return f"{amount} SMS"
        case BucketKind.MONEY | BucketKind.MOMO:
            return f"{currency} {Money(amount, currency).text}"


def in_units(amount: int, unit: int) -> str:
    """`amount` in units of so many, with two decimals, never more than there is: 1536 in units of 1024 is `1.50`."""
    return str((Decimal(amount * 100 // unit) * _TWO_DECIMALS).quantize(_TWO_DECIMALS, context=_EXACT))
