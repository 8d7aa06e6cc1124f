"""networkdatasub (Nigeria): user, networks, airtime, data, wallet and transactions, under /api."""

from collections.abc import Collection, Mapping
from datetime import datetime, time, timedelta, timezone
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from telvend.authorities.contract import VerificationKind as IdentityKind
from telvend.config import Settings
from telvend.dialects.contract import Context, Dialect, Endpoint, Response
from telvend.dialects.examples import Parameter
from telvend.dialects.forms import Form
from telvend.dialects.networkdatasub import KEYS, examples, wire
from telvend.dialects.networkdatasub.courtesies import SCHEMES, read_form_body
from telvend.dialects.networkdatasub.fields import COUNTRY, REFERENCE_TEXT, Fields
from telvend.dialects.networkdatasub.forms import AIRTIME_FORM, BVN_FORM, DATA_FORM, FUND_FORM, NIN_FORM, Bvn
from telvend.errors import NotFound
from telvend.identity.model import VerificationRequest
from telvend.kit.allowance import AllowanceKind
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret
from telvend.orders.model import Placement
from telvend.sales.model import SaleKind
from telvend.wallets.model import Filter, TransactionKind

RECENT: Final = 5
PER_PAGE: Final = 15
MOST_PER_PAGE: Final = 50
LAGOS: Final = timezone(timedelta(hours=1), "Africa/Lagos")


# User -------------------------------------------------------------------------------------------------------------------


async def user(call: Context[None]) -> Response:
    profile = await call.services.resellers.profile(call.caller.reseller_id)
    return wire.ok(wire.user(profile, await _balance(call)))


async def user_profile(call: Context[None]) -> Response:
    profile = await call.services.resellers.profile(call.caller.reseller_id)
    summary = await call.services.transactions.summary(_wallet(call), NGN)
    avatar = f"{call.base_url}/avatars/{profile.avatar_token or 'none'}"
    return wire.ok(wire.profile_body(profile, summary.balance, summary.last_funded_at, avatar))


# Networks and plans -----------------------------------------------------------------------------------------------------


async def mobile_networks(call: Context[None]) -> Response:
    return wire.ok(_lines(call), "Mobile networks retrieved successfully")


async def networks(call: Context[None]) -> Response:
    catalogue = call.services.catalogue.snapshot
    found = [wire.network_details(catalogue, network, call.base_url) for network in catalogue.networks(COUNTRY)]
    return wire.ok(found, "Networks retrieved successfully")


async def airtime_types(call: Context[None]) -> Response:
    catalogue = call.services.catalogue.snapshot
    sold = [network for network in catalogue.networks(COUNTRY) if catalogue.airtime(COUNTRY, network.code)]
    return wire.ok(
        [wire.network_line(network, call.base_url) for network in sold], "Airtime types retrieved successfully"
    )


async def data_networks(call: Context[None]) -> Response:
    catalogue = call.services.catalogue.snapshot
    found = [
        wire.network_line(network, call.base_url) | {"data_types": wire.data_types(catalogue, network)}
        for network in catalogue.networks(COUNTRY)
        if catalogue.plans(COUNTRY, network.code)
    ]
    return wire.ok(found, "Data networks retrieved successfully")


async def data_plans(call: Context[None]) -> Response:
    fields = _query_fields(call)
    network = fields.network("network")
    type_ = fields.text("type", required=False)
    catalogue = call.services.catalogue.snapshot
    plans = catalogue.plans(COUNTRY, network.code) if network else ()
    if network and type_:
        plans = tuple(plan for plan in plans if plan.type.casefold() == type_.casefold())
        # A type of which nothing is on sale today is known all the same, and has no plans.
        if type_.casefold() not in (known.casefold() for known in catalogue.types(COUNTRY, network.code)):
            fields.add("type", f"is not a data type of {network.name}")
    fields.raise_if_any()
    return wire.ok([wire.plan(plan) for plan in plans], "Data plans retrieved successfully")


async def all_data_plans(call: Context[None]) -> Response:
    """A courtesy: the plans of every network, or of those that `network` and `type` leave, in the service's own shape."""
    fields = _query_fields(call)
    catalogue = call.services.catalogue.snapshot
    network = fields.network("network") if fields.has("network") else None
    type_ = fields.text("type", required=False).casefold()
    fields.raise_if_any()
    found = [
        (network, plan)
        for network in ((network,) if network else catalogue.networks(COUNTRY))
        for plan in catalogue.plans(COUNTRY, network.code)
        if not type_ or plan.type.casefold() == type_
    ]
    return wire.ok(wire.all_plans(found), "Data plans retrieved successfully")


