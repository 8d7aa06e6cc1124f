"""MADAPI's endpoints over doubles: what reaches the services, which checks come first, and how answers are made of theirs."""

from base64 import b64encode
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
import pytest

from telvend.bootstrap import APIS
from telvend.dialects.madapi.routes import madapi
from telvend.dialects.serving import DialectApp
from telvend.errors import (
    AlreadyExists,
    Busy,
    InsufficientBalance,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    ProductUnavailable,
    ReferenceReused,
)
from telvend.kit.allowance import AllowanceKind as Allowed
from telvend.kit.allowance import AllowanceVerdict
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret
from telvend.operator.plans.model import PlanPart, Plans, PlansWanted
from telvend.operator.premiums.model import NoMobileMoney, Premium, PremiumRequest, QuoteRefused
from telvend.operator.refills.model import Refilled, RefillKind, RefillRequest
from telvend.operator.subscribers.balances.model import BucketKind, MaximumCredit
from telvend.operator.subscribers.model import Subscriber, SubscriberBarred, SubscriberStatus
from telvend.operator.vouchers.model import LockedOut, PinRefused
from telvend.orders.model import Order, OrderFilter, OrderState, Placement
from telvend.resellers.keyforms import KeyForms
from telvend.resellers.model import Caller
from tests.madapi_schema import mind
from tests.unit.asgi import Reply, request
from tests.unit.dialects.madapi.doubles import (
    CATALOGUE,
    MAIN,
    MOMO,
    MTN,
    NOW,
    SOLD,
    SUBSCRIBER,
    WEEKEND,
    order,
    refilled,
)

KEY = "mtn_live_" + "k" * 40
TOKEN = "mtn_token_" + "t" * 40
OTHER = "mtn_live_" + "o" * 40
SECRET = "s" * 40
NUMBER = "2348031234567"
PLANS = f"/v2/customers/{NUMBER}/plans"
CALLER = Caller(
    reseller_id=UUID(int=1),
    reseller_number=1,
    key_id=UUID(int=2),
    key_bytes=UUID(int=2).bytes,
    api="madapi",
    mode=Mode.TEST,
    read_limit=60,
    purchase_limit=30,
    wallets={"NGN": 7},
)
PREMIUM = {
    "receivingCustomerId": "08031234568",
    "transactionId": "TX-20261122-000044",
    "product": "AYO_SWC",
    "transactionType": "transfer",
    "amount": {"type": "CURRENCY", "value": "10000", "unit": "NGN"},
}


class OnSale:
    """The catalogue, and one product more, of which only the code is known."""

    def product_by_code(self, code: str) -> Any:
        return "a product" if code == "SOLD" else CATALOGUE.product_by_code(code)

    def __getattr__(self, name: str) -> Any:
        return getattr(CATALOGUE, name)


@dataclass
class Shop:
    """Stands for every service at once, and remembers what it was asked. `raises`: what it answers with instead."""

    request: list[Any] = field(default_factory=list)
    allowances: list[Allowed] = field(default_factory=list)
    raises: Exception | None = None
    found: Plans = field(
        default_factory=lambda: Plans("+" + NUMBER, NGN, SUBSCRIBER, (MAIN, WEEKEND), None, frozenset(), NOW)
    )
    replayed: bool = False
    creates_subscribers: bool = True
    home_country: str = ""
    public_url: str = ""
    literal_999: bool = False
    delivery_wait_s: float = 8.0
    orders_there: list[Order] = field(default_factory=list)
    refills_there: list[str] = field(default_factory=list)
    settles_as: OrderState = OrderState.DELIVERED

    def __post_init__(self) -> None:
        self.resellers = self.subscribers = self.premiums = self.refills = self.orders = self.order_records = self
        self.entitlements = self.plans = self.mobile_money = self
        self.snapshot = self
        self.catalogue = SimpleNamespace(snapshot=OnSale())
        services: Any = self
        self.app = DialectApp(madapi(literal_999=self.literal_999), services, self)

    # Keys

    def hint_of(self, text: str) -> str:
        return KeyForms(APIS).hint_of(text)

    def cached(self, api: str, key: str) -> Caller | None:
        assert api == "madapi"
        return CALLER if key in (KEY, TOKEN) else None

    async def authenticate(self, api: str, key: str) -> Caller:
        if key == OTHER:
            return replace(CALLER, key_id=UUID(int=3))
        found = self.cached(api, key)
        if found is None:
            raise NotAuthenticated
        return found

    async def issue_token(self, caller: Caller, secret: Secret) -> Secret:
        assert caller == CALLER
        if secret.reveal() != SECRET:
            raise NotAuthenticated
        return Secret(TOKEN)

    async def take(self, key: bytes, kind: Allowed, limit: int) -> AllowanceVerdict:
        assert key == CALLER.key_bytes
        self.allowances.append(kind)
        return AllowanceVerdict(True, limit, limit - 1, 60, 0)

    # What there is

    def bundle(self, code: str) -> Any:
        return "a bundle" if code == "BUNDLE" else None

    def knows(self, product: str) -> bool:
        return product == "AYO_SWC"

    # Verbs

    async def read(self, wanted: PlansWanted) -> Plans:
        return self._answer(wanted, self.found)

    async def refill(self, wanted: RefillRequest) -> Refilled:
        return self._answer(wanted, refilled(10000, replayed=self.replayed))

    async def premium(self, wanted: PremiumRequest) -> Premium:
        return self._answer(
            wanted,
            Premium("PRM-1-abcdef", wanted, Money(25000, NGN), None, "Cover", NOW + timedelta(days=1), self.replayed),
        )

    async def quoted(self, reseller_id: UUID, mode: Mode, reference: str) -> Premium:
        if reference != "PRM-1-abcdef":
            raise QuoteRefused("is not a quote of yours")
        request = PremiumRequest(reseller_id, mode, "", "AYO_SWC", "TRANSFER", "", "", Money(1800000, NGN))
        return Premium(reference, request, Money(50000, NGN), None, "", NOW, True)

    async def buy_plan(self, caller: Caller, **wanted: Any) -> Placement:
        made = order(OrderState.ACCEPTED, transaction_id=wanted["client_reference"])
        return self._answer((caller, wanted), Placement(made, self.replayed, 0.0))

    async def settled(self, order: Order, timeout_s: float) -> Order:
        assert timeout_s == self.delivery_wait_s
        return msgspec.structs.replace(order, state=self.settles_as)

    async def find(self, *key: Any) -> Any:
        """An order of a caller, or a refill by its whole key."""
        self.request.append(key)
        if len(key) == 2:
            found = [one for one in self.orders_there if key[1] in (one.reference, one.client_reference)]
            if not found:
                raise NotFound("Order")
            return found[0]
        if key[3] not in self.refills_there:
            raise NotFound("Refill")
        return refilled(10000).refill

    async def list_orders(self, wanted: OrderFilter, *, before: int | None, limit: int) -> list[Order]:
        self.request.append((wanted, before, limit))
        return self.orders_there[:limit]

    async def migrate(self, mode: Mode, msisdn: str, tariff_plan: str) -> Subscriber:
        return self._answer((mode, msisdn, tariff_plan), replace_plan(tariff_plan))

    async def add(self, msisdn: str, *, tariff_plan: str, currency: Any) -> Subscriber:
        return self._answer((msisdn, tariff_plan, currency), replace_plan(tariff_plan))

    async def set_blocked(self, mode: Mode, msisdn: str, blocked: bool) -> None:
        self.request.append((mode, msisdn, blocked))

    def _answer(self, wanted: Any, answer: Any) -> Any:
        self.request.append(wanted)
        if self.raises is not None:
            raise self.raises
        return answer

    # Asking

    async def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **query: str
    ) -> Reply:
        """One request with the key, whose answer is what the schema demands and carries the transactionId in force."""
        given = {"x-api-key": KEY} | (headers or {})
        raw = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        reply = await request(self.app, method, path, headers=given, body=raw, query=urlencode(query).encode())
        if reply.status != 999:
            mind(method, path, reply.status, reply.json)
        in_force = reply.header("transactionid")
        assert in_force
        assert reply.json.get("transactionId", in_force) == in_force
        return reply

    async def refill_with(self, **changes: Any) -> Reply:
        body = {"refillType": "voucher", "voucherActivationCode": "0123456789012345"} | changes
        return await self.send("PATCH", f"{PLANS}/refill", body, {"transactionId": "TX-00001"})


