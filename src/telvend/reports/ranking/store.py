"""All SQL of ranked pages. A wallet's place is decided by one sum; all figures are read of the wallets of one page alone."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

import msgspec

from telvend.database.connections import Tx, rows
from telvend.ledger.model import TransferKind
from telvend.reports.model import Holding, Month, Sales
from telvend.reports.store import PATIENCE_S
from telvend.reports.summaries.store import FIGURES, OF_SALES, SUMS


class Window(NamedTuple):
    """Which of the ranked wallets of a currency and mode are wanted."""

    mode: str
    currency: str
    limit: int
    offset: int


class Place(NamedTuple):
    """A wallet, and the sum by which it is ranked, in minor units."""

    wallet_id: int
    reseller_id: str
    minor: int


class _Part(msgspec.Struct, gc=False):
    wallet_id: int
    minor: int


def _parts(minors: Mapping[int, int]) -> str:
    return rows([_Part(wallet_id, minor) for wallet_id, minor in minors.items()])


# $1 to $4: the window; $5: also wallets without anything that belong to the report. A page asks for those that have something first, and
# for the others where these do not fill it: which of them belong is not worked out before.
_RANK: Final = """
    with places as materialized (
        select wallet_id, minor from ({sums}) sums
        where minor <> 0 or $5::boolean and wallet_id in ({belong})
        order by minor <> 0 desc, minor desc, wallet_id limit $3 offset $4
    )
    select p.wallet_id, w.reseller_id::text, p.minor
    from places p cross join lateral (select * from report_wallet where report_wallet.wallet_id = p.wallet_id limit 1) w
    order by p.minor <> 0 desc, p.minor desc, p.wallet_id
"""


async def _ranked(tx: Tx, statement: str, values: Sequence[Any], window: Window) -> list[Place]:
    found: list[Any] = []
    for with_empty in (False, True):
        found = await tx.fetch(statement, *window, with_empty, *values, timeout=PATIENCE_S)
        if len(found) == window.limit:
            break
    return [Place(*row) for row in found]


# Sales ------------------------------------------------------------------------------------------------------------------

# $6: counted days; $7 to $9: closed months, and from which day to which; $10: what is not counted, in wallets of this currency and mode.
RANK_SALES: Final = _RANK.format(
    sums="""
        select wallet_id, sum_minor(minor) as minor from (
            select wallet_id, sold_minor as minor from report_day_wallet
            where day = any($6::date[]) and mode = $1 and currency = $2
            union all
            select s.wallet_id, s.sold_minor from report_sale s join report_wallet w using (wallet_id)
            where s.month = any($7::date[]) and s.day between $8 and $9 and w.mode = $1 and w.currency = $2
            union all
            select wallet_id, minor from json_to_recordset($10::text::json) as uncounted(wallet_id bigint, minor bigint)
        ) parts group by wallet_id
    """,
    belong=f"""
        select s.wallet_id from report_day_wallet s
        where s.day = any($6::date[]) and s.mode = $1 and s.currency = $2 and {OF_SALES}
        union all
        select wallet_id from report_sale where month = any($7::date[]) and day between $8 and $9
        union all
        select wallet_id from json_to_recordset($10::text::json) as uncounted(wallet_id bigint)
    """,
)

# $1: wallets of a mode ($5) and currency ($6); $2: counted days; $3 and $4: days of closed months, and their months.
SALES_OF: Final = f"""
    select s.wallet_id, {SUMS} from (
        select found.wallet_id, {", ".join(f"found.{name}" for name in FIGURES)}
        from unnest($1::bigint[]) wallet(id) cross join unnest($2::date[]) counted(day) cross join lateral (
            select * from report_day_wallet d
            where d.day = counted.day and d.mode = $5 and d.currency = $6 and d.wallet_id = wallet.id limit 1
        ) found
        union all
        select found.wallet_id, {", ".join(f"found.{name}" for name in FIGURES)}
        from unnest($1::bigint[]) wallet(id) cross join unnest($3::date[], $4::date[]) sealed(day, month) cross join lateral (
            select * from report_sale d where d.month = sealed.month and d.day = sealed.day and d.wallet_id = wallet.id offset 0
        ) found
    ) s group by s.wallet_id
