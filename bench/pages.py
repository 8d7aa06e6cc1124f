"""Measure the pages of the console and of the portal in the large shop of `furnishing.py`."""

import math
import statistics
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx

from bench import memory
from bench.furnishing import DAYS, FIRST_ORDER, HOT, ORDERS, RESELLERS, furnished
from bench.report import Quantity, Target
from bench.session import Bench
from bench.testbed import Testbed

_SESAME: Final = "correct horse battery"
_OWNER: Final = "owner@bench.example"
_TIMES: Final = 7
_LONGEST_MS: Final = 50.0
_PATIENCE_MS: Final = 10_000.0
_MIDDLE: Final = f"BENCH-{FIRST_ORDER + ORDERS // 2}-abcdef"
_FAILED: Final = f"BENCH-{FIRST_ORDER + 25001}-abcdef"


def _day(back: int) -> str:
    return (datetime.now(UTC) - timedelta(days=back)).date().isoformat()


def console_pages() -> Iterable[str]:
    """The console's pages, each way of filtering orders and each report among them."""
    yield from (
        "/console", "/console/orders", "/console/orders?state=open", "/console/orders?state=review",
        "/console/orders?state=failed", f"/console/orders?reseller={HOT}", "/console/orders?reseller=bench-r77@bench.example",
        "/console/orders?reseller=bench-r77@bench.example&state=failed", "/console/orders?network=AT", "/console/orders?network=GLO",
        "/console/orders?mode=test", f"/console/orders?from={_day(9)}&to={_day(9)}", f"/console/orders?to={_day(20)}",
        f"/console/orders?from={_day(9)}&to={_day(9)}&state=failed",
        "/console/orders?search=024 000 7919", f"/console/orders?search=SIM{ORDERS // 2}", f"/console/orders/{_MIDDLE}",
        f"/console/search?q=C-{ORDERS // 2}", f"/console/search?q={_MIDDLE}", "/console/search?q=bench-r5000@bench.example",
        "/console/review", "/console/approvals", "/console/resellers", "/console/resellers?search=reseller 99",
        "/console/resellers?search=nobody", "/console/resellers?state=suspended", "/console/resellers/1", "/console/catalogue",
        "/console/providers", "/console/funding", "/console/vouchers", "/console/subscribers", "/console/books",
        "/console/reconciliations", "/console/audit-log", "/console/emails", "/console/staff", "/console/settings",
        "/console/reports", f"/console/reports?from={_day(9)}&to={_day(9)}", f"/console/reports?from={_day(DAYS)}",
    )  # fmt: skip
    for kind, by in (
        ("margin", "reseller"), ("margin", "network"), ("margin", "provider"), ("margin", "product"), ("sales", "reseller"),
        ("outcomes", "network"), ("outcomes", "reseller"), ("floats", "provider"), ("floats", "day"), ("wallets", "reseller"),
        ("wallets", "day"),
    ):  # fmt: skip
        yield f"/console/reports?kind={kind}&by={by}&from={_day(9)}&to={_day(3)}"
        if by == "reseller":
            yield f"/console/reports?kind={kind}&by={by}&from={_day(9)}&to={_day(3)}&page=2"


def portal_pages(bulk_code: str) -> Iterable[str]:
    """The portal's pages as the reseller with most of the orders sees them, each filter of transactions among them."""
    yield from (
        "/",
        "/status",
        "/docs",
        "/docs/netpluse",
        "/home",
        "/topup",
        "/buy",
        "/numbers",
        "/bulk",
        "/bulk/codes",
    )
    yield f"/bulk/{bulk_code}"
    yield "/transactions"
    for asked in (
        "type=data", "type=airtime", "type=topup", "type=identity", "type=refund", "type=credit", "status=pending",
        "status=completed", "status=failed", "type=data&status=failed", f"from={_day(9)}&to={_day(9)}",
        f"type=airtime&from={_day(9)}&to={_day(9)}", f"status=failed&to={_day(20)}", "search=024 000 7919", "search=024 999 9999",
        f"search={_MIDDLE}", f"search=C-{ORDERS // 2}",
    ):  # fmt: skip
        yield f"/transactions?{asked}"
    yield from (f"/transactions/{_MIDDLE}", f"/transactions/{_FAILED}", f"/receipt/{_MIDDLE}")
    yield from ("/identity", "/keys", "/webhooks", "/account", "/test")


