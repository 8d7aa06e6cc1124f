"""Placing: the lane's one transaction, in which purchases become orders and their money is held.

For whatever is waiting, together: lock the wallets in id order, look the references up (a statement of its own, after
the locks, so that it sees what others committed before they let go), decide one after the other in plain Python, write
orders, transfers and wallets with one set-based statement, commit. Only then is anybody answered.

Where a worker of the same process has room it takes new orders with this transaction (taking.py).
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from telvend.catalog.model import Product
from telvend.database.batch import BatchFailpoints, BatchTransaction, DecidedBatch, NumberBlock
from telvend.database.connections import Database, Tx
from telvend.errors import InvariantBroken, ProductUnavailable, TelvendError
from telvend.kit import tracing
from telvend.kit.failpoints import hit_async
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.ledger import store as ledger_store
from telvend.orders import store
from telvend.orders.model import Order, OrderState, Placement
from telvend.orders.taking import OrderTaker, TakenOrders
from telvend.sales.gate import SalesGate
from telvend.sales.kind import NUMBERS_AT_A_TIME, KindOfSale, sale_numbers
from telvend.sales.model import HeldSale, KindsByDialect, SaleKey, SaleKind
from telvend.sales.replay import References
from telvend.sales.store import ReferenceTaken
from telvend.wallets.journal import WalletJournal
from telvend.webhooks.outbox import Outbox


class Quote(msgspec.Struct, frozen=True):
    """What the catalogue sells a purchase for now, and for how long it lasts. `face` is what the recipient gets in
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
    def key(self) -> SaleKey | None:
        if self.client_reference is None:
            return None
        return (self.reseller_id, self.dialect, self.mode, self.client_reference)


