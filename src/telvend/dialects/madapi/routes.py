"""MTN MADAPI Plans v2: a subscriber's plans and balances, premiums, refills, under /v2/customers; tokens under /v1/oauth.

Beside them Subscriptions v2 and Products v3, which are no part of that document: subscriptions.py.

Fixed words of the address (`refill`, `FRI`, `provision`) stand before `{productCode}` in the table: they are never read as one.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import msgspec

from telvend.catalog.model import is_product_code
from telvend.config import Settings
from telvend.dialects.contract import Context, Dialect, Endpoint, Response
from telvend.dialects.examples import Parameter
from telvend.dialects.headers import header_text
from telvend.dialects.madapi import KEYS, examples, refusals, subscription_wire, subscriptions, wire
from telvend.dialects.madapi.fields import PRODUCT_CODE, Fields, customer, long_id_of, plans_query, transaction_id_of
from telvend.dialects.madapi.forms import (
    FRI_STATE_FORM,
    MIGRATION_FORM,
    PREMIUM_FORM,
    REFILL_FORM,
    SUBSCRIPTION_FORM,
    TOKEN_FORM,
)
from telvend.dialects.madapi.oauth import access_token, client_of
from telvend.dialects.madapi.refusals import PLANS, PRODUCT, REFILL, Absent, ErrorBody, PremiumError
from telvend.errors import Busy, InvalidInput, NotFound, NotPermitted
from telvend.kit.addresses import network_of
from telvend.kit.allowance import AllowanceKind
from telvend.kit.money import GHS, NGN, SZL, UGX, ZAR
from telvend.kit.numbering import region_of
from telvend.operator.plans.model import Plans, PlansWanted
from telvend.operator.premiums.model import PremiumRequest
from telvend.operator.refills.model import RefillRequest
from telvend.sales.model import SaleKind

_LONGEST_SOURCE_SYSTEM: Final = 64

_CURRENCY_OF_MARKET: Final = {"GH": GHS, "NG": NGN, "SZ": SZL, "UG": UGX, "ZA": ZAR}


# Plans ------------------------------------------------------------------------------------------------------------------


async def plans(call: Context[None]) -> Response:
    """What the subscriber is and has. Parts are read apart from each other: 207 where one cannot be."""
    msisdn = _customer(call)
    wanted = plans_query(call.query)
    found = await call.services.plans.read(
        PlansWanted(
            call.caller.mode,
            msisdn,
            kinds=frozenset({wire.KINDS_OF_PLAN[wanted.plan]}) if wanted.plan else None,
            line=wanted.line,
            momo_authorization=_authorization(call) if wanted.momo else None,
        )
    )
    needed = None
    if wanted.quote:
        quoted = await call.services.premiums.quoted(call.caller.reseller_id, call.caller.mode, wanted.quote)
        needed = (quoted.request.amount + quoted.premium).minor
    elif wanted.momo and wanted.amount is not None:
        needed = wanted.amount * 10**found.currency.digits
    shown = wire.Shown(wanted.active, wanted.unused, wanted.reservations, needed)
    return wire.plans_answer(found, shown, call.request)


async def plans_for_product(call: Context[None]) -> Response:
    """The same, cut down to what came from one product. One that is known and was never bought is `balance: null`."""
    msisdn = _customer(call)
    product = _product(call)
    found = await call.services.plans.read(PlansWanted(call.caller.mode, msisdn, product=product))
    if found.buckets == () and not _is_known(call, product):
        raise NotFound("Product")
    return wire.plans_answer(found, wire.Shown(), call.request)


def _is_known(call: Context[None], product: str) -> bool:
    """Whether the shop sells it, the network defines it, or premiums are asked for it."""
    services = call.services
    return (
        services.entitlements.snapshot.bundle(product) is not None
        or services.catalogue.snapshot.product_by_code(product) is not None
        or services.premiums.knows(product)
    )


# Refills ----------------------------------------------------------------------------------------------------------------


async def refill(call: Context[dict[str, Any]]) -> Response:
    """By voucher, or from the partner's wallet; once for each transactionId."""
    msisdn = _customer(call)
    form = REFILL_FORM.read(Fields(call.form))
    request = RefillRequest(
        reseller_id=call.caller.reseller_id,
        dialect=KEYS.api,
        mode=call.caller.mode,
        transaction_id=call.request.trace,
        kind=form.refill_type,
        msisdn=msisdn,
        wallets=dict(call.caller.wallets),
        source=network_of(call.request.client),
        pin=form.voucher_activation_code,
        serial=form.serial_number,
        profile=form.refill_profile_id,
        units=form.transaction_amount,
        sent_id=long_id_of(call.headers),
        system=header_text(call.headers.get(b"sourcesystemid", b""))[:_LONGEST_SOURCE_SYSTEM],
    )
    refilled = await call.services.refills.refill(request)
    return wire.refill_answer(refilled, call.request)


