"""Removes the attempts of orders that were delivered long ago, in small transactions, while few purchases wait.

Any number of processes may do this; one of them does each time.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from telvend.database.connections import Database
from telvend.fulfilment.retention import store
from telvend.kit.clock import Clock
from telvend.kit.periodic import PeriodicTask
from telvend.kit.runtime import NO_RUNTIME, Runtime

EVERY_S: Final = 300.0
_AT_ONCE: Final = 1000
_PAUSE_S: Final = 0.1
_BUSY_FROM: Final = 16
"""Purchases that wait in this process, from which on it is put off."""


class AttemptRetention(PeriodicTask):
    """Looks every five minutes, after `start`. `pressure`: how many purchases wait in this process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        after_days: int,
        *,
        pressure: Callable[[], int] = lambda: 0,
        runtime: Runtime = NO_RUNTIME,
        at_once: int = _AT_ONCE,
    ) -> None:
        super().__init__("removing old attempts", self.look, clock, every_s=EVERY_S, runtime=runtime)
        self._database = database
        self._clock = clock
        self._after = timedelta(days=after_days)
        self._pressure = pressure
        self._at_once = at_once

    async def look(self) -> int:
        """Remove what is old now. Returns how many attempts that were. Raises Busy."""
        removed, more = 0, True
        while more and self._pressure() < _BUSY_FROM:
            async with self._database.transaction() as tx:
                more, count = await store.remove(tx, datetime.now(UTC) - self._after, self._at_once)
            removed += count
            await self._clock.sleep(_PAUSE_S)
        return removed
