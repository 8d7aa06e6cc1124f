"""An HTTP server by hand, as little of one as the bench needs: a web framework would compete with the shop for the machine."""

import asyncio
import re
from abc import abstractmethod
from collections.abc import Callable
from typing import Final, cast

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class Responder(asyncio.Protocol):
    """One connection: splits what arrives into requests and writes what `respond` returns for each body."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""

    @abstractmethod
    def respond(self, body: bytes) -> bytes:
        """Return the whole response to one request; empty for none."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's class does not inherit from it.

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received, 0, end + 2)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            body, self._received = self._received[end + 4 : whole], self._received[whole:]
            response = self.respond(body)
            if response:
                assert self._transport is not None
                self._transport.write(response)


async def listen(factory: Callable[[], Responder]) -> tuple[asyncio.Server, int]:
    """Listen on a free port of 127.0.0.1; return the server and its port."""
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]
