"""Reading the fields of a form one by one, so that every wrong one is named at once.

fields = Fields(call.form)
amount = fields.amount("amount", minimum, maximum)
network = fields.text("network")
fields.done()                 # raises InvalidFields where anything was wrong
"""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypeVar

from telvend.dialects.fields import FormFields
from telvend.dialects.headers import header_text
from telvend.dialects.networkdatasub.courtesies import OTHER_NAME, number_in
from telvend.kit.money import Currency, Money
from telvend.kit.phone import NotAMobileNumber, parse_mobile

REFERENCE_LENGTH: Final = 64
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

T = TypeVar("T")


class Fields(FormFields):
    """What a client sent, field by field. A field that is wrong reads as a stand-in until `done` is called."""

    def text(self, name: str, *, required: bool = True) -> str:
        value = self._form.get(name)
        if value is None:
            if required:
                self.wrong(name, "field is required")
            return ""
        if not isinstance(value, str):
            self.wrong(name, "must be a string")
            return ""
        if not value.strip() and required:
            self.wrong(name, "field is required")
        return value

    def whole_number(self, name: str, *, minimum: int, maximum: int, default: int | None = None) -> int:
        """An integer, or its digits as text, as forms and query strings send it."""
        value = self._form.get(name)
        if value is None:
            if default is None:
                self.wrong(name, "field is required")
            return default or 0
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(name, "must be an integer")
            return 0
        if not minimum <= value <= maximum:
            self.wrong(name, f"must be between {minimum} and {maximum}")
        return value

    def amount(self, name: str, minimum: Money, maximum: Money) -> Money:
        """A JSON number, or its digits as text, with at most the currency's decimals."""
        value = self._form.get(name)
        currency = minimum.currency
        if value is None:
            self.wrong(name, "field is required")
            return minimum
        found = _money(value, currency)
        if found is None:
            self.wrong(name, f"must be a number with at most {currency.digits} decimals")
            return minimum
        if not minimum.minor <= found.minor <= maximum.minor:
            self.wrong(name, f"must be between {minimum.decimal.normalize():f} and {maximum.decimal.normalize():f}")
        return found

    def phone(self, name: str, region: str) -> str:
        text = self.text(name)
        if name in self.problems:
            return ""
        try:
            return parse_mobile(text, region)
        except NotAMobileNumber:
            self.wrong(name, "must be a mobile number of Nigeria, such as 08012345678")
            return ""

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._form.get(name) is not None

    def by_either_name(self, name: str, read: Callable[[str], T]) -> T:
        """Read a field that has a courtesy's name besides its own. What is wrong with it is said of the printed name.

        Where both are sent and are not the same, both are wrong.
        """
        other = OTHER_NAME[name]
        if not self.has(other):
            return read(name)
        if not self.has(name):
            self._form = {**self._form, name: self._form[other]}
            return read(name)
        value = read(name)
        if read(other) != value:
            self.wrong(name, f"differs from {other}")
            self.wrong(other, f"differs from {name}")
        return value

    def number(self, name: str) -> int | None:
        """The number that stands, as a courtesy, in the place of a word; None where none does."""
        return number_in(name, self._form.get(name))

    def one_of(self, name: str, known: Callable[[str], T | None], problem: str) -> T | None:
        """A text that `known` knows; the problem where it does not."""
        text = self.text(name)
        if name in self.problems:
            return None
        found = known(text)
        if found is None:
            self.wrong(name, problem)
        return found

    def flag(self, name: str) -> bool:
        """A boolean; missing or null is false."""
        value = self._form.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            self.wrong(name, "must be true or false")
            return False
        return value

    def day(self, name: str) -> date | None:
        text = self.text(name, required=False)
        if not text:
            return None
        try:
            # The library also reads weeks, such as 2025-W01-1.
            if _DAY.fullmatch(text):
                return date.fromisoformat(text)
        except ValueError:
            pass
        self.wrong(name, "must be a date such as 2025-05-31")
        return None

    def reference(self, header: bytes | None) -> str | None:
        """The caller's own reference: the field `reference`, or the header Idempotency-Key, or both if they agree."""
        value = self._form.get("reference")
        given = header_text(header) if header is not None else None
        if value is None:
            value = given
        elif given is not None and given != value:
            self.wrong("reference", "differs from the Idempotency-Key header")
            return None
        if value is None:
            return None
        if not isinstance(value, str) or not 1 <= len(value) <= REFERENCE_LENGTH or not value.isprintable():
            self.wrong("reference", f"must be 1 to {REFERENCE_LENGTH} printable characters")
            return None
        return value


_MOST_DIGITS: Final = 30


def _money(value: Any, currency: Currency) -> Money | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    if isinstance(value, Decimal):
        # Written out, 1e-999999999 would fill the memory.
        exponent = value.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -_MOST_DIGITS or value.adjusted() > _MOST_DIGITS:
            return None
        value = f"{value:f}"
        if "." in value:
            value = value.rstrip("0").rstrip(".")
    try:
        return Money.parse(str(value), currency)
    except ValueError:
        return None
