"""A clock for tests: time passes when the test says so, or as fast as everybody can sleep."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Starts at midnight, 1 January 2026. `hurry`: nobody waits, each sleep moves the clock on at once."""

    def __init__(self, *, hurry: bool = True) -> None:
        self.hurry = hurry
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._count = 0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        if self.hurry:
            self._elapsed_s += seconds
            await asyncio.sleep(0)
            return
        self._count += 1
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self._elapsed_s + seconds, self._count, woken))
        await woken.wait()

    def pass_time(self, seconds: float) -> None:
        """Let time pass and wake whoever is due."""
        self._elapsed_s += seconds
        while self._sleepers and self._sleepers[0][0] <= self._elapsed_s:
            heapq.heappop(self._sleepers)[2].set()
