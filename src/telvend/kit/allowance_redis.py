"""The allowance of several nodes: requests are counted in Redis, by the `limits` library.

Up to 100,000 a minute the window is exact (`limits` calls it a moving window; Redis keeps one entry per request). For
higher limits, where that would take too much room, the count of the previous minute is weighted instead (a sliding
window counter): never double at a minute's edge, but over a full minute it lets through what a token bucket would.
The times are those of the nodes, whose clocks must agree to a fraction of a second (NTP).

When Redis does not answer within 200 ms, the node's own SharedAllowance decides, and for the next second nobody waits
for Redis again. While that lasts each node grants the limit by itself, so a key has at most `limit` times the
number of nodes; it is logged once a minute.
"""

import asyncio
import math
import time
from functools import lru_cache
from typing import Self

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage, Storage
from limits.aio.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from telvend.kit.allowance import HIGHEST_LIMIT, WINDOW_S, AllowanceKind, AllowanceVerdict, SharedAllowance
from telvend.kit.log import LogLimit, get

ANSWER_WITHIN_S = 0.2
_LEAVE_ALONE_S = 1.0
_CONNECTIONS = 32
_HIGHEST_EXACT_LIMIT = 100_000

_log = get(__name__)


class RedisAllowance:
    """Allowances in Redis, with those of the node for the time when Redis is away."""

    def __init__(
        self, storage: Storage, fallback: SharedAllowance, *, answer_within_s: float = ANSWER_WITHIN_S
    ) -> None:
        self._fallback = fallback
        self._answer_within_s = answer_within_s
        self._exact = MovingWindowRateLimiter(storage)
        self._weighted = SlidingWindowCounterRateLimiter(storage)
        self._connections: BlockingConnectionPool | None = None
        self._leave_alone_until_s = 0.0
        self._away = False
        self._failures = LogLimit()

    @classmethod
    def at(cls, url: str, fallback: SharedAllowance) -> Self:
        """Use the Redis at `url` (redis://, rediss:// or unix://). Nothing is connected before the first request."""
        connections = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=ANSWER_WITHIN_S,
            socket_timeout=ANSWER_WITHIN_S,
            socket_connect_timeout=ANSWER_WITHIN_S,
            # A request is not counted a second time because its answer was lost; the node decides instead.
            retry=Retry(NoBackoff(), 0),
        )
        storage = RedisStorage(
            f"async+redis+{url}" if url.startswith("unix:") else f"async+{url}",
            implementation="redispy",
            key_prefix="telvend",
            connection_pool=connections,  # type: ignore[arg-type]
        )
        allowance = cls(storage, fallback)
        allowance._connections = connections
        return allowance

    async def take(self, key: bytes, kind: AllowanceKind, limit: int) -> AllowanceVerdict:
        """Count one request of `key`, on all nodes. Raises ValueError for a limit outside of 1 to HIGHEST_LIMIT."""
        if not 0 < limit <= HIGHEST_LIMIT:
            raise ValueError(f"A limit is between 1 and {HIGHEST_LIMIT} a minute, not {limit}.")
        now_s = time.monotonic()
        if now_s < self._leave_alone_until_s:
            return self._fallback.take(key, kind, limit)
        if self._away:  # This request finds out whether Redis is back; the others do not wait with it.
            self._leave_alone_until_s = now_s + _LEAVE_ALONE_S
        try:
            async with asyncio.timeout(self._answer_within_s):
                verdict = await self._ask(key, kind, limit)
        except (RedisError, OSError, TimeoutError) as error:
            self._away = True
            self._leave_alone_until_s = time.monotonic() + _LEAVE_ALONE_S
            self._failures.write(
                _log.warning,
                "allowance_redis_away",
                problem=repr(error),
                consequence="each node grants limits by itself",
            )
            return self._fallback.take(key, kind, limit)
        if self._away:
            self._away = False
            self._leave_alone_until_s = 0.0
            _log.info("allowance_redis_back")
        return verdict

    async def close(self) -> None:
        """Close the connections to Redis. The node's own allowance stays open."""
        if self._connections is not None:
            await self._connections.disconnect()

    async def _ask(self, key: bytes, kind: AllowanceKind, limit: int) -> AllowanceVerdict:
        limiter = self._exact if limit <= _HIGHEST_EXACT_LIMIT else self._weighted
        item = _item(limit)
        name = f"{key.hex()}/{kind.name}"
        allowed = await limiter.hit(item, name)
        window = await limiter.get_window_stats(item, name)
        # A millisecond later than the window says, because what is exactly a minute old still counts there.
        grows_in_s = min(max(1, math.ceil(window.reset_time - time.time() + 0.001)), WINDOW_S)
        if allowed:
            return AllowanceVerdict(True, limit, max(0, window.remaining), grows_in_s, 0)
        return AllowanceVerdict(False, limit, 0, grows_in_s, grows_in_s)


class _PerMinute(RateLimitItemPerMinute):
    """A limit whose counts stay when it is raised or lowered: the library puts the amount into the name, this does not."""

    def key_for(self, *identifiers: bytes | str | int | float) -> str:
        return "/".join(("allowance", *map(str, identifiers)))


@lru_cache(maxsize=1024)
def _item(limit: int) -> _PerMinute:
    return _PerMinute(limit)
