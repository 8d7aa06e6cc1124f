"""All SQL of the figures of days."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from telvend.database.connections import Tx
from telvend.ledger.model import AccountKind, TransferKind
from telvend.reports.model import By, Counted, SaleKey, SaleLines, Sales, enter

FIGURES: Final = tuple(Sales.__slots__)
SUMS: Final = ", ".join(f"sum(s.{name})::bigint as {name}" for name in FIGURES)
"""The sums of the figures of rows that are called s."""


def _adding(insert: str, key: Sequence[str], figures: Sequence[str], source: str) -> str:
    """The statement that adds rows to those of a table that have the same key; `insert`: its first words."""
    sums = ", ".join(f"{name} = kept.{name} + excluded.{name}" for name in figures)
    return (
        f"{insert} as kept ({', '.join((*key, *figures))}) {source} on conflict ({', '.join(key)}) do update set {sums}"
    )


_IN_SPAN: Final = "created_at >= $1 and created_at < $2"
_SOLD: Final = f"({TransferKind.COST}, {TransferKind.MARGIN})"
_PAID: Final = f"({TransferKind.COST}, {TransferKind.LOSS})"
_WRITTEN_OFF: Final = f"({TransferKind.WRITE_OFF}, {TransferKind.CREDIT_WRITE_OFF})"
_OF_SALES: Final = (
    TransferKind.RELEASE, TransferKind.COST, TransferKind.MARGIN, TransferKind.LOSS, TransferKind.REFUND,
    TransferKind.LATE_COST, TransferKind.LATE_RETURN, TransferKind.WRITE_OFF, TransferKind.CREDIT_WRITE_OFF,
)  # fmt: skip


def _kinds(*kinds: TransferKind) -> str:
    return f"({', '.join(str(int(kind)) for kind in kinds)})"


def _minor(condition: str) -> str:
    return f"coalesce(sum(amount_minor) filter (where {condition}), 0)"


_SALE_KEY: Final = ("day", "currency", "mode", "service", "network", "product", "provider")
_MOVEMENT_KEY: Final = ("day", "account_kind", "owner", "currency", "mode", "kind")

_ADD_SALES: Final = _adding(
    "insert into report_day_sale",
    _SALE_KEY,
    FIGURES,
    f"""
        select $3::date as day, a.currency, a.mode, s.service, s.network, s.product, s.provider, {SUMS}
        from figures s cross join lateral (select * from report_account where report_account.id = s.wallet_id limit 1) a
        group by 1, 2, 3, 4, 5, 6, 7
    """,
)
# What moved the wallets, of the transfers in `pairs`. Releases and refunds are among the figures of sales already.
_TAKES: Final = (TransferKind.HOLD, TransferKind.VOID, TransferKind.DEBIT, TransferKind.REVERSAL)
_GIVES: Final = (TransferKind.RELEASE, TransferKind.CREDIT, TransferKind.REFUND, TransferKind.PROVISIONAL_CREDIT)
_OF_A_WALLET: Final = (
    "change_minor",
    "transfers",
    "held_minor",
    "credited_minor",
    "lent_minor",
    "debited_minor",
    "voided_minor",
)


def _moved(kind: TransferKind) -> str:
    return f"case when kind = {kind} then minor else 0 end"


_ADD_WALLETS: Final = _adding(
    "insert into report_day_wallet",
    ("day", "mode", "currency", "wallet_id"),
    (*FIGURES, *_OF_A_WALLET),
    f"""
        select $3::date as day, a.mode, a.currency, s.wallet_id, {", ".join(f"s.{name}" for name in (*FIGURES, *_OF_A_WALLET))}
        from (
            select s.wallet_id, {SUMS}, {", ".join(f"sum(s.{name})::bigint as {name}" for name in _OF_A_WALLET)}
            from (
                select wallet_id, {", ".join(FIGURES)}, {", ".join(f"0 as {name}" for name in _OF_A_WALLET)} from figures
                union all
                select case when kind in {_kinds(*_TAKES)} then debit else credit end, {", ".join("0" for _ in FIGURES)},
                    case when kind in {_kinds(*_TAKES)} then -minor else minor end, transfers, {_moved(TransferKind.HOLD)},
                    {_moved(TransferKind.CREDIT)}, {_moved(TransferKind.PROVISIONAL_CREDIT)} - {_moved(TransferKind.REVERSAL)},
                    {_moved(TransferKind.DEBIT)}, {_moved(TransferKind.VOID)}
                from pairs where kind in {_kinds(*_TAKES, *_GIVES)}
            ) s group by s.wallet_id
        ) s cross join lateral (select * from report_account where report_account.id = s.wallet_id limit 1) a
    """,
)
_ADD_MOVEMENTS: Final = _adding(
    "insert into report_day_movement",
    _MOVEMENT_KEY,
    ("transfers", "change_minor"),
    f"""
        select $3::date as day, a.kind as account_kind, case a.kind when '{AccountKind.WALLET}' then '' else a.owner end as owner,
            a.currency, a.mode, t.kind, sum(t.transfers)::bigint, sum(side.minor)::bigint
        from pairs t cross join lateral (values (t.credit, t.minor), (t.debit, -t.minor)) as side(id, minor)
        cross join lateral (select * from report_account where report_account.id = side.id limit 1) a
        group by 1, 2, 3, 4, 5, 6
    """,
)

# Lateral look-ups of one row each: a plain join could be planned as a scan of every order, or every account.
#
# Every transfer of a sale has the moment at which the sale became final, so that no sale is in two spans. What each order, other sale
# or correction comes to is what `reports/store.py` says of a span at once; a test compares both.
COUNT: Final = f"""
    with pairs as materialized (
        select kind, debit, credit, count(*) as transfers, sum(amount_minor) as minor from report_transfer where {
    _IN_SPAN
}
        group by 1, 2, 3
    ), moved as materialized (
        select cause, max(credit) filter (where kind in {_PAID}) as paid,
            bool_or(kind in {_SOLD})::integer as sold, {_minor(f"kind in {_SOLD}")} as sold_minor,
            count(*) filter (where kind = {TransferKind.RELEASE}) as failed, {
    _minor(f"kind = {TransferKind.RELEASE}")
} as released_minor,
            {_minor(f"kind in {_PAID}")} as cost_minor,
            count(*) filter (where kind = {TransferKind.REFUND}) as refunds, {
    _minor(f"kind = {TransferKind.REFUND}")
} as refunded_minor,
            {_minor(f"kind in {_WRITTEN_OFF}")} as written_off_minor,
            {_minor(f"kind = {TransferKind.LATE_COST}")} - {_minor(f"kind = {TransferKind.LATE_RETURN}")} as late_minor
        from report_transfer where {_IN_SPAN} and kind in {_kinds(*_OF_SALES)}
        group by cause
    ), figures as materialized (
        select o.wallet_id, o.service, o.network, o.product,
            case when a.owner is not null then a.owner else coalesce(o.provider, '') end as provider,
            m.sold, m.sold_minor, m.failed, m.released_minor, m.cost_minor, 0 as refunds, 0 as refunded_minor, 0 as written_off_minor
        from moved m cross join lateral (select * from report_order where report_order.id = m.cause limit 1) o
        left join lateral (select owner from report_account where report_account.id = m.paid limit 1) a on true
        union all
        select s.wallet_id, s.service, '', s.product, s.provider, m.sold, m.sold_minor, m.failed, m.released_minor, m.cost_minor,
            0, 0, 0
        from moved m cross join lateral (select * from report_other_sale where report_other_sale.id = m.cause limit 1) s
        union all
        select c.wallet_id, c.service, c.network, c.product, coalesce(c.provider, ''), 0, 0, 0, 0, m.late_minor, m.refunds,
            m.refunded_minor, m.written_off_minor
        from moved m cross join lateral (select * from report_correction where report_correction.id = m.cause limit 1) c
        where m.refunds > 0 or m.written_off_minor > 0 or m.late_minor <> 0
    ), sold as (
        {_ADD_SALES}
    ), bought as (
        {_ADD_WALLETS}
    ), turned as (
        {_ADD_MOVEMENTS}
    )
    select
