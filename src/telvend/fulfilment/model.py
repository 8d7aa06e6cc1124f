"""What the fulfilment decides about, and what it can decide: orders and attempts as they were read, steps, words and effects.

`rules.py` makes steps of claimed orders; `weighing.py` makes effects of what was said. Both are pure.
"""

import zlib
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from telvend.approvals.model import Confirmation
from telvend.catalog.kinds import Payload
from telvend.errors import InvariantBroken
from telvend.fulfilment.routing import Assignment
from telvend.kit.mode import Mode
from telvend.kit.money import Currency, Money
from telvend.orders.model import AttemptState, OrderState
from telvend.providers.contract import Outcome

_LONGEST_TEXT: Final = 500

MAY_BE_LOST: Final = (
    "The database has gone back and may have lost an attempt of this order, so that nothing is bought or given back"
    " unseen. Compare with the provider, then resolve it."
)
"""Why a person has to look at an order that the book may have lost attempts of."""


class FulfilmentPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How patient the fulfilment is. Durations are seconds.

    `ask_delays_s`: when to ask about an attempt whose outcome is unknown, each counted from the answer before; after
    the last one the order waits for a person. An accepted attempt is asked about after `first_ask_s` (or the
    provider's hint) and then by the same schedule.
    `maximum_not_sent`: after so many attempts that never arrived the order has failed, at the earliest `unreached_for_s` after
    the first of them began. Between them it waits `backoff_s`, doubling; during an outage every `outage_backoff_s` at first.
    `steered` names the providers whose failures are decided by the number: they are no outage, and not waited for.
    `too_soon_s`: how long an order waits that was refused because its number was served a moment ago, where the provider's
    `repeat_guard_s` is not longer; doubling up to `longest_too_soon_s`. After `maximum_too_soon` of them a person has to look.
    `maximum_resends`: how often an attempt is sent again under its reference, where that is an idempotency key.
    `lease_s`: for how long a claimed order is ours. Nothing is sent during the last `lease_margin_s` of it.
    """

    requery_delays_s: tuple[float, ...] = (5, 15, 45, 120, 300, 900, 3600, 10800, 21600, 43200)
    first_requery_s: float = 2.0
    longest_hint_s: float = 43200.0
    maximum_not_sent: int = 4
    unreached_for_s: float = 0.0
    steered: frozenset[str] = frozenset()
    outage_backoff_s: float = 5.0
    outage_retries: int = 15
    too_soon_s: float = 30.0
    longest_too_soon_s: float = 900.0
    maximum_too_soon: int = 10
    maximum_resends: int = 3
    backoff_s: float = 1.0
    longest_backoff_s: float = 60.0
    lease_s: float = 5.0
    lease_margin_s: float = 1.0

    def gives_up(self, missed: Sequence["AttemptSnapshot"]) -> bool:
        """Whether an order has failed with these attempts that never arrived, however old they are."""
        if len(missed) < self.maximum_not_sent:
            return False
        return not self.unreached_for_s or self.steered.issuperset(attempt.provider for attempt in missed)

    def backoff(self, missed: Sequence["AttemptSnapshot"]) -> float:
        """Return how long to wait after these attempts that never arrived; the last one is given up at once."""
        if self.gives_up(missed):
            return 0.0
        times = len(missed)
        if not self.unreached_for_s:
            return min(self.longest_backoff_s, self.backoff_s * 2.0 ** min(times - 1, 16))
        if times <= self.outage_retries:
            # The provider is not called more often by it: while its breaker is open, one order at a time tries.
            return min(self.outage_backoff_s, self.backoff_s * 2.0 ** min(times - 1, 16))
        return min(self.longest_backoff_s, self.outage_backoff_s * 2.0 ** min(times - self.outage_retries, 16))


class AttemptSnapshot(msgspec.Struct):
    """One attempt as the decisions see it. `changed`: it has to be written. `resent`: how often it was sent again.

    `again`: it was refused for that moment only, so that the same provider may be tried again.
    """

    number: int
    provider: str
    reference: str
    state: AttemptState
    asked: int
    elsewhere: bool
    cost_minor: int
    started_at: datetime
    text: str = ""
    provider_reference: str | None = None
    changed: bool = False
    provider_code: str = ""
    type: str = ""
    by_hand: bool = False
    """A person has said how it ended. Known of attempts of final orders, and of those decided just now."""
    reported: bool = False
    """It has a late report, so that nothing more is entered. Known of attempts of final orders."""
    resent: int = 0
    again: bool = False

    def sent(self, currency: Currency) -> "SentAttempt":
        """What the provider was sent."""
        cost = Money(self.cost_minor, currency)
        return SentAttempt(
            self.reference, cost, self.started_at, self.provider_code, self.type, self.provider_reference or ""
        )


class SentAttempt(msgspec.Struct, frozen=True):
    """What is particular to an attempt of all that a provider is sent: the same when it is asked about it.

    `provider_code` is what the provider called the product then, `type` the product's type, `provider_reference` what the provider
    called the attempt when it accepted it.
    """

    reference: str
    cost: Money
    started_at: datetime
    provider_code: str = ""
    type: str = ""
    provider_reference: str = ""


class ClaimedOrder(msgspec.Struct):
    """An order that a worker has just claimed, or taken when it was placed. `state` is the one it had before; `now` is the database's
    clock, and the moment at which an attempt begins. `late_s`: for how long it was due."""

    id: int
    reference: str
    mode: Mode
    wallet_id: int
    kind: str
    country: str
    network: str
    product_id: int
    product: str
    size: str
    validity_days: int | None
    subscriber: str
    face: Money
    price: Money
    cost: Money
    state: OrderState
    now: datetime
    attempts: list[AttemptSnapshot]
    doubtful: bool = False
    """The book may have lost attempts of this order; see `with_doubt`."""
    late_s: float = 0.0


# What is done with a claimed order ---------------------------------------------------------------------------------------


class Deliver(msgspec.Struct, frozen=True):
    """Begin another attempt, with a place at a provider."""

    chosen: Assignment
    number: int
    reference: str
    cost: Money
    provider_code: str = ""
    type: str = ""


class Requery(msgspec.Struct, frozen=True):
    """Ask about the attempt that is open."""

    attempt: AttemptSnapshot


class Abandon(msgspec.Struct, frozen=True):
    """Nothing can have been delivered and nobody is left: the hold goes back."""

    why: str


class Reschedule(msgspec.Struct, frozen=True):
    """Nobody can take it right now; look again `after_s` later. `state` is what it is until then."""

    after_s: float
    state: OrderState
    why: str


class Escalate(msgspec.Struct, frozen=True):
    """What the attempts say does not fit together: a person has to look."""

    why: str


class Presume(msgspec.Struct, frozen=True):
    """Write down an attempt that the book may have lost, and ask about it instead of making it.

    A lost attempt had the same reference where it was at the same provider.
    """

    provider: str
    number: int
    reference: str
    cost: Money
    why: str
    provider_code: str = ""
    type: str = ""


class FindProvider(msgspec.Struct, frozen=True):
    """Another attempt may begin, where the router has a place for it.

    `excluded`: who may not be tried. Each entry is used only when the one before found no place.
    """

    number: int
    excluded: tuple[frozenset[str], ...]


Step = Deliver | Requery | Abandon | Reschedule | Escalate | Presume


# What was said, and what became of it --------------------------------------------------------------------------------------


class ProviderReport(msgspec.Struct, frozen=True):
    """What a provider said about one attempt: to its delivery, when it was asked (`asked`), or when it was sent again.

    `age_s`: how long ago, at least, the attempt was sent last before the question was put. `schedule_age_s`: how old it is now, as
    well as that is known; None where it is not. `holds`: the worker still had the order's lease. Without the lease a final outcome
    still counts; rescheduling does not. `resent`: how often the attempt had been sent again, as far as the worker knew.
    `to_resend`: the provider said it to a resend, after it had said that it never heard of the attempt. `repeat_guard_s` is the
    provider's. `begun`: the claim with which the worker began this attempt, where it is the order's first.
    """

    order_id: int
    wallet_id: int
    number: int
    outcome: Outcome
    asked: bool
    age_s: float
    settles_after_s: float
    holds: bool
    schedule_age_s: float | None = None
    resent: int = 0
    to_resend: bool = False
    repeat_guard_s: float = 0.0
    begun: tuple[ClaimedOrder, Deliver] | None = None


class Abandoned(msgspec.Struct, frozen=True):
    """A worker found that nobody is left to try."""

    order_id: int
    wallet_id: int
    why: str


class PersonVerdict(msgspec.Struct, frozen=True):
    """A person decides. `reference`, where given, must be the order's.

    `by_whom`: who, as that person has said. `confirmation`: a second person has confirmed it.
    """

    order_id: int
    reference: str | None
    delivered: bool
    text: str
    by_whom: str | None = None
    confirmation: Confirmation | None = None

    @property
    def wanted(self) -> OrderState:
        """The state that the order is to have."""
        return OrderState.DELIVERED if self.delivered else OrderState.FAILED

    @property
    def names(self) -> str:
        """Who has decided, for the order's notes; empty where nobody was named."""
        first = f" by {self.by_whom}" if self.by_whom else ""
        return f"{first}, confirmed by {self.confirmation.by_whom}" if self.confirmation else first


class RequeryNow(msgspec.Struct, frozen=True):
    """A person wants the provider to be asked now. `reference`, where given, must be the order's."""

    order_id: int
    reference: str | None


class CalledBack(msgspec.Struct, frozen=True):
    """A provider has called back about an attempt, so that it is asked now. What it has said is not looked at."""

    order_id: int
    number: int


class LateAnswer(msgspec.Struct, frozen=True):
    """What a provider says of an attempt after a person has decided the order, when it is asked again or its day is reconciled.

    It changes nothing but what a late report enters.
    """

    order_id: int
    number: int
    outcome: Outcome


Item = ProviderReport | Abandoned | PersonVerdict | RequeryNow | CalledBack | LateAnswer


class Effect(StrEnum):
    """What became of an item."""

    DELIVERED = "delivered"
    """The hold is posted."""
    FAILED = "failed"
    """The hold is released."""
    REQUERY_LATER = "ask_later"
    """The hold stays; the provider is asked again."""
    TRY_AGAIN = "try_again"
    """Definitely not delivered; somebody else, or the same one, is tried."""
    REVIEW = "review"
    """The hold stays; a person decides."""
    CONTRADICTED = "contradicted"
    """It contradicts what was settled before: noted, and the order stays as it is. See LateReport for the money."""
    NOTHING = "nothing"
    """It was known already, or came too late to change anything."""


class HoldPosting(msgspec.Struct, frozen=True):
    """Post the hold: `cost` to this provider, the rest is margin."""

    provider: str
    cost: Money


class LateReport(msgspec.Struct, frozen=True):
    """What a provider says of an attempt against the decision of a person.

    `delivered`: it has delivered, and takes `cost` for an order that has failed, or that another attempt has delivered. Else it
    has not, and does not take the cost that was posted.
    """

    attempt: int
    provider: str
    delivered: bool
    cost: Money
    text: str


class LockedOrder(msgspec.Struct):
    """An order with all of its attempts, locked, as they are weighed and changed.

    When `changed`, `state` and `due_in_s` (None: never) have to be written; `posting` or `releases` say what happens to
    the hold, and `notes` are for people. `assumed`: it was not read, but is as its worker left it; what is written of it is written
    only where that holds.
    """

    id: int
    reference: str
    wallet_id: int
    mode: Mode
    price: Money
    state: OrderState
    attempts: list[AttemptSnapshot]
    position: int = 0
    changed: bool = False
    due_in_s: float | None = None
    posting: HoldPosting | None = None
    releases: bool = False
    notes: list[str] = []
    doubtful: bool = False
    created_at: datetime | None = None
    kind: str = "data"
    payload: Payload | None = None
    """What the delivery carried back, to be sealed."""
    decided_by_hand: bool = False
    """A person has decided it just now."""
    credited: bool = False
    """Its wallet has an open provisional credit, which ends with the order."""
    late: list[LateReport] = []
    """To be entered as write-offs, each attempt once."""
    late_requeries: dict[int, float] = {}
    """Attempts that a person has decided, by number, and in how many seconds their provider is to be asked about them again."""
    assumed: bool = False

    @classmethod
    def begun(cls, claim: ClaimedOrder, step: Deliver) -> "LockedOrder":
        """The order as the worker left it that has begun its first attempt, if nobody has changed it since."""
        attempt = AttemptSnapshot(
            step.number, step.chosen.provider.name, step.reference, AttemptState.STARTED, 0, False, step.cost.minor, claim.now
        )  # fmt: skip
        return cls(
            claim.id, claim.reference, claim.wallet_id, claim.mode, claim.price, OrderState.DELIVERING, [attempt],
            doubtful=claim.doubtful, created_at=claim.now, kind=claim.kind, assumed=True,
        )  # fmt: skip

    @property
    def plainly_delivered(self) -> bool:
        """Whether all that has become of a first attempt is that it was delivered, for the cost that was expected."""
        (attempt,) = self.attempts
        return (
            self.state is OrderState.DELIVERED
            and attempt.state is AttemptState.DELIVERED
            and attempt.provider_reference is None
            and self.payload is None
            and self.posting is not None
            and not self.notes
        )

    def become(self, state: OrderState, due_in_s: float | None = None) -> None:
        """Change the state; a final one is never left. Raises InvariantBroken."""
        if self.state.final:
            raise InvariantBroken(f"order {self.id} is {self.state} and was about to become {state}")
        self.state = state
        self.due_in_s = due_in_s
        self.changed = True


def spread(order_id: int, count: int) -> float:
    """From -0.1 to 0.1, always the same for the same order and count: keeps orders of one moment from coming back together."""
    return zlib.crc32(b"%d.%d" % (order_id, count)) / 2**32 * 0.2 - 0.1


def clean(text: object) -> str:
    """A provider's text as PostgreSQL takes it: without NUL and half characters, and not too long."""
    return str(text).replace("\x00", "").encode("utf-8", "replace").decode()[:_LONGEST_TEXT]
