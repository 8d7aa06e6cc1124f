"""Subscribers for the tests of their room: made by SQL, given and read by the store's own functions."""

from datetime import UTC, datetime, timedelta

from telvend.database.connections import Database
from telvend.kit.mode import Mode
from telvend.operator.subscribers import store
from telvend.operator.subscribers.model import Grant, Kind, PostingKind

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
    numbers = store.bucket_numbers()
    async with database.transaction() as tx:
        subscribers, now = await store.lock_subscribers(tx, [subscriber_id])
        assert now is not None
        await numbers.provide(tx, len(grants))
        accounts = await store.load_accounts(tx, subscribers, now, numbers)
        accounts[subscriber_id].give(grants, PostingKind.GRANT, cause)
        await store.write_accounts(tx, accounts.values())


def money(amount: int) -> Grant:
    """So much to the main account."""
    return Grant(Kind.MONEY, amount, "", main=True)


def data(amount: int, *, days: int | None = 30, first_use: bool = False, priority: int = 100, line: str = "") -> Grant:
    """A bundle of so many bytes."""
    return Grant(Kind.DATA, amount, "Bundle", "GH-X", days, first_use, priority, line)
