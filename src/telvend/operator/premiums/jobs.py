"""Forgetting old answers, so that the table does not grow for ever.

Any number of processes may do this at once.
"""

from typing import Final

from telvend.database.connections import Database
from telvend.kit.clock import Clock
from telvend.kit.periodic import PeriodicTask
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.operator.premiums import store

LOOK_EVERY_S: Final = 600.0
_AT_ONCE: Final = 5_000


class QuoteRetention(PeriodicTask):
    """Deletes answers that are older than `after_days`, every ten minutes after `start`."""

    def __init__(self, database: Database, clock: Clock, after_days: int, runtime: Runtime = NO_RUNTIME) -> None:
        super().__init__("forgetting premiums", self.look, clock, every_s=LOOK_EVERY_S, runtime=runtime)
        self._database = database
        self._after_days = after_days

    async def look(self) -> int:
        """Forget what is old enough now. Returns how many answers that were. Raises Busy."""
        forgotten = 0
        while True:
            async with self._database.connection() as tx:
                gone = await store.forget(tx, self._after_days, _AT_ONCE)
            forgotten += gone
            if gone < _AT_ONCE:
                return forgotten
