"""All SQL of reports. Tables of other rooms are read through views only, which the migration of reports creates."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import msgspec

from telvend.database.connections import Tx, rows
from telvend.database.invariants import Invariant
from telvend.kit.mode import Mode
from telvend.ledger.model import AccountKind, TransferKind
from telvend.reports.model import (
    By,
    ClosedMonth,
    HouseAccount,
    Month,
    Movement,
    SaleKey,
    SaleLines,
    Sales,
    Span,
    enter,
)

PATIENCE_S: Final = 1800.0
"""How long one statement may take: a month of millions of sales is added up with one."""

_HOLD, _RELEASE, _COST = int(TransferKind.HOLD), int(TransferKind.RELEASE), int(TransferKind.COST)
_MARGIN, _LOSS = int(TransferKind.MARGIN), int(TransferKind.LOSS)
_REFUND, _LATE_COST, _LATE_RETURN = int(TransferKind.REFUND), int(TransferKind.LATE_COST), int(TransferKind.LATE_RETURN)
_WRITTEN_OFF: Final = f"({TransferKind.WRITE_OFF}, {TransferKind.CREDIT_WRITE_OFF})"

PROVIDER_KINDS: Final = (TransferKind.COST, TransferKind.LOSS, TransferKind.LATE_COST, TransferKind.LATE_RETURN)
"""The kinds of transfers that move the accounts of providers."""

# The sales of a large shop's day are joined and grouped with hash tables in memory: the number of groups cannot be estimated, and
# sorting a million rows takes a second. Large tables are read by two processes, each with its own hash table: a shared one may need
# more of /dev/shm than a container has.
_PREPARE: Final = """
    select set_config('work_mem', '128MB', true), set_config('hash_mem_multiplier', '2', true),
        set_config('statement_timeout', '0', true), set_config('jit', 'off', true), set_config('enable_sort', 'off', true),
        set_config('max_parallel_workers_per_gather', '1', true), set_config('enable_parallel_hash', 'off', true)
"""


async def prepare(tx: Tx) -> None:
    """Set this transaction up for adding up many rows."""
    await tx.execute(_PREPARE)


# Accounts ---------------------------------------------------------------------------------------------------------------


_HOUSE: Final = [kind for kind in AccountKind if kind is not AccountKind.WALLET]


async def accounts(tx: Tx, wallets: Collection[int] | None = None) -> dict[int, HouseAccount]:
    """The accounts of the house, and these wallets, by their numbers; without `wallets` every account there is."""
    columns = "select id, kind, owner, currency, mode, balance_minor from report_account"
    if wallets is None:
        found = await tx.fetch(columns)
    else:
        # Two look-ups by index: with one "or" every account would be read.
        found = await tx.fetch(
            f"{columns} where kind = any($1::text[]) union all {columns} where kind = $2 and id = any($3::bigint[])",
            _HOUSE, AccountKind.WALLET, list(wallets),
        )  # fmt: skip
    return {
        row["id"]: HouseAccount(
            row["id"], AccountKind(row["kind"]), row["owner"], row["currency"], Mode(row["mode"]), row["balance_minor"]
        )
        for row in found
    }


def _day(moment: str, *, by_day: bool) -> str:
    """SQL for the number of the day that a moment is in, counted from 1. $3: when each day begins."""
    return f"width_bucket({moment}, $3::timestamptz[])" if by_day else "cardinality($3::timestamptz[])"


def _starts(span: Span, *, by_day: bool) -> list[datetime]:
    return list(span.starts if by_day else span.starts[:1])


def movements_statement(kinds: Collection[TransferKind] | None, *, by_day: bool) -> str:
    """The statement of `movements`: $1 and $2 are the span, $3 when each of its days begins."""
    narrowed = "" if kinds is None else f" and kind in ({', '.join(str(int(kind)) for kind in kinds)})"
    return f"""
        select {_day("created_at", by_day=by_day)} as day, kind, debit, credit, count(*) as transfers,
            sum(amount_minor)::bigint as minor
        from report_transfer where created_at >= $1 and created_at < $2{narrowed}
        group by 1, 2, 3, 4
    """


async def movements(
    tx: Tx, span: Span, *, by_day: bool, kinds: Collection[TransferKind] | None = None
) -> list[Movement]:
    """How accounts changed in a span: two for each group of transfers."""
    told_by_day, by_day = by_day, by_day and len(span.days) > 1
    statement = movements_statement(kinds, by_day=by_day)
    found = await tx.fetch(statement, span.begins_at, span.ends_at, _starts(span, by_day=by_day), timeout=PATIENCE_S)
    result = []
    for row in found:
        day, kind = span.days[row["day"] - 1] if told_by_day else None, TransferKind(row["kind"])
        result.append(Movement(day, row["debit"], kind, row["transfers"], -row["minor"]))
        result.append(Movement(day, row["credit"], kind, row["transfers"], row["minor"]))
    return result


async def changes_since(tx: Tx, moment: datetime | None, until: datetime | None) -> dict[int, int]:
    """How every account has changed from one moment to another; None is the beginning, or now. Reads every transfer between."""
    found = await tx.fetch(
        """
        select side.id, sum(side.minor)::bigint as minor from (
            select debit, credit, sum(amount_minor) as minor from report_transfer
            where ($1::timestamptz is null or created_at >= $1) and ($2::timestamptz is null or created_at < $2)
            group by debit, credit
        ) t cross join lateral (values (t.credit, t.minor), (t.debit, -t.minor)) as side(id, minor)
        group by side.id
        """,
        moment, until, timeout=PATIENCE_S,
    )  # fmt: skip
    return {row["id"]: row["minor"] for row in found}


# Sales ------------------------------------------------------------------------------------------------------------------


_COST_OF_ORDER: Final = f"""
    left join report_transfer t on t.cause = o.id and t.kind = {_COST} and t.created_at >= $1 and t.created_at < $2