# Purchases --------------------------------------------------------------------------------------------------------------


async def airtime_purchase(call: Context[dict[str, Any]]) -> Response:
    """Waits for the delivery; still open after the setting `delivery_wait_s` it is answered as pending."""
    form = AIRTIME_FORM.read(_fields(call))
    placement = await call.services.orders.buy_airtime(
        call.caller,
        network=form.network,
        amount=form.amount,
        subscriber=form.phone,
        client_reference=form.reference,
        prefix="AIR",
    )
    return await _delivered(call, placement, "Airtime")


async def data_purchase(call: Context[dict[str, Any]]) -> Response:
    """Waits for the delivery, as airtime does."""
    form = DATA_FORM.read(_fields(call))
    placement = await call.services.orders.buy_plan(
        call.caller,
        network=form.network,
        plan=form.plan,
        subscriber=form.phone,
        client_reference=form.reference,
        prefix="DATA",
    )
    return await _delivered(call, placement, "Data")


async def _delivered(call: Context[dict[str, Any]], placement: Placement, what: str) -> Response:
    order = await call.services.orders.settled(placement.order, call.services.delivery_wait_s)
    # The money is taken: an error because the balance cannot be read would make the caller buy again.
    balance = await call.services.wallets.balance_or(_wallet(call), order.balance_after.minor)
    return wire.purchase_answer(placement, order, Money(balance, NGN), what)


# Wallet and transactions ------------------------------------------------------------------------------------------------


async def wallet_balance(call: Context[None]) -> Response:
    wallet_id = _wallet(call)
    summary = await call.services.transactions.summary(wallet_id, NGN)
    return wire.ok(
        wire.wallet_balance(wallet_id, call.caller.reseller_number, summary.balance, summary.last_funded_at),
        "Wallet balance retrieved successfully",
    )


async def wallet_summary(call: Context[None]) -> Response:
    wallet_id = _wallet(call)
    transactions = call.services.transactions
    page = await transactions.page(wallet_id, NGN, Filter(), limit=RECENT, offset=0)
    summary = await transactions.summary(wallet_id, NGN)
    return wire.ok(wire.wallet_summary(wallet_id, summary, page.transactions), "Wallet summary retrieved successfully")


async def transactions(call: Context[None]) -> Response:
    query = _query(call)
    fields = Fields(query)
    page = fields.whole_number("page", minimum=1, maximum=2**53, default=1)
    per_page = fields.whole_number("per_page", minimum=1, maximum=MOST_PER_PAGE, default=PER_PAGE)
    wanted = _filter(fields)
    fields.raise_if_any()
    found = await call.services.transactions.page(
        _wallet(call), NGN, wanted, limit=per_page, offset=(page - 1) * per_page
    )
    rows = [wire.transaction_row(item, call.caller.reseller_number) for item in found.transactions]
    kept = urlencode({name: value for name, value in query.items() if name in _KEPT})
    body = wire.paginated(rows, found.total, page, per_page, f"{call.base_url}/api/transactions", kept)
    return wire.ok(body, "Transactions retrieved successfully")


_KEPT: Final = ("per_page", "type", "status", "start_date", "end_date")


async def transaction(call: Context[None]) -> Response:
    """By our reference; else a purchase by the caller's own, so that one whose answer was lost can be asked about."""
    wallet_id, reference = _wallet(call), call.path["reference"]
    found = await call.services.transactions.look_up(wallet_id, NGN, reference)
    if found is None:
        found = await call.services.transactions.find(wallet_id, NGN, await _our_reference(call, reference))
    more: dict[str, Any] = {}
    if found.kind is TransactionKind.REFILL:
        more = wire.delivery(None, None)  # It arrived when it was paid; no provider was asked.
    elif found.service in ("data", "airtime"):
        attempts = (await call.services.order_records.history(found.reference)).attempts
        plan = call.services.catalogue.snapshot.product(found.facts["product_id"])
        more = wire.delivery(attempts[-1] if attempts else None, plan)
    return wire.ok(
        wire.transaction_details(found, call.caller.reseller_number, more), "Transaction details retrieved successfully"
    )


async def _our_reference(call: Context[None], reference: str) -> str:
    """Our reference of the purchase that the caller has called so. Raises NotFound, Busy."""
    if REFERENCE_TEXT.holds(reference):
        caller = call.caller
        key = (caller.reseller_id, caller.api, str(caller.mode), reference)
        order = (await call.services.orders.under([key])).get(key)
        if order is not None:
            return order.reference
    raise NotFound("Transaction")


