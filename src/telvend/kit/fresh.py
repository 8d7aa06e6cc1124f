"""A result that is computed once for everybody who asks at the same time, and reused for a short time."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


class Fresh(Generic[T]):
    """`await fresh()` returns what `make` has made, at most `for_s` seconds ago. An exception is kept and raised likewise.

    `make` runs at most once at a time. A caller that is cancelled does not cancel it for the others.
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
    """Mark the exception as retrieved, or asyncio logs it when nobody has waited for it."""
    if not made.cancelled():
        made.exception()
