"""A shop as it comes: what it sells is delivered to the subscribers of its own network, at once."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import PLENTY, Keys
from tests.e2e.shop import _NO_CERTIFICATES, Shop, purchase, wait_for

# Numbers that the simulator would refuse, or not answer for.
GHANAIAN = "0241230004"
NIGERIAN = "08031230007"
GIGABYTE = 1024**3


@pytest.fixture
def naira(fresh_shop: Shop) -> Iterator[httpx.Client]:
    """A client of networkdatasub, whose reseller has NGN 10,000 and pays 2 % less for airtime of MTN."""
    fresh_shop.settings = {}
    fresh_shop.start("--workers", "2")
    limits = ["--read-limit", PLENTY, "--purchase-limit", PLENTY]
    made = fresh_shop.several(
        [
            ["key", "add", "ama@example.com", "--api", "networkdatasub", *limits],
            ["wallet", "credit", "ama@example.com", "10000", "NGN", "--reference", "naira"],
            ["user", "discount", "ama@example.com", "mtn", "2", "--country", "NG"],
        ]
    )
    with httpx.Client(
        base_url=f"{fresh_shop.url}/api/",
        headers={"authorization": f"Token {made[0]['key']}"},
        timeout=30,
        verify=_NO_CERTIFICATES,
    ) as client:
        yield client


def bought(client: httpx.Client, path: str, form: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=form)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def buckets(shop: Shop, msisdn: str) -> list[tuple[Any, ...]]:
    """What a subscriber has: kind, amount, product (or main, for the main account), how many days it lasts."""
    return shop.sql(
        "select b.kind, b.balance, case when b.main then 'main' else b.product end, extract(day from b.expires_at - b.starts_at)::int"
        " from bucket b join subscriber s on s.id = b.subscriber_id where s.msisdn = %s and s.mode = 'live' order by b.id",
        msisdn,
    )


def test_sales_of_every_dialect_are_there_when_the_answer_is(fresh_shop: Shop, naira: httpx.Client, keys: Keys) -> None:
    shop = fresh_shop
    wait_for(lambda: "live orders go to own_network, which pretends" in shop.log(), 5, "said at the start")
    with shop.client(keys.ama) as cedi:
        assert cedi.post("purchase", json=purchase(GHANAIAN, "bundle")).status_code == 200
        wait_for(lambda: cedi.get("order-status/bundle").json()["status"] == "completed", 10, "delivered")
    assert buckets(shop, "+233241230004") == [("data", GIGABYTE, "GH-MTN-1GB-30D", 30)]

    plan = next(plan for plan in naira.get("data-plans?network=mtn").json()["data"] if plan["code"] == "1GB")
    bought(naira, "data/purchase", {"network": "mtn", "plan_id": plan["id"], "phone": NIGERIAN})
    bought(naira, "airtime/purchase", {"network": "mtn", "phone": NIGERIAN, "amount": 100})
    code = shop.sql("select code from product where id = %s", plan["id"])[0][0]
    # All of the airtime, although it was sold for 98.00.
    assert buckets(shop, "+2348031230007") == [
        ("data", GIGABYTE, code, int(plan["validity"].split()[0])),
        ("money", 10_000, "main", None),
    ]
    assert naira.get("wallet/balance").json()["data"]["balance"] == f"{10_000 - plan['amount'] - 98:.2f}"
    # Each is somebody in both modes, and has nothing to play with.
    with_something = "select distinct mode from subscriber s join bucket b on b.subscriber_id = s.id"
    assert shop.sql(with_something) == [("live",)]
    ledger, book = shop.check_books()
    assert (ledger["orders"], book["deliveries"]) == (3, 0)


def test_play_money_goes_to_the_simulator_and_makes_nobody_a_subscriber(fresh_shop: Shop, keys: Keys) -> None:
    fresh_shop.settings = {}
    fresh_shop.start()
    with fresh_shop.client(keys.ama_test) as client:
        for ending, status in (("0000", "completed"), ("0004", "failed")):
            assert client.post("purchase", json=purchase(f"024123{ending}", ending)).status_code == 200
            wait_for(
                lambda at=f"order-status/{ending}", then=status: client.get(at).json()["status"] == then, 10, status
            )  # type: ignore[misc]
    assert fresh_shop.sql("select count(*) from subscriber") == [(0,)]
    assert fresh_shop.check_books()[1]["deliveries"] == 1


def test_a_stranger_is_refused_where_the_network_makes_no_subscribers_and_a_barred_one_everywhere(
    fresh_shop: Shop, keys: Keys
) -> None:
    shop = fresh_shop

    def ends_as(client: httpx.Client, number: str, reference: str) -> str:
        assert client.post("purchase", json=purchase(number, reference)).status_code == 200
        shop.wait_until_final()
        return str(client.get(f"order-status/{reference}").json()["status"])

    shop.settings = {}
    shop.start()
    with shop.client(keys.ama) as client:
        assert ends_as(client, "0241230001", "known") == "completed"
        assert ends_as(client, "0241230002", "to be barred") == "completed"
        shop.sql("update subscriber set status = 'Suspended' where msisdn = '+233241230002'")
        assert ends_as(client, "0241230002", "barred") == "failed"
    assert shop.stop() == 0
    shop.settings = {"TELVEND_OWN_NETWORK_CREATES_SUBSCRIBERS": "false"}
    shop.start()
    with shop.client(keys.ama) as client:
        before = client.get("balance").json()["balance"]
        assert ends_as(client, "0241230003", "stranger") == "failed"
        assert client.get("balance").json()["balance"] == before
        assert ends_as(client, "0241230001", "known again") == "completed"
    assert shop.sql("select text from attempt where state = 'refused' order by order_id") == [
        ("refused: barred",),
        ("refused: unknown_subscriber",),
    ]
    assert shop.sql("select count(distinct msisdn) from subscriber") == [(2,)]
    shop.check_books()


def test_a_simulator_that_was_set_live_goes_first(fresh_shop: Shop, keys: Keys) -> None:
    """What it has not got (a number that ends in 0005) is delivered by our own network."""
    fresh_shop.settings = {"TELVEND_SIMULATORS": "{simulator = {live = true}}"}
    fresh_shop.start()
    said = "live orders go to simulator, own_network, which pretend"
    wait_for(lambda: said in fresh_shop.log(), 5, "said at the start")
    with fresh_shop.client(keys.ama) as client:
        for ending in ("0000", "0005"):
            assert client.post("purchase", json=purchase(f"024123{ending}")).status_code == 200
    fresh_shop.wait_until_final()
    assert fresh_shop.sql("select provider, state from attempt order by order_id, number") == [
        ("simulator", "delivered"),
        ("simulator", "refused"),
        ("own_network", "delivered"),
    ]
    fresh_shop.check_books()
