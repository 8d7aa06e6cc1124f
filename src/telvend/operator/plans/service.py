"""Reading plans: the subscriber, the buckets, and mobile money are three sources that do not wait for each other.

What a read costs does not depend on how many subscribers there are, nor on how many used-up buckets one has. A source that
is down or too slow is left out of the answer (sources.py has them).
"""

import asyncio
from collections.abc import Callable
from secrets import compare_digest
from typing import Any, Final

from telvend.database.connections import Database
from telvend.database.lane import Lane
from telvend.errors import Busy, NotPermitted
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.kit.secret import digest
from telvend.operator.entitlements.model import EntitlementSnapshot, Fault, FaultyPart
from telvend.operator.plans.model import PlanPart, Plans, PlansWanted
from telvend.operator.plans.sources import (
    BalanceFound,
    BucketsKey,
    ManyBuckets,
    MomoFound,
    PlanFound,
    Source,
    SubscriberKey,
    read_balances,
    read_many,
    read_momo,
    read_plans,
)
from telvend.operator.subscribers.momo.model import MomoAccount

DEADLINE_S: Final = 2.0
"""How long a part may take before it counts as one that cannot be read."""

_NOTHING: Final[frozenset[PlanPart]] = frozenset()


class PlanReader:
    """See the head of this file."""

    def __init__(
        self,
        database: Database,
        offering: Callable[[], EntitlementSnapshot],
        *,
        deadline_s: float = DEADLINE_S,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        """`offering` gives the snapshot in which faults are looked up."""
        self._offering = offering
        self._deadline_s = deadline_s
        self._plan: Source[PlanFound] = Source("plan reads", database, read_plans, runtime)
        self._balance: Source[BalanceFound | ManyBuckets] = Source("balance parts", database, read_balances, runtime)
        self._many: Source[BalanceFound] = Source("many buckets", database, read_many, runtime)
        self._momo: Source[MomoFound] = Source("momo reads", database, read_momo, runtime)

    def start(self) -> None:
        """Begin to answer; from inside the event loop."""
        for source in self._sources:
            source.lane.start()

    async def close(self) -> None:
        for source in self._sources:
            await source.close()

    @property
    def _sources(self) -> "tuple[Source[Any], ...]":
        return (self._plan, self._balance, self._many, self._momo)

    async def read(self, wanted: PlansWanted) -> Plans:
        """What a subscriber has. Raises NotFound (no such subscriber or line), NotPermitted (no right proof for mobile
        money; who has none is not told apart), Busy (no part could be read)."""
        key = SubscriberKey(wanted.mode, wanted.msisdn)
        kinds = None if wanted.kinds is None else tuple(sorted(wanted.kinds))
        buckets = BucketsKey(wanted.mode, wanted.msisdn, wanted.line, kinds, wanted.product)
        asked: dict[PlanPart, asyncio.Future[Any] | None] = {
            PlanPart.PLAN: self._ask(wanted.msisdn, FaultyPart.PLAN, self._plan.lane, key),
            PlanPart.BALANCE: self._ask(wanted.msisdn, FaultyPart.BALANCE, self._balance.lane, buckets),
        }
        if wanted.momo_authorization is not None:
            asked[PlanPart.MOMO] = self._ask(wanted.msisdn, FaultyPart.MOMO, self._momo.lane, key)
        found = await self._answers(asked)
        if isinstance(many := found.get(PlanPart.BALANCE), ManyBuckets):
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