def replace_plan(tariff_plan: str) -> Subscriber:
    return msgspec.structs.replace(SUBSCRIBER, tariff_plan=tariff_plan)


@pytest.fixture
def shop() -> Shop:
    return Shop()


def code(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.json["statusCode"]


# Plans


async def test_plans_are_asked_for_in_the_keys_mode_and_in_e164(shop: Shop) -> None:
    for spelling in (NUMBER, "+" + NUMBER, "0803 123 4567"):
        assert code(await shop.send("GET", f"/v2/customers/{spelling}/plans")) == (200, "0000")
    assert shop.request == [PlansWanted(Mode.TEST, "+" + NUMBER)] * 3
    assert shop.allowances == [Allowed.READ] * 3


async def test_the_home_country_of_the_settings_is_used(shop: Shop) -> None:
    shop.home_country = "UG"
    await shop.send("GET", "/v2/customers/0772123456/plans")
    assert shop.request[0].msisdn == "+256772123456"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"plan": "data"}, {"kinds": frozenset({BucketKind.DATA})}),
        ({"plan": "VOICE"}, {"kinds": frozenset({BucketKind.MINUTES})}),
        ({"plan": "Sms"}, {"kinds": frozenset({BucketKind.SMS})}),
        ({"fixedLine": "+2342012345"}, {"line": "+2342012345"}),
        ({"momo": "true"}, {"momo_authorization": "proof"}),
        ({"momo": "TRUE", "includeReservations": "true"}, {"momo_authorization": "proof"}),
        ({"momo": "false", "includeReservations": "perhaps", "quoteid": "x" * 200}, {}),
        ({"segment": "Agent", "idType": "msisdn", "prefLanguage": "EN", "extRequest": "no"}, {}),
        ({"segment": "king", "idType": "EMAIL", "prefLanguage": "De", "extRequest": "maybe"}, {}),
        ({"targetSystem": "CIS", "referenceid": "1", "detailedBalance": "yes", "anything": "x" * 500, "plan": ""}, {}),
        ({"usageType": "2", "amount": "100"}, {}),
    ],
)
async def test_parameters_filter_or_are_ignored(shop: Shop, query: dict[str, str], wanted: dict[str, Any]) -> None:
    assert code(await shop.send("GET", PLANS, None, {"x-authorization": "proof"}, **query)) == (200, "0000")
    assert shop.request == [replace(PlansWanted(Mode.TEST, "+" + NUMBER), **wanted)]


@pytest.mark.parametrize(
    "query",
    [{"plan": "GAMES"}, {"momo": "yes"}, {"momo": "true", "includeReservations": "2"}, {"usageType": "4"}, {"amount": "-1"},
     {"amount": "1.5"},
     {"fixedLine": "a/b"}, {"momo": "true", "quoteid": "x" * 65}],
)  # fmt: skip
async def test_a_wrong_parameter_is_named_and_nobody_is_asked(shop: Shop, query: dict[str, str]) -> None:
    reply = await shop.send("GET", PLANS, **query)
    assert code(reply) == (400, "5000")
    assert list(query)[-1] in reply.json["supportMessage"]
    assert shop.request == []


