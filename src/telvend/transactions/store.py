"""The SQL of the list of transactions: which positions belong on a page, and how many there are in all.

A wallet's positions are gap-free, and those that failed are listed apart. So an unfiltered page is found by arithmetic,
and a filtered one by leaving out the few: everything that is neither failed nor open was completed.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from telvend.kit.db import Tx

# Sets of the wallet's positions between $2 and $3; $4 are those that are open.
FAILED: Final = "select position from wallet_failed where wallet_id = $1 and position between $2 and $3"
FAILED_CREDITS: Final = f"{FAILED} and credit"
FAILED_DEBITS: Final = f"{FAILED} and not credit"
CREDITS: Final = (
    "select position from wallet_transaction where wallet_id = $1 and credit and position between $2 and $3"
)
OPEN: Final = "select given as position from unnest($4::bigint[]) as given where given between $2 and $3"
OPEN_CREDITS: Final = f"select position from ({CREDITS}) as c where position = any($4::bigint[])"
OPEN_DEBITS: Final = f"({OPEN}) except ({CREDITS})"
COMPLETED_CREDITS: Final = f"({CREDITS}) except ({FAILED_CREDITS}) except ({OPEN})"


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


# Not every set uses every parameter, and the database insists on knowing the type of each.
_ALL: Final = " where $1::bigint is not null and $2::bigint <= $3::bigint and $4::bigint[] is not null"


async def count(tx: Tx, positions: str, wallet_id: int, low: int, high: int, opened: Sequence[int]) -> int:
    """How many positions one of the sets above has."""
    return int(
        await tx.fetchval(
            f"select count(*) from ({positions}) as s{_ALL}",
            wallet_id,
            low,
            high,
            opened,
        )
    )


async def page_of(
    tx: Tx, positions: str, wallet_id: int, low: int, high: int, opened: Sequence[int], *, limit: int, offset: int
) -> list[int]:
    """Positions of a set, the highest first."""
    rows = await tx.fetch(
        f"select position from ({positions}) as s{_ALL} order by position desc limit $5 offset $6",
        wallet_id, low, high, opened, limit, offset,
    )  # fmt: skip
    return [row[0] for row in rows]


async def page_without(
    tx: Tx, left_out: str, wallet_id: int, low: int, high: int, opened: Sequence[int], *, limit: int, offset: int
) -> list[int]:
    """All positions between two but those of a set, the highest first.

    Above the n-th one that is left out stand (high - its position) - (n - 1) that are not. As many of them as do not
    reach past `offset` move the page down by one each; no row of the others is read before the page itself.
    """
    moved = await tx.fetchval(
        f"""
        select count(*) from (
            select position, row_number() over (order by position desc) as n from ({left_out}) as s{_ALL}
        ) as ranked
        where $3 - position - (n - 1) <= $5
        """,
        wallet_id, low, high, opened, offset,
    )  # fmt: skip
    first = high - offset - moved
    if first < low:
        return []
    rows = await tx.fetch(
        f"""
        select t.position from wallet_transaction t
        where t.wallet_id = $1 and t.position between $2 and $5
          and not exists (select from ({left_out}) as s where s.position = t.position and $3::bigint >= 0 and $4::bigint[] is not null)
        order by t.position desc limit $6
        """,
        wallet_id, low, high, opened, first, limit,
    )  # fmt: skip
    return [row[0] for row in rows]


async def entries(tx: Tx, wallet_id: int, positions: Sequence[int]) -> list[Any]:
    """What stands at these positions, the highest first: position, kind, id, credit, created_at."""
    found: list[Any] = await tx.fetch(
        "select position, kind, id, credit, created_at from wallet_transaction"
        " where wallet_id = $1 and position = any($2::bigint[]) order by position desc",
        wallet_id, positions,
    )  # fmt: skip
    return found


async def entry_of(tx: Tx, wallet_id: int, id: int) -> Any:  # noqa: A002
    """The entry of this order, credit, funding, verification or refill on this wallet, or None."""
    return await tx.fetchrow(
        "select position, kind, id, credit, created_at from wallet_transaction where wallet_id = $1 and position = ("
        " select position from orders where id = $2 and wallet_id = $1"
        " union all select position from funding where id = $2 and wallet_id = $1"
        " union all select position from verification where id = $2 and wallet_id = $1"
        " union all select position from refill where id = $2 and wallet_id = $1"
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


async def credits_by_id(tx: Tx, ids: Sequence[int]) -> dict[int, Any]:
    """Credits by hand: id, reference, amount_minor."""
    rows = await tx.fetch("select id, reference, amount_minor from wallet_credit where id = any($1::bigint[])", ids)
    return {row["id"]: row for row in rows}
