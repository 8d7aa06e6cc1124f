"""A job of the console: its kinds and states, and how far it is. No database.

    WAITING ──> RUNNING ──> DONE
       ^           │
       └───────────┴─────> FAILED       it can be started again, as another job

Of each kind one job at a time is open, on all nodes together. One whose process was killed is taken up again from its beginning: each
kind does all of its work in one transaction, or changes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

Progress = Callable[[int, int, str], None]
"""Called before each step: its number from 1, how many there are, and what it is."""


class JobKind(StrEnum):
    """What jobs do. The texts stand in the database and never change."""

    FIGURES = "figures"
    """Add up the figures of a month that is to be closed."""
    CLOSE = "close"
    """Close a month."""
    AUDIT = "audit"
    """Audit the books."""


class JobState(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"

    @property
    def open(self) -> bool:
        return self in (JobState.WAITING, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Job:
    """A job. `subject`: the month, empty of an audit. `result`: of one that is done, in the shape of its kind (work.py)."""

    id: int
    kind: JobKind
    subject: str
    reason: str
    by_whom: str
    state: JobState
    claims: int
    done: int
    total: int
    step: str
    result: Mapping[str, Any] | None
    error: str
    asked_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def took(self) -> timedelta | None:
        """How long it has worked; None before it has ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at
