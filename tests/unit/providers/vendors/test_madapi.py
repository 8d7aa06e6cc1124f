"""MADAPI as a whole: tokens, requests, ids, what is asked about, settings, and a line that breaks."""

import asyncio
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.config import ProviderSettings
from telvend.kit.money import GHS, NGN, UGX, Money
from telvend.kit.secret import Secret
from telvend.providers.connectors import connect
from telvend.providers.contract import Accepted, Delivered, Delivery, NotSent, Reason, Refused, Unknown
from telvend.providers.madapi import wire
from telvend.providers.over_http import STARS, ProviderReply
from telvend.providers.upstream import BalanceUnavailable, ConnectorRefused, RequestPreview, Upstream
from tests.broken_lines import PLAYS, Play, far_side, served
from tests.clocks import FakeClock
from tests.contract.provider_rigs import MADAPI, delivery_in_nigeria, delivery_to
from tests.contract.situations import Situation
from tests.madapi_double import MadapiDouble, error
from tests.vendor_doubles import answer

BUNDLE: Final = delivery_in_nigeria("+2348031234567", "4711-7kq2xd-1")
AIRTIME: Final = delivery_in_nigeria("+2348031234567", "4711-7kq2xd-2", "airtime")
BUY: Final = "/v2/customers/2348031234567/subscriptions"
LOAD: Final = "/v2/customers/2348031234567/plans/refill"
NOON: Final = datetime(2026, 11, 28, 12, tzinfo=UTC)


def made(double: MadapiDouble | None = None, **changes: Any) -> Upstream:
    double = double or MadapiDouble()
    wanted = {field: getattr(MADAPI, field) for field in MADAPI.__struct_fields__} | changes
    return connect("up", ProviderSettings(**wanted), double.clock, transport=double.transport)


def over(handle: Any, double: MadapiDouble) -> Upstream:
    """A provider whose far side is the double, except where `handle` answers."""

    async def answered(request: httpx.Request) -> httpx.Response:
        return handle(request) or await double.handle(request)

    return connect("up", MADAPI, double.clock, transport=httpx.MockTransport(answered))


def sent(double: MadapiDouble, *paths: str) -> list[httpx.Request]:
    return [request for request in double.seen if request.url.path in paths]


def is_refused(outcome: object, reason: Reason, *words: str) -> bool:
    return isinstance(outcome, Refused) and outcome.reason is reason and all(word in outcome.text for word in words)


# Requests -----------------------------------------------------------------------------------------------------------------


async def test_a_bundle_is_a_subscription_by_product_code_paid_from_our_wallet() -> None:
    double = MadapiDouble()
    provider = made(double)
    assert await provider.deliver(BUNDLE) == Delivered("C-1", Money(285_00, NGN))
    (request,) = sent(double, BUY)
    assert json.loads(request.content) == {
        "subscriptionId": "NG-MTN-SME-1GB-30D", "subscriptionPaymentSource": "EVDS", "beneficiaryId": "2348031234567",
    }  # fmt: skip
    headers = {
        name: request.headers[name] for name in ("transactionid", "x-country-code", "sourcesystemid", "x-api-key")
    }
    assert headers == {
        "transactionid": "4711-7kq2xd-1", "x-country-code": "NG", "sourcesystemid": "Telvend", "x-api-key": "mtn_live_double",
    }  # fmt: skip
    assert request.headers["authorization"] == "Bearer token-1"
    await provider.deliver(replace(BUNDLE, reference="4712-7kq2xd-1", provider_code="ERS/NACT_NG_Data_4504"))
    form = json.loads(sent(double, BUY)[-1].content)
    assert (form["subscriptionProviderId"], form["subscriptionId"]) == ("ERS", "NACT_NG_Data_4504")


