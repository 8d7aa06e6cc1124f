"""Sends messages: HTTP/1.1 over connections whose address is chosen here.

    client = WebhookClient(allow_private=False)
    reply = await client.post(destination, headers, body)     # a Reply, whatever the endpoint does

| what an endpoint does | what follows |
|---|---|
| it answers | the status counts, as soon as the answer is whole or long enough; redirects are not followed |
| it sends 2xx and then no end of a body | taken: the status was sent within the time |
| it sends nothing, drips, resets, or no HTTP | no answer |
| its name leads to a private address | not connected to, whatever the name led to before |

The name is resolved once for each connection, and the connection goes to the address that was looked at. A library for HTTP would
resolve it again. Proxies of the environment are not used, for the same reason.
"""

import asyncio
import contextlib
import errno
import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final, cast

import httptools

from telvend import __version__
from telvend.webhooks.destination import Address, Destination, refusal
from telvend.webhooks.model import ANSWER_KEPT_BYTES, TIMEOUT_S, Reply, parse_retry_after

HEAD_LIMIT_BYTES: Final = 32 * 1024
"""So much of an answer may come before its headers have ended."""

BODY_LIMIT_BYTES: Final = 64 * 1024
"""So much of a body is read; then the connection is closed and the status counts."""

_IDLE_S: Final = 15.0
_MOST_IDLE: Final = 64
_ADDRESSES_TRIED: Final = 4
_RESOLVING_THREADS: Final = 32
_SWITCHING: Final = 101


_OURS: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL))


class NotAttempted(Exception):
    """This machine has no file, port or memory left for a connection: nothing of the endpoint's."""


class NoReply(Exception):
    """An attempt ended without an answer; the message says why in a few words."""