async def test_mobile_money_without_proof_is_asked_for_with_an_empty_one_and_refused(shop: Shop) -> None:
    shop.raises = NotPermitted("read this subscriber's mobile money")
    assert code(await shop.send("GET", PLANS, momo="true")) == (403, "6000")
    assert shop.request[0].momo_authorization == ""


@pytest.mark.parametrize(
    ("query", "less"),
    [({"amount": "18400"}, False), ({"amount": "18401"}, True), ({"quoteid": "PRM-1-abcdef"}, True), ({}, None)],
)
async def test_an_amount_or_a_quote_is_compared_with_the_balance(shop: Shop, query: dict[str, str], less: Any) -> None:
    shop.found = replace(shop.found, momo=MOMO, buckets=())
    reply = await shop.send("GET", PLANS, momo="true", **query)
    assert reply.json["data"]["balance"][0]["momoBalanceData"].get("status") is less


async def test_a_quote_of_somebody_else_is_refused(shop: Shop) -> None:
    assert code(await shop.send("GET", PLANS, momo="true", quoteid="PRM-2-abcdef")) == (400, "5001")


async def test_a_missing_part_is_207_and_none_at_all_503(shop: Shop) -> None:
    shop.found = replace(shop.found, buckets=None, missing=frozenset({PlanPart.BALANCE}))
    assert code(await shop.send("GET", PLANS)) == (207, "0000")
    shop.raises = Busy(2)
    reply = await shop.send("GET", PLANS)
    assert code(reply) == (503, "3000")
    assert reply.header("retry-after") == "2"


async def test_an_unknown_subscriber_has_null_data(shop: Shop) -> None:
    shop.raises = NotFound("Subscriber")
    for path in (PLANS, f"{PLANS}/SOLD"):
        reply = await shop.send("GET", path)
        assert code(reply) == (404, "1000")
        assert reply.json["data"] is None


# One product


async def test_a_product_narrows_what_is_read(shop: Shop) -> None:
    assert code(await shop.send("GET", f"{PLANS}/NACT_NG_Data_4504")) == (200, "0000")
    assert shop.request == [PlansWanted(Mode.TEST, "+" + NUMBER, product="NACT_NG_Data_4504")]


@pytest.mark.parametrize(
    ("product", "answer"),
    [("SOLD", (200, "0000")), ("BUNDLE", (200, "0000")), ("AYO_SWC", (200, "0000")), ("NOPE", (404, "1000"))],
)
async def test_a_known_product_that_was_never_bought_is_no_error(shop: Shop, product: str, answer: Any) -> None:
    shop.found = replace(shop.found, buckets=())
    reply = await shop.send("GET", f"{PLANS}/{product}")
    assert code(reply) == answer
    assert answer[0] == 404 or reply.json["data"]["balance"] is None


async def test_balances_that_cannot_be_read_do_not_make_a_product_unknown(shop: Shop) -> None:
    shop.found = replace(shop.found, buckets=None, missing=frozenset({PlanPart.BALANCE}))
    assert code(await shop.send("GET", f"{PLANS}/NOPE")) == (207, "0000")


async def test_a_product_code_that_is_none_is_refused(shop: Shop) -> None:
    for bad in ("a b", "x" * 65, "a~b"):
        assert code(await shop.send("GET", f"{PLANS}/{bad}")) == (400, "5000")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/refill", "PATCH"), ("POST", "/refill", "PATCH"), ("POST", "/FRI", "GET, HEAD"), ("GET", "/FRI/state", "PATCH"),
        ("GET", "/provision", "POST"), ("DELETE", "/SOLD", "GET, POST, HEAD"), ("PUT", "", "GET, POST, PATCH, HEAD"),
    ],
)  # fmt: skip
async def test_fixed_words_are_no_products_and_a_wrong_method_needs_no_key(
    shop: Shop, method: str, path: str, allow: str
) -> None:
    reply = await shop.send(method, PLANS + path, None, {"x-api-key": ""})
    assert code(reply) == (405, "4001")
    assert reply.header("allow") == allow
    assert reply.json["method"] == method
    assert shop.request == []


@pytest.mark.parametrize(
    "path",
    ["/v2", "/v2/", "/v2/customers", PLANS + "/", PLANS + "/refill/", PLANS + "/a/b", "/v1/oauth", "/v1/oauth/token"],
)
async def test_an_unknown_address_has_the_gateways_shape_and_needs_no_key(shop: Shop, path: str) -> None:
    reply = await shop.send("GET", path, None, {"x-api-key": ""})
    assert (reply.status, reply.json["status"], reply.json["path"]) == (404, 404, path)


# Credentials


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-api-key": KEY}, 200), ({"authorization": f"Bearer {TOKEN}"}, 200), ({"authorization": f"bearer {KEY}"}, 200),
        ({"x-api-key": KEY, "authorization": f"Bearer {TOKEN}"}, 200), ({"x-api-key": KEY, "authorization": "Bearer "}, 200),
        ({"x-api-key": KEY, "authorization": "Basic abc"}, 200),
        ({"x-api-key": OTHER, "authorization": f"Bearer {TOKEN}"}, 401), ({"x-api-key": KEY, "authorization": f"Bearer {OTHER}"}, 401),
        ({"x-api-key": KEY, "authorization": "Bearer bad"}, 401), ({"x-api-key": "bad", "authorization": f"Bearer {TOKEN}"}, 401),
        ({}, 401), ({"authorization": f"Token {KEY}"}, 401), ({"x-api-key": "bad"}, 401),
    ],
)  # fmt: skip
async def test_a_key_a_token_or_both_of_one_key(shop: Shop, headers: dict[str, str], status: int) -> None:
    reply = await request(shop.app, "GET", PLANS, headers=headers)
    assert reply.status == status
    if status == 401:
        assert reply.json["statusCode"] == "4000"
        assert reply.header("www-authenticate") == "Bearer"
        assert shop.request == []


