"""Calling a dialect in test mode from within the process: the request takes every step of a real one but the network."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.types import Message, Scope

from telvend.dialects.contract import Dialect
from telvend.dialects.serving import DialectApp
from telvend.dialects.snippets import key_header
from telvend.errors import InvariantBroken, NotAuthenticated
from telvend.kit.allowance import Allowance
from telvend.kit.mode import Mode
from telvend.resellers.model import Caller
from telvend.services import Services

_SHOWN_HEADERS: Final = (
    "content-type",
    "retry-after",
    "ratelimit-remaining",
    "idempotent-replayed",
    "transactionid",
    "allow",
)


@dataclass(frozen=True, slots=True)
class TriedAnswer:
    """What a dialect has answered. `headers` are those that tell a programmer something."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


class TestCalls:
    """Calls one dialect for resellers whose keys it does not know, with test keys only."""

    __test__ = False

    def __init__(self, dialect: Dialect, services: Services, limiter: Allowance) -> None:
        self._dialect = dialect
        self._callers: dict[str, Caller] = {}
        self._app = DialectApp(dialect, services, limiter, keys=self)

    def cached(self, api: str, key_text: str) -> Caller | None:
        """Whose call is under way with this pass."""
        caller = self._callers.get(key_text)
        return caller if caller is not None and caller.api == api else None

    async def authenticate(self, api: str, key_text: str) -> Caller:
        """The same. Raises NotAuthenticated."""
        caller = self.cached(api, key_text)
        if caller is None:
            raise NotAuthenticated
        return caller

    async def call(
        self,
        caller: Caller,
        method: str,
        path: str,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        base_url: str,
    ) -> TriedAnswer:
        """Send a request of `caller`, who must be in test mode. `path` begins with the dialect's base path."""
        if caller.mode is not Mode.TEST:
            raise InvariantBroken("a page calls an API in test mode only")
        scheme, _, host = base_url.partition("://")
        one_time = secrets.token_hex(20)
        sent = {**(headers or {}), "host": host, "content-length": str(len(body))}
        sent = {name.lower(): value for name, value in sent.items()}
        name, value = key_header(self._dialect, one_time)
        sent[name.lower()] = value
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": scheme,
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": query.encode("ascii", "replace"),
            "root_path": "",
            "headers": [
                (name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in sent.items()
            ],
            "client": ("127.0.0.1", 0),
            "server": (host, None),
        }
        answer = _Collected()
        self._callers[one_time] = caller
        try:
            await self._app(scope, _Body(body), answer)
        finally:
            del self._callers[one_time]
        return TriedAnswer(
            answer.status,
            tuple((name, value) for name, value in answer.headers if name in _SHOWN_HEADERS),
            b"".join(answer.body).decode(errors="replace"),
        )


class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __call__(self) -> Message:
        return {"type": "http.request", "body": self._body, "more_body": False}


class _Collected:
    """Takes an answer as the server would."""

    def __init__(self) -> None:
        self.status = 500
        self.headers: list[tuple[str, str]] = []
        self.body: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
        else:
            self.body.append(message.get("body", b""))
