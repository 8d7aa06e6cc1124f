"""Subscriptions v2 and Products v3: how MTN's partners buy bundles. Their bodies are in subscription_wire.py.

Facts: MTN's specification "Subscriptions v2" 2.4 for the addresses and fields, and what public clients send and read. Additions of
ours: each body names the `transactionReference` that it was bought under; a status that is not found says whether nothing was sold
under that id (`transactionIdFree`); and a refill can be asked about by its transactionId. Choices of ours:

- A subscription is an order: paid from the partner's wallet when it is taken, delivered by the shop's provider (the own network
  or an upstream), 201 when it is delivered, 202 with 1004 while it is not, 400 with 5001 when it has failed and the money is back.
- The wallet pays, so that `subscriptionPaymentSource` is `EVDS`, which may be left out. Nothing is taken from a customer's airtime,
  mobile money or loyalty, and a request for that is refused.
- The bundle is for `beneficiaryId`, else for the customer of the path. Nothing renews, and `callbackUrl` is not called.
"""

from typing import Any, Final
from urllib.parse import quote

from telvend.catalog.model import CatalogueSnapshot, Product, is_product_code
from telvend.dialects.contract import Context, Response
from telvend.dialects.madapi import KEYS
from telvend.dialects.madapi import subscription_wire as wire
from telvend.dialects.madapi.fields import PAYMENT_SOURCE, Fields, Query, customer, transaction_id_in_force
from telvend.dialects.madapi.forms import SUBSCRIPTION_FORM
from telvend.dialects.madapi.refusals import error_body
from telvend.dialects.madapi.wire import refill_answer
from telvend.errors import InsufficientBalance, InvalidInput, NotFound
from telvend.kit.ids import number_in
from telvend.kit.money import Money
from telvend.kit.numbering import region_of
from telvend.operator.refills.model import Refill, Refilled
from telvend.orders.model import Order, OrderFilter

SUBSCRIPTIONS: Final = "/v2/customers/{customerId}/subscriptions"
STATUS: Final = f"{SUBSCRIPTIONS}/{{subscriptionId}}/status/{{statusId:path}}"
REFILL_STATUS: Final = "/v2/customers/{customerId}/refills/{transactionId:path}"
PRODUCTS: Final = "/v3/products/{customerId}"

PREFIX: Final = "SUB"
LARGEST_PAGE: Final = 100
_PAGE: Final = 50
_MOST_DIGITS_OF_LIMIT: Final = 3


async def subscribe(call: Context[dict[str, Any]]) -> Response:
    """Buy a bundle, once for each transactionId. Waits for the delivery for at most the setting `delivery_wait_s`."""
    payer = _customer(call)
    form = SUBSCRIPTION_FORM.read(Fields(call.form, call.services.home_country))
    if form.subscription_payment_source not in ("", PAYMENT_SOURCE):
        raise InvalidInput(
            "subscriptionPaymentSource",
            f"is {form.subscription_payment_source}, and here the partner's wallet pays: send {PAYMENT_SOURCE} or leave it out",
        )
    catalogue = call.services.catalogue.snapshot
    product = catalogue.product_by_code(form.subscription_id)
    network = catalogue.network(product.country, product.network) if product is not None else None
    if product is None or network is None:
        raise NotFound("Product")
    beneficiary = form.beneficiary_id or payer
    if region_of(beneficiary) != product.country:
        field = "beneficiaryId" if form.beneficiary_id else "customerId"
        raise InvalidInput(field, f"is not a number of {product.country}, where {product.code} is sold")
    if product.currency.code not in call.caller.wallets:
        raise InsufficientBalance(product.price, Money(0, product.currency))
    placement = await call.services.orders.buy_plan(
        call.caller,
        network=network,
        plan=product,
        subscriber=beneficiary,
        client_reference=call.request.trace,
        prefix=PREFIX,
    )
    order = await call.services.orders.settled(placement.order, call.services.delivery_wait_s)
    return wire.subscribed(order, call.request, _status_address(call, order), replayed=placement.replayed)


