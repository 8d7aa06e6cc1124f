"""Subscribers for the tests of the operator's rooms: made by SQL, given and read by the stores' own functions."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from telvend.audit.service import findings_of
from telvend.database.connections import Database
from telvend.kit.clock import SystemClock
from telvend.kit.mode import Mode
from telvend.operator.entitlements.service import Entitlements
from telvend.operator.plans.model import PlansWanted
from telvend.operator.plans.service import PlanReader
from telvend.operator.provisioning import invariants as provisioning_invariants
from telvend.operator.provisioning.service import Provisioning
from telvend.operator.subscribers import invariants as subscriber_invariants
from telvend.operator.subscribers import store
from telvend.operator.subscribers.balances import store as balances
from telvend.operator.subscribers.balances.model import BucketKind, Grant, PostingKind
from telvend.operator.subscribers.momo.service import MobileMoney
from telvend.operator.subscribers.service import Subscribers
from telvend.operator.usage import invariants as usage_invariants
from telvend.operator.usage.service import Usage

LIVE = Mode.LIVE
INVARIANTS = (
    *subscriber_invariants.INVARIANTS,
    *provisioning_invariants.INVARIANTS,
    *usage_invariants.INVARIANTS,
)
AMA = "+233241234567"
FAR_AHEAD = datetime(2099, 1, 1, tzinfo=UTC)


async def subscriber(
    database: Database, msisdn: str = AMA, *, currency: str = "GHS", mode: Mode = Mode.LIVE, usable: bool = True
) -> int:
    """A subscriber in one mode. Answers the id."""
    until = FAR_AHEAD if usable else datetime.now(UTC) - timedelta(days=1)
    async with database.connection() as tx:
        return int(
            await tx.fetchval(
                "insert into subscriber (mode, msisdn, country, currency, tariff_plan, usable_until, reachable_until)"
                " values ($1, $2, 'GH', $3, 'Prepaid', $4, $5) returning id",
                mode, msisdn, currency, until, FAR_AHEAD,
            )
        )  # fmt: skip


async def give(database: Database, subscriber_id: int, *grants: Grant, cause: str = "test") -> None:
    """Give something, through the same functions as a refill does."""
    numbers = balances.bucket_numbers()
    async with database.transaction() as tx:
        subscribers, now = await store.lock_subscribers(tx, [subscriber_id])
        assert now is not None
        await numbers.provide(tx, len(grants))
        accounts = await balances.load_accounts(tx, subscribers, now, numbers)
        accounts[subscriber_id].give(grants, PostingKind.GRANT, cause)
        await balances.write_accounts(tx, accounts.values())


def money(amount: int) -> Grant:
    """So much to the main account."""
    return Grant(BucketKind.MONEY, amount, "", main=True)


def data(amount: int, *, days: int | None = 30, first_use: bool = False, priority: int = 100, line: str = "") -> Grant:
    """A bundle of so many bytes."""
    return Grant(BucketKind.DATA, amount, "Bundle", "GH-X", days, first_use, priority, line)


class Room:
    """What one process has of subscribers: the services that change what they have, and read it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.entitlements = Entitlements(database)
        self.subscribers = Subscribers(database)
        self.mobile_money = MobileMoney(database)
        self.provisioning = Provisioning(database)
        self.usage = Usage(database, SystemClock())
        self.plans = PlanReader(database, lambda: self.entitlements.snapshot)

    def start(self) -> None:
        self.provisioning.start()
        self.usage.start()
        self.plans.start()

    async def close(self) -> None:
        await self.usage.close()
        await self.plans.close()
        await self.provisioning.close()

    async def load(self) -> None:
        async with self.database.connection() as tx:
            await self.entitlements.load(tx)

    async def execute(self, sql: str, *arguments: object) -> None:
        async with self.database.connection() as tx:
            await tx.execute(sql, *arguments)

    async def check(self) -> None:
        async with self.database.snapshot() as tx:
            assert await findings_of(tx, INVARIANTS) == []

    async def data(self, mode: Mode = LIVE) -> list[int]:
        buckets, _ = await self.subscribers.buckets(mode, AMA)
        return [bucket.balance for bucket in buckets if bucket.kind is BucketKind.DATA]

    def wanted(self, **facts: Any) -> PlansWanted:
        return PlansWanted(**({"mode": LIVE, "msisdn": AMA} | facts))


@asynccontextmanager
async def rooms(database: Database, count: int) -> AsyncIterator[list[Room]]:
    """As so many processes would have them; everything is checked at the end."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            one = Room(database)
            await one.load()
            one.start()
            stack.push_async_callback(one.close)
            made.append(one)
        yield made
        await made[0].check()
