"""The one place that makes HTTP clients for calls to the outside, and that bounds what their answers may take."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

NEVER_ARRIVED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""No connection was had: the request cannot have reached anybody."""

NO_ANSWER: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
"""Anything that leaves a request without an answer; whether it arrived is not known, unless it is one of the above."""

ANSWER_LIMIT_BYTES: Final = 1024 * 1024
"""How large an answer may be, on the wire and unpacked, where a client is not told otherwise."""

_GRACE_S: Final = 0.25
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
        base_url=base_url,
        timeout=httpx.Timeout(timeout_s),
        headers={"accept-encoding": _ENCODINGS} | (headers or {}),
        transport=transport,
        # Cookies are not kept: no service that is called here needs them, and the jar could grow without bound.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        trust_env=False,
    )


class _BoundedClient(httpx.AsyncClient):
    """An httpx client that reads every answer whole, within a size and a time."""

    def __init__(self, answer_limit_bytes: int, timeout_s: float, **options: Any) -> None:
        super().__init__(**options)
        self._limit_bytes = answer_limit_bytes
        # A step that runs into its own time-out says more about what has happened than this one.
        self._whole_s = timeout_s + _GRACE_S

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        if stream:
            raise RuntimeError("Answers are read whole here.")
        try:
            async with asyncio.timeout(self._whole_s):
                answer = await super().send(request, stream=True, **options)
                try:
                    body = await _whole(answer, self._limit_bytes)
                finally:
                    await answer.aclose()
        except TimeoutError:
            # It may have arrived, as after any time-out of reading.
            raise httpx.ReadTimeout("no whole answer in time", request=request) from None
        return httpx.Response(
            answer.status_code,
            headers=[(name, value) for name, value in answer.headers.multi_items() if name not in _OF_THE_WIRE],
            content=body,
            request=request,
            extensions={"http_version": answer.extensions.get("http_version", b"HTTP/1.1")},
        )


async def _whole(answer: httpx.Response, limit_bytes: int) -> bytes:
    """The unpacked body. Raises AnswerNotTaken, before more than `limit_bytes` of it are in memory."""
    if answer.is_stream_consumed:
        return answer.content  # No network stands behind it: it was whole from the beginning.
    packed = answer.headers.get("content-encoding", "").strip().lower()
    if packed in ("", "identity"):
        body = bytearray()
        async for piece in _pieces(answer, limit_bytes):
            body += piece
        return bytes(body)
    if packed not in ("gzip", "x-gzip", "deflate"):
        raise AnswerNotTaken("an encoding that was not asked for", request=answer.request)
    unpacked = bytearray()
    # Deflate is sent with the head of zlib, as the standard says, and without, as some servers do.
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16) if packed != "deflate" else None
    try:
        async for piece in _pieces(answer, limit_bytes):
            if unpacker is None:
                unpacker = zlib.decompressobj(zlib.MAX_WBITS if piece[0] & 0x0F == 8 else -zlib.MAX_WBITS)
            if unpacker.eof:
                break
            unpacked += unpacker.decompress(piece, limit_bytes + 1 - len(unpacked))
            if len(unpacked) > limit_bytes:
                raise AnswerNotTaken("larger than it may be when unpacked", request=answer.request)
        if unpacker is not None and not unpacker.eof and answer.num_bytes_downloaded:
            raise AnswerNotTaken("cut off", request=answer.request)
    except zlib.error as error:
        raise AnswerNotTaken(f"cannot be unpacked: {error}", request=answer.request) from None
    return bytes(unpacked)


async def _pieces(answer: httpx.Response, limit_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for piece in answer.aiter_raw():
        size += len(piece)
        if size > limit_bytes:
            raise AnswerNotTaken("larger than it may be", request=answer.request)
        if piece:
            yield piece
