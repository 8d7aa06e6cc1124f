"""One request and its answer on a connection, by ASGI or at once (kit/exchange.py).

uvicorn's own class with what is needed for nearly no request left out until it is: an event to wait for a body, a callback to
forget the task, a check of headers that we have written ourselves.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from telvend.kit.exchange import EXCHANGE

_logger: Final = logging.getLogger("uvicorn.error")

_WITHOUT_BODY: Final = frozenset((204, 304))


class HttpExchange(RequestResponseCycle):
    """See the head of this file. `write` sends bytes on the connection, `on_response` is called when all are sent."""

    def __init__(
        self,
        scope: dict[str, Any],
        transport: asyncio.Transport,
        write: Callable[[bytes], None],
        flow: FlowControl,
        default_headers: list[tuple[bytes, bytes]],
        on_response: Callable[[], None],
        *,
        expect_100_continue: bool,
        keep_alive: bool,
    ) -> None:
        # In place of uvicorn's, which wants an event for each request.
        self.scope = cast(Any, scope)
        self.transport = transport
        self.flow = flow
        self.default_headers = default_headers
        self.on_response = on_response
        self.message_event = cast(asyncio.Event, _Signal())
        self.logger = self.access_logger = _logger
        self.access_log = False
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expect_100_continue
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding: bool | None = None
        self.expected_content_length = 0
        self._write = write
        scope[EXCHANGE] = self

    def start(self, loop: asyncio.AbstractEventLoop, app: Any, tasks: "set[asyncio.Task[None]]") -> None:
        """Answer the request in a task of its own, which is one of `tasks` while it runs."""
        self._tasks = tasks
        self._task = loop.create_task(self.run_asgi(app))
        tasks.add(self._task)

    async def run_asgi(self, app: Any) -> None:
        """Call the application. What it leaves open, by an exception too, is closed."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException:
            _logger.exception("Exception in ASGI application\n")
            if self.response_started:
                self.transport.close()
            else:
                await self.send_500_response()
        else:
            if not self.response_complete and not self.disconnected:
                _logger.error("ASGI callable returned without completing response.")
                if self.response_started:
                    self.transport.close()
                else:
                    await self.send_500_response()
        finally:
            self._tasks.discard(self._task)
            # What refers to itself would wait for the collector.
            self.on_response = _nothing
            self.scope.pop(EXCHANGE, None)  # type: ignore[typeddict-item]
            del self._task

    def whole_body(self) -> bytes | None:
        """See kit/exchange.py."""
        if self.more_body or self.disconnected or self.waiting_for_100_continue:
            return None
        body = bytes(self.body)
        self.body = bytearray()
        return body

    def answer(self, status: int, headers: bytes, body: bytes) -> bool:
        """See kit/exchange.py."""
        if self.response_started or self.flow.write_paused or status in _WITHOUT_BODY:
            return False
        self.response_started = self.response_complete = True
        if self.disconnected:
            return True
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        if self.scope["method"] == "HEAD":
            body = b""
        self._write(b"".join((STATUS_LINE[status], _lines(self.default_headers), headers, end, body)))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


def _nothing() -> None:
    """What is called when nobody waits for the end of an answer any more."""


class _Signal:
    """An event that costs next to nothing until somebody waits for it."""

    __slots__ = ("_event", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._event: asyncio.Event | None = None

    def set(self) -> None:
        self._is_set = True
        if self._event is not None:
            self._event.set()

    def clear(self) -> None:
        self._is_set = False
        if self._event is not None:
            self._event.clear()

    def is_set(self) -> bool:
        return self._is_set

    async def wait(self) -> bool:
        if self._is_set:
            return True
        if self._event is None:
            self._event = asyncio.Event()
        return await self._event.wait()


_latest: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")


def _lines(headers: list[tuple[bytes, bytes]]) -> bytes:
    """The headers that uvicorn adds to every answer, which are another list once a second."""
    global _latest
    if _latest[0] is not headers:
        _latest = headers, b"".join(b"%b: %b\r\n" % header for header in headers)
    return _latest[1]