async def test_a_subscription_says_where_to_call_back_and_a_refill_does_not() -> None:
    double = MadapiDouble()
    provider = made(double)
    provider.calls_back_at("https://shop.example/providers/up/callback/a-secret-of-ours", Secret("a-secret-of-ours"))
    await provider.deliver(BUNDLE)
    await provider.deliver(AIRTIME)
    bought, loaded = sent(double, BUY, LOAD)
    assert json.loads(bought.content)["callbackUrl"] == "https://shop.example/providers/up/callback/a-secret-of-ours"
    assert "callbackUrl" not in json.loads(loaded.content)
    preview = provider.preview(BUNDLE)
    assert isinstance(preview, RequestPreview)
    assert "a-secret-of-ours" not in preview.body


async def test_a_token_is_fetched_to_see_whether_the_credentials_count() -> None:
    assert await made().refused_token() is None
    wrong = await made(client_secret=Secret("wrong-secret")).refused_token()
    assert str(wrong) == (
        "client_id, client_secret: https://api.mtn.com/v1/oauth/access_token gives no token for them:"
        " the credentials are not accepted: HTTP 401"
    )

    def silent(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.startswith("/v1/oauth"):
            raise httpx.ReadTimeout("silence")
        return None

    away = await over(silent, MadapiDouble()).refused_token()
    assert (
        str(away)
        == "token_url: https://api.mtn.com/v1/oauth/access_token gives no token: there is no token: no answer (ReadTimeout)"
    )


async def test_airtime_is_a_refill_in_whole_units_of_the_customers_currency() -> None:
    double = MadapiDouble()
    provider = made(double)
    assert isinstance(await provider.deliver(AIRTIME), Delivered)
    (request,) = sent(double, LOAD)
    assert request.method == "PATCH"
    assert json.loads(request.content) == {
        "refillType": "voucherless", "refillProfileId": "DB00", "transactionAmount": "300",
    }  # fmt: skip
    await provider.deliver(replace(AIRTIME, reference="4712-7kq2xd-1", provider_code="X9"))
    assert json.loads(sent(double, LOAD)[-1].content)["refillProfileId"] == "X9"


def test_shillings_of_uganda_have_no_cents_and_are_sent_as_they_are() -> None:
    uganda = replace(AIRTIME, country="UG", network="MTN", subscriber="+256772123456", face_value=Money(5000, UGX))
    form = wire.refill_form(uganda)
    assert isinstance(form, dict)
    assert form["transactionAmount"] == "5000"
    body = {"statusCode": "0000", "statusMessage": "Success", "data": {"amount": "5000", "currencyCode": "UGX"}}
    reply = answer(200, body)
    found = wire.refilled(uganda, ProviderReply(200, reply.content, {"content-type": "application/json"}))
    assert isinstance(found, Delivered)


@pytest.mark.parametrize(
    ("delivery", "change", "word"),
    [
        (AIRTIME, {"face_value": Money(100_50, NGN)}, "whole units"),
        (AIRTIME, {"face_value": Money(0, NGN)}, "whole units"),
        (AIRTIME, {"provider_code": "DB000"}, "refill profile"),
        (AIRTIME, {"network": "glo"}, "sells no airtime of NG/glo"),
        (BUNDLE, {"network": "Telecel", "country": "GH"}, "sells no data of GH/Telecel"),
        (BUNDLE, {"provider_code": "a b"}, "no product code"),
        (BUNDLE, {"provider_code": "A/B/C"}, "no product code"),
        (BUNDLE, {"kind": "electricity"}, "sells no electricity"),
    ],
)
async def test_what_madapi_cannot_be_asked_for_is_refused_unsent(
    delivery: Delivery, change: dict[str, Any], word: str
) -> None:
    double = MadapiDouble()
    assert is_refused(await made(double).deliver(replace(delivery, **change)), Reason.NOT_SOLD, word)
    assert not double.book
    assert not sent(double, BUY, LOAD)


# Ids ----------------------------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(["SUB", "NPAPI", "AIR", "AT"]),
    st.integers(1, 2**63 - 1),
    st.from_regex(r"[0-9a-z]{6}", fullmatch=True),
    st.integers(1, 99),
)
def test_a_transaction_id_is_one_that_mtn_takes_and_another_for_every_attempt(
    prefix: str, order: int, check: str, number: int
) -> None:
    found = wire.transaction_id(f"{prefix}-{order}-{check}", number, NOON)
    assert re.fullmatch(r"[A-Za-z0-9+/=-]{5,20}", found, re.ASCII)
    assert found == wire.transaction_id(f"{prefix}-{order}-{check}", number, NOON)
    others = [(order, number + 1), (order + 1, number), (order * 10 + number % 10, number)]
    assert found not in [wire.transaction_id(f"{prefix}-{one}-{check}", which, NOON) for one, which in others]


