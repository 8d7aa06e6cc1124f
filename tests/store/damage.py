"""Damage to the books, for as long as an audit looks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from telvend.database.connections import Database, Tx


@asynccontextmanager
async def damaged_books(database: Database, *statements: str) -> AsyncIterator[Tx]:
    """Yield a transaction that has executed these statements past every trigger, and roll it back in the end.

    A superuser can do this; so can whoever restores half a backup.
    """
    async with database.connection() as tx:
        transaction = tx.transaction(isolation="repeatable_read")
        await transaction.start()
        try:
            await tx.execute("set local session_replication_role = replica")
            for statement in statements:
                await tx.execute(statement)
            yield tx
        finally:
            await transaction.rollback()
