"""The events of orders: what resellers are told when one is completed, has failed, is looked at by a person, or is refunded."""

from collections.abc import Mapping
from typing import Final

from telvend.database.connections import Tx
from telvend.orders import store
from telvend.orders.model import Order, OrderState
from telvend.webhooks.model import Event, EventType, time_of
from telvend.webhooks.outbox import Outbox

EVENT_BY_STATE: Final = {
    OrderState.DELIVERED: EventType.ORDER_COMPLETED,
    OrderState.FAILED: EventType.ORDER_FAILED,
    OrderState.REVIEW: EventType.ORDER_REVIEW,
}
"""The states that are told of."""

_STATUSES: Final = {
    EventType.ORDER_COMPLETED: "completed",
    EventType.ORDER_FAILED: "failed",
    EventType.ORDER_REVIEW: "review",
    EventType.ORDER_REFUNDED: "refunded",
}


def order_event(order: Order, kind: EventType, **more: str) -> Event:
    """Return the event for the order's owner. Without tokens and PINs: those are read through the API."""
    return Event(
        kind,
        order.reseller_id,
        order.mode,
        {
            "reference": order.reference,
            "client_reference": order.client_reference,
            "status": _STATUSES[kind],
            "kind": order.kind,
            "network": order.network,
            "product": order.product,
            "size": order.size,
            "recipient": order.subscriber,
            "amount": order.face.text,
            "price": order.price.text,
            "currency": order.price.currency.code,
            "created_at": time_of(order.created_at),
            **more,
        },
    )


async def tell(tx: Tx, outbox: Outbox, changed: Mapping[int, tuple[int, OrderState]]) -> None:
    """Write the events of orders that this transaction has changed: wallet and new state by the order's number."""
    told = {
        number: EVENT_BY_STATE[state]
        for number, (wallet_id, state) in changed.items()
        if state in EVENT_BY_STATE and outbox.hears(wallet_id)
    }
    if told:
        orders = await store.find_by_id(tx, list(told))
        await outbox.write(tx, [order_event(orders[number], kind) for number, kind in told.items()])
