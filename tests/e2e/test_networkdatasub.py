"""The networkdatasub API over HTTP, against a shop of one process that waits one second for a delivery."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from telvend.catalog.service import Catalogue
from telvend.database.connections import Database
from tests.e2e.conftest import PLENTY, Keys
from tests.e2e.shop import _NO_CERTIFICATES, Shop, wait_for
from tests.e2e.wire import Reply, Wire

WAIT_S = 1.0
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
UNAUTHENTICATED = {"success": False, "message": "Unauthenticated."}
GETS = [
    "user", "user/profile", "mobile/networks", "networks", "airtime/types", "data/networks", "data-plans?network=mtn",
    "wallet/balance", "wallet/summary", "transactions", "transactions/x",
]  # fmt: skip
POSTS = ["airtime/purchase", "data/purchase"]


class Market:
    """The shop, a key of ama's and one of kofi's, and clients for them."""

    def __init__(self, shop: Shop, made: list[dict[str, Any]]) -> None:
        self.shop = shop
        self.ama, self.kofi, self.esi, self.ama_test = (answer["key"] for answer in made[:4])

    def client(self, key: str | None, scheme: str = "Token") -> httpx.Client:
        return httpx.Client(
            base_url=f"{self.shop.url}/api/",
            headers={"authorization": f"{scheme} {key}"} if key else {},
            timeout=30,
            verify=_NO_CERTIFICATES,
        )


@pytest.fixture(scope="module")
def market(copied: Callable[[], Shop]) -> Iterator[Market]:
    shop = copied()
    shop.settings["TELVEND_DELIVERY_WAIT_S"] = str(WAIT_S)
    shop.start()
    limits = ["--read-limit", PLENTY, "--purchase-limit", PLENTY]
    made = shop.several(
        [
            *(["key", "add", f"{name}@example.com", "--api", "networkdatasub", *limits] for name in ("ama", "kofi", "esi")),
            ["key", "add", "ama@example.com", "--api", "networkdatasub", "--mode", "test", *limits],
            ["wallet", "credit", "ama@example.com", PLENTY, "NGN", "--reference", "opening"],
            ["wallet", "credit", "kofi@example.com", "50", "NGN", "--reference", "opening"],
            ["wallet", "credit", "esi@example.com", "1000", "NGN", "--reference", "opening"],
            ["wallet", "credit", "ama@example.com", "500", "NGN", "--reference", "play", "--mode", "test"],
        ]
    )  # fmt: skip
    yield Market(shop, made)
    shop.end()


@pytest.fixture(scope="module")
def ama(market: Market) -> Iterator[httpx.Client]:
    with market.client(market.ama) as client:
        yield client


@pytest.fixture(scope="module")
def kofi(market: Market) -> Iterator[httpx.Client]:
    with market.client(market.kofi) as client:
        yield client


@pytest.fixture(scope="module")
def esi(market: Market) -> Iterator[httpx.Client]:
    with market.client(market.esi) as client:
        yield client


def airtime(ending: str = "0000", amount: Any = 100, **more: Any) -> dict[str, Any]:
    return {"network": "mtn", "phone": f"0803123{ending}", "amount": amount} | more


def data(plan: int = 1, ending: str = "0000", **more: Any) -> dict[str, Any]:
    return {"network": "mtn", "plan_id": plan, "phone": f"0803123{ending}"} | more


def exact(answer: httpx.Response, status: int = 200, *, success: bool | None = None) -> Any:
    """The body with its numbers as they were printed."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = json.loads(answer.text, parse_float=Decimal)
    assert body["success"] is (status == 200 if success is None else success)
    return body


def balance_of(client: httpx.Client) -> Decimal:
    return Decimal(exact(client.get("wallet/balance"))["data"]["balance"])


# Waiting costs nothing. First, since what is bought here takes ten seconds to be delivered. -------------------------------


def connections(shop: Shop) -> int:
    ((count,),) = shop.sql("select count(*) from pg_stat_activity where application_name = 'telvend'")
    return int(count)


