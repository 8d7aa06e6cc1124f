"""The outermost layer of every request: dispatch by path, validation of Host, and the handler of unexpected errors.

Dispatch
    ├── a dialect         its errors have its own shape
    └── pages, webhooks   HTML or JSON (web/site.py)
"""

import ipaddress
import re
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Final, Protocol

from starlette.types import Receive, Scope, Send

from telvend.errors import HostNotValid, InvariantBroken, TelvendError
from telvend.kit import log
from telvend.kit.ids import request_id_of

PROBES: Final = frozenset({"/healthz", "/livez", "/readyz"})
"""What load balancers and kubelets ask, some of them without a Host."""

_logger = log.get("telvend.http")


class Served(Protocol):
    """An ASGI application that can also render an error in its own shape."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]: ...

    async def refuse(self, scope: Scope, send: Send, error: TelvendError) -> None:
        """Answer with `error`. An InvariantBroken has been logged, and says nothing of itself."""


class Dispatch:
    """Sends each request to the application whose base path it begins with, the longest first; the rest to `pages`.

    No exception leaves it: an unexpected one is logged once, with the request id that the answer carries, and answered
    with 500 in the shape of what was asked.
    """

    def __init__(self, apps: Mapping[str, Served], pages: Served) -> None:
        self._apps = sorted(apps.items(), key=lambda item: -len(item[0]))
        # Each request is compared with the bases that share its first segment, which are one or two of many.
        self._by_segment: dict[str, list[tuple[str, Served]]] = {}
        for base, app in self._apps:
            self._by_segment.setdefault(_first_segment(base), []).append((base, app))
        self._pages = pages
        self._failures = log.LogLimit()

    @property
    def served(self) -> dict[str, Served]:
        """Every application by its base path; the pages under the empty one."""
        return {**dict(self._apps), "": self._pages}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # Neither web sockets nor a lifespan are served.
        app = self._app_of(scope["path"])
        try:
            problem = _host_problem(scope)
            if problem is None:
                await app(scope, receive, send)
            else:
                await app.refuse(scope, send, HostNotValid(problem))
        except Exception as error:
            await self._fail(app, scope, send, error)

    def _app_of(self, path: str) -> Served:
        for base, app in self._by_segment.get(_first_segment(path), ()):
            if path.startswith(base) and (len(path) == len(base) or path[len(base)] == "/"):
                return app
        return self._pages

    async def _fail(self, app: Served, scope: Scope, send: Send, error: Exception) -> None:
        request_id = request_id_of(dict(scope["headers"]).get(b"x-request-id"))
        # The refusal below reads the same id.
        scope["headers"] = [*scope["headers"], (b"x-request-id", request_id)]
        self._failures.write(
            _logger.critical,
            "request failed",
            source=_place(error),
            request_id=request_id.decode(),
            method=scope["method"],
            exc_info=error,
        )
        broken = error if isinstance(error, InvariantBroken) else InvariantBroken(type(error).__name__)
        try:
            await app.refuse(scope, send, broken)
        except Exception:
            # The answer has begun and is cut off by the server; or it cannot even be rendered.
            with suppress(Exception):
                await _send_bare(send, request_id)


def _first_segment(path: str) -> str:
    """What stands between the first two slashes."""
    return path[1:].partition("/")[0]


def _place(error: Exception) -> str:
    """Where an exception was raised: what distinguishes one bug from another."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return type(error).__name__ if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


_BARE: Final = b'{"error":"Unexpected server error."}'


async def _send_bare(send: Send, request_id: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(_BARE)),
        (b"x-request-id", request_id),
        *API_HEADERS,
    ]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": _BARE})


API_HEADERS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""On every answer of an API: balances and people's records are nobody's to keep."""


# Host -------------------------------------------------------------------------------------------------------------------

_LONGEST_HOST: Final = 255
_NAME: Final = rb"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?"
_HOST: Final = re.compile(rb"(?:%s|\[(?P<six>[0-9A-Fa-f:.]{2,45})\])(?::(?P<port>[0-9]{1,5}))?" % _NAME)


def _host_problem(scope: Scope) -> str | None:
    """Why the request's Host cannot be used; None where it can. Its value is bare of white space afterwards."""
    given = [value for name, value in scope["headers"] if name == b"host"]
    if len(given) == 1:
        if is_host(given[0]):
            return None
        bare = given[0].strip(b" \t")
        if bare == given[0] or not is_host(bare):
            return "is not the name or address of a server"
        scope["headers"] = [(name, bare if name == b"host" else value) for name, value in scope["headers"]]
        return None
    if given:
        return "is there more than once, or differs from the target of the request"
    if scope["http_version"] == "1.0":
        # Legal there. Absolute addresses in the answer are then those of the socket that was reached.
        server = scope.get("server")
        if server is not None and server[1] is not None:
            name = f"[{server[0]}]" if ":" in server[0] else server[0]
            value = f"{name}:{server[1]}".encode()
            if is_host(value):
                scope["headers"] = [*scope["headers"], (b"host", value)]
        return None
    return None if scope["path"] in PROBES else "is missing"


@lru_cache(maxsize=1024)
def is_host(value: bytes) -> bool:
    """Whether this is a name, an IPv4 address or a bracketed IPv6 address, with or without a port.

    Narrower than RFC 3986: of a name only what DNS and containers use, no percent-encoding, no empty port.
    """
    found = _HOST.fullmatch(value) if len(value) <= _LONGEST_HOST else None
    if found is None or int(found["port"] or 1) not in range(1, 65536):
        return False
    if found["six"] is None:
        return True
    try:
        ipaddress.IPv6Address(found["six"].decode())
    except ValueError:
        return False
    return True
