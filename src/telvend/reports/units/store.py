"""All SQL of holdings by unit. The owner of wallets is "" here: all those of a currency and mode are one unit."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from telvend.database.connections import Tx
from telvend.ledger.model import AccountKind, TransferKind
from telvend.reports.model import Month, Span
from telvend.reports.store import PATIENCE_S

Changes = dict[tuple[str, str], int]
"""Minor units by owner and currency."""


class Moved(NamedTuple):
    """How a unit changed in one day by transfers of one kind."""

    day: date
    owner: str
    currency: str
    kind: TransferKind
    transfers: int
    change_minor: int


_UNIT: Final = f"case a.kind when '{AccountKind.WALLET}' then '' else a.owner end"
# A look-up for each account: joined, all accounts of the shop would be read.
_ACCOUNT: Final = "cross join lateral (select * from report_account where report_account.id = {} limit 1) a"


def _moved(found: Iterable[Any]) -> list[Moved]:
    return [Moved(day, owner, currency, TransferKind(kind), *figures) for day, owner, currency, kind, *figures in found]


def _changes(found: Iterable[Any]) -> Changes:
    return {(row["owner"], row["currency"]): row["minor"] for row in found}


async def held_by_wallets(tx: Tx, mode: str) -> Changes:
    """What all wallets hold now."""
    return _changes(
        await tx.fetch(
            "select '' as owner, currency, sum(balance_minor)::bigint as minor from report_wallet where mode = $1 group by currency",
            mode,
        )
    )


# Counted days -----------------------------------------------------------------------------------------------------------


async def counted_movements(tx: Tx, kind: AccountKind, mode: str, days: Sequence[date]) -> list[Moved]:
    """How accounts changed in counted days."""
    return _moved(
        await tx.fetch(
            "select day, owner, currency, kind, transfers, change_minor from report_day_movement"
            " where account_kind = $1 and mode = $2 and day = any($3::date[])",
            kind, mode, days,
        )
    )  # fmt: skip


async def counted_changes(
    tx: Tx, kind: AccountKind, mode: str, first: date | None, before: date | None, without: Sequence[date]
) -> Changes:
    """How accounts changed in counted days, from one on (None: the first) to the one before another (None: to the last)."""
    return _changes(
        await tx.fetch(
            "select owner, currency, sum(change_minor)::bigint as minor from report_day_movement"
            " where account_kind = $1 and mode = $2 and day >= coalesce($3::date, '-infinity')"
            " and day < coalesce($4::date, 'infinity') and day <> all($5::date[]) group by owner, currency",
            kind, mode, first, before, without,
        )
    )  # fmt: skip


# The ledger -------------------------------------------------------------------------------------------------------------


async def movements(
    tx: Tx, kind: AccountKind, mode: str, span: Span, kinds: Collection[TransferKind] | None = None
) -> list[Moved]:
    """How accounts changed in a span. `kinds`: by transfers of these kinds; None: by all."""
    found = await tx.fetch(
        f"""
        with pairs as materialized (
            select width_bucket(created_at, $3::timestamptz[]) as day, kind, debit, credit, count(*) as transfers,
                sum(amount_minor) as minor
            from report_transfer
            where created_at >= $1 and created_at < $2 and ($6::smallint[] is null or kind = any($6))
            group by 1, 2, 3, 4
        )
        select t.day, {_UNIT} as owner, a.currency, t.kind, sum(t.transfers)::bigint as transfers,
            sum(side.minor)::bigint as minor
        from pairs t cross join lateral (values (t.credit, t.minor), (t.debit, -t.minor)) as side(id, minor)
        {_ACCOUNT.format("side.id")}
        where a.kind = $4 and a.mode = $5
        group by 1, 2, 3, 4
        """,
        span.begins_at, span.ends_at, span.starts, kind, mode, None if kinds is None else list(kinds), timeout=PATIENCE_S,
    )  # fmt: skip
    return _moved((span.days[day - 1], *rest) for day, *rest in found)


async def changes(tx: Tx, kind: AccountKind, mode: str, begins_at: datetime, ends_at: datetime | None) -> Changes:
    """How accounts changed from one moment to another; None: to now."""
    return _changes(
        await tx.fetch(
            f"""
            with pairs as materialized (
                select debit, credit, sum(amount_minor) as minor from report_transfer
                where created_at >= $1 and created_at < coalesce($2::timestamptz, 'infinity')
                group by debit, credit
            )
            select {_UNIT} as owner, a.currency, sum(side.minor)::bigint as minor
            from pairs t cross join lateral (values (t.credit, t.minor), (t.debit, -t.minor)) as side(id, minor)
            {_ACCOUNT.format("side.id")}
            where a.kind = $3 and a.mode = $4
            group by 1, 2
            """,
            begins_at, ends_at, kind, mode, timeout=PATIENCE_S,
        )
    )  # fmt: skip


# Closed months ----------------------------------------------------------------------------------------------------------


async def sealed_movements(
    tx: Tx, kind: AccountKind, mode: str, months: Collection[Month], first: date, last: date
) -> list[Moved]:
    """How accounts changed in these closed months, from one day to another."""
    if not months:
        return []
    return _moved(
        await tx.fetch(
            f"""
            select m.day, {_UNIT} as owner, a.currency, m.kind, sum(m.transfers)::bigint as transfers,
                sum(m.change_minor)::bigint as change_minor
            from report_movement m join report_account a on a.id = m.account_id
            where m.month = any($3::date[]) and m.day between $4 and $5 and a.kind = $1 and a.mode = $2
            group by 1, 2, 3, 4
            """,
            kind, mode, [month.first for month in months], first, last, timeout=PATIENCE_S,
        )
    )  # fmt: skip


async def sealed_changes(tx: Tx, kind: AccountKind, mode: str, months: Collection[Month], first: date) -> Changes:
    """How accounts changed in these closed months, from one day on."""
    if not months:
        return {}
    return _changes(
        await tx.fetch(
            f"""
            select {_UNIT} as owner, a.currency, sum(m.change_minor)::bigint as minor
            from report_movement m join report_account a on a.id = m.account_id
            where m.month = any($3::date[]) and m.day >= $4 and a.kind = $1 and a.mode = $2
            group by 1, 2
            """,
            kind, mode, [month.first for month in months], first, timeout=PATIENCE_S,
        )
    )  # fmt: skip


async def sealed_openings(tx: Tx, kind: AccountKind, mode: str, month: Month, day: date) -> Changes:
    """What accounts held when this day of a closed month began; the day after its last one is what it closed with."""
    return _changes(
        await tx.fetch(
            f"""
            select {_UNIT} as owner, a.currency, sum(parts.minor)::bigint as minor
            from (
                select account_id, opening_minor as minor from report_balance where month = $3
                union all
                select account_id, change_minor from report_movement where month = $3 and day < $4
            ) as parts join report_account a on a.id = parts.account_id
            where a.kind = $1 and a.mode = $2
            group by 1, 2
            """,
            kind, mode, month.first, day, timeout=PATIENCE_S,
        )
    )  # fmt: skip
