"""Money: a whole number of the smallest unit together with its currency. No floats, anywhere.

    >>> Money.parse("4.5", GHS)
    Money(minor=450, currency=GHS)
    >>> str(Money(450, GHS))
    'GHS 4.50'

Text and decimals belong to the edges: `Money.parse` reads what people and programs write, `Money.decimal` is what wire
types print as an exact JSON number, `Money.text` the string with the currency's decimals.
"""

import re
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

# The largest amount that is accepted from outside, in minor units. It leaves room for sums in 64 bits.
MAXIMUM_MINOR: Final = 10**15

# Moving the point must not round, whatever precision somebody has set for their own calculations.
_EXACT: Final = Context(prec=60)

LONGEST_DIGITS: Final = 30
"""How many digits a text may have before its decimals."""

_DECIMAL_TEXT = re.compile(rf"\A(\d{{1,{LONGEST_DIGITS}}})(?:\.(\d{{1,6}}))?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Currency:
    """An ISO 4217 currency. `digits` is how many decimals its minor unit has: 2 for GHS, 0 for UGX."""

    code: str
    digits: int

    def __repr__(self) -> str:
        return self.code

    def __str__(self) -> str:
        return self.code


GHS = Currency("GHS", 2)
NGN = Currency("NGN", 2)
SZL = Currency("SZL", 2)
UGX = Currency("UGX", 0)
ZAR = Currency("ZAR", 2)

CURRENCIES: Final = {currency.code: currency for currency in (GHS, NGN, SZL, UGX, ZAR)}


def currency_of(code: str) -> Currency:
    """The currency with this ISO 4217 code, whatever its case. Raises ValueError for one that no market here uses."""
    try:
        return CURRENCIES[code.upper()]
    except KeyError:
        raise ValueError(f"{code!r} is not one of {', '.join(CURRENCIES)}") from None


# ISO 4217, as far as it is not 2.
_WITHOUT_DECIMALS: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_WITH_THREE: Final = "BHD IQD JOD KWD LYD OMR TND"


def foreign_currency(code: str) -> Currency:
    """The currency with this ISO 4217 code, of a market here or not: what an account elsewhere may be kept in.

    Raises ValueError for what is no such code.
    """
    if not (len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()):
        raise ValueError(f"{code!r} is not a currency such as USD")
    digits = 0 if code in _WITHOUT_DECIMALS else 3 if code in _WITH_THREE else 2
    return CURRENCIES.get(code) or Currency(code, digits)


def plain_number(number: Decimal) -> int | Decimal:
    """Return a number for JSON: an integer where it is whole, else the decimal as it is."""
    return int(number) if number == number.to_integral_value() else number


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency. `minor` counts its smallest unit: GHS 45.50 is Money(4550, GHS)."""

    minor: int
    currency: Currency

    @classmethod
    def parse(cls, text: str, currency: Currency) -> "Money":
        """Read `45`, `45.5` or `45.50`; more decimals than the currency has are an error, never rounded.

        Raises ValueError with a sentence that completes "amount: …".
        """
        match = _DECIMAL_TEXT.match(text)
        if match is None:
            raise ValueError("must be an amount such as 45.50, without sign, spaces or thousands separators")
        whole, decimals = match[1], match[2] or ""
        if len(decimals) > currency.digits:
            raise ValueError(f"must have at most {currency.digits} decimals in {currency}")
        minor = int(whole + decimals.ljust(currency.digits, "0"))
        if minor > MAXIMUM_MINOR:
            raise ValueError("is too large")
        return cls(minor, currency)

    @property
    def decimal(self) -> Decimal:
        """The amount in whole units, exactly: Money(4550, GHS) is Decimal('45.50')."""
        return Decimal(self.minor).scaleb(-self.currency.digits, _EXACT)

    @property
    def number(self) -> int | Decimal:
        """The amount in whole units as an exact JSON number: `100`, not `100.00`."""
        return plain_number(self.decimal)

    @property
    def text(self) -> str:
        """The amount in whole units with all the currency's decimals: '45.50'."""
        return str(self.decimal)

    def _same(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")

    def __add__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def __str__(self) -> str:
        return f"{self.currency} {self.decimal:,}"
