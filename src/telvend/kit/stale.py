"""A result that is shown as it was made last, and made again behind the back of whoever asks.

standings = Stale(read_standings, fresh_s=10.0)
await standings()         # waits the first time only
await standings.close()
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

from telvend.errors import Busy
from telvend.kit.log import get

T = TypeVar("T")

_log = get(__name__)


class Stale(Generic[T]):
    """`await stale()` returns what `make` has made last; when that is `fresh_s` old, `make` runs again for the next one who asks.

    Somebody waits where there is nothing yet, or nothing that `counts`. `make` runs at most once at a time. Its exceptions are
    raised to those who wait for it, and logged where nobody does.
    """

    def __init__(
        self,
        make: Callable[[], Awaitable[T]],
        fresh_s: float,
        *,
        counts: Callable[[T], bool] = lambda _: True,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._make = make
        self._fresh_s = fresh_s
        self._counts = counts
        self._clock = clock
        self._latest: tuple[float, T] | None = None
        self._making: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        if self._latest is not None and self._counts(self._latest[1]):
            made_at, found = self._latest
            if self._clock() - made_at >= self._fresh_s:
                self.renew()
            return found
        return await asyncio.shield(self.renew())

    def renew(self) -> "asyncio.Task[T]":
        """Make it again, unless that is under way. For callers that have just changed what it is made of."""
        if self._making is None or self._making.done():
            self._making = asyncio.get_running_loop().create_task(self._run())
            self._making.add_done_callback(_retrieved)
        return self._making

    async def close(self) -> None:
        """Give up what is being made."""
        if self._making is not None and not self._making.done():
            self._making.cancel()
            await asyncio.wait([self._making])

    async def _run(self) -> T:
        found = await self._make()
        self._latest = self._clock(), found
        return found


def _retrieved(task: "asyncio.Task[T]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Busy):
        _log.error("not_made_again", exc_info=error)
