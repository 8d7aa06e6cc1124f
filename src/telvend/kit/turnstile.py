"""Limits on the concurrency and the memory of requests that are not authenticated yet."""

import asyncio
from types import TracebackType
from typing import Final

from telvend.errors import Busy


class Turnstile:
    """`async with turnstile:` admits `at_once` at a time; up to `waiting` more wait. Raises Busy beyond that."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._inside = asyncio.Semaphore(at_once)
        self._most_waiting = waiting
        self._waiting = 0

    async def __aenter__(self) -> None:
        if self._inside.locked():
            if self._waiting >= self._most_waiting:
                raise Busy
            self._waiting += 1
            try:
                await self._inside.acquire()
            finally:
                self._waiting -= 1
        else:
            await self._inside.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._inside.release()


SMALL_BYTES: Final = 16 * 1024


class Budget:
    """A number of bytes that unauthenticated requests may hold in memory together.

    The first SMALL_BYTES of each are left out of it: honest requests are that small as a rule, and must not be shut out by
    a few that send much and slowly. How many there can be of them is bounded by the connections.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0

    def grow(self, before: int, after: int) -> None:
        """Take what a request needs that grew from `before` to `after` bytes; `shrink` gives it back. Raises Busy where it is not left."""
        self.take(max(0, after - SMALL_BYTES) - max(0, before - SMALL_BYTES))

    def shrink(self, before: int) -> None:
        """Give back all that a request of this size has taken."""
        self.give_back(max(0, before - SMALL_BYTES))

    def take(self, size: int) -> None:
        """Take `size` bytes; the caller gives them back. Raises Busy when fewer are left."""
        if self._taken + size > self._size:
            raise Busy
        self._taken += size

    def give_back(self, size: int) -> None:
        self._taken -= size
