"""What is written with the first transaction of a block: both or neither, and once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from telvend.database.connections import Database, Tx, writing_together


@pytest.fixture
async def noted(database: Database) -> AsyncIterator[Database]:
    async with database.connection() as tx:
        await tx.execute("create table noted (text text)")
    yield database
    async with database.connection() as tx:
        await tx.execute("drop table noted")


async def texts(database: Database) -> list[str]:
    async with database.connection() as tx:
        return [row[0] for row in await tx.fetch("select text from noted order by text")]


async def note(tx: Tx) -> None:
    await tx.execute("insert into noted values ('act')")


async def change(database: Database, text: str, error: Exception | None = None) -> None:
    async with database.transaction() as tx:
        await tx.execute("insert into noted values ($1)", text)
        if error is not None:
            raise error


async def test_it_stands_with_the_first_change_only(noted: Database) -> None:
    with writing_together(note) as together:
        assert not together.written
        await change(noted, "one")
        assert together.written
        await change(noted, "two")
    await change(noted, "three")
    assert await texts(noted) == ["act", "one", "three", "two"]


async def test_neither_stands_where_either_fails(noted: Database) -> None:
    with writing_together(note) as together:
        with pytest.raises(ValueError, match="change"):
            await change(noted, "one", ValueError("change"))
        assert not together.written

    async def fails(tx: Tx) -> None:
        await note(tx)
        raise ValueError("note")

    with writing_together(fails) as together:
        with pytest.raises(ValueError, match="note"):
            await change(noted, "one")
        assert not together.written
    assert await texts(noted) == []


async def test_two_people_at_once_have_one_each(noted: Database) -> None:
    async def act() -> None:
        with writing_together(note):
            await change(noted, "one")

    await asyncio.gather(act(), act())
    assert await texts(noted) == ["act", "act", "one", "one"]