"""


# The moment at which an order has ended has no index, that of its transfers has. In a long span it is quicker to read every order.
_ENDED_BY_TRANSFER: Final = f"""
    and o.id in (
        select cause from report_transfer
        where created_at >= $1 and created_at < $2 and kind in ({_RELEASE}, {_COST}, {_MARGIN})
    )
"""
_LONG: Final = timedelta(days=2)


def _orders(
    by: Collection[By], figures: str, joined: str, where: str, *, by_day: bool, account: str, provider: str
) -> str:
    """A statement on orders that ended in a span, grouped by `by`: $1 and $2 are the span, $3 when its days begin."""
    return f"""
        select {_day("o.ended_at", by_day=by_day)} as day, o.wallet_id,
            {"o.service" if By.PRODUCT in by else "''"} as service, {"o.network" if By.NETWORK in by else "''"} as network,
            {"o.product" if By.PRODUCT in by else "''"} as product, {account} as account, {provider} as provider, {figures}
        from report_order o {joined}
        where o.ended_at >= $1 and o.ended_at < $2{where}%s
        group by 1, 2, 3, 4, 5, 6, 7
    """


def orders_statement(by: Collection[By], *, with_cost: bool, by_day: bool) -> str:
    """The statement for the sales and costs of orders; grouped by provider, only of those that were delivered.

    `account` is that of the provider, null where it got nothing. `unprofitable` counts those whose whole price is the cost, or
    less than it.
    """
    tells_providers = By.PROVIDER in by
    costs = with_cost or tells_providers
    figures = """
        count(*) filter (where o.delivered) as sold, count(*) filter (where not o.delivered) as failed,
        coalesce(sum(o.price_minor) filter (where o.delivered), 0)::bigint as sold_minor,
        coalesce(sum(o.price_minor) filter (where not o.delivered), 0)::bigint as released_minor,
    """ + (
        "coalesce(sum(t.amount_minor), 0)::bigint as cost_minor, count(*) filter (where t.amount_minor = o.price_minor)"
        " as unprofitable"
        if costs
        else "0::bigint as cost_minor, 0::bigint as unprofitable"
    )
    return _orders(
        by,
        figures,
        _COST_OF_ORDER if costs else "",
        " and o.delivered" if tells_providers else "",
        by_day=by_day,
        account="t.credit" if tells_providers else "null::bigint",
        provider="''",
    )


def failures_statement(by: Collection[By], *, by_day: bool) -> str:
    """The statement for failed orders, with the provider that was tried last."""
    figures = (
        "0::bigint as sold, count(*) as failed, 0::bigint as sold_minor, sum(o.price_minor)::bigint as released_minor,"
        " 0::bigint as cost_minor"
    )
    return _orders(
        by,
        figures,
        "",
        " and not o.delivered",
        by_day=by_day,
        account="null::bigint",
        provider="coalesce(o.provider, '')",
    )


def free_statement(by: Collection[By], *, by_day: bool) -> str:
    """The statement for delivered orders without a cost: their provider stands in the order alone, not in the ledger."""
    figures = (
        "count(*) as sold, 0::bigint as failed, sum(o.price_minor)::bigint as sold_minor, 0::bigint as released_minor,"
        " 0::bigint as cost_minor"
    )
    return _orders(
        by, figures, _COST_OF_ORDER, " and o.delivered and t.cause is null", by_day=by_day, account="null::bigint",
        provider="coalesce(o.provider, '')",
    )  # fmt: skip


def losses_statement(by: Collection[By], *, by_day: bool) -> str:
    """The statement for what the house paid beyond the price of orders that were sold below cost."""
    figures = (
        "0::bigint as sold, 0::bigint as failed, 0::bigint as sold_minor, 0::bigint as released_minor,"
        " sum(t.amount_minor)::bigint as cost_minor"
    )
    joined = (
        f"join report_transfer t on t.cause = o.id and t.kind = {_LOSS} and t.created_at >= $1 and t.created_at < $2"
    )
    account = "t.credit" if By.PROVIDER in by else "null::bigint"
    return _orders(by, figures, joined, "", by_day=by_day, account=account, provider="''")


# A paid check has a transfer of cost, of margin, or both; their sum is the price. An authority may also charge for a released check,
# and later.
_OTHER_SALES: Final = f"""
    select %s as day, s.wallet_id, s.service, '' as network, s.product, s.provider,
        count(distinct s.id) filter (where t.kind in ({_COST}, {_MARGIN})) as sold,
        count(*) filter (where t.kind = {_RELEASE}) as failed,
        coalesce(sum(t.amount_minor) filter (where t.kind in ({_COST}, {_MARGIN})), 0)::bigint as sold_minor,
        coalesce(sum(t.amount_minor) filter (where t.kind = {_RELEASE}), 0)::bigint as released_minor,
        coalesce(sum(t.amount_minor) filter (where t.kind in ({_COST}, {_LOSS})), 0)::bigint as cost_minor
    from report_other_sale s join report_transfer t on t.cause = s.id
    where t.kind in ({_RELEASE}, {_COST}, {_MARGIN}, {_LOSS}) and t.created_at >= $1 and t.created_at < $2
    group by 1, 2, 3, 4, 5, 6