# Premiums ---------------------------------------------------------------------------------------------------------------


async def premium(call: Context[dict[str, Any]]) -> Response:
    """What cover for a transaction costs; the customer of the path is who sends. The body's transactionId counts."""
    fields = Fields(call.form, call.services.home_country, call.request.trace)
    call.request.trace = PREMIUM_FORM.read_one("transaction_id", fields)
    fields.sender = _customer(call)
    fields.product_in_path = _product(call) if "productCode" in call.path else None
    form = PREMIUM_FORM.read(fields)
    found = await call.services.premiums.premium(
        PremiumRequest(
            call.caller.reseller_id,
            call.caller.mode,
            call.request.trace,
            form.product,
            form.transaction_type,
            fields.sender,
            form.receiving_customer_id,
            form.amount,
            form.account_holder_id,
            form.quote_id,
            form.message,
        )
    )
    return wire.premium_answer(found, call.request)


# Version 2.3 ------------------------------------------------------------------------------------------------------------


async def migrate(call: Context[dict[str, Any]]) -> Response:
    """To another tariff plan. The same again changes nothing, and is answered alike."""
    msisdn = _customer(call)
    plan = MIGRATION_FORM.read(Fields(call.form)).plan_id
    subscriber = await call.services.subscribers.migrate(call.caller.mode, msisdn, plan)
    return wire.migration_answer(subscriber, "MIGRATE", call.request)


async def provision(call: Context[dict[str, Any]]) -> Response:
    """Make the number a subscriber, who has nothing yet. One who is known already is 400/1002.

    Not where the operator alone adds subscribers (setting `own_network_creates_subscribers`).
    """
    if not call.services.creates_subscribers:
        raise NotPermitted("provision subscribers")
    msisdn = _customer(call)
    plan = MIGRATION_FORM.read(Fields(call.form)).plan_id
    currency = _CURRENCY_OF_MARKET.get(region_of(msisdn))
    if currency is None:
        raise InvalidInput("customerId", "is not a number of a market of this network")
    subscriber = await call.services.subscribers.add(msisdn, tariff_plan=plan, currency=currency)
    return wire.migration_answer(subscriber, "PROVISION", call.request)


async def fri(call: Context[None]) -> Response:
    """The state of the account of mobile money; like its balance only for who sends a right x-authorization."""
    found = await _momo(call, _customer(call))
    return wire.fri_answer(found.msisdn, _blocked(found), found.currency, call.request)


async def set_fri_state(call: Context[dict[str, Any]]) -> Response:
    """Block the account of mobile money, or open it again."""
    msisdn = _customer(call)
    blocked = FRI_STATE_FORM.read(Fields(call.form)).state == "BLOCKED"
    found = await _momo(call, msisdn)
    await call.services.mobile_money.set_blocked(call.caller.mode, msisdn, blocked)
    return wire.fri_answer(found.msisdn, blocked, found.currency, call.request)


async def _momo(call: Context[Any], msisdn: str) -> Plans:
    found = await call.services.plans.read(
        PlansWanted(call.caller.mode, msisdn, kinds=frozenset(), momo_authorization=_authorization(call))
    )
    if found.momo is None:
        raise Busy
    return found


def _blocked(found: Plans) -> bool:
    return found.momo is not None and found.momo.blocked


