"""The fulfilment's store in PostgreSQL (ports.py): the claim, and what workers do with their leases.

store = PostgresFulfilmentStore(database, ledger, policy)
async with store.claim(limit, lease_s) as claim: ...
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from telvend.approvals.gate import SecondPerson
from telvend.database.connections import CONNECTION_LOSS, TRANSIENT, Database, DedicatedConnection, Tx
from telvend.errors import InvariantBroken
from telvend.fulfilment import store
from telvend.fulfilment.model import ClaimedOrder, Deliver, Effect, Escalate, FulfilmentPolicy, Item, Step
from telvend.fulfilment.ports import ClaimTransaction
from telvend.fulfilment.settlement import Settlement
from telvend.kit.failpoints import hit_async
from telvend.ledger.service import Ledger
from telvend.orders import events
from telvend.orders.model import OrderState
from telvend.orders.payloads.service import Payloads
from telvend.webhooks.outbox import Outbox


class PostgresFulfilmentStore:
    """The fulfilment's rows in PostgreSQL. It owns two connections, one to claim with and one to settle with.

    `doubts` says whether an order of this moment may have had attempts that the database has lost. `payloads`,
    `second_person`, `outbox`: see Settlement.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        policy: FulfilmentPolicy,
        doubts: Callable[[datetime], bool] | None = None,
        payloads: Payloads | None = None,
        second_person: SecondPerson | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self._outbox = outbox or Outbox()
        self._doubts = doubts or (lambda _: False)
        self._database = database
        self._claiming = DedicatedConnection(database)
        self._claiming_lock = asyncio.Lock()
        self._settlement = Settlement(database, ledger, policy, self._doubts, payloads, second_person, self._outbox)

    async def close(self) -> None:
        """Give the connections back."""
        await self._claiming.close()
        await self._settlement.close()

    @asynccontextmanager
    async def claim(self, limit: int, lease_s: float) -> AsyncIterator[ClaimTransaction]:
        async with self._claiming_transaction() as tx:
            claim = _Claim(tx, self._outbox, await store.claim_due(tx, limit, lease_s, self._doubts))
            yield claim
            if claim.orders and not claim.written:
                raise InvariantBroken(f"{len(claim.orders)} orders were claimed and no steps written")

    def doubts(self, moment: datetime) -> bool:
        return self._doubts(moment)

    async def write_taken(self, tx: Tx, claims: Sequence[ClaimedOrder], steps: Sequence[Deliver]) -> None:
        await hit_async("attempt.before_write")
        await store.write_first_attempts(tx, claims, steps)

    async def settle(self, items: Sequence[Item]) -> Sequence[Effect | Exception]:
        return await self._settlement.settle(items)

    async def rivals(self, order_id: int, number: int) -> int:
        async with self._database.connection() as tx:
            return await store.count_rivals(tx, order_id, number)

    async def resend(self, order_id: int, number: int) -> int | None:
        async with self._database.connection() as tx:
            return await store.count_resend(tx, order_id, number)

    async def renew(self, order_ids: Collection[int], lease_s: float) -> set[int]:
        async with self._database.connection() as tx:
            return await store.renew(tx, order_ids, lease_s)

    async def correct_jumped_clock(self, longest_lease_s: float) -> int:
        async with self._database.connection() as tx:
            return await store.correct_jumped_clock(tx, longest_lease_s)

    async def hand_back(self, order_ids: Collection[int]) -> None:
        async with self._database.connection() as tx:
            await store.hand_back(tx, order_ids)

    @asynccontextmanager
    async def _claiming_transaction(self) -> AsyncIterator[Tx]:
        async with self._claiming_lock:
            try:
                tx = await self._claiming.get()
                async with tx.transaction():
                    yield tx
            except CONNECTION_LOSS as error:
                self._claiming.drop()
                raise self._claiming.busy(error) from error
            except TRANSIENT as error:
                raise self._claiming.busy(error) from error
            except asyncio.CancelledError:
                # Whatever was being said on the connection is only half said.
                self._claiming.drop()
                raise


class _Claim:
    """See ClaimTransaction."""

    def __init__(self, tx: Tx, outbox: Outbox, orders: Sequence[ClaimedOrder]) -> None:
        self._tx = tx
        self._outbox = outbox
        self.orders = orders
        self.written = False

    async def write(self, steps: Sequence[Step]) -> None:
        await hit_async("attempt.before_write")
        await store.write_steps(self._tx, self.orders, steps)
        escalated = {
            order.id: (order.wallet_id, OrderState.REVIEW)
            for order, step in zip(self.orders, steps, strict=True)
            if isinstance(step, Escalate)
        }
        if escalated:
            await events.tell(self._tx, self._outbox, escalated)
        self.written = True
