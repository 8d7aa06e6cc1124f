"""The sources that a plan is read from: each a lane with a connection and statements of its own.

Questions that came together are answered together, each from the database after it was asked. Somebody with hundreds of open
buckets has them counted by the database, and gets the first of them; that takes longer, and is a lane of its own, so that
nobody else waits for it.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec

from telvend.database.connections import Database, DedicatedConnection, Tx, clock
from telvend.database.lane import Lane
from telvend.errors import NotFound
from telvend.kit.money import CURRENCIES, Currency
from telvend.kit.runtime import Runtime
from telvend.operator.plans import store
from telvend.operator.plans.model import Total, totals_of
from telvend.operator.subscribers.balances.account import in_order
from telvend.operator.subscribers.balances.model import Bucket, BucketKind
from telvend.operator.subscribers.balances.store import bucket_of
from telvend.operator.subscribers.model import Subscriber
from telvend.operator.subscribers.momo import store as momo_store
from telvend.operator.subscribers.momo.model import MomoAccount
from telvend.operator.subscribers.store import subscriber_of

LISTED: Final = 50
"""How many buckets of one kind are listed of somebody who has more than MOST_READ."""

Found = TypeVar("Found")


class SubscriberKey(msgspec.Struct, frozen=True, gc=False):
    """Whose part is read."""

    mode: str
    msisdn: str


class BucketsKey(msgspec.Struct, frozen=True, gc=False):
    """Whose buckets are read, and which of them."""

    mode: str
    msisdn: str
    line: str
    kinds: tuple[str, ...] | None
    product: str | None


class _Asked(msgspec.Struct, gc=False):
    """A question of `SubscriberKey`, as the statements read it."""

    place: int
    mode: str
    msisdn: str


class _BucketsAsked(msgspec.Struct, gc=False):
    """A question of `BucketsKey`, as the statements read it."""

    place: int
    mode: str
    msisdn: str
    line: str
    kinds: tuple[str, ...] | None
    product: str | None


class _OfOne(msgspec.Struct, frozen=True, gc=False):
    """The same for one whose id is known."""

    subscriber_id: int
    line: str
    kinds: tuple[str, ...] | None
    product: str | None


class PlanFound(msgspec.Struct, frozen=True):
    currency: Currency
    now: datetime
    subscriber: Subscriber


class BalanceFound(msgspec.Struct, frozen=True):
    currency: Currency
    now: datetime
    buckets: tuple[Bucket, ...]
    totals: dict[tuple[BucketKind, bool], Total]


class ManyBuckets(msgspec.Struct, frozen=True):
    """Somebody with more buckets than are read as they are: whose, and which of them are wanted."""

    currency: Currency
    now: datetime
    of_one: _OfOne


class MomoFound(msgspec.Struct, frozen=True):
    currency: Currency
    now: datetime
    account: MomoAccount | None


class Source(Generic[Found]):
    """One part's lane with its own connection. `read` answers those that were found by their questions."""

    def __init__(
        self,
        name: str,
        database: Database,
        read: "Callable[[Tx, list[Any]], Awaitable[dict[Any, Found | Exception]]]",
        runtime: Runtime,
    ) -> None:
        self._connection = DedicatedConnection(database)
        self._read = read
        self.lane: Lane[Any, Found] = Lane(name, self._read_all, runtime=runtime)

    async def _read_all(self, wanted: list[Any]) -> Sequence[Found | Exception]:
        async with self._connection.reading() as tx:
            found = await self._read(tx, list(dict.fromkeys(wanted)))
        return [found.get(key) or NotFound("Subscriber") for key in wanted]

    async def close(self) -> None:
        await self.lane.close()
        await self._connection.close()


async def read_plans(tx: Tx, wanted: list[SubscriberKey]) -> dict[Any, PlanFound | Exception]:
    asked = [_Asked(place, key.mode, key.msisdn) for place, key in enumerate(wanted)]
    return {
        wanted[row["place"]]: PlanFound(CURRENCIES[row["currency"]], row["now"], subscriber_of(row))
        for row in await store.read_subscribers(tx, asked)
    }


async def read_balances(tx: Tx, wanted: list[BucketsKey]) -> dict[Any, BalanceFound | ManyBuckets | Exception]:
    asked = [
        _BucketsAsked(place, key.mode, key.msisdn, key.line, key.kinds, key.product) for place, key in enumerate(wanted)
    ]
    rows: dict[int, list[Any]] = {}
    for row in await store.read_buckets(tx, asked, store.MOST_READ + 1):
        rows.setdefault(row["place"], []).append(row)
    found: dict[Any, BalanceFound | ManyBuckets | Exception] = {}
    for place, found_of in rows.items():
        first = found_of[0]
        if not first["line_known"]:
            found[wanted[place]] = NotFound("Line")
        elif len(found_of) > store.MOST_READ:
            key = wanted[place]
            of_one = _OfOne(first["owner"], key.line, key.kinds, key.product)
            found[key] = ManyBuckets(CURRENCIES[first["currency"]], first["now"], of_one)
        else:
            now = first["now"]
            buckets = in_order([bucket_of(row) for row in found_of if row["id"] is not None], now)
            found[wanted[place]] = BalanceFound(CURRENCIES[first["currency"]], now, buckets, totals_of(buckets, now))
    return found


async def read_many(tx: Tx, wanted: list[ManyBuckets]) -> dict[Any, BalanceFound | Exception]:
    """Those with hundreds of buckets: the first of each kind, and what all of them add up to. Whoever asks for the same at
    the same time is answered together."""
    answers: dict[_OfOne, BalanceFound] = {}
    for one in wanted:
        if one.of_one not in answers:
            answers[one.of_one] = await _read_one(tx, one)
    return {one: answers[one.of_one] for one in wanted}


async def _read_one(tx: Tx, one: ManyBuckets) -> BalanceFound:
    now = await clock(tx)
    buckets = [bucket_of(found) for found in await store.read_first_buckets(tx, one.of_one, now, LISTED)]
    totals = {
        (BucketKind(found["kind"]), found["main"]): Total(
            found["active"], found["unused"], found["reserved"], found["expires_at"], found["buckets"]
        )
        for found in await store.read_totals(tx, one.of_one, now)
    }
    return BalanceFound(one.currency, now, in_order(buckets, now), totals)


async def read_momo(tx: Tx, wanted: list[SubscriberKey]) -> dict[Any, MomoFound | Exception]:
    asked = [_Asked(place, key.mode, key.msisdn) for place, key in enumerate(wanted)]
    return {
        wanted[row["place"]]: MomoFound(CURRENCIES[row["currency"]], row["now"], momo_store.momo_of(row))
        for row in await momo_store.read_momo(tx, asked)
    }