# What several of them read ----------------------------------------------------------------------------------------------


def _customer(call: Context[Any]) -> str:
    return customer(call.path["customerId"], call.services.home_country)


def _product(call: Context[Any]) -> str:
    product = call.path["productCode"]
    if not is_product_code(product):
        raise InvalidInput("productCode", PRODUCT_CODE)
    return product


def _authorization(call: Context[Any]) -> str:
    return call.headers.get(b"x-authorization", b"").decode("latin-1").strip()


def _key_of(headers: Mapping[bytes, bytes]) -> str | None:
    """A token before a key, where both are sent."""
    return _bearer(headers) or _api_key(headers)


def _second_key_of(headers: Mapping[bytes, bytes]) -> str | None:
    return _api_key(headers) if _bearer(headers) else None


def _api_key(headers: Mapping[bytes, bytes]) -> str | None:
    key = headers.get(b"x-api-key")
    return key.decode("latin-1").strip() if key else None


def _bearer(headers: Mapping[bytes, bytes]) -> str | None:
    given = headers.get(b"authorization")
    if given is None:
        return None
    scheme, _, token = given.decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


_REFUSALS: Final[dict[int, type[msgspec.Struct]]] = {
    400: ErrorBody, 401: ErrorBody, 403: ErrorBody, 404: ErrorBody, 405: ErrorBody, 429: ErrorBody, 500: ErrorBody, 503: ErrorBody,
}  # fmt: skip
_READ: Final[dict[int, type[msgspec.Struct]]] = {200: wire.PlansAnswer, 207: wire.PlansAnswer, **_REFUSALS, 404: Absent}
_BODY: Final[dict[int, type[msgspec.Struct]]] = {413: ErrorBody, 415: ErrorBody}
_PREMIUM: Final[dict[int, type[msgspec.Struct]]] = {
    200: wire.PremiumAnswer, 207: wire.PremiumAnswer, 400: PremiumError, 401: PremiumError, 403: PremiumError, 404: Absent,
    405: ErrorBody, 413: PremiumError, 415: PremiumError, 429: PremiumError, 500: PremiumError, 503: PremiumError,
}  # fmt: skip


def _premium(path: str, summary: str, parameters: tuple[Parameter, ...]) -> Endpoint:
    return Endpoint(
        "POST",
        path,
        premium,
        summary,
        _PREMIUM,
        form=PREMIUM_FORM,
        url_encoded=True,
        parameters=parameters,
    )


