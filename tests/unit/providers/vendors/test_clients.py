"""The connectors as a whole: requests, settings, previews, plans, floats, and a line that breaks in the middle of an answer."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import pytest

from telvend.config import ProviderSettings
from telvend.kit.money import GHS, NGN, Money
from telvend.kit.secret import Secret
from telvend.providers.connectors import CONNECTORS, connect
from telvend.providers.contract import Accepted, Delivered, Delivery, NotSent, Outcome, Reason, Refused, Unknown
from telvend.providers.over_http import ProviderOverHttp
from telvend.providers.upstream import (
    BalanceUnavailable,
    ConnectorRefused,
    LineStatus,
    ListsTransactions,
    RequestPreview,
    StatementLine,
    StatementUnavailable,
    Upstream,
)
from telvend.providers.vtpass import wire as vtpass
from tests.broken_lines import PLAYS, Play, far_side, silent
from tests.clocks import FakeClock
from tests.contract.provider_rigs import delivery_in_nigeria, delivery_to
from tests.contract.situations import Situation
from tests.vendor_doubles import NetpluseDouble, NetworkDataSubDouble, VendorDouble, VTpassDouble, answer

SETTINGS: Final = {
    "netpluse": ProviderSettings(connector="netpluse", api_key=Secret(NetpluseDouble.KEY)),
    "networkdatasub": ProviderSettings(connector="networkdatasub", api_key=Secret(NetworkDataSubDouble.KEY)),
    "vtpass": ProviderSettings(
        connector="vtpass",
        api_key=Secret(VTpassDouble.API_KEY),
        public_key=Secret(VTpassDouble.PUBLIC_KEY),
        secret_key=Secret(VTpassDouble.SECRET_KEY),
    ),
}
DOUBLES: Final[dict[str, type[VendorDouble]]] = {
    "netpluse": NetpluseDouble,
    "networkdatasub": NetworkDataSubDouble,
    "vtpass": VTpassDouble,
}
ANOTHER_TELVEND: Final = "https://shop.example.com/api"
GHANAIAN: Final = delivery_to("+233241234567", "AT-7H2K-1")
NIGERIAN: Final = delivery_in_nigeria("+2348031234567", "AT-7H2K-1")
AIRTIME: Final = delivery_in_nigeria("+2348031234567", "AT-7H2K-2", "airtime")
DELIVERIES: Final = {"netpluse": GHANAIAN, "networkdatasub": AIRTIME, "vtpass": AIRTIME}


def made(name: str, double: VendorDouble | None = None, **changes: Any) -> Upstream:
    double = double or DOUBLES[name]()
    settings = SETTINGS[name]
    wanted = {field: getattr(settings, field) for field in settings.__struct_fields__} | changes
    return connect("up", ProviderSettings(**wanted), double.clock, transport=double.transport)


def sent(double: VendorDouble) -> list[tuple[str, str, Any]]:
    return [
        (request.method, request.url.path, json.loads(request.content) if request.content else dict(request.url.params))
        for request in double.seen
    ]


async def test_a_wrong_secret_key_of_vtpass_is_seen_without_buying() -> None:
    double = VTpassDouble()
    assert await made("vtpass", double).refused_credentials() == ""
    assert not double.book
    refusal = {"code": "087", "response_description": f"INVALID CREDENTIALS {VTpassDouble.SECRET_KEY}"}

    async def refuses(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/requery"
        return answer(200, refusal)

    said = await connect(
        "up", SETTINGS["vtpass"], FakeClock(), transport=httpx.MockTransport(refuses)
    ).refused_credentials()
    assert "the secret key is not accepted" in said
    assert VTpassDouble.SECRET_KEY not in said

    async def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody")

    gone = connect("up", SETTINGS["vtpass"], FakeClock(), transport=httpx.MockTransport(away))
    assert await gone.refused_credentials() == ""


# Requests -----------------------------------------------------------------------------------------------------------------


async def test_netpluse_is_asked_for_the_size_in_its_own_words() -> None:
    double = NetpluseDouble()
    provider = made("netpluse", double)
    assert await provider.deliver(GHANAIAN) == Delivered("NPAPI-1-abc", Money(450, GHS))
    form = {"network": "MTN", "phoneNumber": "0241234567", "capacity": "1GB", "reference": "AT-7H2K-1"}
    assert sent(double) == [("GET", "/api/v1/packages", {}), ("POST", "/api/v1/purchase", form)]
    await provider.deliver(replace(GHANAIAN, provider_code="1.0 GB", reference="AT-7H2K-2"))
    assert sent(double)[-1][2]["capacity"] == "1.0 GB"
    assert len(double.seen) == 3  # The list of packages is kept, and a code needs none.


async def test_a_size_that_netpluse_sells_with_another_validity_is_not_bought() -> None:
    double = NetpluseDouble()
    refused = await made("netpluse", double).deliver(replace(GHANAIAN, validity_days=1))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NOT_SOLD
    assert [request.method for request in double.seen] == ["GET"]
    bought = await made("netpluse", double).deliver(replace(GHANAIAN, validity_days=1, provider_code="1GB"))
    assert isinstance(bought, Delivered)


async def test_networkdatasub_is_asked_for_the_plan_that_was_sold() -> None:
    double = NetworkDataSubDouble()
    provider = made("networkdatasub", double)
    assert await provider.deliver(NIGERIAN) == Delivered("DATA-1-xyz", Money(300_00, NGN))
    assert sent(double) == [
        ("GET", "/api/data-plans", {"network": "mtn"}),
        ("POST", "/api/data/purchase", {"network": "mtn", "plan_id": 1, "phone": "08031234567"}),
    ]
    await provider.deliver(AIRTIME)
    assert sent(double)[-1] == (
        "POST",
        "/api/airtime/purchase",
        {"network": "mtn", "phone": "08031234567", "amount": 300},
    )
    keyed = made("networkdatasub", double, caller_reference=True, base_url=ANOTHER_TELVEND)
    await keyed.deliver(replace(NIGERIAN, provider_code="4711"))
    assert sent(double)[-1][2] == {"network": "mtn", "plan_id": 4711, "phone": "08031234567", "reference": "AT-7H2K-1"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"size": "2GB", "type": ""}, "2 plans (2, 4)"),
        ({"size": "7GB"}, "no plan"),
        ({"validity_days": 7}, "no plan"),
        ({"type": "Gifting"}, "no plan"),
        ({"validity_days": None}, "no plan"),
        ({"provider_code": "1GB"}, "not the id of a plan"),
        ({"provider_code": "0"}, "not the id of a plan"),
        ({"country": "GH"}, "sells no data"),
    ],
)
async def test_a_plan_that_is_not_certain_is_not_bought(change: dict[str, Any], word: str) -> None:
    double = NetworkDataSubDouble()
    refused = await made("networkdatasub", double).deliver(replace(NIGERIAN, **change))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NOT_SOLD
    assert word in refused.text
    assert not double.book
    assert all(request.method == "GET" for request in double.seen)


async def test_a_plan_is_found_by_size_alone_where_only_one_has_it_and_the_validity() -> None:
    assert isinstance(await made("networkdatasub").deliver(replace(NIGERIAN, type="")), Delivered)


async def test_without_a_list_of_plans_nothing_is_sent_and_another_may_be_tried() -> None:
    async def away(request: httpx.Request) -> httpx.Response:
        return answer(500, {"success": False, "message": "?"})

    provider = connect("up", SETTINGS["networkdatasub"], FakeClock(), transport=httpx.MockTransport(away))
    assert isinstance(await provider.deliver(NIGERIAN), NotSent)
    wrong = made("networkdatasub", api_key=Secret("revoked"))
    refused = await wrong.deliver(NIGERIAN)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NOT_ALLOWED


async def test_the_list_of_plans_is_read_again_when_it_is_old_or_lacks_a_plan() -> None:
    double = NetworkDataSubDouble()
    provider = made("networkdatasub", double)
    for _ in range(3):
        await provider.deliver(NIGERIAN)
    assert [request.method for request in double.seen].count("GET") == 1
    double.clock.pass_time(60)
    await provider.deliver(replace(NIGERIAN, size="7GB"))
    assert [request.method for request in double.seen].count("GET") == 2
    double.clock.pass_time(400)
    await provider.deliver(NIGERIAN)
    assert [request.method for request in double.seen].count("GET") == 3


async def test_vtpass_is_asked_for_airtime_by_network_and_for_data_by_code() -> None:
    double = VTpassDouble()
    provider = made("vtpass", double)
    assert await provider.deliver(AIRTIME) == Delivered("17416077744562810291", Money(291_00, NGN))
    form = {"request_id": "AT-7H2K-2", "serviceID": "mtn", "amount": 300, "phone": "08031234567"}
    assert sent(double) == [("POST", "/api/pay", form)]
    await provider.deliver(replace(AIRTIME, reference="A", network="9mobile", face_value=Money(100_50, NGN)))
    assert sent(double)[-1][2] == form | {"request_id": "A", "serviceID": "etisalat", "amount": 100.5}
    await provider.deliver(replace(NIGERIAN, reference="B", provider_code="mtn-data/mtn-10mb-100"))
    assert sent(double)[-1][2] == {
        "request_id": "B",
        "serviceID": "mtn-data",
        "amount": 285,
        "phone": "08031234567",
        "billersCode": "08031234567",
        "variation_code": "mtn-10mb-100",
    }


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"provider_code": "mtn-data"},
        {"provider_code": "mtn-data/"},
        {"provider_code": "glo-data/glo100"},
        {"network": "9mobile", "provider_code": "9mobile-data/x"},
        {"kind": "airtime", "provider_code": "glo"},
        {"kind": "airtime", "provider_code": "mtn/x"},
        {"kind": "electricity", "network": "ikeja-electric", "provider_code": "ikeja-electric/prepaid"},
        {"country": "GH", "network": "MTN"},
        {"kind": "airtime", "face_value": Money(100, GHS)},
    ],
)
async def test_what_vtpass_cannot_be_asked_for_is_refused_unsent(change: dict[str, Any]) -> None:
    double = VTpassDouble()
    refused = await made("vtpass", double).deliver(replace(NIGERIAN, **change))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NOT_SOLD
    assert not double.seen


async def test_airtime_that_networkdatasub_does_not_sell_is_refused_unsent() -> None:
    double = NetworkDataSubDouble()
    for amount in (49_99, 50_000_01):
        refused = await made("networkdatasub", double).deliver(replace(AIRTIME, face_value=Money(amount, NGN)))
        assert isinstance(refused, Refused)
        assert "from NGN 50.00 to NGN 50,000.00" in refused.text
    assert not double.seen


def test_a_request_id_begins_with_the_minute_in_lagos_and_is_another_for_every_attempt() -> None:
    late = datetime(2026, 12, 31, 23, 30, 59, tzinfo=UTC)
    assert vtpass.reference("AT-7H2K", 1, late).startswith("202701010030")
    found = {vtpass.reference(order, number, late) for order in ("A-1", "A1", "A-11", "A") for number in (1, 11, 111)}
    assert len(found) == 12
    assert all(text.isascii() and text.isalnum() and len(text) == 32 for text in found)
    assert vtpass.reference("A-1", 1, late) == vtpass.reference("A-1", 1, late)
    assert made("vtpass").traits.reference("AT-7H2K", 1, late) == vtpass.reference("AT-7H2K", 1, late)


# Settings, previews, floats -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(CONNECTORS.keys() & SETTINGS.keys()))
def test_what_a_connector_declares(name: str) -> None:
    traits = made(name, live=False, test=True, concurrency=3, timeout_s=7).traits
    assert (traits.live_mode, traits.test_mode, traits.concurrency) == (False, True, 3)
    assert traits.timeout_s > 7
    assert traits.reference_is_key == (name == "netpluse")
    assert traits.settles_after_s == {"netpluse": 86_400, "networkdatasub": 120, "vtpass": 600}[name]
    assert traits.repeat_guard_s == (30 if name == "vtpass" else 0)
    assert traits.requery_needs_rivals == (name == "networkdatasub")
    assert traits.networks is not None
    narrowed = made(name, networks=("GH/mtn" if name == "netpluse" else "NG/MTN",)).traits.networks
    assert narrowed == ({("GH", "MTN")} if name == "netpluse" else {("NG", "mtn")})


def test_netpluse_is_called_as_often_as_its_document_allows_and_another_shop_as_often_as_agreed() -> None:
    assert made("netpluse").traits.rate_per_s == 0.5
    assert made("netpluse", rate_per_s=4.0).traits.rate_per_s == 4
    another = made("netpluse", base_url="https://shop.example.com").traits
    assert (another.rate_per_s, another.settles_after_s, another.reference_is_key) == (None, 120, True)


def test_a_reference_of_ours_is_a_key_where_the_settings_say_so() -> None:
    traits = made("networkdatasub", caller_reference=True, base_url=ANOTHER_TELVEND).traits
    assert traits.reference_is_key
    assert not traits.requery_needs_rivals


@pytest.mark.parametrize("base_url", ["", "https://networkdatasub.com/api", "https://WWW.NetworkDataSub.com./api/v2"])
def test_the_printed_api_knows_no_reference_whatever_the_settings_say(base_url: str) -> None:
    with pytest.raises(ConnectorRefused) as refusal:
        made("networkdatasub", caller_reference=True, base_url=base_url)
    [problem] = refusal.value.problems
    assert problem.where == "caller_reference"
    assert "bought twice" in problem.text


@pytest.mark.parametrize("base_url", ["https://www.netpluse.shop", "https://NETPLUSE.shop:443/"])
def test_the_vendor_is_the_vendor_however_its_address_is_spelled(base_url: str) -> None:
    own, spelled = made("netpluse").traits, made("netpluse", base_url=base_url).traits
    assert (spelled.rate_per_s, spelled.settles_after_s) == (own.rate_per_s, own.settles_after_s)
    assert made("netpluse", base_url="https://notnetpluse.shop").traits.rate_per_s is None


@pytest.mark.parametrize("name", SETTINGS)
def test_every_mistake_in_the_settings_is_named(name: str) -> None:
    bad = ProviderSettings(
        connector=name,
        api_key=Secret("with a blank\n"),
        client_secret=Secret("x"),
        base_url="ftp://user:pass@host/?x",
        file="upstreams/x.toml",
        networks=("NG/mtnn",),
    )
    with pytest.raises(ConnectorRefused) as refusal:
        connect("up", bad, FakeClock())
    named = {problem.where for problem in refusal.value.problems}
    assert {"api_key", "client_secret", "base_url", "file", "networks"} <= named
    assert ({"public_key", "secret_key"} <= named) == (name == "vtpass")
    assert "with a blank" not in str(refusal.value)
    with pytest.raises(ConnectorRefused):
        connect("up", ProviderSettings(connector=name), FakeClock())


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("base_url", ["", "http://127.0.0.1:8000", "https://sandbox.example.com/api/"])
def test_a_base_url_is_the_vendors_own_unless_the_settings_say_another(name: str, base_url: str) -> None:
    preview = made(name, base_url=base_url).preview(DELIVERIES[name])
    assert isinstance(preview, RequestPreview)
    own = {"netpluse": "https://netpluse.shop/", "networkdatasub": "https://networkdatasub.com/api/"}
    assert preview.url.startswith(base_url or own.get(name, "https://vtpass.com/api/"))
    assert "//" not in preview.url.partition("://")[2]


@pytest.mark.parametrize("name", SETTINGS)
async def test_a_preview_shows_the_request_without_secrets_and_sends_nothing(name: str) -> None:
    double = DOUBLES[name]()
    preview = made(name, double).preview(DELIVERIES[name])
    assert isinstance(preview, RequestPreview)
    assert not double.seen
    shown = f"{preview.url} {preview.headers} {preview.body}"
    keys = [getattr(SETTINGS[name], key) for key in ("api_key", "public_key", "secret_key")]
    assert not any(key.reveal() in shown for key in keys if key is not None)
    assert "********" in shown
    assert DELIVERIES[name].subscriber[-9:] in preview.body
    assert isinstance(made(name).preview(replace(DELIVERIES[name], country="UG")), Refused)


async def test_a_preview_says_where_the_plan_comes_from_until_the_list_has_been_read() -> None:
    provider = made("networkdatasub")
    preview = provider.preview(NIGERIAN)
    assert isinstance(preview, RequestPreview)
    assert json.loads(preview.body)["plan_id"] == "the id of the plan, from /data-plans"
    assert isinstance(provider, ProviderOverHttp)
    await provider.prepare(NIGERIAN)
    preview = provider.preview(NIGERIAN)
    assert isinstance(preview, RequestPreview)
    assert json.loads(preview.body)["plan_id"] == 1
    assert isinstance(provider.preview(replace(NIGERIAN, size="7GB")), Refused)


@pytest.mark.parametrize(
    ("name", "money"),
    [("netpluse", Money(1250, GHS)), ("networkdatasub", Money(5000_00, NGN)), ("vtpass", Money(5123_45, NGN))],
)
async def test_the_float_is_read_and_a_wrong_key_is_named(name: str, money: Money) -> None:
    assert await made(name).balance() == money
    wrong = {"public_key" if name == "vtpass" else "api_key": Secret("wrong")}
    refused = await made(name, **wrong).balance()
    assert isinstance(refused, BalanceUnavailable)
    assert refused.not_allowed


@pytest.mark.parametrize("name", SETTINGS)
async def test_an_answer_that_repeats_our_key_or_the_number_is_shown_without_them(name: str) -> None:
    key = SETTINGS[name].api_key
    assert key is not None

    async def echo(request: httpx.Request) -> httpx.Response:
        return answer(200, {"seen": key.reveal(), "phone": DELIVERIES[name].subscriber})

    provider = connect("up", SETTINGS[name], FakeClock(), transport=httpx.MockTransport(echo))
    told = await provider.requery(replace(DELIVERIES[name], provider_reference="X-1"))
    for outcome in (await provider.deliver(DELIVERIES[name]), told):
        assert isinstance(outcome, Unknown)
        assert key.reveal() not in outcome.text
        assert DELIVERIES[name].subscriber[-9:] not in outcome.text
    balance = await provider.balance()
    assert isinstance(balance, BalanceUnavailable)
    assert key.reveal() not in balance.text


async def test_a_request_that_is_on_its_way_is_not_said_never_to_have_arrived() -> None:
    double = NetpluseDouble()
    provider = made("netpluse", double)
    double.open.clear()
    under_way = asyncio.create_task(provider.deliver(GHANAIAN))
    await asyncio.sleep(0.01)
    assert isinstance(await provider.requery(GHANAIAN), Unknown)
    assert isinstance(await provider.requery(replace(GHANAIAN, reference="another")), NotSent)
    double.open.set()
    assert isinstance(await under_way, Delivered)


async def test_what_networkdatasub_says_of_another_purchase_of_ours_is_not_believed() -> None:
    double = NetworkDataSubDouble()
    provider = made("networkdatasub", double)
    assert isinstance(await provider.deliver(AIRTIME), Delivered)
    said = double.state(double.book[0])
    double.state = lambda _: said  # type: ignore[method-assign]
    other = await provider.deliver(replace(AIRTIME, reference="AT-7H2K-9"))
    assert isinstance(other, Unknown)
    assert "about AT-7H2K-2" in other.text


async def test_what_netpluse_took_stands_in_its_list_where_the_answer_that_had_it_was_lost() -> None:
    double = NetpluseDouble()
    provider = made("netpluse", double)
    await provider.deliver(GHANAIAN)
    assert await provider.requery(GHANAIAN) == Delivered("NPAPI-1-abc", Money(450, GHS))
    # What it named when it accepted the order stays.
    accepted = replace(GHANAIAN, provider_reference="NPAPI-1-abc")
    assert await provider.requery(accepted) == Delivered("NPAPI-1-abc")
    assert await provider.requery(replace(GHANAIAN, provider_code="1000MB")) != Delivered(
        "NPAPI-1-abc", Money(450, GHS)
    )


async def test_what_netpluse_says_of_another_order_of_ours_is_not_believed() -> None:
    """Its answers name no reference of ours: without this a failed order of the same bundle would give back the other's money."""
    double = NetpluseDouble()
    provider = made("netpluse", double)
    first = await provider.deliver(GHANAIAN)
    assert isinstance(first, Delivered)

    async def about_the_first(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return answer(200, {"reference": "NPAPI-1-abc", "status": "completed", "price": 4.5, "balance": 8})
        body = {"reference": "NPAPI-1-abc", "network": "MTN", "capacity": "1GB", "status": "failed", "createdAt": "?"}
        return answer(200, body)

    other = replace(GHANAIAN, reference="AT-7H2K-2")
    assert isinstance(provider, ProviderOverHttp)
    provider._client._transport = httpx.MockTransport(about_the_first)
    assert isinstance(await provider.requery(other), Unknown)
    assert isinstance(await provider.deliver(other), Unknown)
    assert isinstance(await provider.requery(GHANAIAN), Refused)


async def test_what_netpluse_accepted_is_asked_about_by_its_own_reference() -> None:
    double = NetpluseDouble()
    double.situations["0241234567"] = Situation.DELIVERS_LATER
    provider = made("netpluse", double)
    accepted = await provider.deliver(GHANAIAN)
    assert isinstance(accepted, Accepted)
    assert accepted.provider_reference == "NPAPI-1-abc"
    await provider.requery(replace(GHANAIAN, provider_reference="NPAPI-1-abc"))
    assert double.seen[-1].url.path == "/api/v1/order-status/NPAPI-1-abc"
    await provider.requery(replace(GHANAIAN, reference="a/b ?c"))
    assert double.seen[-1].url.raw_path == b"/api/v1/order-status/a%2Fb%20%3Fc"


# A line that breaks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("play", PLAYS)
@pytest.mark.parametrize("name", SETTINGS)
async def test_a_line_that_breaks_after_the_request_leaves_it_unknown(name: str, play: Play) -> None:
    async with far_side(play) as url:
        wanted = {field: getattr(SETTINGS[name], field) for field in SETTINGS[name].__struct_fields__}
        settings = ProviderSettings(**wanted | {"base_url": f"{url}/api", "timeout_s": 0.3})
        provider = connect("up", settings, FakeClock())
        # Netpluse's list of packages is a courtesy; a code does without it.
        delivery = replace(DELIVERIES[name], provider_code="1GB") if name == "netpluse" else DELIVERIES[name]
        outcomes: list[Outcome] = [
            await provider.deliver(delivery),
            await provider.requery(replace(delivery, provider_reference="X")),
        ]
        balance = await provider.balance()
        await provider.close()
    assert all(isinstance(outcome, Unknown) for outcome in outcomes), outcomes
    assert isinstance(balance, BalanceUnavailable)


@pytest.mark.parametrize("name", SETTINGS)
async def test_nobody_at_the_other_end_means_not_sent(name: str) -> None:
    async with far_side(silent) as url:
        pass
    wanted = {field: getattr(SETTINGS[name], field) for field in SETTINGS[name].__struct_fields__}
    provider = connect("up", ProviderSettings(**wanted | {"base_url": f"{url}/api"}), FakeClock())
    delivery: Delivery = DELIVERIES[name]
    assert isinstance(await provider.deliver(delivery), NotSent)
    assert isinstance(await provider.requery(replace(delivery, provider_reference="X")), Unknown)
    await provider.close()
    assert isinstance(await provider.deliver(delivery), NotSent)


# The list of transactions -------------------------------------------------------------------------------------------------


DAY: Final = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))


