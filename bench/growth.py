"""Measure a shop beside millions of orders: what it sells compared with an empty one, its pages, its audit, its reports, its disk.

    make bench ARGS=--growth                                ten million orders
    make bench ARGS="--growth --growth-orders 1000000"      fewer

Two shops, one after the other, each in a data directory of its own: the empty one sells from the same thousand wallets as the full
one. `filling.py` makes the orders.
"""

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import quote

import httpx

from bench import tpcb
from bench.filling import Filled, fill
from bench.load import drive, purchases
from bench.report import Quantity, Target
from bench.session import Bench
from bench.testbed import BooksWrong, Testbed
from telvend.kit.money import GHS
from telvend.orders.search.store import FIRST_BUCKET, SEGMENT_BITS
from telvend.wallets.model import Filter, TransactionStatus

ORDERS: Final = 10_000_000
CONNECTIONS: Final = 256
_ALONE: Final = "--no-fulfilment"
_TIMES: Final = 7
_PAGE_LIMIT: Final = 50
_LEAST: Final = {"hot": 0.95, "spread": 0.9}
_PAGE_MS, _SEARCH_MS, _AUDIT_S, _REPORT_S, _BYTES = 20.0, 50.0, 10.0, 1.0, 700.0

# Write packed entries of delivered orders, as `orders/search/store.py` does later. $1 to $2: the order numbers of segment $3.
_PACK: Final = """
    with keys as (
        select search_key('number', subscriber) as key, id from orders where id >= $1 and id < $2
        union all
        select search_key('reference', client_reference), id from orders where id >= $1 and id < $2 and client_reference is not null
        union all
        select search_key('reference', provider_reference), order_id from attempt
        where order_id >= $1 and order_id < $2 and provider_reference is not null
    )
    insert into order_search_packed (bucket, segment, entries)
    select search_bucket(key), $3, string_agg(search_entry(key, id), '') from keys group by 1
    on conflict (bucket, segment) do update set entries = excluded.entries
"""

OF_NETWORK: Final = frozenset({"subscriber", "bucket", "bucket_posting", "network_delivery"})
"""The tables of our own network. What it delivers writes into them too; what an upstream delivers does not."""

_INDEXED: Final = "select placed_until > now() - interval '10 minutes' from order_search_progress"
_SIZES: Final = """
    select t.relname as of, c.relname as name, pg_relation_size(c.oid) as bytes
    from pg_class t join pg_class c on c.oid = t.oid or c.oid = t.reltoastrelid
        or c.oid in (select indexrelid from pg_index where indrelid = t.oid)
    where t.relkind = 'r' and t.relnamespace = current_schema()::regnamespace and t.relname not like 'pgbench%'
"""


async def growth(bench: Bench, name: str, what: str, *, orders: int) -> None:  # noqa: ARG001 - each quantity has its own text
    """See the head of this file."""
    async with _shop(bench) as empty:
        await empty.spread()
        before = await _sales(bench, empty, "the empty shop")
    async with _shop(bench) as testbed:
        bytes_before = await _sizes(testbed)
        filled = await fill(testbed, orders=orders, say=bench.say)
        await _index(testbed, bench.say)
        bytes_after = await _sizes(testbed)
        _disk(bench, name, filled, bytes_before, bytes_after)
        bench.say("auditing everything")
        took_s = await _audit(testbed)
        bench.report.quantities.append(
            Quantity(part=name, what=f"a full audit beside {orders:,} orders", value=took_s, unit="s")
        )
        after = await _sales(bench, testbed, f"the shop of {orders:,} orders")
        for kind, least in _LEAST.items():
            share = after[kind][0] / before[kind][0]
            _quantity(
                bench, name, f"{kind}: purchases, of those of the empty shop", share, "×", f"≥ {least}", met=share >= least,
                notes={
                    "empty": f"{before[kind][1]:,.0f}/s, {before[kind][0]:.2f} × TPC-B",
                    "full": f"{after[kind][1]:,.0f}/s, {after[kind][0]:.2f} × TPC-B",
                },
            )  # fmt: skip
        bench.say("the daily audit")
        took_s = await _audit(testbed)
        _quantity(bench, name, "an audit after these sales", took_s, "s", f"≤ {_AUDIT_S:g} s", met=took_s <= _AUDIT_S)
        await _pages(bench, name, testbed, filled)
        await _reports(bench, name, testbed)


@asynccontextmanager
async def _shop(bench: Bench) -> AsyncIterator[Testbed]:
    """A shop of its own, served without deliveries, with the tables of pgbench."""
    with TemporaryDirectory(prefix="growth-", dir=bench.testbed.data_dir.parent) as folder:
        testbed = Testbed(Path(folder))
        bench.say("starting telvend serve")
        await testbed.serve("--workers", str(bench.extent.workers), _ALONE)
        await tpcb.prepare(testbed.url)
        try:
            yield testbed
        finally:
            await testbed.close()


