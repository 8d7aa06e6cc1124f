"""Many clients at once, over two processes: one order for one reference, and never more than the money pays for."""

import asyncio
import json
import subprocess
from collections import Counter

import httpx

from tests.e2e.conftest import Keys
from tests.e2e.shop import TELVEND, Shop, purchase


async def test_identical_purchases_at_once_are_one_order(shop: Shop, keys: Keys) -> None:
    async with shop.async_client(keys.ama, connections=100) as client:
        answers = await asyncio.gather(*(client.post("purchase", json=purchase(0, "race-one")) for _ in range(200)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 199}
    assert len({answer.json()["reference"] for answer in answers}) == 1
    ((number,),) = shop.sql("select id from orders where client_reference = 'race-one'")
    assert shop.sql("select count(*) from transfer where cause = %s and kind = 1", number) == [(1,)]


async def test_different_purchases_at_once_are_as_many_as_the_money_pays_for(shop: Shop, keys: Keys) -> None:
    """450.00 for bundles of 4.50, through two keys of the same reseller."""

    async def buy(client: httpx.AsyncClient, number: int) -> httpx.Response:
        return await client.post("purchase", json=purchase(0, f"race-{number}"))

    async with shop.async_client(keys.esi, 60) as first, shop.async_client(keys.esi_second, 60) as second:
        answers = await asyncio.gather(*(buy(second if number % 2 else first, number) for number in range(300)))
        assert Counter(answer.status_code for answer in answers) == {200: 100, 402: 200}
        assert (await first.get("balance")).json()["balance"] == 0
    bought = [answer.json() for answer in answers if answer.status_code == 200]
    assert len({order["reference"] for order in bought}) == 100
    assert sorted(round(order["balance"] * 100) for order in bought) == [450 * left for left in range(100)]


def test_the_same_credit_from_five_processes_at_once_is_one(shop: Shop) -> None:
    command = [TELVEND, "wallet", "credit", "esi@example.com", "12.34", "NGN", "--reference", "at once", "--json"]
    running = [
        subprocess.Popen(command, env=shop.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(5)
    ]
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert json.loads(out)["balance"] == 12.34
    assert shop.sql("select count(*), sum(amount_minor) from wallet_credit where reference = 'at once'") == [(1, 1234)]


def test_the_books_hold_after_it_all(shop: Shop) -> None:
    shop.wait_until_final()
    shop.check_books()
