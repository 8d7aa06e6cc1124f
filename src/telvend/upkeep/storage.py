"""Checks of the database: what it promises, its schema, and whether the wallets agree with the ledger."""

from collections.abc import Sequence

from telvend import migrations
from telvend.kit.db import Database, DatabaseRefused
from telvend.ledger import store as ledger_store
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level


async def promises(database: Database) -> Sequence[Finding]:
    """Say whether the server keeps what it acknowledges. Raises Busy."""
    try:
        await database.check_promises(migrations.names())
    except DatabaseRefused as error:
        return [Finding("database", Level.FAILURE, str(error), "Change the server's settings; `serve` refuses it too.")]
    return [Finding("database", Level.OK, "The database answers and keeps what it has acknowledged.")]


async def schema(database: Database) -> Sequence[Finding]:
    """Compare the schema with what this version needs. Raises Busy."""
    revision, newest = await migrations.current(database), migrations.known()[-1]
    if revision == newest:
        return [Finding("schema", Level.OK, f"The schema is at revision {newest}, as this version needs it.")]
    if revision is not None and revision not in migrations.known():
        text = f"The schema is at revision {revision}, newer than this version, which knows {newest}."
        return [Finding("schema", Level.FAILURE, text, "Install the newer version again.")]
    text = f"The schema is {f'at revision {revision}' if revision else 'empty'}; this version needs {newest}."
    return [Finding("schema", Level.WARNING, text, "The next start, and any other command, brings it there.")]


async def wallets(shop: Examined) -> Sequence[Finding]:
    """Compare each wallet with its last transfer: a quick look, where `telvend ledger check` recomputes everything."""
    async with shop.database.connection() as tx:
        wrong = await ledger_store.wallets_unlike_their_last_transfer(tx)
    if wrong:
        text = f"The books do not hold: {wrong[0]}" + (f", and {len(wrong) - 1} more" if wrong[1:] else "") + "."
        return [Finding("wallets", Level.FAILURE, text, "Stop selling, and run: telvend ledger check")]
    text = "Every wallet stands as its last transfer says; `telvend ledger check` recomputes everything."
    return [Finding("wallets", Level.OK, text)]
