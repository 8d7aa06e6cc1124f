"""What became of a network's latest sales, and what that says to somebody who wants to buy. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from telvend.catalog.model import Network

FEWEST: Final = 5
"""Of fewer sales nothing is said: one failure among them would look like an outage."""

_WELL: Final = 0.9
_BADLY: Final = 0.5
_WAITING: Final = 0.25


@dataclass(frozen=True, slots=True)
class RecentSales:
    """The live sales of one network in the last hour, as far as they are among the newest ones that are looked at.

    `waiting`: placed more than a minute ago and not final. `median_s`: from placement to delivery; None without one.
    """

    delivered: int = 0
    failed: int = 0
    waiting: int = 0
    median_s: float | None = None

    @property
    def success(self) -> float | None:
        """The part of the final sales that was delivered; None of too few."""
        final = self.delivered + self.failed
        return None if final < FEWEST else self.delivered / final


class Condition(StrEnum):
    """How a network stands."""

    SELLING = "selling"
    SLOW = "slow"
    """It is on sale, and sales wait."""
    FAILING = "failing"
    """It is on sale, and many sales fail."""
    TRIAL = "trial"
    """It was paused by itself, and a few sales are let through."""
    PAUSED = "paused"
    OFF = "off"
    """It is not sold here."""


@dataclass(frozen=True, slots=True)
class NetworkCondition:
    """A network and how it stands. `success` and `median_s` are of its recent sales; None where there is too little to say."""

    network: Network
    condition: Condition
    success: float | None
    median_s: float | None

    @property
    def on_sale(self) -> bool:
        return self.network.on_sale


def condition_of(network: Network, recent: RecentSales) -> NetworkCondition:
    """Say how a network stands: its switch and its pause first, then what its sales show."""
    success = recent.success
    if not network.active:
        condition = Condition.OFF
    elif network.pause is not None:
        condition = Condition.TRIAL if network.pause.on_trial else Condition.PAUSED
    elif success is not None and success < _BADLY:
        condition = Condition.FAILING
    elif _waits(recent) or (success is not None and success < _WELL):
        condition = Condition.SLOW
    else:
        condition = Condition.SELLING
    enough = success is not None
    return NetworkCondition(network, condition, success, recent.median_s if enough else None)


def _waits(recent: RecentSales) -> bool:
    seen = recent.delivered + recent.failed + recent.waiting
    return seen >= FEWEST and recent.waiting >= _WAITING * seen
