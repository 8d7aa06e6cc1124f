"""Jobs of the console: one of a kind at a time, taken up again where a process was killed, and nothing of them half done."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from telvend.database.connections import Database
from telvend.desk.jobs.model import Job, JobKind, JobState, Progress
from telvend.desk.jobs.service import Jobs
from telvend.desk.jobs.work import closing
from telvend.desk.jobs.worker import JobWorker, Work
from telvend.errors import Busy, InvalidInput, InvariantBroken
from telvend.kit.failpoints import FailpointError
from telvend.reports.service import Reports


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


def worker(database: Database, work: Work) -> JobWorker:
    return JobWorker(database, JobKind.AUDIT, work, renewed_every_s=0.02)


async def done(job: Job, progress: Progress) -> Mapping[str, Any]:
    return {"found": 0}


async def due_now(database: Database) -> None:
    """Let every lease have ended."""
    async with database.connection() as tx:
        await tx.execute("update console_job set due_at = now() - interval '1 second' where due_at is not null")


async def test_one_of_a_kind_is_open_at_a_time_on_all_nodes(database: Database, jobs: Jobs) -> None:
    asked = (jobs.start(JobKind.AUDIT, by_whom=who) for who in ("esi", "kofi", "ama"))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(one, Job) for one in answers].count(True) == 1
    refused = next(one for one in answers if isinstance(one, InvalidInput))
    assert "has started it" in str(refused)
    await jobs.start(JobKind.CLOSE, "2020-01", by_whom="esi")
    runs = 0

    async def counted(job: Job, progress: Progress) -> Mapping[str, Any]:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.1)
        return {}

    await asyncio.gather(*(worker(database, counted).work_off() for _ in range(3)))
    assert runs == 1
    again = await jobs.start(JobKind.AUDIT, by_whom="esi")
    assert again.state is JobState.WAITING


async def test_a_job_says_how_far_it_is_and_ends_with_its_result(database: Database, jobs: Jobs) -> None:
    job = await jobs.start(JobKind.AUDIT, by_whom="esi", reason="month's end")
    seen, go_on = asyncio.Event(), asyncio.Event()

    async def slow(job: Job, progress: Progress) -> Mapping[str, Any]:
        progress(3, 7, "the third rule")
        seen.set()
        await go_on.wait()
        return {"found": 0}

    working = asyncio.ensure_future(worker(database, slow).work_off())
    await seen.wait()
    for _ in range(500):
        now = await jobs.find(job.id)
        if now.done:
            break
        await asyncio.sleep(0.01)
    assert (now.state, now.total, now.step) == (JobState.RUNNING, 7, "the third rule")
    go_on.set()
    await working
    ended = await jobs.find(job.id)
    assert (ended.state, ended.result, ended.reason) == (JobState.DONE, {"found": 0}, "month's end")
    assert ended.took is not None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InvalidInput("month", "is not over"), "is not over"),
        (InvariantBroken("sold 1 by the sales, 2 by the ledger"), "sold 1 by the sales"),
        (ZeroDivisionError("secret"), "An internal error"),
    ],
)
async def test_what_fails_says_why_and_can_be_started_again(
    database: Database, jobs: Jobs, error: Exception, told: str
) -> None:
    async def fails(job: Job, progress: Progress) -> Mapping[str, Any]:
        raise error

    job = await jobs.start(JobKind.AUDIT, by_whom="esi")
    await worker(database, fails).work_off()
    failed = await jobs.find(job.id)
    assert failed.state is JobState.FAILED
    assert told in failed.error
    assert "secret" not in failed.error
    again = await jobs.start(JobKind.AUDIT, by_whom="esi")
    await worker(database, done).work_off()
    assert (await jobs.find(again.id)).state is JobState.DONE


async def test_a_job_waits_while_the_database_is_away(database: Database, jobs: Jobs) -> None:
    async def away(job: Job, progress: Progress) -> Mapping[str, Any]:
        raise Busy

    job = await jobs.start(JobKind.AUDIT, by_whom="esi")
    await worker(database, away).work_off()
    assert (await jobs.find(job.id)).state is JobState.WAITING
    await due_now(database)
    await worker(database, done).work_off()
    assert (await jobs.find(job.id)).state is JobState.DONE


async def test_a_process_that_ends_gives_its_job_back_at_once(database: Database, jobs: Jobs) -> None:
    begun = asyncio.Event()

    async def forever(job: Job, progress: Progress) -> Mapping[str, Any]:
        begun.set()
        await asyncio.Event().wait()
        return {}

    job = await jobs.start(JobKind.AUDIT, by_whom="esi")
    working = asyncio.ensure_future(worker(database, forever).work_off())
    await begun.wait()
    working.cancel()
    await asyncio.wait([working])
    assert (await jobs.find(job.id)).state is JobState.WAITING
    await worker(database, done).work_off()
    assert (await jobs.find(job.id)).state is JobState.DONE


async def test_who_has_lost_the_lease_gives_up_and_says_nothing(database: Database, jobs: Jobs) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def forever(job: Job, progress: Progress) -> Mapping[str, Any]:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return {}

    job = await jobs.start(JobKind.AUDIT, by_whom="esi")
    paused = asyncio.ensure_future(worker(database, forever).work_off())
    await begun.wait()
    async with database.connection() as tx:
        await tx.execute("update console_job set claims = claims + 1")  # Another node has taken it up.
    async with asyncio.timeout(5):
        await paused
    assert cancelled.is_set()
    assert (await jobs.find(job.id)).state is JobState.RUNNING


async def test_what_ends_every_process_is_not_tried_for_ever(database: Database, jobs: Jobs) -> None:
    job = await jobs.start(JobKind.AUDIT, by_whom="esi")
    async with database.connection() as tx:
        await tx.execute("update console_job set claims = 10")
    await worker(database, done).work_off()
    assert "interrupted 10 times" in (await jobs.find(job.id)).error


async def test_a_month_is_closed_once_though_its_process_dies_before_saying_so(
    database: Database, jobs: Jobs, armed: Callable[[str], None]
) -> None:
    reports = Reports(database, ZoneInfo("UTC"))
    closer = JobWorker(database, JobKind.CLOSE, closing(reports), renewed_every_s=0.05)
    job = await jobs.start(JobKind.CLOSE, "2020-01", by_whom="esi")
    for point in ("job.after_claim=error@1", "job.after_work=error@1"):
        armed(point)
        with pytest.raises(FailpointError):
            await closer.work_off()
        await due_now(database)
    assert len(await reports.closed()) == 1
    await closer.work_off()
    ended = await jobs.find(job.id)
    assert ended.state is JobState.DONE, ended.error
    (closed,) = await reports.closed()
    assert (str(closed.month), closed.by_whom) == ("2020-01", "esi")
    second = await jobs.start(JobKind.CLOSE, "2020-01", by_whom="esi")
    await closer.work_off()
    assert "was closed on" in (await jobs.find(second.id)).error
    assert datetime.now(UTC) >= closed.closed_at
