"""What a person must act on now, from the rooms' own queries. What is dear to look at is looked at behind the page."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from telvend.approvals.service import Approvals
from telvend.desk.model import Matter, Topic
from telvend.fulfilment.routing import BreakerState
from telvend.funding.claims.service import Claims
from telvend.funding.service import Fundings
from telvend.kit.money import Currency, Money
from telvend.kit.stale import Stale
from telvend.orders.model import OrderState
from telvend.orders.overview.model import OpenLine
from telvend.orders.overview.service import OrdersOverview
from telvend.upkeep.findings import Finding, Level
from telvend.upstreams.model import Standing
from telvend.upstreams.service import Upstreams

OLD: Final = timedelta(hours=24)
MOST: Final = 100
"""Beyond so many the text says "more than"."""

STANDINGS_FRESH_S: Final = 10.0
FINDINGS_FRESH_S: Final = 60.0

_TOPICS: Final = {
    "floats": Topic.FLOATS,
    "providers": Topic.PROVIDERS,
    "networks": Topic.NETWORKS,
    "webhooks": Topic.WEBHOOKS,
    "reconciliation": Topic.RECONCILIATION,
    "wallets": Topic.AUDIT,
    "backup": Topic.BACKUPS,
    "backups": Topic.BACKUPS,
    "audit": Topic.AUDIT,
    "e-mail": Topic.EMAILS,
}
"""The topic of a finding by its check; of any other one it is OTHER."""

_SEEN_HERE: Final = frozenset({"open orders"})
"""Checks whose subject is counted here at the moment of the page."""


@dataclass(frozen=True, slots=True)
class Attended:
    """What waits for a person, and what it was found from."""

    matters: Sequence[Matter]
    open: Sequence[OpenLine]
    standings: dict[str, Standing]

    def held(self) -> dict[Currency, tuple[int, Money]]:
        """How many live orders are open, and what is held for them, by currency."""
        found: dict[Currency, tuple[int, Money]] = {}
        for line in self.open:
            if line.live:
                orders, held = found.get(line.currency, (0, Money(0, line.currency)))
                found[line.currency] = orders + line.orders, Money(held.minor + line.held.minor, line.currency)
        return found


class Attention:
    """What waits for a person in one shop. `findings`: the checks of `telvend doctor`; `providers`: those of the settings."""

    def __init__(
        self,
        overview: OrdersOverview,
        approvals: Approvals,
        fundings: Fundings,
        claims: Claims,
        upstreams: Upstreams,
        *,
        providers: Collection[str],
        findings: Callable[[], Awaitable[Sequence[Finding]]],
    ) -> None:
        self._overview = overview
        self._approvals = approvals
        self._fundings = fundings
        self._claims = claims
        self.standings = Stale(lambda: upstreams.standings(providers), STANDINGS_FRESH_S)
        self.findings = Stale(findings, FINDINGS_FRESH_S)

    async def close(self) -> None:
        """Give up what is being looked at."""
        await asyncio.gather(self.standings.close(), self.findings.close())

    async def now(self) -> Attended:
        """Everything that waits for a person, what loses money first. Raises Busy."""
        # One after the other, on one connection at a time: each takes less than it would take others to wait for a pool.
        open_ = await self._overview.open()
        old = await self._overview.open_since(OLD, MOST + 1)
        proposals = await self._approvals.listed(limit=MOST + 1)
        payments = await self._fundings.list_fundings(attention=True, limit=MOST + 1)
        claims = await self._claims.unsettled(MOST + 1)
        strays = await self._fundings.stray_notices(MOST + 1)
        standings = await self.standings()
        findings = await self.findings()
        matters = [
            *_review(open_),
            *_counted(
                Topic.OLD_ORDERS, old, "order is open for more than 24 hours", "orders are open for more than 24 hours"
            ),
            *_counted(
                Topic.APPROVALS, proposals, "proposal waits for a second person", "proposals wait for a second person"
            ),
            *_counted(Topic.FUNDINGS, payments, "payment does not fit", "payments do not fit"),
            *_counted(Topic.CLAIMS, claims, "claim of a payment waits", "claims of payments wait"),
            *_counted(Topic.STRAYS, strays, "payment has no owner", "payments have no owner"),
            *_resting(standings),
            *(_found(one) for one in findings if one.level is not Level.OK and one.check not in _SEEN_HERE),
        ]
        return Attended(sorted(matters, key=lambda one: not one.urgent), open_, standings)


def _review(lines: Sequence[OpenLine]) -> list[Matter]:
    waiting = [line for line in lines if line.live and line.state is OrderState.REVIEW]
    orders = sum(line.orders for line in waiting)
    if not orders:
        return []
    held = ", ".join(str(line.held) for line in waiting)
    hours = max(line.oldest_s for line in waiting) / 3600
    text = f"{orders} {'order waits' if orders == 1 else 'orders wait'} for a decision ({held} held, the oldest for {hours:.0f} h)"
    return [Matter(Topic.REVIEW, text, urgent=True)]


def _counted(topic: Topic, found: Sequence[object], one: str, several: str) -> list[Matter]:
    count = len(found)
    if not count:
        return []
    how_many = f"more than {MOST}" if count > MOST else str(count)
    return [Matter(topic, f"{how_many} {one if count == 1 else several}", urgent=topic is not Topic.APPROVALS)]


def _resting(standings: dict[str, Standing]) -> list[Matter]:
    return [
        Matter(Topic.PROVIDERS, f"{name} rests: {standing.health.resting[0].why}")
        for name, standing in standings.items()
        if standing.health.state is BreakerState.OPEN
    ]


def _found(finding: Finding) -> Matter:
    return Matter(_TOPICS.get(finding.check, Topic.OTHER), finding.text.rstrip("."), finding.level is Level.FAILURE)
