"""An identity check and its life: the records, the states and the rules that need no database.

    ASKING ──> VERIFIED                      the authority has a record: the hold is posted
       │
       ├─────> NOT_ON_RECORD | BLOCKED       it has answered without one: the hold is released
       │
       └─────> UNAVAILABLE                   it has not answered: the hold is released, the reference is free again

A record that is on file (of the same account, mode, kind, number and source, and not expired) is used again: such a check is
VERIFIED from the start, and paid like any other.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from telvend.authorities.contract import TIMEOUT_S, Record, VerificationKind
from telvend.errors import ProductUnavailable, TooManyRequests
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.kit.secret import Secret
from telvend.sales.model import fingerprint_of

_NUMBER: Final = re.compile(r"[0-9]{11}", re.ASCII)


PAGE: Final = "portal-identity"
"""The word below which references of checks on a page stand, beside the names of the APIs."""


class VerificationState(StrEnum):
    """Where a check stands, and what has happened to the money."""

    ASKING = "asking"
    """The money is held; the authority is being asked."""
    VERIFIED = "verified"
    """The hold is posted: the authority's cost and margin. The record is on file until it is purged."""
    NOT_ON_RECORD = "not_on_record"
    """The hold is released: the authority has no such number."""
    BLOCKED = "blocked"
    """The hold is released: the authority says that the number is barred."""
    UNAVAILABLE = "unavailable"
    """The hold is released: there was no answer, or none that could be understood. The reference may be used again."""

    @property
    def final(self) -> bool:
        return self is not VerificationState.ASKING


class NotConfigured(ProductUnavailable):
    """A real authority was asked for, and none is set up (for this kind, provider and mode). Nothing was taken."""

    def __init__(self, kind: VerificationKind, provider: str | None) -> None:
        super().__init__(provider or "", kind)
        self.kind = kind
        self.provider = provider
        self.args = (f"No provider for {kind.upper()} verification is configured; leave use_real_api out, or false.",)


class SweepSlowed(TooManyRequests):
    """The reseller looks numbers up as nobody does who knows whose they are. Nothing was taken."""

    def __init__(self, retry_after_s: int, limit: int) -> None:
        super().__init__(retry_after_s, limit)
        self.args = (f"Too many different or unknown numbers from this account; retry after {retry_after_s} s.",)


@dataclass(frozen=True, slots=True)
class VerificationPolicy:
    """What may be set. `telvend settings` explains each; the defaults are the ones that are documented.

    `grace_s`: how long after `timeout_s` a check whose process has died is given up. `record_months`: how long a record
    is used again. More than `unknown_per_hour` answers without a record, or more than `numbers_per_hour` different
    numbers, in an hour by one reseller in one mode: every further check makes it wait twice as long as the one before, from
    `first_delay_s` to `longest_delay_s`.
    """

    timeout_s: float = TIMEOUT_S
    grace_s: float = 4.0
    record_months: int = 12
    unknown_per_hour: int = 30
    numbers_per_hour: int = 1000
    first_delay_s: float = 2.0
    longest_delay_s: float = 900.0

    @property
    def given_up_after_s(self) -> float:
        return self.timeout_s + self.grace_s

    def delay_s(self, strikes: int) -> float:
        """How long a reseller waits that has been let through `strikes` times since it began to sweep."""
        return min(self.longest_delay_s, self.first_delay_s * 2.0 ** min(strikes, 40))


@dataclass(frozen=True, slots=True)
class VerificationRequest:
    """What a caller asks for. `number` is 11 digits, `card_type` a word of the price list (`standard`).

    `provider` names a configured authority (`prembly`, `dojah`); None means the shop's own choice. Without `use_real_api` the
    personas answer. All of it but the reference makes a request "the same" when it comes again.
    """

    kind: VerificationKind
    number: Secret
    card_type: str
    provider: str | None = None
    force_new: bool = False
    use_real_api: bool = False
    client_reference: str | None = None

    @property
    def fingerprint(self) -> str:
        """What is asked for, but for the number: of that only a keyed hash is kept."""
        return _fingerprint(self)


@dataclass(frozen=True, slots=True)
class Verification:
    """A sale of one answer, without anything that is known of the person.

    `reference` is ours, `client_reference` the caller's own. `source` is who answered (`personas`, `prembly`), `provider` what the
    caller had asked for. `reused_id` is the check whose record was used again. `before` and `after` are the spendable
    balance around it; of one that is not paid they are the same. `expires_at`: until then the record is used again.
    `text` says to the operator why there was no answer. `position` is the place among the wallet's transactions.
    """

    id: int
    reference: str
    reseller_id: UUID
    key_id: UUID
    dialect: str
    mode: Mode
    client_reference: str | None
    wallet_id: int
    position: int
    kind: VerificationKind
    card_type: str
    provider: str | None
    force_new: bool
    use_real_api: bool
    source: str
    reused_id: int | None
    price: Money
    cost: Money
    state: VerificationState
    text: str
    before: Money
    after: Money
    expires_at: datetime | None
    purged_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def fingerprint(self) -> str:
        """What was asked for, but for the number."""
        return _fingerprint(self)


@dataclass(frozen=True, slots=True)
class Opened:
    """A check with what was taken out of the safe for its owner. `record` is None where there is none."""

    verification: Verification
    number: Secret
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """The answer to a request. `replayed`: the check was there before. `retry_after_s` is set when it is UNAVAILABLE."""

    verification: Verification
    number: Secret
    record: Record | None
    replayed: bool
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """That the person whose number is looked up agrees, as somebody has stated on a page: who, and in which words."""

    person_id: UUID
    wording: str


@dataclass(frozen=True, slots=True)
class Price:
    """One line of the price list. `id` counts from 1 within the kind, as the document prints it."""

    id: int
    kind: VerificationKind
    card_type: str
    price: Money
    active: bool
    description: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What an authority takes for a record of a kind, and for the answer that there is none."""

    authority: str
    kind: VerificationKind
    found: Money
    without: Money


@dataclass(frozen=True, slots=True)
class Access:
    """Somebody took something out of the safe. `reader` is a key's id, or who sat at the command line or before a page."""

    at: datetime
    reader_kind: str
    reader: str
    action: str
    verification_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pace:
    """What a reseller asked for in the last hour: answers without a record, questions without an answer, different numbers."""

    unknown: int
    asking: int
    numbers: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """A reseller that looked up numbers as nobody does who knows whose they are. `key_id`: the key that asked last."""

    reseller_id: UUID
    mode: Mode
    key_id: UUID
    first_at: datetime
    last_at: datetime
    delays: int
    unknown: int
    numbers: int


def _fingerprint(asked: VerificationRequest | Verification) -> str:
    return fingerprint_of(
        asked.kind, asked.card_type, str(asked.provider), str(asked.force_new), str(asked.use_real_api)
    )


def is_number(text: str) -> bool:
    """Whether this has the form of a NIN or a BVN."""
    return _NUMBER.fullmatch(text) is not None


def masked_number(text: str) -> str:
    """A NIN or BVN as pages, command line and exports show it: `123*****901`."""
    return f"{text[:3]}{'*' * max(0, len(text) - 6)}{text[-3:]}" if len(text) > 6 else "*" * len(text)
