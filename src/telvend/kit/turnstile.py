"""Letting in few at a time those of whom nothing is known yet, so that they never take everything from those who pay."""

import asyncio
from types import TracebackType

from telvend.errors import Busy


class Turnstile:
    """`async with turnstile:` waits while `at_once` are inside. Raises Busy where `waiting` wait already."""

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


class Budget:
    """A number of bytes that requests of whom nothing is known may hold in memory together."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0

    def take(self, size: int) -> None:
        """Take so many bytes, to be given back by whoever took them. Raises Busy where there are no more."""
        if self._taken + size > self._size:
            raise Busy
        self._taken += size

    def give_back(self, size: int) -> None:
        self._taken -= size
