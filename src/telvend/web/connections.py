"""The connections of one serving process, and the limits on unauthenticated ones.

    connections = Connections(Limits(), proxies)
    connections.start()                  # inside the event loop; one sweep for all connections, no timer for each
    ...                                  # every HttpProtocol asks `admit` when it begins, and says `left` at its end
    connections.close()

What each limit is for stands in docs/explain/limits-before-a-key.md. A process counts for itself: with several workers the
limits on connections hold for each of them.
"""

import asyncio
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Protocol

from telvend.kit import log, metrics
from telvend.kit.addresses import network_of
from telvend.kit.memory import Excess
from telvend.kit.networks import is_loopback
from telvend.web.forwarded import TrustedProxies

MOST_OPEN_FILES: Final = 65536
"""As many as a serving process asks the system for, where it may have them."""

_FILES_BESIDE_CLIENTS: Final = 192
"""Files, databases, providers, gateways and authorities of a process, beside its pool."""

_MOST_BY_DEFAULT: Final = 10_000
_FEWEST: Final = 16
_TICK_S: Final = 1.0
_BACKLOG_BYTES: Final = 16 * 1024 * 1024
_NOBODY_S: Final = 0.25
_CLOSED_AT_ONCE: Final = 16

_logger = log.get("telvend.http")
_LIMIT_REACHED: Final = metrics.Counter(
    "telvend_http_connection_limits_reached",
    "Connections that reached a limit before anybody knew whose they are; the limit is the name of its setting.",
    "limit",
    formerly="telvend_http_limit_reached",
)
"""`limit` is the name of the setting."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a client may take. `connections` and `connections_per_address` are counted in each process."""

    header_bytes: int = 64 * 1024
    header_fields: int = 128
    pipelined_requests: int = 16
    header_timeout_s: float = 15.0
    body_timeout_s: float = 30.0
    keepalive_timeout_s: float = 60.0
    send_timeout_s: float = 30.0
    connections: int = _MOST_BY_DEFAULT
    connections_per_address: int = 1024


class WaitingFor(IntEnum):
    """What a connection waits for. Up to BODY it waits for its client."""

    FIRST_BYTE = 0
    NEXT_REQUEST = 1
    HEADERS = 2
    BODY = 3
    ANSWER = 4
    CLOSE = 5


class Connection(Protocol):
    """What is known of a connection here; `deadline` and `send_deadline` are on the clock of `Connections.now`."""

    waits_for: WaitingFor
    waits_since: float
    deadline: float
    send_deadline: float
    counted_as: str
    client: tuple[str, int] | None

    def expired(self) -> None:
        """Its deadline has passed."""

    def abort(self) -> None:
        """End it at once."""


