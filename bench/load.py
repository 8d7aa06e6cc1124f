"""The load generator: one process, one asyncio.Protocol per connection, prebuilt bytes out, as little as possible read back.

It shares the cores with what it measures, so whatever it spends is missing there. It therefore knows just enough HTTP to
see where an answer ends: the status and the content-length. What a request cost it is in `Load.generator_us`.

    load = await drive(port, connections=256, next_request=purchases(keys, numbers), seconds=10, warm_up_s=1.5)
"""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, cast

import msgspec

ANSWERS_WITHIN_S: Final = 15.0
"""How long the last answers may take once nothing more is sent."""

_NUMBERS: Final = 10_000_000
"""How many mobile numbers begin with 024."""


class Load(msgspec.Struct, kw_only=True):
    """What one run came to. Rate and latencies are of the measured seconds; `succeeded` and `errors` of the warm-up too.

    `errors` counts by what went wrong: a status, or a connection that was lost. Latencies are exact, not estimated.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    longest_ms: float
    succeeded: int
    errors: dict[str, int]
    generator_us: float | None = None
    """CPU that the load generator itself spent, for each request, the kernel's part for it included."""


def summary(
    latencies_s: list[float], elapsed_s: float, succeeded: int, errors: Counter[str], cpu_s: float | None = None
) -> Load:
    """A `Load` from what was counted."""
    ordered = sorted(latencies_s)
    count = len(ordered)
    if not count:
        errors["nothing succeeded"] += 1
    return Load(
        per_second=count / elapsed_s,
        p50_ms=percentile(ordered, 50) * 1000,
        p99_ms=percentile(ordered, 99) * 1000,
        longest_ms=(ordered[-1] if ordered else 0.0) * 1000,
        succeeded=succeeded,
        errors=dict(errors),
        generator_us=None if cpu_s is None or not count else cpu_s / count * 1e6,
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` of the sorted values do not exceed (nearest rank); 0 where there are none."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0.0


def subscriber_of(number: int) -> str:
    """A mobile number of Ghana, another one for each purchase of a run: our own network makes each a subscriber."""
    return f"024{number % _NUMBERS:07d}"


def reference_of(number: int) -> str:
    """The caller's own reference of purchase `number`; unique within one data directory."""
    return f"bench-{number:010d}"


def purchases(keys: Sequence[str], numbers: Iterator[int]) -> Callable[[], bytes]:
    """Requests that buy 1 GB, each for another number, under another reference, with the next one of `keys`."""
    body_bytes = len(_purchase_body(0))
    heads = [
        f"POST /api/v1/purchase HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n"
        f"content-length: {body_bytes}\r\n\r\n".encode()
        for key in keys
    ]
    count = len(heads)

    def next_request() -> bytes:
        number = next(numbers)
        return heads[number % count] + _purchase_body(number)

    return next_request


def _purchase_body(number: int) -> bytes:
    return b'{"network":"MTN","phoneNumber":"024%07d","capacity":"1GB","reference":"bench-%010d"}' % (
        number % _NUMBERS,
        number,
    )


def reads(paths_and_keys: Sequence[tuple[str, str]]) -> Callable[[], bytes]:
    """GET requests that go through `paths_and_keys` round and round."""
    requests = [
        f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {key}\r\n\r\n".encode() for path, key in paths_and_keys
    ]
    position = 0

    def next_request() -> bytes:
        nonlocal position
        position = position + 1 if position + 1 < len(requests) else 0
        return requests[position]

    return next_request


async def drive(
    port: int, *, connections: int, next_request: Callable[[], bytes], seconds: float, warm_up_s: float
) -> Load:
    """Keep every connection busy with one request after the other, for `warm_up_s` and then `seconds`.

    Ends when everything that was sent has been answered, so that what succeeded can be counted in the database.
    """
    run = _Run(next_request)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(run), "127.0.0.1", port)
    if len(run.open) != connections:
        raise ConnectionError(f"Only {len(run.open)} of {connections} connections were made.")
    # A collection would stand still for milliseconds, and there is no garbage in cycles here.
    gc.collect()
    gc.disable()
    try:
        for connection in list(run.open):
            connection.send()
        await asyncio.sleep(warm_up_s)
        begun, cpu = time.perf_counter(), time.process_time()
        run.counting = True
        await asyncio.sleep(seconds)
        run.counting = False
        elapsed_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
        run.sending = False
        run.stop_if_idle()
        with suppress(TimeoutError):
            await asyncio.wait_for(run.stopped.wait(), ANSWERS_WITHIN_S)
        run.errors["no answer"] += run.waiting
    finally:
        gc.enable()
        run.close()
    return summary(run.latencies_s, elapsed_s, run.succeeded, +run.errors, cpu_s)


class _Run:
    """What the connections of one run share."""

    def __init__(self, next_request: Callable[[], bytes]) -> None:
        self.next_request = next_request
        self.open: set[_Connection] = set()
        self.waiting = 0
        self.stopped = asyncio.Event()
        self.sending = True
        self.counting = False
        self.latencies_s: list[float] = []
        self.succeeded = 0
        self.errors: Counter[str] = Counter()

    def stop_if_idle(self) -> None:
        if not self.sending and not self.waiting:
            self.stopped.set()

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self.open):
            connection.close()


class _Connection(asyncio.Protocol):
    """One keep-alive connection: the next request leaves when the last one has been answered."""

    __slots__ = ("_partial", "_run", "_started", "_waiting", "_write", "close")

    close: Callable[[], None]
    _write: Callable[[bytes], None]

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._partial = b""
        self._started = 0.0
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is one without being derived from it.
        connection = cast(asyncio.WriteTransport, transport)
        self._write = connection.write
        self.close = connection.abort
        self._run.open.add(self)

    def send(self) -> None:
        self._waiting = True
        self._run.waiting += 1
        self._started = time.perf_counter()
        self._write(self._run.next_request())

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if self._partial:
            data = self._partial + data
        end = data.find(b"\r\n\r\n")
        at = data.find(b"\r\ncontent-length: ", 0, end)
        # An answer without a length would leave us waiting; ours all have one.
        if end < 0 or len(data) < end + 4 + int(data[at + 18 : data.find(b"\r", at + 18)]):
            self._partial = data
            return
        self._partial = b""
        run = self._run
        if data[9:12] == b"200":
            run.succeeded += 1
            if run.counting:
                run.latencies_s.append(now - self._started)
        else:
            run.errors[data[9:12].decode("ascii", "replace")] += 1
        if run.sending:
            self._started = now
            self._write(run.next_request())
        else:
            self._stop()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - why does not matter here
        self._run.open.discard(self)
        if self._waiting:
            self._run.errors["connection lost"] += 1
            self._stop()

    def _stop(self) -> None:
        self._waiting = False
        self._run.waiting -= 1
        self._run.stop_if_idle()
