"""The check of orders that are not final: whether they are delivered, and how long the oldest has waited."""

from collections.abc import Sequence
from typing import Final

from telvend.kit.mode import Mode
from telvend.orders import store
from telvend.orders.model import OrderState
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level

_CHECK: Final = "open orders"
_UNTOUCHED_S: Final = 300.0
_WAITS_S: Final = 3600.0


async def queue(shop: Examined) -> Sequence[Finding]:
    """Fail where paid orders are not delivered; warn of those that wait for long, or for a person. Raises Busy."""
    async with shop.database.connection() as tx:
        rows = [row for row in await store.open_orders(tx) if row["mode"] == Mode.LIVE]
    counts: dict[str, int] = {}
    ages: dict[str, float] = {}
    for row in rows:
        counts[row["state"]] = counts.get(row["state"], 0) + row["count"]
        ages[row["state"]] = max(ages.get(row["state"], 0.0), row["oldest_s"])
    findings = []
    if (age := ages.get(OrderState.ACCEPTED, 0.0)) > _UNTOUCHED_S:
        text = f"{_orders(counts[OrderState.ACCEPTED])} paid and never tried, the oldest for {_time(age)}: nothing is delivered."
        findings.append(
            Finding(_CHECK, Level.FAILURE, text, "See docs/howto/alerts/orders-not-delivered.md; telvend provider list")
        )
    if (age := ages.get(OrderState.WAITING, 0.0)) > _WAITS_S:
        text = f"{_orders(counts[OrderState.WAITING])} waiting for a provider, the oldest for {_time(age)}."
        findings.append(Finding(_CHECK, Level.WARNING, text, "telvend order list --state waiting"))
    if counts.get(OrderState.REVIEW):
        text = f"{_orders(counts[OrderState.REVIEW])} waiting for a person to decide, the oldest for {_time(ages[OrderState.REVIEW])}."
        findings.append(Finding(_CHECK, Level.WARNING, text, "telvend order list --state review"))
    if findings:
        return findings
    open_now = sum(counts.values())
    oldest = f", the oldest for {_time(max(ages.values()))}" if ages else ""
    return [
        Finding(_CHECK, Level.OK, f"{_orders(open_now)} under way{oldest}." if open_now else "No order is under way.")
    ]


def _orders(count: int) -> str:
    return "1 order is" if count == 1 else f"{count} orders are"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