async def test_three_hundred_who_wait_cost_no_connection_and_are_all_answered(market: Market) -> None:
    body = json.dumps(airtime("0019", 50)).encode()
    headers = {"authorization": f"Token {market.ama}"}
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(Wire(market.shop.port)) for _ in range(300)]
        await asyncio.gather(*(wire.request("GET", "/api/wallet/balance", None, headers) for wire in wires))
        waiting = asyncio.gather(*(wire.request("POST", "/api/airtime/purchase", body, headers) for wire in wires))
        started = time.monotonic()
        during = []
        while not waiting.done():
            await asyncio.sleep(0.2)
            during.append(await asyncio.to_thread(connections, market.shop))
        answers: list[Reply] = await waiting
        took_s = time.monotonic() - started
    assert Counter(answer.status for answer in answers) == {200: 300}
    assert {answer.json()["data"]["transaction"]["status"] for answer in answers} == {"pending"}
    assert len({answer.json()["data"]["transaction"]["reference"] for answer in answers}) == 300
    assert max(during) <= 4 + 6  # The pool, and the six beside it (settings: pool_size).
    assert took_s < 6


# Keys --------------------------------------------------------------------------------------------------------------------


def test_without_a_valid_key_every_endpoint_is_401(market: Market, keys: Keys) -> None:
    strangers = [
        market.client(None), market.client("wrong"), market.client(keys.ama), market.client(market.ama, "Basic"),
        market.client(""), market.client(market.ama.upper()),
    ]  # fmt: skip
    for number, stranger in enumerate(strangers):
        with stranger:
            for path in GETS if number < 3 else GETS[:2]:
                assert exact(stranger.get(path), 401) == UNAUTHENTICATED
            for path in POSTS:
                assert exact(stranger.post(path, content=b"{"), 401) == UNAUTHENTICATED
    with market.shop.client(market.ama) as elsewhere:
        assert elsewhere.get("ping").status_code == 401


@pytest.mark.parametrize("word", ["token", "Bearer", "BEARER"])
def test_the_word_token_is_taken_in_any_case_and_bearer_as_a_courtesy(market: Market, word: str) -> None:
    with market.client(market.ama, word) as client:
        exact(client.get("user"))


# What is there -----------------------------------------------------------------------------------------------------------


def test_user_and_profile(market: Market, esi: httpx.Client) -> None:
    ((number,),) = market.shop.sql("select number from reseller where email = 'esi@example.com'")
    answer = esi.get("user")
    user = exact(answer)["data"]
    assert user == {
        "id": number, "name": "Esi", "email": "esi@example.com", "phone": "+233241234569",
        "wallet": {"balance": Decimal(1000)},
    }  # fmt: skip
    assert '"balance":1000.00' in answer.text
    assert int(answer.headers["ratelimit-remaining"]) < int(answer.headers["ratelimit-limit"]) == int(PLENTY)
    profile = exact(esi.get("user/profile"))["data"]
    assert profile.keys() >= {
        "id", "name", "email", "phone", "avatar", "address", "gender", "date_of_birth", "is_verified",
        "verification_status", "wallet", "joined_at",
    }  # fmt: skip
    assert profile["verification_status"] == {"email": False, "phone": False, "id": False}
    assert STAMP.fullmatch(profile["wallet"]["last_funded"])
    assert STAMP.fullmatch(profile["joined_at"])
    assert httpx.get(profile["avatar"], verify=_NO_CERTIFICATES).headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize("path", ["mobile/networks", "networks", "airtime/types", "data/networks"])
