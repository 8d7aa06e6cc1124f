"""What is measured: one function for each kind of part, and `PARTS`, the list that the command line offers.

The targets are those of "Speed" in the first issue of the project; README.md explains them.
"""

import itertools
import statistics
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench import cpu, in_process, memory, network, wrk
from bench.backups import backup
from bench.commands import commands
from bench.delivering import place_and_deliver
from bench.in_process import Through
from bench.lists import place_list
from bench.load import Load, drive, purchases, reads
from bench.pages import console, portal
from bench.report import Quantity, Speed, at_least, below
from bench.session import Bench, Part, no_errors, speed_of
from bench.testbed import BooksWrong, Testbed
from bench.webhooks import webhooks

ALONE: Final = "--no-fulfilment"
_LONGEST_P99_MS: Final = 100
_LONGEST_P50_MS: Final = 3
_LARGEST_PROCESS_MIB: Final = 120
_REFERENCES_READ: Final = 5000
_SETTLED_A_SECOND: Final = 500
"""At this rate an hour is 1.8 million orders, which fit on the disk."""
_LONG_S: Final = 1800
_WRK_WARM_UP_S: Final = 2
_WRK_P99_MS: Final = 60
_GROWTH_MIB: Final = 4


async def buy(
    bench: Bench, name: str, what: str, *, spread: bool, connections: int, alone: bool, by_wrk: float | None = None
) -> None:
    """Purchases over HTTP; `by_wrk`: driven by wrk, and to reach so many times TPC-B."""
    if by_wrk is not None and not _has_wrk(bench, name):
        return
    await bench.serve(*((ALONE,) if alone else ()))
    testbed, extent = bench.testbed, bench.extent
    keys = await _keys(bench, spread=spread)
    delivered_before, orders_before = await _delivered(testbed), await testbed.orders()
    delivered_during = 0
    computed: dict[str, str] = {}

    async def measure() -> Load:
        nonlocal delivered_during, computed
        before = cpu.of_kinds(testbed.pid)
        if by_wrk is not None:
            first = next(testbed.numbers)
            warm_up = await wrk.buy(testbed.port, keys, first, connections=connections, seconds=_WRK_WARM_UP_S)
            between = first + warm_up.succeeded + sum(warm_up.errors.values()) + 2 * connections
            before = cpu.of_kinds(testbed.pid)
            load = await wrk.buy(testbed.port, keys, between, connections=connections, seconds=extent.seconds)
            computed = cpu.each(cpu.of_kinds(testbed.pid) - before, load.succeeded)
            delivered_during = await _delivered(testbed) - delivered_before
            used = load.succeeded + sum(load.errors.values()) + 2 * connections
            testbed.numbers = itertools.count(between + used)
            load.succeeded += warm_up.succeeded
            return load
        load = await drive(
            testbed.port,
            connections=connections,
            next_request=purchases(keys, testbed.numbers),
            seconds=extent.seconds,
            warm_up_s=extent.warm_up_s,
        )
        computed = cpu.each(cpu.of_kinds(testbed.pid) - before, load.succeeded)
        delivered_during = await _delivered(testbed) - delivered_before
        return load

    load, beside = await bench.beside(f"buying for {extent.seconds} s", measure)
    bench.say("checking the books")
    # wrk leaves in the middle of what is under way, after its warm-up too.
    unheard = 0 if by_wrk is None else 2 * connections
    await testbed.check(orders_before=orders_before, sold=load.succeeded, unheard=unheard)
    speed = speed_of(name, what, load, beside)
    speed.notes |= computed
    if not alone:
        # From the first purchase on, so the warm-up counts.
        rate = delivered_during / (extent.seconds + (extent.warm_up_s if by_wrk is None else _WRK_WARM_UP_S))
        speed.notes["delivered a second meanwhile"] = f"{rate:,.0f}"
    speed.targets = [no_errors(load), below(f"p99 < {_LONGEST_P99_MS} ms", load.p99_ms, _LONGEST_P99_MS)]
    if connections == 1:
        speed.targets = [no_errors(load), below(f"p50 < {_LONGEST_P50_MS} ms", load.p50_ms, _LONGEST_P50_MS)]
    if by_wrk is not None:
        speed.targets = [
            at_least(speed.ratio, by_wrk),
            no_errors(load),
            below(f"p99 ≤ {_WRK_P99_MS} ms", load.p99_ms, _WRK_P99_MS + 0.05),
        ]
    elif connections == 256:
        speed.targets.insert(0, at_least(speed.ratio, 1.4 if alone else 1.0))
    bench.report.speeds.append(speed)


