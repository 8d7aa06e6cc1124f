"""Measure the pages of the console beside a million orders and ten thousand resellers."""

import statistics
import time
from http.cookies import SimpleCookie
from typing import Final
from urllib.parse import quote

import httpx

from bench.report import Quantity, Target
from bench.session import Bench
from bench.testbed import Testbed

ORDERS: Final = 1_000_000
RESELLERS: Final = 10_000
_FIRST: Final = 10_000_000_000
"""The numbers of the orders that are made up, far from those that are sold."""
_DAYS: Final = 28
_TIMES: Final = 7
_LONGEST_MS: Final = 50.0
_INDEXED_WITHIN_S: Final = 900
_EMAIL, _PASSWORD = "owner@bench.example", "correct horse battery"

PAGES: Final = (
    "/console", "/console/orders", "/console/orders?state=open", "/console/orders?reseller=hot-0@bench.example",
    "/console/orders?search=024 000 7919", f"/console/orders?search=SIM{ORDERS // 2}", f"/console/search?q=C-{ORDERS // 2}",
    "/console/search?q=bench-r5000@bench.example", "/console/review", "/console/approvals", "/console/resellers",
    "/console/resellers?search=reseller 99", "/console/resellers/1", "/console/catalogue", "/console/providers", "/console/funding",
    "/console/vouchers", "/console/subscribers", "/console/books", "/console/reconciliations", "/console/audit-log",
    "/console/emails", "/console/staff", "/console/settings",
)  # fmt: skip

_FILL: Final = """
    insert into orders ({columns}) select {values}
    from (select * from orders order by id limit 1) o, generate_series(1, $1::integer) g
"""
_ATTEMPTS: Final = """
    insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at, provider_reference)
    select $2::bigint + g, 1, 'simulator', 'BENCH-' || ($2::bigint + g) || '-abcdef-1', 'delivered', 390, now(), 'SIM' || g
    from generate_series(1, $1::integer) g
"""
_MADE_UP: Final = {
    "id": f"{_FIRST} + g",
    "reference": f"'BENCH-' || ({_FIRST} + g) || '-abcdef'",
    "client_reference": "'C-' || g",
    "state": "'delivered'",
    "due_at": "null",
    "attempts": "1",
    "subscriber": "'+23324' || lpad((g::bigint * 7919 % 10000000)::text, 7, '0')",
    "position": "1000000 + g",
    "created_at": f"now() - make_interval(secs => ({ORDERS} - g) * {_DAYS * 86400 / ORDERS})",
    "updated_at": f"now() - make_interval(secs => ({ORDERS} - g) * {_DAYS * 86400 / ORDERS})",
}


async def console(bench: Bench, name: str, what: str) -> None:  # noqa: ARG001 - the quantity has its own text
    """The time of each page, the first one after the fill left out; what is made up is removed again."""
    testbed = bench.testbed
    await bench.serve()
    bench.say("furnishing the shop")
    keys = await testbed.hot()
    await _buy_one(testbed, keys[0])
    bench.say(f"making {ORDERS:,} orders and {RESELLERS:,} resellers up")
    await _fill(testbed)
    try:
        bench.say("waiting for the search index")
        until = time.monotonic() + _INDEXED_WITHIN_S
        while not await testbed.value("select placed_until > now() - interval '2 minutes' from order_search_progress"):
            if time.monotonic() > until:
                raise TimeoutError("the search index of orders never caught up")
            time.sleep(1)  # noqa: ASYNC251 - nothing else is to run
        times = await _times(bench)
    finally:
        bench.say("removing what was made up")
        await _empty(testbed)
    slowest = max(times.values())
    bench.report.quantities.append(
        Quantity(
            part=name,
            what=f"{name}: slowest page, median of {_TIMES}, {ORDERS:,} orders, {RESELLERS:,} resellers",
            value=slowest,
            unit="ms",
            targets=[Target(f"< {_LONGEST_MS:g} ms", slowest < _LONGEST_MS)],
            notes={path: f"{ms:.1f} ms" for path, ms in times.items()},
        )
    )


async def _buy_one(testbed: Testbed, key: str) -> None:
    """The order that the others are made like."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{testbed.port}") as client:
        form = {"network": "MTN", "phoneNumber": "0241234567", "capacity": "1GB"}
        (await client.post("/api/v1/purchase", json=form, headers={"x-api-key": key})).raise_for_status()


async def _fill(testbed: Testbed) -> None:
    found = await testbed.rows(
        "select column_name from information_schema.columns where table_name = 'orders' and is_generated = 'NEVER'"
    )
    columns = [row[0] for row in found]
    values = ", ".join(_MADE_UP.get(column, f"o.{column}") for column in columns)
    async with testbed.connection() as connection:
        await connection.execute(_FILL.format(columns=", ".join(columns), values=values), ORDERS)
        await connection.execute(_ATTEMPTS, ORDERS, _FIRST)
        await connection.execute(
            "insert into reseller (id, email, name, phone) select gen_random_uuid(), 'bench-r' || g || '@bench.example',"
            " 'Reseller ' || g, '+23320' || lpad(g::text, 7, '0') from generate_series(1, $1::integer) g",
            RESELLERS,
        )
        # Indexed anew, from the first one on.
        await connection.execute("update order_search_progress set placed_until = null")
        for table in ("orders", "attempt", "reseller"):
            await connection.execute(f"vacuum analyze {table}")


async def _empty(testbed: Testbed) -> None:
    async with testbed.connection() as connection:
        await connection.execute("delete from orders where id > $1", _FIRST)
        await connection.execute("delete from attempt where order_id > $1", _FIRST)
        await connection.execute("delete from order_search where order_id > $1", _FIRST)
        await connection.execute("delete from reseller where email like 'bench-r%'")
        for table in ("orders", "attempt", "order_search", "reseller"):
            await connection.execute(f"vacuum analyze {table}")


async def _times(bench: Bench) -> dict[str, float]:
    """The median of each page in milliseconds, over HTTP, one after the other."""
    link = (await bench.testbed.command("console", "link"))["url"]
    async with httpx.AsyncClient(base_url=f"http://localhost:{bench.testbed.port}", timeout=60) as client:
        cookies: dict[str, str] = {}

        async def send(method: str, path: str, **named: object) -> httpx.Response:
            # The cookies are for TLS or a browser on this machine, which httpx does not know as such.
            header = "; ".join(f"{name}={value}" for name, value in cookies.items())
            answer = await client.request(method, path, headers={"cookie": header}, **named)  # type: ignore[arg-type]
            for text in answer.headers.get_list("set-cookie"):
                cookies.update({one.key: one.value for one in SimpleCookie(text).values()})
            return answer

        path = httpx.URL(link).path
        page = (await send("GET", path)).text
        csrf = page.split('name="csrf" value="')[1].split('"')[0]
        answer = await send("POST", path, data={"csrf": csrf, "email": _EMAIL, "password": _PASSWORD})
        if answer.status_code != 303:
            raise RuntimeError(f"the console does not open: {answer.status_code}")
        times: dict[str, float] = {}
        for path in PAGES:
            bench.say(path)
            taken = []
            for _ in range(_TIMES + 1):
                started = time.perf_counter()
                answer = await send("GET", quote(path, safe="/?=&@"))
                taken.append((time.perf_counter() - started) * 1000)
                if answer.status_code not in (200, 303):
                    raise RuntimeError(f"{path}: {answer.status_code}")
            times[path] = statistics.median(taken[1:])
        return times