def test_networks(ama: httpx.Client, path: str) -> None:
    found = exact(ama.get(path))["data"]
    assert [(item["id"], item["name"], item["code"], item["status"]) for item in found] == [
        (1, "MTN", "mtn", "active"), (2, "Airtel", "airtel", "active"),
        (3, "Glo", "glo", "active"), (4, "9Mobile", "9mobile", "active"),
    ]  # fmt: skip
    for item in found:
        logo = httpx.get(item["logo"], verify=_NO_CERTIFICATES)
        assert (logo.status_code, logo.headers["content-type"]) == (200, "image/svg+xml")
    if path == "networks":
        assert found[0]["provider_codes"] == {"wazodata": "mtn-ng", "mobilesix": "MTN", "telitab": "MTN"}
        assert (found[0]["supports_airtime"], found[0]["supports_data"]) == (True, True)
        assert STAMP.fullmatch(found[0]["created_at"])
    if path.endswith("networks") and not path.startswith("mobile"):
        assert found[0]["data_types"][:3] == ["SME", "Direct", "Corporate"]


def test_data_plans(ama: httpx.Client) -> None:
    plans = exact(ama.get("data-plans", params={"network": "MTN", "type": "sme"}))["data"]
    assert {plan["type"] for plan in plans} == {"SME"}
    assert {
        "id": 1, "network_id": 1, "name": "1GB (30 Days)", "code": "1GB", "amount": 300, "validity": "30 days",
        "type": "SME", "description": "1GB data valid for 30 days",
    } in plans  # fmt: skip
    everything = exact(ama.get("data-plans", params={"network": "mtn", "type": ""}))["data"]
    assert len(everything) > len(plans)


@pytest.mark.parametrize(
    ("query", "field"),
    [("", "network"), ("?network=", "network"), ("?network=vodafone", "network"), ("?network=Telecel", "network"),
     ("?network=mtn&type=Silver", "type"), ("?network=glo&type=SME", "type")],
)  # fmt: skip
def test_unknown_network_or_type_is_422(ama: httpx.Client, query: str, field: str) -> None:
    body = exact(ama.get(f"data-plans{query}"), 422)
    assert list(body["errors"]) == [field]
    assert body["message"] == body["errors"][field][0]


def test_a_number_of_thousands_of_digits_is_named_with_its_field_or_ignored(ama: httpx.Client) -> None:
    many = b"9" * 5000
    for path, form, field in (
        ("airtime/purchase", b'{"network": "mtn", "phone": "08031230000", "amount": %s}', "amount"),
        ("data/purchase", b'{"network": "mtn", "phone": "08031230000", "plan_id": %s}', "plan_id"),
        ("verification/nin", b'{"nin": %s, "card_type": "standard"}', "nin"),
    ):
        assert list(exact(ama.post(path, content=form % many), 422)["errors"]) == [field]
    unknown = b'{"network": "mtn", "phone": "08031230000", "amount": 100, "ignored": [%s]}' % many
    exact(ama.post("airtime/purchase", content=unknown))


# Buying ------------------------------------------------------------------------------------------------------------------


def test_airtime_is_delivered_when_the_answer_comes(ama: httpx.Client) -> None:
    before = balance_of(ama)
    body = exact(ama.post("airtime/purchase", json=airtime(amount=100.5)))
    sold = body["data"]["transaction"]
    assert body["message"] == "Airtime purchased successfully"
    assert (sold["status"], sold["amount"]) == ("completed", Decimal("100.5"))
    assert re.fullmatch(r"AIR-\d+-[0-9a-z]{6}", sold["reference"])
    assert STAMP.fullmatch(sold["created_at"])
    assert body["data"]["new_balance"] == balance_of(ama) == before - Decimal("100.5")
    found = exact(ama.get(f"transactions/{sold['reference']}"))["data"]
    assert (found["type"], found["amount"], found["status"]) == ("debit", "100.50", "completed")
    assert (found["id"], found["created_at"]) == (sold["id"], sold["created_at"])
    assert (Decimal(found["balance_before"]), Decimal(found["balance_after"])) == (before, before - Decimal("100.5"))
    assert (found["meta"]["phone"], found["meta"]["network"], found["meta"]["service_type"]) == (
        "08031230000", "mtn", "airtime",
    )  # fmt: skip


