"""uvicorn's HTTP protocol with habits of ours: an answer leaves in one piece, a client that has stopped sending still gets
its answer, what is not HTTP gets JSON too, a method that nobody has heard of is answered like any wrong one, and no client
takes more memory or time than `connections.Limits` says.

How a connection is bounded:

    headers, trailers   their bytes are counted while they come in, before the parser has gathered them
    pipelined requests  beyond the limit what was received is kept unread, and the socket is not read from
    time                each change of what the connection waits for sets a deadline; one sweep ends the late ones

Nothing here makes a timer, and a request that is small and alone, as nearly all are, costs two comparisons.
"""

import asyncio
import re
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from telvend.kit.networks import is_loopback, parse_address
from telvend.web.connections import Connections, WaitingFor
from telvend.web.exchange import HttpExchange
from telvend.web.forwarded import warn_if_unread

# MADAPI's document has an answer with this status, which is none of HTTP's; uvicorn can only say what is in its table.
STATUS_LINE.setdefault(999, b"HTTP/1.1 999 Unknown Error\r\n")

MOST_URL_BYTES: Final = 8 * 1024

PROXY_KEEPALIVE_S: Final = 75.0
"""So much longer a trusted proxy may be idle. nginx closes after 60 seconds and Caddy after 120: where they close first, no
request meets a connection that is just being closed."""


def _refusal(status: bytes, sentence: bytes, headers: bytes = b"") -> bytes:
    body = b'{"error":"%s"}' % sentence
    return (
        b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%scache-control: no-store\r\n"
        b"x-content-type-options: nosniff\r\nconnection: close\r\n\r\n%s"
    ) % (status, len(body), headers, body)


_NOT_HTTP: Final = _refusal(b"400 Bad Request", b"This is not a valid HTTP request.")
_TOO_SLOW: Final = _refusal(b"408 Request Timeout", b"The request took too long to arrive.")
_LONG_URL: Final = _refusal(b"414 URI Too Long", b"The address is too long.")
_LONG_HEADERS: Final = _refusal(b"431 Request Header Fields Too Large", b"The headers are too large.")
_FULL: Final = _refusal(b"503 Service Unavailable", b"There are too many connections.", b"retry-after: 1\r\n")

_MADE_UP_METHOD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) /[^\s]* HTTP/1\.[01]\r\n")
_UNSERVED_METHOD: Final = b"REPORT"
"""One that the parser knows and nobody serves."""

_SERVED_METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))

_ABSOLUTE: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")

_END_OF_HEADERS: Final = b"\r\n\r\n"
_SHORTEST_REQUEST: Final = len(b"GET / HTTP/1.1\r\n\r\n")
_PIECE_BYTES: Final = 4096
_NEVER: Final = float("inf")

# A member of an enumeration costs more to look up than to compare.
_FIRST_BYTE: Final = WaitingFor.FIRST_BYTE
_NEXT_REQUEST: Final = WaitingFor.NEXT_REQUEST
_HEADERS: Final = WaitingFor.HEADERS
_BODY: Final = WaitingFor.BODY
_ANSWER: Final = WaitingFor.ANSWER
_CLOSE: Final = WaitingFor.CLOSE

