"""What a command does with a database whose preparation was interrupted, or was not."""

import pytest

from telvend.catalog import builtin
from telvend.catalog.service import Catalogue
from telvend.database.connections import Database, revisions
from telvend.upkeep.preparation import enter_database, prepare_database


@pytest.mark.parametrize("missing", [(), builtin.LISTS[:1], builtin.LISTS[1:], builtin.LISTS])
async def test_a_command_installs_the_lists_that_are_missing_and_touches_nothing_else(
    database: Database, missing: tuple[str, ...]
) -> None:
    await prepare_database(database, lambda _: None)
    products = await Catalogue(database).list_products()
    async with database.transaction() as tx:
        await tx.execute("delete from builtin_catalogue where name = any($1::text[])", list(missing))
        before = await revisions(tx)
    await enter_database(database)
    async with database.connection() as tx:
        assert {row["name"] for row in await tx.fetch("select name from builtin_catalogue")} == set(builtin.LISTS)
        assert (await revisions(tx) == before) is (not missing)
    assert await Catalogue(database).list_products() == products
