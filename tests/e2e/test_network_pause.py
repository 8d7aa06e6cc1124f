"""A network that is down, as resellers and the operator meet it: the simulator's numbers fail, a shop of two processes sells."""

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import PLENTY, Keys
from tests.e2e.shop import _NO_CERTIFICATES, STEERED, Shop, purchase, wait_for

RULE = {
    "TELVEND_PAUSE_NETWORK_AFTER_MINUTES": "0.05",
    "TELVEND_PAUSE_NETWORK_MIN_ATTEMPTS": "4",
    "TELVEND_PAUSE_NETWORK_RETRY_MINUTES": "0.01",
    "TELVEND_PAUSE_NETWORK_RETRY_SALES": "2",
}
NO_FLOAT = 18
"""The ending of numbers that are refused because our float is empty."""
DELIVERED = 0
LIMITS = ("--read-limit", PLENTY, "--purchase-limit", PLENTY)
MTN = ("MTN", "--country", "GH")


def start(shop: Shop, **settings: str) -> None:
    shop.settings = STEERED | settings
    shop.start("--workers", "2")


def networks(client: httpx.Client) -> set[str]:
    return {package["network"] for package in client.get("packages").json()["packages"]}


def mtn_of(shop: Shop) -> dict[str, Any]:
    listed = shop.telvend("network", "list")["networks"]
    return next(network for network in listed if (network["country"], network["code"]) == ("GH", "MTN"))


def until_paused(client: httpx.Client) -> None:
    """Buy for numbers that fail until MTN is off sale."""

    def is_paused() -> bool:
        client.post("purchase", json=purchase(NO_FLOAT))
        time.sleep(0.2)
        return "MTN" not in networks(client)

    wait_for(is_paused, 30, "MTN is paused")


def test_a_network_that_fails_is_paused_tried_and_sold_again(fresh_shop: Shop, keys: Keys) -> None:
    shop = fresh_shop
    start(shop, **RULE)
    with shop.client(keys.ama) as client:
        before = client.post("purchase", json=purchase(DELIVERED, "before")).json()
        until_paused(client)

        # Both processes have it from the database; what was sold before is answered.
        for _ in range(10):
            refused = client.post("purchase", json=purchase(DELIVERED, network="mtn"))
            if refused.status_code == 200:
                break  # It is on trial already.
            assert refused.json() == {"error": "Unknown package: 1GB is not on sale for MTN."}
        again = client.post("purchase", json=purchase(DELIVERED, "before"))
        assert again.json()["reference"] == before["reference"]
        assert networks(client) >= {"Telecel", "AirtelTigo"}
        assert client.post("purchase", json=purchase(DELIVERED, network="Telecel")).status_code == 200

        # Whoever buys meanwhile is let through by the trial, and the delivery ends the pause.
        def sold() -> bool:
            answer = client.post("purchase", json=purchase(DELIVERED))
            assert answer.status_code in (200, 400), answer.text
            return answer.status_code == 200

        wait_for(sold, 30, "a sale is let through")
        wait_for(lambda: mtn_of(shop)["pause"] is None, 30, "MTN is resumed")
        wait_for(lambda: all(sold() for _ in range(6)), 10, "MTN is sold by both processes")
    (past,) = shop.telvend("network", "pauses", *MTN)["pauses"]
    assert past["automatic"]
    assert re.fullmatch(
        r"nothing delivered for \d+ s: \d+ attempts failed, the last one was refused \(no_float\) at simulator",
        past["reason"],
    )
    assert (past["by"], past["ended_by"], past["end_reason"]) == ("telvend", "telvend", "something was delivered")
    assert past["trials"] >= 1
    log = shop.log()
    for line in ("network_paused", "network_trial", "network_resumed"):
        assert line in log
    shop.wait_until_final()
    shop.check_books()


@pytest.mark.soak
def test_test_sales_that_fail_pause_nothing(fresh_shop: Shop, keys: Keys) -> None:
    shop = fresh_shop
    start(shop, **RULE)
    with shop.client(keys.ama_test) as client:
        for _ in range(40):
            assert client.post("purchase", json=purchase(NO_FLOAT)).status_code == 200
            time.sleep(0.25)
        assert "MTN" in networks(client)
    assert mtn_of(shop)["pause"] is None


def test_the_judge_survives_kill_9_and_the_pause_outlives_it(fresh_shop: Shop, keys: Keys) -> None:
    shop = fresh_shop
    start(shop, **RULE | {"TELVEND_PAUSE_NETWORK_RETRY_MINUTES": "60"})
    with shop.client(keys.ama) as client:
        until_paused(client)
    shop.kill()
    start(shop, **RULE | {"TELVEND_PAUSE_NETWORK_RETRY_MINUTES": "60"})
    with shop.client(keys.ama) as client:
        assert "MTN" not in networks(client)
        assert client.post("purchase", json=purchase(DELIVERED)).status_code == 400
        assert (
            'telvend_network_paused{by="itself",country="GH",network="MTN"} 1.0'
            in httpx.get(f"{shop.url}/metrics", verify=_NO_CERTIFICATES).text
        )
        assert "MTN (GH) is paused since" in shop.run("network", "list").stdout
        doctor = shop.run("doctor").stdout
        assert "MTN (GH) is paused since" in doctor
        assert "telvend network resume MTN --country GH" in doctor
        assert shop.telvend("network", "resume", *MTN)["on_sale"]
        wait_for(lambda: "MTN" in networks(client), 10, "MTN is sold")