class Connections:
    """See the head of this file. `now` is the monotonic time of the last sweep: exact enough for seconds, and free."""

    def __init__(
        self,
        limits: ConnectionLimits = ConnectionLimits(),
        proxies: TrustedProxies | None = None,
        *,
        apps_by_port: Mapping[int, Any] | None = None,
    ) -> None:
        """`apps_by_port`: what answers on listeners that are not the main one."""
        self.limits = limits
        self.proxies = proxies or TrustedProxies()
        self.apps_by_port = apps_by_port or {}
        self.now = 0.0
        self.backlog_bytes = 0
        timeouts = (
            limits.header_timeout_s,
            limits.body_timeout_s,
            limits.keepalive_timeout_s,
            limits.send_timeout_s,
        )
        self.tick_s = min(_TICK_S, *(timeout_s / 4 for timeout_s in timeouts))
        # `now` may be one tick old: nobody is cut off before the time is over.
        self.header_s, self.body_s, self.keepalive_s, self.send_s = (timeout_s + self.tick_s for timeout_s in timeouts)
        self._open: set[Connection] = set()
        self._by_address: dict[str, int] = {}
        self._nobody_until = float("-inf")
        self._reached = log.LogLimit()
        self._unreadable = log.LogLimit()
        self._excess = Excess()
        self._timer: asyncio.TimerHandle | None = None
        self._clock: Callable[[], float] = lambda: 0.0

    def start(self) -> None:
        """Begin to sweep. To be called inside of the event loop."""
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self.now = loop.time()
        self._timer = loop.call_later(self.tick_s, self._tick, loop)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection) -> bool:
        """Count a new connection in. False where there is no room for it: it is to be refused."""
        limits = self.limits
        address = connection.client[0] if connection.client is not None else ""
        key = "" if not address or is_loopback(address) or address in self.proxies else network_of(address)
        if key and self._by_address.get(key, 0) >= limits.connections_per_address:
            self.reached("max_connections_per_address", address)
            return False
        if len(self._open) >= limits.connections:
            self.reached("max_client_connections", address)
            if not self._make_room():
                return False
        self._open.add(connection)
        connection.counted_as = key
        if key:
            self._by_address[key] = self._by_address.get(key, 0) + 1
        return True

    def left(self, connection: Connection) -> None:
        """Count a connection out; one that is not counted in is no mistake."""
        if connection not in self._open:
            return
        self._open.discard(connection)
        key = connection.counted_as
        if key:
            count = self._by_address[key] - 1
            if count:
                self._by_address[key] = count
            else:
                del self._by_address[key]

    @property
    def keeps_too_much(self) -> bool:
        """Whether requests that cannot be read yet take more memory than they may, all clients together."""
        return self.backlog_bytes > _BACKLOG_BYTES

    def reached(self, limit: str, address: str) -> None:
        """Say that a client has reached a limit; `limit` is the name of its setting."""
        _LIMIT_REACHED.count(limit)
        self._reached.write(_logger.warning, "http_limit_reached", source=limit, limit=limit, client=address)

    def unreadable(self, address: str) -> None:
        """Say that a client has sent what is not HTTP."""
        self._unreadable.write(_logger.warning, "http_not_understood", client=address)

    def sweep(self, now: float) -> None:
        """End what has waited too long."""
        self.now = now
        late = [one for one in self._open if one.deadline <= now or one.send_deadline <= now]
        for connection in late:
            connection.expired()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self.tick_s, self._tick, loop)
        try:
            self.sweep(loop.time())
            self._excess.check(loop.time())
        except Exception:
            _logger.exception("sweep_failed")

    def _make_room(self) -> bool:
        """Close connections that wait for their client: idle ones first, and of these the ones that wait longest.

        A sixteenth of them at once, so that looking for them costs little for each new connection. One that waits for its
        answer is never closed.
        """
        if self._clock() < self._nobody_until:
            return False
        for states in ((WaitingFor.FIRST_BYTE, WaitingFor.NEXT_REQUEST), (WaitingFor.HEADERS,), (WaitingFor.BODY,)):
            found = [one for one in self._open if one.waits_for in states]
            if found:
                found.sort(key=_waits_since)
                for connection in found[: max(1, len(found) // _CLOSED_AT_ONCE)]:
                    # Out of the count now; that it is closed is only heard later.
                    self.left(connection)
                    connection.abort()
                return True
        self._nobody_until = self._clock() + _NOBODY_S
        return False


def _waits_since(connection: Connection) -> float:
    return connection.waits_since


def raise_file_limit() -> int:
    """Ask the system for MOST_OPEN_FILES open files, or as many as it gives. Returns how many this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_OPEN_FILES
    wanted = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MOST_OPEN_FILES, hard)
    if wanted > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return soft
        return wanted
    return soft


def most_connections(files: int, pool_size: int, chosen: int) -> int:
    """How many connections a process takes that may have so many open files; `chosen` by a setting, 0 if by none."""
    room = max(_FEWEST, files - _FILES_BESIDE_CLIENTS - pool_size)
    return min(room, chosen or _MOST_BY_DEFAULT)