# transactionId


async def test_a_usable_transaction_id_is_kept_and_any_other_replaced(shop: Shop) -> None:
    assert (await shop.send("GET", PLANS, None, {"transactionId": "TX+/=-9"})).header("transactionid") == "TX+/=-9"
    for bad in ("abcd", "x" * 129, "a b c d e", ""):
        replaced = (await shop.send("GET", PLANS, None, {"transactionId": bad})).header("transactionid")
        assert replaced
        assert replaced != bad
        refused = await shop.send("GET", PLANS, None, {"transactionId": bad}, plan="GAMES")
        assert refused.json["transactionId"] not in (bad, replaced)


# Refills


async def test_a_refill_by_voucher_reaches_the_service_whole(shop: Shop) -> None:
    reply = await shop.send(
        "PATCH",
        f"{PLANS}/refill",
        {
            "refillType": "Voucher Base",
            "voucherActivationCode": "0123456789012345",
            "serialNumber": "1000000001",
            "x": 1,
        },
        {"transactionId": "TX-00001", "sourceSystemId": "web", "channel": "MOD", "partnerName": "P"},
    )
    assert code(reply) == (200, "0000")
    assert reply.json["data"] == {"amount": "100", "currencyCode": "NGN"}
    assert shop.request == [
        RefillRequest(
            CALLER.reseller_id, "madapi", Mode.TEST, "TX-00001", RefillKind.VOUCHER, "+" + NUMBER, {"NGN": 7}, "127.0.0.1",
            pin=Secret("0123456789012345"), serial="1000000001", system="web",
        )
    ]  # fmt: skip
    assert shop.allowances == [Allowed.PURCHASE]


async def test_a_voucherless_refill_reaches_the_service_whole(shop: Shop) -> None:
    body = {"refillType": "VOUCHERLESS", "refillProfileId": "DB00", "transactionAmount": "100", "targetSystem": "air"}
    assert code(await shop.send("PATCH", f"{PLANS}/refill", body)) == (200, "0000")
    (request,) = shop.request
    assert (request.kind, request.profile, request.units, request.pin, request.source) == (
        RefillKind.VOUCHERLESS, "DB00", 100, None, "127.0.0.1",
    )  # fmt: skip
    form = urlencode(body).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert code(await shop.send("PATCH", f"{PLANS}/refill", form, headers)) == (200, "0000")
    assert replace(shop.request[1], transaction_id="") == replace(request, transaction_id="")


async def test_what_replaces_an_unusable_id_is_what_the_refill_is_made_under(shop: Shop) -> None:
    reply = await shop.send(
        "PATCH",
        f"{PLANS}/refill",
        {"refillType": "voucher", "voucherActivationCode": "0" * 16},
        {"transactionId": "bad"},
    )
    assert shop.request[0].transaction_id == reply.header("transactionid") == reply.json["transactionId"]


@pytest.mark.parametrize(
    "body",
    [{"refillType": "voucher", "voucherActivationCode": "0" * 16},
     {"refillType": "voucherless", "refillProfileId": "DB00", "transactionAmount": "10"}],
)  # fmt: skip
async def test_a_long_id_is_echoed_by_its_stand_in_and_reaches_the_service_beside_it(shop: Shop, body: Any) -> None:
    sent = "0b8c1f8e-7a40-4d0e-9d2e-5a6d6c1b2f3a"
    first = await shop.send("PATCH", f"{PLANS}/refill", body, {"transactionId": sent})
    again = await shop.send("PATCH", f"{PLANS}/refill", body, {"transactionId": f"{sent} \t"})
    assert shop.request[0] == shop.request[1]
    assert (shop.request[0].transaction_id, shop.request[0].sent_id) == (first.header("transactionid"), sent)
    assert first.json["transactionId"] == again.json["transactionId"] == first.header("transactionid")
    refused = await shop.send("PATCH", f"{PLANS}/refill", body | {"refillType": "x"}, {"transactionId": sent})
    assert refused.json["transactionId"] == first.header("transactionid")


async def test_a_long_id_in_the_body_of_a_premium_has_the_same_stand_in(shop: Shop) -> None:
    sent = "0b8c1f8e-7a40-4d0e-9d2e-5a6d6c1b2f3a"
    in_force = (await shop.send("GET", PLANS, None, {"transactionId": sent})).header("transactionid")
    for path in (f"{PLANS}/AYO_SWC", PLANS):
        reply = await shop.send("POST", path, PREMIUM | {"transactionId": sent})
        assert shop.request[-1].transaction_id == reply.json["transactionId"] == in_force