def test_a_transaction_id_shows_the_order_where_there_is_room() -> None:
    assert wire.transaction_id("NPAPI-4711-7kq2xd", 2, NOON) == "4711-7kq2xd-2"
    assert len(wire.transaction_id("é", 1, NOON)) == 20
    assert made().traits.reference("NPAPI-4711-7kq2xd", 2, NOON) == "4711-7kq2xd-2"


# Tokens -------------------------------------------------------------------------------------------------------------------


async def test_a_token_is_asked_for_once_and_again_shortly_before_it_ends() -> None:
    double = MadapiDouble()
    provider = made(double)
    await asyncio.gather(*(provider.deliver(replace(BUNDLE, reference=f"{n:05}-1")) for n in range(20)))
    assert double.tokens == 1
    double.clock.pass_time(3538)
    await provider.requery(BUNDLE)
    assert double.tokens == 1
    double.clock.pass_time(2)
    await provider.requery(BUNDLE)
    assert double.tokens == 2


@pytest.mark.parametrize("delivery", [BUNDLE, AIRTIME], ids=["bundle", "airtime"])
async def test_what_is_refused_for_its_token_is_sent_once_more_under_the_same_id(delivery: Delivery) -> None:
    double = MadapiDouble()
    provider = made(double)
    await provider.balance()
    double.end_tokens()
    assert isinstance(await provider.deliver(delivery), Delivered)
    assert [request.headers["transactionid"] for request in sent(double, BUY, LOAD)] == [delivery.reference] * 2
    assert [entry.deliveries for entry in double.book] == [1]


@pytest.mark.parametrize(
    "status_and_body",
    [
        (401, {}),
        (401, {"statusCode": "6000", "statusMessage": "x"}),
        (403, {"statusCode": "4000", "statusMessage": "x"}),
        (500, {}),
    ],
    ids=str,
)
async def test_a_purchase_is_not_sent_again_after_any_other_refusal(status_and_body: tuple[int, Any]) -> None:
    double = MadapiDouble()
    asked: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != BUY:
            return None
        asked.append(request)
        return answer(*status_and_body)

    assert isinstance(await over(refuse, double).deliver(BUNDLE), Unknown)
    assert len(asked) == 1


async def test_a_token_that_is_refused_twice_is_ours_to_mend() -> None:
    asked: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != BUY:
            return None
        asked.append(request)
        return error("4000")

    double = MadapiDouble()
    assert is_refused(await over(refuse, double).deliver(BUNDLE), Reason.NOT_ALLOWED)
    assert len(asked) == 2
    assert double.tokens == 2


async def test_wrong_credentials_refuse_and_are_told_of_without_a_float() -> None:
    provider = made(client_secret=Secret("another"))
    refused = await provider.deliver(BUNDLE)
    assert is_refused(refused, Reason.NOT_ALLOWED, "credentials")
    told = await provider.balance()
    assert isinstance(told, BalanceUnavailable)
    assert told.not_allowed
    assert await made().balance() is None


async def test_without_a_token_nothing_is_sent() -> None:
    double = MadapiDouble()

    def away(request: httpx.Request) -> httpx.Response | None:
        return answer(503, {"statusCode": "3000"}) if request.url.path.startswith("/v1/oauth") else None

    provider = over(away, double)
    assert isinstance(await provider.deliver(BUNDLE), NotSent)
    told = await provider.balance()
    assert isinstance(told, BalanceUnavailable)
    assert not told.not_allowed
    assert not double.seen


