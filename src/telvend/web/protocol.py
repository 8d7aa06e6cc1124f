"""uvicorn's HTTP protocol with some habits of ours: an answer leaves in one piece, a client that has stopped sending still
gets its answer, what is not HTTP gets JSON too, and a method that nobody has heard of is answered like any wrong one.
"""

import asyncio
import re
import sys
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

# MADAPI's document has an answer with this status, which is none of HTTP's; uvicorn can only say what is in its table.
STATUS_LINE.setdefault(999, b"HTTP/1.1 999 Unknown Error\r\n")

_BODY = b'{"error":"This is not a valid HTTP request."}'
_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: "
    + str(len(_BODY)).encode()
    + b"\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
    + _BODY
)

_MADE_UP_METHOD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) /[^\s]* HTTP/1\.[01]\r\n")
_UNSERVED_METHOD = b"REPORT"
"""One that the parser knows and nobody serves."""

_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client."""

    _received = b""
    _made_up_method = b""

    def data_received(self, data: bytes) -> None:
        self._received = data
        super().data_received(data)
        self._received = b""

    def on_headers_complete(self) -> None:
        absolute = _ABSOLUTE.match(self.url)
        if absolute is not None:
            self._compare_host(absolute[1])
        super().on_headers_complete()
        if self._made_up_method:
            self.scope["method"] = self._made_up_method.decode()
            self._made_up_method = b""

    def _compare_host(self, authority: bytes) -> None:
        """A target that names another server than Host counts as a second Host, which is refused."""
        hosts = [value.strip(b" \t").lower() for name, value in self.headers if name == b"host"]
        if hosts[:1] != [authority.lower()] and (hosts or self.parser.get_http_version() == "1.0"):
            self.headers.append((b"host", authority))

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
        if isinstance(sys.exception(), httptools.HttpParserInvalidMethodError) and self._take_made_up_method():
            return
        self.transport.write(_ANSWER)
        self.transport.close()

    def _take_made_up_method(self) -> bool:
        """Read a request whose method the parser does not know as if it were another's, to have it answered with 405.

        Only where the request begins with what was just received; any other one gets 400.
        """
        line = _MADE_UP_METHOD.match(self._received)
        if line is None:
            return False
        self._made_up_method = line[1]
        self.parser = httptools.HttpRequestParser(self)
        try:
            self.parser.feed_data(_UNSERVED_METHOD + self._received[line.end(1) :])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return True


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
