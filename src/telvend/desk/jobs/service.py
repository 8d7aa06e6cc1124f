"""The verbs of jobs for who starts them: start one, look how far it is. The work itself is later work: `worker.py`."""

import asyncpg

from telvend.database.connections import Database
from telvend.desk.jobs import store
from telvend.desk.jobs.model import Job, JobKind
from telvend.errors import InvalidInput, NotFound


class Jobs:
    """The jobs of one shop."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self, kind: JobKind, subject: str = "", *, by_whom: str, reason: str = "") -> Job:
        """Have a job done in the background. Raises InvalidInput where one of its kind is open on any node, and Busy."""
        try:
            async with self._database.transaction() as tx:
                return await store.insert(tx, kind, subject, reason, by_whom)
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != store.ONE_AT_ONCE:
                raise
        open_ = next((one for one in await self.opened() if one.kind is kind), None)
        whose = "" if open_ is None else f", {open_.by_whom} has started it"
        raise InvalidInput("", f"This runs already{whose}: wait until it has ended.")

    async def find(self, number: int) -> Job:
        """The job with this number. Raises NotFound, Busy."""
        async with self._database.connection() as tx:
            found = await store.find(tx, number)
        if found is None:
            raise NotFound("Job")
        return found

    async def opened(self) -> list[Job]:
        """The jobs that have not ended. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.opened(tx)

    async def last_done(self, kind: JobKind, subject: str = "") -> Job | None:
        """The job that was done last of this kind and subject. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.last_done(tx, kind, subject)

    async def listed(self, *, before: int | None = None, limit: int) -> list[Job]:
        """Every job, newest first. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.listed(tx, before, limit)
