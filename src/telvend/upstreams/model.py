"""What is known of a provider beside the orders: what the operator lets it do, its float, and how it has done."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from telvend.fulfilment.routing import BreakerState, ProviderState
from telvend.kit.money import Currency, Money

HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class SwitchedProvider:
    """What the operator has said of a provider. One that is not switched is on."""

    state: ProviderState
    reason: str
    by_whom: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ProviderFloat:
    """What a provider said of our money there, last time.

    `amount` is what it was at `read_at`, None before the first answer; `age_s` is how long ago that was. `error` says why it could
    not be read since; `not_allowed`: because the provider does not accept our credentials. `low`: it was below the setting.
    """

    provider: str
    amount: Money | None
    read_at: datetime | None
    age_s: float | None
    error: str
    not_allowed: bool
    low: bool


@dataclass(frozen=True, slots=True)
class LastHour:
    """What became of the live attempts that a provider got in the last hour.

    `covered_s` is how much of it was looked at: less where there were more attempts than are read. `median_s` and `slow_s` (one in
    twenty took longer) are from the start of an attempt to its delivery. `costs` is what the delivered ones took.
    """

    delivered: int = 0
    refused: int = 0
    not_sent: int = 0
    unknown: int = 0
    open: int = 0
    median_s: float | None = None
    slow_s: float | None = None
    costs: Mapping[Currency, Money] | None = None
    covered_s: float = HOUR_S

    @property
    def success_percent(self) -> float | None:
        """The share of the attempts that was delivered; those that are just under way do not count."""
        ended = self.delivered + self.refused + self.not_sent + self.unknown
        return None if not ended else round(100 * self.delivered / ended, 1)

    def hours_left(self, amount: Money | None) -> float | None:
        """How long a float of `amount` lasts at the rate of this hour; None where nothing was taken from it."""
        if amount is None or self.costs is None or amount.currency not in self.costs:
            return None
        cost_minor = self.costs[amount.currency].minor
        if cost_minor <= 0:
            return None
        return round(max(0, amount.minor) * self.covered_s / HOUR_S / cost_minor, 1)


@dataclass(frozen=True, slots=True)
class RestingGroup:
    """A breaker that is not closed, in some of the processes that deliver. `group` is empty for the provider as a whole."""

    group: str
    state: BreakerState
    why: str
    processes: int


@dataclass(frozen=True, slots=True)
class ReportedHealth:
    """What the processes that deliver have reported of a provider within the last seconds."""

    processes: int = 0
    in_flight: int = 0
    resting: tuple[RestingGroup, ...] = ()

    @property
    def state(self) -> BreakerState | None:
        """The worst state of its breakers; None where no process delivers."""
        if not self.processes:
            return None
        states = {group.state for group in self.resting}
        return next(
            (state for state in (BreakerState.OPEN, BreakerState.HALF_OPEN) if state in states), BreakerState.CLOSED
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """All of it for one provider. `topped_up` is what top-ups were recorded for, by currency."""

    switched: SwitchedProvider | None
    float: ProviderFloat | None
    last_hour: LastHour
    health: ReportedHealth
    topped_up: Mapping[Currency, Money]

    @property
    def state(self) -> ProviderState:
        return ProviderState.ON if self.switched is None else self.switched.state
