"""The orders that a worker has claimed and not settled, and how long their attempts have been known here."""

import asyncio
from typing import Any, Final

from telvend.fulfilment.model import Abandon, AttemptSnapshot, ClaimedOrder, Deliver, Requery
from telvend.kit.clock import Clock

# How many attempts a worker remembers the beginning of.
_REMEMBERED: Final = 100_000


class InFlightOrder:
    """An order from the claim until its outcome is settled.

    `deadline` is when the lease surely still was ours, on the monotonic clock; `claimed_at` the moment after the claim.
    """

    __slots__ = ("abandoned", "call_ends_at", "claim", "claimed_at", "deadline", "span", "step", "task")

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
        self.span: Any = None  # kit/tracing.py; None where nothing is traced.

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

    An attempt is at least as old as it has been known here. One that was forgotten counts as new. One that was sent again is as
    old, for `least_s`, as it is known here that it was: the last request counts, whoever has sent it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # When it was first seen, how old it was then as well as that was known, and whether it was begun here.
        self._seen: dict[tuple[int, int], tuple[float, float | None, bool]] = {}
        # How often it was sent again, when that was seen, and when it was sent before that.
        self._resent: dict[tuple[int, int], tuple[int, float, float]] = {}

    def note(self, claim: ClaimedOrder, step: Deliver | Requery) -> None:
        """Remember the attempt of `step`, where it is not known yet."""
        now = self._clock.monotonic()
        if isinstance(step, Deliver):
            self._seen.setdefault((claim.id, step.number), (now, 0.0, True))
        elif (claim.id, step.attempt.number) not in self._seen:
            self._seen[claim.id, step.attempt.number] = (now, _age_at_claim_s(claim, step.attempt), False)
        if isinstance(step, Requery) and step.attempt.resent:
            self.sent_again(claim.id, step.attempt.number, step.attempt.resent)
        if len(self._seen) > _REMEMBERED:
            self.forget(*next(iter(self._seen)))

    def sent_again(self, order_id: int, number: int, resent: int) -> None:
        """Remember that the attempt has been sent again `resent` times."""
        now = self._clock.monotonic()
        count, at, _ = self._resent.get((order_id, number), (0, 0.0, 0.0))
        if count < resent:
            self._resent[order_id, number] = (resent, now, at if count + 1 == resent else now)

    def answered(self, order_id: int, number: int, resent: int) -> None:
        """Take the last of `resent` repetitions for answered with a no: that request is not on its way any more."""
        count, _, before = self._resent.get((order_id, number), (0, 0.0, 0.0))
        if count == resent:
            self._resent[order_id, number] = (count, before, before)

    def least_s(self, order_id: int, number: int) -> float:
        """Return how long ago the attempt was sent last, at least."""
        seen = self._seen.get((order_id, number))
        if seen is None:
            return 0.0
        _, at, _ = self._resent.get((order_id, number), (0, 0.0, 0.0))
        return self._clock.monotonic() - max(seen[0], at)

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
        self._resent.pop((order_id, number), None)


def _age_at_claim_s(claim: ClaimedOrder, attempt: AttemptSnapshot) -> float | None:
    """The attempt's age by the database's clock; None where it was started in the future: the clock was set back since."""
    age_s = (claim.now - attempt.started_at).total_seconds()
    return age_s if age_s >= 0 else None