# After a refusal what the client goes on sending is read and dropped for a moment: a socket that is closed with bytes unread
# resets the connection, and the client might never see why.
_LINGER_S: Final = 2.0
_LINGER_BYTES: Final = 1024 * 1024


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(self, *given: Any, connections: Connections | None = None, **named: Any) -> None:
        super().__init__(*given, **named)
        self._all = Connections() if connections is None else connections
        limits = self._all.limits
        self._most_waiting = limits.pipelined_requests
        self._small_bytes = min(_PIECE_BYTES, _SHORTEST_REQUEST * limits.pipelined_requests)
        self.counted_as = ""
        self.headers = []
        self.waits_for = _FIRST_BYTE
        self.waits_since = self._all.now
        self.deadline = self._all.now + self._all.header_s
        self.send_deadline = _NEVER
        self._keepalive_s = self._all.keepalive_s
        self._through_proxy = False
        self._forwarded_unread = False
        # What was received of the request that is being read and is not body, and how much of that its headers were.
        self._overhead_bytes = 0
        self._head_bytes = 0
        # How much was received and read of requests that wait behind the one in hand.
        self._queued_bytes = 0
        self._in_hand: RequestResponseCycle | None = None
        self._body_follows = False
        # Received and not yet given to the parser, from `_at` on.
        self._backlog = b""
        self._at = 0
        self._no_more_comes = False
        self._pipelines = False
        self._made_up_method = b""
        # How the connection is to end, once what was asked before is answered.
        self._verdict = b""
        self._refusing = b""
        self._dropping = False
        self._dropped_bytes = 0

    # From the transport ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._send = transport.write
        super().connection_made(cast(asyncio.Transport, _Joining(transport, self)))
        self.flow = _Flow(self)
        if self.client is not None:
            address = parse_address(self.client[0])
            if address is not None:
                self.client = (str(address), self.client[1])
            self._through_proxy = self.client[0] in self._all.proxies
            if self._through_proxy:
                self._keepalive_s += PROXY_KEEPALIVE_S
            self._forwarded_unread = not self._through_proxy and is_loopback(self.client[0])
        if self._all.apps_by_port and self.server is not None:
            self.app = self._all.apps_by_port.get(self.server[1] or 0, self.app)
        if not self._all.admit(self):
            self._dropping = True
            self.transport.write(_FULL)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.left(self)
        self._forget_waiting()
        # uvicorn notifies the request that was read last only; where some waited, that is not the one in hand.
        for cycle in (self._in_hand, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.body = bytearray()
                cycle.message_event.set()
        # Whatever is large goes now: the rest of a connection refers to itself, and waits for the collector.
        self.headers = []
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._dropping:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > _LINGER_BYTES:
                self.flow.pause_reading()
            return
        if self._backlog:
            self._set_backlog(self._backlog[self._at :] + data)
            self._check_kept()
        elif (len(data) <= self._small_bytes and not self.pipeline) or (
            len(data) <= _PIECE_BYTES and data.count(_END_OF_HEADERS) < self._most_waiting - len(self.pipeline)
        ):
            self._feed(data)
        else:
            self._set_backlog(data)
            self._read_on()
            self._check_kept()
        if self._overhead_bytes and self.waits_for <= _NEXT_REQUEST:
            self._wait_for(_HEADERS, self._all.header_s)

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio's protocols may answer
        """The client sends no more. What it has sent whole is still answered; True keeps the way back open for that."""
        if self._dropping:
            return bool(self._refusing) or (self.cycle is not None and not self.cycle.response_complete)
        if self._backlog:
            self._no_more_comes = True
            return True
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        self.send_deadline = self._all.now + self._all.send_s

    def resume_writing(self) -> None:
        super().resume_writing()
        self.send_deadline = _NEVER

    # From the parser ------------------------------------------------------------------------------------------------------

    # uvicorn's callbacks do more than is needed here, for each header of each request: these take their places.

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if len(self.url) > MOST_URL_BYTES:
            self._judge(_LONG_URL, "url_bytes")
        if len(self.headers) > self._all.limits.header_fields:
            self._judge(_LONG_HEADERS, "max_header_fields")
        if not self.url.startswith(b"/") and (absolute := _ABSOLUTE.match(self.url)) is not None:
            self._compare_host(absolute[1])
        parser = self.parser
        http_version = parser.get_http_version()
        scope = self._scope(http_version)
        if self._through_proxy:
            self._all.proxies.resolve(scope)
        elif self._forwarded_unread:
            # Of a connection only its first request is looked at.
            self._forwarded_unread = False
            warn_if_unread(self.headers)
        if parser.should_upgrade():
            self._should_upgrade()
        before = self.cycle
        exchange = HttpExchange(
            scope,
            self.transport,
            self._send,
            self.flow,
            self.server_state.default_headers,
            self.on_response_complete,
            expect_100_continue=self.expect_100_continue,
            keep_alive=http_version != "1.0" and parser.should_keep_alive(),
        )
        self.cycle = exchange
        # Trailers come after these, and are none of the request's headers: nobody reads them.
        self.headers = []
        self._head_bytes = self._overhead_bytes
        if before is None or before.response_complete:
            exchange.start(self.loop, self.app, self.tasks)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))
        if not self.pipeline:
            self._in_hand = exchange
            self._wait_for(_BODY, self._all.body_s)

    def _scope(self, http_version: str) -> dict[str, Any]:
        """The scope of the request whose headers have come. Raises httptools.HttpParserInvalidURLError."""
        target = httptools.parse_url(self.url)
        raw_path = target.path
        path = raw_path.decode("ascii")
        method = self._made_up_method
        if method:
            self._made_up_method = b""
        else:
            method = self.parser.get_method()
        scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": http_version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": method.decode("ascii"),
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": target.query or b"",
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        self.scope = cast(Any, scope)
        return scope

    def _should_upgrade(self) -> bool:
        """Asked by uvicorn about a request for another protocol: never. Remembers whether a body comes all the same."""
        self._body_follows = any(name in _OF_BODIES and value != b"0" for name, value in self.headers)
        return False

    def _compare_host(self, authority: bytes) -> None:
        """A target that names another server than Host counts as a second Host, which is refused."""
        hosts = [value.strip(b" \t").lower() for name, value in self.headers if name == b"host"]
        if hosts[:1] != [authority.lower()] and (hosts or self.parser.get_http_version() == "1.0"):
            self.headers.append((b"host", authority))

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        self._overhead_bytes = self._head_bytes
        if cycle.response_complete:
            self._dropped_bytes += len(body)
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._body_follows:
            return  # The parser has passed over it.
        self._overhead_bytes = self._dropped_bytes = 0
        cycle = self.cycle
        cycle.more_body = False
        if cycle.response_complete:
            self._wait_for(_NEXT_REQUEST, self._keepalive_s)
            return
        cycle.message_event.set()
        if not self.pipeline:
            self.waits_for = _ANSWER
            self.deadline = _NEVER

    # From the request in hand ---------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        joining = cast(_Joining, self.transport)
        joining.flush()
        self.server_state.total_requests += 1
        if joining.is_closing():
            self._forget_waiting()
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._in_hand = cycle
            if not self.pipeline:
                self._queued_bytes = 0
            cast(HttpExchange, cycle).start(self.loop, app, self.tasks)
            if cycle.more_body:
                self._wait_for(_BODY, self._all.body_s)
        elif self._refusing:
            self._finish()
            return
        elif self.cycle.more_body:
            # Answered before its end was there, which is now dropped.
            self._wait_for(_BODY, self._all.body_s)
        elif self._overhead_bytes:
            self._wait_for(_HEADERS, self._all.header_s)
        else:
            self._wait_for(_NEXT_REQUEST, self._keepalive_s)
        self.flow.resume_reading()

    # From uvicorn ---------------------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        self._set_backlog(b"")
        super().shutdown()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words are not for clients
        self._refuse(_NOT_HTTP)

    # From the sweep -------------------------------------------------------------------------------------------------------

    def expired(self) -> None:
        """Close what has waited too long; one that had begun to ask is told so with 408."""
        address = self.client[0] if self.client is not None else ""
        if self.send_deadline <= self._all.now:
            self._all.reached("send_timeout_s", address)
            self.abort()
        elif self.waits_for is _CLOSE:
            self.abort()
        elif self.waits_for is _NEXT_REQUEST:
            self.transport.close()
        elif self.waits_for is _FIRST_BYTE:
            self._all.reached("client_header_timeout_s", address)
            self.transport.close()
        elif self.waits_for is _HEADERS:
            self._all.reached("client_header_timeout_s", address)
            self._refuse(_TOO_SLOW)
        elif self.waits_for is _BODY and self.flow.read_paused:
            # It is us who do not read on.
            self._wait_for(_BODY, self._all.body_s)
        elif self.waits_for is _BODY:
            self._all.reached("client_body_timeout_s", address)
            self._refuse(_TOO_SLOW)
        else:
            self.deadline = _NEVER

    def abort(self) -> None:
        """End the connection at once, whatever is still to be sent."""
        self._forget_waiting()
        self.transport.abort()

    # Inside ---------------------------------------------------------------------------------------------------------------

    def _wait_for(self, what: WaitingFor, timeout_s: float) -> None:
        self.waits_for = what
        self.waits_since = self._all.now
        self.deadline = self._all.now + timeout_s

    def may_read(self) -> bool:
        """Whether the socket may be read from: what was received is read, and there is room for another request."""
        if self._backlog:
            self._read_on()
        if self._backlog or self._refusing:
            return False
        if self._dropping:
            return self._dropped_bytes <= _LINGER_BYTES
        return len(self.pipeline) < self._most_waiting and self._queued_bytes <= HIGH_WATER_LIMIT

    def _check_kept(self) -> None:
        """Refuse this client where it has a backlog, and all backlogs together take too much."""
        if self._backlog and self._all.keeps_too_much:
            self._all.reached("max_pipelined_requests", self.client[0] if self.client is not None else "")
            self._refuse(_FULL)

    def _set_backlog(self, data: bytes) -> None:
        self._all.backlog_bytes += len(data) - len(self._backlog)
        self._backlog = data
        self._at = 0

    def _read_on(self) -> None:
        """Give the parser what was received, in pieces that hold no more requests than may wait."""
        data = self._backlog
        while self._backlog and self.parser is not None:
            room = self._most_waiting - len(self.pipeline)
            cycle = self.cycle
            if room < 2 or self._queued_bytes > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
                if not self._pipelines:
                    self._pipelines = True
                    self._all.reached("max_pipelined_requests", self.client[0] if self.client is not None else "")
                return
            if cycle is not None and len(cycle.body) > HIGH_WATER_LIMIT and not cycle.response_complete:
                self.flow.pause_reading()
                return
            start, end = self._at, min(self._at + _PIECE_BYTES, len(data))
            cut = start
            # One less than there is room for: another may end with the first bytes of this piece.
            for _ in range(room - 1):
                found = data.find(_END_OF_HEADERS, cut, end)
                if found < 0:
                    cut = end
                    break
                cut = found + len(_END_OF_HEADERS)
            self._at = cut
            piece = data[start:cut]
            if cut == len(data):
                self._set_backlog(b"")
            self._feed(piece)
        if self._no_more_comes and not self._backlog and self.parser is not None:
            self._no_more_comes = False
            if not self.eof_received():
                self.transport.close()

    def _feed(self, piece: bytes) -> None:
        begins = not self._overhead_bytes
        before = self.cycle
        self._overhead_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._pass_over_upgrade(piece[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            # Where a request of this piece was read already, the piece is not to be read again: it would be done twice.
            unknown = isinstance(error, httptools.HttpParserInvalidMethodError)
            if unknown and begins and self.cycle is before and self._take_made_up_method(piece):
                return
            if not self._verdict:
                self._all.unreadable(self.client[0] if self.client is not None else "")
            self._refuse(self._verdict or _NOT_HTTP)
            return
        if self.pipeline:
            self._queued_bytes += len(piece)
        if self._overhead_bytes > _PIECE_BYTES:
            limits = self._all.limits
            if self._overhead_bytes > limits.header_bytes:
                self._refuse(self._reached(_LONG_HEADERS, "max_header_bytes"))
            elif len(self.headers) > limits.header_fields:
                self._refuse(self._reached(_LONG_HEADERS, "max_header_fields"))
        if self._dropped_bytes > _LINGER_BYTES:
            # A body that nobody wants any more, and that does not end.
            self._dropping = True
            self._linger()

    def _take_made_up_method(self, piece: bytes) -> bool:
        """Read a request whose method the parser does not know as if it were another's, to have it answered with 405.

        Only where the request begins with what was just received; any other one gets 400.
        """
        line = _MADE_UP_METHOD.match(piece)
        if line is None or line[1] in _SERVED_METHODS:
            return False
        self._made_up_method = line[1]
        self.parser = httptools.HttpRequestParser(self)
        try:
            self.parser.feed_data(_UNSERVED_METHOD + piece[line.end(1) :])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return True

    def _pass_over_upgrade(self, rest: bytes) -> None:
        """Read on as if the client had not asked for another protocol: none is spoken here (RFC 9110, section 7.8).

        Java's own client and `curl --http2` ask for HTTP/2 with every request. The parser does not read the body of such a
        request: a second one does, which is given the headers with its length.
        """
        self._overhead_bytes = max(0, self._overhead_bytes - len(rest))
        if self._body_follows:
            self._body_follows = False
            lengths = [b"%s: %s\r\n" % header for header in self.scope["headers"] if header[0] in _OF_BODIES]
            self.parser = httptools.HttpRequestParser(_AfterHead(self))
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(lengths))
        if rest:
            self._feed(rest)

    def _judge(self, answer: bytes, limit: str) -> None:
        """Leave the parser, which ends in `_feed`."""
        self._verdict = self._reached(answer, limit)
        raise _Refused

    def _reached(self, answer: bytes, limit: str) -> bytes:
        self._all.reached(limit, self.client[0] if self.client is not None else "")
        return answer

    def _refuse(self, answer: bytes) -> None:
        """End the connection with this answer, after those to the requests that came whole before."""
        if self._dropping:
            return
        self._set_backlog(b"")
        self._dropping = True
        self._dropped_bytes = 0
        self._refusing = answer
        self.waits_for = _ANSWER
        self.deadline = _NEVER
        cycle = self.cycle
        if cycle is not None and cycle.more_body:
            if self.pipeline:
                # Its body will not come; it is the last of those that wait.
                self.pipeline.popleft()
                self.flow.pause_reading()
                return
            if cycle.response_started:
                # Whatever is sent now would be taken for a part of that answer, or for the answer to a request never made.
                self._refusing = b""
            elif not cycle.response_complete:
                cycle.disconnected = True
            cycle.message_event.set()
        elif cycle is not None and not cycle.response_complete:
            self.flow.pause_reading()
            return
        self._finish()

    def _finish(self) -> None:
        if not self._refusing or self.transport.is_closing():
            self._refusing = b""
            self.transport.close()
            return
        answer, self._refusing = self._refusing, b""
        self.transport.write(answer)
        self._linger()

    def _linger(self) -> None:
        """Send no more, and give the client a moment to read what was sent and to close."""
        self.waits_for = _CLOSE
        self.deadline = self._all.now + _LINGER_S
        self.flow.resume_reading()
        if not self.transport.is_closing():
            self.transport.write_eof()

    def _forget_waiting(self) -> None:
        self._set_backlog(b"")
        for cycle, _ in self.pipeline:
            cycle.disconnected = True
            cycle.body = bytearray()
        self.pipeline.clear()
        self._queued_bytes = 0

    def closing(self) -> None:
        """The transport was told to close: what it has to send is given as long as any answer."""
        self.waits_for = _CLOSE
        self.deadline = self._all.now + self._all.send_s


_OF_BODIES: Final = frozenset((b"content-length", b"transfer-encoding"))


class _AfterHead:
    """The callbacks of a parser that begins with the body of a request whose head another parser has read, and reads on from there."""

    def __init__(self, protocol: HttpProtocol) -> None:
        self._protocol = protocol
        self._is_known = True
        self.on_body = protocol.on_body

    def on_message_begin(self) -> None:
        if not self._is_known:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._is_known:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers too: they are counted.
        if not self._is_known:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._is_known:
            self._protocol.on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_known = False
        self._protocol.on_message_complete()


class _Refused(Exception):
    """Thrown through the parser by what it called; what is answered stands in `_verdict`."""


class _Flow(FlowControl):
    """uvicorn's flow control, which does not read on while as many requests wait as may."""

    def __init__(self, protocol: HttpProtocol) -> None:
        super().__init__(protocol.transport)
        self._protocol = protocol

    def resume_reading(self) -> None:
        if self.read_paused and self._protocol.may_read():
            super().resume_reading()


class _Joining:
    """A transport that keeps the head of an answer back until its body comes, so that both leave with one system call.

    uvicorn writes them apart; the second call would be a fifth of what a purchase costs the server. `owner` is told of
    each close.
    """

    __slots__ = ("_head", "_owner", "_transport", "_write", "is_closing")

    def __init__(self, transport: asyncio.Transport, owner: HttpProtocol | None = None) -> None:
        self._transport = transport
        self._owner = owner
        self._write = transport.write
        self.is_closing = transport.is_closing
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
        if self._owner is not None:
            self._owner.closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
