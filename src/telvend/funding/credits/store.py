"""All SQL of credits by hand."""

from collections.abc import Sequence

from telvend.database.connections import Tx


async def credit_of(tx: Tx, wallet_id: int, reference: str) -> int | None:
    """The amount in minor units that was credited under this reference, if any."""
    found = await tx.fetchval(
        "select amount_minor from wallet_credit where wallet_id = $1 and reference = $2", wallet_id, reference
    )
    return None if found is None else int(found)


async def is_used(tx: Tx, references: Sequence[str]) -> bool:
    """Whether anything was credited under one of these references, to any wallet. Reads all credits by hand."""
    return bool(
        await tx.fetchval("select exists (select from wallet_credit where reference = any($1::text[]))", references)
    )


async def write_credit(
    tx: Tx, cause: int, wallet_id: int, reference: str, amount_minor: int, position: int, by_whom: str
) -> None:
    await tx.execute(
        "insert into wallet_credit (id, wallet_id, reference, amount_minor, position, by_whom)"
        " values ($1, $2, $3, $4, $5, $6)",
        cause, wallet_id, reference, amount_minor, position, by_whom,
    )  # fmt: skip


async def givers(tx: Tx, ids: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Reference and name of those of these causes that are credits with a name."""
    found = await tx.fetch(
        "select id, reference, by_whom from wallet_credit where id = any($1::bigint[]) and by_whom <> ''", ids
    )
    return {row["id"]: (row["reference"], row["by_whom"]) for row in found}
