"""The one place that makes HTTP clients for calls to the outside, and that bounds what their answers may take."""

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterable, AsyncIterator
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from io import BytesIO
from typing import Any, Final

import aiohttp
import httpx
from yarl import URL

NEVER_ARRIVED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""No connection was had: the request cannot have reached anybody."""

NO_ANSWER: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
"""Anything that leaves a request without an answer; whether it arrived is not known, unless it is one of the above."""

ANSWER_LIMIT_BYTES: Final = 1024 * 1024
"""How large an answer may be, on the wire and unpacked, where a client is not told otherwise."""

_GRACE_S: Final = 0.25
_KEPT_OPEN_S: Final = 5.0
"""How long a connection is kept for the next call: shorter than servers keep theirs, so that none is closed under a request."""
_LARGE_BYTES: Final = 256 * 1024
_ENCODINGS: Final = "gzip, deflate"
_OF_THE_WIRE: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class AnswerNotTaken(httpx.DecodingError):
    """An answer is larger than it may be, or packed in a way that nobody asked for. The request has arrived."""


def client(
    base_url: str,
    *,
    timeout_s: float,
    headers: dict[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    answer_limit_bytes: int = ANSWER_LIMIT_BYTES,
) -> httpx.AsyncClient:
    """A client for one service. It follows no redirects and takes no proxy from the environment.

    A redirect of a request that moves money would be another request to somebody else. `timeout_s` is for each step and, with
    a moment more, for all of them together: an answer that drips in for ever is none. One that is larger than
    `answer_limit_bytes`, packed or unpacked, raises AnswerNotTaken; it is one of NO_ANSWER. `transport` is the tests' way to
    put something else in the network's place.
    """
    return _BoundedClient(
        answer_limit_bytes,
        timeout_s,
        transport,
        base_url=base_url,
        timeout=httpx.Timeout(timeout_s),
        headers={"accept-encoding": _ENCODINGS} | (headers or {}),
        # Cookies are not kept: no service that is called here needs them, and the jar could grow without bound.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        trust_env=False,
    )


class _BoundedClient(httpx.AsyncClient):
    """An httpx client that reads every answer whole, within a size and a time.

    httpx's own pool takes about a millisecond for a call beside sixty others; aiohttp's takes a tenth of that. Requests and
    answers stay those of httpx. With `transport` httpx sends.
    """

    def __init__(
        self, answer_limit_bytes: int, timeout_s: float, transport: httpx.AsyncBaseTransport | None, **options: Any
    ) -> None:
        # The transport of httpx would read the machine's certificates for nothing; nothing is sent through this one.
        super().__init__(transport=transport or httpx.AsyncBaseTransport(), **options)
        self._limit_bytes = answer_limit_bytes
        self._timeout_s = timeout_s
        # A step that runs into its own time-out says more about what has happened than this one.
        self._whole_s = timeout_s + _GRACE_S
        self._own = transport is None
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        if stream:
            raise RuntimeError("Answers are read whole here.")
        if self.is_closed:
            raise RuntimeError("The client is closed.")
        try:
            async with asyncio.timeout(self._whole_s):
                return await (self._sent(request) if self._own else self._sent_by_httpx(request, **options))
        except TimeoutError:
            # It may have arrived, as after any time-out of reading.
            raise httpx.ReadTimeout("no whole answer in time", request=request) from None

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await super().aclose()

    async def __aexit__(self, *raised: Any) -> None:
        await self.aclose()

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        session = self._session or self._opened()
        try:
            async with session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=_as_data(await request.aread()),
                allow_redirects=False,
            ) as answer:
                try:
                    encoding = answer.headers.get("content-encoding", "")
                    body = await _whole(answer.content.iter_any(), encoding, request, self._limit_bytes)
                except BaseException:
                    answer.close()
                    raise
                return _response(answer.status, list(answer.headers.items()), body, request)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise httpx.ConnectError(type(error).__name__, request=request) from error
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise httpx.UnsupportedProtocol(type(error).__name__, request=request) from error
        except TimeoutError as error:
            raise httpx.ReadTimeout(type(error).__name__, request=request) from error
        except (aiohttp.ClientError, OSError) as error:
            # Part of the request may have been written, or the answer is no HTTP.
            raise httpx.ReadError(type(error).__name__, request=request) from error

    def _opened(self) -> aiohttp.ClientSession:
        """Open connections are of the event loop that makes the first call."""
        session = aiohttp.ClientSession(
            # How many calls there are at once is decided where they are made.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_OPEN_S, ssl=_tls()),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_s, sock_read=self._timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
            trust_env=False,
        )
        # A request is never repeated unasked, whatever its method: some vendors sell by GET. aiohttp has no public name for it;
        # a test holds that it works.
        session._retry_connection = False  # noqa: SLF001 - see above
        self._session = session
        return session

    async def _sent_by_httpx(self, request: httpx.Request, **options: Any) -> httpx.Response:
        answer = await super().send(request, stream=True, **options)
        try:
            if answer.is_stream_consumed:
                body = answer.content  # No network stands behind it: it was whole from the beginning.
            else:
                encoding = answer.headers.get("content-encoding", "")
                body = await _whole(answer.aiter_raw(), encoding, request, self._limit_bytes)
        finally:
            await answer.aclose()
        return _response(answer.status_code, answer.headers.multi_items(), body, request)


def _as_data(body: bytes) -> bytes | BytesIO | None:
    """A large body goes out in pieces, so that the loop does other things in between."""
    return BytesIO(body) if len(body) > _LARGE_BYTES else body or None


@cache
def _tls() -> ssl.SSLContext:
    """The certificates of certifi, whatever the environment names."""
    return httpx.create_ssl_context(trust_env=False)


def _response(status: int, headers: list[tuple[str, str]], body: bytes, request: httpx.Request) -> httpx.Response:
    kept = [(name, value) for name, value in headers if name.lower() not in _OF_THE_WIRE]
    return httpx.Response(status, headers=kept, content=body, request=request)


async def _whole(pieces: AsyncIterable[bytes], encoding: str, request: httpx.Request, limit_bytes: int) -> bytes:
    """The unpacked body. Raises AnswerNotTaken, before more than `limit_bytes` of it are in memory."""
    packed = encoding.strip().lower()
    if packed in ("", "identity"):
        body = bytearray()
        async for piece in _bounded(pieces, request, limit_bytes):
            body += piece
        return bytes(body)
    if packed not in ("gzip", "x-gzip", "deflate"):
        raise AnswerNotTaken("an encoding that was not asked for", request=request)
    unpacked = bytearray()
    received = False
    # Deflate is sent with the head of zlib, as the standard says, and without, as some servers do.
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16) if packed != "deflate" else None
    try:
        async for piece in _bounded(pieces, request, limit_bytes):
            received = True
            if unpacker is None:
                unpacker = zlib.decompressobj(zlib.MAX_WBITS if piece[0] & 0x0F == 8 else -zlib.MAX_WBITS)
            if unpacker.eof:
                break
            unpacked += unpacker.decompress(piece, limit_bytes + 1 - len(unpacked))
            if len(unpacked) > limit_bytes:
                raise AnswerNotTaken("larger than it may be when unpacked", request=request)
        if unpacker is not None and not unpacker.eof and received:
            raise AnswerNotTaken("cut off", request=request)
    except zlib.error as error:
        raise AnswerNotTaken(f"cannot be unpacked: {error}", request=request) from None
    return bytes(unpacked)


async def _bounded(pieces: AsyncIterable[bytes], request: httpx.Request, limit_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > limit_bytes:
            raise AnswerNotTaken("larger than it may be", request=request)
        if piece:
            yield piece
