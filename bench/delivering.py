"""Placed and delivered: what a shop can do in a day. Sells at full load, watches what waits, and stops when all is delivered."""

import asyncio
import time
from collections import Counter
from typing import Final

from bench import cpu
from bench.load import Load, drive, purchases
from bench.report import Target, at_least, below
from bench.session import Bench, no_errors, speed_of
from bench.testbed import TELVEND, WITH_INSTANT, BooksWrong, Testbed, TestbedFailed

_CONNECTIONS: Final = 256
_LOOKS: Final = 12
"""How often it is looked at what waits, while sales go on."""
_DRAINED_WITHIN_S: Final = 300
_LONGEST_P99_MS: Final = 100
_WAITS_AT_MOST_S: Final = 3.0


async def place_and_deliver(bench: Bench, name: str, what: str, *, instant: bool, least: float) -> None:
    """Sell for `--seconds` and drain. The rate is of the orders that were sold and delivered, from the first sale until the last is
    delivered."""
    testbed, extent = bench.testbed, bench.extent
    await bench.serve(module=WITH_INSTANT if instant else TELVEND)
    bench.say("furnishing the shop")
    keys = await testbed.hot()
    await testbed.put_aside()
    orders_before, delivered_before = await testbed.orders(), await _delivered(testbed)
    waiting: list[int] = []
    spent_us: Counter[str] = Counter()
    elapsed_s = 0.0

    async def measure() -> Load:
        nonlocal elapsed_s, spent_us
        spent_us = cpu.of_kinds(testbed.pid)
        begun = time.perf_counter()
        looking = asyncio.create_task(_look(testbed, waiting, (extent.seconds + extent.warm_up_s) / _LOOKS))
        load = await drive(
            testbed.port,
            connections=_CONNECTIONS,
            next_request=purchases(keys, testbed.numbers),
            seconds=extent.seconds,
            warm_up_s=extent.warm_up_s,
        )
        looking.cancel()
        bench.say("delivering what waits")
        await _drain(testbed)
        elapsed_s = time.perf_counter() - begun
        spent_us = cpu.of_kinds(testbed.pid) - spent_us
        return load

    load, beside = await bench.beside(f"selling and delivering for {extent.seconds} s", measure)
    bench.say("checking the books")
    await testbed.check(orders_before=orders_before, sold=load.succeeded)
    if (delivered := await _delivered(testbed) - delivered_before) != load.succeeded:
        raise BooksWrong(f"{load.succeeded} orders were sold and {delivered} are delivered.")
    speed = speed_of(name, what, load, beside)
    speed.notes["sold a second"] = f"{load.per_second:,.0f}"
    speed.per_second = load.succeeded / elapsed_s
    speed.notes["seconds until all was delivered"] = f"{elapsed_s:.1f}"
    speed.notes["waiting, time after time"] = " ".join(f"{count:,}" for count in waiting)
    for kind, us in sorted(spent_us.items()):
        speed.notes[f"CPU for each order, {kind}"] = f"{us / load.succeeded:.0f} µs"
    longest = _WAITS_AT_MOST_S * load.per_second
    speed.targets = [
        at_least(speed.ratio, least),
        below(f"p99 < {_LONGEST_P99_MS} ms", load.p99_ms, _LONGEST_P99_MS),
        Target(f"never more waiting than sold in {_WAITS_AT_MOST_S:.0f} s", max(waiting, default=0) < longest),
        no_errors(load),
    ]
    bench.report.speeds.append(speed)


async def _look(testbed: Testbed, waiting: list[int], every_s: float) -> None:
    """Note again and again how many orders are not delivered."""
    async with testbed.connection() as connection:
        while True:
            await asyncio.sleep(every_s)
            waiting.append(await connection.fetchval(_OPEN))


async def _drain(testbed: Testbed) -> None:
    """Wait until everything that is due has been delivered. Raises TestbedFailed when that takes too long."""
    begun = time.perf_counter()
    async with testbed.connection() as connection:
        while await connection.fetchval(f"select exists ({_OPEN.replace('count(*)', '1')})"):
            if time.perf_counter() - begun > _DRAINED_WITHIN_S:
                raise TestbedFailed(f"Orders were still waiting {_DRAINED_WITHIN_S} s after the last sale.")
            await asyncio.sleep(0.02)


# Orders that were put aside (Testbed.put_aside) are due tomorrow and do not count.
_OPEN: Final = "select count(*) from orders where due_at < now() + interval '1 hour'"


async def _delivered(testbed: Testbed) -> int:
    return int(await testbed.value("select count(*) from orders where state = 'delivered'"))