@pytest.mark.parametrize(
    ("client", "source"),
    [(("192.0.2.7", 1), "192.0.2.7"), (("2001:db8:1:2:aaaa::1", 1), "2001:db8:1:2::/64"), (("::ffff:192.0.2.7", 1), "192.0.2.7"),
     (None, "")],
)  # fmt: skip
async def test_the_source_of_a_pin_is_the_address_whatever_the_client_calls_itself(
    shop: Shop, client: Any, source: str
) -> None:
    body = msgspec.json.encode({"refillType": "voucher", "voucherActivationCode": "0" * 16})
    for system in ("pos", "web", "x" * 100):
        headers = {"x-api-key": KEY, "sourceSystemId": system}
        assert (
            await request(shop.app, "PATCH", f"{PLANS}/refill", headers=headers, body=body, client=client)
        ).status == 200
    assert {request.source for request in shop.request} == {source}
    assert [request.system for request in shop.request] == ["pos", "web", "x" * 64]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"refillType": None}, "refillType"), ({"refillType": "cash"}, "refillType"),
        ({"voucherActivationCode": None}, "voucherActivationCode"), ({"voucherActivationCode": "1234567"}, "voucherActivationCode"),
        ({"voucherActivationCode": 12345678}, "voucherActivationCode"), ({"serialNumber": "1"}, "serialNumber"),
        ({"transactionAmount": "100"}, "transactionAmount"), ({"refillProfileId": "DB00"}, "refillProfileId"),
        ({"refillType": "voucherless"}, "voucherActivationCode"), ({"targetSystem": "OCS"}, "targetSystem"),
        ({"refillType": "voucherless", "voucherActivationCode": None, "refillProfileId": "DB00"}, "transactionAmount"),
        ({"refillType": "voucherless", "voucherActivationCode": None, "transactionAmount": "1"}, "refillProfileId"),
    ],
)  # fmt: skip
async def test_a_wrong_field_of_a_refill_is_named_and_nothing_is_tried(shop: Shop, changes: Any, named: str) -> None:
    reply = await shop.refill_with(**changes)
    assert code(reply) == (400, "5000")
    assert named in reply.json["supportMessage"]
    assert shop.request == []


@pytest.mark.parametrize(
    ("error", "answer", "retry_after"),
    [
        (PinRefused("stolen"), (400, "5001"), None), (ReferenceReused("TX-00001"), (400, "5001"), None),
        (LockedOut(30), (403, "6000"), "30"), (SubscriberBarred(SubscriberStatus.SUSPENDED), (403, "6000"), None),
        (MaximumCredit(), (403, "6000"), None), (InsufficientBalance(Money(2, NGN), Money(1, NGN)), (403, "6001"), None),
        (NotFound("Subscriber"), (404, "1000"), None), (Busy(), (503, "3000"), "1"), (ValueError("secret"), (500, "3001"), None),
        (InvalidInput("profile", "there is no such refill profile"), (400, "5000"), None),
    ],
)  # fmt: skip
async def test_what_a_refill_is_refused_with(
    shop: Shop, error: Exception, answer: Any, retry_after: str | None
) -> None:
    shop.raises = error
    reply = await shop.refill_with()
    assert code(reply) == answer
    assert reply.header("retry-after") == retry_after
    assert not any(word in str(reply.json) for word in ("stolen", "secret", "0123456789012345"))


async def test_a_field_is_called_as_the_caller_called_it(shop: Shop) -> None:
    shop.raises = InvalidInput("amount", "must be more than nothing")
    reply = await shop.refill_with()
    assert reply.json["supportMessage"] == "transactionAmount: must be more than nothing"


async def test_a_repeat_is_marked(shop: Shop) -> None:
    assert (await shop.refill_with()).header("idempotent-replayed") is None
    shop.replayed = True
    assert (await shop.refill_with()).header("idempotent-replayed") == "true"


async def test_999_where_the_setting_allows_it() -> None:
    shop = Shop(literal_999=True)
    shop.raises = ValueError("a bug")
    assert (await shop.refill_with()).status == 999
    assert (await shop.send("GET", PLANS)).status == 500


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"refillType": "\xff"}'])
async def test_a_body_that_is_none_is_refused_in_the_dialects_shape(shop: Shop, body: bytes) -> None:
    reply = await shop.send("PATCH", f"{PLANS}/refill", body)
    assert code(reply) == (400, "5000")
    assert code(await shop.send("PATCH", f"{PLANS}/refill", b" " * 70_000)) == (413, "5000")


# Premiums


@pytest.mark.parametrize("path", [f"{PLANS}/AYO_SWC", PLANS])
async def test_a_premium_reaches_the_service_whole(shop: Shop, path: str) -> None:
    more = {"accountHolderId": f"ID:{NUMBER}/MSISDN", "quoteId": "PRM-1-abcdef", "message": "Hello"}
    reply = await shop.send("POST", path, PREMIUM | more, {"transactionId": "of-the-header"})
    assert code(reply) == (207, "0000")
    assert reply.header("transactionid") == "TX-20261122-000044"
    assert shop.request == [
        PremiumRequest(
            CALLER.reseller_id, Mode.TEST, "TX-20261122-000044", "AYO_SWC", "TRANSFER", "+" + NUMBER, "+2348031234568",
            Money(1000000, NGN), more["accountHolderId"], more["quoteId"], more["message"],
        )
    ]  # fmt: skip
    assert shop.allowances == [Allowed.READ]


async def test_a_premium_takes_a_form(shop: Shop) -> None:
    flat = {name: value for name, value in PREMIUM.items() if name != "amount"}
    amount: Any = PREMIUM["amount"]
    headers = {"content-type": "application/x-www-form-urlencoded"}
    for fields in (
        {f"amount[{name}]": value for name, value in amount.items()},
        {"amount": msgspec.json.encode(amount).decode()},
    ):
        reply = await shop.send("POST", f"{PLANS}/AYO_SWC", urlencode(flat | fields).encode(), headers)
        assert code(reply) == (207, "0000")
    assert shop.request[0] == shop.request[1]
    assert shop.request[0].amount == Money(1000000, NGN)