class WebhookClient:
    """Connections to endpoints. `tls` is what certificates are verified with; `resolver` finds addresses of names."""

    def __init__(
        self,
        *,
        allow_private: bool,
        timeout_s: float = TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
        resolver: "Resolver | None" = None,
    ) -> None:
        self._allow_private = allow_private
        self._timeout_s = timeout_s
        self._tls = tls
        self._resolver = resolver or Resolver()
        self._idle: dict[tuple[bool, str, int], list[_Connection]] = {}

    async def post(self, to: Destination, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send a message once. Raises NotAttempted and CancelledError, nothing else."""
        began = time.monotonic()
        status: int | None = None
        text, error = b"", ""
        retry_after_s: float | None = None
        request = _request(to, headers, body)
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = self._idle_one(to)
                if connection is not None and not await connection.exchange(request):
                    connection = None  # It was closed while it was idle; nothing was answered on it.
                if connection is None:
                    connection = await self._connect(to)
                    if not await connection.exchange(request):
                        raise NoReply("closed the connection without an answer")
            status, text = connection.status, bytes(connection.body)
        except TimeoutError:
            if connection is not None and connection.status is not None:
                status, text = connection.status, bytes(connection.body)
            else:
                error = f"no answer within {self._timeout_s:g} s"
        except NoReply as none:
            error = str(none)
        except (OSError, UnicodeError) as failed:
            if isinstance(failed, OSError) and failed.errno in _OURS:
                raise NotAttempted(failed.strerror) from failed
            error = _sentence(failed)
        finally:
            if connection is not None:
                if status is not None and connection.retry_after:
                    retry_after_s = parse_retry_after(connection.retry_after, datetime.now(UTC))
                self._put_back(to, connection)
        duration_ms = round((time.monotonic() - began) * 1000)
        return Reply(status, error, _printable(text), duration_ms, retry_after_s)

    async def close(self) -> None:
        """Close every connection."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()
        self._resolver.close()

    def close_idle(self) -> None:
        """Close the connections that have been idle for long."""
        now = time.monotonic()
        for key, connections in list(self._idle.items()):
            kept = []
            for connection in connections:
                if connection.usable and now - connection.idle_since < _IDLE_S:
                    kept.append(connection)
                else:
                    connection.close()
            if kept:
                self._idle[key] = kept
            else:
                del self._idle[key]

    def _idle_one(self, to: Destination) -> "_Connection | None":
        connections = self._idle.get((to.tls, to.host, to.port), [])
        while connections:
            connection = connections.pop()
            if connection.usable and time.monotonic() - connection.idle_since < _IDLE_S:
                return connection
            connection.close()
        return None

    def _put_back(self, to: Destination, connection: "_Connection") -> None:
        connections = self._idle.setdefault((to.tls, to.host, to.port), [])
        if connection.reusable and len(connections) < _MOST_IDLE:
            connection.idle_since = time.monotonic()
            connections.append(connection)
        else:
            connection.close()

    async def _connect(self, to: Destination) -> "_Connection":
        """Connect to the first allowed address that answers. Raises NoReply, OSError."""
        addresses = await self._resolver.addresses(to.host)
        refused = [refusal(address, allow_private=self._allow_private) for address in addresses]
        allowed = [address for address, why in zip(addresses, refused, strict=True) if why is None]
        if not allowed:
            raise NoReply(next(filter(None, refused), f"{to.host} has no address"))
        if to.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        latest: OSError | None = None
        for address in allowed[:_ADDRESSES_TRIED]:
            try:
                # The address, not the name; the name is what the certificate must be for.
                _, connection = await asyncio.get_running_loop().create_connection(
                    _Connection,
                    str(address),
                    to.port,
                    ssl=self._tls if to.tls else None,
                    server_hostname=to.host if to.tls else None,
                )
            except ssl.SSLCertVerificationError:
                raise
            except OSError as error:
                latest = error
                continue
            return connection
        raise latest or NoReply("no connection")


class Resolver:
    """The system's resolver in its own thread pool, so that slow names delay only other names."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._asking: dict[str, asyncio.Future[list[str]]] = {}

    def _answered(self, host: str, done: "asyncio.Future[list[str]]") -> None:
        self._asking.pop(host, None)
        if not done.cancelled():
            done.exception()  # Marks it as retrieved: every caller may have been cancelled.

    async def addresses(self, host: str) -> list[Address]:
        """The addresses of a name, in the order in which they are to be tried. Raises NoReply."""
        with contextlib.suppress(ValueError):
            return [ipaddress.ip_address(host)]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_RESOLVING_THREADS, "webhook names")
        asking = self._asking.get(host)
        if asking is None:
            # Callers for the same name share one thread. The shield keeps the lookup running when one of them is cancelled.
            asking = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host)
            self._asking[host] = asking
            asking.add_done_callback(lambda done: self._answered(host, done))
        try:
            found = await asyncio.shield(asking)
        except (OSError, UnicodeError):
            raise NoReply(f"{host} is not known to any name server") from None
        return list(dict.fromkeys(ipaddress.ip_address(address.partition("%")[0]) for address in found))

    def close(self) -> None:
        """Let the threads end."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str) -> list[str]:
    return [str(address[0]) for *_, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class _Connection(asyncio.Protocol):
    """One connection, one exchange at a time. `status` and `body` are those of the last one, as far as they have come."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.body = bytearray()
        self.retry_after = ""
        self.idle_since = 0.0
        self.reusable = False
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._done: asyncio.Future[bool] | None = None
        self._head_bytes = 0
        self._body_bytes = 0
        self._in_body = False
        self._exchanges = 0

    @property
    def usable(self) -> bool:
        """Whether the connection is open, as far as that is known."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> bool:
        """Send a request and wait for the answer. False where the connection was closed before anything of one came.

        That may be an idle connection's time-out; the request is then sent again on a new one.

        Raises NoReply.
        """
        self.status, self.body, self.retry_after = None, bytearray(), ""
        self._head_bytes = self._body_bytes = 0
        self._in_body = self.reusable = False
        self._parser = httptools.HttpResponseParser(self)
        if self._transport is None or self._transport.is_closing():
            return False
        self._done = asyncio.get_running_loop().create_future()
        self._exchanges += 1
        self._transport.write(request)
        try:
            return await self._done
        finally:
            self._done = None

    def close(self) -> None:
        """Drop the connection; what was not sent yet is not sent."""
        if self._transport is not None:
            self._transport.abort()

    def _end(self, *, answered: bool, why: str = "") -> None:
        if self._done is not None and not self._done.done():
            if why:
                self._done.set_exception(NoReply(why))
            else:
                self._done.set_result(answered)

    # asyncio's ---------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance.

    def data_received(self, data: bytes) -> None:
        if self._done is None or self._done.done() or self._parser is None:
            # Data without a request: the connection cannot be used any more.
            self.close()
            return
        if not self._in_body:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end(answered=False, why=f"answered {_SWITCHING}: another protocol")
        except (httptools.HttpParserError, ValueError):
            if self.status is not None and self._in_body:
                self._end(answered=True)  # The status was sent, and then a body that is none.
            else:
                self._end(answered=False, why="sent something that is not HTTP")
        if not self._in_body and self._head_bytes > HEAD_LIMIT_BYTES:
            self._end(answered=False, why="sent headers that do not end")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self.status is not None and self._in_body:
            self._end(answered=True)
        elif self._head_bytes or (error is not None and self._exchanges == 1):
            self._end(answered=False, why=_sentence(error) if error else "closed the connection within its answer")
        else:
            self._end(answered=False)

    # The parser's ------------------------------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        # Of the headers alone: what follows a body in chunks is no header of the answer.
        if not self._in_body and name.lower() == b"retry-after":
            self.retry_after = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code() if self._parser is not None else 0
        if status >= 200:
            self.status, self._in_body = status, True
        else:
            self.retry_after = ""  # Of an answer that was not the last.

    def on_body(self, part: bytes) -> None:
        self._body_bytes += len(part)
        if len(self.body) < ANSWER_KEPT_BYTES:
            self.body += part[: ANSWER_KEPT_BYTES - len(self.body)]
        if self._body_bytes > BODY_LIMIT_BYTES:
            self._end(answered=True)

    def on_message_complete(self) -> None:
        if self.status is not None and self._parser is not None:
            self.reusable = self._parser.should_keep_alive() and self._body_bytes <= BODY_LIMIT_BYTES
            self._end(answered=True)


def _request(to: Destination, headers: Mapping[str, str], body: bytes) -> bytes:
    head = (
        f"POST {to.target} HTTP/1.1\r\nhost: {to.authority}\r\nuser-agent: Telvend/{__version__}\r\n"
        "content-type: application/json\r\naccept: */*\r\naccept-encoding: identity\r\n"
        f"content-length: {len(body)}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    )
    return head.encode("ascii") + body


def _printable(text: bytes) -> str:
    """The beginning of an answer as a database and a terminal take it."""
    shown = text.decode("utf-8", "replace")
    return "".join(one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in shown)


def _sentence(error: Exception) -> str:
    """Why there was no answer, without the library's own words where they are long."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or type(error).__name__}"
    if isinstance(error, ConnectionRefusedError):
        return "refused the connection"
    if isinstance(error, ConnectionResetError):
        return "reset the connection"
    if isinstance(error, OSError) and error.strerror:
        return f"no connection: {error.strerror}"[:200]
    return f"no connection: {type(error).__name__}"