async def read(
    bench: Bench, name: str, what: str, *, connections: int, statuses: bool, by_wrk: float | None = None
) -> None:
    """Balances of a thousand wallets, or statuses of their orders by either reference. `by_wrk`: see `buy`."""
    if by_wrk is not None and not _has_wrk(bench, name):
        return
    await bench.serve()
    testbed, extent = bench.testbed, bench.extent
    keys = await _keys(bench, spread=True)
    if statuses:
        bench.say("placing orders to read")
        paths = await _orders_to_read(testbed, keys)
    else:
        paths = [("/api/v1/balance", key) for key in keys]
    computed: dict[str, str] = {}

    async def measure() -> Load:
        nonlocal computed
        before = cpu.of_kinds(testbed.pid)
        if by_wrk is not None:
            load = await wrk.read(testbed.port, paths, connections=connections, seconds=extent.seconds)
        else:
            load = await drive(
                testbed.port,
                connections=connections,
                next_request=reads(paths),
                seconds=extent.seconds,
                warm_up_s=extent.warm_up_s,
            )
        computed = cpu.each(cpu.of_kinds(testbed.pid) - before, load.succeeded)
        return load

    load, beside = await bench.beside(f"reading for {extent.seconds} s", measure)
    speed = speed_of(name, what, load, beside)
    speed.notes |= computed
    speed.targets = [at_least(speed.ratio, 1.2 if by_wrk is None else by_wrk), no_errors(load)]
    bench.report.speeds.append(speed)


async def lane(bench: Bench, name: str, what: str, *, spread: bool) -> None:
    """Purchases without HTTP, through the service in this process."""
    await bench.serve(ALONE)
    testbed, extent = bench.testbed, bench.extent
    keys = await _keys(bench, spread=spread)
    orders_before = await testbed.orders()
    load, beside = await bench.beside(
        f"buying without HTTP for {extent.seconds} s",
        lambda: in_process.place_for(testbed, keys, seconds=extent.seconds, warm_up_s=extent.warm_up_s),
    )
    bench.say("checking the books")
    await testbed.check(orders_before=orders_before, sold=load.succeeded)
    speed = speed_of(name, what, load, beside)
    speed.targets = [at_least(speed.ratio, 4.0), no_errors(load)]
    bench.report.speeds.append(speed)


async def settle(bench: Bench, name: str, what: str, *, through: Through, least: float | None) -> None:
    """Orders that wait, delivered and settled, with no sales beside."""
    await bench.serve(ALONE)
    testbed, count = bench.testbed, bench.extent.settled_orders
    keys = await _keys(bench, spread=True)
    await testbed.put_aside()
    orders_before, delivered_before = await testbed.orders(), await _delivered(testbed)
    bench.say(f"placing {count:,} orders")
    await in_process.place_so_many(testbed, keys, count)
    elapsed_s = 0.0

    async def measure() -> Load:
        nonlocal elapsed_s
        elapsed_s = await in_process.settle_all(testbed, count, through)
        return Load(per_second=count / elapsed_s, p50_ms=0, p99_ms=0, longest_ms=0, succeeded=count, errors={})

    load, beside = await bench.beside(f"settling {count:,} orders", measure)
    bench.say("checking the books")
    if (delivered := await _delivered(testbed) - delivered_before) != count:
        raise BooksWrong(f"{count} orders were settled and {delivered} are delivered in the database.")
    await testbed.check(orders_before=orders_before, sold=count)
    speed = Speed(part=name, what=what, per_second=load.per_second, tpcb_per_second=beside)
    speed.notes = {"orders": f"{count:,}", "seconds": f"{elapsed_s:.1f}"}
    speed.targets = [] if least is None else [at_least(speed.ratio, least)]
    bench.report.speeds.append(speed)


async def settle_memory(bench: Bench, name: str, what: str, *, through: Through) -> None:  # noqa: ARG001 - each quantity says its own
    """Memory while orders are sold and settled for a long time: every minute, and how it grows in the second half."""
    testbed, seconds = bench.testbed, bench.extent.seconds
    await bench.serve(ALONE)
    keys = await _keys(bench, spread=True)
    await testbed.put_aside()
    orders_before, delivered_before = await testbed.orders(), await _delivered(testbed)
    every_s = 60.0 if seconds >= _LONG_S else seconds / 10
    taken: list[tuple[float, float]] = []
    settled = 0
    bench.say(f"settling for {seconds} s")
    async for elapsed_s, settled, mib in in_process.settle_for(
        testbed, keys, seconds=seconds, per_second=_SETTLED_A_SECOND, through=through, every_s=every_s
    ):
        taken.append((elapsed_s, mib))
        bench.say(f"after {elapsed_s:,.0f} of {seconds:,} s: {settled:,} settled, {mib:.1f} MiB resident")
    bench.say("checking the books")
    sold = await testbed.orders() - orders_before
    if (delivered := await _delivered(testbed) - delivered_before) != sold:
        raise BooksWrong(f"{sold} orders were sold and {delivered} are delivered in the database.")
    await testbed.check(orders_before=orders_before, sold=sold)
    later = [(at_s / 3600, mib) for at_s, mib in taken if at_s >= seconds / 2]
    growth = memory.slope(later)
    resident = Quantity(part=name, what="resident at the end", value=taken[-1][1], unit="MiB")
    resident.notes = {
        "orders": f"{sold:,}",
        "seconds": f"{seconds:,}",
        "MiB each time": " ".join(f"{mib:.1f}" for _, mib in taken),
    }
    grown = Quantity(part=name, what="growth in the second half", value=growth, unit="MiB an hour")
    # In a short run caches still fill.
    grown.targets = [below(f"< {_GROWTH_MIB} MiB an hour", growth, _GROWTH_MIB)] if seconds >= _LONG_S else []
    bench.report.quantities += [resident, grown]


