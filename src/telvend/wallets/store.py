"""All SQL of wallets: the list of transactions and what reads the wallet's row. `paging.py` works out what is on a page.

The row in `wallet` is written by the ledger alone, which holds its lock. What stands behind a line belongs to other rooms
and is read through the views `wallet_entry` and `wallet_open`.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from telvend.database.connections import Tx
from telvend.database.connections import rows as json_rows
from telvend.database.together import Statement
from telvend.wallets.model import Filter, ListFilter, TransactionStatus

RARE: Final = "kind not in ('o', 'r')"
"""The condition of the index on lines that are neither purchases nor refills: what brings money in is among them."""

BLOCK_BITS: Final = 10
"""A position without its lowest ten bits is its block's number: the migration's triggers count by that."""

WRITE_LINES: Final = """
    insert into wallet_transaction (wallet_id, position, kind, id, credit, created_at)
    select wallet_id, position, kind::"char", id, credit, coalesce($2::timestamptz, clock_timestamp())
    from json_to_recordset($1::text::json)
        as new(wallet_id bigint, position bigint, kind text, id bigint, credit boolean)
"""

WRITE_FAILED: Final = """
    insert into wallet_failed (wallet_id, position, credit)
    select wallet_id, position, credit from json_to_recordset($1::text::json)
        as new(wallet_id bigint, position bigint, credit boolean)
"""

_SHOWN: Final = """t.wallet_id, t.kind, t.id, t.credit, e.reference, e.amount_minor, e.status, e.before_minor, e.after_minor,
    e.service, e.facts,
    coalesce(e.created_at, t.created_at) as created_at, coalesce(e.updated_at, t.created_at) as updated_at"""

# Lateral look-ups of one row each: a plain join could be planned as a scan of every table behind the view. By kind and number
# only the table of that kind is looked into.
ENTRIES: Final = f"""
    select {_SHOWN} from wallet_transaction t cross join lateral (
        select * from wallet_entry where wallet_entry.kind = t.kind and wallet_entry.id = t.id limit 1
    ) as e
    where t.wallet_id = $1 and t.position = any($2::bigint[]) order by t.position desc
"""

_LINE_OF_ENTRY: Final = f"""
    select {_SHOWN} from wallet_entry e cross join lateral (
        select * from wallet_transaction where wallet_id = e.wallet_id and position = e.position limit 1
    ) as t
"""
ENTRY_OF: Final = f"{_LINE_OF_ENTRY} where e.wallet_id = any($1::bigint[]) and e.id = $2"
ENTRY_OF_CREDIT: Final = f"{_LINE_OF_ENTRY} where e.kind = 'c' and e.wallet_id = any($1::bigint[]) and e.reference = $2"


async def wallet(tx: Tx, wallet_id: int) -> Any:
    """balance_minor, funded_minor, transactions and the time of the last transaction; None where there is no wallet."""
    return await tx.fetchrow(
        "select w.balance_minor, w.funded_minor, w.last_funded_at, w.transactions, t.created_at as last_at from wallet w"
        " left join wallet_transaction t on t.wallet_id = w.account_id and t.position = w.transactions"
        " where w.account_id = $1",
        wallet_id,
    )


# Positions and sequences were given in the order of time, so that a moment is found by halving: a few dozen look-ups in an index that
# every sale has anyway. One by time would have to be kept for every sale.
FIRST_POSITION: Final = """
    with recursive halving(low, high) as (
        select 1::bigint, $2::bigint + 1
        union all
        select case when at.created_at < $3 then middle + 1 else low end, case when at.created_at < $3 then high else middle end
        from halving cross join lateral (select (low + high) / 2 as middle) as half cross join lateral (
            select created_at from wallet_transaction where wallet_id = $1 and position = middle limit 1
        ) as at
        where low < high
    )
    select low from halving where low >= high
"""
LAST_SEQUENCES: Final = """
    with recursive halving(place, moment, low, high) as (
        select place, moment, 0::bigint, $2::bigint from unnest($3::timestamptz[]) with ordinality as wanted(moment, place)
        union all
        select place, moment, case when at.created_at < moment then middle else low end,
            case when at.created_at < moment then high else middle - 1 end
        from halving cross join lateral (select (low + high + 1) / 2 as middle) as half cross join lateral (
            select created_at from transfer where wallet_id = $1 and wallet_sequence = middle limit 1
        ) as at
        where low < high
    )
    select low from halving where low >= high order by place