async def listed(double: NetworkDataSubDouble) -> list[StatementLine]:
    provider = made("networkdatasub", double)
    assert isinstance(provider, ListsTransactions)
    return [line async for line in provider.statement(*DAY)]


async def bought(count: int) -> NetworkDataSubDouble:
    double = NetworkDataSubDouble()
    provider = made("networkdatasub", double)
    for number in range(count):
        delivery = delivery_in_nigeria(f"+23480312345{number:02}", f"AT-{number}-1", "airtime")
        assert isinstance(await provider.deliver(delivery), Delivered)
    return double


async def test_networkdatasub_lists_every_transaction_of_the_days_however_many_pages() -> None:
    double = await bought(60)
    lines = await listed(double)
    assert len(lines) == 60
    assert lines[-1] == StatementLine(
        LineStatus.DELIVERED,
        provider_reference="DATA-1-xyz",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        charged=AIRTIME.face_value,
        subscriber="+2348031234500",
        product="mtn airtime",
        word="completed",
    )
    queries = [dict(request.url.params) for request in double.seen if request.url.path == "/api/transactions"]
    assert [query["page"] for query in queries] == ["1", "2"]
    # Whole days of Lagos, which is an hour ahead.
    assert {(query["start_date"], query["end_date"]) for query in queries} == {("2026-01-01", "2026-01-02")}


