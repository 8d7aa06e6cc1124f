"""What waits for a second person, and when: pure rules, without a database or a clock.

A *proposal* is an act on live money that one person wants and another one has to confirm. Its *deed* is what the confirmation
does: the credit, the debit, the refund, the provisional credit, or the decision of an order.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from telvend.errors import InvalidInput, NotPermitted, TelvendError
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.kit.text import LONGEST_NAME, LONGEST_REASON, require_text

ALONE_FOR: Final = timedelta(hours=24)
"""The time in which acts of one person on one wallet add up."""

WAITING: Final = "waiting_for_second_person"
"""What commands answer as `state` when an act has become a proposal."""


class ActKind(StrEnum):
    """What may wait for a second person. The texts stand in the database and never change."""

    CREDIT = "credit"
    DEBIT = "debit"
    REFUND = "refund"
    DELIVERED = "delivered"
    """An order is decided by hand: it was delivered."""
    FAILED = "failed"
    """An order is decided by hand: it was not delivered."""
    PROVISIONAL_CREDIT = "provisional_credit"
    """The price of an order whose outcome is unknown is lent to its wallet."""

    @property
    def text(self) -> str:
        """What people are told."""
        return self.value.replace("_", " ")

    @property
    def exclusive(self) -> tuple["ActKind", ...]:
        """The kinds of which one proposal at a time can wait for the same thing."""
        return _DECISIONS if self in _DECISIONS else (self,)

    @property
    def added(self) -> tuple["ActKind", ...]:
        """The kinds that count with this one in `ALONE_FOR`: what brings money into a wallet, and what takes it out.

        A decision counts by itself: it ends a hold that a sale has made.
        """
        if self in _DECISIONS:
            return ()
        return (ActKind.DEBIT,) if self is ActKind.DEBIT else _BRINGING_IN


_DECISIONS: Final = (ActKind.DELIVERED, ActKind.FAILED)
_BRINGING_IN: Final = (ActKind.CREDIT, ActKind.REFUND, ActKind.PROVISIONAL_CREDIT)


class ProposalState(StrEnum):
    """How a proposal stands."""

    WAITING = "waiting"
    CONFIRMED = "confirmed"
    """Another person has confirmed it, and its deed is done."""
    REJECTED = "rejected"
    """Another person has refused it."""
    WITHDRAWN = "withdrawn"
    """The person who proposed it has withdrawn it."""
    EXPIRED = "expired"
    """It was not ended before `expires_at`."""


@dataclass(frozen=True, slots=True)
class Act:
    """An act that moves money by hand. `reference`: the operator's in its wallet, or our reference of the order."""

    kind: ActKind
    wallet_id: int
    reference: str
    amount: Money
    mode: Mode
    reason: str = ""
    order_id: int | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """An act that waits for a second person, or has waited. `ended_by` is who confirmed, rejected or withdrew it.

    `cause`: of its deed, once it is confirmed; of a decision the order's number.
    """

    id: int
    kind: ActKind
    wallet_id: int
    order_id: int | None
    reference: str
    amount: Money
    mode: Mode
    reason: str
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime
    state: ProposalState
    ended_by: str | None
    ended_at: datetime | None
    end_reason: str | None
    cause: int | None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The decision of the second person on one proposal."""

    proposal_id: int
    by_whom: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The result of a confirmation. `again`: it was confirmed before, and nothing has moved now."""

    proposal: Proposal
    again: bool


class WaitsForSecondPerson(NotPermitted):
    """No money has moved: `proposal` waits until another person confirms it."""

    def __init__(self, proposal: Proposal) -> None:
        self.proposal = proposal
        TelvendError.__init__(
            self,
            f"Nothing has moved: {proposal.amount} waits for a second person, as proposal {proposal.id} of"
            f" {proposal.proposed_by}.",
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """`minor_by_currency`: the amounts above which an act waits. A currency without one never waits."""

    minor_by_currency: Mapping[str, int]

    def of(self, act: Act) -> Money | None:
        """Return the limit for this act; None where it never waits. Play money never does."""
        minor = self.minor_by_currency.get(act.amount.currency.code)
        return None if minor is None or act.mode is not Mode.LIVE else Money(minor, act.amount.currency)

    def asks(self, act: Act, alone_minor: int) -> bool:
        """Return whether the act waits. `alone_minor`: what one person has moved so in `ALONE_FOR`, without this act."""
        limit = self.of(act)
        return limit is not None and alone_minor + act.amount.minor > limit.minor


NO_LIMITS: Final = Limits({})


def same_person(one: str, other: str) -> bool:
    """Whether two names are of one person: without regard to case, blanks, punctuation and Unicode spelling."""
    return name_key(one) == name_key(other)


def name_key(name: str) -> str:
    """Return the letters, digits and accents of a name, which all of its spellings share."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    seen = (one for one in folded if unicodedata.category(one)[0] in "LMN" and not _INVISIBLE.match(one))
    return unicodedata.normalize("NFKC", "".join(seen))


_INVISIBLE: Final = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Letters and accents that are invisible. Source: DerivedCoreProperties.txt of Unicode, Default_Ignorable_Code_Point."""


def require_name(name: str | None, waits: str = "") -> str:
    """Return the name without blanks around it. `waits`: the problem to report where it is None. Raises InvalidInput."""
    if name is None:
        raise InvalidInput("by", waits)
    name = name.strip()
    require_text("by", name, LONGEST_NAME)
    if not name_key(name):
        raise InvalidInput("by", "must have a letter or a digit")
    return name


def require_reason(reason: str) -> str:
    """The reason without blanks around it. Raises InvalidInput."""
    reason = reason.strip()
    require_text("reason", reason, LONGEST_REASON)
    return reason


def require_fits(waiting: Proposal, act: Act) -> None:
    """Raise InvalidInput where `waiting` is another decision on the same order than `act`."""
    if waiting.kind is not act.kind:
        raise InvalidInput(
            "order",
            f"waits to be decided as {waiting.kind}, as {waiting.proposed_by} has proposed;"
            f" first: telvend approval reject {waiting.id}",
        )


def require_open(proposal: Proposal, by_whom: str) -> None:
    """Raise InvalidInput where `by_whom` cannot confirm this proposal."""
    if proposal.state is not ProposalState.WAITING:
        raise InvalidInput("", f"{how_it_ended(proposal)} Propose it again if it is still wanted.")
    if same_person(proposal.proposed_by, by_whom):
        raise InvalidInput("by", f"must be another person than {proposal.proposed_by}, who has proposed it")


def how_it_ended(proposal: Proposal) -> str:
    """Say in one sentence how a proposal ended, and by whom."""
    if proposal.state is ProposalState.EXPIRED:
        return f"Proposal {proposal.id} has expired."
    reason = f": {proposal.end_reason}" if proposal.end_reason else ""
    return f"Proposal {proposal.id} was {proposal.state} by {proposal.ended_by}{reason}."