"""


_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


async def first_position_from(tx: Tx, wallet_id: int, last: int, moment: datetime) -> int:
    """The first position whose transaction is not older than `moment`, any that Python knows; `last + 1` where all are."""
    within = max(_EARLIEST, min(moment, _LATEST))
    return int(await tx.fetchval(FIRST_POSITION, wallet_id, last, within))


async def last_sequences_before(tx: Tx, wallet_id: int, last: int, moments: Sequence[datetime]) -> list[int]:
    """The last sequence of the wallet's transfers before each of these moments; 0 where there is none."""
    return [row[0] for row in await tx.fetch(LAST_SEQUENCES, wallet_id, last, list(moments))]


async def order_ids(tx: Tx, reseller_id: UUID, most: int) -> list[int] | None:
    """The numbers of every order of a reseller; None where the wallets have more than `most` transactions."""
    count = await tx.fetchval(
        "select coalesce(sum(transactions), 0)::bigint from wallet where reseller_id = $1", reseller_id
    )
    if count > most:
        return None
    rows = await tx.fetch(
        "select t.id from wallet w join wallet_transaction t on t.wallet_id = w.account_id where w.reseller_id = $1 and t.kind = 'o'",
        reseller_id,
    )
    return [row[0] for row in rows]


async def balances_after(tx: Tx, wallet_id: int, sequences: Sequence[int]) -> dict[int, int]:
    """The balance after each of these transfers of a wallet; 0 before the first one."""
    rows = await tx.fetch(
        "select wallet_sequence, wallet_balance_minor from transfer"
        " where wallet_id = $1 and wallet_sequence = any($2::bigint[])",
        wallet_id, sorted(set(sequences)),
    )  # fmt: skip
    return {0: 0} | {row[0]: row[1] for row in rows}


async def blocks_with_credits(tx: Tx, wallet_id: int, low: int, high: int) -> list[int]:
    """The blocks of positions from `low` to `high` in which money came in, or was to."""
    rows = await tx.fetch(
        "select block from wallet_block where wallet_id = $1 and block between $2 and $3 and credits > 0 order by block",
        wallet_id, low >> BLOCK_BITS, high >> BLOCK_BITS,
    )  # fmt: skip
    return [row[0] for row in rows]


async def pending_positions(tx: Tx, wallet_id: int) -> list[int]:
    """The positions of the wallet's open transactions. There are never many.

    A refill is never open: it is paid for in the transaction in which it arrives.
    """
    rows = await tx.fetch("select position from wallet_open where wallet_id = $1", wallet_id)
    return [row[0] for row in rows]


