"""The verbs of usage: consume, reserve, capture, release and correct what subscribers have.

Everything that is waiting is one transaction: the subscribers are locked in id order, what stands under the references is
looked up after that, and each request is decided by `balances/account.py` in the order in which it came. All of it is known
by its reference: the same again gives the same answer and takes nothing.
"""

from typing import Final

from telvend.database.batch import AfterLostCommit, BatchFailpoints, BatchTransaction, DecidedBatch
from telvend.database.connections import TRANSIENT, Database, Tx
from telvend.database.lane import Lane
from telvend.errors import InvalidInput, NotFound
from telvend.kit.clock import Clock
from telvend.kit.failpoints import hit_async
from telvend.kit.mode import Mode
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.operator.subscribers.balances.model import BucketKind, Reservation
from telvend.operator.subscribers.balances.store import MOST_LOADED
from telvend.operator.subscribers.model import require_reference
from telvend.operator.subscribers.store import lock_by_number, require_subscriber
from telvend.operator.usage import store
from telvend.operator.usage.decisions import Decisions, NotAllLoaded
from telvend.operator.usage.jobs import Sweeper
from telvend.operator.usage.model import Adjust, Capture, Consume, Done, Release, Request, Reserve

LONGEST_HOLD_S: Final = 7 * 24 * 3600


class Usage:
    """The lane, and the rules at the head of this file."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        self._database = database
        self._batch: BatchTransaction[Request, Done] = BatchTransaction(
            database,
            self._decide,
            # Everything is known by its reference, so that a second try is always safe.
            again=TRANSIENT,
            failpoints=BatchFailpoints(
                before_commit="subscribers.before_commit", after_commit="subscribers.after_commit"
            ),
        )
        self.lane: Lane[Request, Done] = Lane("subscribers", self._batch.run, runtime=runtime)
        self.sweeper = Sweeper(database, clock, runtime=runtime)

    def start(self) -> None:
        """Begin to serve whoever comes together, and to sweep; from inside the event loop. Without it (a command) each is
        served alone."""
        self.lane.start()
        self.sweeper.start()

    async def close(self) -> None:
        """Answer who is waiting, then give the connection back."""
        await self.sweeper.close()
        await self.lane.close()
        await self._batch.close()

    async def consume(
        self, mode: Mode, msisdn: str, kind: BucketKind, amount: int, reference: str, *, line: str = ""
    ) -> Done:
        """Use `amount` of `kind`, all of it or nothing, once for each reference of the subscriber.

        Raises InvalidInput, NotFound, SubscriberBarred, NotEnough, ReferenceReused, Busy.
        """
        require_reference(reference)
        return await self.lane.serve(Consume(mode, msisdn, reference, kind, amount, line))

    async def reserve(
        self, mode: Mode, msisdn: str, kind: BucketKind, amount: int, reference: str, hold_s: float, *, line: str = ""
    ) -> Done:
        """Reserve `amount` of `kind` for `hold_s` seconds, once for each reference of the subscriber.

        Raises what `consume` raises.
        """
        require_reference(reference)
        if not 1 <= hold_s <= LONGEST_HOLD_S:
            raise InvalidInput("time", f"must be from 1 to {LONGEST_HOLD_S} seconds")
        return await self.lane.serve(Reserve(mode, msisdn, reference, kind, amount, hold_s, line))

    async def capture(
        self, mode: Mode, msisdn: str, reference: str, amount: int | None = None, kind: BucketKind | None = None
    ) -> Done:
        """Use what is reserved, or `amount` of it, which is of `kind`; release the rest.

        Raises NotFound, InvalidInput (it has ended, is less, or of another kind), Busy.
        """
        return await self.lane.serve(Capture(mode, msisdn, reference, amount, kind))

    async def release(self, mode: Mode, msisdn: str, reference: str) -> Done:
        """Release what is reserved. Raises NotFound, InvalidInput (it was captured), Busy."""
        return await self.lane.serve(Release(mode, msisdn, reference))

    async def adjust(
        self, mode: Mode, msisdn: str, bucket_id: int, kind: BucketKind, balance: int, reason: str
    ) -> Done:
        """Set the balance of a bucket of this kind. Raises InvalidInput, NotFound, Busy."""
        require_reference(reason)
        return await self.lane.serve(Adjust(mode, msisdn, reason, bucket_id, kind, balance))

    async def reservations(self, mode: Mode, msisdn: str) -> list[Reservation]:
        """Return the reservations that are held, oldest first. Raises NotFound."""
        async with self._database.connection() as tx:
            return await store.held_reservations(tx, (await require_subscriber(tx, mode, msisdn)).id)

    async def _decide(self, tx: Tx, requests: list[Request]) -> DecidedBatch[Done]:
        subscribers, now = await lock_by_number(tx, list({(item.mode, item.msisdn) for item in requests}))
        await hit_async("subscribers.after_locks")
        if now is None:
            return DecidedBatch([NotFound("Subscriber")] * len(requests), AfterLostCommit.DECIDE_AGAIN)
        try:
            decisions = await Decisions.load(tx, requests, subscribers, now, MOST_LOADED)
            answers = [decisions.answer(request) for request in requests]
        except NotAllLoaded:
            decisions = await Decisions.load(tx, requests, subscribers, now, None)
            answers = [decisions.answer(request) for request in requests]
        await decisions.write(tx)
        return DecidedBatch(answers, AfterLostCommit.DECIDE_AGAIN)
