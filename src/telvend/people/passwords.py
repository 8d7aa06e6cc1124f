"""Hashing of passwords and purchase PINs with argon2id, in threads of its own, a few at a time.

A check takes about 25 ms of one core on the machine where it was measured, 45 ms under load, and 19 MiB: the least that OWASP's
"Password Storage Cheat Sheet" recommends. So many run at once that half of a small server is left for sales.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from telvend.kit.turnstile import Turnstile

TIME_COST: Final = 2
MEMORY_KIB: Final = 19 * 1024
_AT_ONCE: Final = max(1, (os.cpu_count() or 2) // 2)
_MOST_WAITING: Final = 64

T = TypeVar("T")


class Passwords:
    """Makes and checks hashes. Raises Busy where too many wait already."""

    def __init__(self, *, time_cost: int = TIME_COST, memory_kib: int = MEMORY_KIB) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="argon2")
        self._turnstile = Turnstile(_AT_ONCE, _MOST_WAITING)
        self._nobodys: str | None = None
        self.checks = 0
        """How many hashes were compared, also with nobody's: what an answer may be told by."""

    async def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False)

    async def hash(self, text: str) -> str:
        """Return the hash of a text, with its salt and parameters in it."""
        async with self._turnstile:
            return await self._run(lambda: self._hasher.hash(text))

    async def fits(self, hashed: str | None, text: str) -> bool:
        """Return whether the hash is that of this text. Without a hash it is not, which takes as long to say."""
        if self._nobodys is None:
            self._nobodys = await self.hash(os.urandom(16).hex())
        compared = hashed or self._nobodys
        self.checks += 1
        async with self._turnstile:
            fits = await self._run(lambda: self._verify(compared, text))
        return fits and bool(hashed)

    def is_outdated(self, hashed: str) -> bool:
        """Return whether a hash was made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(hashed)

    def _verify(self, hashed: str, text: str) -> bool:
        try:
            return self._hasher.verify(hashed, text)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