async def console(bench: Bench, name: str, what: str) -> None:  # noqa: ARG001 - the quantity has its own text
    """The time of each page of the console."""
    testbed = await furnished(bench)
    async with Visitor(testbed) as visitor:
        await visitor.open((await testbed.command("console", "link"))["url"], _OWNER)
        _report(bench, name, await _times(visitor, console_pages(), bench.say))


async def portal(bench: Bench, name: str, what: str) -> None:  # noqa: ARG001 - the quantity has its own text
    """The time of each page of the portal."""
    testbed = await furnished(bench)
    async with Visitor(testbed) as visitor:
        await visitor.enter_portal()
        _report(bench, name, await _times(visitor, portal_pages(await bulk_code(testbed)), bench.say))


async def bulk_code(testbed: Testbed) -> str:
    """The list of 5,000 lines that was made up."""
    return str(await testbed.value("select code from bulk_list order by id limit 1"))


class Visitor:
    """Somebody with a browser's cookies, and the processes of the server that serves them."""

    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        self._client = httpx.AsyncClient(base_url=f"http://localhost:{testbed.port}", timeout=60)
        self.cookies: dict[str, str] = {}

    async def __aenter__(self) -> "Visitor":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def send(self, method: str, path: str, **named: object) -> httpx.Response:
        # The cookies are for TLS or a browser on this machine, which httpx does not know as such.
        header = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"cookie": header, "accept": "text/html"}
        answer = await self._client.request(method, quote(path, safe="/?=&@%"), headers=headers, **named)  # type: ignore[arg-type]
        for text in answer.headers.get_list("set-cookie"):
            self.cookies.update({one.key: one.value for one in SimpleCookie(text).values()})
        return answer

    async def enter_portal(self) -> None:
        """Sign in as a person of the hot reseller; by invitation the first time."""
        if await self._testbed.value("select exists (select from person where email = $1)", HOT):
            await self._fill_in("/signin", {"email": HOT, "password": _SESAME})
        else:
            await self.open((await self._testbed.command("user", "invite", HOT))["url"], HOT)

    async def open(self, link: str, email: str) -> None:
        """Open a link that is valid once, and choose a password."""
        await self._fill_in(httpx.URL(link).path, {"email": email, "password": _SESAME})

    async def _fill_in(self, path: str, fields: dict[str, str]) -> None:
        page = (await self.send("GET", path)).text
        csrf = page.split('name="csrf" value="')[1].split('"')[0]
        answer = await self.send("POST", path, data={"csrf": csrf, **fields})
        if answer.status_code != 303:
            raise RuntimeError(f"{path} does not let anybody in: {answer.status_code}")

    def computed_s(self) -> float:
        """What the processes of the server have computed so far. Source: proc(5), schedstat."""
        total = 0
        for process in memory.of_server(self._testbed.pid):
            for task in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
                total += int(task.read_text().split()[0])
        return total / 1e9


async def _times(visitor: Visitor, pages: Iterable[str], say: Callable[[str], None]) -> dict[str, tuple[float, float]]:
    """Of each page the median of the answer's time and what the server computed for one, in milliseconds; one after the other."""
    times: dict[str, tuple[float, float]] = {}
    for path in pages:
        say(path)
        taken: list[float] = []
        computed = visitor.computed_s()
        # The first time is left out: it compiles the template, and reads from the disk what others find in memory.
        while len(taken) < _TIMES + 1 and sum(taken) < _PATIENCE_MS:
            if len(taken) == 1:
                computed = visitor.computed_s()
            started = time.perf_counter()
            answer = await visitor.send("GET", path)
            taken.append((time.perf_counter() - started) * 1000)
            if answer.status_code not in (200, 303):
                # It gave up, or does not exist: however fast that was.
                taken = [math.inf]
                break
        counted = taken[1:] or taken
        times[path] = statistics.median(counted), (visitor.computed_s() - computed) * 1000 / len(counted)
    return times


def _report(bench: Bench, name: str, times: dict[str, tuple[float, float]]) -> None:
    slowest = max(ms for ms, _ in times.values())
    bench.report.quantities.append(
        Quantity(
            part=name,
            what=f"{name}: slowest page, median of {_TIMES}, {ORDERS:,} orders, {RESELLERS:,} resellers",
            value=slowest,
            unit="ms",
            targets=[Target(f"< {_LONGEST_MS:g} ms", slowest < _LONGEST_MS)],
            notes={path: f"{ms:.1f} ms ({computed:.1f} ms computed)" for path, (ms, computed) in times.items()},
        )
    )
