"""The SQL of the list of transactions. Which positions belong on a page is worked out in `paging.py`."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from telvend.database.connections import Tx
from telvend.wallets.model import Filter, Status

BLOCK_BITS: Final = 10
"""A position without its lowest ten bits is its block's number: the migration's triggers count by that."""


async def wallet(tx: Tx, wallet_id: int) -> Any:
    """balance_minor, funded_minor, transactions and the time of the last transaction; None where there is no wallet."""
    return await tx.fetchrow(
        "select w.balance_minor, w.funded_minor, w.last_funded_at, w.transactions, t.created_at as last_at from wallet w"
        " left join wallet_transaction t on t.wallet_id = w.account_id and t.position = w.transactions"
        " where w.account_id = $1",
        wallet_id,
    )


async def first_position_from(tx: Tx, wallet_id: int, last: int, moment: datetime) -> int:
    """The first position whose transaction is not older than `moment`; `last + 1` where all are.

    Positions were given in the order of time, so that they are searched by halving: a few dozen look-ups in the primary
    key, where an index by time would have to be kept for every sale.
    """
    low, high = 1, last + 1
    while low < high:
        middle = (low + high) // 2
        at = await tx.fetchval(
            "select created_at from wallet_transaction where wallet_id = $1 and position = $2", wallet_id, middle
        )
        if at < moment:
            low = middle + 1
        else:
            high = middle
    return low


async def pending_positions(tx: Tx, wallet_id: int) -> list[int]:
    """The positions of the wallet's sales, fundings and verifications that are open. There are never many.

    A refill is never open: it is paid for in the transaction in which it arrives.
    """
    rows = await tx.fetch(
        """
        select position from orders where wallet_id = $1 and due_at is not null
        union all select position from orders where wallet_id = $1 and state = 'review'
        union all select position from funding where wallet_id = $1 and state = 'pending'
        union all select position from verification where wallet_id = $1 and due_at is not null
        """,
        wallet_id,
    )
    return [row[0] for row in rows]


async def credits_among(tx: Tx, wallet_id: int, positions: Collection[int]) -> list[int]:
    """Those of these positions at which money came in, or is to."""
    rows = await tx.fetch(
        "select position from wallet_transaction where wallet_id = $1 and position = any($2::bigint[]) and credit",
        wallet_id, list(positions),
    )  # fmt: skip
    return [row[0] for row in rows]


async def blocks(tx: Tx, wallet_id: int, first: int, last: int) -> Mapping[int, tuple[int, int, int]]:
    """How many came in, have failed, and both, by block, from the `first` to the `last`; those with none are left out."""
    rows = await tx.fetch(
        "select block, credits, failed, failed_credits from wallet_block where wallet_id = $1 and block between $2 and $3",
        wallet_id, first, last,
    )  # fmt: skip
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


async def members(tx: Tx, wallet_id: int, wanted: Filter, ranges: Sequence[tuple[int, int]]) -> list[int]:
    """The positions within these ranges that a filter wants, in no order; open ones count as completed, dates are ignored."""
    rows = await tx.fetch(
        "select t.position from unnest($2::bigint[], $3::bigint[]) as r(low, high) cross join lateral ("
        f" select position from {_members_of(wanted)}) as t",
        wallet_id, [low for low, _ in ranges], [high for _, high in ranges],
    )  # fmt: skip
    return [row[0] for row in rows]


def _members_of(wanted: Filter) -> str:
    within = "as m where m.wallet_id = $1 and m.position between r.low and r.high"
    direction = {None: "", True: " and m.credit", False: " and not m.credit"}[wanted.credit]
    if wanted.status is Status.FAILED:
        return f"wallet_failed {within}{direction}"
    if wanted.status is Status.COMPLETED:
        direction += (
            " and not exists (select from wallet_failed f where f.wallet_id = m.wallet_id and f.position = m.position)"
        )
    return f"wallet_transaction {within}{direction}"


async def entries(tx: Tx, wallet_id: int, positions: Sequence[int]) -> list[Any]:
    """What stands at these positions, the highest first: position, kind, id, credit, created_at."""
    found: list[Any] = await tx.fetch(
        "select position, kind, id, credit, created_at from wallet_transaction"
        " where wallet_id = $1 and position = any($2::bigint[]) order by position desc",
        wallet_id, positions,
    )  # fmt: skip
    return found


async def entry_of(tx: Tx, wallet_id: int, id: int) -> Any:  # noqa: A002
    """The entry of this order, credit, funding, verification, refill, void, debit or refund on this wallet, or None."""
    return await tx.fetchrow(
        "select position, kind, id, credit, created_at from wallet_transaction where wallet_id = $1 and position = ("
        " select position from orders where id = $2 and wallet_id = $1"
        " union all select position from funding where id = $2 and wallet_id = $1"
        " union all select position from verification where id = $2 and wallet_id = $1"
        " union all select position from refill where id = $2 and wallet_id = $1"
        " union all select position from funding_void where id = $2 and wallet_id = $1"
        " union all select position from wallet_debit where id = $2 and wallet_id = $1"
        " union all select position from order_refund where id = $2 and wallet_id = $1"
        " union all select position from wallet_credit where id = $2 and wallet_id = $1 limit 1)",
        wallet_id, id,
    )  # fmt: skip


async def entry_of_credit(tx: Tx, wallet_id: int, reference: str) -> Any:
    """The entry of the credit by hand under this reference, or None."""
    return await tx.fetchrow(
        "select t.position, t.kind, t.id, t.credit, t.created_at from wallet_credit c join wallet_transaction t"
        " on t.wallet_id = c.wallet_id and t.position = c.position where c.wallet_id = $1 and c.reference = $2",
        wallet_id, reference,
    )  # fmt: skip


async def balances_after(tx: Tx, causes: Sequence[int]) -> dict[int, tuple[int, int]]:
    """The balance before and after the first transfer of each cause on a wallet, in minor units."""
    rows = await tx.fetch(
        "select distinct on (cause) cause, case when credit = wallet_id then -amount_minor else amount_minor end"
        " + wallet_balance_minor as before, wallet_balance_minor as after"
        " from transfer where cause = any($1::bigint[]) and wallet_id is not null order by cause, kind",
        causes,
    )
    return {row["cause"]: (row["before"], row["after"]) for row in rows}


async def references(tx: Tx, ids: Sequence[int]) -> dict[int, str]:
    """The references of these orders, credits, fundings, verifications, refills, voids, debits and refunds, by their numbers."""
    tables = [
        (name, "reference") for name in ("orders", "wallet_credit", "funding", "verification", "refill", "funding_void")
    ]
    tables += [(name, "our_reference") for name in ("wallet_debit", "order_refund")]
    rows = await tx.fetch(
        " union all ".join(f"select id, {column} from {name} where id = any($1::bigint[])" for name, column in tables),
        ids,
    )
    return {row[0]: row[1] for row in rows}


async def credits_by_id(tx: Tx, ids: Sequence[int]) -> dict[int, Any]:
    """Credits by hand: id, reference, amount_minor."""
    rows = await tx.fetch("select id, reference, amount_minor from wallet_credit where id = any($1::bigint[])", ids)
    return {row["id"]: row for row in rows}
