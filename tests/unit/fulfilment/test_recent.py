"""What a network's latest sales say to somebody who wants to buy."""

from datetime import UTC, datetime

import pytest

from telvend.catalog.model import Network
from telvend.catalog.pauses.model import NetworkPause
from telvend.fulfilment.recent.model import Condition, RecentSales, condition_of

AT = datetime(2026, 11, 29, tzinfo=UTC)


def network(*, active: bool = True, pause: NetworkPause | None = None) -> Network:
    return Network(1, "GH", "MTN", "MTN", active, pause=pause)


def paused(trial_left: int = 0) -> NetworkPause:
    return NetworkPause(1, 1, automatic=True, reason="x", by_whom="telvend", paused_at=AT, trial_left=trial_left)


@pytest.mark.parametrize(
    ("given", "recent", "expected"),
    [
        (network(), RecentSales(), Condition.SELLING),
        (network(), RecentSales(100, 0, 0, 2.0), Condition.SELLING),
        (network(), RecentSales(0, 4, 0), Condition.SELLING),  # Too few to say anything.
        (network(), RecentSales(0, 5, 0), Condition.FAILING),
        (network(), RecentSales(49, 51, 0, 2.0), Condition.FAILING),
        (network(), RecentSales(50, 50, 0, 2.0), Condition.SLOW),
        (network(), RecentSales(89, 11, 0, 2.0), Condition.SLOW),
        (network(), RecentSales(90, 10, 0, 2.0), Condition.SELLING),
        (network(), RecentSales(0, 0, 5), Condition.SLOW),
        (network(), RecentSales(9, 0, 3, 2.0), Condition.SLOW),
        (network(), RecentSales(10, 0, 3, 2.0), Condition.SELLING),
        (network(active=False), RecentSales(100, 0, 0, 2.0), Condition.OFF),
        (network(pause=paused()), RecentSales(100, 0, 0, 2.0), Condition.PAUSED),
        (network(pause=paused(2)), RecentSales(0, 100, 0), Condition.TRIAL),
    ],
)
def test_switch_and_pause_come_first_then_what_sales_show(
    given: Network, recent: RecentSales, expected: Condition
) -> None:
    assert condition_of(given, recent).condition is expected


def test_of_a_handful_of_sales_no_figure_is_shown() -> None:
    few = condition_of(network(), RecentSales(4, 0, 0, 2.0))
    assert (few.success, few.median_s) == (None, None)
    enough = condition_of(network(), RecentSales(4, 1, 0, 2.0))
    assert (enough.success, enough.median_s) == (0.8, 2.0)
