"""An answer that everybody may have for a moment: made once for all who ask together, and kept for so long."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


class Fresh(Generic[T]):
    """`await fresh()` returns what `make` has made, at most `for_s` seconds ago. An exception is kept and raised likewise.

    However many ask, `make` runs once at a time; one who gives up does not take it from the others.
    """

    def __init__(self, make: Callable[[], Awaitable[T]], for_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._make = make
        self._for_s = for_s
        self._clock = clock
        self._made: asyncio.Future[T] | None = None
        self._made_at = float("-inf")

    async def __call__(self) -> T:
        made = self._made
        if made is None or (made.done() and (made.cancelled() or self._clock() - self._made_at >= self._for_s)):
            made = self._made = asyncio.ensure_future(self._run())
            made.add_done_callback(_retrieved)
        return await asyncio.shield(made)

    async def _run(self) -> T:
        try:
            return await self._make()
        finally:
            self._made_at = self._clock()


def _retrieved(made: "asyncio.Future[T]") -> None:
    """An exception that nobody waited for is no news."""
    if not made.cancelled():
        made.exception()
