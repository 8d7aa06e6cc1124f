"""What MADAPI's clients see of subscriptions and products.

Sources: MTN's specification "Subscriptions v2" 2.4, and the flat body with `links` that public clients read; "Products v3" for the
items of the list. Amounts are strings with two decimals, as everywhere in MADAPI. `status`, `beneficiaryId`, `currencyCode`,
`transactionReference` and `sequenceNo` are additions.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from telvend.catalog.model import Product
from telvend.dialects.contract import Request, Response
from telvend.dialects.madapi.fields import PAYMENT_SOURCE
from telvend.dialects.madapi.refusals import STATUS_MESSAGE, ErrorBody, general_body
from telvend.dialects.madapi.wire import REPLAYED, SUCCESS, SUCCESS_CODE, Href, Links, links, stamp, value_of
from telvend.kit.money import Money
from telvend.operator.subscribers.balances.model import BucketKind
from telvend.orders.model import Order, OrderState

PENDING_CODE: Final = "1004"
FAILED_CODE: Final = "5001"
_MESSAGE: Final = {
    SUCCESS_CODE: SUCCESS,
    PENDING_CODE: "The request is being carried out. Ask for its status.",
    FAILED_CODE: STATUS_MESSAGE[FAILED_CODE],
}

ACTIVE: Final = "Active"
PENDING: Final = "Pending"
FAILED: Final = "Failed"


class Link(msgspec.Struct):
    rel: str
    href: str


class SubscriptionAnswer(msgspec.Struct, rename="camel"):
    """A subscription as it stands. `correlationId` is our reference; `transactionReference` the id that it was bought under.

    `amountBefore` and `amountAfter` are what the partner's wallet could spend around it. `status` is Active when the customer has
    it, Pending, or Failed; then nothing was charged.
    """

    subscription_id: str
    beneficiary_id: str
    status: str
    amount_charged: str
    amount_before: str
    amount_after: str
    currency_code: str
    correlation_id: str
    transaction_reference: str
    status_code: str
    status_message: str
    transaction_id: str
    sequence_no: str
    links: list[Link]


class SubscriptionRow(msgspec.Struct, rename="camel"):
    """A line of the list. `amountCharged` is `0.00` of one that has failed."""

    subscription_id: str
    beneficiary_id: str
    status: str
    amount_charged: str
    currency_code: str
    correlation_id: str
    transaction_reference: str
    created_at: str


class PageLinks(msgspec.Struct):
    """`next` is null on the last page."""

    own: Href = msgspec.field(name="self")
    next: Href | None = None


class SubscriptionsAnswer(msgspec.Struct, rename="camel"):
    link: PageLinks = msgspec.field(name="_link")
    status_code: str
    status_message: str
    transaction_id: str
    sequence_no: str
    data: list[SubscriptionRow]


class NotSold(ErrorBody):
    """Shape 1 of a status that is not found.

    `transactionIdFree` stands there where nothing at all was sold under `transactionReference`: a request under that id would be
    taken, once.
    """

    transaction_reference: str | msgspec.UnsetType = msgspec.field(name="transactionReference", default=msgspec.UNSET)
    transaction_id_free: bool | msgspec.UnsetType = msgspec.field(name="transactionIdFree", default=msgspec.UNSET)


class ProductItem(msgspec.Struct, rename="camel"):
    """A bundle that is on sale. `id` is what a subscription takes as `subscriptionId`."""

    id: str
    name: str
    network: str
    currency: str
    amount: str
    bundle_category: str
    sub_category: str
    bundle_validity: str
    payment_mode: list[str]
    buy_for_others: bool
    renewal: bool
    activation_id: str


class ProductGroups(msgspec.Struct, rename="camel"):
    """By how long they last: less than 7 days, less than 30, 30 and more, for ever."""

    daily: list[ProductItem]
    weekly: list[ProductItem]
    monthly: list[ProductItem]
    non_expiry: list[ProductItem]


class ProductsAnswer(msgspec.Struct, rename="camel"):
    link: Links = msgspec.field(name="_link")
    status_code: str
    status_message: str
    transaction_id: str
    sequence_no: str
    data: ProductGroups


# Answers ----------------------------------------------------------------------------------------------------------------


def subscribed(order: Order, request: Request, address: str, *, replayed: bool) -> Response:
    """The answer to a purchase, and to each repeat of it, as the order stands by now."""
    headers = REPLAYED if replayed else ()
    if order.state is OrderState.FAILED:
        support = f"Subscription {order.reference} failed: nothing was delivered, and the money is back."
        return Response(400, general_body(FAILED_CODE, support, request), headers)
    status = 201 if order.state is OrderState.DELIVERED else 202
    return Response(status, _subscription(order, request, address), headers)


def status_answer(order: Order, request: Request, address: str) -> Response:
    """The answer to a question: 202 while it is pending, else 200. Whether it has failed says `statusCode`."""
    status = 200 if order.state.final else 202
    return Response(status, _subscription(order, request, address))


def subscriptions_answer(orders: Sequence[Order], next_limit: int | None, request: Request) -> Response:
    """A page of the list; `next_limit` is the size of the next one, where there is one."""
    address = links(request).own.href
    query = request.query.decode("latin-1")
    more = None
    if next_limit is not None and orders:
        more = Href(f"{address}?limit={next_limit}&before={quote(orders[-1].reference)}")
    body = SubscriptionsAnswer(
        PageLinks(Href(f"{address}?{query}" if query else address), more),
        SUCCESS_CODE,
        SUCCESS,
        request.trace,
        request.request_id.decode(),
        [
            SubscriptionRow(
                order.product,
                order.subscriber.removeprefix("+"),
                _status(order),
                _text(_charged(order)),
                order.price.currency.code,
                order.reference,
                order.client_reference or "",
                stamp(order.created_at) or "",
            )
            for order in orders
        ],
    )
    return Response(200, body)


def products_answer(products: Iterable[Product], request: Request) -> Response:
    groups = ProductGroups([], [], [], [])
    for product in products:
        _group(groups, product.validity_days).append(_item(product))
    body = ProductsAnswer(links(request), SUCCESS_CODE, SUCCESS, request.trace, request.request_id.decode(), groups)
    return Response(200, body)


def not_sold(error: ErrorBody, reference: str) -> NotSold:
    return NotSold(**msgspec.structs.asdict(error), transaction_reference=reference, transaction_id_free=True)


def _subscription(order: Order, request: Request, address: str) -> SubscriptionAnswer:
    code = {ACTIVE: SUCCESS_CODE, PENDING: PENDING_CODE, FAILED: FAILED_CODE}[_status(order)]
    charged = _charged(order)
    return SubscriptionAnswer(
        order.product,
        order.subscriber.removeprefix("+"),
        _status(order),
        _text(charged),
        _text(order.balance_after + charged),
        _text(order.balance_after),
        order.price.currency.code,
        order.reference,
        order.client_reference or "",
        code,
        _MESSAGE[code],
        request.trace,
        request.request_id.decode(),
        [Link("self", address)],
    )


def _status(order: Order) -> str:
    if not order.state.final:
        return PENDING
    return ACTIVE if order.state is OrderState.DELIVERED else FAILED


def _charged(order: Order) -> Money:
    return Money(0, order.price.currency) if order.state is OrderState.FAILED else order.price


def _text(money: Money) -> str:
    return value_of(BucketKind.MONEY, money.minor, money.currency)


def _group(groups: ProductGroups, days: int | None) -> list[ProductItem]:
    if days is None:
        return groups.non_expiry
    return groups.daily if days < 7 else groups.weekly if days < 30 else groups.monthly


def _item(product: Product) -> ProductItem:
    words = (product.network.upper(), product.type, product.size, product.validity)
    return ProductItem(
        product.code,
        " ".join(word for word in words if word),
        product.network,
        product.currency.code,
        _text(product.price),
        product.kind.upper(),
        product.type or product.size,
        product.validity,
        [PAYMENT_SOURCE],
        True,
        False,
        product.code,
    )
