"""Removes events, deliveries and attempts that are older than they are kept, a thousand at a time.

Any number of processes may do it; one of them does each time.
"""

from typing import Final

from telvend.database.connections import Database, increment_revision
from telvend.kit.clock import Clock
from telvend.kit.periodic import PeriodicTask
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.webhooks import store
from telvend.webhooks.model import RETRIES_S, SPREAD

EVERY_S: Final = 300.0
AT_ONCE: Final = 1000
_PAUSE_S: Final = 0.1


class WebhookRetention(PeriodicTask):
    """Looks every five minutes, after `start`."""

    def __init__(self, database: Database, clock: Clock, runtime: Runtime = NO_RUNTIME) -> None:
        super().__init__("removing old webhooks", self.look, clock, every_s=EVERY_S, runtime=runtime)
        self._database = database

    async def look(self) -> int:
        """Remove what is old now. Return how many events that were. Raises Busy."""
        removed = 0
        after: int | None = 0
        while after is not None:
            async with self._database.transaction() as tx:
                if not await store.hold_cleaning(tx):
                    return removed
                if not after:
                    if await store.remove_ended_listeners(tx):
                        await increment_revision(tx, store.TOPIC)
                    await store.correct_jumped_clock(tx, RETRIES_S[-1] * (1 + SPREAD) + 60)
                old, after = await store.oldest_events(tx, after, AT_ONCE)
                if old:
                    removed += await store.remove_events(tx, old)
            await self._clock.sleep(_PAUSE_S)
        return removed
