"""Connecting to PostgreSQL at one of several addresses, and noticing soon when the other end is gone.

A URL may name several hosts (`postgresql://user@a:5432,b:5432/shop`, or `?host=a,b`). asyncpg tries them one after the other
within one time-out, so that a host that accepts connections and says nothing (a frozen machine) keeps the rest from being tried.
Here each host has a time-out of its own, the next one is begun before the one before has failed, and the first that is a
primary wins. The host that won last is tried first.

After a fail-over the old primary may come back without knowing that it was replaced (a machine that was frozen and continues).
Of two primaries, the one with the higher timeline was promoted later; the other is not used.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from telvend.database.session import DatabaseRefused, Server, server_of

HOST_TIMEOUT_S: Final = 3.0
"""How long one host may take to accept a connection."""
STAGGER_S: Final = 0.3
"""After how long the next host is tried beside one that has not answered yet."""

FIRST_LOOK_S: Final = 1.0
"""How long the first connection of a process waits for other hosts, to learn which of two primaries is the later one."""

_KEEPALIVE_IDLE_S: Final = 2
_KEEPALIVE_INTERVAL_S: Final = 1
_KEEPALIVE_COUNT: Final = 3
_UNACKNOWLEDGED_MS: Final = 4000


# libpq-only URL options; asyncpg would forward them and the server would reject them.
_ONLY_LIBPQ: Final = frozenset(
    (
        "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
        "channel_binding", "gssencmode", "gssdelegation", "sslnegotiation", "sslcompression", "sslsni", "sslcertmode",
        "require_auth", "load_balance_hosts", "client_encoding", "fallback_application_name", "requirepeer",
    )
)  # fmt: skip


def for_asyncpg(url: str) -> str:
    """Return the URL without the options that only libpq understands, and those that we set ourselves."""
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in _ONLY_LIBPQ]
    return urlunsplit(parts._replace(query=urlencode(kept, safe="/")))


def for_libpq(url: str) -> str:
    """Return the URL with a time-out for each host and keep-alives, unless it names its own: for psycopg and migrations."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    defaults = {
        "connect_timeout": str(round(HOST_TIMEOUT_S)),
        "keepalives_idle": str(_KEEPALIVE_IDLE_S),
        "keepalives_interval": str(_KEEPALIVE_INTERVAL_S),
        "keepalives_count": str(_KEEPALIVE_COUNT),
    }
    if len(hosts_of(url)) > 1:
        defaults["target_session_attrs"] = "primary"
    return urlunsplit(parts._replace(query=urlencode(defaults | options, safe="/,")))


def hosts_of(url: str) -> list[tuple[str, int | None]]:
    """Return the hosts that a URL names, each with its port where it has one. Empty where it names none.

    Raises ValueError for an invalid port.
    """
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    if netloc:
        return [_host_and_port(item) for item in netloc.split(",")]
    query = dict(parse_qsl(parts.query))
    names = [name for name in query.get("host", "").split(",") if name]
    ports = [int(port) if port else None for port in query.get("port", "").split(",")]
    if len(ports) == 1:
        ports *= len(names)
    if names and len(ports) != len(names):
        raise ValueError("as many ports as hosts, or one")
    return list(zip(names, ports, strict=True)) if names else []