@pytest.mark.parametrize("plan_id", [2, "2"])
def test_data_is_delivered_when_the_answer_comes(ama: httpx.Client, plan_id: Any) -> None:
    body = exact(ama.post("data/purchase", json=data(plan_id) | {"network": "MTN"}))
    sold = body["data"]["transaction"]
    assert (body["message"], sold["status"], sold["amount"]) == ("Data purchased successfully", "completed", 500)
    found = exact(ama.get(f"transactions/{sold['reference']}"))["data"]
    assert found["description"] == "MTN Data Purchase - 2GB"
    meta = found["meta"]
    assert (meta["plan"], meta["service_type"], meta["validity"]) == ("2GB", "data", "30 days")
    assert meta["provider_reference"]
    assert meta["provider_response"]["code"] == 200
    assert found["updated_at"] >= found["created_at"]


def test_everything_that_is_wrong_is_named_at_once(ama: httpx.Client) -> None:
    body = exact(ama.post("airtime/purchase", json={}), 422)
    assert body["errors"] == {
        "network": ["The network field is required."],
        "phone": ["The phone field is required."],
        "amount": ["The amount field is required."],
    }
    assert body["message"] == "The network field is required."
    body = exact(ama.post("data/purchase", json=data(10**6, "x") | {"network": "zain"}), 422)
    assert body["errors"].keys() == {"network", "phone"}  # Of an unknown network nobody knows the plans.


@pytest.mark.parametrize(
    "number", ["49.99", "50000.01", "100.505", "1e-999999999", "1e99999999999999999999", "-100", "true", '"much"', "[]"]
)
def test_an_amount_that_cannot_be_is_422_and_quickly(ama: httpx.Client, number: str) -> None:
    started = time.monotonic()
    raw = b'{"network":"mtn","phone":"08031230000","amount":%s}' % number.encode()
    assert list(exact(ama.post("airtime/purchase", content=raw), 422)["errors"]) == ["amount"]
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("plan", [0, 10**6, -1, 1.0, True, "one", None])
def test_a_plan_that_is_not_the_networks_is_422(ama: httpx.Client, plan: Any) -> None:
    assert list(exact(ama.post("data/purchase", json=data(plan)), 422)["errors"]) == ["plan_id"]


def test_another_networks_plan_is_422(ama: httpx.Client) -> None:
    (glo, *_) = exact(ama.get("data-plans?network=glo"))["data"]
    assert list(exact(ama.post("data/purchase", json=data(glo["id"])), 422)["errors"]) == ["plan_id"]


@pytest.mark.parametrize(
    ("content", "status"), [(b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b'"x"', 400), (b" " * 65537, 413)]
)
def test_what_is_no_object_is_refused_in_the_same_shape(ama: httpx.Client, content: bytes, status: int) -> None:
    body = exact(ama.post("airtime/purchase", content=content), status)
    assert body.keys() == {"success", "message"}


def test_unknown_paths_and_methods_need_no_key(market: Market) -> None:
    with market.client(None) as nobody:
        for path in ("", "nothing", "user/", "User", "wallet/", "v2/user"):
            assert exact(nobody.get(path), 404).keys() == {"success", "message"}
        answer = nobody.delete("user")
        assert exact(answer, 405).keys() == {"success", "message"}
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
        assert nobody.get("airtime/purchase").headers["allow"] == "POST"


def test_too_little_money_is_400_with_both_amounts_and_leaves_the_reference_free(kofi: httpx.Client) -> None:
    for kind, answer in (
        ("airtime", kofi.post("airtime/purchase", json=airtime(amount=100, reference="poor"))),
        ("data", kofi.post("data/purchase", json=data(1, reference="poor"))),
    ):
        body = exact(answer, 400)
        assert body == {
            "success": False,
            "message": f"Failed to purchase {kind}: Insufficient wallet balance",
            "data": {"required_amount": 100 if kind == "airtime" else 300, "current_balance": 50},
        }
    assert exact(kofi.get("transactions"))["data"]["total"] == 1
    assert exact(kofi.post("airtime/purchase", json=airtime(amount=50, reference="poor")))["data"]["new_balance"] == 0