async def weigh(bench: Bench, name: str, what: str, *, workers: int) -> None:  # noqa: ARG001 - each process says its own
    """Memory of every process after 256 connections have bought for a while."""
    testbed, extent = bench.testbed, bench.extent
    bench.say("starting telvend serve")
    await testbed.serve("--workers", str(workers))
    keys = await _keys(bench, spread=True)
    orders_before = await testbed.orders()
    bench.say(f"buying for {extent.seconds} s")
    load = await drive(
        testbed.port,
        connections=256,
        next_request=purchases(keys, testbed.numbers),
        seconds=extent.seconds,
        warm_up_s=extent.warm_up_s,
    )
    taken = memory.of_server(testbed.pid)
    await testbed.put_aside()
    bench.say("checking the books")
    await testbed.check(orders_before=orders_before, sold=load.succeeded)
    ours = [process for process in taken if not process.is_postgres]
    for number, process in enumerate(ours):
        role = "telvend serve" if number == 0 else f"its worker {number}"
        quantity = Quantity(part=name, what=f"{role}, resident", value=process.resident_mib, unit="MiB")
        quantity.targets = [
            below(f"< {_LARGEST_PROCESS_MIB} MB", process.resident_mib * 1.048576, _LARGEST_PROCESS_MIB)
        ]
        if process.proportional_mib is not None:
            quantity.notes["proportional (PSS)"] = f"{process.proportional_mib:.1f} MiB"
        bench.report.quantities.append(quantity)
    theirs = [process.proportional_mib for process in taken if process.is_postgres]
    known = [mib for mib in theirs if mib is not None]
    if len(known) == len(theirs):
        bench.report.quantities.append(
            Quantity(part=name, what=f"PostgreSQL, {len(known)} processes, PSS", value=sum(known), unit="MiB")
        )


async def start(bench: Bench, name: str, what: str) -> None:  # noqa: ARG001 - each quantity says its own
    """From the command until /healthz is 200: on nothing at all, and on a data directory that is there."""
    await bench.testbed.close()
    cold, warm = [], []
    for number in range(bench.extent.starts):
        with tempfile.TemporaryDirectory(prefix="telvend-bench-start-") as folder:
            testbed = Testbed(Path(folder))
            try:
                bench.say(f"starting on a fresh data directory ({number + 1} of {bench.extent.starts})")
                cold.append(await testbed.start())
                await testbed.close()
                bench.say(f"starting again ({number + 1} of {bench.extent.starts})")
                warm.append(await testbed.start())
            finally:
                await testbed.close()
    for how, seconds in (("cold: nothing is there", cold), ("warm: a data directory is there", warm)):
        quantity = Quantity(part=name, what=how, value=statistics.median(seconds), unit="s")
        quantity.notes["all"] = " ".join(f"{one:.2f}" for one in seconds)
        bench.report.quantities.append(quantity)


def _has_wrk(bench: Bench, name: str) -> bool:
    if not wrk.installed():
        bench.say(f"{name} is left out: wrk is not on this system")
        return False
    return True


async def _keys(bench: Bench, *, spread: bool) -> list[str]:
    bench.say("furnishing the shop")
    return await (bench.testbed.spread() if spread else bench.testbed.hot())


async def _delivered(testbed: Testbed) -> int:
    return int(await testbed.value("select count(*) from orders where state = 'delivered'"))


async def _orders_to_read(testbed: Testbed, keys: Sequence[str]) -> list[tuple[str, str]]:
    """Paths of order statuses, half of them by our reference and half by the caller's, with the key that may see them."""
    orders_before = await testbed.orders()
    await in_process.place_so_many(testbed, keys, _REFERENCES_READ)
    await testbed.check(orders_before=orders_before, sold=_REFERENCES_READ)
    await testbed.put_aside()  # Nobody delivers them while they are read.
    rows = await testbed.rows(
        "select reference, client_reference from orders where reseller_id in"
        " (select id from reseller where email like 'spread-%') order by id desc limit $1",
        _REFERENCES_READ,
    )
    return [
        (
            f"/api/v1/order-status/{theirs if number % 2 else ours}",
            # `purchases` and `place` give number N to the key N modulo their count.
            keys[int(theirs.removeprefix("bench-")) % len(keys)],
        )
        for number, (ours, theirs) in enumerate(rows)
    ]