def _host_and_port(item: str) -> tuple[str, int | None]:
    if item.startswith("["):
        host, _, rest = item[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = item.partition(":")
    return unquote(host), int(port) if port else None


class Connector:
    """Makes connections to the database at `url`, and remembers which of its hosts was the primary last."""

    def __init__(self, url: str, *, on_moved: Callable[[], None] | None = None) -> None:
        """`on_moved` is called when another host than before has become the primary, before the first connection to it is handed out.

        Raises ValueError for a URL that cannot be read.
        """
        self._on_moved = on_moved
        self._dsn = for_asyncpg(url)
        self._hosts = hosts_of(url)
        self._winner = 0
        self._server = Server()
        self._looked_around = False

    async def connect(self, **options: Any) -> "asyncpg.Connection":
        """Return a connection to the primary. `options` are those of `asyncpg.connect`.

        Raises what asyncpg raises, and TimeoutError where no host has answered in time.
        """
        timeout_s = options.pop("timeout", HOST_TIMEOUT_S)
        if len(self._hosts) < 2:
            connection = await asyncpg.connect(self._dsn, timeout=timeout_s, **options)
        else:
            connection = await self._race(timeout_s, options)
        _notice_silence(connection)
        return connection

    async def _race(self, timeout_s: float, options: dict[str, Any]) -> "asyncpg.Connection":
        loop = asyncio.get_running_loop()
        count = len(self._hosts)
        waiting = [(self._winner + step) % count for step in range(count)]
        running: dict[asyncio.Task[_Primary], int] = {}
        errors: list[BaseException] = []
        best: _Primary | None = None
        until = 0.0
        try:
            while waiting or running:
                if waiting:
                    index = waiting.pop(0)
                    running[loop.create_task(self._attempt(index, timeout_s, options))] = index
                patience_s = STAGGER_S if waiting else None
                if best is not None:
                    patience_s = 0 if waiting else max(0.0, until - loop.time())
                done, _ = await asyncio.wait(running, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del running[task]
                    if (error := task.exception()) is not None:
                        errors.append(error)
                        continue
                    found = task.result()
                    if best is None:
                        best, until = found, loop.time() + FIRST_LOOK_S
                    elif best.server.was_replaced_by(found.server):
                        best.connection.terminate()
                        best = found
                    else:
                        found.connection.terminate()
                # Once a server has won, `_attempt` refuses those that it has replaced.
                if best is not None and (self._looked_around or (not waiting and loop.time() >= until)):
                    break
        except BaseException:
            if best is not None:
                best.connection.terminate()
            raise
        finally:
            # Also one that has answered in the same moment.
            await _give_up(running)
        if best is None:
            # A replaced primary is reported first, since it has to be stopped; then other errors; time-outs last.
            raise min(errors, key=_weight)
        return self._won(best)

    def _won(self, found: "_Primary") -> "asyncpg.Connection":
        """Remember the winner. Raises DatabaseRefused where a later one has won meanwhile."""
        if found.server.was_replaced_by(self._server):
            found.connection.terminate()
            raise self._replaced(found.index)
        moved = found.index != self._winner or self._server.was_replaced_by(found.server)
        self._winner, self._server, self._looked_around = found.index, found.server, True
        if moved and self._on_moved is not None:
            self._on_moved()
        return found.connection

    async def _attempt(self, index: int, timeout_s: float, options: dict[str, Any]) -> "_Primary":
        host, port = self._hosts[index]
        given = {"target_session_attrs": "primary"} | options
        connection = await asyncpg.connect(self._dsn, host=host, port=port or 5432, timeout=timeout_s, **given)
        try:
            async with asyncio.timeout(timeout_s):
                server = await server_of(connection)
            if server.was_replaced_by(self._server):
                raise self._replaced(index)
        except BaseException:
            connection.terminate()
            raise
        return _Primary(index, connection, server)

    def _replaced(self, index: int) -> DatabaseRefused:
        host, port = self._hosts[index]
        return DatabaseRefused(
            f"The server at {host}:{port or 5432} takes itself for the primary, and another one was promoted after it:"
            " stop it, or make it a standby."
        )


def _weight(error: BaseException) -> int:
    return 0 if isinstance(error, DatabaseRefused) else 2 if isinstance(error, TimeoutError) else 1


@dataclass(frozen=True, slots=True)
class _Primary:
    """A host that has answered, and which server it is."""

    index: int
    connection: Any
    server: Server


async def _give_up(attempts: "dict[asyncio.Task[_Primary], int]") -> None:
    for task in attempts:
        task.cancel()
    for result in await asyncio.gather(*attempts, return_exceptions=True):
        if not isinstance(result, BaseException):
            result.connection.terminate()


def _notice_silence(connection: "asyncpg.Connection") -> None:
    """Let the kernel end a TCP connection whose other end has gone without a word, within five seconds or so."""
    found = connection._transport.get_extra_info("socket")  # noqa: SLF001 - asyncpg has no option for it
    if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError, AttributeError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_COUNT)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