def test_a_definite_refusal_is_400_and_the_money_is_back(ama: httpx.Client) -> None:
    before = balance_of(ama)
    body = exact(ama.post("airtime/purchase", json=airtime("0004")), 400)
    sold = body["data"]["transaction"]
    assert (sold["status"], body["data"]["new_balance"]) == ("failed", before)
    assert balance_of(ama) == before
    found = exact(ama.get(f"transactions/{sold['reference']}"))["data"]
    assert (found["status"], found["amount"]) == ("failed", "100.00")
    assert Decimal(found["balance_before"]) == Decimal(found["balance_after"]) == before
    (listed,) = exact(ama.get("transactions?status=failed"))["data"]["data"]
    assert listed["reference"] == sold["reference"]


def test_what_takes_longer_is_pending_and_its_transaction_tells_the_end(market: Market, ama: httpx.Client) -> None:
    def buy(ending: str) -> httpx.Response:
        with market.client(market.ama) as client:
            return client.post("airtime/purchase", json=airtime(ending))

    becomes = {"0002": "completed", "0003": "failed", "0016": "pending"}
    with ThreadPoolExecutor(3) as pool:
        answers = dict(zip(becomes, pool.map(buy, becomes), strict=True))
    paths = {}
    for ending, answer in answers.items():
        assert WAIT_S <= answer.elapsed.total_seconds() < WAIT_S + 2
        body = exact(answer)
        sold = body["data"]["transaction"]
        assert (sold["status"], body["data"]["status"]) == ("pending", "pending")
        paths[ending] = f"transactions/{sold['reference']}"
        assert exact(ama.get(paths[ending]))["data"]["status"] == "pending"
        assert sold["id"] in [row["id"] for row in exact(ama.get("transactions?status=pending"))["data"]["data"]]
    wait_for(
        lambda: {ending: exact(ama.get(path))["data"]["status"] for ending, path in paths.items()} == becomes,
        15,
        "what becomes of them",
    )


# Repeats -----------------------------------------------------------------------------------------------------------------


def test_a_repeat_is_the_same_order_however_it_is_spelled(ama: httpx.Client) -> None:
    first = ama.post("airtime/purchase", json=airtime(reference="again-1"))
    sold = exact(first)["data"]["transaction"]
    assert "idempotent-replayed" not in first.headers
    before = balance_of(ama)
    body = airtime(amount="100.00") | {"network": "MTN", "phone": "+234 803-123 0000"}
    for repeat in (
        ama.post("airtime/purchase", json=body | {"reference": "again-1"}),
        ama.post("airtime/purchase", json=body, headers={"idempotency-key": "again-1"}),
        ama.post("airtime/purchase", json=body | {"reference": "again-1"}, headers={"idempotency-key": "again-1"}),
    ):
        assert exact(repeat)["data"]["transaction"] == sold
        assert repeat.headers["idempotent-replayed"] == "true"
    assert balance_of(ama) == before


def test_another_request_under_the_same_reference_is_409(ama: httpx.Client) -> None:
    exact(ama.post("airtime/purchase", json=airtime(reference="again-2")))
    before = balance_of(ama)
    for path, body in (
        ("airtime/purchase", airtime(amount=101)),
        ("airtime/purchase", airtime("0001")),
        ("airtime/purchase", airtime() | {"network": "glo"}),
        ("data/purchase", data(1)),
    ):
        answer = ama.post(path, json=body, headers={"idempotency-key": "again-2"})
        assert exact(answer, 409).keys() == {"success", "message"}
    assert balance_of(ama) == before


def test_a_field_and_a_header_that_differ_are_422(ama: httpx.Client) -> None:
    answer = ama.post("airtime/purchase", json=airtime(reference="one"), headers={"idempotency-key": "another"})
    assert list(exact(answer, 422)["errors"]) == ["reference"]


def test_a_repeat_of_a_refused_order_is_refused_again_and_takes_nothing(ama: httpx.Client) -> None:
    before = balance_of(ama)
    first, again = (ama.post("data/purchase", json=data(1, "0004", reference="again-3")) for _ in range(2))
    assert exact(first, 400) == exact(again, 400)
    assert again.headers["idempotent-replayed"] == "true"
    assert balance_of(ama) == before