def _filter(fields: Fields) -> Filter:
    type_ = fields.text("type", required=False)
    status = fields.text("status", required=False)
    start, end = fields.day("start_date"), fields.day("end_date")
    if type_ not in ("", "credit", "debit"):
        fields.add("type", "must be credit or debit")
    if status and status not in wire.STATUSES:
        fields.add("status", "must be pending, completed or failed")
    if start and end and end < start:
        fields.add("end_date", "must not be before start_date")
    # Whole days of Lagos, both included.
    return Filter(
        credit=None if not type_ else type_ == "credit",
        status=wire.STATUSES.get(status),
        start=datetime.combine(start, time.min, LAGOS) if start else None,
        end=datetime.combine(end, time.min, LAGOS) + timedelta(days=1) if end and end.year < 9999 else None,
    )


# Funding ----------------------------------------------------------------------------------------------------------------


async def wallet_fund(call: Context[dict[str, Any]]) -> Response:
    """Begins a funding. Only the gateway's verified word credits the wallet."""
    form = FUND_FORM.read(_fields(call))
    started = await call.services.fundings.start(
        call.caller, form.amount, form.payment_method, form.redirect_url, base_url=call.base_url
    )
    return wire.ok(wire.funding(started), "Funding request initiated successfully")


# Verification -----------------------------------------------------------------------------------------------------------


async def nin_pricing(call: Context[None]) -> Response:
    return await _pricing(call, IdentityKind.NIN)


async def bvn_pricing(call: Context[None]) -> Response:
    return await _pricing(call, IdentityKind.BVN)


async def nin_verify(call: Context[dict[str, Any]]) -> Response:
    return await _verify(call, IdentityKind.NIN)


async def bvn_verify(call: Context[dict[str, Any]]) -> Response:
    return await _verify(call, IdentityKind.BVN)


async def nin_history(call: Context[None]) -> Response:
    return await _history(call, IdentityKind.NIN)


async def bvn_history(call: Context[None]) -> Response:
    return await _history(call, IdentityKind.BVN)


async def nin_details(call: Context[None]) -> Response:
    return await _verification(call, IdentityKind.NIN)


async def bvn_details(call: Context[None]) -> Response:
    return await _verification(call, IdentityKind.BVN)


async def _pricing(call: Context[None], kind: IdentityKind) -> Response:
    lines = [wire.price(line) for line in await call.services.identity.prices(kind)]
    return wire.ok(lines, f"{kind.upper()} verification pricing retrieved successfully")


async def _verify(call: Context[dict[str, Any]], kind: IdentityKind) -> Response:
    """An identity check is a sale whose value is the answer; no answer costs nothing."""
    fields = _fields(call, {line.card_type for line in await call.services.identity.prices(kind)})
    form = NIN_FORM.read(fields) if kind is IdentityKind.NIN else BVN_FORM.read(fields)
    provider = form.provider if isinstance(form, Bvn) else None
    request = VerificationRequest(
        kind,
        Secret(form.number),
        form.card_type,
        provider=wire.AUTHORITY_BY_PROVIDER.get(provider or ""),
        force_new=form.force_new,
        use_real_api=form.use_real_api,
        client_reference=form.reference,
    )
    checked = await call.services.identity.check(call.caller, request)
    return wire.checked_answer(kind, checked, provider)


async def _history(call: Context[None], kind: IdentityKind) -> Response:
    fields = Fields(_query(call))
    before = fields.whole_number("before", minimum=1, maximum=2**53, default=2**53)
    fields.raise_if_any()
    found = await call.services.identity.history(call.caller, kind, before=before)
    rows = [wire.verification_row(kind, opened, call.caller.reseller_number) for opened in found]
    return wire.ok(rows, f"{kind.upper()} verifications retrieved successfully")


async def _verification(call: Context[None], kind: IdentityKind) -> Response:
    text = call.path["id"]
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
    opened = await call.services.identity.detail(call.caller, kind, number)
    body = {
        "verification": wire.verification_row(kind, opened, call.caller.reseller_number),
        "details": wire.details(kind, opened),
    }
    return wire.ok(body, f"{kind.upper()} verification retrieved successfully")


# What they share --------------------------------------------------------------------------------------------------------


def _lines(call: Context[None]) -> list[dict[str, Any]]:
    found = call.services.catalogue.snapshot.networks(COUNTRY)
    return [wire.network_line(network, call.base_url) for network in found]