@pytest.mark.parametrize("name", PREMIUM)
async def test_every_required_field_of_a_premium_is_named_when_it_is_missing(shop: Shop, name: str) -> None:
    for value in ({}, {name: None}, {name: ""}):
        body = {key: content for key, content in PREMIUM.items() if key != name} | value
        reply = await shop.send("POST", f"{PLANS}/AYO_SWC", body)
        assert code(reply) == (400, "5000")
        assert name in reply.json["supportMessage"]
    assert shop.request == []


async def test_an_unusable_id_of_a_premium_is_replaced_and_the_replacement_used(shop: Shop) -> None:
    reply = await shop.send("POST", f"{PLANS}/AYO_SWC", PREMIUM | {"transactionId": "no"})
    assert code(reply) == (207, "0000")
    assert shop.request[0].transaction_id == reply.json["transactionId"]
    refused = await shop.send("POST", f"{PLANS}/AYO_SWC", PREMIUM | {"amount": "x"})
    assert refused.json["transactionId"] == PREMIUM["transactionId"]


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (NotFound("Product"), (404, "1000")), (NoMobileMoney(), (403, "6000")), (QuoteRefused("has expired"), (400, "5001")),
        (ReferenceReused("x"), (400, "5001")), (InvalidInput("receivingCustomerId", "x"), (400, "5000")), (Busy(), (503, "3000")),
        (KeyError("x"), (500, "3001")),
    ],
)  # fmt: skip
async def test_what_a_premium_is_refused_with(shop: Shop, error: Exception, answer: Any) -> None:
    shop.raises = error
    assert code(await shop.send("POST", f"{PLANS}/AYO_SWC", PREMIUM)) == answer


async def test_a_premium_of_another_product_than_the_paths_is_refused(shop: Shop) -> None:
    reply = await shop.send("POST", f"{PLANS}/OTHER", PREMIUM)
    assert (code(reply), reply.json["supportMessage"]) == ((400, "5000"), "product: is not the product of the path")


# Version 2.3


async def test_a_tariff_plan_is_changed(shop: Shop) -> None:
    reply = await shop.send("PATCH", PLANS, {"planId": "BizClass", "providerId": "CSM"})
    assert code(reply) == (200, "0000")
    assert reply.json["data"]["planId"] == "BizClass"
    assert shop.request == [(Mode.TEST, "+" + NUMBER, "BizClass")]
    assert code(await shop.send("PATCH", PLANS, {})) == (400, "5000")


async def test_a_number_becomes_a_subscriber_once(shop: Shop) -> None:
    assert code(await shop.send("POST", f"{PLANS}/provision", {"planId": "PulsePlus"})) == (200, "0000")
    assert shop.request == [("+" + NUMBER, "PulsePlus", NGN)]
    shop.raises = AlreadyExists("The subscriber")
    assert code(await shop.send("POST", f"{PLANS}/provision", {"planId": "PulsePlus"})) == (400, "1002")
    elsewhere = await shop.send("POST", "/v2/customers/+4915112345678/plans/provision", {"planId": "PulsePlus"})
    assert code(elsewhere) == (400, "5000")
    shop.creates_subscribers = False
    assert code(await shop.send("POST", f"{PLANS}/provision", {"planId": "PulsePlus"})) == (403, "6000")


async def test_the_mobile_money_account_is_blocked_and_opened_by_who_proves_to_hold_it(shop: Shop) -> None:
    shop.found = replace(shop.found, buckets=(), momo=MOMO)
    proof = {"x-authorization": "proof"}
    reply = await shop.send("GET", f"{PLANS}/FRI", None, proof)
    assert reply.json["data"] == {"fri": f"FRI:{NUMBER}/MSISDN", "state": "ACTIVE", "currency": "NGN"}
    assert shop.request == [PlansWanted(Mode.TEST, "+" + NUMBER, kinds=frozenset(), momo_authorization="proof")]
    for word, blocked in (("BLOCKED", True), ("active", False)):
        reply = await shop.send("PATCH", f"{PLANS}/FRI/state", {"state": word}, proof)
        assert (reply.status, reply.json["data"]["state"]) == (200, word.upper())
        assert shop.request[-1] == (Mode.TEST, "+" + NUMBER, blocked)
    assert code(await shop.send("PATCH", f"{PLANS}/FRI/state", {"state": "asleep"}, proof)) == (400, "5000")
    shop.found = replace(shop.found, momo=None, missing=frozenset({PlanPart.MOMO}))
    assert code(await shop.send("GET", f"{PLANS}/FRI", None, proof)) == (503, "3000")
    shop.raises = NotPermitted("read it")
    assert code(await shop.send("PATCH", f"{PLANS}/FRI/state", {"state": "BLOCKED"})) == (403, "6000")


# OAuth

CLIENT = {"client_id": KEY, "client_secret": SECRET}


async def token(shop: Shop, body: bytes, headers: dict[str, str] | None = None, query: bytes = b"") -> Reply:
    reply = await request(shop.app, "POST", "/v1/oauth/access_token", headers=headers or {}, body=body, query=query)
    mind("POST", "/v1/oauth/access_token", reply.status, reply.json)
    return reply


