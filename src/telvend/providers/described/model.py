"""A description that was read: what an upstream sells, how it is asked, what its answers mean."""

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from telvend.kit.money import Currency
from telvend.providers.contract import Reason
from telvend.providers.described.templates import Template
from telvend.providers.upstream import CallbackForm

Body = Mapping[str, "Leaf"]
Leaf = Template | str | int | bool | Decimal | None | Mapping[str, Any] | list[Any]
"""What stands in a body: templates, constants, and in JSON tables and arrays of them."""

_PATH: Final = re.compile(r"[A-Za-z0-9_-]+(?:\[\d{1,4}\])*(?:\.[A-Za-z0-9_-]+(?:\[\d{1,4}\])*)*", re.ASCII)
_STEP: Final = re.compile(r"[A-Za-z0-9_-]+|\[\d+\]", re.ASCII)
_LONGEST_VALUE: Final = 200

FEWEST_DIGITS: Final = 20
FEWEST_LETTERS: Final = 16
"""How many characters of a reference must be free to differ: 66 and 82 bits."""

_ALPHABETS: Final = {"digits": "0123456789", "alphanumeric": "0123456789abcdefghijklmnopqrstuvwxyz"}
_FORMS: Final = {
    "dashes": re.compile(r"[A-Za-z0-9-]+", re.ASCII),
    "alphanumeric": re.compile(r"[A-Za-z0-9]+", re.ASCII),
    "digits": re.compile(r"[0-9]+", re.ASCII),
}
_NAMESPACE: Final = uuid.UUID("6f1f7f3c-8f0e-5c55-9d3b-0a6a5f1c7a11")


MAY_HAVE_DELIVERED: Final = {
    408: "a time-out",
    409: "an earlier request under this reference, which may have been delivered",
    423: "a request that is being worked on",
    425: "a request that is being worked on",
    499: "a time-out",
}
"""HTTP statuses of 4xx after which a purchase may have been delivered all the same, and what each means."""


class Ending(StrEnum):
    """What the vendor's word says of a purchase."""

    DELIVERED = "delivered"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    NOT_SENT = "not_sent"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one value of a map means. `reason` is None unless it is refused."""

    ending: Ending
    reason: Reason | None = None


Steps = tuple[str | int, ...]


def steps_of(text: str) -> Steps:
    """Read a path such as `data.items[0].id`. Raises ValueError."""
    if not _PATH.fullmatch(text):
        raise ValueError("must be a path such as data.status or items[0].id")
    return tuple(int(step[1:-1]) if step.startswith("[") else step for step in _STEP.findall(text))


def word_of(value: Any) -> str | None:
    """Return a value of an answer as the maps compare it; None for what is no single value.

    Case and blanks around it do not count. `true` is "true", 0 is "0".
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else None
    if isinstance(value, str) and len(value) <= _LONGEST_VALUE:
        return value.strip().casefold()
    return None


@dataclass(frozen=True, slots=True)
class Request:
    """How one request looks. `encoding` is json, form or query."""

    method: str
    url: Template
    encoding: str
    headers: Mapping[str, Template]
    body: Body


@dataclass(frozen=True, slots=True)
class Purchase:
    """The request that delivers one kind; `product` is what the upstream calls a product that has no code."""

    request: Request
    product: Template | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer means: where things stand, and what each word says."""

    status: Steps
    statuses: Mapping[str, Verdict]
    reference: Steps | None = None
    our_reference: Steps | None = None
    phone: Steps | None = None
    cost: Steps | None = None
    cost_format: str = "decimal"
    error: Steps | None = None
    errors: Mapping[str, Verdict] | None = None
    no_error: frozenset[str] = frozenset()
    text: Steps | None = None


@dataclass(frozen=True, slots=True)
class Requery:
    """The request that asks, and what its answers mean. `not_found_after_s` is None where nothing means "never heard of"."""

    request: Request
    reading: Reading
    not_found: frozenset[str]
    not_found_at: Steps
    not_found_after_s: float | None
    requery_after_s: float | None


@dataclass(frozen=True, slots=True)
class Balance:
    """The request for the float, and where it stands in the answer."""

    request: Request
    amount: Steps
    format: str


@dataclass(frozen=True, slots=True)
class ReferenceRule:
    """How our reference may look to the upstream."""

    sent: bool
    is_key: bool
    characters: str
    max_length: int
    prefix: str

    def make(self, order_reference: str, number: int, _started_at: datetime) -> str:
        """Return the reference of an attempt: a plain one where it fits, else a digest, which differs for each attempt too."""
        plain = f"{order_reference}-{number}"
        if self.characters == "uuid":
            return str(uuid.uuid5(_NAMESPACE, plain))
        whole = self.prefix + plain
        # A digest has no dash and a plain one does, so that neither can be taken for the other.
        if self.characters == "dashes" and len(whole) <= self.max_length and _FORMS["dashes"].fullmatch(whole):
            return whole
        return self.prefix + self._digest(plain)

    def _digest(self, plain: str) -> str:
        alphabet = _ALPHABETS.get(self.characters, _ALPHABETS["alphanumeric"])
        rest = int.from_bytes(hashlib.sha256(plain.encode()).digest(), "big")
        length = min(self.max_length - len(self.prefix), 40)
        found = []
        for _ in range(length):
            rest, digit = divmod(rest, len(alphabet))
            found.append(alphabet[digit])
        return "".join(found)

    @property
    def fault(self) -> str | None:
        """Why references could not be told apart, or could not have this form; None where they can."""
        if self.characters == "uuid":
            if self.prefix:
                return "has a prefix, and a UUID has none; take it out"
            return None if self.max_length >= 36 else f"is {self.max_length}, and a UUID has 36 characters"
        if self.prefix and not _FORMS[self.characters].fullmatch(self.prefix):
            return f"begins with {self.prefix!r}, which is not {self.characters}"
        fewest = FEWEST_DIGITS if self.characters == "digits" else FEWEST_LETTERS
        free = self.max_length - len(self.prefix)
        if free < fewest:
            return (
                f"leaves {max(free, 0)} characters behind the prefix, with which two attempts could get one reference;"
                f" it takes {fewest} of these characters"
            )
        return None


@dataclass(frozen=True, slots=True)
class Description:
    """An upstream as its file describes it. `networks` by our code; `secrets` are the keys of the settings that it uses."""

    title: str
    country: str
    currency: Currency
    base_url: str
    timeout_s: float
    repeat_guard_s: float
    concurrency: int | None
    rate_per_s: float | None
    networks: Mapping[str, str]
    products: Mapping[str, str]
    reference: ReferenceRule
    headers: Mapping[str, Template]
    purchases: Mapping[str, Purchase]
    answer: Reading
    http: Mapping[int, Verdict]
    requery: Requery
    balance: Balance | None
    callback: CallbackForm | None
    secrets: frozenset[str]