class OrderPlacement:
    """`place_all` is what the lane calls: the batch transaction of purchases. `taker`, where there is one, takes new orders."""

    def __init__(
        self,
        database: Database,
        gate: SalesGate | None = None,
        kinds: KindsByDialect | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self.taker: OrderTaker | None = None
        # By the list of purchases of each batch that is being decided.
        self._taken: dict[int, TakenOrders] = {}
        self._outbox = outbox or Outbox()
        self._sale = KindOfSale(SaleKind.ORDER, gate, kinds)
        self._numbers = sale_numbers(NUMBERS_AT_A_TIME)
        self._batch: BatchTransaction[Purchase, Placement] = BatchTransaction(
            database,
            self._decide,
            supplies={self._numbers: len},
            # Another lane has just committed one of these references, through another wallet of the same reseller: its lock
            # was not ours to wait for. Now that it is there, it is found.
            again=(ReferenceTaken,),
            failpoints=BatchFailpoints("lane.before_begin", "lane.after_write", "lane.after_commit"),
        )

    async def close(self) -> None:
        await self._batch.close()

    async def place_all(self, purchases: list[Purchase]) -> Sequence[Placement | Exception]:
        """One transaction for all of them. Raises Busy when the database is away and nothing was written."""
        began = tracing.now()
        if self.taker is not None:
            await self.taker.keep_pace()
        try:
            answers = await self._batch.run(purchases)
        except BaseException:
            self._release(purchases)
            raise
        # What was decided is committed, also where each answer is an error.
        taken = self._taken.pop(id(purchases), None)
        if taken is not None:
            taken.begin()
        elif self.taker is not None:
            self.taker.wake()
        if began:
            for answer in answers:
                if isinstance(answer, Placement) and not answer.replayed:
                    tracing.record("batch", answer.order.reference, began, {"batch.size": len(purchases)})
        return answers

    def _release(self, purchases: list[Purchase]) -> None:
        taken = self._taken.pop(id(purchases), None)
        if taken is not None:
            taken.release()

    async def _decide(self, tx: Tx, purchases: list[Purchase]) -> DecidedBatch[Placement]:
        self._release(purchases)  # Of the try before.
        began = 0.0 if self.taker is None else self.taker.monotonic()
        wallets, now = await ledger_store.lock_wallets(tx, sorted({purchase.wallet_id for purchase in purchases}))
        await hit_async("lane.after_locks")
        keys = [key for purchase in purchases if (key := purchase.key) is not None]
        references = await self._sale.look_up(tx, keys, _find)
        if now is None:
            raise InvariantBroken("a caller's wallet does not exist")
        decisions = _Decisions(self._sale, now, WalletJournal(wallets, at=now), references, self._numbers)
        for purchase in purchases:
            decisions.answers.append(decisions.weigh(purchase))
        if self.taker is not None and decisions.orders:
            taken = self.taker.take(decisions.orders, now, began)
            if taken is not None:
                self._taken[id(purchases)] = taken
        await decisions.write(tx, self._taken.get(id(purchases)))
        await self._outbox.notice_balances(tx, decisions.journal)
        return DecidedBatch(decisions.answers, decisions.look_again, wrote=bool(decisions.orders))


async def _find(tx: Tx, keys: Collection[SaleKey]) -> dict[SaleKey, tuple[Order, str]]:
    found = await store.find_by_client_reference(tx, list(keys))
    return {key: (order, order.fingerprint) for key, order in found.items()}


class _Decisions:
    """What one transaction is about to do, and what each caller will be told."""

    def __init__(
        self,
        sale: KindOfSale,
        now: datetime,
        journal: WalletJournal,
        references: References[Order],
        numbers: NumberBlock,
    ) -> None:
        self.sale = sale
        self.now = now
        self.journal = journal
        self.references = references
        self.numbers = numbers
        self.orders: list[Order] = []
        self.answers: list[Placement | Exception] = []

    async def write(self, tx: Tx, taken: TakenOrders | None) -> None:
        if not self.orders:
            return
        left, beside = self.orders, self.journal.statements(tx)
        if taken is not None:
            numbers = taken.numbers
            left = [order for order in self.orders if order.id not in numbers]
            leased = self.orders if not left else [order for order in self.orders if order.id in numbers]
            await store.insert(tx, leased, self.now, () if left else beside, leased_until=taken.leased_until)
            await taken.write(tx)
        if left:
            await store.insert(tx, left, self.now, beside)
        self._remember(tx)

    async def look_again(self, tx: Tx) -> bool:
        """Return whether all this was committed: one order speaks for all."""
        await ledger_store.lock_wallets(tx, sorted(self.journal.wallets))
        there = await store.find_by_id(tx, [self.orders[0].id])
        if there:
            self._remember(tx)
        return bool(there)

    def _remember(self, tx: Tx) -> None:
        last = self.orders[-1]
        self.sale.remember(tx, last.id, last.reference, last.created_at)

    def weigh(self, purchase: Purchase) -> Placement | Exception:
        """Decide one purchase: a known reference first, then the product, then the money."""
        key = purchase.key
        try:
            before = self.references.repeated(key, purchase.fingerprint, purchase.mode)
            if before is not None:
                age_s = max(0.0, (self.now - before.created_at).total_seconds())
                return Placement(before, replayed=True, age_s=age_s)
            quote = purchase.quote
            if quote is None:
                return ProductUnavailable(purchase.network, purchase.size)
            held = self.sale.open(
                self.journal, self.numbers, purchase.prefix, purchase.wallet_id, purchase.in_flight, quote.price
            )
        except TelvendError as error:
            if isinstance(error, InvariantBroken):
                raise
            return error
        order = self._order(purchase, quote, held)
        self.orders.append(order)
        self.references.add(key, purchase.fingerprint, order)
        return Placement(order, replayed=False, age_s=0.0)

    def _order(self, purchase: Purchase, quote: Quote, held: HeldSale) -> Order:
        # In the order of the fields: a keyword for each takes three times as long.
        return Order(
            held.number,
            held.reference,
            purchase.reseller_id,
            purchase.dialect,
            purchase.mode,
            purchase.client_reference,
            purchase.fingerprint,
            purchase.wallet_id,
            held.position,
            quote.kind,
            purchase.country,
            purchase.network,
            quote.product_id,
            quote.product,
            quote.size,
            quote.validity_days,
            purchase.subscriber,
            quote.face,
            quote.price,
            quote.cost,
            OrderState.ACCEPTED,
            held.after,
            self.now,
            self.now,
        )