"""


async def rank_sales(
    tx: Tx,
    counted: Sequence[date],
    months: Collection[Month],
    first: date,
    last: date,
    uncounted: Mapping[int, int],
    window: Window,
) -> list[Place]:
    """Wallets that had sales, by what was sold from them.

    `uncounted`: what was, from wallets of this currency and mode, beside the counted days and the closed months.
    """
    return await _ranked(tx, RANK_SALES, (counted, _firsts(months), first, last, _parts(uncounted)), window)


def _firsts(months: Collection[Month]) -> list[date]:
    return [month.first for month in months]


async def sales_of(
    tx: Tx, wallets: Collection[int], counted: Sequence[date], sealed: Sequence[date], window: Window
) -> dict[int, Sales]:
    """The sales of these wallets in counted days, and in days of closed months."""
    months = [day.replace(day=1) for day in sealed]
    found = await tx.fetch(SALES_OF, list(wallets), counted, sealed, months, window.mode, window.currency)
    return {row["wallet_id"]: Sales(**{name: row[name] for name in FIGURES}) for row in found}


async def total_sales(
    tx: Tx, counted: Sequence[date], months: Collection[Month], first: date, last: date, mode: str
) -> dict[str, Sales]:
    """The sales of all wallets in counted days, and in closed months from one day to another, by currency."""
    found = await tx.fetch(
        f"""
        select currency, {SUMS} from (
            select currency, {", ".join(FIGURES)} from report_day_sale where day = any($1::date[]) and mode = $5
            union all
            select w.currency, {", ".join(f"s.{name}" for name in FIGURES)}
            from report_sale s join report_wallet w on w.wallet_id = s.wallet_id
            where s.month = any($2::date[]) and s.day between $3 and $4 and w.mode = $5
        ) s group by currency
        """,
        counted, _firsts(months), first, last, mode, timeout=PATIENCE_S,
    )  # fmt: skip
    return {row["currency"]: Sales(**{name: row[name] for name in FIGURES}) for row in found}


# Balances of wallets ---------------------------------------------------------------------------------------------------

# The wallets that moved. $6: on counted days; $7 to $9: in closed months, between two days; $10: in the uncounted time.
_MOVED: Final = """
    select wallet_id from report_day_wallet where day = any($6::date[]) and mode = $1 and currency = $2 and transfers > 0
    union all
    select account_id from report_movement where month = any($7::date[]) and day between $8 and $9
    union all
    select unnest($10::bigint[])
