"""The lanes of plan reads: the subscriber, the buckets, and mobile money are three sources that do not wait for each other.

Questions that came together are answered together, each from the database after it was asked. What a read costs does not
depend on how many subscribers there are, nor on how many used-up buckets one has. Somebody with hundreds of open ones has
them counted by the database, and gets the first of them; that takes longer, and is a lane of its own, so that nobody else
waits for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from secrets import compare_digest
from typing import Any, Final, Generic, TypeVar

import msgspec

from telvend.database.connections import TRANSIENT, Database, Dedicated, Tx
from telvend.database.lane import Lane
from telvend.errors import Busy, NotFound, NotPermitted
from telvend.kit.money import CURRENCIES, Currency
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.kit.secret import digest
from telvend.operator.entitlements.model import Fault, FaultyPart, Snapshot
from telvend.operator.plans import store
from telvend.operator.plans.model import PlanPart, Plans, PlansWanted, Total
from telvend.operator.subscribers import account
from telvend.operator.subscribers.model import Bucket, Kind, MomoAccount, Subscriber
from telvend.operator.subscribers.store import bucket_of, subscriber_of

DEADLINE_S: Final = 2.0
"""How long a part may take before it counts as one that cannot be read."""

LISTED: Final = 50
"""How many buckets of one kind are listed of somebody who has more than MOST_READ."""

_NOTHING: Final[frozenset[PlanPart]] = frozenset()
_KINDS: Final = {kind: place for place, kind in enumerate(Kind)}

Found = TypeVar("Found")


class _Key(msgspec.Struct, frozen=True, gc=False):
    """Whose part is read."""

    mode: str
    msisdn: str


class _BucketsKey(msgspec.Struct, frozen=True, gc=False):
    """Whose buckets are read, and which of them."""

    mode: str
    msisdn: str
    line: str
    kinds: tuple[str, ...] | None
    product: str | None


class _Asked(msgspec.Struct, gc=False):
    """A question of `_Key`, as the statements read it."""

    place: int
    mode: str
    msisdn: str


class _BucketsAsked(msgspec.Struct, gc=False):
    """A question of `_BucketsKey`, as the statements read it."""

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


class _Plan(msgspec.Struct, frozen=True):
    currency: Currency
    now: datetime
    subscriber: Subscriber


class _Balance(msgspec.Struct, frozen=True):
    currency: Currency
    now: datetime
    buckets: tuple[Bucket, ...]
    totals: dict[tuple[Kind, bool], Total]


class _Many(msgspec.Struct, frozen=True):
    """Somebody with more buckets than are read as they are: whose, and which of them are wanted."""

    currency: Currency
    now: datetime
    of_one: _OfOne


class _Momo(msgspec.Struct, frozen=True):
    currency: Currency
    now: datetime
    account: MomoAccount | None


class _Source(Generic[Found]):
    """One part's lane with its own connection. `read` answers those that were found by their questions."""

    def __init__(
        self,
        name: str,
        database: Database,
        read: "Callable[[Tx, list[Any]], Awaitable[dict[Any, Found | Exception]]]",
        runtime: Runtime,
    ) -> None:
        self._connection = Dedicated(database)
        self._read = read
        self.lane: Lane[Any, Found] = Lane(name, self._read_all, runtime=runtime)

    async def _read_all(self, wanted: list[Any]) -> Sequence[Found | Exception]:
        try:
            found = await self._read(await self._connection.get(), list(dict.fromkeys(wanted)))
        except TRANSIENT as error:
            self._connection.drop()
            raise self._connection.busy(error) from error
        return [found.get(key) or NotFound("Subscriber") for key in wanted]

    async def close(self) -> None:
        await self.lane.close()
        await self._connection.close()


