"""Moving a shop from its embedded database into another PostgreSQL.

    1. the target is looked at: reachable, new enough, empty, with the rights that are needed
    2. writing stops: every table is locked against it, by a transaction that ends with this process
    3. all of it is copied in one transaction, together with a halt: the copy sells nothing
    4. both are compared, row by row, and audited
    5. one commit in the old database takes the right to write from the shop's role, and notes where it went
    6. the data directory notes it too (`moved.json`), and the halt of the copy ends

Whoever is killed before 5 leaves the shop where it was; after 5 whoever opens it next finishes the rest (`settle`).
"""

import os
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from telvend.config import Settings
from telvend.database.connecting import for_asyncpg
from telvend.database.connections import CONNECTION_LOSS, Database
from telvend.database.refusals import sentence_of
from telvend.embedded_postgres.binaries import client_programs_dir
from telvend.embedded_postgres.creation import APPLICATION_ROLE, DATABASE
from telvend.embedded_postgres.environment import environment_of
from telvend.kit.failpoints import hit
from telvend.kit.moved import Moved, read_moved, write_moved
from telvend.sales.continuity import store as continuity
from telvend.upkeep.backup.copying import superuser_environment, superuser_url
from telvend.upkeep.moving import store

_TRIES: Final = 8

Say = Callable[[str], None]
Audit = Callable[[str], Awaitable[int]]
"""Audits the books of the database at a URL; returns the number of transfers. Raises MoveRefused where they do not hold."""


class MoveRefused(Exception):
    """The shop cannot be moved, and is where it was. The message is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Move:
    """A shop that was moved. `rows`: of all tables."""

    place: str
    tables: int
    rows: int
    transfers: int


def place_of(url: str) -> str:
    """The address for people: without user and password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2] or "the local server"
    return f"{parts.path.removeprefix('/') or 'the default database'} at {host}"


async def move(source_url: str, settings: Settings, target_url: str, audit: Audit, say: Say) -> Move:
    """Move the shop; see the head of this file. Raises MoveRefused; then the shop is where it was."""
    data_dir = Path(settings.data_dir)
    async with Database.briefly(source_url) as source, source.connection() as tx:
        shop = str((await continuity.standing(tx)).shop)
    await _require_target(target_url, shop, say)
    say("Auditing the books …")
    await audit(source_url)
    connection = await asyncpg.connect(for_asyncpg(superuser_url(source_url, data_dir)), timeout=10)
    try:
        transaction = connection.transaction()
        await transaction.start()
        try:
            say("Stopping sales …")
            tables = await _stop_writers(connection)
        except BaseException:
            if connection.is_in_transaction():
                await transaction.rollback()
            raise
        try:
            hit("move.while_stopped")
            say(f"Copying to {place_of(target_url)} …")
            _copy(source_url, target_url, data_dir)
            say("Comparing …")
            rows = await _compare(connection, target_url)
            transfers = await audit(target_url)
            hit("move.after_copy")
            await store.leave(connection, APPLICATION_ROLE, DATABASE, target_url)
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()
        hit("move.after_commit")
        await settle(data_dir, target_url)
        await store.end_sessions(connection, APPLICATION_ROLE)
    finally:
        connection.terminate()
    return Move(place_of(target_url), tables, rows, transfers)


async def settle(data_dir: Path, target_url: str) -> None:
    """Finish a move whose commit was made: note it in the data directory, and let the new database sell. Harmless twice."""
    if read_moved(data_dir) is None:
        write_moved(data_dir, Moved(target_url, place_of(target_url), datetime.now(UTC)))
    hit("move.before_release")
    async with Database.briefly(target_url) as database, database.transaction() as tx:
        await continuity.let_copy_sell(tx)


async def left_for(url: str) -> str | None:
    """The URL of the database that the shop of this one was moved to; None where it was not. Raises Busy."""
    async with Database.briefly(url) as database, database.connection() as tx:
        return await store.moved_to(tx)


