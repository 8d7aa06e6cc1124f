"""Noticing, within a quarter of a second, that another process has changed what this one remembers.

It uses a connection of its own, so that it also notices when the database does not answer. A statement on a dead connection waits
for its whole time-out, so all connections are ended after one look without an answer. Once a second it also ends sessions, of any
process, that would keep their locks because no time-out of the server applies to them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from telvend.database.connections import CONNECTION_LOSS, TRANSIENT, Database, DedicatedConnection, Tx, revisions
from telvend.database.session import end_stuck_sessions
from telvend.errors import Busy
from telvend.kit.clock import Clock
from telvend.kit.log import get

INTERVAL_S: Final = 0.25
PATIENCE_S: Final = 3.0
"""How long one look may take before the database counts as away."""

_END_STUCK_EVERY_S: Final = 1.0

_log = get(__name__)


class Watch:
    """Looks at the revisions four times a second. `changed[topic]` is called when one has moved.

    `looked` is told the monotonic time from before each look that succeeded, so that whoever trusts a memory can tell
    how old that trust is. `each` is called at every look, first. `changed` callbacks get the connection and must not keep it.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        changed: Mapping[str, Callable[[Tx], Awaitable[None]]],
        looked: Callable[[float], None],
        each: Callable[[Tx], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._connection = DedicatedConnection(database, lane=False)
        self._looked_at: float | None = None
        self._ended_stuck_at = 0.0
        self._clock = clock
        self._changed = changed
        self._looked = looked
        self._each = each
        self._seen: dict[str, int] = {}
        # One look at a time: of two that overlap, the one that began first could put what it had read, which is older,
        # in the place of what the other has loaded, and nobody would look again.
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Look once. Raises Busy when the database is away."""
        async with self._looking:
            at = self._clock.monotonic()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    now = await self._read(await self._connection.get())
            except TimeoutError as error:
                self._database.drop_connections()
                raise self._connection.busy(error) from error
            except CONNECTION_LOSS as error:
                self._connection.drop()
                raise self._connection.busy(error) from error
            except TRANSIENT as error:
                raise self._connection.busy(error) from error
            except asyncio.CancelledError:
                # A statement is only half said.
                self._connection.drop()
                raise
            self._seen = now
            self._looked_at = self._clock.monotonic()
            self._looked(at)

    async def _read(self, tx: Tx) -> dict[str, int]:
        if self._each is not None:
            await self._each(tx)
        now = await revisions(tx)
        for topic, callback in self._changed.items():
            if now.get(topic) != self._seen.get(topic):
                await callback(tx)
        await self._database.probe(tx)
        if self._task is not None and self._clock.monotonic() - self._ended_stuck_at >= _END_STUCK_EVERY_S:
            self._ended_stuck_at = self._clock.monotonic()
            if ended := await end_stuck_sessions(tx):
                _log.warning("stuck_sessions_ended", sessions=ended)
        return now

    @property
    def answers(self) -> bool:
        """Whether the database has answered within the last seconds. Only of worth while the watch runs."""
        return self._looked_at is not None and self._clock.monotonic() - self._looked_at < PATIENCE_S

    @property
    def runs(self) -> bool:
        return self._task is not None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="watch")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._connection.close()

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Busy:
                pass  # Trust in what is remembered runs out by itself.
            except Exception:
                _log.exception("watch_failed")
            await self._clock.sleep(INTERVAL_S)