def _fields(call: Context[dict[str, Any]], cards: Collection[str] = ()) -> Fields:
    """The body's fields, with what is needed to read them."""
    key = call.headers.get(b"idempotency-key")
    return Fields(call.form, call.services.catalogue.snapshot, cards=cards, idempotency_key=key)


def _query_fields(call: Context[None]) -> Fields:
    return Fields(_query(call), call.services.catalogue.snapshot)


def _wallet(call: Context[Any]) -> int:
    wallet_id = call.caller.wallets.get(NGN.code)
    if wallet_id is None:
        raise NotFound("The wallet")
    return wallet_id


async def _balance(call: Context[Any]) -> Money:
    return Money(await call.services.wallets.balance(_wallet(call)), NGN)


def _query(call: Context[Any]) -> dict[str, str]:
    return dict(parse_qsl(call.query.decode("latin-1"), keep_blank_values=False))


def _key_of(headers: Mapping[bytes, bytes]) -> str | None:
    """`Authorization: Token KEY`; the word in any case. As a courtesy also `Bearer`."""
    scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() in SCHEMES else None


def _get(path: str, handler: Any, summary: str) -> Endpoint:
    return Endpoint("GET", path, handler, summary, _ANSWERS, parameters=_parameters("GET", path))


def _post(path: str, handler: Any, summary: str, form: Form[Any]) -> Endpoint:
    parameters = _parameters("POST", path)
    return Endpoint(
        "POST",
        path,
        handler,
        summary,
        _BOUGHT,
        AllowanceKind.PURCHASE,
        form,
        read_other=read_form_body,
        parameters=parameters,
    )


def _parameters(method: str, path: str) -> tuple[Parameter, ...]:
    return examples.PARAMETERS.get(f"{method} {path.replace(':path', '')}", ())


_ANSWERS: Final = dict.fromkeys((200, 401, 404, 422, 429, 503), wire.Envelope)
_BOUGHT: Final = _ANSWERS | dict.fromkeys((400, 409, 413), wire.Envelope)

NETWORKDATASUB: Final = Dialect(
    name=KEYS.api,
    title="networkdatasub",
    base_path="/api",
    key_of=_key_of,
    sells=frozenset({SaleKind.ORDER, SaleKind.VERIFICATION}),
    error=wire.error_answer,
    security={
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The word Token, a space, and the key.",
    },
    endpoints=(
        _get("/user", user, "Who the key belongs to"),
        _get("/user/profile", user_profile, "The account's profile"),
        _get("/mobile/networks", mobile_networks, "Mobile networks"),
        _get("/networks", networks, "Networks with their details"),
        _get("/airtime/types", airtime_types, "Networks that airtime is sold for"),
        _post("/airtime/purchase", airtime_purchase, "Buy airtime", AIRTIME_FORM),
        _get("/data/networks", data_networks, "Networks that data is sold for"),
        _get("/data-plans", data_plans, "Data plans of a network"),
        _post("/data/purchase", data_purchase, "Buy data", DATA_FORM),
        _get("/wallet/balance", wallet_balance, "The wallet's balance"),
        _get("/wallet/summary", wallet_summary, "The wallet in numbers"),
        _post("/wallet/fund", wallet_fund, "Fund the wallet", FUND_FORM),
        _get("/verification/nin/pricing", nin_pricing, "What NIN checks cost"),
        _post("/verification/nin", nin_verify, "Verify a NIN", NIN_FORM),
        _get("/verification/nin/history", nin_history, "NIN checks so far"),
        _get("/verification/nin/{id}", nin_details, "One NIN check"),
        _get("/verification/bvn/pricing", bvn_pricing, "What BVN checks cost"),
        _post("/verification/bvn", bvn_verify, "Verify a BVN", BVN_FORM),
        _get("/verification/bvn/history", bvn_history, "BVN checks so far"),
        _get("/verification/bvn/{id}", bvn_details, "One BVN check"),
        _get("/transactions", transactions, "The list of transactions"),
        _get("/transactions/{reference:path}", transaction, "One transaction"),
    ),
    courtesies=(
        _get("/data/all-plans", all_data_plans, "Data plans of every network"),
        _get("/wallet", wallet_balance, "The wallet's balance"),
    ),
    about=examples.ABOUT,
    key_text="Token {key}",
    variables=examples.VARIABLES,
    story=examples.STORY,
)


def dialect(_: Settings) -> Dialect:
    """Return the dialect; no setting changes it."""
    return NETWORKDATASUB
