"""Sessions of developers who look on: what happens is written for each of them, beside what endpoints are sent.

    async with listening.session(reseller_id) as session:     # None for everybody's events
        for event in await session.waiting(16): ...
        await session.shown(events)

| what | how |
|---|---|
| nothing is missed | the transaction of the change writes a row for each session, as it does for endpoints |
| nobody is slowed | without a session nothing more is executed; a session that is behind keeps `MOST_WAITING` events |
| kill -9 | a session that was not put off for `LASTS_S` is written to no more; serving processes remove it |
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from telvend.database.connections import Database, increment_revision
from telvend.errors import Busy, InvalidInput
from telvend.kit.clock import Clock, SystemClock
from telvend.webhooks import store
from telvend.webhooks.keys import WebhookKeys
from telvend.webhooks.outbox import SETTLED_S
from telvend.webhooks.store import ListenerEvent

LASTS_S: Final = 60.0
"""How long a session lasts that nobody puts off."""

PUT_OFF_EVERY_S: Final = 10.0

MOST_WAITING: Final = 10_000
"""So many events wait for a session; the oldest of more are left off."""

MOST_SESSIONS: Final = 16


class Listening:
    """Opens sessions. `settled_s`: how long it takes until every process knows of one."""

    def __init__(
        self, database: Database, keys: WebhookKeys, *, clock: Clock | None = None, settled_s: float = SETTLED_S
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock or SystemClock()
        self._settled_s = settled_s

    async def secret(self) -> bytes:
        """What messages of sessions are signed with: the same for all of a shop, and at every run. Raises KeyRefused, Busy."""
        return (await self._keys.ready()).listening

    @asynccontextmanager
    async def session(self, reseller_id: UUID | None) -> AsyncIterator["ListenSession"]:
        """A session that everything is written for that is committed once this has begun. Raises InvalidInput, Busy."""
        session = ListenSession(self._database, reseller_id)
        await session.open()
        try:
            await self._clock.sleep(self._settled_s)
            yield session
        finally:
            # Without a database it ends by itself.
            with contextlib.suppress(Busy):
                await asyncio.shield(session.close())


class ListenSession:
    """One session. `missed` counts what was left off because it was behind."""

    def __init__(self, database: Database, reseller_id: UUID | None) -> None:
        self._database = database
        self._reseller_id = reseller_id
        self._id = 0
        self.missed = 0

    async def open(self) -> None:
        """Begin to be written for. Raises InvalidInput, Busy."""
        async with self._database.transaction() as tx:
            await store.remove_ended_listeners(tx)
            self._id = await store.insert_listener(tx, self._reseller_id, LASTS_S, MOST_SESSIONS)
            if not self._id:
                raise InvalidInput(
                    "listen", f"would be one session more than the {MOST_SESSIONS} that a shop has at once"
                )
            await increment_revision(tx, store.TOPIC)

    async def waiting(self, limit: int) -> list[ListenerEvent]:
        """The oldest events that were not shown yet. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.listener_events(tx, self._id, limit)

    async def shown(self, events: Sequence[ListenerEvent]) -> None:
        """Note that these were shown. Raises Busy."""
        async with self._database.connection() as tx:
            await store.remove_listener_events(tx, [event.id for event in events])

    async def put_off(self) -> bool:
        """Let the session last on. False where it had ended, as after a machine has slept: it has begun anew. Raises Busy."""
        async with self._database.transaction() as tx:
            lasts = await store.put_listener_off(tx, self._id, LASTS_S)
            if lasts:
                self.missed += await store.leave_listener_events_off(tx, self._id, MOST_WAITING)
        if not lasts:
            await self.open()
        return lasts

    async def close(self) -> None:
        """End it, and remove what was written for it. Raises Busy."""
        async with self._database.transaction() as tx:
            await store.remove_listener(tx, self._id)
            await increment_revision(tx, store.TOPIC)
