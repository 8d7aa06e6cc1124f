"""The schema: made once, by whoever comes first, whole or not at all; never guessed at when it is not ours."""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator

import pytest

from telvend import migrations
from telvend.kit.db import Database
from telvend.migrations import SchemaRefused
from tests.conftest import Server

_numbers = itertools.count(1)


@pytest.fixture
async def empty(server: Server) -> AsyncIterator[Database]:
    """A database without a schema."""
    name = f"empty_{next(_numbers)}"
    await server.command(f"create database {name}")
    database = await Database.open(server.url(name), pool_size=2)
    yield database
    await database.close()
    await server.command(f"drop database {name} with (force)")


@pytest.fixture
async def migrated(server: Server) -> AsyncIterator[Database]:
    """A database of this test alone: what is done to its schema must not meet others."""
    async with server.database(f"migrated_{next(_numbers)}") as url:
        database = await Database.open(url, pool_size=2)
        yield database
        await database.close()


async def brought(database: Database) -> list[str]:
    """Bring the schema here; what was said while doing it."""
    said: list[str] = []
    await migrations.ensure(database, said.append)
    return said


async def refusal(database: Database) -> str:
    with pytest.raises(SchemaRefused) as refused:
        await brought(database)
    text = str(refused.value)
    assert "\n" not in text
    return text


async def tables(database: Database) -> set[str]:
    async with database.connection() as tx:
        found = await tx.fetch(
            "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
        )
    return {row["relname"] for row in found}


async def test_an_empty_database_gets_the_schema_and_a_second_time_nothing(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await migrations.current(empty) is None
    (sentence,) = await brought(empty)
    assert "empty" in sentence
    assert await migrations.current(empty) == migrations.known()[-1]
    assert {"orders", "transfer", "wallet", "attempt"} <= await tables(empty)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", None)  # One SELECT and no process.
    assert await brought(empty) == []


async def test_two_nodes_that_start_together_take_turns(server: Server, empty: Database) -> None:
    other = await Database.open(empty.url, pool_size=1)
    try:
        await asyncio.gather(brought(empty), brought(other))
    finally:
        await other.close()
    async with empty.connection() as tx:
        assert await tx.fetchval("select array_agg(version_num) from alembic_version") == [migrations.known()[-1]]
        assert await tx.fetchval("select count(*) from installation") == 1


async def test_a_newer_schema_is_refused_in_one_sentence_and_left_alone(migrated: Database) -> None:
    async with migrated.connection() as tx:
        await tx.execute("update alembic_version set version_num = '9999'")
    text = await refusal(migrated)
    assert "9999" in text
    assert "newer" in text
    assert await migrations.current(migrated) == "9999"


async def test_a_migration_that_fails_leaves_nothing_behind(empty: Database) -> None:
    async with empty.connection() as tx:
        await tx.execute("create table orders (someone_elses text)")
    text = await refusal(empty)
    assert 'relation "orders" already exists' in text
    assert await tables(empty) == {"orders"}
    assert await migrations.current(empty) is None


def undoing(revision: str) -> str:
    """What takes away again the tables, sequences and topics that a migration has made."""
    (path,) = (migrations.FOLDER / "sql").glob(f"{revision}_*.sql")
    sql = path.read_text("utf-8")
    drops = [f"drop {kind} {name} cascade" for kind, name in re.findall(r"^create (table|sequence) (\w+)", sql, re.M)]
    topics = re.findall(r"^insert into revision values \('(\w+)'", sql, re.M)
    return "; ".join([*drops, *(f"delete from revision where topic = '{topic}'" for topic in topics)])


async def test_a_migration_gives_up_soon_when_somebody_else_has_its_lock(migrated: Database) -> None:
    before_last, last = migrations.known()[-2:]
    async with migrated.connection() as tx:
        # As if the last one had not been run: what it made is taken away again.
        await tx.execute(undoing(last))
        await tx.execute("update alembic_version set version_num = $1", before_last)
    began = time.monotonic()
    async with migrated.transaction() as tx:
        # Readers go on; whoever wants to write the version waits.
        await tx.execute("lock table alembic_version in share mode")
        text = await refusal(migrated)
    assert "lock timeout" in text
    assert time.monotonic() - began < 25  # Three seconds for the lock, the rest for a busy machine.
    assert await migrations.current(migrated) == before_last
    await brought(migrated)
    assert await migrations.current(migrated) == last


def test_the_revisions_are_one_line_and_each_has_its_sql() -> None:
    versions = sorted((migrations.FOLDER / "versions").glob("[0-9]*.py"))
    assert {path.stem for path in versions} == {path.stem for path in (migrations.FOLDER / "sql").glob("*.sql")}
    below = None
    for path, revision in zip(versions, migrations.known(), strict=True):
        text = path.read_text("utf-8")
        assert f'revision = "{revision}"' in text
        assert f"down_revision = {below!r}".replace("'", '"') in text
        below = revision