ENDPOINTS: Final = (
    Endpoint("GET", PLANS, plans, "A subscriber's plan and balances", _READ, parameters=examples.PLANS_PARAMETERS),
    _premium(PLANS, "What cover for a transaction costs (the spelling of version 2.3)", examples.COMMON),
    Endpoint(
        "PATCH",
        PLANS,
        migrate,
        "Change the tariff plan",
        {200: wire.MigrationAnswer, **_REFUSALS, **_BODY},
        allowance=AllowanceKind.PURCHASE,
        form=MIGRATION_FORM,
        parameters=examples.COMMON,
    ),
    Endpoint(
        "PATCH",
        REFILL,
        refill,
        "Refill by voucher, or from the partner's wallet",
        {200: wire.RefillAnswer, **_REFUSALS, **_BODY},
        allowance=AllowanceKind.PURCHASE,
        form=REFILL_FORM,
        parameters=examples.REFILL_PARAMETERS,
        url_encoded=True,
    ),
    Endpoint(
        "GET",
        f"{PLANS}/FRI",
        fri,
        "The state of the mobile money account",
        {200: wire.FriAnswer, **_REFUSALS},
        parameters=examples.FRI_PARAMETERS,
    ),
    Endpoint(
        "PATCH",
        f"{PLANS}/FRI/state",
        set_fri_state,
        "Block the mobile money account, or open it again",
        {200: wire.FriAnswer, **_REFUSALS, **_BODY},
        allowance=AllowanceKind.PURCHASE,
        form=FRI_STATE_FORM,
        parameters=examples.FRI_PARAMETERS,
    ),
    Endpoint(
        "POST",
        f"{PLANS}/provision",
        provision,
        "Make a number a subscriber",
        {200: wire.MigrationAnswer, **_REFUSALS, **_BODY},
        allowance=AllowanceKind.PURCHASE,
        form=MIGRATION_FORM,
        parameters=examples.COMMON,
    ),
    Endpoint(
        "GET",
        PRODUCT,
        plans_for_product,
        "What a subscriber has of one product",
        _READ,
        parameters=examples.PRODUCT_PARAMETERS,
    ),
    _premium(PRODUCT, "What cover for a transaction costs", examples.PRODUCT_PARAMETERS),
    # Additions: what partners buy bundles with, and how a refill is asked about.
    Endpoint(
        "GET",
        subscriptions.REFILL_STATUS,
        subscriptions.refill_status,
        "The refill under a transactionId",
        {200: wire.RefillAnswer, **_REFUSALS, 404: subscription_wire.NotSold},
        parameters=examples.REFILL_STATUS_PARAMETERS,
    ),
    Endpoint(
        "GET",
        subscriptions.PRODUCTS,
        subscriptions.products,
        "The bundles on sale for a customer",
        {200: subscription_wire.ProductsAnswer, **_REFUSALS},
        parameters=examples.PRODUCTS_PARAMETERS,
    ),
    Endpoint(
        "POST",
        subscriptions.SUBSCRIPTIONS,
        subscriptions.subscribe,
        "Buy a bundle from the partner's wallet",
        {
            201: subscription_wire.SubscriptionAnswer,
            202: subscription_wire.SubscriptionAnswer,
            **_REFUSALS,
            **_BODY,
        },
        allowance=AllowanceKind.PURCHASE,
        form=SUBSCRIPTION_FORM,
        parameters=examples.COMMON,
    ),
    Endpoint(
        "GET",
        subscriptions.SUBSCRIPTIONS,
        subscriptions.subscriptions,
        "What this partner has bought for a customer",
        {200: subscription_wire.SubscriptionsAnswer, **_REFUSALS},
        parameters=examples.SUBSCRIPTIONS_PARAMETERS,
    ),
    Endpoint(
        "GET",
        subscriptions.STATUS,
        subscriptions.subscription_status,
        "What became of a subscription",
        {
            200: subscription_wire.SubscriptionAnswer,
            202: subscription_wire.SubscriptionAnswer,
            **_REFUSALS,
            404: subscription_wire.NotSold,
        },
        parameters=examples.STATUS_PARAMETERS,
    ),
    Endpoint(
        "POST",
        "/v1/oauth/access_token",
        access_token,
        "A token for a key and its secret",
        {200: wire.Token, **_REFUSALS, **_BODY},
        form=TOKEN_FORM,
        url_encoded=True,
        key_in_form=client_of,
        parameters=examples.TOKEN_PARAMETERS,
    ),
)


def madapi(*, literal_999: bool = False) -> Dialect:
    """The dialect. `literal_999`: an unclassified failure of a refill has the document's status instead of 500."""
    return Dialect(
        name=KEYS.api,
        title="MTN MADAPI Plans v2",
        base_path="",
        mounts=("/v2", "/v3", "/v1/oauth"),
        key_of=_key_of,
        second_key_of=_second_key_of,
        trace_of=transaction_id_of,
        trace_header=b"transactionid",
        minds_media_type=True,
        sells=frozenset({SaleKind.REFILL, SaleKind.ORDER}),
        error=partial(refusals.error_answer, literal_999=literal_999),
        security={"type": "apiKey", "in": "header", "name": "X-API-Key"},
        more_security={
            "token": {
                "type": "oauth2",
                "flows": {"clientCredentials": {"tokenUrl": "/v1/oauth/access_token", "scopes": {}}},
            }
        },
        endpoints=ENDPOINTS,
        about=examples.ABOUT,
        variables=examples.VARIABLES,
        story=examples.STORY,
    )


MADAPI: Final = madapi()


def dialect(settings: Settings) -> Dialect:
    """Return the dialect as the settings want it."""
    return madapi(literal_999=settings.madapi_literal_999)
