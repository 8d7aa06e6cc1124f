"""The state of a database that cannot do its work: logged when it begins, once a minute while it lasts, and when it ends.

outage = Outage()
outage.note(error)        # for each error from the database; errors that say nothing of its state are ignored
outage.reason             # one sentence while it lasts, for readiness; None when all is well
outage.over()             # after a read and a write that worked
"""

import time
from collections.abc import Callable
from typing import Final

import asyncpg

from telvend.kit.log import get

AGAIN_S: Final = 60.0

AWAY: Final = "The database does not answer."
READ_ONLY: Final = "The database takes no writes."
NO_ROOM: Final = "The database has no room left: its disk or its memory is full."
BROKEN: Final = "The database's server has a fault."

_log = get(__name__)


def reason_of(error: BaseException) -> str | None:
    """Return what an error says of the database's state. None for what a second try may cure at once.

    Source: "PostgreSQL Error Codes", classes 08, 25, 53, 57 and 58.
    """
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return READ_ONLY
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return AWAY
    if isinstance(error, asyncpg.InsufficientResourcesError):
        return NO_ROOM
    if isinstance(error, asyncpg.PostgresSystemError):
        return BROKEN
    if isinstance(error, asyncpg.QueryCanceledError | asyncpg.IdleInTransactionSessionTimeoutError):
        return None
    lost = (
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
        TimeoutError,
    )
    return AWAY if isinstance(error, lost) else None


class Outage:
    """See the head of this file. `clock` counts seconds and only goes forward."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._reason: str | None = None
        self._began = 0.0
        self._told = 0.0
        self._count = 0

    @property
    def reason(self) -> str | None:
        return self._reason

    def note(self, error: BaseException) -> None:
        """Remember that the database could not do something, and why."""
        reason = reason_of(error)
        if reason is None:
            return
        now = self._clock()
        self._count += 1
        if self._reason is None:
            self._began = now
        if reason != self._reason or now - self._told >= AGAIN_S:
            self._reason, self._told = reason, now
            _log.warning(
                "database_unavailable",
                reason=reason,
                error=f"{type(error).__name__}: {error}".splitlines()[0][:300],
                for_s=round(now - self._began, 1),
                refused=self._count,
            )

    def over(self) -> None:
        """Say that the database reads and writes again."""
        if self._reason is not None:
            _log.warning("database_available", after_s=round(self._clock() - self._began, 1), refused=self._count)
            self._reason, self._count = None, 0
