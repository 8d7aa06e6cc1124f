"""Forgetting old answers, so that the table does not grow for ever.

Any number of processes may do this at once.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from telvend.errors import Busy
from telvend.kit.clock import Clock
from telvend.kit.db import Database
from telvend.kit.log import get
from telvend.subscribers.premiums import store

LOOK_EVERY_S: Final = 600.0
_AT_ONCE: Final = 5_000

_log = get(__name__)


class Forgetting:
    """Deletes answers that are older than `after_days`, every ten minutes after `start`."""

    def __init__(
        self, database: Database, clock: Clock, after_days: int, on_death: Callable[[BaseException], None] | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._after_days = after_days
        self._on_death = on_death
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look; from inside the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="forgetting premiums")
        self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def look(self) -> int:
        """Forget what is old enough now. Answers how many answers that were. Raises Busy."""
        forgotten = 0
        while True:
            async with self._database.connection() as tx:
                gone = await store.forget(tx, self._after_days, _AT_ONCE)
            forgotten += gone
            if gone < _AT_ONCE:
                return forgotten

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Busy:
                _log.warning("forgetting_has_no_database")
            await self._clock.sleep(LOOK_EVERY_S)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("forgetting_died", exc_info=error)
            if self._on_death is not None:
                self._on_death(error)