async def _require_target(url: str, shop: str, say: Say) -> None:
    try:
        connection = await asyncpg.connect(for_asyncpg(url), timeout=10)
    except (*CONNECTION_LOSS, asyncpg.PostgresError, ValueError) as error:
        raise MoveRefused(f"The target cannot be used: {sentence_of(error, url)}") from None
    try:
        target = await store.target_of(connection)
        name = place_of(url)
        if (refusal := store.refusal_of(target, name)) is not None:
            raise MoveRefused(refusal)
        if target.holds_tables:
            if not await continuity.is_unfinished_copy_of(connection, shop):
                raise MoveRefused(f"{name} is not empty, and nothing was changed: name a new database.")
            say(f"Removing from {name} what a move that did not end has left …")
            async with connection.transaction():
                await store.drop_everything(connection)
    except asyncpg.PostgresError as error:
        raise MoveRefused(f"The target cannot be used: {sentence_of(error, url)}") from None
    finally:
        connection.terminate()
    # As every process of ours will open it.
    async with Database.briefly(url):
        pass


async def _stop_writers(connection: asyncpg.Connection) -> int:
    for left in reversed(range(_TRIES)):
        savepoint = connection.transaction()
        await savepoint.start()
        try:
            tables = await store.stop_writers(connection)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await savepoint.rollback()
            if not left:
                who = await store.blocking(connection)
                raise MoveRefused(
                    f"Sales could not be stopped: {who or 'somebody'} has a transaction open. Let it end, and try again."
                ) from None
        else:
            await savepoint.commit()
            return tables
    raise MoveRefused("Sales could not be stopped.")


def _copy(source_url: str, target_url: str, data_dir: Path) -> None:
    """Copy everything in one transaction of the target, with a halt at its end. Raises MoveRefused."""
    programs = client_programs_dir()
    plain = {"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C"}
    with (
        subprocess.Popen(
            [programs / "pg_dump", "--no-owner", "--no-privileges", "--no-password"],
            env=plain | superuser_environment(source_url, data_dir),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as reading,
        subprocess.Popen(
            [
                programs / "psql",
                "--quiet",
                "--no-psqlrc",
                "--no-password",
                "--output=/dev/null",
                "--single-transaction",
                "--set=ON_ERROR_STOP=1",
            ],
            env=plain | {"PGTARGETSESSIONATTRS": "primary"} | environment_of(target_url),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as writing,
    ):
        assert reading.stdout is not None  # noqa: S101 - they are pipes
        assert writing.stdin is not None  # noqa: S101
        complete = False
        try:
            head = True
            while line := reading.stdout.readline() if head else reading.stdout.read(1 << 20):
                # Servers before version 17 do not know it.
                if not (head and line.startswith(b"SET transaction_timeout")):
                    writing.stdin.write(line)
                head = head and not line.startswith((b"CREATE ", b"COPY "))
            complete = reading.wait() == 0
            if complete:
                # The dump leaves no schema chosen.
                writing.stdin.write(b"set search_path = public;\n" + continuity.HALT_COPY.encode())
            else:
                writing.kill()
            writing.stdin.close()
        except BrokenPipeError:
            reading.kill()
        writing.wait()
        said = (reading.stderr.read() if reading.stderr else b"") + (writing.stderr.read() if writing.stderr else b"")
    if not complete or writing.returncode:
        lines = said.decode(errors="replace").strip().splitlines()
        telling = [line for line in lines if "ERROR" in line or "error" in line] or lines or ["no reason was given"]
        raise MoveRefused(f"The copy failed, and the shop is where it was: {telling[0]}")


async def _compare(source: asyncpg.Connection, target_url: str) -> int:
    """Compare every table and sequence. Raises MoveRefused."""
    target = await asyncpg.connect(for_asyncpg(target_url), timeout=10)
    try:
        here, there = await store.digests(source), await store.digests(target)
    finally:
        target.terminate()
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            raise MoveRefused(
                f"{name} is not the same after copying ({here.get(name)} and {there.get(name)}); the shop is where it was."
            )
    return sum(rows for rows, text in here.values() if text not in ("True", "False"))
