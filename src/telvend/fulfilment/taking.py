"""Orders that a worker takes with the transaction that places them (orders/taking.py): claimed before anybody else can see them."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from telvend.database.connections import Tx
from telvend.fulfilment.in_flight import InFlightOrder
from telvend.fulfilment.model import ClaimedOrder, Deliver
from telvend.fulfilment.places import Reserved
from telvend.fulfilment.ports import FulfilmentStore
from telvend.orders.model import Order


class Taken:
    """The orders of one batch that are taken, and their places. `begin_all` gets them when they are committed."""

    def __init__(
        self,
        store: FulfilmentStore,
        reserved: Reserved,
        claims: Sequence[ClaimedOrder],
        steps: Sequence[Deliver],
        began: float,
        lease_s: float,
        *,
        begin_all: Callable[["Taken"], None],
        release: Callable[["Taken"], None],
    ) -> None:
        self.claims = claims
        self.steps = steps
        self.numbers = frozenset(claim.id for claim in claims)
        self.leased_until = claims[0].now + timedelta(seconds=lease_s)
        self._store = store
        self._reserved = reserved
        self._deadline = began + lease_s
        self._begin_all = begin_all
        self._release = release

    async def write(self, tx: Tx) -> None:
        await self._store.write_taken(tx, self.claims, self.steps)

    def begin(self) -> None:
        self._begin_all(self)

    def release(self) -> None:
        self._reserved.release_all()
        self._release(self)

    def in_flight(self, claimed_at: float) -> list[InFlightOrder]:
        """The orders as they are in flight from now on."""
        return [
            InFlightOrder(claim, step, self._deadline, claimed_at)
            for claim, step in zip(self.claims, self.steps, strict=True)
        ]


def claim_of(order: Order, now: datetime, *, doubtful: bool) -> ClaimedOrder:
    """A new order as if it had been claimed at the moment at which it is placed."""
    # In the order of the fields: a keyword for each would cost as much as all else of it.
    return ClaimedOrder(
        order.id, order.reference, order.mode, order.wallet_id, order.kind, order.country, order.network, order.product_id,
        order.product, order.size, order.validity_days, order.subscriber, order.face, order.price, order.cost, order.state, now,
        [], doubtful,
    )  # fmt: skip
