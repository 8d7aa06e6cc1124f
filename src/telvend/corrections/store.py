"""All SQL of debits and refunds."""

from collections.abc import Sequence
from typing import Any, Final

from telvend.corrections.model import Debit, Refund
from telvend.database.connections import Tx

_DEBIT: Final = "select id, our_reference, wallet_id, reference, amount_minor, position, reason, by_whom, created_at from wallet_debit"
_REFUND: Final = (
    "select f.id, f.our_reference, f.order_id, o.reference as order, f.wallet_id, f.amount_minor, f.position, f.reason,"
    " f.by_whom, f.created_at from order_refund f join orders o on o.id = f.order_id"
)


async def debit_under(tx: Tx, wallet_id: int, reference: str) -> Debit | None:
    """The debit of this wallet under the operator's reference."""
    row = await tx.fetchrow(f"{_DEBIT} where wallet_id = $1 and reference = $2", wallet_id, reference)
    return Debit(**dict(row)) if row else None


async def write_debit(
    tx: Tx,
    cause: int,
    our_reference: str,
    wallet_id: int,
    reference: str,
    amount_minor: int,
    position: int,
    reason: str,
    by_whom: str,
) -> None:
    await tx.execute(
        "insert into wallet_debit (id, our_reference, wallet_id, reference, amount_minor, position, reason, by_whom)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8)",
        cause, our_reference, wallet_id, reference, amount_minor, position, reason, by_whom,
    )  # fmt: skip


async def refund_of(tx: Tx, order_id: int) -> Refund | None:
    """The refund of this order, if it was refunded."""
    row = await tx.fetchrow(f"{_REFUND} where f.order_id = $1", order_id)
    return Refund(**dict(row)) if row else None


async def write_refund(
    tx: Tx,
    cause: int,
    our_reference: str,
    order_id: int,
    wallet_id: int,
    amount_minor: int,
    position: int,
    reason: str,
    by_whom: str,
) -> Refund:
    """Write a refund down, and return it with its time."""
    await tx.execute(
        "insert into order_refund (id, our_reference, order_id, wallet_id, amount_minor, position, reason, by_whom)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8)",
        cause, our_reference, order_id, wallet_id, amount_minor, position, reason, by_whom,
    )  # fmt: skip
    row = await tx.fetchrow(f"{_REFUND} where f.id = $1", cause)
    return Refund(**dict(row))


async def notes_by_id(tx: Tx, ids: Sequence[int]) -> dict[int, Any]:
    """reference, reason and by_whom of those of these causes that are debits or refunds; of a refund the order's reference."""
    found = await tx.fetch(
        "select id, reference, reason, by_whom from wallet_debit where id = any($1::bigint[])"
        " union all select f.id, o.reference, f.reason, f.by_whom from order_refund f join orders o on o.id = f.order_id"
        " where f.id = any($1::bigint[])",
        ids,
    )
    return {row["id"]: row for row in found}
