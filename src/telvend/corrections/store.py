"""All SQL of debits and refunds."""

from collections.abc import Sequence
from typing import Any, Final

from telvend.corrections.model import Debit, Refund
from telvend.database.connections import Tx
from telvend.ledger import store as ledger_store
from telvend.ledger.model import AccountKind, Finding, TransferKind

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


async def debits_by_id(tx: Tx, ids: Sequence[int]) -> dict[int, Debit]:
    """The debits with these numbers. A list that has none of them costs no question."""
    if not ids:
        return {}
    return {row["id"]: Debit(**dict(row)) for row in await tx.fetch(f"{_DEBIT} where id = any($1::bigint[])", ids)}


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


async def refunds_by_id(tx: Tx, ids: Sequence[int]) -> dict[int, Refund]:
    """The refunds with these numbers. A list that has none of them costs no question."""
    if not ids:
        return {}
    return {row["id"]: Refund(**dict(row)) for row in await tx.fetch(f"{_REFUND} where f.id = any($1::bigint[])", ids)}


async def notes_by_id(tx: Tx, ids: Sequence[int]) -> dict[int, Any]:
    """reference, reason and by_whom of those of these causes that are debits or refunds; of a refund the order's reference."""
    found = await tx.fetch(
        "select id, reference, reason, by_whom from wallet_debit where id = any($1::bigint[])"
        " union all select f.id, o.reference, f.reason, f.by_whom from order_refund f join orders o on o.id = f.order_id"
        " where f.id = any($1::bigint[])",
        ids,
    )
    return {row["id"]: row for row in found}


_CHECKS: Final = {
    "every debit by hand stands in the ledger and in its wallet's list, and no other": f"""
        select format('debit %s (%s) of wallet %s: it says %s, the ledger %s', coalesce(d.id, t.cause), d.our_reference,
                      coalesce(d.wallet_id, t.wallet_id), coalesce(d.amount_minor, 0), coalesce(t.amount_minor, 0))
        from wallet_debit d
        full join (select * from transfer where kind = {TransferKind.DEBIT}) t on t.cause = d.id
        where d.id is null or t.cause is null or t.amount_minor <> d.amount_minor
            or t.wallet_id is distinct from d.wallet_id or t.debit <> d.wallet_id
            or not exists (select from account a join wallet w on w.account_id = d.wallet_id where a.id = t.credit
                and a.kind = '{AccountKind.FUNDING}' and a.owner = '' and a.currency = w.currency and a.mode = w.mode)
            or not exists (select from wallet_transaction x where x.wallet_id = d.wallet_id and x.position = d.position
                and x.kind = 'd' and x.id = d.id and not x.credit)
        limit 10""",
    "every refund gives the price of one delivered order back, from the loss of the house": f"""
        select format('refund %s (%s) of order %s, which is %s: it says %s, the ledger %s, the price %s',
                      coalesce(f.id, t.cause), f.our_reference, f.order_id, o.state, coalesce(f.amount_minor, 0),
                      coalesce(t.amount_minor, 0), coalesce(o.price_minor, 0))
        from order_refund f
        full join (select * from transfer where kind = {TransferKind.REFUND}) t on t.cause = f.id
        left join orders o on o.id = f.order_id
        where f.id is null or t.cause is null or o.id is null or o.state <> 'delivered'
            or f.amount_minor <> o.price_minor or t.amount_minor <> f.amount_minor or f.wallet_id <> o.wallet_id
            or t.wallet_id is distinct from f.wallet_id or t.credit <> f.wallet_id
            or not exists (select from account a where a.id = t.debit and a.kind = '{AccountKind.LOSS}'
                and a.currency = o.currency and a.mode = o.mode)
            or not exists (select from wallet_transaction x where x.wallet_id = f.wallet_id and x.position = f.position
                and x.kind = 'b' and x.id = f.id and x.credit)
        limit 10""",
    "no order is refunded twice": """
        select format('order %s was refunded %s times', order_id, count(*)) from order_refund group by order_id
        having count(*) > 1 limit 10""",
}


async def findings(tx: Tx) -> list[Finding]:
    """Everything about debits and refunds that does not hold."""
    return await ledger_store.findings_of(tx, _CHECKS)


def checked_rules() -> tuple[str, ...]:
    """The rules that `findings` looks at, in words."""
    return tuple(_CHECKS)
