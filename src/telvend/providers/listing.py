"""A list of a vendor's that changes rarely, such as its plans, kept for some minutes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from telvend.kit.clock import Clock
from telvend.providers.over_http import ProviderReply

if TYPE_CHECKING:
    import httpx

KEPT_S: Final = 300.0
"""How long a list that was read is used."""

KEPT_AFTER_FAILURE_S: Final = 15.0
"""How long a list that could not be read is not asked for again, unless it is demanded."""

T = TypeVar("T")


class Parsed(Generic[T]):
    """What was read from the answer of a URL, kept for as long as the answer is. Reading a long list takes milliseconds."""

    def __init__(self, read: Callable[[ProviderReply], T]) -> None:
        self._read = read
        self._kept: dict[str, tuple[ProviderReply, T]] = {}

    def of(self, request: "httpx.Request", reply: ProviderReply) -> T:
        url = str(request.url)
        kept = self._kept.get(url)
        if kept is None or kept[0] is not reply:
            kept = self._kept[url] = (reply, self._read(reply))
        return kept[1]


class Listing:
    """The answer to one GET, per URL. Concurrent callers share one request."""

    def __init__(self, ask: Callable[["httpx.Request"], Awaitable[ProviderReply | None]], clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._known: dict[str, tuple[float, ProviderReply | None]] = {}
        self._reading: dict[str, asyncio.Lock] = {}

    async def get(self, request: "httpx.Request", *, newer_than_s: float = KEPT_S) -> ProviderReply | None:
        """Return the answer, read anew where it is older than `newer_than_s`; None where there is none."""
        url = str(request.url)
        async with self._reading.setdefault(url, asyncio.Lock()):
            read_at, reply = self._known.get(url, (float("-inf"), None))
            usable_s = newer_than_s if reply is not None and reply.http_status == 200 else KEPT_AFTER_FAILURE_S
            if self._clock.monotonic() - read_at >= usable_s:
                reply = await self._ask(request)
                self._known[url] = (self._clock.monotonic(), reply)
            return reply

    def peek(self, request: "httpx.Request") -> ProviderReply | None:
        """Return the answer that is kept, however old; None where there is none."""
        return self._known.get(str(request.url), (0.0, None))[1]

    def forget(self) -> None:
        """Read every list anew."""
        self._known.clear()
