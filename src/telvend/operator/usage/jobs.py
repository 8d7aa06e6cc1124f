"""The sweeper: gives back reservations whose deadline has passed, and takes away what was not used in time.

    sweeper = Sweeper(database, clock)
    sweeper.start()           # inside the event loop
    await sweeper.work_off()  # everything that is overdue now

Nothing waits for it: what is over is not used, and a reservation that is overdue is given back by whoever uses the
subscriber's balances next. Any number may run, in any number of processes; they leave each other's subscribers alone. A
subscriber whose books are damaged is logged and passed over, so that the others are swept.
"""

from collections.abc import Collection
from typing import Final

from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.kit import log
from telvend.kit.clock import Clock
from telvend.kit.periodic import PeriodicTask
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.operator.subscribers.balances.model import ReservationState
from telvend.operator.subscribers.balances.store import bucket_numbers, load_accounts, write_accounts
from telvend.operator.subscribers.store import lock_subscribers
from telvend.operator.usage import store

AT_A_TIME: Final = 500

_log = log.get(__name__)


class Sweeper(PeriodicTask):
    """See the head of this file."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        poll_s: float = 1.0,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        super().__init__("sweeper", self.work_off, clock, every_s=poll_s, runtime=runtime)
        self._database = database

    async def work_off(self) -> int:
        """Sweep until nothing is left, or somebody else has it in hand. Returns how many were ended. Raises Busy."""
        count = 0
        while swept := await self._sweep():
            count += swept
        return count

    async def _sweep(self) -> int:
        """The next few hundred that are overdue: how many reservations and buckets were ended."""
        async with self._database.connection() as tx:
            due, over = await store.overdue(tx, AT_A_TIME)
        ids = due | {subscriber_id for subscriber_id, _ in over}
        if not ids:
            return 0
        try:
            return await self._end(ids, over)
        except Busy:
            raise
        except Exception:
            # A bug, or a damaged row. One of them must not keep the others from being swept.
            _log.exception("sweep_failed", subscribers=len(ids))
        count = 0
        for subscriber_id in sorted(ids):
            try:
                count += await self._end({subscriber_id}, over)
            except Busy:
                raise
            except Exception:
                _log.exception("subscriber_not_swept", subscriber=subscriber_id)
        return count

    async def _end(self, ids: Collection[int], over: list[tuple[int, int]]) -> int:
        """End in one transaction what is overdue of these: how many reservations and buckets that were."""
        async with self._database.transaction() as tx:
            subscribers, now = await lock_subscribers(tx, ids, who_is_free=True)
            if now is None:
                return 0
            reservations = await store.overdue_reservations(tx, list(subscribers), now)
            buckets = {part.bucket_id for item in reservations for part in item.parts}
            buckets |= {bucket_id for subscriber_id, bucket_id in over if subscriber_id in subscribers}
            accounts = await load_accounts(tx, subscribers, now, bucket_numbers(), buckets=buckets)
            for item in reservations:
                accounts[item.subscriber_id].release(item, ReservationState.EXPIRED)
            for account in accounts.values():
                account.expire()
            count = len(reservations) + sum(len(account.postings) for account in accounts.values())
            await write_accounts(tx, accounts.values())
            if reservations:
                await store.write_reservations(tx, reservations, now)
            return count