# Asking -------------------------------------------------------------------------------------------------------------------


async def test_a_subscription_is_asked_about_by_the_id_it_was_bought_under() -> None:
    double = MadapiDouble()
    provider = made(double)
    delivery = replace(BUNDLE, provider_code="ERS/NG-MTN-SME-1GB-30D")
    double.situations["08031234567"] = Situation.DELIVERS_THEN_SILENCE
    assert isinstance(await provider.deliver(delivery), Unknown)
    assert await provider.requery(delivery) == Delivered("C-1", Money(285_00, NGN))
    request = double.seen[-1]
    assert request.url.path == f"{BUY}/NG-MTN-SME-1GB-30D/status/4711-7kq2xd-1"
    assert dict(request.url.params) == {
        "customerId": "2348031234567", "queryType": "TRANSACTION_REFERENCE", "subscriptionProviderId": "ERS",
    }  # fmt: skip
    assert "transactionid" not in request.headers


@pytest.mark.parametrize("delivery", [BUNDLE, AIRTIME], ids=["bundle", "airtime"])
async def test_only_a_telvend_is_believed_that_nothing_was_sold(delivery: Delivery) -> None:
    assert isinstance(await made(MadapiDouble(telvend=True)).requery(delivery), NotSent)
    assert isinstance(await made(MadapiDouble()).requery(delivery), Unknown)


async def test_a_refill_of_mtn_without_an_answer_stays_unknown() -> None:
    double = MadapiDouble()
    provider = made(double)
    double.situations["08031234567"] = Situation.DELIVERS_THEN_SILENCE
    assert isinstance(await provider.deliver(AIRTIME), Unknown)
    double.clock.pass_time(86_400)
    assert isinstance(await provider.requery(AIRTIME), Unknown)


async def test_a_pending_subscription_is_accepted_with_its_cost_and_asked_about_by_either_id() -> None:
    double = MadapiDouble()
    provider = made(double)
    double.situations["08031234567"] = Situation.DELIVERS_LATER
    assert await provider.deliver(BUNDLE) == Accepted("C-1", wire.REQUERY_AFTER_S, cost=Money(285_00, NGN))
    double.clock.pass_time(3)
    assert isinstance(await provider.requery(replace(BUNDLE, provider_reference="C-1")), Delivered)


# Settings -----------------------------------------------------------------------------------------------------------------


def test_what_the_connector_declares() -> None:
    traits = made(live=False, test=True, concurrency=3, timeout_s=7.0).traits
    assert (traits.live_mode, traits.test_mode, traits.concurrency) == (False, True, 3)
    assert (traits.timeout_s, traits.settles_after_s, traits.reference_is_key) == (29, 149, True)
    assert traits.kinds == {"airtime", "data"}
    assert made(timeout_s=60.0).traits.settles_after_s == 361
    assert made(networks=("GH/mtn",)).traits.networks == {("GH", "MTN")}
    assert made().traits.networks == wire.NETWORKS


async def test_where_tokens_are_can_be_said() -> None:
    double = MadapiDouble()
    seen: list[str] = []

    def note(request: httpx.Request) -> httpx.Response | None:
        seen.append(str(request.url))
        return None

    async def answered(request: httpx.Request) -> httpx.Response:
        note(request)
        if request.url.host == "tokens.example.com":
            request = httpx.Request(
                "POST",
                "https://x/v1/oauth/access_token?grant_type=client_credentials",
                headers={"content-type": "application/x-www-form-urlencoded"},
                content=request.content,
            )
        return await double.handle(request)

    for token_url, expected in (
        ("", "https://preprod.example.com/v1/oauth/access_token?grant_type=client_credentials"),
        ("https://tokens.example.com/t", "https://tokens.example.com/t?grant_type=client_credentials"),
    ):
        seen.clear()
        wanted = {field: getattr(MADAPI, field) for field in MADAPI.__struct_fields__} | {
            "base_url": "https://preprod.example.com/",
            "token_url": token_url,
        }
        provider = connect("up", ProviderSettings(**wanted), double.clock, transport=httpx.MockTransport(answered))
        assert await provider.balance() is None
        assert seen == [expected]
        await provider.requery(BUNDLE)
        assert seen[-1].startswith("https://preprod.example.com/v2/customers/")