class Reading:
    """See the head of this file."""

    def __init__(
        self,
        database: Database,
        offering: Callable[[], Snapshot],
        *,
        deadline_s: float = DEADLINE_S,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        """`offering` gives the snapshot in which faults are looked up."""
        self._offering = offering
        self._deadline_s = deadline_s
        self._plan: _Source[_Plan] = _Source("plan reads", database, _read_plans, runtime)
        self._balance: _Source[_Balance | _Many] = _Source("balance parts", database, _read_balances, runtime)
        self._many: _Source[_Balance] = _Source("many buckets", database, _read_many, runtime)
        self._momo: _Source[_Momo] = _Source("momo reads", database, _read_momo, runtime)

    def start(self) -> None:
        """Begin to answer; from inside the event loop."""
        for source in self._sources:
            source.lane.start()

    async def close(self) -> None:
        for source in self._sources:
            await source.close()

    @property
    def _sources(self) -> "tuple[_Source[Any], ...]":
        return (self._plan, self._balance, self._many, self._momo)

    async def plans(self, wanted: PlansWanted) -> Plans:
        """What a subscriber has. Raises NotFound (no such subscriber or line), NotPermitted (no right proof for mobile
        money; who has none is not told apart), Busy (no part could be read)."""
        key = _Key(wanted.mode, wanted.msisdn)
        kinds = None if wanted.kinds is None else tuple(sorted(wanted.kinds))
        buckets = _BucketsKey(wanted.mode, wanted.msisdn, wanted.line, kinds, wanted.product)
        asked: dict[PlanPart, asyncio.Future[Any] | None] = {
            PlanPart.PLAN: self._ask(wanted.msisdn, FaultyPart.PLAN, self._plan.lane, key),
            PlanPart.BALANCE: self._ask(wanted.msisdn, FaultyPart.BALANCE, self._balance.lane, buckets),
        }
        if wanted.momo_authorization is not None:
            asked[PlanPart.MOMO] = self._ask(wanted.msisdn, FaultyPart.MOMO, self._momo.lane, key)
        found = await self._answers(asked)
        if isinstance(many := found.get(PlanPart.BALANCE), _Many):
            del found[PlanPart.BALANCE]
            found |= await self._answers({PlanPart.BALANCE: _submitted(self._many.lane, many)})
        plan, balance, momo = found.get(PlanPart.PLAN), found.get(PlanPart.BALANCE), found.get(PlanPart.MOMO)
        told = plan or balance or momo
        if told is None:
            raise Busy
        if momo is not None and not _proves(wanted.momo_authorization or "", momo.account):
            raise NotPermitted("read this subscriber's mobile money")
        return Plans(
            wanted.msisdn,
            told.currency,
            plan.subscriber if plan is not None else None,
            balance.buckets if balance is not None else None,
            momo.account if momo is not None else None,
            _NOTHING if len(found) == len(asked) else frozenset(asked) - frozenset(found),
            told.now,
            balance.totals if balance is not None else None,
        )

    def _ask(self, msisdn: str, part: FaultyPart, lane: "Lane[Any, Any]", key: Any) -> "asyncio.Future[Any] | None":
        """The answer to come, or None where the part is down."""
        fault = self._offering().fault(msisdn, part)
        if fault is Fault.DOWN:
            return None
        if fault is Fault.SLOW:
            return asyncio.get_running_loop().create_future()
        return _submitted(lane, key)

    async def _answers(self, asked: "dict[PlanPart, asyncio.Future[Any] | None]") -> dict[PlanPart, Any]:
        """What answered in time. Raises what is true of the subscriber, whichever part found it."""
        futures = [future for future in asked.values() if future is not None]
        if futures:
            _, late = await asyncio.wait(futures, timeout=self._deadline_s)
            for future in late:
                future.cancel()
        found: dict[PlanPart, Any] = {}
        errors: list[BaseException] = []
        for part, answer in asked.items():
            if answer is None or not answer.done() or answer.cancelled():
                continue
            error = answer.exception()
            if error is None:
                found[part] = answer.result()
            elif not isinstance(error, Busy):
                errors.append(error)
        if errors:
            raise errors[0]
        return found


def _submitted(lane: "Lane[Any, Any]", key: Any) -> "asyncio.Future[Any] | None":
    try:
        return lane.submit(key)
    except Busy:
        return None


def _proves(authorization: str, momo: MomoAccount | None) -> bool:
    return momo is not None and compare_digest(digest(authorization), momo.authorization_digest)


# The sources ----------------------------------------------------------------------------------------------------------


async def _read_plans(tx: Tx, wanted: list[_Key]) -> dict[Any, _Plan | Exception]:
    asked = [_Asked(place, key.mode, key.msisdn) for place, key in enumerate(wanted)]
    return {
        wanted[row["place"]]: _Plan(CURRENCIES[row["currency"]], row["now"], subscriber_of(row))
        for row in await store.read_subscribers(tx, asked)
    }


async def _read_balances(tx: Tx, wanted: list[_BucketsKey]) -> dict[Any, _Balance | _Many | Exception]:
    asked = [
        _BucketsAsked(place, key.mode, key.msisdn, key.line, key.kinds, key.product) for place, key in enumerate(wanted)
    ]
    rows: dict[int, list[Any]] = {}
    for row in await store.read_buckets(tx, asked, store.MOST_READ + 1):
        rows.setdefault(row["place"], []).append(row)
    found: dict[Any, _Balance | _Many | Exception] = {}
    for place, found_of in rows.items():
        first = found_of[0]
        if not first["line_known"]:
            found[wanted[place]] = NotFound("Line")
        elif len(found_of) > store.MOST_READ:
            key = wanted[place]
            of_one = _OfOne(first["owner"], key.line, key.kinds, key.product)
            found[key] = _Many(CURRENCIES[first["currency"]], first["now"], of_one)
        else:
            now = first["now"]
            buckets = in_order([bucket_of(row) for row in found_of if row["id"] is not None], now)
            found[wanted[place]] = _Balance(CURRENCIES[first["currency"]], now, buckets, totals_of(buckets, now))
    return found


async def _read_many(tx: Tx, wanted: list[_Many]) -> dict[Any, _Balance | Exception]:
    """Those with hundreds of buckets: the first of each kind, and what all of them add up to. Whoever asks for the same at
    the same time is answered together."""
    answers: dict[_OfOne, _Balance] = {}
    for one in wanted:
        if one.of_one not in answers:
            answers[one.of_one] = await _read_one(tx, one)
    return {one: answers[one.of_one] for one in wanted}


async def _read_one(tx: Tx, one: _Many) -> _Balance:
    now = await store.clock(tx)
    buckets = [bucket_of(found) for found in await store.read_first_buckets(tx, one.of_one, now, LISTED)]
    totals = {
        (Kind(found["kind"]), found["main"]): Total(
            found["active"], found["unused"], found["reserved"], found["expires_at"], found["buckets"]
        )
        for found in await store.read_totals(tx, one.of_one, now)
    }
    return _Balance(one.currency, now, in_order(buckets, now), totals)


async def _read_momo(tx: Tx, wanted: list[_Key]) -> dict[Any, _Momo | Exception]:
    asked = [_Asked(place, key.mode, key.msisdn) for place, key in enumerate(wanted)]
    return {
        wanted[row["place"]]: _Momo(CURRENCIES[row["currency"]], row["now"], momo_of(row))
        for row in await store.read_momo(tx, asked)
    }


def in_order(buckets: Iterable[Bucket], now: datetime) -> tuple[Bucket, ...]:
    """Main account first, then by kind, then what can be used in the order of use, then what begins later."""
    return tuple(
        sorted(
            buckets,
            key=lambda bucket: (
                not bucket.main,
                _KINDS[bucket.kind],
                bucket.starts_at is not None and bucket.starts_at > now,
                account.rank(bucket, now),
            ),
        )
    )


def totals_of(buckets: Iterable[Bucket], now: datetime) -> dict[tuple[Kind, bool], Total]:
    """What buckets that are not over add up to, by kind and whether it is the main account."""
    grouped: dict[tuple[Kind, bool], list[Bucket]] = {}
    for bucket in buckets:
        grouped.setdefault((bucket.kind, bucket.main), []).append(bucket)
    return {key: _total(of_kind, now) for key, of_kind in grouped.items()}


def _total(buckets: list[Bucket], now: datetime) -> Total:
    active = unused = reserved = 0
    expires_at: datetime | None = None
    for bucket in buckets:
        free = bucket.balance - bucket.reserved
        reserved += bucket.reserved
        if bucket.starts_at is None or bucket.starts_at > now:
            unused += free
            continue
        active += free
        if free and bucket.expires_at is not None and (expires_at is None or bucket.expires_at < expires_at):
            expires_at = bucket.expires_at
    return Total(active, unused, reserved, expires_at, len(buckets))


def momo_of(row: Any) -> MomoAccount | None:
    """Mobile money in a row of READ_MOMO; None for who has none."""
    if row["subscriber_id"] is None:
        return None
    return MomoAccount(
        row["balance_minor"] or 0,
        row["reserved_minor"] or 0,
        row["positive_minor"],
        row["negative_minor"],
        row["loyalty_generated_minor"],
        row["loyalty_consumed_minor"],
        row["loyalty_balance_minor"],
        row["overdraft_balance_minor"],
        row["overdraft_limit_minor"],
        row["overdraft_fee_minor"],
        row["overdraft_interest_minor"],
        row["blocked"],
        row["authorization_digest"],
    )
