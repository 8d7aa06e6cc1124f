"""What live attempts say of the networks they were for, and the job that has networks paused and resumed by it.

| what a provider said                                            | what it says of the network                        |
|-----------------------------------------------------------------|----------------------------------------------------|
| Delivered                                                       | it works                                           |
| NotSent, Unknown                                                | a failure                                          |
| Refused, because of the subscriber or the number                | nothing                                            |
| Refused, for any other reason (out of stock, no float, no word) | a failure                                          |
| Accepted                                                        | nothing: it is asked about                         |

An attempt fails once: what is said of one that was unknown already is no second failure. A delivery that is learned by a
requery happened at some moment since the attempt was begun; one whose provider had accepted it counts as of now, any other as of
its beginning.

Each process counts in memory, and every few seconds adds to what the database has of all (catalog/pauses). Test orders are not
counted: only a simulator delivers for them.
"""

from collections.abc import Callable
from typing import Final

from telvend.catalog.model import CatalogueSnapshot
from telvend.catalog.pauses.model import Streak
from telvend.catalog.pauses.service import NetworkPauses
from telvend.errors import Busy
from telvend.kit.clock import Clock
from telvend.kit.mode import Mode
from telvend.orders.model import AttemptState
from telvend.providers.contract import Delivered, NotSent, Outcome, Reason, Refused, Unknown

EVERY_S: Final = 5.0
"""How often a process reports what it has seen."""

SUBSCRIBERS_FAULT: Final = frozenset({Reason.BAD_NUMBER, Reason.BARRED, Reason.WRONG_NETWORK, Reason.TOO_SOON})
"""Refusals that say nothing of the network."""


def failure_in(outcome: Outcome, before: AttemptState | None) -> str | None:
    """Return what failed, in words; None where the outcome is no failure of the network, or was counted before.

    `before` is the state of the attempt that was asked about; None for a delivery.
    """
    if before is not None and before is not AttemptState.ACCEPTED:
        return None
    match outcome:
        case NotSent():
            return "did not reach the provider"
        case Unknown():
            # A question without an answer says nothing of an attempt that is on its way.
            return "had no clear answer" if before is None else None
        case Refused() if outcome.reason not in SUBSCRIBERS_FAULT:
            return f"was refused ({outcome.reason})"
        case _:
            return None


def delivered_at(now: float, before: AttemptState | None, age_s: float) -> float:
    """Return since when the network is known to have worked, by a delivery that was learned `now` of an attempt of this age."""
    return now if before in (None, AttemptState.ACCEPTED) else now - age_s


class NetworkHealth:
    """What one process has seen since its last report. `snapshot` answers the catalogue as it is."""

    def __init__(self, pauses: NetworkPauses, snapshot: Callable[[], CatalogueSnapshot], clock: Clock) -> None:
        self._pauses = pauses
        self._snapshot = snapshot
        self._clock = clock
        # Apart, because almost every attempt is a delivery, and a number is written sooner than a streak.
        self._delivered: dict[tuple[str, str], float] = {}
        self._failing: dict[tuple[str, str], Streak] = {}

    @property
    def listens(self) -> bool:
        """Whether anything is counted: where networks are paused by themselves, or one waits to be resumed."""
        return self._pauses.policy.enabled or self._snapshot().recovers

    def heard(
        self,
        mode: Mode,
        network: tuple[str, str],
        provider: str,
        outcome: Outcome,
        before: AttemptState | None,
        age_s: float,
    ) -> None:
        """Count what a provider said of an attempt. `network` is country and code; `before`: see `failure_in`."""
        if mode is not Mode.LIVE or not self.listens:
            return
        now = self._clock.monotonic()
        if isinstance(outcome, Delivered):
            self._worked(network, delivered_at(now, before, age_s))
        elif (why := failure_in(outcome, before)) is not None:
            self._failing[network] = (self._failing.get(network) or Streak()).failed(now, f"{why} at {provider}")

    def _worked(self, network: tuple[str, str], at: float) -> None:
        self._delivered[network] = max(at, self._delivered.get(network, at))
        if network in self._failing:
            self._failing[network] = self._failing[network].worked(at)

    def _take(self) -> dict[tuple[str, str], Streak]:
        """Return what was seen since the last report, and begin anew."""
        delivered, failing = self._delivered, self._failing
        self._delivered, self._failing = {}, {}
        return failing | {network: (failing.get(network) or Streak()).worked(at) for network, at in delivered.items()}

    async def report(self) -> None:
        """Add what was seen to what all processes have seen, and judge. Raises Busy."""
        if not self.listens:
            self._take()
            return
        seen = self._take()
        found = self._snapshot()
        known = {key: network for key in seen if (network := found.network(*key)) is not None}
        if known:
            try:
                await self._pauses.record(
                    {network.id: seen[key] for key, network in known.items()}, self._clock.monotonic()
                )
            except Busy:
                # The outcome of the COMMIT is unknown. A delivery may be reported twice; failures that count twice would pause
                # a network too early.
                for key, streak in seen.items():
                    if streak.delivered is not None:
                        self._worked(key, streak.delivered)
                raise
        await self._pauses.judge()
