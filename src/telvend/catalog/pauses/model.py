"""When a network is paused because nothing is delivered, and when it sells again. No database, no clock.

Live attempts of each network are remembered as a *streak*: how many have failed since the last that was delivered. What counts as
a failure is decided by fulfilment/network_health.py.

    SELLING ── the streak is long enough ──> PAUSED ── the interval is over ──> ON TRIAL
       ^                                      ^  │                                │  │
       └──────── something is delivered ──────│──┴────────────────────────────────│──┘
                                              └────── the trial's sales are made ─┘

On trial, the network is on sale for a fixed number of sales, counted by the database over all nodes. A person's pause has neither
streak nor trial: a person ends it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

BY_ITSELF: Final = "telvend"
"""`by_whom` of a pause that began or ended without a person."""
DELIVERED_AGAIN: Final = "something was delivered"
"""Why a pause ended by itself."""
_CLOCK_SLACK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class NetworkPause:
    """A pause that has not ended. `retry_at` is when the next trial begins; `trial` counts them.

    `trial_left`: how many sales the current trial lets through still.
    """

    id: int
    network_id: int
    automatic: bool
    reason: str
    by_whom: str
    paused_at: datetime
    retry_at: datetime | None = None
    trial: int = 0
    trial_left: int = 0

    @property
    def on_trial(self) -> bool:
        """Whether some sales are let through now, to see whether they are delivered."""
        return self.trial_left > 0


@dataclass(frozen=True, slots=True)
class PastPause:
    """A pause, ended or not, as it is listed. `ended_at`, `ended_by` and `end_reason` are None and empty until it ends."""

    id: int
    country: str
    network: str
    automatic: bool
    reason: str
    by_whom: str
    paused_at: datetime
    trial: int
    ended_at: datetime | None
    ended_by: str
    end_reason: str


@dataclass(frozen=True, slots=True)
class TrialTicket:
    """Leave for one live sale of a network on trial. Give it back where no sale was made."""

    pause_id: int
    trial: int


@dataclass(frozen=True, slots=True)
class PausePolicy:
    """What the operator decides. Durations are seconds; `after_s` 0: no network is paused by itself.

    A network is paused when nothing was delivered for `after_s` while at least `attempts` failed. Every `retry_s` after that,
    `retry_sales` sales are let through.
    """

    after_s: float = 0.0
    attempts: int = 5
    retry_s: float = 300.0
    retry_sales: int = 3

    @property
    def enabled(self) -> bool:
        return self.after_s > 0


@dataclass(frozen=True, slots=True)
class Streak:
    """The failed attempts of one network since it was last seen to deliver. Times are seconds on one clock.

    `since` and `last` are the first and the last failure, without meaning while `failures` is 0. `why` says what the last one
    was. `delivered`: the latest moment at which something is known to have been delivered; None where nothing is known of.
    """

    failures: int = 0
    since: float = 0.0
    last: float = 0.0
    why: str = ""
    delivered: float | None = None

    def failed(self, at: float, why: str) -> "Streak":
        """Return the streak with one more failure."""
        if self.failures == 0:
            return Streak(1, at, at, why, self.delivered)
        return replace(self, failures=self.failures + 1, last=max(self.last, at), why=why)

    def worked(self, at: float) -> "Streak":
        """Return the streak after a delivery at the moment `at`, which ends it unless it was before the first failure."""
        delivered = at if self.delivered is None else max(self.delivered, at)
        return replace(self, delivered=delivered).without_what_was_before()

    def shifted(self, by: float) -> "Streak":
        """Return the same on a clock that is `by` seconds ahead."""
        delivered = None if self.delivered is None else self.delivered + by
        return Streak(self.failures, self.since + by, self.last + by, self.why, delivered)

    def not_after(self, now: float) -> "Streak":
        """Return the streak as a clock has it that was set back to `now`: a delivery is not in the future."""
        if self.delivered is None or self.delivered <= now:
            return self
        return replace(self, delivered=now).without_what_was_before()

    def merged(self, other: "Streak", gap_s: float) -> "Streak":
        """Return what two processes have seen, as one streak.

        It never holds a failure from before a delivery that either has seen. Failures of a process that lie on both sides of the
        other's delivery are all dropped: the pause comes a moment later, never wrongly. Failures that are further apart than
        `gap_s` make no streak, for nothing is known of the time between: the later ones count.
        """
        known = [moment for moment in (self.delivered, other.delivered) if moment is not None]
        delivered = max(known, default=None)
        earlier, later = sorted(
            (replace(streak, delivered=delivered).without_what_was_before() for streak in (self, other)),
            key=lambda streak: (streak.failures > 0, streak.last),
        )
        if not earlier.failures or not later.failures or later.since - earlier.last > gap_s:
            return later
        return Streak(
            earlier.failures + later.failures, min(earlier.since, later.since), later.last, later.why, delivered
        )

    def without_what_was_before(self) -> "Streak":
        """Return the streak without its failures where one of them was before the last delivery."""
        if self.failures and self.delivered is not None and self.delivered >= self.since:
            return Streak(delivered=self.delivered)
        return self


class StepKind(StrEnum):
    """What the judge does with a network."""

    PAUSED = "paused"
    """It is taken off sale: nothing was delivered for too long."""
    TRIAL = "trial"
    """Some sales are let through."""
    TRIAL_OVER = "trial_over"
    """The sales of the trial were made: it is off sale until the next."""
    RESUMED = "resumed"
    """It delivers again, and is on sale."""


@dataclass(frozen=True, slots=True)
class JudgedNetwork:
    """What the judge knows of a network. `on_sale`: its own switch."""

    id: int
    country: str
    code: str
    on_sale: bool
    streak: Streak
    pause: NetworkPause | None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the judge does."""

    kind: StepKind
    network: JudgedNetwork
    reason: str = ""