# Sales ---------------------------------------------------------------------------------------------------------------------


async def _sales(bench: Bench, testbed: Testbed, where: str) -> dict[str, tuple[float, float]]:
    """Purchases from one wallet and from a thousand: their rate in TPC-B of the same minute, and in a second."""
    keys, extent = await testbed.spread(), bench.extent
    found = {}
    # The first second after a start is slower; it is not counted.
    await tpcb.transactions_per_second(testbed.url, 1)
    for kind in _LEAST:
        bench.say(f"pgbench, {extent.tpcb_seconds} s")
        beside = await tpcb.transactions_per_second(testbed.url, extent.tpcb_seconds)
        bench.say(f"buying in {where} for {extent.seconds} s, {kind}")
        orders_before = await testbed.orders()
        load = await drive(
            testbed.port,
            connections=CONNECTIONS,
            next_request=purchases(keys[:1] if kind == "hot" else keys, testbed.numbers),
            seconds=extent.seconds,
            warm_up_s=extent.warm_up_s,
        )
        if (sold := await testbed.orders() - orders_before) != load.succeeded:
            raise BooksWrong(f"{load.succeeded} purchases were acknowledged and {sold} orders are in the database.")
        await testbed.put_aside()
        bench.say(f"pgbench, {extent.tpcb_seconds} s")
        beside = (beside + await tpcb.transactions_per_second(testbed.url, extent.tpcb_seconds)) / 2
        found[kind] = load.per_second / beside, load.per_second
    return found


async def _audit(testbed: Testbed) -> float:
    """Seconds that `telvend ledger check` takes. Raises BooksWrong where it finds something."""
    began = time.monotonic()
    report = await testbed.command("ledger", "check")
    if not report.get("ok"):
        raise BooksWrong(f"telvend ledger check: {report}")
    return time.monotonic() - began


# Pages and reports -----------------------------------------------------------------------------------------------------------


async def _index(testbed: Testbed, say: Callable[[str], None]) -> None:
    """Leave the search index as its periodic task does in a shop that grows: old keys packed, the others in the plain table."""
    newest = await testbed.value("select max(id) >> $1 from orders", SEGMENT_BITS)
    async with testbed.connection() as connection:
        for segment in range(newest - 1):
            say(f"packing the keys of old orders, {segment + 1} of {newest - 1} segments")
            await connection.execute(_PACK, segment << SEGMENT_BITS, (segment + 1) << SEGMENT_BITS, segment)
        # From there on by the task itself.
        await connection.execute(
            "update order_search_progress set step_s = 60, segment = $1, bucket = $2, placed_until = coalesce("
            "(select min(created_at) from (select created_at from orders where id >= $3 order by id limit 1000) o), placed_until)",
            max(0, newest - 1), FIRST_BUCKET, max(0, newest - 1) << SEGMENT_BITS,
        )  # fmt: skip
    say("indexing the others")
    async with testbed.shop() as shop:
        while await shop.order_search.work() or not await testbed.value(_INDEXED):
            pass
    async with testbed.connection() as connection:
        await connection.execute("vacuum (analyze) order_search")


