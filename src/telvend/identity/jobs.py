"""Giving up checks that nobody has an answer for: their process died between the hold and the answer.

Any number of processes may do this at once; each check is locked, and looked at again, before its hold is released.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from telvend.errors import Busy
from telvend.identity import store
from telvend.identity.checking import Checking
from telvend.kit.clock import Clock
from telvend.kit.db import Database
from telvend.kit.log import get

LOOK_EVERY_S: Final = 1.0
_AT_ONCE: Final = 100

_log = get(__name__)


class GivingUp:
    """Looks once a second, after `start`."""

    def __init__(
        self,
        database: Database,
        checking: Checking,
        clock: Clock,
        on_death: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._database = database
        self._checking = checking
        self._clock = clock
        self._on_death = on_death
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look; from inside the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="giving identity checks up")
        self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def look(self) -> int:
        """Give up what is due now. Answers how many there were. Raises Busy."""
        async with self._database.connection() as tx:
            due = await store.due(tx, _AT_ONCE)
        given_up = 0
        for verification_id, wallet_id in due:
            if await self._checking.give_up(verification_id, wallet_id):
                given_up += 1
                _log.warning("identity_check_given_up", check=verification_id)
        return given_up

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Busy:
                _log.warning("giving_up_has_no_database")
            await self._clock.sleep(LOOK_EVERY_S)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("giving_up_died", exc_info=error)
            if self._on_death is not None:
                self._on_death(error)