async def subscription_status(call: Context[None]) -> Response:
    """What became of a subscription: `statusId` is the transactionId that it was bought under, or its `correlationId`.

    The customer is the one who has it; a client that writes its wallet into the path names the customer in the query.
    """
    path_customer = _customer(call)
    query = Query(call.query)
    named = query.text("customerId")
    query.raise_if_any()
    whose = {path_customer, customer(named, call.services.home_country)} if named else {path_customer}
    sent = call.path["statusId"]
    # Our references are shorter than a transactionId may be, and look like one.
    ours = sent.startswith(f"{PREFIX}-") and number_in(sent) is not None
    reference = sent if ours else transaction_id_in_force(sent)
    order = await _order_under(call, reference)
    if order is None:
        return await _not_found(call, "Subscription", reference)
    if order.subscriber not in whose or order.product != call.path["subscriptionId"]:
        raise NotFound("Subscription")
    return wire.status_answer(order, call.request, _status_address(call, order))


async def refill_status(call: Context[None]) -> Response:
    """The refill that stands under a transactionId, as its answer was."""
    msisdn, reference = _customer(call), transaction_id_in_force(call.path["transactionId"])
    refill = await _refill_under(call, reference)
    if refill is None:
        return await _not_found(call, "Refill", reference)
    if refill.msisdn != msisdn:
        raise NotFound("Refill")
    return refill_answer(Refilled(refill, replayed=False), call.request, asked=True)


async def subscriptions(call: Context[None]) -> Response:
    """What this partner has bought for a customer, newest first, in pages."""
    msisdn = _customer(call)
    query = Query(call.query)
    limit, before = query.whole_number("limit", _MOST_DIGITS_OF_LIMIT), query.text("before")
    if limit is not None and not 1 <= limit <= LARGEST_PAGE:
        query.add("limit", f"must be from 1 to {LARGEST_PAGE}")
    last = number_in(before) if before else None
    if before and last is None:
        query.add("before", "must be the correlationId of the last subscription that was read")
    query.raise_if_any()
    size = limit or _PAGE
    wanted = OrderFilter(call.caller.reseller_id, call.caller.mode, subscriber=msisdn, dialect=KEYS.api)
    # One more than is shown: it says whether there is another page.
    found = await call.services.order_records.list_orders(wanted, before=last, limit=size + 1)
    page = found[:size]
    return wire.subscriptions_answer(page, size if len(found) > size else None, call.request)


async def products(call: Context[None]) -> Response:
    """The bundles that are on sale for a customer, by how long they last; of a product's code that product alone."""
    wanted, catalogue = call.path["customerId"], call.services.catalogue.snapshot
    product = catalogue.product_by_code(wanted)
    if product is not None:
        if product not in catalogue.plans(product.country, product.network):
            raise NotFound("Product")
        return wire.products_answer([product], call.request)
    if is_product_code(wanted) and any(letter.isalpha() for letter in wanted):
        raise NotFound("Product")
    return wire.products_answer(_on_sale(catalogue, region_of(_customer(call))), call.request)


def _on_sale(catalogue: CatalogueSnapshot, country: str) -> list[Product]:
    return [plan for network in catalogue.networks(country) for plan in catalogue.plans(country, network.code)]


async def _not_found(call: Context[Any], what: str, reference: str) -> Response:
    """404, with whether nothing at all was sold under this transactionId.

    A request that is on its way may still be taken afterwards.
    """
    error = NotFound(what)
    if await _refill_under(call, reference) is not None or await _order_under(call, reference) is not None:
        raise error
    return Response(404, wire.not_sold(error_body(error, call.request), reference))


async def _refill_under(call: Context[Any], reference: str) -> Refill | None:
    caller = call.caller
    try:
        return await call.services.refills.find(caller.reseller_id, KEYS.api, caller.mode, reference)
    except NotFound:
        return None


async def _order_under(call: Context[Any], reference: str) -> Order | None:
    try:
        return await call.services.orders.find(call.caller, reference)
    except NotFound:
        return None


def _customer(call: Context[Any]) -> str:
    return customer(call.path["customerId"], call.services.home_country)


def _status_address(call: Context[Any], order: Order) -> str:
    """Where the status of a subscription is read."""
    number, reference = order.subscriber.removeprefix("+"), quote(order.client_reference or "", safe="")
    return f"{call.base_url}/v2/customers/{number}/subscriptions/{order.product}/status/{reference}"
