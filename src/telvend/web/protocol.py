"""uvicorn's HTTP protocol with three habits of ours: an answer leaves in one piece, a client that has stopped sending still
gets its answer, and what is not HTTP gets JSON too.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

# MADAPI's document has an answer with this status, which is none of HTTP's; uvicorn can only say what is in its table.
STATUS_LINE.setdefault(999, b"HTTP/1.1 999 Unknown Error\r\n")

_BODY = b'{"error":"This is not a valid HTTP request."}'
_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: "
    + str(len(_BODY)).encode()
    + b"\r\nconnection: close\r\n\r\n"
    + _BODY
)


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, _Joining(transport)))

    def on_response_complete(self) -> None:
        cast(_Joining, self.transport).flush()
        super().on_response_complete()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio's protocols may answer
        """The client sends no more. What it has sent whole is still answered; True keeps the way back open for that."""
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words are not for clients
        self.transport.write(_ANSWER)
        self.transport.close()


class _Joining:
    """A transport that keeps the head of an answer back until its body comes, so that both leave with one system call.

    uvicorn writes them apart; the second call would be a fifth of what a purchase costs the server.
    """

    __slots__ = ("_head", "_transport", "_write")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._write = transport.write
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
            return
        self._write(data)

    def flush(self) -> None:
        """Send a head that has no body."""
        if self._head:
            head, self._head = self._head, b""
            self._write(head)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
