"""All SQL of the built-in lists: which of them are installed."""

from collections.abc import Collection

from telvend.database.connections import Tx


async def all_installed(tx: Tx, names: Collection[str]) -> bool:
    """Whether every one of these lists was installed."""
    found = await tx.fetchval("select count(*) from builtin_catalogue where name = any($1::text[])", list(names))
    return bool(found == len(names))


async def mark_installed(tx: Tx, name: str) -> bool:
    """Remember that this list was installed. False where it was already.

    Waits for another transaction that is installing the same list, and sees it.
    """
    made = await tx.fetchval(
        "insert into builtin_catalogue (name) values ($1) on conflict do nothing returning true", name
    )
    return bool(made)