async def test_a_failed_and_an_unreadable_transaction_are_said_to_be_that(monkeypatch: pytest.MonkeyPatch) -> None:
    double = await bought(2)
    double.book[0].refused, double.book[0].settles_at_s = True, 0.0
    before = double.row
    monkeypatch.setattr(double, "row", lambda entry: before(entry) | ({"amount": "?"} if entry.number == 2 else {}))
    first, second = await listed(double)
    assert (first.status, second.status) == (LineStatus.FAILED, LineStatus.UNKNOWN)


async def test_a_list_that_cannot_be_read_to_its_end_is_no_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    double = await bought(60)
    page = double.page

    def shrinking(request: httpx.Request) -> dict[str, Any]:
        found = page(request)
        return found | {"data": found["data"][:-1]} if request.url.params["page"] == "2" else found

    monkeypatch.setattr(double, "page", shrinking)
    with pytest.raises(StatementUnavailable, match="has changed while it was read"):
        await listed(double)
    monkeypatch.setattr(double, "page", lambda _: {"current_page": 1, "last_page": 1})
    with pytest.raises(StatementUnavailable, match="page 1 of the list"):
        await listed(double)
    monkeypatch.setattr(double, "page", lambda request: page(request) | {"current_page": 7})
    with pytest.raises(StatementUnavailable, match="says that it is 7"):
        await listed(double)


@pytest.mark.parametrize("name", ["netpluse", "vtpass"])
def test_a_vendor_without_a_list_is_asked_about_each_attempt(name: str) -> None:
    assert not isinstance(made(name), ListsTransactions)
