"""All SQL of the console's jobs."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from telvend.database.connections import Tx
from telvend.database.due import claim_sql, correct_jumped_clock_sql
from telvend.desk.jobs.model import Job, JobKind, JobState

ONE_AT_ONCE: Final = "console_job_one_at_once"
"""The constraint that is violated where a second job of a kind is to be opened."""

_NAMES: Final = (
    "id", "kind", "subject", "reason", "by_whom", "state", "claims", "done", "total", "step", "result", "error", "asked_at",
    "started_at", "ended_at",
)  # fmt: skip
_COLUMNS: Final = ", ".join(_NAMES)
_CLAIM: Final = claim_sql(
    "console_job",
    ", ".join(f"claimed.{name}" for name in _NAMES),
    "state = 'running', claims = before.claims + 1, started_at = now(), updated_at = now(), done = 0, total = 0, step = ''",
    "kind = $3",
)
_CORRECT_CLOCK: Final = correct_jumped_clock_sql("console_job")


def _job(row: Any) -> Job:
    result = None if row["result"] is None else msgspec.json.decode(row["result"], type=dict[str, Any])
    return Job(
        row["id"], JobKind(row["kind"]), row["subject"], row["reason"], row["by_whom"], JobState(row["state"]), row["claims"],
        row["done"], row["total"], row["step"], result, row["error"], row["asked_at"], row["started_at"], row["ended_at"],
    )  # fmt: skip


async def insert(tx: Tx, kind: JobKind, subject: str, reason: str, by_whom: str) -> Job:
    """Open a job. Raises UniqueViolationError (ONE_AT_ONCE)."""
    row = await tx.fetchrow(
        f"insert into console_job (kind, subject, reason, by_whom) values ($1, $2, $3, $4) returning {_COLUMNS}",
        kind, subject, reason, by_whom,
    )  # fmt: skip
    return _job(row)


async def find(tx: Tx, job_id: int) -> Job | None:
    row = await tx.fetchrow(f"select {_COLUMNS} from console_job where id = $1", job_id)
    return None if row is None else _job(row)


async def opened(tx: Tx) -> list[Job]:
    """The jobs that have not ended: at most one of each kind."""
    return [_job(row) for row in await tx.fetch(f"select {_COLUMNS} from console_job where due_at is not null")]


async def last_done(tx: Tx, kind: JobKind, subject: str) -> Job | None:
    """The job that was done last of this kind and subject."""
    row = await tx.fetchrow(
        f"select {_COLUMNS} from console_job where kind = $1 and subject = $2 and state = 'done' order by id desc limit 1",
        kind,
        subject,
    )
    return None if row is None else _job(row)


async def listed(tx: Tx, before: int | None, limit: int) -> list[Job]:
    """Every job, newest first."""
    found = await tx.fetch(
        f"select {_COLUMNS} from console_job where id < $1 order by id desc limit $2",
        2**62 if before is None else before,
        limit,
    )
    return [_job(row) for row in found]


# The worker ------------------------------------------------------------------------------------------------------------------


async def is_due(tx: Tx, kind: JobKind) -> bool:
    """Whether a job of this kind can be taken up. Cheap where none is open."""
    return bool(await tx.fetchval("select exists (select from console_job where kind = $1 and due_at <= now())", kind))


async def claim(tx: Tx, kind: JobKind, lease_s: float) -> Job | None:
    """Take up the job of this kind that is due."""
    row = await tx.fetchrow(_CLAIM, 1, lease_s, kind)
    return None if row is None else _job(row)


async def advance(tx: Tx, job: Job, at: tuple[int, int, str], lease_s: float) -> bool:
    """Note how far a job is and keep its lease; False where somebody else has taken it up."""
    return await _changed(
        tx,
        "update console_job set due_at = now() + make_interval(secs => $3), updated_at = now(), done = $4, total = $5, step = $6"
        " where id = $1 and claims = $2 and due_at is not null returning id",
        job, lease_s, *at,
    )  # fmt: skip


async def put_off(tx: Tx, job: Job, after_s: float) -> bool:
    """Give a job back: it is taken up again after so long."""
    return await _changed(
        tx,
        "update console_job set state = 'waiting', due_at = now() + make_interval(secs => $3), updated_at = now()"
        " where id = $1 and claims = $2 and due_at is not null returning id",
        job, after_s,
    )  # fmt: skip


async def finish(tx: Tx, job: Job, result: Mapping[str, Any] | None, error: str) -> bool:
    """End a job that is held still. `result` None: it has failed, as `error` says."""
    return await _changed(
        tx,
        "update console_job set state = $3, result = $4, error = $5, due_at = null, updated_at = now(),"
        " ended_at = clock_timestamp() where id = $1 and claims = $2 and due_at is not null returning id",
        job, JobState.FAILED if result is None else JobState.DONE,
        None if result is None else msgspec.json.encode(result).decode(), error,
    )  # fmt: skip


async def _changed(tx: Tx, statement: str, job: Job, *values: object) -> bool:
    return await tx.fetchval(statement, job.id, job.claims, *values) is not None


async def correct_jumped_clock(tx: Tx) -> None:
    """Have jobs taken up soon whose lease was set by a clock that has jumped."""
    await tx.execute(_CORRECT_CLOCK)