"""

# The balance of each wallet at the beginning of a day: its balance now, less the changes since. $6 to $10: as in _MOVED;
# $11: the day; $12: days of closed months, which are not counted; $13: the closed months; $14: what is not counted.
RANK_WALLETS: Final = _RANK.format(
    sums="""
        select w.wallet_id, w.balance_minor - coalesce(since.minor, 0) as minor
        from report_wallet w left join (
            select wallet_id, sum_minor(minor) as minor from (
                select wallet_id, change_minor as minor from report_day_wallet
                where day >= $11 and day <> all($12::date[]) and mode = $1 and currency = $2
                union all
                select account_id, change_minor from report_movement where month = any($13::date[]) and day >= $11
                union all
                select wallet_id, minor from json_to_recordset($14::text::json) as uncounted(wallet_id bigint, minor bigint)
            ) parts group by wallet_id
        ) since using (wallet_id)
        where w.mode = $1 and w.currency = $2 offset 0
    """,
    belong=_MOVED,
)

# The same for a day of a closed month ($12): what it opened with, and how that has changed.
RANK_WALLETS_IN_CLOSED: Final = _RANK.format(
    sums="""
        select w.wallet_id, coalesce(before.minor, 0) as minor
        from report_wallet w left join (
            select account_id, sum_minor(minor) as minor from (
                select account_id, opening_minor as minor from report_balance where month = $12
                union all
                select account_id, change_minor from report_movement where month = $12 and day < $11
            ) parts group by account_id
        ) before on before.account_id = w.wallet_id
        where w.mode = $1 and w.currency = $2 offset 0
    """,
    belong=_MOVED,
)

# $1: wallets of a mode ($5) and currency ($6); $2: counted days; $3 and $4: days of closed months, and their months.
MOVED_OF: Final = """
    select found.wallet_id, moved.kind, sum(moved.transfers)::bigint as transfers, sum(moved.minor)::bigint as minor
    from unnest($1::bigint[]) wallet(id) cross join unnest($2::date[]) counted(day) cross join lateral (
        select * from report_day_wallet d
        where d.day = counted.day and d.mode = $5 and d.currency = $6 and d.wallet_id = wallet.id limit 1
    ) found cross join lateral (values {kinds}) as moved(kind, transfers, minor)
    where found.transfers > 0
    group by 1, 2
    union all
    select wallet.id, found.kind, sum(found.transfers)::bigint, sum(found.change_minor)::bigint
    from unnest($1::bigint[]) wallet(id) cross join unnest($3::date[], $4::date[]) sealed(day, month) cross join lateral (
        select * from report_movement d where d.month = sealed.month and d.day = sealed.day and d.account_id = wallet.id offset 0
    ) found
    group by 1, 2
""".format(
    kinds=", ".join(
        (
            f"({TransferKind.HOLD}, found.transfers, -found.held_minor)",
            f"({TransferKind.RELEASE}, 0, found.released_minor)",
            f"({TransferKind.CREDIT}, 0, found.credited_minor)",
            f"({TransferKind.REFUND}, 0, found.refunded_minor)",
            f"({TransferKind.PROVISIONAL_CREDIT}, 0, found.lent_minor)",
            f"({TransferKind.DEBIT}, 0, -found.debited_minor)",
            f"({TransferKind.VOID}, 0, -found.voided_minor)",
        )
    )
)


class Stirred(NamedTuple):
    """Which wallets moved: in counted days, in closed months from one day to another, and those that are named."""

    counted: Sequence[date]
    months: Sequence[date]
    first: date
    last: date
    uncounted: Sequence[int]


async def rank_wallets(
    tx: Tx,
    day: date,
    sealed: Sequence[date],
    months: Collection[Month],
    uncounted: Mapping[int, int],
    stirred: Stirred,
    window: Window,
) -> list[Place]:
    """Wallets that held something when a day began, or moved before it, by what they held then.

    What they hold now is known, and what has changed since: on counted days, `sealed` ones left out, in these closed months, and what is
    not counted.
    """
    values = (*stirred, day, sealed, _firsts(months), _parts(uncounted))
    return await _ranked(tx, RANK_WALLETS, values, window)


async def rank_wallets_in_closed(tx: Tx, month: Month, day: date, stirred: Stirred, window: Window) -> list[Place]:
    """As `rank_wallets`, for a day of a closed month."""
    return await _ranked(tx, RANK_WALLETS_IN_CLOSED, (*stirred, day, month.first), window)


async def moved_of(
    tx: Tx, wallets: Collection[int], counted: Sequence[date], sealed: Sequence[date], window: Window
) -> dict[int, Holding]:
    """How these wallets changed in counted days, and in days of closed months. Reversals of counted days are among provisional credits."""
    months = [day.replace(day=1) for day in sealed]
    found = await tx.fetch(MOVED_OF, list(wallets), counted, sealed, months, window.mode, window.currency)
    moved = {wallet_id: Holding() for wallet_id in wallets}
    for wallet_id, kind, transfers, minor in found:
        moved[wallet_id].change(TransferKind(kind), transfers, minor)
    return moved
