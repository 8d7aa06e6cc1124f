"""Placing: the lane's one transaction, in which purchases become orders and their money is held.

For whatever is waiting, together: lock the wallets in id order, look the references up (a statement of its own, after
the locks, so that it sees what others committed before they let go), decide one after the other in plain Python, write
orders, transfers and wallets with set-based statements, commit. Only then is anybody answered.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from telvend.catalog.model import Product
from telvend.database.batch import BatchFailpoints, BatchTransaction, DecidedBatch, NumberBlock
from telvend.database.connections import Database, Tx
from telvend.database.facts import Fact, FactKind, remember
from telvend.errors import (
    InvariantBroken,
    NotFound,
    ProductUnavailable,
    ReferenceReused,
    SalesHalted,
    TelvendError,
)
from telvend.kit.failpoints import hit_async
from telvend.kit.ids import reference_of
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.ledger import store as ledger_store
from telvend.ledger.model import Journal, TransactionKind
from telvend.ledger.store import Reference
from telvend.orders import store
from telvend.orders.model import Order, Placement, State
from telvend.sales.gate import SalesGate

_NUMBERS_AT_A_TIME: Final = 1024
# Where more than orders is sold, something else may stand under a caller's reference; elsewhere nobody needs to look.
_DIALECTS_THAT_SELL_MORE: Final = frozenset({"networkdatasub"})


class Quote(msgspec.Struct, frozen=True):
    """What the catalogue sells a purchase for now, and for how long it lasts. `face` is what the subscriber gets in
    money's worth."""

    product_id: int
    product: str
    kind: str
    size: str
    validity_days: int | None
    face: Money
    price: Money
    cost: Money

    @classmethod
    def of(cls, product: Product) -> "Quote":
        """A bundle at its price."""
        price = product.price
        return cls(product.id, product.code, "data", product.size, product.validity_days, price, price, product.cost)


class Purchase(msgspec.Struct, frozen=True):
    """What a caller asks for, checked as far as that needs no database.

    `quote` is what the catalogue sells it for now; None when it does not. `in_flight` is the house's account for its
    currency and mode. `prefix` begins our reference.
    """

    reseller_id: UUID
    dialect: str
    mode: Mode
    client_reference: str | None
    fingerprint: str
    wallet_id: int
    in_flight: int
    country: str
    network: str
    size: str
    subscriber: str
    quote: Quote | None
    prefix: str

    @property
    def key(self) -> Reference | None:
        if self.client_reference is None:
            return None
        return (self.reseller_id, self.dialect, self.mode, self.client_reference)


class Placing:
    """`place_all` is what the lane calls: the batch transaction of purchases."""

    def __init__(self, database: Database, gate: SalesGate | None = None) -> None:
        self._gate = gate or SalesGate()
        self._numbers = NumberBlock(ledger_store.next_causes, _NUMBERS_AT_A_TIME)
        self._salt: bytes | None = None
        self._batch: BatchTransaction[Purchase, Placement] = BatchTransaction(
            database,
            self._decide,
            supplies={self._numbers: len},
            # Another lane has just committed one of these references, through another wallet of the same reseller: its lock
            # was not ours to wait for. Now that it is there, it is found.
            again=(store.ReferenceTaken,),
            failpoints=BatchFailpoints("lane.before_begin", "lane.after_write", "lane.after_commit"),
        )

    async def close(self) -> None:
        await self._batch.close()

    async def place_all(self, purchases: list[Purchase]) -> Sequence[Placement | Exception]:
        """One transaction for all of them. Raises Busy when the database is away and nothing was written."""
        return await self._batch.run(purchases)

    async def _decide(self, tx: Tx, purchases: list[Purchase]) -> DecidedBatch[Placement]:
        if self._salt is None:
            self._salt = await ledger_store.installation_salt(tx)
        wallets, now = await ledger_store.lock_wallets(tx, sorted({purchase.wallet_id for purchase in purchases}))
        await hit_async("lane.after_locks")
        keys = list({key for purchase in purchases if (key := purchase.key) is not None})
        known = await store.find_by_client_reference(tx, keys) if keys else {}
        if now is None:
            raise InvariantBroken("a caller's wallet does not exist")
        doubtful = [key for key in keys if key[1] in _DIALECTS_THAT_SELL_MORE]
        taken = await ledger_store.taken_by_others(tx, TransactionKind.ORDER, doubtful) if doubtful else set()
        decisions = _Decisions(now, Journal(wallets, at=now), known, taken, self._gate)
        for purchase in purchases:
            decisions.answers.append(decisions.weigh(purchase, self._numbers, self._salt))
        await decisions.write(tx)
        return DecidedBatch(decisions.answers, decisions.look_again, wrote=bool(decisions.orders))


