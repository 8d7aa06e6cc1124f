"""Measure webhooks: sales with and without an endpoint, and the delay of the first attempt, also beside a dead endpoint."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from bench.http_server import Responder, listen
from bench.load import drive, purchases
from bench.report import Quantity, Target
from bench.session import Bench
from bench.testbed import Testbed
from telvend.webhooks.model import EventType

CONNECTIONS: Final = 256
EVENTS_PER_S: Final = 500
WAITING: Final = 10_000
_LONGEST_P99_S: Final = 1.0
_LEAST_OF_SALES: Final = 0.9
_TIMES_SLOWER: Final = 1.5
_PACED_CONNECTIONS: Final = 32
_DRAINED_WITHIN_S: Final = 120

_ANSWER: Final = b"HTTP/1.1 204 No Content\r\n\r\n"


class _Receiver(Responder):
    """Accepts each message at once; a `dead` one never responds."""

    def __init__(self, *, dead: bool) -> None:
        super().__init__()
        self._dead = dead

    def respond(self, body: bytes) -> bytes:  # noqa: ARG002 - every message is accepted
        return b"" if self._dead else _ANSWER


@asynccontextmanager
async def _receiving(*, dead: bool = False) -> AsyncIterator[str]:
    server, port = await listen(lambda: _Receiver(dead=dead))
    try:
        yield f"http://127.0.0.1:{port}/hooks"
    finally:
        server.close()


async def webhooks(bench: Bench, name: str, what: str) -> None:  # noqa: ARG001 - each quantity has its own text
    """Sales at full speed with and without an endpoint; then a steady stream, alone and beside a dead endpoint."""
    testbed = bench.testbed
    await bench.serve()
    bench.say("furnishing the shop")
    hot = await testbed.hot()
    await testbed.spread()  # The first of these resellers gets the dead endpoint.
    without = await _sales(bench, hot)
    async with _receiving() as url:
        endpoint = await _add(testbed, "hot-0@bench.example", url)
        with_it = await _sales(bench, hot)
        events = await testbed.value("select count(*) from webhook_event")
        sent = await testbed.value("select count(*) from webhook_attempt")
        await testbed.command("webhook", "remove", str(endpoint))
        # Tables grow meanwhile: half of the comparison is from before, half from after.
        without = (without + await _sales(bench, hot)) / 2
        endpoint = await _add(testbed, "hot-0@bench.example", url)
        part = with_it / without
        _quantity(
            bench, f"{name}: sales with an endpoint, of those without", part, "×",
            Target(f"≥ {_LEAST_OF_SALES}", part >= _LEAST_OF_SALES),
            {
                "without": f"{without:,.0f}/s",
                "with": f"{with_it:,.0f}/s",
                "events meanwhile": f"{events:,}",
                "of them sent": f"{sent:,}",
            },
        )  # fmt: skip
        await _drained(bench)
        alone = await _first_send_p99_s(bench, hot)
        _quantity(
            bench, f"{name}: p99 from commit to first send at {EVENTS_PER_S} events/s", alone, "s",
            Target(f"< {_LONGEST_P99_S:g} s", alone < _LONGEST_P99_S), {},
        )  # fmt: skip
        async with _receiving(dead=True) as dead_url:
            dead = await _add(testbed, "spread-0@bench.example", dead_url)
            await _let_wait(testbed, dead)
            beside = await _first_send_p99_s(bench, hot)
            _quantity(
                bench, f"{name}: the same while {WAITING:,} wait for a dead endpoint", beside, "s",
                Target(f"≤ {_TIMES_SLOWER} × alone, or < 0.2 s", beside <= max(0.2, _TIMES_SLOWER * alone)), {},
            )  # fmt: skip
            await testbed.command("webhook", "remove", str(dead))
        await testbed.command("webhook", "remove", str(endpoint))


def _quantity(bench: Bench, text: str, value: float, unit: str, target: Target, notes: dict[str, str]) -> None:
    bench.report.quantities.append(
        Quantity(part=text, what=text, value=value, unit=unit, targets=[target], notes=notes)
    )


async def _sales(bench: Bench, keys: Sequence[str]) -> float:
    """Return purchases a second on 256 connections, with deliveries running."""
    extent = bench.extent
    bench.say(f"buying for {extent.seconds} s")
    load = await drive(
        bench.testbed.port,
        connections=CONNECTIONS,
        next_request=purchases(keys, bench.testbed.numbers),
        seconds=extent.seconds,
        warm_up_s=extent.warm_up_s,
    )
    await bench.testbed.put_aside()
    return load.per_second


async def _add(testbed: Testbed, email: str, url: str) -> int:
    return int((await testbed.command("webhook", "add", email, url))["id"])


async def _drained(bench: Bench) -> None:
    """Wait until no delivery is due."""
    bench.say("sending what is left")
    for _ in range(_DRAINED_WITHIN_S * 2):
        if not await bench.testbed.value("select exists (select from webhook_delivery where due_at <= now())"):
            return
        await asyncio.sleep(0.5)


async def _first_send_p99_s(bench: Bench, keys: Sequence[str]) -> float:
    """Buy at a steady pace; the p99 of the time from an event's transaction to its first attempt."""
    testbed, seconds = bench.testbed, bench.extent.seconds
    bench.say(f"buying {EVENTS_PER_S} a second for {seconds} s")
    newest = int(await testbed.value("select coalesce(max(id), 0) from webhook_event"))
    next_request = purchases(keys, testbed.numbers)
    begun = time.perf_counter()
    every_s = _PACED_CONNECTIONS / EVENTS_PER_S

    async def buy(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", testbed.port)
        at = begun + number * every_s / _PACED_CONNECTIONS
        while at < begun + seconds:
            await asyncio.sleep(at - time.perf_counter())
            writer.write(next_request())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
            at += every_s
        writer.close()

    await asyncio.gather(*(buy(number) for number in range(_PACED_CONNECTIONS)))
    await asyncio.sleep(2)
    return float(
        await testbed.value(
            "select percentile_disc(0.99) within group (order by extract(epoch from"
            " coalesce(a.started_at, now()) - e.created_at)) from webhook_event e"
            " left join webhook_attempt a on a.event_id = e.id and a.number = 1"
            f" where e.id > $1 and e.type = '{EventType.ORDER_COMPLETED}'",
            newest,
        )
    )


async def _let_wait(testbed: Testbed, endpoint: int) -> None:
    """Insert `WAITING` due messages for an endpoint."""
    reseller: UUID = await testbed.value("select reseller_id from webhook_endpoint where id = $1", endpoint)
    await testbed.rows(
        "with event as (insert into webhook_event (message, reseller_id, type, body)"
        " select 'msg_dead_' || n, $1, 'order.failed', '{}' from generate_series(1, $2) n returning id)"
        " insert into webhook_delivery (endpoint_id, event_id, due_at) select $3, id, now() from event returning 1",
        reseller, WAITING, endpoint,
    )  # fmt: skip
