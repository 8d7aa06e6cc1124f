"""The receipt of a delivered order: what was bought for whom, what was paid, and what came back."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from telvend.catalog.kinds import Payload, ProductKind, kind_of
from telvend.orders.model import Order, OrderState

if TYPE_CHECKING:
    from telvend.orders.payloads.service import Payloads


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a customer is shown. Not `complete`: what the delivery carries back is not there yet, and is asked for at `due_at`.

    It holds secrets: show it to the order's owner, and write it nowhere.
    """

    order: Order
    kind: ProductKind
    payload: Payload | None
    asked: int = 0
    due_at: datetime | None = None

    @property
    def complete(self) -> bool:
        return self.kind.payload is None or self.payload is not None

    def lines(self) -> list[tuple[str, str]]:
        """The receipt for people, as label and text."""
        order = self.order
        lines = [
            ("number", order.reference),
            ("time", f"{order.updated_at:%Y-%m-%d %H:%M:%S %Z}"),
            ("product", f"{self.kind.title}, {order.network} {order.size}"),
            (self.kind.recipient.label, order.subscriber),
            ("amount", str(order.face)),
            ("paid", str(order.price)),
        ]
        form = self.kind.payload
        if form is not None and self.payload is None:
            lines.append((form.name, "not there yet; the provider is asked for them"))
        if form is not None and self.payload is not None:
            lines += [line for item in self.payload.reveal() for line in form.lines(item)]
        return lines

    def customer_lines(self) -> list[tuple[str, str]]:
        """What was delivered, as label and text, without what the reseller has paid. Time, number and amount are the page's."""
        form = self.kind.payload
        if form is None or self.payload is None:
            return []
        return [line for item in self.payload.reveal() for line in form.lines(item)]

    def data(self) -> dict[str, Any]:
        """The receipt for programs. Its items have the names that their product kind gives them."""
        order = self.order
        data: dict[str, Any] = {
            "reference": order.reference,
            "kind": self.kind.name,
            "product": order.product,
            "recipient": order.subscriber,
            "amount": order.face.decimal,
            "paid": order.price.decimal,
            "currency": order.price.currency.code,
            "delivered_at": order.updated_at,
            "complete": self.complete,
            "lines": [{"label": label, "text": text} for label, text in self.lines()],
        }
        if self.kind.payload is not None:
            data[self.kind.payload.name] = [] if self.payload is None else self.payload.reveal()
        if not self.complete:
            data |= {"asked": self.asked, "next_asked_at": self.due_at}
        return data


async def receipt_of(payloads: "Callable[[], Payloads]", order: Order, reader: str) -> Receipt | None:
    """Return the receipt of an order; None while it is not delivered. `reader` is who sees it, noted where it holds secrets.

    `payloads` is called for an order that carries something back: reading that needs ciphers, which few receipts do.
    Raises KeyRefused, SealBroken, Busy.
    """
    if order.state is not OrderState.DELIVERED:
        return None
    kind = kind_of(order.kind)
    if kind.payload is None:
        return Receipt(order, kind, None)
    found = await payloads().read(order.id, reader)
    return Receipt(order, kind, found.payload, found.asked, found.due_at)
