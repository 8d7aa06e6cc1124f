"""Calls an ASGI application without a server, as tests need it: whole requests, cut off ones, and ones that go on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from telvend.kit.exchange import EXCHANGE


@dataclass(slots=True)
class Reply:
    """What came back. `read` is how many pieces of the body the application has asked for."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    read: int = 0

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def header(self, name: str) -> str | None:
        """The value of a header that stands there once; None where it does not."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) <= 1
        return found[0] if found else None


at_once = False
"""Whether requests are made as our own server makes them: with a short way for whole bodies and answers (kit/exchange.py)."""


class AtOnce:
    """The exchange of one request. `body`: None where it does not come whole."""

    def __init__(self, reply: Reply, body: bytes | None) -> None:
        self._reply = reply
        self._body = body

    def whole_body(self) -> bytes | None:
        self._reply.read += self._body is not None
        return self._body

    def answer(self, status: int, headers: bytes, body: bytes) -> bool:
        assert not self._reply.status
        lines = headers.decode("latin-1").split("\r\n")
        assert lines.pop() == ""
        self._reply.status, self._reply.body = status, body
        self._reply.headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        return True


async def request(
    app: Any,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | Iterable[bytes] = b"",
    cut_off: bool = False,
    query: bytes = b"",
    client: tuple[str, int] | None = ("127.0.0.1", 4711),
    peer: str | None = None,
    http_version: str = "1.1",
    raw_headers: Iterable[tuple[bytes, bytes]] | None = None,
) -> Reply:
    """Send one request, with a Host unless `headers` has one or `raw_headers`, which come before, says otherwise.

    A body of several pieces arrives in them; `cut_off`: the caller goes away instead of ending. `peer`: the trusted proxy that
    passed it on for `client`.
    """
    pieces = iter([body] if isinstance(body, bytes) else body)
    reply = Reply()
    following = next(pieces, b"")

    async def receive() -> dict[str, Any]:
        nonlocal following
        reply.read += 1
        piece, following = following, next(pieces, None)  # type: ignore[assignment]
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": following is not None or cut_off}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert not reply.status
            reply.status = message["status"]
            reply.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
        else:
            reply.body += message.get("body", b"")

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": http_version,
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": [
            *(
                [(b"host", b"shop.example")]
                if raw_headers is None and "host" not in (headers or {})
                else raw_headers or ()
            ),
            *((name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()),
        ],
        "server": ("127.0.0.1", 8000),
        "client": client,
    }
    if at_once:
        # A body of another length than its header says is never whole.
        whole = isinstance(body, bytes) and not cut_off and "content-length" not in (headers or {})
        scope[EXCHANGE] = AtOnce(reply, body if whole else None)  # type: ignore[arg-type]
    if peer is not None:
        scope["telvend.peer"] = (peer, 4711)
    await app(scope, receive, send)
    return reply
