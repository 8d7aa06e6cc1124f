"""The verbs of a sale: place an order, find a caller's own.

Delivering them is later work: `fulfilment/`. Orders as the operator looks at them are in `records.py`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from telvend.catalog.billers import BillerProduct
from telvend.catalog.model import Network, Product
from telvend.catalog.pauses.model import TrialTicket
from telvend.catalog.pauses.service import NetworkPauses
from telvend.catalog.service import Catalogue
from telvend.database.connections import Database
from telvend.database.lane import Lane
from telvend.errors import Busy, NotFound, ProductUnavailable, TelvendError
from telvend.kit import tracing
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.orders import store
from telvend.orders.completion import Completion
from telvend.orders.model import Order, Placement, traced_facts
from telvend.orders.placement import OrderPlacement, Purchase, Quote
from telvend.orders.queries import OrderQuery, OrderReader
from telvend.orders.store import RepeatKey
from telvend.orders.taking import OrderTaker
from telvend.resellers.model import Caller
from telvend.sales.gate import SalesGate
from telvend.sales.model import KindsByDialect, SaleKey, fingerprint_of
from telvend.webhooks.outbox import Outbox


class Wanted(NamedTuple):
    """What a caller wants to buy. `what` says it as the fingerprint needs it: never by its price. `quote` is None where it is
    not on sale now."""

    network: Network
    subscriber: str
    what: str
    quote: Quote | None


class Orders:
    """Orders of one shop. `start` it inside the event loop before placing or finding through it."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        catalogue: Catalogue,
        *,
        on_placed: Callable[[], None] | None = None,
        runtime: Runtime = NO_RUNTIME,
        maximum_waiting: int = 8192,
        gate: SalesGate | None = None,
        kinds: KindsByDialect | None = None,
        pauses: NetworkPauses | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._catalogue = catalogue
        self._pauses = pauses or NetworkPauses(database)
        self.on_placed = on_placed
        self._placing = OrderPlacement(database, gate, kinds, outbox)
        self._reading = OrderReader(database)
        self._waiting = Completion(database)

        self.lane: Lane[Purchase, Placement] = Lane(
            "orders",
            self._placing.place_all,
            maximum_waiting=maximum_waiting,
            runtime=runtime,
        )
        self.reads: Lane[OrderQuery, Order] = Lane("order reads", self._reading.find_all, runtime=runtime)

    def deliver_with(self, taker: OrderTaker) -> None:
        """Have a worker of this process take new orders as they are placed."""
        self._placing.taker = taker

    def start(self) -> None:
        self.lane.start()
        self.reads.start()

    async def close(self) -> None:
        """Answer who is waiting, then give the connections back."""
        await self.lane.close()
        await self.reads.close()
        await self._waiting.close()
        await self._placing.close()
        await self._reading.close()

    async def buy_bundle(
        self,
        caller: Caller,
        *,
        network: Network,
        size: str,
        subscriber: str,
        client_reference: str | None,
        prefix: str,
    ) -> Placement:
        """Buy the cheapest bundle `size` of `network` for `subscriber` (E.164).

        Raises what `buy` raises.
        """
        product = self._catalogue.snapshot.find(network.country, network.code, size)
        quote = Quote.of(product) if product is not None else None
        return await self.buy(caller, Wanted(network, subscriber, size, quote), client_reference, prefix)

    async def buy_plan(
        self,
        caller: Caller,
        *,
        network: Network,
        plan: Product,
        subscriber: str,
        client_reference: str | None,
        prefix: str,
    ) -> Placement:
        """Buy exactly this product for `subscriber` (E.164). Raises what `buy` raises."""
        return await self.buy(caller, self.plan_wanted(network, plan, subscriber), client_reference, prefix)

    def plan_wanted(self, network: Network, plan: Product, subscriber: str) -> Wanted:
        """Say what `buy_plan` buys."""
        on_sale = (network.country, network.code) == (plan.country, plan.network) and self._catalogue.snapshot.sells(
            plan
        )
        return Wanted(network, subscriber, f"#{plan.id}", Quote.of(plan) if on_sale else None)

    async def buy_airtime(
        self,
        caller: Caller,
        *,
        network: Network,
        amount: Money,
        subscriber: str,
        client_reference: str | None,
        prefix: str,
    ) -> Placement:
        """Buy airtime worth `amount` for `subscriber` (E.164). Raises what `buy` raises, and InvalidInput."""
        wanted = self.airtime_wanted(caller, network, amount, subscriber)
        return await self.buy(caller, wanted, client_reference, prefix)

    def airtime_wanted(self, caller: Caller, network: Network, amount: Money, subscriber: str) -> Wanted:
        """Say what `buy_airtime` buys."""
        airtime = self._catalogue.snapshot.airtime(network.country, network.code)
        quote = None
        if airtime is not None and airtime.minimum.minor <= amount.minor <= airtime.maximum.minor:
            price, cost = airtime.price(amount, caller.reseller_id), airtime.cost(amount)
            quote = Quote(airtime.id, airtime.code, "airtime", amount.text, None, amount, price, cost)
        return Wanted(network, subscriber, f"airtime {amount.minor}", quote)

    async def buy_of_biller(
        self,
        caller: Caller,
        *,
        product: BillerProduct,
        amount: Money,
        recipient: str,
        client_reference: str | None,
        prefix: str,
    ) -> Placement:
        """Buy a biller's product worth `amount` for `recipient`, as its kind stores it. In test mode alone, for now.

        Raises what `buy` raises.
        """
        wanted = self.of_biller_wanted(caller, product, amount, recipient)
        return await self.buy(caller, wanted, client_reference, prefix)

    def of_biller_wanted(self, caller: Caller, product: BillerProduct, amount: Money, recipient: str) -> Wanted:
        """Say what `buy_of_biller` buys."""
        quote = None
        if caller.mode is Mode.TEST and product.minimum.minor <= amount.minor <= product.maximum.minor:
            size = amount.text if product.price is None else product.name
            quote = Quote(product.id, product.code, product.kind, size, None, amount, amount, product.cost(amount))
        seller = Network(product.id, product.country, product.biller, product.name, active=True)
        return Wanted(seller, recipient, f"{product.kind} {product.code} {amount.minor}", quote)

    async def buy(self, caller: Caller, wanted: Wanted, client_reference: str | None, prefix: str) -> Placement:
        """Place one order, paid from the caller's wallet in the currency of the network's country.

        Returns when the order is durably stored and its money held; nothing outside is called. A known reference of the same
        request answers with its order as it stands, whatever has become of product, price and balance.
        Raises ReferenceReused, ProductUnavailable, InsufficientBalance, NotFound (no such wallet), Busy.
        """
        network, quote, ticket = wanted.network, wanted.quote, None
        began = tracing.now()
        if quote is not None and self._catalogue.snapshot.trials and caller.mode is Mode.LIVE:
            ticket, quote = await self._on_trial(network, quote)
        if quote is None and client_reference is None:
            raise ProductUnavailable(network.code, wanted.what)
        try:
            placement = await self._submit(caller, wanted, quote, client_reference, prefix)
        except TelvendError as error:
            # Busy does not say whether the order was placed: then the trial has one sale less.
            if ticket is not None and not isinstance(error, Busy):
                await self._pauses.give_back(ticket)
            raise
        if placement.replayed:
            if ticket is not None:
                await self._pauses.give_back(ticket)
        else:
            if self.on_placed is not None:
                self.on_placed()
            if began:
                tracing.placed(placement.order.reference, began, traced_facts(placement.order))
        return placement

    async def _on_trial(self, network: Network, quote: Quote) -> tuple[TrialTicket | None, Quote | None]:
        """Return what a live sale is quoted where its network may be on trial: nothing when the trial's sales are made.

        On every other network the quote stays and no ticket is needed.
        """
        if (network.country, network.code) not in self._catalogue.snapshot.trials:
            return None, quote
        ticket = await self._pauses.take(network.id)
        return ticket, None if ticket is None else quote

    async def _submit(
        self, caller: Caller, wanted: Wanted, quote: Quote | None, client_reference: str | None, prefix: str
    ) -> Placement:
        """Hand a purchase to the lane, at `quote` rather than at what `wanted` was quoted."""
        network, subscriber, what, _ = wanted
        currency = network.currency
        wallet_id = caller.wallets.get(currency.code)
        if wallet_id is None:
            raise NotFound(f"A wallet in {currency}")
        mode = caller.mode
        in_flight = self._ledger.known_house(AccountKind.IN_FLIGHT, currency, mode)
        if in_flight is None:
            in_flight = await self._ledger.house(AccountKind.IN_FLIGHT, currency, mode)
        fingerprint = fingerprint_of(network.country, network.code, subscriber, what)
        # In the order of the fields: a keyword for each takes three times as long.
        return await self.lane.submit(
            Purchase(
                caller.reseller_id,
                caller.api,
                mode,
                client_reference,
                fingerprint,
                wallet_id,
                in_flight,
                network.country,
                network.code,
                what,
                subscriber,
                quote,
                prefix,
            )
        )

    async def settled(self, order: Order, timeout_s: float) -> Order:
        """The order as it stands when it is final, or after `timeout_s`. Waiting holds no connection and no thread."""
        return order if order.state.final else await self._waiting.until_final(order, timeout_s)

    async def find(self, caller: Caller, reference: str) -> Order:
        """The caller's order by our reference or by its own. Raises NotFound, also for somebody else's, and Busy."""
        return await self.reads.submit(OrderQuery(caller.reseller_id, caller.api, caller.mode, reference))

    async def under(self, keys: Sequence[SaleKey]) -> dict[SaleKey, Order]:
        """Return the orders that stand under these references, at most a thousand at a time. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.find_by_client_reference(tx, keys)

    async def numbered(self, ids: Sequence[int]) -> list[Order]:
        """Return the orders with these numbers, at most a thousand at a time. Raises Busy."""
        async with self._database.connection() as tx:
            return list((await store.find_by_id(tx, ids)).values())

    async def sold_since(
        self, dialect: str, mode: Mode, wanted: Sequence[RepeatKey], since: datetime
    ) -> dict[int, str]:
        """Return which of these purchases repeat an order of this API since then, under another reference: place to our reference.

        Raises Busy.
        """
        async with self._database.connection() as tx:
            return await store.sold_since(tx, dialect, mode, wanted, since)
