"""The orders that a worker has claimed and not settled, and how long their attempts have been known here."""

import asyncio
from typing import Final

from telvend.fulfilment.rules import Ask, Claim, Deliver, GiveUp
from telvend.kit.clock import Clock

# How many attempts a worker remembers the beginning of.
_REMEMBERED: Final = 100_000


class InFlightOrder:
    """An order from the claim until its outcome is settled.

    `deadline` is when the lease surely still was ours, on the monotonic clock; `claimed_at` the moment after the claim.
    """

    __slots__ = ("abandoned", "call_ends_at", "claim", "claimed_at", "deadline", "step", "task")

    def __init__(self, claim: Claim, step: Deliver | Ask | GiveUp, deadline: float, claimed_at: float) -> None:
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
            case Ask():
                return self.step.attempt.number
            case _:
                return 0


class AttemptAges:
    """When this process first knew of an attempt, by its monotonic clock.

    The database's clock may jump, and an attempt would look an hour old that was made a moment ago. An attempt is at least as
    old as this process has known it; one that another process made, or that was forgotten, counts as new.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[tuple[int, int], float] = {}

    def note(self, order_id: int, number: int) -> None:
        """Remember the attempt, where it is not known yet."""
        self._seen.setdefault((order_id, number), self._clock.monotonic())
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def age_s(self, order_id: int, number: int) -> float:
        """Return for how long the attempt has been known here."""
        now = self._clock.monotonic()
        return now - self._seen.get((order_id, number), now)

    def forget(self, order_id: int, number: int) -> None:
        self._seen.pop((order_id, number), None)