"""

_BEGINNING: Final = """
    select coalesce(min(created_at), clock_timestamp()) - interval '1 day'
    from (select created_at from report_transfer order by cause limit 1000) as first
"""


class Progress(NamedTuple):
    """Until when days are counted, and how many seconds the next step takes."""

    counted: Counted
    step_s: float


_PROGRESS: Final = "select counted_until, zone, step_s from report_progress"


async def take(tx: Tx) -> Progress | None:
    """Lock the progress. None where another process has it."""
    row = await tx.fetchrow(f"{_PROGRESS} for update skip locked")
    return None if row is None else Progress(_counted(row), row["step_s"])


async def counted(tx: Tx) -> Counted:
    """Until when days are counted."""
    return _counted(await tx.fetchrow(_PROGRESS))


def _counted(row: Any) -> Counted:
    return Counted(row["counted_until"], row["zone"])


async def beginning(tx: Tx) -> datetime:
    """A moment before which there is no transfer: numbers are nearly in the order of time."""
    found: datetime = await tx.fetchval(_BEGINNING)
    return found


async def moved_between(tx: Tx, since: datetime, until: datetime, most: int) -> int:
    """How many transfers were made in this time; counts no further than one more than `most`."""
    found = await tx.fetchval(
        f"select count(*) from (select from report_transfer where {_IN_SPAN} limit $3 + 1) as t", since, until, most
    )
    return int(found)


async def count(tx: Tx, day: date, since: datetime, until: datetime) -> None:
    """Add what was moved in this time to the figures of its day."""
    await tx.execute(COUNT, since, until, day)


async def write_progress(tx: Tx, counted_until: datetime | None, zone: str, step_s: float) -> None:
    await tx.execute(
        "update report_progress set counted_until = $1, zone = $2, step_s = $3", counted_until, zone, step_s
    )


async def forget(tx: Tx, first: date | None = None, after: date | None = None) -> None:
    """Remove the figures of the days from `first` on that are before `after`; None: of all."""
    for table in ("report_day_sale", "report_day_wallet", "report_day_movement"):
        await tx.execute(
            f"delete from {table} where day >= coalesce($1::date, '-infinity') and day < coalesce($2::date, 'infinity')",
            first, after,
        )  # fmt: skip


# What reports read -------------------------------------------------------------------------------------------------------


OF_SALES: Final = "(s.sold > 0 or s.failed > 0 or s.refunds > 0 or s.cost_minor <> 0 or s.written_off_minor <> 0)"
"""Which rows of `report_day_wallet` s have figures of sales; the others say what else has moved the wallet."""


def can_tell(by: Collection[By]) -> bool:
    """Whether the figures of days are kept as finely as a report wants them: resellers are not told apart by product as well."""
    return By.RESELLER not in by or not {By.NETWORK, By.PROVIDER, By.PRODUCT} & set(by)


async def sales(tx: Tx, days: Sequence[date], by: Collection[By], mode: str) -> SaleLines:
    """The sales of counted days, grouped as `by` asks. An account stands for all of its currency, where resellers are not told apart."""
    day = "s.day" if By.DAY in by else "null::date"
    if By.RESELLER in by:
        columns = f"{day} as day, s.wallet_id, '' as service, '' as network, '' as product, '' as provider"
        table = "report_day_wallet s"
        grouped = "s.wallet_id" if By.DAY not in by else "s.day, s.wallet_id"
        mode_is = f"{OF_SALES} and s.mode"
    else:
        named = {
            "service": By.PRODUCT in by, "network": By.NETWORK in by, "product": By.PRODUCT in by, "provider": By.PROVIDER in by,
        }  # fmt: skip
        told = ", ".join(f"s.{name}" if wanted else f"'' as {name}" for name, wanted in named.items())
        # Any wallet of the currency: only its currency and mode are looked at.
        wallet = "(select w.id from report_account w where w.kind = 'wallet' and w.currency = s.currency and w.mode = s.mode limit 1)"
        columns = f"{day} as day, {wallet} as wallet_id, {told}"
        table, mode_is = "report_day_sale s", "s.mode"
        grouped = ", ".join(
            [
                "s.currency",
                "s.mode",
                *(["s.day"] if By.DAY in by else []),
                *(f"s.{n}" for n, wanted in named.items() if wanted),
            ]
        )
    found = await tx.fetch(
        f"select {columns}, {SUMS} from {table} where s.day = any($1::date[]) and {mode_is} = $2 group by {grouped}",
        days, mode,
    )  # fmt: skip
    lines: SaleLines = {}
    for row in found:
        key = SaleKey(row["day"], row["wallet_id"], row["service"], row["network"], row["product"], row["provider"])
        enter(lines, key, Sales(*row[-len(FIGURES) :]))
    return lines


async def totals(tx: Tx, first: date | None) -> list[Any]:
    """How accounts changed in counted days from one on, None: in all: account_kind, owner, currency, mode, minor."""
    found: list[Any] = await tx.fetch(
        "select account_kind, owner, currency, mode, sum(change_minor)::bigint as minor from report_day_movement"
        " where day >= coalesce($1::date, '-infinity') group by 1, 2, 3, 4",
        first,
    )
    return found
