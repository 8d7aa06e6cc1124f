"""Does the jobs that are due, one of each kind at a time on all nodes together.

A job in hand has a lease, which is renewed while its work goes on. Where the process dies the lease ends and another one begins the
work anew; where a process has lost the lease, as after it was paused, it gives its work up. What a kind changes it changes in one
transaction, so that work that was given up or killed has done nothing, or everything.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from telvend.database.connections import Database
from telvend.desk.jobs import store
from telvend.desk.jobs.model import Job, JobKind, Progress
from telvend.errors import Busy, TelvendError
from telvend.kit.failpoints import hit_async
from telvend.kit.log import get

Work = Callable[[Job, Progress], Awaitable[Mapping[str, Any]]]
"""Do a job and return its result. A TelvendError says why it cannot be done; after Busy it is tried again."""

EVERY_S: Final = 1.0
"""The interval at which due jobs are looked for."""
_LEASE_S: Final = 30.0
_RENEWED_EVERY_S: Final = 2.0
_BUSY_FOR_S: Final = 5.0
_MOST_CLAIMS: Final = 10
"""A job that was taken up so often has ended each of its processes, and is not tried again."""
_LOOKS_PER_CORRECTION: Final = 30

_log = get(__name__)


class JobWorker:
    """Does jobs of one kind. `work_off` is called again and again."""

    def __init__(
        self, database: Database, kind: JobKind, work: Work, *, renewed_every_s: float = _RENEWED_EVERY_S
    ) -> None:
        self._database = database
        self._kind = kind
        self._work = work
        self._renewed_every_s = renewed_every_s
        self._looks = 0

    async def work_off(self) -> None:
        """Do the job that is due, if there is one. Raises Busy when the database is away."""
        async with self._database.connection() as tx:
            due = await store.is_due(tx, self._kind)
        if self._looks % _LOOKS_PER_CORRECTION == 0:
            async with self._database.connection() as tx:
                await store.correct_jumped_clock(tx)
        self._looks += 1
        if not due:
            return
        async with self._database.transaction() as tx:
            job = await store.claim(tx, self._kind, _LEASE_S)
        if job is not None:
            await hit_async("job.after_claim")
            await self._do(job)

    async def _do(self, job: Job) -> None:
        if job.claims > _MOST_CLAIMS:
            await self._end(job, None, f"It was interrupted {_MOST_CLAIMS} times, and is not tried again by itself.")
            return
        at = (0, 0, "")

        def progress(done: int, total: int, step: str) -> None:
            nonlocal at
            at = (done, total, step)

        work = asyncio.ensure_future(self._work(job, progress))
        try:
            while not (await asyncio.wait([work], timeout=self._renewed_every_s))[0]:
                with suppress(Busy):
                    async with self._database.connection() as tx:
                        held = await store.advance(tx, job, at, _LEASE_S)
                    if not held:
                        _log.warning("job_lost", job=job.id, kind=job.kind)
                        return
        except asyncio.CancelledError:
            await _give_up(work)
            # The next one begins at once. Without the database it begins when the lease has ended.
            with suppress(Busy):
                async with self._database.connection() as tx:
                    await store.put_off(tx, job, 0.0)
            raise
        finally:
            await _give_up(work)
        await hit_async("job.after_work")
        await self._settle(job, work)

    async def _settle(self, job: Job, work: "asyncio.Future[Mapping[str, Any]]") -> None:
        match work.exception():
            case None:
                await self._end(job, work.result(), "")
            case Busy():
                async with self._database.connection() as tx:
                    await store.put_off(tx, job, _BUSY_FOR_S)
            case TelvendError() as error:
                _log.error("job_failed", job=job.id, kind=job.kind, why=str(error))
                await self._end(job, None, str(error))
            case error:
                _log.error("job_failed", job=job.id, kind=job.kind, exc_info=error)
                await self._end(job, None, f"An internal error; the server's log has it under job {job.id}.")

    async def _end(self, job: Job, result: Mapping[str, Any] | None, error: str) -> None:
        async with self._database.connection() as tx:
            await store.finish(tx, job, result, error)


async def _give_up(work: "asyncio.Future[Mapping[str, Any]]") -> None:
    work.cancel()
    await asyncio.wait([work])