@pytest.mark.soak
def test_what_was_accepted_before_a_pause_is_delivered_or_waits_and_nothing_fails_because_of_it(
    fresh_shop: Shop, keys: Keys
) -> None:
    shop = fresh_shop
    start(shop)
    with shop.client(keys.ama) as client:
        # Delivered late; accepted first; delivered without an answer; without an answer for good.
        placed = [client.post("purchase", json=purchase(ending)).json()["reference"] for ending in (1, 2, 6, 16)]
        shop.telvend("network", "pause", *MTN, "--reason", "MTN called")
        wait_for(lambda: client.post("purchase", json=purchase(DELIVERED)).status_code == 400, 10, "MTN is paused")

        def states() -> list[str]:
            return [client.get(f"order-status/{reference}").json()["status"] for reference in placed]

        wait_for(lambda: states() == ["completed"] * 3 + ["processing"], 30, "what can be delivered is")
    assert mtn_of(shop)["pause"]["reason"] == "MTN called"
    shop.check_books()


# What the contracts print ---------------------------------------------------------------------------------------------------

Bytes = Callable[[], dict[str, tuple[int, bytes]]]


@pytest.fixture
def answers(fresh_shop: Shop, keys: Keys) -> Bytes:
    """Every answer of the three contracts that depends on a network, as bytes."""
    shop = fresh_shop
    start(shop)
    nigerian, partner, *_ = shop.several(
        [
            ["key", "add", "ama@example.com", "--api", "networkdatasub", *LIMITS],
            ["key", "add", "ama@example.com", "--api", "madapi", *LIMITS],
            ["wallet", "credit", "ama@example.com", "5000", "NGN", "--reference", "opening"],
            ["subscriber", "add", "+2348031234567", "--tariff-plan", "Basic", "--currency", "NGN"],
        ]
    )
    plan = next(
        item["id"] for item in shop.telvend("product", "list", "--country", "NG", "--network", "mtn")["products"]
    )
    token, key = {"authorization": f"Token {nigerian['key']}"}, {"x-api-key": partner["key"]}
    requests: list[tuple[str, str, dict[str, str], dict[str, Any] | None]] = [
        ("GET", "/api/v1/packages", {"x-api-key": keys.ama}, None),
        ("POST", "/api/v1/purchase", {"x-api-key": keys.ama}, purchase(DELIVERED)),
        ("POST", "/api/v1/purchase", {"x-api-key": keys.ama}, purchase(DELIVERED, network="Telecel", capacity="9GB")),
        *(
            ("GET", f"/api/{path}", token, None)
            for path in (
                "mobile/networks", "networks", "airtime/types", "data/networks", "data-plans?network=mtn",
                "data-plans?network=glo", "data/all-plans", "wallet/balance",
            )
        ),
        ("POST", "/api/airtime/purchase", token, {"network": "mtn", "amount": 100, "phone": "08031230000"}),
        ("POST", "/api/data/purchase", token, {"network": "mtn", "plan_id": plan, "phone": "08031230000"}),
        ("GET", "/v2/customers/+2348031234567/plans", key | {"transactionId": "TX-00000001"}, None),
    ]  # fmt: skip

    def ask() -> dict[str, tuple[int, bytes]]:
        found = {}
        for number, (method, path, headers, body) in enumerate(requests):
            answer = httpx.request(
                method, shop.url + path, headers=headers, json=body, timeout=30, verify=_NO_CERTIFICATES
            )
            # Moments, and the numbers of answers.
            content = re.sub(rb'20\d\d-\d\d-\d\dT[0-9:.]+Z|"sequenceNo":"[^"]*"', b"", answer.content)
            found[f"{number} {method} {path}"] = (answer.status_code, content)
        return found

    return ask


def test_a_paused_network_is_answered_byte_for_byte_as_one_that_is_off(fresh_shop: Shop, answers: Bytes) -> None:
    shop = fresh_shop
    both = [("MTN", "--country", country) for country in ("GH", "NG")]

    def change(*commands: list[str]) -> dict[str, tuple[int, bytes]]:
        shop.several(commands)
        time.sleep(1.0)  # Every process has noticed.
        return answers()

    off = change(*(["network", "off", *network] for network in both))
    shop.several([["network", "on", *network] for network in both])
    paused = change(*(["network", "pause", *network, "--reason", "MTN called"] for network in both))
    assert paused == off
    statuses = {name.split(" ", 1)[1]: status for name, (status, _) in paused.items()}
    assert statuses["POST /api/airtime/purchase"] == statuses["POST /api/data/purchase"] == 400
    assert statuses["GET /v2/customers/+2348031234567/plans"] == 200
    texts = {name.split(" ", 1)[1]: content for name, (_, content) in paused.items()}
    assert b'"status":"inactive"' in texts["GET /api/mobile/networks"]
    assert b'"MTN"' not in texts["GET /api/v1/packages"]
    assert b'"data":[]' in texts["GET /api/data-plans?network=mtn"]

    on = change(*(["network", "resume", *network] for network in both))
    differ = {name.split(" ", 1)[1] for name in on if on[name] != paused[name]}
    # MADAPI sells nothing of these networks: a refill is the operator's own.
    assert differ >= {"GET /api/v1/packages", "POST /api/v1/purchase", "GET /api/mobile/networks", "GET /api/networks"}
    assert not any(name.startswith("GET /v2") or "glo" in name for name in differ)
    assert b"inactive" not in next(content for name, (_, content) in on.items() if "mobile/networks" in name)
    shop.wait_until_final()
    shop.check_books()
