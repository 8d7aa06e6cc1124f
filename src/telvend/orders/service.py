"""The verbs of a sale: place an order, find one, look at many.

Delivering them is later work: `jobs/`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from telvend.catalog.model import Network
from telvend.catalog.service import Catalogue
from telvend.errors import NotFound, ProductUnavailable
from telvend.kit.db import Database
from telvend.kit.ids import number_in
from telvend.kit.lane import Lane
from telvend.kit.money import Currency
from telvend.ledger.model import AccountKind, Entry, Mode
from telvend.ledger.service import Ledger
from telvend.orders import store
from telvend.orders.model import Attempt, AttemptState, Order, Placement, State
from telvend.orders.placing import Placing, Purchase
from telvend.orders.reading import Reading, Wanted
from telvend.resellers.model import Caller


@dataclass(frozen=True, slots=True)
class OrderHistory:
    """Everything about one order: its attempts, its transfers, what people noted."""

    order: Order
    attempts: list[Attempt]
    entries: list[Entry]
    notes: list[tuple[Any, str]]


class Orders:
    """Orders of one shop. `start` it inside the event loop before placing or finding through it."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        catalogue: Catalogue,
        *,
        on_placed: Callable[[], None] | None = None,
        on_batch: Callable[[str, int], None] | None = None,
        on_death: Callable[[BaseException], None] | None = None,
        maximum_waiting: int = 8192,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._catalogue = catalogue
        self.on_placed = on_placed
        self._placing = Placing(database)
        self._reading = Reading(database)

        def batch(name: str) -> Callable[[int], None] | None:
            return (lambda size: on_batch(name, size)) if on_batch else None

        self.lane: Lane[Purchase, Placement] = Lane(
            "orders",
            self._placing.place_all,
            maximum_waiting=maximum_waiting,
            on_batch=batch("orders"),
            on_death=on_death,
        )
        self.reads: Lane[Wanted, Order] = Lane(
            "order reads", self._reading.find_all, on_batch=batch("order reads"), on_death=on_death
        )

    def start(self) -> None:
        self.lane.start()
        self.reads.start()

    async def close(self) -> None:
        """Answer who is waiting, then give the connections back."""
        await self.lane.close()
        await self.reads.close()
        await self._placing.close()
        await self._reading.close()

    async def place(
        self,
        caller: Caller,
        *,
        network: Network,
        size: str,
        subscriber: str,
        currency: Currency,
        client_reference: str | None,
        prefix: str,
    ) -> Placement:
        """Buy the bundle `size` of `network` for `subscriber` (E.164) from the caller's wallet in `currency`.

        Returns when the order is durably stored and its money held; nothing outside is called. A known reference of
        the same request answers with its order as it stands, whatever has become of product, price and balance.
        Raises ReferenceReused, ProductUnavailable, InsufficientBalance, NotFound (no such wallet), Busy.
        """
        product = self._catalogue.snapshot.find(network.country, network.code, size)
        if product is None and client_reference is None:
            raise ProductUnavailable(network.code, size)
        wallet_id = caller.wallets.get(currency.code)
        if wallet_id is None:
            raise NotFound(f"A wallet in {currency}")
        in_flight = self._ledger.known_house(AccountKind.IN_FLIGHT, currency, caller.mode)
        if in_flight is None:
            in_flight = await self._ledger.house(AccountKind.IN_FLIGHT, currency, caller.mode)
        placement = await self.lane.submit(
            Purchase(
                reseller_id=caller.reseller_id,
                dialect=caller.api,
                mode=caller.mode,
                client_reference=client_reference,
                fingerprint=f"{network.country}/{network.code}/{subscriber}/{size}",
                wallet_id=wallet_id,
                in_flight=in_flight,
                country=network.country,
                network=network.code,
                size=size,
                subscriber=subscriber,
                product=product,
                prefix=prefix,
            )
        )
        if not placement.replayed and self.on_placed is not None:
            self.on_placed()
        return placement

    async def find(self, caller: Caller, reference: str) -> Order:
        """The caller's order by our reference or by its own. Raises NotFound, also for somebody else's, and Busy."""
        return await self.reads.submit(Wanted(caller.reseller_id, caller.api, caller.mode, reference))

    async def list_orders(
        self,
        *,
        reseller_id: UUID | None = None,
        mode: Mode | None = None,
        states: Sequence[State] | None = None,
        subscriber: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Order]:
        """Orders, newest first; `before` is the number of the last one seen."""
        async with self._database.connection() as tx:
            return await store.listed(
                tx,
                reseller_id=reseller_id,
                mode=mode,
                states=states,
                subscriber=subscriber,
                before=before,
                limit=limit,
            )

    async def references(self, ids: Sequence[int]) -> dict[int, str]:
        """Our references of those numbers that are orders; the others are not in the answer."""
        async with self._database.connection() as tx:
            return await store.references(tx, ids)

    async def history(self, reference: str) -> OrderHistory:
        """Everything about the order with our reference (or its number). Raises NotFound."""
        plain = reference.isascii() and reference.isdigit() and len(reference) < 19
        number = int(reference) if plain else number_in(reference)
        if number is None:
            raise NotFound("Order")
        async with self._database.connection() as tx:
            order = (await store.find_by_id(tx, [number])).get(number)
            if order is None or reference not in (order.reference, str(number)):
                raise NotFound("Order")
            attempts = await store.attempts_of(tx, number)
            notes = await store.notes_of(tx, number)
        return OrderHistory(
            order,
            [
                Attempt(
                    order_id=row["order_id"],
                    number=row["number"],
                    provider=row["provider"],
                    reference=row["reference"],
                    state=AttemptState(row["state"]),
                    asked=row["asked"],
                    text=row["text"],
                    provider_reference=row["provider_reference"],
                    started_at=row["started_at"],
                    finished_at=row["finished_at"],
                    elsewhere=row["elsewhere"],
                )
                for row in attempts
            ],
            await self._ledger.entries(number),
            [(row["created_at"], row["text"]) for row in notes],
        )

    async def open_orders(self) -> list[Any]:
        """The orders that are not final, by state, currency and mode: count, minor, oldest_s."""
        async with self._database.connection() as tx:
            return await store.open_orders(tx)