def test_a_repeat_of_an_open_order_waits_too(ama: httpx.Client) -> None:
    """Delivered after two seconds; the first waits for one of them, the repeat for the other."""
    first = ama.post("airtime/purchase", json=airtime("0001", reference="again-4"))
    assert exact(first)["data"]["transaction"]["status"] == "pending"
    time.sleep(0.4)
    again = ama.post("airtime/purchase", json=airtime("0001", reference="again-4"))
    assert again.headers["idempotent-replayed"] == "true"
    assert exact(again)["data"]["transaction"]["status"] == "completed"
    assert again.elapsed.total_seconds() > 0.1


@pytest.mark.parametrize("by", ["field", "header"])
def test_twenty_at_once_are_one_order(market: Market, ama: httpx.Client, by: str) -> None:
    before = balance_of(ama)
    reference = f"twenty by {by}"
    body = airtime("1234", reference=reference) if by == "field" else airtime("1234")
    headers = {"idempotency-key": reference} if by == "header" else {}

    def buy(_: int) -> httpx.Response:
        with market.client(market.ama) as client:
            return client.post("airtime/purchase", json=body, headers=headers)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(buy, range(20)))
    assert len({exact(answer)["data"]["transaction"]["reference"] for answer in answers}) == 1
    assert Counter(answer.headers.get("idempotent-replayed") for answer in answers) == {"true": 19, None: 1}
    assert balance_of(ama) == before - 100
    assert market.shop.sql("select count(*) from orders where client_reference = %s", reference) == [(1,)]


# The wallet and its transactions -------------------------------------------------------------------------------------------


def test_wallet_balance_and_summary(market: Market, esi: httpx.Client) -> None:
    exact(esi.post("data/purchase", json=data(1)))
    exact(esi.post("airtime/purchase", json=airtime("0004")), 400)
    ((number, wallet),) = market.shop.sql(
        "select r.number, w.account_id from reseller r join wallet w on w.reseller_id = r.id"
        " where r.email = 'esi@example.com' and w.currency = 'NGN' and w.mode = 'live'"
    )
    balance = exact(esi.get("wallet/balance"))["data"]
    assert STAMP.fullmatch(balance.pop("last_funded"))
    assert balance == {
        "wallet_id": wallet, "user_id": number, "balance": "700.00", "currency": "NGN", "status": "active",
    }  # fmt: skip
    summary = exact(esi.get("wallet/summary"))["data"]
    recent = summary["recent_transactions"]
    assert summary["wallet"] == {"id": wallet, "balance": "700.00", "currency": "NGN", "status": "active"}
    assert [(row["type"], row["amount"], row["status"]) for row in recent] == [
        ("debit", "100.00", "failed"), ("debit", "300.00", "completed"), ("credit", "1000.00", "completed"),
    ]  # fmt: skip
    assert summary["stats"] == {
        "total_inflow": "1000.00", "total_outflow": "300.00", "transactions_count": 3,
        "last_transaction_date": recent[0]["created_at"],
    }  # fmt: skip


def test_the_pages_are_the_list(market: Market, ama: httpx.Client) -> None:
    """Following the links from page to page shows everything once, newest first."""
    first = exact(ama.get("transactions"))["data"]
    assert (first["current_page"], first["per_page"], first["from"], first["to"]) == (1, 15, 1, 15)
    assert (first["prev_page_url"], first["path"]) == (None, f"{market.shop.url}/api/transactions")
    url, seen = first["path"] + "?per_page=50&type=debit", []
    while url:
        page = exact(ama.get(url))["data"]
        seen += page["data"]
        assert page["to"] == len(seen)
        assert "per_page=50" in page["first_page_url"]
        url = page["next_page_url"]
    assert len(seen) == page["total"] == first["total"] - 1  # All but the credit.
    assert len({row["id"] for row in seen}) == len(seen)
    assert [row["created_at"] for row in seen] == sorted((row["created_at"] for row in seen), reverse=True)
    assert {row["type"] for row in seen} == {"debit"}
    past = exact(ama.get("transactions?page=1000"))["data"]
    assert (past["data"], past["from"], past["to"], past["total"]) == ([], None, None, first["total"])