"""

_CORRECTIONS: Final = f"""
    select %s as day, c.wallet_id, c.service, c.network, c.product,
        coalesce(c.provider, '') as provider, count(*) filter (where t.kind = {_REFUND}) as refunds,
        coalesce(sum(t.amount_minor) filter (where t.kind = {_REFUND}), 0)::bigint as refunded_minor,
        coalesce(sum(t.amount_minor) filter (where t.kind in {_WRITTEN_OFF}), 0)::bigint as written_off_minor,
        coalesce(sum(case t.kind when {_LATE_COST} then t.amount_minor when {_LATE_RETURN} then -t.amount_minor end), 0)::bigint
            as cost_minor
    from report_correction c cross join lateral (
        select * from report_transfer where cause = c.id
            and (kind in ({_REFUND}, {_LATE_COST}, {_LATE_RETURN}) or kind in {_WRITTEN_OFF})
            and created_at >= $1 and created_at < $2
    ) t
    group by 1, 2, 3, 4, 5, 6
"""


async def sales(tx: Tx, span: Span, by: Collection[By], *, with_cost: bool) -> SaleLines:
    """The sales that ended in a span, grouped as `by` asks, or finer."""
    lines: SaleLines = {}
    told_apart = frozenset(by)
    told_by_day = By.DAY in by
    by_day = told_by_day and len(span.days) > 1
    values = (span.begins_at, span.ends_at, _starts(span, by_day=by_day))
    narrowed = _ENDED_BY_TRANSFER if span.ends_at - span.begins_at < _LONG else ""
    known = await accounts(tx, ())
    owners = {number: account.owner for number, account in known.items()}
    # Grouped by day alone, the cost is read from the ledger, without joining it to orders.
    cost_apart = with_cost and told_apart <= {By.DAY}

    def key(row: Any, provider: str) -> SaleKey:
        day = span.days[row["day"] - 1] if told_by_day else None
        return SaleKey(day, row["wallet_id"], row["service"], row["network"], row["product"], provider)

    async def add(statement: str) -> None:
        for row in await tx.fetch(statement, *values, timeout=PATIENCE_S):
            cost_minor = 0 if cost_apart else row["cost_minor"]
            sold = Sales(row["sold"], row["sold_minor"], row["failed"], row["released_minor"], cost_minor)
            enter(lines, key(row, row["provider"]), sold)

    unprofitable = free = False
    statement = orders_statement(by, with_cost=with_cost and not cost_apart, by_day=by_day) % narrowed
    for row in await tx.fetch(statement, *values, timeout=PATIENCE_S):
        unprofitable |= row["unprofitable"] > 0
        if By.PROVIDER in by and row["account"] is None:
            free = True
            continue
        sold = Sales(row["sold"], row["sold_minor"], row["failed"], row["released_minor"], row["cost_minor"])
        enter(lines, key(row, owners.get(row["account"], "")), sold)
    if By.PROVIDER in by:
        await add(failures_statement(by, by_day=by_day) % narrowed)
    if free:
        await add(free_statement(by, by_day=by_day) % narrowed)
    if unprofitable:
        for row in await tx.fetch(losses_statement(by, by_day=by_day) % narrowed, *values, timeout=PATIENCE_S):
            enter(lines, key(row, owners.get(row["account"], "")), Sales(cost_minor=row["cost_minor"]))
    if cost_apart:
        for moved in await movements(tx, span, by_day=told_by_day, kinds=PROVIDER_KINDS):
            if known[moved.account_id].kind is AccountKind.PROVIDER:
                enter(lines, SaleKey(moved.day, moved.account_id, "", "", "", ""), Sales(cost_minor=moved.change_minor))
    day = _day("t.created_at", by_day=by_day)
    await add(_OTHER_SALES % day)
    for row in await tx.fetch(_CORRECTIONS % day, *values, timeout=PATIENCE_S):
        corrected = Sales(
            cost_minor=0 if cost_apart else row["cost_minor"],
            refunds=row["refunds"],
            refunded_minor=row["refunded_minor"],
            written_off_minor=row["written_off_minor"],
        )
        enter(lines, key(row, row["provider"]), corrected)
    return lines


async def open_sales(tx: Tx, until: datetime, mode: Mode) -> list[str]:
    """Our references of the sales that were begun before this moment and are not final, oldest first."""
    found = await tx.fetch(
        "select reference from report_open_sale where created_at < $1 and mode = $2 order by created_at, id",
        until,
        mode,
    )
    return [row[0] for row in found]


# Closed months ----------------------------------------------------------------------------------------------------------


async def closed_months(tx: Tx) -> list[ClosedMonth]:
    """The months that are closed, oldest first."""
    found = await tx.fetch(
        "select month, zone, begins_at, ends_at, transfers, digest, by_whom, closed_at from report_month order by month"
    )
    return [
        ClosedMonth(
            Month(row["month"]), row["zone"], row["begins_at"], row["ends_at"], row["transfers"], row["digest"],
            row["by_whom"], row["closed_at"],
        )
        for row in found
    ]  # fmt: skip


async def breaking(tx: Tx, invariant: Invariant) -> list[str]:
    """What breaks an invariant, a sentence each."""
    return [row[0] for row in await tx.fetch(invariant.sql, timeout=PATIENCE_S)]


async def unfinished_since(tx: Tx, moment: datetime) -> int:
    """Count the other transactions that began before this moment and are still open. What they write is dated before it."""
    return int(
        await tx.fetchval(
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            " and backend_type = 'client backend' and xact_start < $1",
            moment,
        )
    )


async def closed_sales(tx: Tx, first: date, last: date, months: Collection[Month]) -> SaleLines:
    """The sales of these closed months from one day to another."""
    found = await tx.fetch(
        "select * from report_sale where month = any($1::date[]) and day between $2 and $3",
        [month.first for month in months], first, last,
    )  # fmt: skip
    lines: SaleLines = {}
    for row in found:
        key = SaleKey(row["day"], row["wallet_id"], row["service"], row["network"], row["product"], row["provider"])
        enter(lines, key, Sales(**{name: row[name] for name in Sales.__slots__}))
    return lines


async def closed_movements(tx: Tx, first: date, last: date, months: Collection[Month]) -> list[Movement]:
    """How accounts changed in these closed months from one day to another."""
    found = await tx.fetch(
        "select day, account_id, kind, transfers, change_minor from report_movement"
        " where month = any($1::date[]) and day between $2 and $3",
        [month.first for month in months], first, last,
    )  # fmt: skip
    return [
        Movement(row["day"], row["account_id"], TransferKind(row["kind"]), row["transfers"], row["change_minor"])
        for row in found
    ]


async def closed_openings(tx: Tx, month: Month, day: date) -> dict[int, int]:
    """What accounts held when this day of a closed month began; the day after its last one is what it closed with."""
    found = await tx.fetch(
        """
        select account_id, sum(minor)::bigint as minor from (
            select account_id, opening_minor as minor from report_balance where month = $1
            union all
            select account_id, change_minor from report_movement where month = $1 and day < $2
        ) as parts group by account_id
        """,
        month.first, day,
    )  # fmt: skip
    return {row["account_id"]: row["minor"] for row in found}


class _SaleRow(msgspec.Struct, gc=False):
    day: date
    wallet_id: int
    service: str
    network: str
    product: str
    provider: str
    sold: int
    sold_minor: int
    failed: int
    released_minor: int
    cost_minor: int
    refunds: int
    refunded_minor: int
    written_off_minor: int


class _BalanceRow(msgspec.Struct, gc=False):
    account_id: int
    opening_minor: int


class _MovementRow(msgspec.Struct, gc=False):
    day: date
    account_id: int
    kind: int
    transfers: int
    change_minor: int


async def write_closed(
    tx: Tx,
    month: Month,
    zone: str,
    span: Span,
    by_whom: str,
    transfers: int,
    sold: SaleLines,
    openings: Mapping[int, int],
    moved: Sequence[Movement],
) -> None:
    """Write a month down with all of its figures, and seal it."""
    first = month.first
    await tx.execute(
        "insert into report_sale (month, day, wallet_id, service, network, product, provider, sold, sold_minor, failed,"
        " released_minor, cost_minor, refunds, refunded_minor, written_off_minor)"
        " select $1, * from json_to_recordset($2::text::json) as new(day date, wallet_id bigint, service text, network text,"
        " product text, provider text, sold bigint, sold_minor bigint, failed bigint, released_minor bigint, cost_minor bigint,"
        " refunds bigint, refunded_minor bigint, written_off_minor bigint)",
        first,
        rows(
            [
                _SaleRow(
                    key.day, key.account_id, key.service, key.network, key.product, key.provider,
                    *(getattr(sales, name) for name in Sales.__slots__),
                )
                for key, sales in sold.items() if key.day is not None
            ]
        ),
        timeout=PATIENCE_S,
    )  # fmt: skip
    await tx.execute(
        "insert into report_balance (month, account_id, opening_minor)"
        " select $1, * from json_to_recordset($2::text::json) as new(account_id bigint, opening_minor bigint)",
        first, rows([_BalanceRow(account_id, minor) for account_id, minor in openings.items() if minor]),
    )  # fmt: skip
    await tx.execute(
        "insert into report_movement (month, day, account_id, kind, transfers, change_minor)"
        " select $1, * from json_to_recordset($2::text::json)"
        " as new(day date, account_id bigint, kind smallint, transfers bigint, change_minor bigint)",
        first,
        rows([_MovementRow(m.day, m.account_id, m.kind, m.transfers, m.change_minor) for m in moved if m.day is not None]),
        timeout=PATIENCE_S,
    )  # fmt: skip
    await tx.execute(
        "insert into report_month (month, zone, begins_at, ends_at, transfers, digest, by_whom)"
        " values ($1, $2, $3, $4, $5, report_digest($1, $2, $3, $4, $5), $6)",
        first, zone, span.begins_at, span.ends_at, transfers, by_whom, timeout=PATIENCE_S,
    )  # fmt: skip
