"""Reloadly and DT One as a whole: tokens, operators and products, the two phases, what is bought, and lines that break."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.config import ProviderSettings
from telvend.kit.money import GHS, NGN, UGX, Currency, Money, foreign_currency
from telvend.kit.secret import Secret
from telvend.providers.connectors import connect
from telvend.providers.contract import Accepted, Delivered, Delivery, NotSent, Outcome, Reason, Refused, Unknown
from telvend.providers.dtone import wire as dtone
from telvend.providers.operator_names import is_network
from telvend.providers.reloadly import wire as reloadly
from telvend.providers.upstream import BalanceUnavailable, ConnectorRefused, RequestPreview, Upstream
from tests.broken_lines import PLAYS, Play, far_side, served, silent
from tests.clocks import FakeClock
from tests.contract.provider_rigs import delivery_in_nigeria
from tests.contract.situations import Situation
from tests.vendor_doubles import GARBAGE, VendorDouble, answer, reply
from tests.world_doubles import (
    MTN_DATA,
    OPERATORS,
    PRODUCTS,
    DTOneDouble,
    ReloadlyDouble,
    bundle,
    error,
    errors,
    operator,
    product,
)

SETTINGS: Final = {
    "reloadly": ProviderSettings(
        connector="reloadly",
        client_id=Secret(ReloadlyDouble.CLIENT_ID),
        client_secret=Secret(ReloadlyDouble.CLIENT_SECRET),
    ),
    "dtone": ProviderSettings(
        connector="dtone", api_key=Secret(DTOneDouble.API_KEY), api_secret=Secret(DTOneDouble.API_SECRET)
    ),
}
DOUBLES: Final[dict[str, type[VendorDouble]]] = {"reloadly": ReloadlyDouble, "dtone": DTOneDouble}
AIRTIME: Final = delivery_in_nigeria("+2348031234567", "AT-7H2K-1", "airtime")
BUNDLE: Final = delivery_in_nigeria("+2348031234567", "AT-7H2K-2")
PHONE: Final = "08031234567"
USD: Final = Currency("USD", 2)


def made(name: str, double: VendorDouble | None = None, **changes: Any) -> Upstream:
    double = double or DOUBLES[name]()
    settings = SETTINGS[name]
    wanted = {field: getattr(settings, field) for field in settings.__struct_fields__} | changes
    return connect("up", ProviderSettings(**wanted), double.clock, transport=double.transport)


def over(
    handle: Callable[[httpx.Request], httpx.Response | None], double: VendorDouble, name: str, **changes: Any
) -> Upstream:
    """A provider whose far side is the double, except where `handle` answers."""

    async def answered(request: httpx.Request) -> httpx.Response:
        return handle(request) or await double.handle(request)

    settings = SETTINGS[name]
    wanted = {field: getattr(settings, field) for field in settings.__struct_fields__} | changes
    return connect("up", ProviderSettings(**wanted), double.clock, transport=httpx.MockTransport(answered))


def asked(double: VendorDouble) -> list[str]:
    return [f"{request.method} {request.url.path}" for request in double.seen]


def purchases(double: VendorDouble, path: str = "/topups") -> list[dict[str, Any]]:
    return [
        json.loads(request.content) for request in double.seen if request.method == "POST" and request.url.path == path
    ]


def refused_as(outcome: object, reason: Reason, *words: str) -> bool:
    return isinstance(outcome, Refused) and outcome.reason is reason and all(word in outcome.text for word in words)


# Reloadly: tokens ---------------------------------------------------------------------------------------------------------


async def test_a_token_is_asked_for_once_and_again_shortly_before_it_ends() -> None:
    double = ReloadlyDouble(token_lasts_s=600.0)
    provider = made("reloadly", double)
    await asyncio.gather(*(provider.deliver(replace(AIRTIME, reference=f"A-{n}")) for n in range(20)))
    assert double.tokens == 1
    double.clock.pass_time(539)
    await provider.requery(AIRTIME)
    assert double.tokens == 1
    double.clock.pass_time(2)
    await provider.requery(AIRTIME)
    assert double.tokens == 2
    token = json.loads(next(request for request in double.seen if request.url.path == "/oauth/token").content)
    assert token == {
        "client_id": "double-client",
        "client_secret": "double-secret",
        "grant_type": "client_credentials",
        "audience": "https://topups.reloadly.com",
    }
    assert "authorization" not in double.seen[0].headers


async def test_whom_a_token_is_for_and_where_it_is_can_be_said() -> None:
    seen: list[httpx.Request] = []

    async def far(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answer(200, {"access_token": "t", "expires_in": 60})

    settings = SETTINGS["reloadly"]
    wanted = {field: getattr(settings, field) for field in settings.__struct_fields__}
    told = {"base_url": "https://topups-sandbox.reloadly.com/", "token_url": "https://tokens.example.com/x"}
    for audience, expected in (
        ("", "https://topups-sandbox.reloadly.com"),
        ("https://topups-hs256.reloadly.com", "https://topups-hs256.reloadly.com"),
    ):
        wanted |= told | {"audience": audience}
        provider = connect("up", ProviderSettings(**wanted), FakeClock(), transport=httpx.MockTransport(far))
        await provider.balance()
        assert str(seen[-2].url) == "https://tokens.example.com/x"
        assert json.loads(seen[-2].content)["audience"] == expected
        assert seen[-1].url.host == "topups-sandbox.reloadly.com"


async def test_a_top_up_that_is_refused_for_its_token_is_sent_once_more_and_delivered_once() -> None:
    double = ReloadlyDouble()
    provider = made("reloadly", double)
    await provider.deliver(AIRTIME)
    double.end_tokens()
    outcome = await provider.deliver(replace(AIRTIME, reference="AT-7H2K-9"))
    assert isinstance(outcome, Delivered)
    assert [entry.reference for entry in double.book] == ["AT-7H2K-1", "AT-7H2K-9"]
    assert [form["customIdentifier"] for form in purchases(double)] == ["AT-7H2K-1", "AT-7H2K-9", "AT-7H2K-9"]
    assert double.tokens == 2


async def test_tokens_that_end_under_many_calls_at_once_are_renewed_once() -> None:
    double = ReloadlyDouble()
    provider = made("reloadly", double)
    await provider.deliver(AIRTIME)
    double.end_tokens()
    outcomes = await asyncio.gather(*(provider.deliver(replace(AIRTIME, reference=f"A-{n}")) for n in range(20)))
    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert double.tokens == 2
    assert len(double.book) == 21


@pytest.mark.parametrize("code", ["TOKEN_EXPIRED", "INVALID_TOKEN"])
async def test_a_new_token_that_is_refused_too_is_ours_to_mend(code: str) -> None:
    double = ReloadlyDouble()
    sent: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != "/topups":
            return None
        sent.append(request.headers["authorization"])
        return error(401, code)

    refused = await over(handle, double, "reloadly").deliver(AIRTIME)
    assert refused_as(refused, Reason.NOT_ALLOWED, code)
    assert sent == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize(
    "said",
    [answer(401, {"message": "no"}), httpx.Response(401, text="<html>"), answer(403, {"errorCode": "TOKEN_EXPIRED"})],
)
async def test_a_top_up_is_not_sent_again_after_any_other_refusal(said: httpx.Response) -> None:
    double = ReloadlyDouble()
    sent: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != "/topups":
            return None
        sent.append(request.url.path)
        return said

    await over(handle, double, "reloadly").deliver(AIRTIME)
    assert sent == ["/topups"]


async def test_the_second_sending_may_be_lost_like_any_other() -> None:
    double = ReloadlyDouble()
    sent: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != "/topups":
            return None
        sent.append(request.url.path)
        if len(sent) == 1:
            return error(401, "TOKEN_EXPIRED")
        raise httpx.ReadTimeout("silence", request=request)

    assert isinstance(await over(handle, double, "reloadly").deliver(AIRTIME), Unknown)
    assert len(sent) == 2


async def test_credentials_that_are_refused_send_nothing_and_are_not_tried_at_every_order() -> None:
    double = ReloadlyDouble()
    provider = made("reloadly", double, client_secret=Secret("revoked"))
    for _ in range(3):
        refused = await provider.deliver(AIRTIME)
        assert refused_as(refused, Reason.NOT_ALLOWED, "INVALID_CREDENTIALS")
    balance = await provider.balance()
    assert isinstance(balance, BalanceUnavailable)
    assert balance.not_allowed
    assert asked(double) == ["POST /oauth/token"]
    assert isinstance(await provider.requery(AIRTIME), Unknown)
    double.clock.pass_time(6)
    await provider.deliver(AIRTIME)
    assert asked(double) == ["POST /oauth/token"] * 2


@pytest.mark.parametrize(
    "said",
    [
        httpx.ReadTimeout("silence"),
        httpx.ConnectError("nobody"),
        answer(500, {"access_token": "stolen-token", "expires_in": 60}),
        answer(200, {"access_token": "stolen-token"}),
        answer(200, {"access_token": ["stolen-token"], "expires_in": 60}),
        answer(200, {"access_token": "stolen token\n", "expires_in": 60}),
        answer(302, {}),
        httpx.Response(200, text="<html>stolen-token"),
    ],
)
async def test_without_a_token_nothing_is_sent_and_another_may_be_tried(said: httpx.Response | Exception) -> None:
    double = ReloadlyDouble()

    def handle(request: httpx.Request) -> httpx.Response | None:
        if isinstance(said, Exception):
            raise said
        return said

    provider = over(handle, double, "reloadly")
    outcome = await provider.deliver(AIRTIME)
    assert isinstance(outcome, NotSent)
    assert not outcome.closed
    assert "stolen" not in outcome.text
    assert isinstance(await provider.requery(AIRTIME), Unknown)
    assert not double.book


# Reloadly: operators and amounts ------------------------------------------------------------------------------------------


async def test_airtime_is_bought_in_the_recipients_currency_at_the_operator_of_the_network() -> None:
    double = ReloadlyDouble()
    provider = made("reloadly", double)
    assert await provider.deliver(AIRTIME) == Delivered("4602844", None)
    assert purchases(double) == [
        {
            "operatorId": 341,
            "amount": 300,
            "useLocalAmount": True,
            "customIdentifier": "AT-7H2K-1",
            "recipientPhone": {"countryCode": "NG", "number": "2348031234567"},
        }
    ]
    await provider.deliver(replace(AIRTIME, reference="B", network="airtel", face_value=Money(300_50, NGN)))
    assert (purchases(double)[-1]["operatorId"], purchases(double)[-1]["amount"]) == (342, 300.5)
    await provider.deliver(replace(AIRTIME, reference="C", network="glo", provider_code="345"))
    assert purchases(double)[-1]["operatorId"] == 345
    reads = [line for line in asked(double) if line.startswith("GET")]
    assert reads == ["GET /operators/countries/NG", "GET /operators/345"]


def own_currency(**changes: Any) -> dict[str, Any]:
    """An operator whose airtime is paid for in naira."""
    return operator(1, "MTN Nigeria", senderCurrencyCode="NGN", minAmount=50, maxAmount=1000, **changes)


@pytest.mark.parametrize(
    ("row", "amount", "taken"),
    [
        (operator(1, "MTN"), 300_00, (Decimal(300), True)),
        (operator(1, "MTN"), 50_00, (Decimal(50), True)),
        (operator(1, "MTN"), 50_000_00, (Decimal(50000), True)),
        (operator(1, "MTN"), 49_99, "does not take NGN 49.99: USD 0.11 to 110.5; NGN 50 to 50000"),
        (operator(1, "MTN"), 50_000_01, "does not take"),
        # USD 100 is within its range; NGN 100 is what was sold.
        (operator(1, "MTN", supportsLocalAmounts=False), 100_00, "takes amounts in USD only"),
        (operator(1, "MTN", localMinAmount=None), 300_00, "does not take"),
        (operator(1, "MTN", destinationCurrencyCode="GHS"), 300_00, "takes amounts in USD, GHS only"),
        (own_currency(), 300_00, (Decimal(300), False)),
        (own_currency(), 1_000_01, "NGN 50 to 1000"),
        (operator(1, "MTN", denominationType="FIXED", localFixedAmounts=[100, 300]), 300_00, (Decimal(300), True)),
        (operator(1, "MTN", denominationType="FIXED", localFixedAmounts=[100, 300]), 200_00, "NGN 100, 300"),
        (operator(1, "MTN", denominationType="FIXED", fixedAmounts=[300]), 300_00, "USD 300; NGN none"),
        (operator(1, "MTN", pin=True), 300_00, "does not sell airtime"),
        (operator(1, "MTN", data=True), 300_00, "does not sell airtime"),
        (operator(1, "MTN", bundle=True), 300_00, "does not sell airtime"),
        (operator(1, "MTN", country={"isoName": "GH"}), 300_00, "is in GH"),
    ],
)
def test_only_an_amount_that_arrives_as_it_was_sold_is_bought(row: dict[str, Any], amount: int, taken: object) -> None:
    found = reloadly.operator_of(reply(200, row))
    assert found is not None
    top_up = reloadly.top_up_of(replace(AIRTIME, face_value=Money(amount, NGN)), found)
    if isinstance(taken, str):
        assert refused_as(top_up, Reason.NOT_SOLD, taken)
    else:
        assert isinstance(top_up, reloadly.TopUp)
        assert (top_up.amount, top_up.local) == taken


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({"provider_code": "646"}, (300, True)),
        ({"provider_code": "646", "size": "100MB", "validity_days": 1}, (100, True)),
        ({"provider_code": "646", "validity_days": 7}, "no such amount"),
        ({"provider_code": "646", "size": "2GB"}, "no such amount"),
        ({"provider_code": "646/500"}, (500, True)),
        ({"provider_code": "646/0.67"}, (0.67, False)),
        ({"provider_code": "646/501"}, "no such amount for the amount 501"),
        ({"provider_code": "341"}, "does not sell data"),
        ({"provider_code": "341/300"}, "does not sell data"),
        ({"provider_code": "646", "country": "GH"}, "is in NG"),
        ({"provider_code": "9999"}, "no such operator"),
        ({"provider_code": "646/"}, "is not the id of an operator"),
        ({"provider_code": "0646"}, "is not the id of an operator"),
        ({"provider_code": "646/1e3"}, "is not the id of an operator"),
        ({"provider_code": "../topups"}, "is not the id of an operator"),
        ({"provider_code": ""}, "needs the id of its operator"),
        ({"provider_code": "341/300", "kind": "airtime"}, "is not the id of an operator"),
        ({"kind": "electricity"}, "electricity is not sold"),
        ({"kind": "airtime", "network": "glo"}, "2 operators (344 Glo Nigeria, 345 Glo Nigeria Flexi)"),
        ({"kind": "airtime", "network": "vodacom"}, "no operator for airtime of NG/vodacom"),
        ({"kind": "airtime", "network": "9mobile"}, "takes amounts in USD only"),
    ],
)
async def test_a_bundle_is_the_amount_that_its_description_or_the_shop_names(
    change: dict[str, Any], taken: tuple[float, bool] | str
) -> None:
    double = ReloadlyDouble()
    outcome = await made("reloadly", double).deliver(replace(BUNDLE, **change))
    if isinstance(taken, str):
        assert refused_as(outcome, Reason.NOT_SOLD, taken)
        assert not purchases(double)
    else:
        assert isinstance(outcome, Delivered)
        assert [(form["amount"], form["useLocalAmount"]) for form in purchases(double)] == [taken]


def test_two_bundles_of_one_description_are_not_told_apart() -> None:
    row = MTN_DATA | {"localFixedAmounts": [300, 400], "localFixedAmountsDescriptions": {"300": "1GB", "400": "1 GB"}}
    found = reloadly.operator_of(reply(200, row))
    assert found is not None
    assert refused_as(
        reloadly.top_up_of(replace(BUNDLE, provider_code="646"), found), Reason.NOT_SOLD, "2 such amounts"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"operatorId": "341"},
        {"operatorId": 0},
        {"operatorId": True},
        {"name": None},
        {"country": None},
        {"country": {"isoName": ["NG"]}},
        {"denominationType": "ANY"},
        {"denominationType": {}},
        {"senderCurrencyCode": None},
        {"destinationCurrencyCode": 566},
    ],
)
async def test_an_operator_that_cannot_be_read_is_not_sold_and_the_others_are(change: dict[str, Any]) -> None:
    row = OPERATORS[0] | change
    assert reloadly.operator_of(reply(200, row)) is None
    found = reloadly.operators_of(reply(200, [row, OPERATORS[1]]))
    assert found is not None
    assert [one.id for one in found] == [342]


async def test_operators_are_read_again_when_they_are_old_or_one_is_missing() -> None:
    double = ReloadlyDouble()
    provider = made("reloadly", double)
    for _ in range(3):
        await provider.deliver(AIRTIME)
    assert asked(double).count("GET /operators/countries/NG") == 1
    double.clock.pass_time(60)
    await provider.deliver(replace(AIRTIME, network="vodacom"))
    assert asked(double).count("GET /operators/countries/NG") == 2
    double.clock.pass_time(301)
    await provider.deliver(AIRTIME)
    assert asked(double).count("GET /operators/countries/NG") == 3


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (answer(500, {}), NotSent),
        (httpx.Response(200, text="<html>"), NotSent),
        (answer(200, {"operators": []}), NotSent),
        (answer(200, [1]), NotSent),
        (answer(302, []), NotSent),
        (error(403, "INACTIVE_ACCOUNT"), Refused),
        (error(404, "COUNTRY_NOT_SUPPORTED"), Refused),
        (answer(200, []), Refused),
    ],
)
async def test_without_operators_nothing_is_bought(said: httpx.Response, outcome: type[Outcome]) -> None:
    double = ReloadlyDouble()
    provider = over(lambda r: said if r.url.path.startswith("/operators") else None, double, "reloadly")
    assert isinstance(await provider.deliver(AIRTIME), outcome)
    assert not purchases(double)


@pytest.mark.parametrize(
    ("name", "networks"),
    [
        ("MTN Nigeria", {("NG", "mtn"), ("GH", "MTN")}),
        ("9Mobile (Etisalat) Nigeria", {("NG", "9mobile")}),
        ("Airtel Nigeria", {("NG", "airtel")}),
        ("Airtel-Tigo Ghana", {("GH", "AirtelTigo"), ("NG", "airtel")}),
        ("Vodafone Ghana", {("GH", "Telecel")}),
        ("Glomobile", set()),
        ("", set()),
    ],
)
def test_an_operator_is_a_network_where_its_name_holds_the_networks_as_whole_words(
    name: str, networks: set[tuple[str, str]]
) -> None:
    ours = {
        ("NG", "mtn"),
        ("NG", "airtel"),
        ("NG", "glo"),
        ("NG", "9mobile"),
        ("GH", "MTN"),
        ("GH", "Telecel"),
        ("GH", "AirtelTigo"),
    }
    assert {one for one in ours if is_network(name, *one)} == networks


# Reloadly: what became of it ----------------------------------------------------------------------------------------------


async def test_a_top_up_without_an_answer_is_found_in_the_report_and_an_accepted_one_by_its_id() -> None:
    double = ReloadlyDouble()
    double.situations[PHONE] = Situation.DELIVERS_THEN_SILENCE
    provider = made("reloadly", double)
    assert isinstance(await provider.deliver(AIRTIME), Unknown)
    double.hides_from_report = True
    assert isinstance(await provider.requery(AIRTIME), NotSent | Unknown)
    double.hides_from_report = False
    assert isinstance(await provider.requery(AIRTIME), Delivered)
    assert double.seen[-1].url.params["customIdentifier"] == "AT-7H2K-1"
    assert isinstance(await provider.requery(replace(AIRTIME, provider_reference="4602844")), Delivered)
    assert double.seen[-1].url.path == "/topups/4602844/status"
    await provider.requery(replace(AIRTIME, provider_reference="../x?"))
    assert double.seen[-1].url.raw_path == b"/topups/..%2Fx%3F/status"


async def test_what_is_missing_from_a_report_is_not_believed_for_an_hour() -> None:
    assert made("reloadly").traits.settles_after_s == 3600


@pytest.mark.parametrize(
    ("change", "cost"),
    [
        ({}, None),
        (
            {
                "requestedAmount": 300,
                "requestedAmountCurrencyCode": "NGN",
                "discount": 9.5,
                "discountCurrencyCode": "NGN",
            },
            29050,
        ),
        (
            {
                "requestedAmount": 300,
                "requestedAmountCurrencyCode": "NGN",
                "discount": None,
                "discountCurrencyCode": "NGN",
            },
            30000,
        ),
        (
            {
                "requestedAmount": 300,
                "requestedAmountCurrencyCode": "NGN",
                "discount": 301,
                "discountCurrencyCode": "NGN",
            },
            None,
        ),
        (
            {
                "requestedAmount": 300,
                "requestedAmountCurrencyCode": "NGN",
                "discount": 1,
                "discountCurrencyCode": "USD",
            },
            None,
        ),
        ({"balanceInfo": {"currencyCode": "NGN", "cost": 290.501}}, 29051),
    ],
)
def test_the_cost_is_what_the_float_paid_in_the_catalogues_currency(change: dict[str, Any], cost: int | None) -> None:
    body = {
        "transactionId": 4,
        "status": "SUCCESSFUL",
        "customIdentifier": "AT-7H2K-1",
        "requestedAmount": 0.67,
        "requestedAmountCurrencyCode": "USD",
    }
    told = reloadly.outcome_of(AIRTIME, reply(200, body | change))
    assert told == Delivered("4", None if cost is None else Money(cost, NGN))


# DT One: products ---------------------------------------------------------------------------------------------------------


async def test_a_transaction_is_created_and_then_confirmed() -> None:
    double = DTOneDouble()
    provider = made("dtone", double)
    assert await provider.deliver(AIRTIME) == Delivered("10000001", None, "10000001 COMPLETED")
    assert purchases(double, "/v1/async/transactions") == [
        {
            "external_id": "AT-7H2K-1",
            "product_id": 3100,
            "auto_confirm": False,
            "credit_party_identifier": {"mobile_number": "+2348031234567"},
            "calculation_mode": "DESTINATION_AMOUNT",
            "destination": {"unit_type": "CURRENCY", "unit": "NGN", "amount": 300},
        }
    ]
    pages = ["GET /v1/products"] * 2
    assert asked(double) == [*pages, "POST /v1/async/transactions", "POST /v1/async/transactions/10000001/confirm"]
    assert not double.seen[-1].content
    await provider.deliver(replace(BUNDLE, provider_code="3104"))
    form = purchases(double, "/v1/async/transactions")[-1]
    assert form["product_id"] == 3104
    assert "destination" not in form
    assert "calculation_mode" not in form


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({}, 3101),
        ({"validity_days": 7}, 3102),
        ({"size": "2GB"}, "2 products (3103 2GB, 30 days, 3104 2GB, 30 days, night)"),
        ({"size": "5GB"}, "no product for NG/mtn data 5GB"),
        ({"validity_days": None}, "no product"),
        ({"network": "airtel"}, "no product"),
        ({"kind": "airtime", "network": "airtel"}, 3200),
        ({"kind": "airtime", "network": "airtel", "face_value": Money(200_00, NGN)}, "no product"),
        ({"kind": "airtime", "network": "glo"}, "no product"),
        ({"kind": "airtime", "face_value": Money(50_000_01, NGN)}, "no product"),
        ({"kind": "airtime", "face_value": Money(300_50, NGN)}, "no product"),
        ({"kind": "electricity"}, "electricity is not sold"),
        ({"country": "KE"}, "the country KE is not sold"),
        ({"provider_code": "3103"}, 3103),
        ({"provider_code": "3100"}, "not a bundle"),
        ({"provider_code": "3300"}, "is of GHA"),
        ({"provider_code": "3105"}, "needs more: sender"),
        ({"provider_code": "3106"}, "is no recharge"),
        ({"provider_code": "9999"}, "1003001"),
        ({"provider_code": "03103"}, "is not the id of a product"),
        ({"provider_code": "3103/../1"}, "is not the id of a product"),
        ({"kind": "airtime", "provider_code": "3101"}, 3101),
        (
            {"kind": "airtime", "provider_code": "3101", "face_value": Money(301_00, NGN)},
            "brings NGN 300, not NGN 301.00",
        ),
    ],
)
async def test_a_product_is_bought_where_it_is_certain(change: dict[str, Any], taken: int | str) -> None:
    double = DTOneDouble()
    outcome = await made("dtone", double).deliver(replace(BUNDLE, **change))
    forms = purchases(double, "/v1/async/transactions")
    if isinstance(taken, str):
        assert refused_as(outcome, Reason.NOT_SOLD, taken)
        assert not forms
    else:
        assert isinstance(outcome, Delivered)
        assert [form["product_id"] for form in forms] == [taken]


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (product(1, "p", accepted_calculation_modes=["SOURCE_AMOUNT"]), "does not take the amount that arrives"),
        (
            product(1, "p", destination={"unit_type": "CURRENCY", "unit": "USD", "amount": {"min": 1, "max": 9}}),
            "brings USD",
        ),
        (
            product(1, "p", destination={"unit_type": "DATA", "unit": "NGN", "amount": {"min": 1, "max": 999}}),
            "brings no money",
        ),
        (
            product(
                1,
                "p",
                destination={
                    "unit_type": "CURRENCY",
                    "unit": "NGN",
                    "amount": {"min": 50, "max": 900, "increment": 70},
                },
            ),
            "multiples of NGN 70",
        ),
        (
            product(1, "p", destination={"unit_type": "CURRENCY", "unit": "NGN", "amount": {"min": 50}}),
            "NGN 50 to None",
        ),
        (product(1, "p", required_credit_party_identifier_fields=[["account_number"]]), "account number"),
        (product(1, "p", required_beneficiary_fields=[["last_name"]]), "beneficiary"),
        (product(1, "p", required_debit_party_identifier_fields=[["mobile_number"]]), "debit_party"),
        (product(1, "p", required_statement_identifier_fields=[["reference"]]), "statement"),
        (product(1, "p", required_additional_identifier_fields="yes"), "additional"),
    ],
)
def test_a_product_that_would_not_bring_what_was_sold_is_not_bought(row: dict[str, Any], word: str) -> None:
    found = dtone.product_of(reply(200, row))
    assert found is not None
    assert refused_as(dtone.amount_of(AIRTIME, found), Reason.NOT_SOLD, word)
    assert isinstance(dtone.product_for(AIRTIME, [found]), Refused)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "3101"},
        {"id": True},
        {"name": None},
        {"type": "FIXED_VALUE_PIN_PURCHASE"},
        {"type": {}},
        {"operator": None},
        {"destination": None},
    ],
)
def test_a_product_that_cannot_be_read_is_not_sold_and_the_others_are(change: dict[str, Any]) -> None:
    row = PRODUCTS[1] | change
    assert dtone.product_of(reply(200, row)) is None
    found = dtone.products_of(reply(200, [row, PRODUCTS[2]]))
    assert found is not None
    assert [one.id for one in found] == [3102]


def test_a_bundle_that_brings_more_than_data_is_not_a_bundle_of_data() -> None:
    row = bundle(1, "1GB and minutes", 1, "GB", 30)
    row["benefits"] = [*row["benefits"], {"type": "TALKTIME", "unit": "MINUTES", "amount": {"base": 5}}, {"type": []}]
    found = dtone.product_of(reply(200, row))
    assert found is not None
    assert isinstance(dtone.product_for(BUNDLE, [found]), Refused)


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (answer(500, {}), NotSent),
        (answer(429, {}), NotSent),
        (httpx.Response(200, text="<html>"), NotSent),
        (answer(200, {"products": []}), NotSent),
        (errors(401, 1000401), Refused),
        (errors(404, 1005005), Refused),
        (errors(404, 4711), NotSent),
    ],
)
async def test_without_products_nothing_is_created(said: httpx.Response, outcome: type[Outcome]) -> None:
    double = DTOneDouble()
    provider = over(lambda r: said if "/products" in r.url.path else None, double, "dtone")
    assert isinstance(await provider.deliver(AIRTIME), outcome)
    assert not double.creations


async def test_a_country_of_too_many_products_is_not_read_for_ever() -> None:
    double = DTOneDouble()
    page = answer(200, PRODUCTS)
    page.headers["x-total-pages"] = "31"
    provider = over(lambda r: page if "/products" in r.url.path else None, double, "dtone")
    assert refused_as(await provider.deliver(AIRTIME), Reason.NOT_SOLD, "31 pages")


def test_a_reference_fits_and_is_another_for_every_attempt() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert dtone.reference("AT-7H2K", 1, at) == "AT-7H2K-1"
    longest = "NPAPI-9223372036854775807-7kq2xd-and-more"
    found = {
        dtone.reference(order, number, at) for order in (longest, longest + "1", "A-1", "A") for number in (1, 11, 111)
    }
    assert len(found) == 12
    assert all(len(text) <= 40 for text in found)
    assert made("dtone").traits.reference(longest, 1, at) == dtone.reference(longest, 1, at)


# DT One: two phases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        httpx.ReadTimeout("silence"),
        httpx.RemoteProtocolError("cut"),
        answer(502, {"errors": []}),
        errors(503, 1009503),
        errors(500, 1009001),
        *GARBAGE,
    ],
)
async def test_a_creation_without_an_answer_delivers_nothing_and_is_closed(said: httpx.Response | Exception) -> None:
    double = DTOneDouble(creation=said)
    provider = made("dtone", double)
    assert isinstance(await provider.deliver(AIRTIME), Unknown)
    assert not any(path.endswith("/confirm") for path in asked(double))
    for _ in range(2):
        closed = await provider.requery(AIRTIME)
        assert isinstance(closed, NotSent)
        assert closed.closed
    assert double.creations["AT-7H2K-1"].cancelled
    assert asked(double).count("POST /v1/transactions/10000001/cancel") == 1
    assert double.delivered(PHONE) == 0


async def test_a_confirmation_that_did_not_arrive_is_closed_and_one_that_comes_later_is_useless() -> None:
    double = DTOneDouble(confirmation_lost=True)
    provider = made("dtone", double)
    assert isinstance(await provider.deliver(AIRTIME), Unknown)
    late = double.seen[-1]
    assert late.url.path.endswith("/confirm")
    closed = await provider.requery(AIRTIME)
    assert isinstance(closed, NotSent)
    assert closed.closed
    double.confirmation_lost = False
    assert (await double.handle(late)).status_code == 400
    assert double.delivered(PHONE) == 0


async def test_what_is_confirmed_before_it_is_cancelled_is_delivered() -> None:
    double = DTOneDouble(confirmation_lost=True)
    await made("dtone", double).deliver(AIRTIME)
    late = double.seen[-1]
    double.confirmation_lost = False

    async def far(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/cancel"):
            await double.handle(late)
        return await double.handle(request)

    provider = connect("up", SETTINGS["dtone"], double.clock, transport=httpx.MockTransport(far))
    assert isinstance(await provider.requery(AIRTIME), Unknown)
    assert isinstance(await provider.requery(AIRTIME), Delivered)
    assert double.delivered(PHONE) == 1


async def test_a_requery_does_not_cancel_what_this_process_is_about_to_confirm() -> None:
    double = DTOneDouble()
    provider = made("dtone", double)
    double.open.clear()
    under_way = asyncio.create_task(provider.deliver(AIRTIME))
    await asyncio.sleep(0.01)
    assert double.creations
    assert isinstance(await provider.requery(AIRTIME), Unknown)
    double.open.set()
    assert isinstance(await under_way, Delivered)
    assert not any(path.endswith("/cancel") for path in asked(double))


async def test_what_another_process_has_closed_is_not_delivered_by_the_one_that_was_slow() -> None:
    double = DTOneDouble()
    slow, quick = made("dtone", double), made("dtone", double)
    double.open.clear()
    under_way = asyncio.create_task(slow.deliver(AIRTIME))
    await asyncio.sleep(0.01)
    assert double.creations
    closed = await quick.requery(AIRTIME)
    assert isinstance(closed, NotSent)
    assert closed.closed
    double.open.set()
    outcome = await under_way
    assert isinstance(outcome, NotSent)
    assert outcome.closed
    assert double.delivered(PHONE) == 0


async def test_a_process_that_was_stopped_for_long_does_not_confirm_any_more() -> None:
    double = DTOneDouble()

    def handle(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith("/async/transactions"):
            double.clock.pass_time(3600)
        return None

    provider = over(handle, double, "dtone")
    assert isinstance(await provider.deliver(AIRTIME), Unknown)
    assert not any(path.endswith("/confirm") for path in asked(double))
    assert isinstance(await provider.requery(AIRTIME), NotSent)


@pytest.mark.parametrize(
    "change",
    [
        {"external_id": "AT-7H2K-9"},
        {"credit_party_identifier": {"mobile_number": "+2348031234568"}},
        {"id": None},
        {"status": {"message": "CREATED", "class": {"id": 1, "message": "COMPLETED"}}},
    ],
)
async def test_what_is_not_ours_is_not_confirmed(change: dict[str, Any]) -> None:
    double = DTOneDouble()
    body = {
        "id": 7,
        "external_id": "AT-7H2K-1",
        "status": {"id": 10000, "message": "CREATED", "class": {"id": 1, "message": "CREATED"}},
    }
    double.creation = answer(201, body | change)
    assert isinstance(await made("dtone", double).deliver(AIRTIME), Unknown)
    assert not any(path.endswith("/confirm") for path in asked(double))


async def test_a_reference_that_is_used_already_is_asked_about() -> None:
    double = DTOneDouble()
    provider = made("dtone", double)
    assert isinstance(await provider.deliver(AIRTIME), Delivered)
    assert isinstance(await provider.deliver(AIRTIME), Unknown)
    assert isinstance(await provider.requery(AIRTIME), Delivered)
    assert double.delivered(PHONE) == 1


async def test_a_reversal_contradicts_what_was_delivered() -> None:
    body = {
        "id": 7,
        "external_id": "AT-7H2K-1",
        "status": {"message": "REVERSED", "class": {"id": 8, "message": "REVERSED"}},
    }
    told = dtone.requery_outcome_of(replace(AIRTIME, provider_reference="7"), reply(200, body))
    assert refused_as(told, Reason.REFUSED, "7 REVERSED")


@given(
    creation_lost=st.booleans(),
    confirmation=st.sampled_from(["answered", "lost", "answer lost"]),
    steps=st.lists(st.sampled_from(["requery", "requery elsewhere", "late confirmation"]), max_size=5),
)
def test_in_whatever_order_things_come_it_is_delivered_once_or_closed(
    creation_lost: bool, confirmation: str, steps: list[str]
) -> None:
    async def story() -> None:
        double = DTOneDouble(creation=httpx.ReadTimeout("silence") if creation_lost else None)
        double.confirmation_lost = confirmation == "lost"
        if confirmation == "answer lost":
            double.situations[PHONE] = Situation.DELIVERS_THEN_SILENCE
        provider, other = made("dtone", double), made("dtone", double)
        said: list[object] = [await provider.deliver(AIRTIME)]
        late = [request for request in double.seen if request.url.path.endswith("/confirm")]
        double.confirmation_lost = False
        double.situations[PHONE] = Situation.DELIVERS
        for step in steps:
            if step == "late confirmation":
                for request in late:
                    await double.handle(request)
            else:
                said.append(await (provider if step == "requery" else other).requery(AIRTIME))
        delivered = double.delivered(PHONE)
        assert delivered <= 1
        assert not any(isinstance(word, NotSent | Refused) for word in said) or delivered == 0
        assert not any(isinstance(word, Delivered) for word in said) or delivered == 1
        last = await provider.requery(AIRTIME)
        assert isinstance(last, Delivered if delivered else NotSent)

    asyncio.run(story())


# Both ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTINGS)
def test_what_a_connector_of_the_world_declares(name: str) -> None:
    traits = made(name, live=False, test=True, concurrency=3, timeout_s=7, rate_per_s=2.0).traits
    assert (traits.live_mode, traits.test_mode, traits.concurrency, traits.rate_per_s) == (False, True, 3, 2.0)
    assert traits.timeout_s == 22
    assert traits.kinds == {"data", "airtime"}
    assert not traits.reference_is_key
    assert traits.networks is None
    assert made(name, networks=("NG/mtn",)).traits.networks == {("NG", "mtn")}
    assert traits.repeat_guard_s == (120 if name == "reloadly" else 0)
    assert traits.settles_after_s == (3600 if name == "reloadly" else 300)
    assert made(name, timeout_s=300).traits.settles_after_s >= 901


@pytest.mark.parametrize("name", SETTINGS)
def test_every_mistake_in_the_settings_of_the_world_is_named(name: str) -> None:
    bad = ProviderSettings(
        connector=name,
        api_key=Secret("with a blank\n"),
        client_id=Secret("also with one \n"),
        public_key=Secret("x"),
        base_url="ftp://user:pass@host/?x",
        token_url="https://user@host/",
        audience="https://topups-hs256.reloadly.com",
        file="upstreams/x.toml",
    )
    with pytest.raises(ConnectorRefused) as refusal:
        connect("up", bad, FakeClock())
    named = {problem.where for problem in refusal.value.problems}
    assert {"api_key", "client_id", "public_key", "base_url", "token_url", "file"} <= named
    assert ("audience" in named) == (name == "dtone")
    assert {"client_secret"} <= named if name == "reloadly" else {"api_secret"} <= named
    assert "with a blank" not in str(refusal.value)
    with pytest.raises(ConnectorRefused):
        connect("up", ProviderSettings(connector=name), FakeClock())


def test_a_key_of_dt_one_with_a_colon_is_named() -> None:
    with pytest.raises(ConnectorRefused) as refusal:
        made("dtone", api_key=Secret("a:b"))
    assert [problem.where for problem in refusal.value.problems] == ["api_key"]


@pytest.mark.parametrize(
    ("name", "url"),
    [("reloadly", "https://topups.reloadly.com/topups"), ("dtone", "https://dvs-api.dtone.com/v1/async/transactions")],
)
async def test_a_preview_of_the_world_shows_the_request_without_secrets(name: str, url: str) -> None:
    double = DOUBLES[name]()
    provider = made(name, double)
    before = provider.preview(AIRTIME)
    assert isinstance(before, RequestPreview)
    assert not double.seen
    assert "the id of the" in before.body
    assert await provider.prepare(AIRTIME) is None
    after = provider.preview(AIRTIME)
    assert isinstance(after, RequestPreview)
    assert after.url == url
    assert "the id of the" not in after.body
    assert '"amount":300' in after.body
    assert after.headers["authorization"] == "********"
    pair = base64.b64encode(b"double-key:double-secret").decode()
    for secret in ("token-1", "double-client", "double-secret", "double-key", pair):
        assert secret not in f"{before} {after}"
    assert isinstance(provider.preview(replace(AIRTIME, network="vodacom")), Refused)
    assert isinstance(provider.preview(replace(AIRTIME, kind="electricity")), Refused)


@pytest.mark.parametrize(("name", "money"), [("reloadly", Money(5000_23, USD)), ("dtone", Money(700_12, USD))])
async def test_the_float_of_the_world_is_read_in_its_own_currency(name: str, money: Money) -> None:
    assert await made(name).balance() == money
    wrong = {"client_secret" if name == "reloadly" else "api_secret": Secret("wrong")}
    refused = await made(name, **wrong).balance()
    assert isinstance(refused, BalanceUnavailable)
    assert refused.not_allowed


def test_a_currency_of_no_market_here_has_its_own_decimals() -> None:
    assert [foreign_currency(code).digits for code in ("USD", "EUR", "XOF", "JPY", "KWD", "UGX", "GHS")] == [
        2,
        2,
        0,
        0,
        3,
        0,
        2,
    ]
    assert (foreign_currency("GHS"), foreign_currency("UGX")) == (GHS, UGX)
    for wrong in ("usd", "US", "USDT", "U$D", "", "\u0391\u0392\u0393"):
        with pytest.raises(ValueError, match="not a currency"):
            foreign_currency(wrong)


@pytest.mark.parametrize("name", SETTINGS)
async def test_an_answer_of_the_world_that_repeats_our_secrets_or_the_number_is_shown_without_them(name: str) -> None:
    double = DOUBLES[name]()
    secrets = ("token-1", "double-secret", "double-client", "double-key")

    def handle(request: httpx.Request) -> httpx.Response | None:
        if "topups" in request.url.path or "transactions" in request.url.path or "balance" in request.url.path:
            return answer(418, {"seen": secrets, "to": AIRTIME.subscriber})
        return None

    provider = over(handle, double, name)
    for outcome in (await provider.deliver(AIRTIME), await provider.requery(AIRTIME)):
        assert isinstance(outcome, Unknown)
        assert AIRTIME.subscriber[-9:] not in outcome.text
        ours = secrets[:3] if name == "reloadly" else ("double-secret", "double-key")
        assert not any(secret in outcome.text for secret in ours)
    balance = await provider.balance()
    assert isinstance(balance, BalanceUnavailable)
    assert "double-secret" not in balance.text


# Over a real line ---------------------------------------------------------------------------------------------------------


async def test_reloadly_is_called_over_a_real_line_and_again_after_a_token_has_ended() -> None:
    double = ReloadlyDouble()
    async with served(double.handle) as url:
        settings = SETTINGS["reloadly"]
        wanted = {field: getattr(settings, field) for field in settings.__struct_fields__}
        wanted |= {"base_url": url, "token_url": f"{url}/oauth/token"}
        provider = connect("up", ProviderSettings(**wanted), double.clock)
        assert isinstance(await provider.deliver(AIRTIME), Delivered)
        double.end_tokens()
        assert isinstance(await provider.deliver(replace(AIRTIME, reference="AT-7H2K-9")), Delivered)
        double.end_tokens()
        assert isinstance(await provider.requery(AIRTIME), Delivered)
        double.situations[PHONE] = Situation.DELIVERS_THEN_SILENCE
        lost = replace(AIRTIME, reference="AT-7H2K-10")
        assert isinstance(await provider.deliver(lost), Unknown)
        assert isinstance(await provider.requery(lost), Delivered)
        await provider.close()
    assert [form["customIdentifier"] for form in purchases(double)] == ["AT-7H2K-1", *["AT-7H2K-9"] * 2, "AT-7H2K-10"]
    assert len(double.book) == 3


async def test_dt_one_is_called_over_a_real_line() -> None:
    double = DTOneDouble()
    async with served(double.handle) as url:
        settings = SETTINGS["dtone"]
        wanted = {field: getattr(settings, field) for field in settings.__struct_fields__}
        provider = connect("up", ProviderSettings(**wanted | {"base_url": f"{url}/v1/"}), double.clock)
        assert isinstance(await provider.deliver(AIRTIME), Delivered)
        double.confirmation_lost = True
        lost = replace(AIRTIME, reference="AT-7H2K-9")
        assert isinstance(await provider.deliver(lost), Unknown)
        closed = await provider.requery(lost)
        assert isinstance(closed, NotSent)
        assert closed.closed
        assert await provider.balance() == Money(700_12, USD)
        await provider.close()
    assert double.delivered(PHONE) == 1


# A line that breaks -------------------------------------------------------------------------------------------------------


class Split(httpx.AsyncBaseTransport):
    """The double, and in place of some of its paths a server that breaks the line."""

    def __init__(self, double: VendorDouble, url: str, broken: tuple[str, ...]) -> None:
        self._double = double.transport
        self._wire = httpx.AsyncHTTPTransport()
        self._url = httpx.URL(url)
        self._broken = broken

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith(self._broken):
            return await self._double.handle_async_request(request)
        request.url = request.url.copy_with(scheme="http", host=self._url.host, port=self._url.port)
        return await self._wire.handle_async_request(request)

    async def aclose(self) -> None:
        await self._wire.aclose()


@asynccontextmanager
async def split(name: str, play: Play, *broken: str) -> AsyncIterator[tuple[Upstream, VendorDouble]]:
    double = DOUBLES[name]()
    settings = SETTINGS[name]
    wanted = {field: getattr(settings, field) for field in settings.__struct_fields__} | {"timeout_s": 0.3}
    async with far_side(play) as url:
        provider = connect("up", ProviderSettings(**wanted), double.clock, transport=Split(double, url, broken))
        yield provider, double
        await provider.close()


BROKEN: Final = [
    ("reloadly", ("/topups", "/status", "/transactions", "/balance")),
    ("dtone", ("/confirm", "/transactions", "/balances")),
    ("dtone", ("/confirm", "/cancel", "/balances")),
]


@pytest.mark.parametrize("play", PLAYS)
@pytest.mark.parametrize(("name", "broken"), BROKEN)
async def test_a_line_of_the_world_that_breaks_after_the_request_leaves_it_unknown(
    name: str, broken: tuple[str, ...], play: Play
) -> None:
    async with split(name, play, *broken) as (provider, _):
        outcomes: list[Outcome] = [await provider.deliver(AIRTIME), await provider.requery(AIRTIME)]
        balance = await provider.balance()
    assert all(isinstance(outcome, Unknown) for outcome in outcomes), outcomes
    assert isinstance(balance, BalanceUnavailable)


@pytest.mark.parametrize("play", PLAYS)
@pytest.mark.parametrize(
    ("name", "broken"), [("reloadly", "/oauth/token"), ("reloadly", "/NG"), ("dtone", "/products")]
)
async def test_a_line_that_breaks_before_the_purchase_has_sent_nothing(name: str, broken: str, play: Play) -> None:
    async with split(name, play, broken) as (provider, double):
        assert isinstance(await provider.deliver(AIRTIME), NotSent)
    assert not double.book


@pytest.mark.parametrize(("name", "path"), [("reloadly", "/topups"), ("dtone", "/async/transactions")])
async def test_nobody_at_the_other_end_of_the_world_means_not_sent(name: str, path: str) -> None:
    double = DOUBLES[name]()
    async with far_side(silent) as url:
        pass
    settings = SETTINGS[name]
    provider = connect("up", settings, double.clock, transport=Split(double, url, (path,)))
    delivery: Delivery = AIRTIME
    assert isinstance(await provider.deliver(delivery), NotSent)
    await provider.close()
    assert isinstance(await provider.deliver(delivery), NotSent)
    assert not isinstance(await provider.requery(delivery), NotSent | Refused | Delivered | Accepted)