def test_the_filters(ama: httpx.Client) -> None:
    def total(**query: str) -> int:
        return int(exact(ama.get("transactions", params=query))["data"]["total"])

    everything = total()
    assert sum(total(status=word) for word in ("pending", "completed", "failed")) == everything
    assert total(type="credit") + total(type="debit") == everything
    today = datetime.now(ZoneInfo("Africa/Lagos")).date()
    yesterday = today - timedelta(days=1)
    assert total(start_date=str(yesterday), end_date=str(today)) == everything
    assert total(end_date=str(yesterday)) + total(start_date=str(today)) == everything
    assert total(start_date="2999-01-01") == total(end_date="0001-01-01") == total(type="credit", status="failed") == 0
    assert total(start_date="0001-01-01", end_date="9999-12-31") == everything
    assert total(type="", status="", page="", start_date="") == everything
    (credit,) = exact(ama.get("transactions?type=credit"))["data"]["data"]
    assert credit["description"] == "Wallet funding via Bank Transfer"
    assert credit["meta"].keys() >= {"payment_method", "bank_name", "payment_reference"}
    assert exact(ama.get(f"transactions/{credit['reference']}"))["data"]["balance_before"] == "0.00"


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("per_page=51", {"per_page"}),
        ("per_page=0", {"per_page"}),
        ("page=0", {"page"}),
        ("page=99999999999999999999", {"page"}),
        ("page=one&per_page=many", {"page", "per_page"}),
        ("type=Credit&status=done", {"type", "status"}),
        ("start_date=2025-02-30&end_date=31/05/2025", {"start_date", "end_date"}),
        ("start_date=2025-W01-1", {"start_date"}),
        ("start_date=2025-05-02&end_date=2025-05-01", {"end_date"}),
    ],
)
def test_what_cannot_be_asked_of_the_list_is_422(ama: httpx.Client, query: str, fields: set[str]) -> None:
    assert exact(ama.get(f"transactions?{query}"), 422)["errors"].keys() == fields


def test_a_purchase_is_found_by_the_callers_own_reference(
    market: Market, ama: httpx.Client, kofi: httpx.Client
) -> None:
    form = {"network": "mtn", "phone": "08031230001", "amount": 100, "reference": "found by mine"}
    bought = exact(ama.post("airtime/purchase", json=form))["data"]["transaction"]
    found = exact(ama.get("transactions/found by mine"))["data"]
    assert (found["reference"], found["amount"]) == (bought["reference"], "100.00")
    assert exact(kofi.get("transactions/found by mine"), 404)["message"] == "Transaction not found."
    with market.client(market.ama_test) as play:
        assert exact(play.get("transactions/found by mine"), 404)["message"] == "Transaction not found."


def test_somebody_elses_transaction_is_not_found(market: Market, ama: httpx.Client, kofi: httpx.Client) -> None:
    (row, *_) = exact(ama.get("transactions"))["data"]["data"]
    with market.client(market.ama_test) as play:
        for client in (kofi, play):
            assert exact(client.get(f"transactions/{row['reference']}"), 404)["message"] == "Transaction not found."
        assert exact(play.get("transactions"))["data"]["total"] == 1
        assert exact(play.get("user"))["data"]["wallet"]["balance"] == 500
    for reference in ("DATA-1-abcdef", "nothing", "%00", "a/b", "x" * 300):
        assert exact(ama.get(f"transactions/{reference}"), 404).keys() == {"success", "message"}


# Prices ------------------------------------------------------------------------------------------------------------------