@pytest.mark.parametrize("in_query", [True, False])
async def test_a_key_and_its_secret_give_a_token(shop: Shop, in_query: bool) -> None:
    form = urlencode(CLIENT if in_query else CLIENT | {"grant_type": "client_credentials"}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    reply = await token(shop, form, headers, b"grant_type=client_credentials" if in_query else b"")
    assert reply.json == {"access_token": TOKEN, "token_type": "BearerToken", "expires_in": "3599"}
    assert reply.header("cache-control") == "no-store"
    assert shop.allowances == [Allowed.READ]


async def test_credentials_may_stand_in_a_header_or_in_json(shop: Shop) -> None:
    basic = b64encode(f"{KEY}:{SECRET}".encode()).decode()
    query = b"grant_type=client_credentials"
    assert (await token(shop, b"", {"authorization": f"Basic {basic}"}, query)).status == 200
    assert (await token(shop, msgspec.json.encode(CLIENT), {}, query)).status == 200


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        ({"client_secret": "x" * 40}, True), ({"client_secret": ""}, True), ({"client_secret": None}, True), ({"client_secret": 5}, True),
        ({"client_id": TOKEN}, False), ({"client_id": "nobody"}, False), ({"client_id": ""}, False), ({"client_id": 5}, False),
        ({"client_id": None}, False),
    ],
)  # fmt: skip
async def test_wrong_credentials_are_401_and_counted_where_the_key_is_known(
    shop: Shop, client: Any, counted: bool
) -> None:
    reply = await token(shop, msgspec.json.encode(CLIENT | client), {}, b"grant_type=client_credentials")
    assert code(reply) == (401, "4000")
    assert bool(shop.allowances) is counted


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic YQ==", "Basic gICA", "Bearer x", "Basic " + "é" * 8])
async def test_a_header_without_credentials_is_401(shop: Shop, header: str) -> None:
    reply = await token(shop, b"", {"authorization": header}, b"grant_type=client_credentials")
    assert code(reply) == (401, "4000")


@pytest.mark.parametrize("query", [b"", b"grant_type=password", b"grant_type=" + b"x" * 100])
async def test_another_grant_is_refused(shop: Shop, query: bytes) -> None:
    reply = await token(shop, msgspec.json.encode(CLIENT), {}, query)
    assert code(reply) == (400, "5000")
    assert "grant_type" in reply.json["supportMessage"]


# Subscriptions and products

SUBSCRIPTIONS = f"/v2/customers/{NUMBER}/subscriptions"
REFILLS = f"/v2/customers/{NUMBER}/refills"
STATUS = f"{SUBSCRIPTIONS}/{SOLD.code}/status"
BUNDLE = {"subscriptionId": SOLD.code}


async def bought(shop: Shop, headers: dict[str, str] | None = None, **changes: Any) -> Reply:
    return await shop.send("POST", SUBSCRIPTIONS, BUNDLE | changes, {"transactionId": "TX-00001"} | (headers or {}))


async def test_a_subscription_is_an_order_under_the_transaction_id_for_the_customer_or_the_beneficiary(
    shop: Shop,
) -> None:
    assert code(await bought(shop)) == (201, "0000")
    await bought(shop, beneficiaryId="0803 123 4569", subscriptionPaymentSource="evds")
    await bought(shop, {"transactionId": "5f0c3a52-3f0e-4d1c-9f0a-1d2e3f4a5b6c"})
    calls = [wanted for _, wanted in shop.request]
    assert calls[0] == {
        "network": MTN, "plan": SOLD, "subscriber": "+" + NUMBER, "client_reference": "TX-00001", "prefix": "SUB",
    }  # fmt: skip
    assert calls[1]["subscriber"] == "+2348031234569"
    assert len(calls[2]["client_reference"]) == 20
    assert shop.allowances == [Allowed.PURCHASE] * 3


async def test_a_subscription_is_answered_as_it_stands(shop: Shop) -> None:
    delivered = await bought(shop)
    assert delivered.json | {"sequenceNo": ""} == {
        "subscriptionId": SOLD.code,
        "beneficiaryId": NUMBER,
        "status": "Active",
        "amountCharged": "300.00",
        "amountBefore": "5000.00",
        "amountAfter": "4700.00",
        "currencyCode": "NGN",
        "correlationId": "SUB-4711-7kq2xd",
        "transactionReference": "TX-00001",
        "statusCode": "0000",
        "statusMessage": "Success",
        "transactionId": "TX-00001",
        "sequenceNo": "",
        "links": [{"rel": "self", "href": f"http://shop.example{STATUS}/TX-00001"}],
    }
    assert delivered.header("idempotent-replayed") is None
    shop.settles_as, shop.replayed = OrderState.REVIEW, True
    pending = await bought(shop)
    assert code(pending) == (202, "1004")
    assert pending.header("idempotent-replayed") == "true"
    shop.settles_as = OrderState.FAILED
    failed = await bought(shop)
    assert code(failed) == (400, "5001")
    assert "SUB-4711-7kq2xd failed" in failed.json["supportMessage"]


@pytest.mark.parametrize(
    ("changes", "expected", "names"),
    [
        ({"subscriptionId": "NOBODY"}, (404, "1000"), "Product"),
        ({"subscriptionId": "a b"}, (400, "5000"), "subscriptionId"),
        ({"subscriptionId": ""}, (400, "5000"), "subscriptionId"),
        ({"beneficiaryId": "12"}, (400, "5000"), "beneficiaryId"),
        ({"beneficiaryId": "233241234567"}, (400, "5000"), "beneficiaryId"),
        ({"subscriptionPaymentSource": "Airtime"}, (400, "5000"), "subscriptionPaymentSource"),
        ({"subscriptionPaymentSource": "Cash"}, (400, "5000"), "subscriptionPaymentSource"),
    ],
)
async def test_what_cannot_be_subscribed_to_is_refused_before_anything_is_asked(
    shop: Shop, changes: dict[str, Any], expected: tuple[int, str], names: str
) -> None:
    refused = await bought(shop, **changes)
    assert code(refused) == expected
    assert names in refused.json["supportMessage"]
    assert not shop.request


