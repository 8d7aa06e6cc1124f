"""Many clients at once, over two processes: one order for one reference, and never more than the money pays for."""

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from tests.e2e.conftest import Keys
from tests.e2e.shop import TELVEND, Shop, purchase
from tests.e2e.wire import Reply, Wire


async def all_at_once(shop: Shop, key: str, bodies: Sequence[Any]) -> list[Reply]:
    """Each on a connection of its own, so that both processes get their part; opened before the race."""
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(Wire(shop.port, key)) for _ in bodies]
        await asyncio.gather(*(wire.request("GET", "/api/v1/ping") for wire in wires))
        return await asyncio.gather(*(wire.buy(body) for wire, body in zip(wires, bodies, strict=True)))


async def test_identical_purchases_at_once_are_one_order(shop: Shop, keys: Keys) -> None:
    answers = await all_at_once(shop, keys.ama, [purchase(0, "race-one")] * 200)
    assert Counter(answer.status for answer in answers) == {200: 1, 409: 199}
    assert len({answer.json()["reference"] for answer in answers}) == 1
    ((number,),) = shop.sql("select id from orders where client_reference = 'race-one'")
    assert shop.sql("select count(*) from transfer where cause = %s and kind = 1", number) == [(1,)]


async def test_different_purchases_at_once_are_as_many_as_the_money_pays_for(shop: Shop, keys: Keys) -> None:
    """450.00 for bundles of 4.50, through two keys of the same reseller."""
    bodies = [purchase(0, f"race-{number}") for number in range(300)]
    halves = await asyncio.gather(
        all_at_once(shop, keys.esi, bodies[::2]), all_at_once(shop, keys.esi_second, bodies[1::2])
    )
    answers = [*halves[0], *halves[1]]
    assert Counter(answer.status for answer in answers) == {200: 100, 402: 200}
    async with Wire(shop.port, keys.esi) as wire:
        assert (await wire.request("GET", "/api/v1/balance")).json()["balance"] == 0
    bought = [answer.json() for answer in answers if answer.status == 200]
    assert len({order["reference"] for order in bought}) == 100
    assert sorted(round(order["balance"] * 100) for order in bought) == [450 * left for left in range(100)]


def test_the_same_credit_from_five_processes_at_once_is_one(shop: Shop) -> None:
    command = [str(TELVEND), "wallet", "credit", "esi@example.com", "12.34", "NGN", "--reference", "at once", "--json"]
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