def test_every_mistake_in_the_settings_is_named() -> None:
    bad = ProviderSettings(
        connector="madapi",
        client_id=Secret("with a blank"),
        api_key=Secret("x"),
        base_url="ftp://host",
        token_url="nowhere",
        file="x.toml",
        audience="y",
        networks=("NG/glo",),
    )
    with pytest.raises(ConnectorRefused) as refusal:
        connect("up", bad, FakeClock())
    named = {problem.where for problem in refusal.value.problems}
    assert named == {"client_id", "client_secret", "api_key", "base_url", "token_url", "file", "audience", "networks"}


def test_a_preview_shows_no_secret() -> None:
    for delivery, path in ((BUNDLE, BUY), (AIRTIME, LOAD)):
        preview = made().preview(delivery)
        assert isinstance(preview, RequestPreview)
        assert preview.url == f"https://api.mtn.com{path}"
        assert (preview.headers["x-api-key"], preview.headers["authorization"]) == (STARS, STARS)
        assert MadapiDouble.CLIENT_SECRET not in str(preview)


async def test_an_outcome_repeats_neither_the_number_nor_a_secret() -> None:
    double = MadapiDouble()

    def refuse(request: httpx.Request) -> httpx.Response | None:
        words = f"2348031234567 with {MadapiDouble.CLIENT_ID} and token-1"
        return error("5001", supportMessage=words) if request.url.path == BUY else None

    refused = await over(refuse, double).deliver(BUNDLE)
    assert is_refused(refused, Reason.REFUSED)
    assert isinstance(refused, Refused)
    for word in ("8031234567", MadapiDouble.CLIENT_ID, "token-1"):
        assert word not in refused.text


def test_ghana_is_served_in_cedis() -> None:
    ghana = delivery_to("+233241234567", "4711-7kq2xd-1")
    form = wire.subscription_form(ghana)
    assert isinstance(form, dict)
    assert (form["subscriptionId"], form["beneficiaryId"]) == ("GH-MTN-1GB-30D", "233241234567")
    assert wire.refill_form(replace(ghana, face_value=Money(5_00, GHS))) == {
        "refillType": "voucherless", "refillProfileId": "DB00", "transactionAmount": "5",
    }  # fmt: skip


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
async def test_a_line_that_breaks_leaves_nothing_certain_but_that_no_token_was_had(play: Play) -> None:
    """Without a token nothing is sent; with one the purchase may have arrived, and the question says nothing."""
    async with far_side(play) as url:
        wanted = {field: getattr(MADAPI, field) for field in MADAPI.__struct_fields__} | {
            "base_url": url,
            "timeout_s": 0.4,
        }
        provider = connect("up", ProviderSettings(**wanted), FakeClock())
        assert isinstance(await provider.deliver(BUNDLE), NotSent)
        assert isinstance(await provider.requery(BUNDLE), Unknown)
        await provider.close()


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
async def test_a_line_that_breaks_after_the_request_leaves_a_purchase_unknown(play: Play) -> None:
    double = MadapiDouble()
    async with far_side(play) as url, served(double.handle) as tokens:
        wanted = {field: getattr(MADAPI, field) for field in MADAPI.__struct_fields__} | {
            "base_url": url,
            "token_url": f"{tokens}/v1/oauth/access_token",
            "timeout_s": 0.4,
        }
        provider = connect("up", ProviderSettings(**wanted), double.clock)
        for delivery in (BUNDLE, AIRTIME):
            assert isinstance(await provider.deliver(delivery), Unknown)
            assert isinstance(await provider.requery(delivery), Unknown)
        await provider.close()
    assert double.tokens == 1
