"""Netpluse (Ghana): data bundles from a GHS wallet, under /api/v1."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from telvend.catalog.model import CatalogueSnapshot, Network
from telvend.config import Settings
from telvend.dialects.contract import Context, Dialect, Endpoint, Response, alike
from telvend.dialects.netpluse import KEYS, examples, wire
from telvend.errors import InvalidInput, NotFound
from telvend.kit.allowance import AllowanceKind
from telvend.kit.money import GHS, Money
from telvend.kit.phone import NotAMobileNumber, parse_mobile
from telvend.sales.model import SaleKind


class PurchaseRequest(NamedTuple):
    """What a purchase asks for, in the shop's own terms."""

    network: Network
    subscriber: str
    size: str
    reference: str | None


async def ping(call: Context[None]) -> Response:
    return Response(200, wire.Ping(ok=True, owner=str(call.caller.reseller_id)))


async def balance(call: Context[None]) -> Response:
    wallet_id = call.caller.wallets.get(GHS.code)
    minor = 0 if wallet_id is None else await call.services.wallets.balance(wallet_id)
    return Response(200, wire.Balance(Money(minor, GHS).decimal, GHS.code))


async def packages(call: Context[None]) -> Response:
    """What is on sale now, cheapest first within each network, one bundle per network and capacity."""
    on_sale = call.services.catalogue.snapshot.on_sale(wire.COUNTRY)
    return Response(
        200,
        wire.Packages(
            [
                wire.DataPackage(product.network, product.size, product.price.decimal, product.validity)
                for product in on_sale
                if product.price.currency == GHS
            ]
        ),
    )


async def purchase(call: Context[wire.PurchaseForm]) -> Response:
    """Answers as soon as the order is durably stored and the money held; delivery is later work."""
    wanted = purchase_of(call.form, call.services.catalogue.snapshot)
    placement = await call.services.orders.buy_bundle(
        call.caller,
        network=wanted.network,
        subscriber=wanted.subscriber,
        size=wanted.size,
        client_reference=wanted.reference,
        prefix="NPAPI",
    )
    return wire.placement_answer(placement)


async def order_status(call: Context[None]) -> Response:
    """By our reference or by the caller's own."""
    reference = call.path["reference"]
    if not wire.REFERENCE.holds(reference):
        raise NotFound("Order")
    return Response(200, wire.order_status(await call.services.orders.find(call.caller, reference)))


def purchase_of(form: wire.PurchaseForm, catalogue: CatalogueSnapshot) -> PurchaseRequest:
    """Read a form in the order in which its fields are documented. Raises InvalidInput for the first that is wrong."""
    return PurchaseRequest(
        _network(form.network, catalogue),
        _subscriber(form.phone_number),
        _capacity(form.capacity),
        _reference(form.reference),
    )


def _network(word: str, catalogue: CatalogueSnapshot) -> Network:
    network = catalogue.network(wire.COUNTRY, word)
    if network is None:
        known = ", ".join(network.code for network in catalogue.networks(wire.COUNTRY))
        raise InvalidInput("network", f"must be one of {known}")
    return network


def _subscriber(text: str) -> str:
    try:
        return parse_mobile(text, wire.COUNTRY)
    except NotAMobileNumber:
        raise InvalidInput("phoneNumber", "must be a mobile number of Ghana, such as 0241234567") from None


def _capacity(text: str) -> str:
    if not wire.CAPACITY.holds(text):
        raise InvalidInput("capacity", "must be a size from /packages, such as 1GB")
    return text


def _reference(text: str | None) -> str | None:
    if text is not None and not wire.REFERENCE.holds(text):
        raise InvalidInput("reference", f"must be 1 to {wire.REFERENCE.longest} printable characters")
    return text


def _key_of(headers: Mapping[bytes, bytes]) -> str | None:
    key = headers.get(b"x-api-key")
    return key.decode("latin-1") if key else None


_REFUSALS: Final = {400: wire.ErrorBody, 401: wire.ErrorBody, 429: wire.ErrorBody, 503: wire.ErrorBody}

NETPLUSE: Final = Dialect(
    name=KEYS.api,
    title="Netpluse",
    base_path="/api/v1",
    key_of=_key_of,
    sells=frozenset({SaleKind.ORDER}),
    error=alike(wire.error_answer),
    security={"type": "apiKey", "in": "header", "name": "x-api-key"},
    endpoints=(
        Endpoint("GET", "/ping", ping, "Test that the key is valid and active", {200: wire.Ping, **_REFUSALS}),
        Endpoint("GET", "/balance", balance, "The wallet's balance in GHS", {200: wire.Balance, **_REFUSALS}),
        Endpoint("GET", "/packages", packages, "Bundles on sale and their prices", {200: wire.Packages, **_REFUSALS}),
        Endpoint(
            "POST",
            "/purchase",
            purchase,
            "Buy a bundle for a phone number",
            {200: wire.Purchased, 402: wire.ErrorBody, 409: wire.DuplicateOrder, 413: wire.ErrorBody, **_REFUSALS},
            allowance=AllowanceKind.PURCHASE,
            form=wire.PurchaseForm,
        ),
        Endpoint(
            "GET",
            "/order-status/{reference:path}",
            order_status,
            "The status of an order, by either reference",
            {200: wire.OrderStatus, 404: wire.ErrorBody, **_REFUSALS},
            parameters=(examples.REFERENCE,),
        ),
    ),
    about=examples.ABOUT,
    variables=examples.VARIABLES,
    story=examples.STORY,
)


def dialect(_: Settings) -> Dialect:
    """Return the dialect; no setting changes it."""
    return NETPLUSE