async def credits_among(tx: Tx, wallet_id: int, positions: Collection[int]) -> list[int]:
    """Those of these positions at which money came in, or is to."""
    rows = await tx.fetch(
        f"select position from wallet_transaction where wallet_id = $1 and position = any($2::bigint[]) and credit and {RARE}",
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
    if wanted.status is TransactionStatus.FAILED:
        return f"wallet_failed {within}{direction}"
    if wanted.credit:
        direction += f" and m.{RARE}"
    if wanted.status is TransactionStatus.COMPLETED:
        direction += (
            " and not exists (select from wallet_failed f where f.wallet_id = m.wallet_id and f.position = m.position)"
        )
    return f"wallet_transaction {within}{direction}"


async def entries(tx: Tx, wallet_id: int, positions: Sequence[int]) -> list[Any]:
    """What stands at these positions, the highest first, with the columns of `_SHOWN`."""
    found: list[Any] = await tx.fetch(ENTRIES, wallet_id, positions)
    return found


# What a list over several wallets reads ------------------------------------------------------------------------------------

_ENTRY: Final = """cross join lateral (
    select service, facts from wallet_entry where wallet_entry.kind = m.kind and wallet_entry.id = m.id limit 1
) as e"""


def walk_statement(
    wallet_id: int, wanted: ListFilter, low: int, high: int, limit: int, opened: Collection[int]
) -> tuple[str, list[Any]]:
    """The statement of `walk` and its values. Only what is asked for stands in it, so that an index serves it."""
    values: list[Any] = [wallet_id, low, high, limit]
    lines = "wallet_transaction m"
    conditions = ["m.wallet_id = $1", "m.position between $2 and $3"]

    def also(condition: str, value: Any) -> None:
        values.append(value)
        conditions.append(condition.format(f"${len(values)}"))

    if wanted.status is TransactionStatus.FAILED:
        # From the marks of failed lines, in the order of their positions.
        lines = """wallet_failed w cross join lateral (
            select * from wallet_transaction t where t.wallet_id = w.wallet_id and t.position = w.position limit 1
        ) as m"""
        conditions = ["w.wallet_id = $1", "w.position between $2 and $3"]
    elif wanted.status is TransactionStatus.COMPLETED:
        failed = "select from wallet_failed f where f.wallet_id = m.wallet_id and f.position = m.position"
        conditions.append(f"not exists ({failed})")
        also("m.position <> all({}::bigint[])", sorted(opened))
    elif wanted.status is TransactionStatus.PENDING:
        also("m.position = any({}::bigint[])", sorted(opened))
    if wanted.kinds is not None:
        also('m.kind = any({}::"char"[])', [kind.encode() for kind in sorted(wanted.kinds)])
        if wanted.are_rare:
            conditions.append(f"m.{RARE}")
    if wanted.services is not None:
        also("e.service = any({}::text[])", list(wanted.services))
    if wanted.recipient is not None:
        also("e.facts->>'subscriber' = {}", wanted.recipient)
    position = "w.position" if wanted.status is TransactionStatus.FAILED else "m.position"
    entry = _ENTRY if wanted.reads_entries else ""
    return (
        f"select {position} from {lines} {entry} where {' and '.join(conditions)} order by {position} desc limit $4",
        values,
    )


async def walk(
    tx: Tx, wallet_id: int, wanted: ListFilter, low: int, high: int, limit: int, opened: Collection[int]
) -> list[int]:
    """The highest positions between two that a filter wants, dates aside. `opened` are the positions of open transactions."""
    statement, values = walk_statement(wallet_id, wanted, low, high, limit, opened)
    return [row[0] for row in await tx.fetch(statement, *values)]


async def time_at(tx: Tx, wallet_id: int, position: int) -> datetime:
    """When the transaction at a position was entered."""
    found: datetime = await tx.fetchval(
        "select created_at from wallet_transaction where wallet_id = $1 and position = $2", wallet_id, position
    )
    return found


async def entries_of(tx: Tx, wallet_ids: Collection[int], number: int) -> list[Any]:
    """The entry of one of these wallets with this number, of any kind, if there is one."""
    found: list[Any] = await tx.fetch(ENTRY_OF, list(wallet_ids), number)
    return found


async def entries_of_credit(tx: Tx, wallet_ids: Collection[int], reference: str) -> list[Any]:
    """The entries of credits by hand under this reference, at most one of each of these wallets."""
    found: list[Any] = await tx.fetch(ENTRY_OF_CREDIT, list(wallet_ids), reference)
    return found


async def references(tx: Tx, numbers: Sequence[int]) -> dict[int, str]:
    """What the owners of wallets call these numbers of sales, credits, fundings, voids, debits, refunds and provisional credits."""
    rows = await tx.fetch("select id, reference from wallet_entry where id = any($1::bigint[])", numbers)
    return {row[0]: row[1] for row in rows}


def lines_of(lines: Sequence[msgspec.Struct], at: datetime | None) -> Statement:
    """Return what adds lines to wallets' lists, entered at `at`. The caller holds the locks on the wallets."""
    return Statement(WRITE_LINES, (json_rows(lines), at))


def failed_of(lines: Sequence[msgspec.Struct]) -> Statement:
    """Return what marks lines as failed. The caller holds the locks on the wallets."""
    return Statement(WRITE_FAILED, (json_rows(lines),))


async def revive(tx: Tx, wallet_id: int, position: int) -> None:
    """Unmark a failed line: its money has come after all. The caller holds the lock on the wallet."""
    await tx.execute("delete from wallet_failed where wallet_id = $1 and position = $2", wallet_id, position)


# Balances ----------------------------------------------------------------------------------------------------------------


async def owners(tx: Tx, wallet_ids: Collection[int]) -> dict[int, UUID]:
    """The resellers of these wallets."""
    found = await tx.fetch(
        "select account_id, reseller_id from wallet where account_id = any($1::bigint[])", list(wallet_ids)
    )
    return {row["account_id"]: row["reseller_id"] for row in found}


async def balances(tx: Tx, wallet_ids: Sequence[int]) -> dict[int, int]:
    """The spendable balance of each wallet, in minor units."""
    found = await tx.fetch(
        "select account_id, balance_minor from wallet where account_id = any($1::bigint[])", wallet_ids
    )
    return {row[0]: row[1] for row in found}


async def sequence_of(tx: Tx, wallet_id: int) -> tuple[int, int]:
    """The balance of a wallet and the sequence of its last transfer; zeros where there is no wallet."""
    row = await tx.fetchrow("select balance_minor, sequence from wallet where account_id = $1", wallet_id)
    return (row[0], row[1]) if row is not None else (0, 0)


async def wallets_of(tx: Tx, reseller_id: UUID) -> list[Any]:
    """Every wallet of a reseller: account_id, currency, mode, balance_minor, sequence."""
    found: list[Any] = await tx.fetch(
        "select account_id, currency, mode, balance_minor, sequence from wallet where reseller_id = $1"
        " order by mode, currency",
        reseller_id,
    )
    return found