def _buying(*, alone: bool) -> list[Part]:
    beside = "API alone" if alone else "with fulfilment"
    return [
        Part(
            f"{'spread' if spread else 'hot'}-{connections}{'-alone' if alone else ''}",
            f"purchases over HTTP, {'1,000 wallets' if spread else 'one hot wallet'},"
            f" {connections} connection{'s' if connections > 1 else ''}, {beside}",
            partial(buy, spread=spread, connections=connections, alone=alone),
        )
        for spread in (False, True)
        for connections in (1, 64, 256)
    ]


PARTS: Final = (
    Part(
        "placed-and-delivered",
        "purchases over HTTP, one hot wallet, 256 connections, and all of them delivered by our own network",
        partial(place_and_deliver, instant=False, least=1.2),
    ),
    Part(
        "placed-and-delivered-instant",
        "the same, delivered by an instant provider",
        partial(place_and_deliver, instant=True, least=1.5),
    ),
    *_buying(alone=False),
    *(
        Part(
            f"{word}-{connections}",
            f"{text} over HTTP, 1,000 wallets, {connections} connections",
            partial(read, connections=connections, statuses=statuses),
        )
        for word, text, statuses in (("balance", "balance reads", False), ("status", "order-status reads", True))
        for connections in (64, 256)
    ),
    *_buying(alone=True),
    *(
        Part(
            f"{word}-256{'-alone' if alone else ''}-wrk",
            f"purchases by wrk, {text}, 256 connections, {'API alone' if alone else 'with fulfilment'}",
            partial(buy, spread=word == "spread", connections=256, alone=alone, by_wrk=times),
        )
        for word, text, alone, times in (
            ("hot", "one hot wallet", True, 2.5),
            ("spread", "1,000 wallets", True, 2.0),
            ("hot", "one hot wallet", False, 1.0),
        )
    ),
    Part(
        "balance-256-wrk",
        "balance reads by wrk, 1,000 wallets, 256 connections",
        partial(read, connections=256, statuses=False, by_wrk=4.5),
    ),
    Part(
        "status-256-wrk",
        "order-status reads by wrk, 1,000 wallets, 256 connections",
        partial(read, connections=256, statuses=True, by_wrk=3.5),
    ),
    Part("lane-hot", "purchases without HTTP, one hot wallet, 256 at once", partial(lane, spread=False)),
    Part("lane-spread", "purchases without HTTP, 1,000 wallets, 256 at once", partial(lane, spread=True)),
    Part("list", "a list sold by `telvend order place --csv`, one wallet, its result included", place_list),
    *(
        Part(name, f"orders settled by {through.value}, no sales beside", partial(settle, through=through, least=least))
        for name, through, least in (
            ("settle", Through.INSTANT, 0.7),
            ("settle-http", Through.HTTP, 0.4),
            ("deliver", Through.OWN_NETWORK, None),
        )
    ),
    Part(
        "settle-http-memory",
        f"memory over --seconds of orders settled by {Through.HTTP.value}, {_SETTLED_A_SECOND} a second",
        partial(settle_memory, through=Through.HTTP),
    ),
    Part("plans-1", "plan reads over HTTP, of the only subscriber there is", partial(network.plans, subscribers=1)),
    Part(
        "plans-million",
        "plan reads over HTTP, of a million subscribers in turn",
        partial(network.plans, subscribers=network.MANY),
    ),
    Part("refills-one", "voucherless refills over HTTP, one subscriber", partial(network.refills, subscribers=1)),
    Part(
        "refills-spread",
        "voucherless refills over HTTP, a thousand subscribers, twenty partners",
        partial(network.refills, subscribers=network.SPREAD),
    ),
    Part("vouchers-million", "a million vouchers issued into a CSV file", network.issue),
    Part("backup", "a backup of a shop with a million orders while it sells, and its restore", backup),
    Part("console", "pages of the console beside a million orders and ten thousand resellers", console),
    Part("portal", "pages of the portal for a reseller with 400,000 of them", portal),
    Part("webhooks", "sales with an endpoint, 500 events a second, and a dead endpoint beside", webhooks),
    Part("memory-1", "memory of one process after load", partial(weigh, workers=1)),
    Part("memory-2", "memory of two workers after load", partial(weigh, workers=2)),
    Part("commands", "what commands compute until they are done, beside `import asyncpg`", commands),
    Part("start", "until /healthz is 200", start),
)