def test_a_discount_lowers_what_is_taken_and_a_repeat_does_not_mind(market: Market, ama: httpx.Client) -> None:
    exact(ama.post("airtime/purchase", json=airtime(amount=200, reference="full price")))

    async def set_discount() -> None:
        database = await Database.open(
            json.loads((market.shop.data_dir / "server.json").read_text())["url"], pool_size=1
        )
        ((ama_id,),) = market.shop.sql("select id from reseller where email = 'ama@example.com'")
        await Catalogue(database).set_discount(ama_id, "NG", "MTN", "2.5")
        await database.close()

    asyncio.run(set_discount())

    def taken() -> Decimal:
        before = balance_of(ama)
        sold = exact(ama.post("airtime/purchase", json=airtime(amount=200)))["data"]
        assert sold["transaction"]["amount"] == 200  # What the subscriber has.
        return before - balance_of(ama)

    wait_for(lambda: taken() == 195, 5, "the discount")
    (row, *_) = exact(ama.get("transactions"))["data"]["data"]
    assert row["amount"] == "195.00"
    again = ama.post("airtime/purchase", json=airtime(amount=200, reference="full price"))
    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")


def test_a_network_that_is_switched_off_sells_nothing_and_still_answers_repeats(
    market: Market, ama: httpx.Client
) -> None:
    (plan, *_) = exact(ama.get("data-plans?network=9mobile"))["data"]
    body = {"network": "9mobile", "phone": "08091230000"}
    bought = {
        "airtime/purchase": body | {"amount": 60, "reference": "nine-1"},
        "data/purchase": body | {"plan_id": plan["id"], "reference": "nine-2"},
    }
    first = {path: exact(ama.post(path, json=form)) for path, form in bought.items()}
    market.shop.telvend("network", "off", "9mobile")
    wait_for(lambda: len(exact(ama.get("airtime/types"))["data"]) == 3, 5, "switched off")
    assert [item["status"] for item in exact(ama.get("networks"))["data"]] == ["active"] * 3 + ["inactive"]
    # It has no plans now. Its types are the same words as before.
    assert exact(ama.get(f"data-plans?network=9mobile&type={plan['type']}"))["data"] == []
    for path, form in bought.items():
        assert exact(ama.post(path, json=form))["data"]["transaction"] == first[path]["data"]["transaction"]
        refused = exact(ama.post(path, json=form | {"reference": "nine-3"}), 400)
        assert refused["message"] == "This is not on sale for 9mobile right now."


def test_the_books_hold_after_it_all(market: Market) -> None:
    wait_for(
        lambda: (
            market.shop.sql(
                "select count(*) from orders where state not in ('delivered', 'failed') and right(subscriber, 4) <> '0016'"
            )
            == [(0,)]
        ),
        20,
        "every order is final but the one of which nobody knows",
    )
    market.shop.check_books()


def test_a_purged_check_is_404_and_the_served_shop_goes_on_with_a_key_that_opens_it_no_more(
    market: Market, ama: httpx.Client
) -> None:
    def bought(number: str) -> int:
        form = {"nin": number, "card_type": "standard", "force_new": True}
        return int(exact(ama.post("verification/nin", json=form))["data"]["verification_id"])

    old, young = bought("12345678901"), bought("12345678902")
    market.shop.sql("update verification set created_at = created_at - interval '400 days' where id = %s", old)
    (wrapped,) = market.shop.sql("select wrapped_key from identity_sealed where id = %s", old)[0]
    key_file = market.shop.data_dir / "secret" / "identity-master-key"
    key = key_file.read_text()
    assert market.shop.telvend("identity", "purge")["purged"] == 1
    assert ama.get(f"verification/nin/{old}").status_code == 404
    assert ama.get(f"verification/nin/{young}").status_code == 200
    assert ama.get(f"verification/nin/{bought('12345678903')}").status_code == 200
    # What is deleted is still on the disk; what opened it is not.
    log_files = [path for path in (market.shop.data_dir / "postgres" / "pg_wal").iterdir() if path.is_file()]
    assert any(wrapped in path.read_bytes() for path in log_files)
    kept = [path for path in market.shop.data_dir.rglob("*") if path.is_file() and "postgres" not in path.parts]
    assert not any(key.strip().encode() in path.read_bytes() for path in kept)
