"""An outage of the database: which errors mean one, and how often it is told."""

from typing import Any

import asyncpg
import pytest

from telvend.database import outage
from telvend.database.outage import AWAY, BROKEN, NO_ROOM, READ_ONLY, Outage, reason_of


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    lines: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(
        outage, "_log", type("Log", (), {"warning": lambda _, event, **facts: lines.append((event, facts))})()
    )
    return lines


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (asyncpg.DiskFullError("could not extend file"), NO_ROOM),
        (asyncpg.OutOfMemoryError("out of memory"), NO_ROOM),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), AWAY),
        (asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT"), READ_ONLY),
        (asyncpg.AdminShutdownError("terminating connection"), AWAY),
        (asyncpg.CannotConnectNowError("the database system is starting up"), AWAY),
        (asyncpg.PostgresIOError("could not read block"), BROKEN),
        (asyncpg.ConnectionDoesNotExistError("connection was closed"), AWAY),
        (ConnectionRefusedError(111, "refused"), AWAY),
        (TimeoutError(), AWAY),
        (asyncpg.QueryCanceledError("canceling statement due to statement timeout"), None),
        (asyncpg.LockNotAvailableError("canceling statement due to lock timeout"), None),
        (asyncpg.DeadlockDetectedError("deadlock detected"), None),
        (asyncpg.UniqueViolationError("duplicate key"), None),
    ],
)
def test_an_error_says_what_the_database_cannot_do(error: Exception, reason: str | None) -> None:
    assert reason_of(error) == reason


def test_an_outage_is_told_once_and_again_after_a_minute_and_at_its_end(said: list[tuple[str, dict[str, Any]]]) -> None:
    now = 100.0
    tested = Outage(lambda: now)
    for _ in range(10_000):
        tested.note(asyncpg.DiskFullError("could not extend file"))
    assert tested.reason == NO_ROOM
    assert len(said) == 1
    now += 61
    tested.note(asyncpg.DiskFullError("could not extend file"))
    assert said[1][1] | {"error": ""} == {"reason": NO_ROOM, "error": "", "for_s": 61.0, "refused": 10_001}
    now += 9
    tested.over()
    tested.over()
    assert tested.reason is None
    assert said[2:] == [("database_available", {"after_s": 70.0, "refused": 10_001})]


def test_another_reason_is_told_at_once(said: list[tuple[str, dict[str, Any]]]) -> None:
    tested = Outage(lambda: 0.0)
    tested.note(ConnectionRefusedError(111, "refused"))
    tested.note(asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT"))
    tested.note(asyncpg.LockNotAvailableError("lock timeout"))
    assert [facts["reason"] for _, facts in said] == [AWAY, READ_ONLY]
    assert tested.reason == READ_ONLY
