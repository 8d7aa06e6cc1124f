"""What is left over as it is recorded and shown: both sides in one flat line, and the next step. No database."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from telvend.kit.money import Money
from telvend.orders.model import AttemptState
from telvend.providers.upstream import LineStatus
from telvend.upstreams.reconciliation.model import Aspect, Leftover, Side


class NextStep(StrEnum):
    """What the operator does about a line. The texts stand in the database and never change."""

    REPEATED = "repeated"
    """Delivered several times under one reference: the provider pays all but one back."""
    TRIAL = "trial"
    """A trial, for which no wallet has paid: settle it with the provider."""
    DECIDED = "decided"
    """A person has decided against what the provider says: ask once more, or enter what it says as a write-off."""
    REFUND = "refund"
    """The provider says that it was not delivered: where that is so, refund the order and claim the cost."""
    CHARGE = "charge"
    """The recipient has it, and the reseller the money back: debit the wallet where the reseller agrees."""
    OTHER_ATTEMPT = "other_attempt"
    """Another attempt was delivered too: the provider pays this one back."""
    RESOLVE = "resolve"
    """Open here and delivered there: resolve it as delivered, before it is delivered once more."""
    WAIT = "wait"
    """Final here, not settled there: reconcile again when it is."""
    ASK = "ask"
    """Open here: ask the provider, then decide."""
    NUMBER = "number"
    """Delivered to another number: ask the provider."""
    COST = "cost"
    """The provider took another amount: ask it, or enter the new cost."""
    REFERENCES = "references"
    """Compare the references with the provider."""
    UNKNOWN_OPEN = "unknown_open"
    """Not in our books, and not settled there."""
    UNKNOWN = "unknown"
    """Not in our books, and delivered there, as what was sold after the moment of a restore."""


def next_step(leftover: Leftover) -> NextStep:
    """Return what to do about it. Reconciling itself moves no money of a wallet."""
    attempt, aspects = leftover.attempt, leftover.aspects
    delivered_there = leftover.there is LineStatus.DELIVERED
    if attempt is None:
        return NextStep.UNKNOWN if delivered_there else NextStep.UNKNOWN_OPEN
    if Aspect.TWICE in aspects:
        return NextStep.REPEATED
    if not attempt.order_reference:
        return NextStep.TRIAL
    if attempt.decided and leftover.side is not Side.DIFFERENT and leftover.line is not None:
        return NextStep.DECIDED
    if leftover.side is Side.ONLY_HERE:
        return NextStep.REFUND
    if leftover.side is Side.ONLY_THERE:
        if attempt.order_state == "failed":
            return NextStep.CHARGE
        return NextStep.OTHER_ATTEMPT if attempt.order_state == "delivered" else NextStep.RESOLVE
    if attempt.state.open or not delivered_there:
        return NextStep.WAIT if attempt.order_state in ("delivered", "failed") else NextStep.ASK
    if Aspect.NUMBER in aspects:
        return NextStep.NUMBER
    if leftover.line is not None and {Aspect.COST, Aspect.AMOUNT} & {*aspects}:
        return NextStep.COST
    return NextStep.REFERENCES


@dataclass(frozen=True, slots=True)
class LeftoverLine:
    """A leftover. What a side does not have is None, or empty.

    `at`: when we began it, else when they did. `here` and `there`: how it stands on each side; `there_says`: in their word. `times`:
    deliveries there. `amount` is its face value, `cost` that of our ledger, `charged` what they took.
    """

    side: Side
    aspects: tuple[Aspect, ...]
    at: datetime | None
    reference: str
    provider_reference: str
    order: str
    reseller_id: UUID | None
    here: AttemptState | None
    there: LineStatus | None
    there_says: str
    times: int
    subscriber: str
    there_subscriber: str
    product: str
    amount: Money | None
    cost: Money | None
    charged: Money | None
    step: NextStep
    number: int = 0
    """Its number in what was recorded, from 1."""

    @property
    def difference(self) -> Money | None:
        """What they took more than our ledger has; None where one side does not say, or they are in two currencies."""
        if self.cost is None or self.charged is None or self.cost.currency != self.charged.currency:
            return None
        return Money(self.charged.minor - self.cost.minor, self.cost.currency)


def line_of(leftover: Leftover) -> LeftoverLine:
    """Return both sides in one line."""
    attempt, line = leftover.attempt, leftover.line
    theirs = "" if line is None else line.provider_reference
    return LeftoverLine(
        leftover.side,
        leftover.aspects,
        attempt.started_at if attempt is not None else None if line is None else line.at,
        attempt.reference if attempt is not None else "" if line is None else line.reference,
        theirs or ("" if attempt is None else attempt.provider_reference),
        "" if attempt is None else attempt.order_reference,
        UUID(attempt.reseller_id) if attempt is not None and attempt.reseller_id else None,
        None if attempt is None else attempt.state,
        leftover.there,
        "" if line is None else line.word,
        leftover.times,
        attempt.subscriber if attempt is not None else "" if line is None else line.subscriber,
        "" if line is None else line.subscriber,
        attempt.product if attempt is not None else "" if line is None else line.product,
        attempt.face if attempt is not None else None if line is None else line.amount,
        None if attempt is None else attempt.cost,
        None if line is None else line.charged,
        next_step(leftover),
    )


def resellers_in(lines: Iterable[LeftoverLine]) -> set[UUID]:
    """Return the resellers whose orders these are."""
    return {one.reseller_id for one in lines if one.reseller_id is not None}
