"""The orders that a worker has claimed and not settled, and how long their attempts have been known here."""

import asyncio
from typing import Final

from telvend.fulfilment.model import Abandon, AttemptSnapshot, ClaimedOrder, Deliver, Requery
from telvend.kit.clock import Clock

# How many attempts a worker remembers the beginning of.
_REMEMBERED: Final = 100_000


class InFlightOrder:
    """An order from the claim until its outcome is settled.

    `deadline` is when the lease surely still was ours, on the monotonic clock; `claimed_at` the moment after the claim.
    """

    __slots__ = ("abandoned", "call_ends_at", "claim", "claimed_at", "deadline", "step", "task")

    def __init__(
        self, claim: ClaimedOrder, step: Deliver | Requery | Abandon, deadline: float, claimed_at: float
    ) -> None:
        self.claim = claim
        self.step = step
        self.deadline = deadline
        self.claimed_at = claimed_at
        self.call_ends_at: float | None = None
        self.abandoned = False
        self.task: asyncio.Task[None] | None = None

    @property
    def number(self) -> int:
        """The attempt that is called for; 0 where nobody is called."""
        match self.step:
            case Deliver():
                return self.step.number
            case Requery():
                return self.step.attempt.number
            case _:
                return 0


class AttemptAges:
    """How old attempts are by this process's monotonic clock, which no jump of the database's clock touches.

    An attempt is at least as old as it has been known here. One that was forgotten counts as new.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # When it was first seen, how old it was then as well as that was known, and whether it was begun here.
        self._seen: dict[tuple[int, int], tuple[float, float | None, bool]] = {}

    def note(self, claim: ClaimedOrder, step: Deliver | Requery) -> None:
        """Remember the attempt of `step`, where it is not known yet."""
        now = self._clock.monotonic()
        if isinstance(step, Deliver):
            self._seen.setdefault((claim.id, step.number), (now, 0.0, True))
        elif (claim.id, step.attempt.number) not in self._seen:
            self._seen[claim.id, step.attempt.number] = (now, _age_at_claim_s(claim, step.attempt), False)
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def least_s(self, order_id: int, number: int) -> float:
        """Return how old the attempt is at least."""
        seen = self._seen.get((order_id, number))
        return 0.0 if seen is None else self._clock.monotonic() - seen[0]

    def likely_s(self, order: InFlightOrder) -> float | None:
        """Return how old the attempt of this order is; None where that is not known.

        Exact where it was begun here. Else the database's clock says it, now or when the attempt was first seen here, whichever
        makes it younger: a clock that is ahead may have spoken.
        """
        now = self._clock.monotonic()
        seen = self._seen.get((order.claim.id, order.number))
        if seen is not None and seen[2]:
            return now - seen[0]
        ages: list[float] = []
        if seen is not None and seen[1] is not None:
            ages.append(seen[1] + now - seen[0])
        if isinstance(order.step, Requery):
            age_s = _age_at_claim_s(order.claim, order.step.attempt)
            if age_s is not None:
                ages.append(age_s + now - order.claimed_at)
        return min(ages, default=None)

    def forget(self, order_id: int, number: int) -> None:
        self._seen.pop((order_id, number), None)


def _age_at_claim_s(claim: ClaimedOrder, attempt: AttemptSnapshot) -> float | None:
    """The attempt's age by the database's clock; None where it was started in the future: the clock was set back since."""
    age_s = (claim.now - attempt.started_at).total_seconds()
    return age_s if age_s >= 0 else None