async def _pages(bench: Bench, name: str, testbed: Testbed, filled: Filled) -> None:
    """Parts of the largest wallet's list, and orders by number and by a reference, each the median of seven."""
    times: dict[str, float] = {}
    async with testbed.shop() as shop:
        transactions = shop.services.transactions
        middle = datetime.now(UTC) - timedelta(days=14)
        wanted = {
            "first": (Filter(), 0),
            "in the middle": (Filter(), filled.orders // 20),
            "failed": (Filter(status=TransactionStatus.FAILED), 0),
            "of a day": (Filter(start=middle, end=middle + timedelta(days=1)), 0),
        }
        for page, (chosen, offset) in wanted.items():
            bench.say(f"the wallet's page, {page}")
            times[page] = await _median_ms(
                lambda chosen=chosen, offset=offset: transactions.page(  # type: ignore[misc]
                    filled.largest, GHS, chosen, limit=_PAGE_LIMIT, offset=offset
                )
            )
        searches = {
            "by number": await _median_ms(lambda: _found(shop.order_search.of_number(f"+233{filled.number[1:]}"))),
            "by reference of the upstream": await _median_ms(lambda: _found(shop.order_search.named(filled.reference))),
        }
    slowest = max(times.values())
    _quantity(
        bench, name, "a page of the largest wallet, the slowest", slowest, "ms", f"≤ {_PAGE_MS:g} ms", met=slowest <= _PAGE_MS,
        notes={page: f"{ms:.1f} ms" for page, ms in times.items()},
    )  # fmt: skip
    async with _console_open(testbed) as send:
        searches["the page of the console"] = await _median_ms(lambda: send(f"/console/orders?search={filled.number}"))
    slowest = max(searches.values())
    _quantity(
        bench, name, "finding orders, the slowest", slowest, "ms", f"≤ {_SEARCH_MS:g} ms", met=slowest <= _SEARCH_MS,
        notes={search: f"{ms:.1f} ms" for search, ms in searches.items()},
    )  # fmt: skip


@asynccontextmanager
async def _console_open(testbed: Testbed) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Sign a new owner in; yields what reads a page of the console over HTTP, by its path. It raises RuntimeError."""
    link = (await testbed.command("console", "link"))["url"]
    async with httpx.AsyncClient(base_url=f"http://localhost:{testbed.port}", timeout=60) as client:
        cookies: dict[str, str] = {}

        async def send(method: str, path: str, **named: object) -> httpx.Response:
            # The cookies are for TLS or a browser on this machine, which httpx does not know as such.
            header = "; ".join(f"{name}={value}" for name, value in cookies.items())
            answer = await client.request(method, path, headers={"cookie": header}, **named)  # type: ignore[arg-type]
            for text in answer.headers.get_list("set-cookie"):
                cookies.update({one.key: one.value for one in SimpleCookie(text).values()})
            return answer

        async def read(path: str) -> str:
            answer = await send("GET", quote(path, safe="/?=&@"))
            if answer.status_code not in (200, 303):
                raise RuntimeError(f"{path}: {answer.status_code}")
            return answer.text

        path = httpx.URL(link).path
        csrf = (await read(path)).split('name="csrf" value="')[1].split('"')[0]
        answer = await send(
            "POST", path, data={"csrf": csrf, "email": "owner@bench.example", "password": "correct horse battery"}
        )
        if answer.status_code != 303:
            raise RuntimeError(f"the console does not open: {answer.status_code}")
        yield read


async def _found(searching: Awaitable[Sequence[Any]]) -> None:
    if not await searching:
        raise BooksWrong("an order that was filled in is not found.")


async def _median_ms(ask: Callable[[], Awaitable[Any]]) -> float:
    """The median of several; the first one is left out."""
    taken = []
    for _ in range(_TIMES + 1):
        began = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken[1:])


async def _reports(bench: Bench, name: str, testbed: Testbed) -> None:
    """Each report of one day, as a command; what a command takes that reads next to nothing is in it, and noted."""
    began = time.monotonic()
    await testbed.command("report", "months")
    nothing_s = time.monotonic() - began
    day = f"{datetime.now(UTC) - timedelta(days=7):%Y-%m-%d}"
    times = {}
    for report in ("sales", "margin", "outcomes", "floats", "wallets"):
        bench.say(f"telvend report {report}")
        began = time.monotonic()
        await testbed.command("report", report, "--from", day, "--to", day)
        times[report] = time.monotonic() - began
    slowest = max(times.values())
    _quantity(
        bench, name, "`telvend report` of a day, the slowest", slowest, "s", f"≤ {_REPORT_S:g} s", met=slowest <= _REPORT_S,
        notes={report: f"{seconds:.2f} s" for report, seconds in times.items()} | {"a short command": f"{nothing_s:.2f} s"},
    )  # fmt: skip


# Disk ------------------------------------------------------------------------------------------------------------------------


async def _sizes(testbed: Testbed) -> dict[tuple[str, str], int]:
    """The bytes of every table and of every index, by table and name."""
    return {(row["of"], row["name"]): row["bytes"] for row in await testbed.rows(_SIZES)}


def _disk(
    bench: Bench, name: str, filled: Filled, before: dict[tuple[str, str], int], after: dict[tuple[str, str], int]
) -> None:
    grown = sorted(
        ((bytes_ - before.get(key, 0), key) for key, bytes_ in after.items() if bytes_ > before.get(key, 0)),
        reverse=True,
    )
    for is_network, count, text, bytes_ in (
        (False, filled.orders, "disk for each order, indexes included", _BYTES),
        (True, filled.own_network, "disk in the book of our own network for each order that it delivered", None),
    ):
        shown = [(size / count, key) for size, key in grown if (key[0] in OF_NETWORK) is is_network]
        total = sum(size for size, _ in shown)
        quantity = Quantity(part=name, what=text, value=total, unit="bytes")
        quantity.notes = {key[1]: f"{size:.1f}" for size, key in shown if size >= 0.1}
        if bytes_ is not None:
            quantity.targets = [Target(f"≤ {bytes_:g} bytes", total <= bytes_)]
        bench.report.quantities.append(quantity)
    bench.report.quantities.append(
        Quantity(part=name, what=f"filling in {filled.orders:,} orders", value=filled.seconds, unit="s")
    )


def _quantity(
    bench: Bench,
    name: str,
    what: str,
    value: float,
    unit: str,
    target: str,
    *,
    met: bool,
    notes: dict[str, str] | None = None,
) -> None:
    bench.report.quantities.append(
        Quantity(part=name, what=what, value=value, unit=unit, targets=[Target(target, met)], notes=notes or {})
    )
