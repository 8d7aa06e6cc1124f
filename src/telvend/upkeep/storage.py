"""Checks of the database: what it promises, its schema, and whether the wallets agree with the ledger."""

from collections.abc import Sequence

from telvend.database import migrations
from telvend.database.connections import Database, DatabaseRefused
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
    found = await migrations.standing(database)
    if found.refusal is not None:
        return [
            Finding("schema", Level.FAILURE, found.refusal, "No command works with it, and `serve` refuses to start.")
        ]
    if found.is_newer:
        text = f"The schema is at revision {found.revision}; this version knows {found.target}, and may go on with it."
        return [Finding("schema", Level.WARNING, text, "Install the newer version on this node too.")]
    if found.revision is None or found.pending:
        state = f"at revision {found.revision}" if found.revision else "empty"
        text = f"The schema is {state}; this version needs {found.target}."
        advice = (
            "`telvend upgrade` brings it there, and so does the next start of `telvend serve`;"
            if found.revision
            else "`telvend serve` opens a shop here;"
        )
        return [Finding("schema", Level.WARNING, text, f"{advice} nothing else could be looked at.")]
    return [Finding("schema", Level.OK, f"The schema is at revision {found.revision}, as this version needs it.")]


async def wallets(shop: Examined) -> Sequence[Finding]:
    """Compare each wallet with its last transfer: a quick look, where `telvend ledger check` recomputes everything."""
    async with shop.database.connection() as tx:
        wrong = await ledger_store.wallets_unlike_their_last_transfer(tx)
    if wrong:
        text = f"The books do not hold: {wrong[0]}" + (f", and {len(wrong) - 1} more" if wrong[1:] else "") + "."
        return [Finding("wallets", Level.FAILURE, text, "Stop selling, and run: telvend ledger check")]
    text = "Every wallet stands as its last transfer says; `telvend ledger check` recomputes everything."
    return [Finding("wallets", Level.OK, text)]