def judge(networks: Iterable[JudgedNetwork], now: float, policy: PausePolicy) -> list[Step]:
    """Return what has to be done now. A person's pause is never touched, and a network that is switched off is not paused."""
    return [step for network in networks if (step := _step(network, now, policy)) is not None]


def _step(network: JudgedNetwork, now: float, policy: PausePolicy) -> Step | None:
    pause, streak = network.pause, network.streak
    if pause is None:
        due = network.on_sale and is_failing(streak, now, policy)
        return Step(StepKind.PAUSED, network, reason_of(streak)) if due else None
    if not pause.automatic:
        return None
    if streak.failures == 0:
        return Step(StepKind.RESUMED, network, DELIVERED_AGAIN)
    if pause.on_trial:
        return None
    if pause.retry_at is None:
        return Step(StepKind.TRIAL_OVER, network)
    # Further away than an interval: the clock was set back, or the interval was shortened.
    left_s = pause.retry_at.timestamp() - now
    return None if 0 < left_s <= policy.retry_s + _CLOCK_SLACK_S else Step(StepKind.TRIAL, network)


def is_failing(streak: Streak, now: float, policy: PausePolicy) -> bool:
    """Return whether a network with this streak is to be paused: the failures are enough, span long enough, and are recent."""
    return (
        policy.enabled
        and streak.failures >= policy.attempts
        and streak.last - streak.since >= policy.after_s
        and now - streak.last <= policy.after_s
    )


def reason_of(streak: Streak) -> str:
    """Return why a network with this streak is paused, for people."""
    minutes = int((streak.last - streak.since) // 60)
    span = f"{minutes} minute{'' if minutes == 1 else 's'}" if minutes else f"{int(streak.last - streak.since)} s"
    return f"nothing delivered for {span}: {streak.failures} attempts failed, the last one {streak.why}"


def banner(pause: NetworkPause, spelt: Callable[[datetime], str]) -> str:
    """Return what stands beside a paused network in lists. `spelt` writes a moment for the reader."""
    text = f"paused since {spelt(pause.paused_at)} by {pause.by_whom}: {pause.reason}"
    if pause.on_trial:
        return f"{text}; on trial: {pause.trial_left} more sale{'s' * (pause.trial_left != 1)} let through"
    return text if pause.retry_at is None else f"{text}; tried again at {spelt(pause.retry_at)}"
