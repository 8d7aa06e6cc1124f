"""The preparation of a database for a shop: its schema and its catalogue."""

from collections.abc import Callable

from telvend.catalog import builtin
from telvend.catalog.builtin import store as builtin_store
from telvend.database import migrations
from telvend.database.connections import Database


async def prepare_database(database: Database, say: Callable[[str], None]) -> None:
    """Bring the schema to this version and fill an empty catalogue.

    Only for the commands that may migrate: `telvend serve`, `demo` and `upgrade`. Raises DatabaseRefused, SchemaRefused.
    """
    await database.check_promises(migrations.names())
    await migrations.ensure(database, say)
    await _install_builtin(database)


async def enter_database(database: Database) -> None:
    """Make sure that this version can work with the database as it is. Raises DatabaseRefused, SchemaRefused."""
    await database.check_promises(migrations.names())
    await migrations.require(database)
    async with database.connection() as tx:
        installed = await builtin_store.all_installed(tx, builtin.LISTS)
    if not installed:
        await _install_builtin(database)  # Preparing the database was interrupted.


async def _install_builtin(database: Database) -> None:
    from telvend.catalog.service import install_builtin  # Commands find the catalogue in place, and do without.

    async with database.transaction() as tx:
        await install_builtin(tx)