async def test_a_partner_without_a_wallet_in_the_currency_has_too_little_money(shop: Shop, monkeypatch: Any) -> None:
    monkeypatch.setitem(globals(), "CALLER", replace(CALLER, wallets={"GHS": 3}))
    assert code(await bought(shop)) == (403, "6001")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ReferenceReused("TX-00001"), (400, "5001")),
        (InsufficientBalance(Money(30000, NGN), Money(1, NGN)), (403, "6001")),
        (ProductUnavailable("mtn", "#1"), (400, "5001")),
        (Busy(), (503, "3000")),
    ],
)
async def test_what_the_sale_refuses_has_its_code(shop: Shop, raised: Exception, expected: tuple[int, str]) -> None:
    shop.raises = raised
    assert code(await bought(shop)) == expected


@pytest.mark.parametrize(
    ("state", "expected", "word"),
    [
        (OrderState.DELIVERED, (200, "0000"), "Active"),
        (OrderState.DELIVERING, (202, "1004"), "Pending"),
        (OrderState.REVIEW, (202, "1004"), "Pending"),
        (OrderState.FAILED, (200, "5001"), "Failed"),
    ],
)
async def test_the_status_of_a_subscription_by_either_reference(
    shop: Shop, state: OrderState, expected: tuple[int, str], word: str
) -> None:
    shop.orders_there = [order(state, transaction_id="TX/+=-1")]
    for reference in ("TX/+=-1", "SUB-4711-7kq2xd"):
        told = await shop.send("GET", f"{STATUS}/{reference}", queryType="TRANSACTION_REFERENCE")
        assert code(told) == expected
        assert (told.json["status"], told.json["transactionReference"]) == (word, "TX/+=-1")
        charged = "0.00" if word == "Failed" else "300.00"
        assert told.json["amountCharged"] == charged


async def test_a_status_is_of_the_customer_who_has_it_also_where_the_path_names_the_wallet(shop: Shop) -> None:
    shop.orders_there = [order()]
    path = f"/v2/customers/2348031234599/subscriptions/{SOLD.code}/status/TX-00001"
    assert code(await shop.send("GET", path, customerId=NUMBER)) == (200, "0000")
    for refused in (
        await shop.send("GET", path),
        await shop.send("GET", f"{SUBSCRIPTIONS}/DAY/status/TX-00001"),
    ):
        assert code(refused) == (404, "1000")
        assert "transactionIdFree" not in refused.json


async def test_only_an_id_under_which_nothing_at_all_was_sold_is_said_to_be_free(shop: Shop) -> None:
    for path in (f"{STATUS}/TX-00009", f"{REFILLS}/TX-00009"):
        told = await shop.send("GET", path)
        assert code(told) == (404, "1000")
        assert (told.json["transactionIdFree"], told.json["transactionReference"]) == (True, "TX-00009")
    shop.refills_there = ["TX-00009"]
    assert "transactionIdFree" not in (await shop.send("GET", f"{STATUS}/TX-00009")).json
    shop.refills_there, shop.orders_there = [], [order(transaction_id="TX-00009")]
    assert "transactionIdFree" not in (await shop.send("GET", f"{REFILLS}/TX-00009")).json


async def test_a_refill_is_found_by_its_transaction_id_and_customer(shop: Shop) -> None:
    shop.refills_there = ["TX-00009"]
    told = await shop.send("GET", f"{REFILLS}/TX-00009")
    assert (code(told), told.json["data"]) == ((200, "0000"), {"amount": "100", "currencyCode": "NGN"})
    assert shop.request == [(UUID(int=1), "madapi", Mode.TEST, "TX-00009")]
    other = await shop.send("GET", "/v2/customers/2348031234599/refills/TX-00009")
    assert code(other) == (404, "1000")
    assert "transactionIdFree" not in other.json
    assert (await shop.send("GET", f"{PLANS}/refill")).status == 405


async def test_a_list_of_subscriptions_has_pages(shop: Shop) -> None:
    shop.orders_there = [order(number=number) for number in (9, 8, 7)]
    first = await shop.send("GET", SUBSCRIPTIONS, limit="2")
    assert [row["correlationId"] for row in first.json["data"]] == ["SUB-9-7kq2xd", "SUB-8-7kq2xd"]
    following = first.json["_link"]["next"]["href"]
    assert following == f"http://shop.example{SUBSCRIPTIONS}?limit=2&before=SUB-8-7kq2xd"
    last = await shop.send("GET", SUBSCRIPTIONS, before="SUB-8-7kq2xd")
    assert last.json["_link"]["next"] is None
    wanted = OrderFilter(UUID(int=1), Mode.TEST, subscriber="+" + NUMBER, dialect="madapi")
    assert shop.request == [(wanted, None, 3), (wanted, 8, 51)]
    for query in ({"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"before": "TX-1"}):
        assert code(await shop.send("GET", SUBSCRIPTIONS, **query)) == (400, "5000")


async def test_products_are_what_is_on_sale_where_the_number_belongs(shop: Shop) -> None:
    groups = (await shop.send("GET", f"/v3/products/{NUMBER}")).json["data"]
    assert {name: [item["id"] for item in items] for name, items in groups.items()} == {
        "daily": ["DAY"], "weekly": ["WEEK"], "monthly": [SOLD.code], "nonExpiry": ["EVER"],
    }  # fmt: skip
    assert not any((await shop.send("GET", "/v3/products/233241234567")).json["data"].values())
    alone = (await shop.send("GET", f"/v3/products/{SOLD.code}")).json["data"]
    assert [item["amount"] for items in alone.values() for item in items] == ["300.00"]
    assert code(await shop.send("GET", "/v3/products/OFF")) == (404, "1000")
    assert code(await shop.send("GET", "/v3/products/NOBODY")) == (404, "1000")
    assert code(await shop.send("GET", "/v3/products/12")) == (400, "5000")