def _fact_of(order: Order) -> Fact:
    return Fact(FactKind.ORDER, order.id, at=order.created_at, reference=order.reference)


class _Decisions:
    """What one transaction is about to do, and what each caller will be told."""

    def __init__(
        self,
        now: datetime,
        journal: Journal,
        known: dict[Reference, Order],
        taken: set[Reference],
        gate: SalesGate,
    ) -> None:
        self.now = now
        self.journal = journal
        self.known = known
        self.taken = taken
        self.gate = gate
        self.orders: list[Order] = []
        self.answers: list[Placement | Exception] = []

    async def write(self, tx: Tx) -> None:
        if self.orders:
            await store.insert(tx, self.orders, self.now)
            await ledger_store.write_journal(tx, self.journal)
            remember(tx, _fact_of(self.orders[-1]))

    async def look_again(self, tx: Tx) -> bool:
        """Return whether all this was committed: one order speaks for all."""
        await ledger_store.lock_wallets(tx, sorted(self.journal.wallets))
        there = await store.find_by_id(tx, [self.orders[0].id])
        if there:
            remember(tx, _fact_of(self.orders[-1]))
        return bool(there)

    def weigh(self, purchase: Purchase, numbers: NumberBlock, salt: bytes) -> Placement | Exception:
        """Decide one purchase: a known reference first, then the product, then the money."""
        key = purchase.key
        if key is not None and (before := self.known.get(key)) is not None:
            if before.fingerprint != purchase.fingerprint:
                return ReferenceReused(key[3])
            return Placement(before, replayed=True, age_s=max(0.0, (self.now - before.created_at).total_seconds()))
        if key is not None and key in self.taken:
            return ReferenceReused(key[3])
        if self.gate.halts(purchase.mode):
            return SalesHalted()
        quote = purchase.quote
        if quote is None:
            return ProductUnavailable(purchase.network, purchase.size)
        if purchase.wallet_id not in self.journal.wallets:
            return NotFound("The wallet")
        number = numbers.peek()
        try:
            balance = self.journal.hold(number, purchase.wallet_id, purchase.in_flight, quote.price)
        except TelvendError as error:
            return error
        numbers.take()
        position = self.journal.enter(purchase.wallet_id, TransactionKind.ORDER, number, credit=False)
        order = self._order(purchase, quote, number, salt, balance, position)
        self.orders.append(order)
        if key is not None:
            self.known[key] = order
        return Placement(order, replayed=False, age_s=0.0)

    def _order(
        self, purchase: Purchase, quote: Quote, number: int, salt: bytes, balance: Money, position: int
    ) -> Order:
        return Order(
            id=number,
            reference=reference_of(purchase.prefix, number, salt),
            reseller_id=purchase.reseller_id,
            dialect=purchase.dialect,
            mode=purchase.mode,
            client_reference=purchase.client_reference,
            fingerprint=purchase.fingerprint,
            wallet_id=purchase.wallet_id,
            position=position,
            kind=quote.kind,
            country=purchase.country,
            network=purchase.network,
            product_id=quote.product_id,
            product=quote.product,
            size=quote.size,
            validity_days=quote.validity_days,
            subscriber=purchase.subscriber,
            face=quote.face,
            price=quote.price,
            cost=quote.cost,
            state=State.ACCEPTED,
            balance_after=balance,
            created_at=self.now,
            updated_at=self.now,
        )
