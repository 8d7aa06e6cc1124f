"""Days, months and lines of reports, and how lines add up. No database.

A sale counts in the day in which it became final: the moment of its transfers. Days are those of the shop's zone. Money of
different currencies is never added up, and play money never to real money.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, Generic, TypeVar
from zoneinfo import ZoneInfo

from telvend.errors import InvalidInput
from telvend.kit.mode import Mode
from telvend.kit.zones import midnight as midnight
from telvend.ledger.model import AccountKind, TransferKind

T = TypeVar("T")

LONGEST_DAYS: Final = 3660
_FIRST_YEAR, _LAST_YEAR = 1971, 9990


class By(StrEnum):
    """What the rows of a report may be grouped by."""

    DAY = "day"
    RESELLER = "reseller"
    NETWORK = "network"
    PROVIDER = "provider"
    PRODUCT = "product"


# Days and months --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Month:
    """A month of the calendar: its first day."""

    first: date

    @classmethod
    def parse(cls, text: str) -> "Month":
        """Read `2026-11`. Raises InvalidInput."""
        try:
            if len(text) != len("2026-11"):
                raise ValueError
            return cls(require_day(date.fromisoformat(f"{text}-01"), "month"))
        except ValueError:
            raise InvalidInput("month", "must be a month such as 2026-11") from None

    @property
    def next(self) -> date:
        """The first day of the month after it."""
        return (self.first + timedelta(days=31)).replace(day=1)

    @property
    def days(self) -> list[date]:
        return days_between(self.first, self.next - timedelta(days=1))

    def __str__(self) -> str:
        return f"{self.first:%Y-%m}"


def require_day(day: date, name: str) -> date:
    """Return `day`. Raises InvalidInput for a year that is out of range."""
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise InvalidInput(name, f"must be a day from {_FIRST_YEAR} to {_LAST_YEAR}")
    return day


def days_between(first: date, last: date) -> list[date]:
    """All days from the first to the last, both included. Raises InvalidInput where there are none, or too many."""
    require_day(first, "from")
    require_day(last, "to")
    if last < first:
        raise InvalidInput("to", "must not be before --from")
    count = (last - first).days + 1
    if count > LONGEST_DAYS:
        raise InvalidInput("to", f"must be at most {LONGEST_DAYS} days after --from")
    return [first + timedelta(days=number) for number in range(count)]


@dataclass(frozen=True, slots=True)
class ClosedMonth:
    """A month whose figures are final. `zone`: the time zone of its days."""

    month: Month
    zone: str
    begins_at: datetime
    ends_at: datetime
    transfers: int
    digest: str
    by_whom: str
    closed_at: datetime

    def __contains__(self, day: date) -> bool:
        return self.month.first <= day < self.month.next


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive days that are in no closed month. `starts`: when each of them begins."""

    days: Sequence[date]
    starts: Sequence[datetime]
    ends_at: datetime

    @property
    def begins_at(self) -> datetime:
        return self.starts[0]


def open_spans(days: Sequence[date], closed: Iterable[ClosedMonth], zone: ZoneInfo) -> list[Span]:
    """Return the days that are in no closed month, as spans.

    Beside a month that was closed in another zone, open days end and begin where that month begins and ends: no moment is in two
    days.
    """
    months = list(closed)
    runs: list[list[date]] = []
    for day in days:
        if any(day in month for month in months):
            continue
        if runs and runs[-1][-1] == day - timedelta(days=1):
            runs[-1].append(day)
        else:
            runs.append([day])
    spans = []
    for run in runs:
        starts = [_start(day, months, zone) for day in run]
        ends_at = _start(run[-1] + timedelta(days=1), months, zone)
        spans.append(Span(run, starts, ends_at))
    return spans


def _start(day: date, months: Sequence[ClosedMonth], zone: ZoneInfo) -> datetime:
    """Return when a day begins that is open, or follows an open one."""
    for month in months:
        if day == month.month.next:
            return month.ends_at
        if day == month.month.first:
            return month.begins_at
    return midnight(day, zone)


@dataclass(frozen=True, slots=True)
class Counted:
    """Every transfer from before `until` is in the figures of its day, which are days of `zone`; None where nothing is counted."""

    until: datetime | None = None
    zone: str = ""


def split(span: Span, counted: Counted, zone: ZoneInfo) -> tuple[list[date], list[Span]]:
    """Return the days of a span whose figures are counted, and what is left to be read.

    The last of the days may be counted in part: what is left then begins in it. A day beside a month that was closed in another zone
    is not a day of ours, and left whole.
    """
    if counted.until is None or counted.zone != str(zone):
        return [], [span]
    days: list[date] = []
    left: list[tuple[date, datetime, datetime]] = []
    for day, begins_at, ends_at in zip(span.days, span.starts, [*span.starts[1:], span.ends_at], strict=True):
        ours = begins_at == midnight(day, zone) and ends_at == midnight(day + timedelta(days=1), zone)
        if ours and begins_at < counted.until:
            days.append(day)
            begins_at = min(ends_at, counted.until)
        if begins_at < ends_at:
            left.append((day, begins_at, ends_at))
    spans: list[Span] = []
    run: list[tuple[date, datetime, datetime]] = []
    for one in left:
        if run and run[-1][2] != one[1]:
            spans.append(_joined(run))
            run = []
        run.append(one)
    return days, [*spans, _joined(run)] if run else spans


def _joined(run: Sequence[tuple[date, datetime, datetime]]) -> Span:
    return Span([day for day, _, _ in run], [begins_at for _, begins_at, _ in run], run[-1][2])


@dataclass(frozen=True, slots=True)
class ReportTable(Generic[T]):
    """Rows in their order, and totals by currency."""

    rows: "dict[RowKey, T]"
    totals: dict[str, T]


# Sales ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HouseAccount:
    """An account as reports name it. `owner` is a provider's name, or a reseller's id."""

    id: int
    kind: AccountKind
    owner: str
    currency: str
    mode: Mode
    balance_minor: int | None


@dataclass(slots=True)
class Sales:
    """Sales that ended, in one currency: how many, and minor units.

    `cost_minor` is all that providers got, also what the house paid beyond the price, and what a provider says that it takes, or
    does not take, against a person's decision. Refunds of delivered orders, and play money and provisional credits that were
    written off, stand in the day in which they were made.
    """

    sold: int = 0
    sold_minor: int = 0
    failed: int = 0
    released_minor: int = 0
    cost_minor: int = 0
    refunds: int = 0
    refunded_minor: int = 0
    written_off_minor: int = 0

    @property
    def margin_minor(self) -> int:
        """What is left for the house; negative if it has paid more than it got."""
        return self.sold_minor - self.cost_minor - self.refunded_minor - self.written_off_minor

    def add(self, other: "Sales") -> None:
        self.sold += other.sold
        self.sold_minor += other.sold_minor
        self.failed += other.failed
        self.released_minor += other.released_minor
        self.cost_minor += other.cost_minor
        self.refunds += other.refunds
        self.refunded_minor += other.refunded_minor
        self.written_off_minor += other.written_off_minor


@dataclass(frozen=True, slots=True)
class SaleKey:
    """The key by which sales are grouped, as finely as they are stored; None and "" for what a report does not group by.

    `account_id` is the wallet's. A cost that is grouped by day alone has the provider's account, of the same currency and mode.
    """

    day: date | None
    account_id: int
    service: str
    network: str
    product: str
    provider: str


SaleLines = dict[SaleKey, Sales]


def enter(lines: SaleLines, key: SaleKey, sales: Sales) -> None:
    lines.setdefault(key, Sales()).add(sales)


@dataclass(frozen=True, slots=True)
class RowKey:
    """What a row of a report is about; None where it is not asked for."""

    day: date | None
    reseller_id: str | None
    network: str | None
    provider: str | None
    product: str | None
    currency: str

    @property
    def order(self) -> tuple[str, ...]:
        parts = (self.day, self.reseller_id, self.network, self.provider, self.product, self.currency)
        return tuple(str(part) for part in parts if part is not None)


def rows_of_sales(
    lines: Mapping[SaleKey, Sales], accounts: Mapping[int, HouseAccount], mode: Mode, by: Sequence[By]
) -> ReportTable[Sales]:
    """The report on sales that these lines come to."""
    rows: dict[RowKey, Sales] = {}
    totals: dict[str, Sales] = {}
    for key, sales in lines.items():
        wallet = accounts[key.account_id]
        if wallet.mode is not mode:
            continue
        row = RowKey(
            key.day if By.DAY in by else None,
            wallet.owner if By.RESELLER in by else None,
            key.network if By.NETWORK in by else None,
            key.provider if By.PROVIDER in by else None,
            key.product if By.PRODUCT in by else None,
            wallet.currency,
        )
        rows.setdefault(row, Sales()).add(sales)
        totals.setdefault(wallet.currency, Sales()).add(sales)
    return _in_order(rows, totals)


def _in_order(rows: dict[RowKey, T], totals: dict[str, T]) -> ReportTable[T]:
    return ReportTable(
        {key: rows[key] for key in sorted(rows, key=lambda key: key.order)}, dict(sorted(totals.items()))
    )


# Accounts ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Movement:
    """How one account changed in one day (None: in all days asked for) by transfers of one kind."""

    day: date | None
    account_id: int
    kind: TransferKind
    transfers: int
    change_minor: int


@dataclass(slots=True)
class Holding:
    """The opening balance of an account and its changes by kind of transfer, in minor units."""

    opening_minor: int = 0
    transfers: int = 0
    changes: dict[TransferKind, int] = field(default_factory=dict)

    @property
    def closing_minor(self) -> int:
        return self.opening_minor + sum(self.changes.values())

    def of(self, *kinds: TransferKind) -> int:
        """The change by transfers of these kinds."""
        return sum(self.changes.get(kind, 0) for kind in kinds)

    def enter(self, movement: Movement) -> None:
        self.change(movement.kind, movement.transfers, movement.change_minor)

    def change(self, kind: TransferKind, transfers: int, minor: int) -> None:
        """Add what transfers of this kind moved."""
        self.transfers += transfers
        self.changes[kind] = self.changes.get(kind, 0) + minor

    def add(self, other: "Holding") -> None:
        """Add what another account of the same currency held and how it changed in the same time."""
        self.opening_minor += other.opening_minor
        self.add_changes(other)

    def add_changes(self, other: "Holding") -> None:
        """Add the changes of another account, and not its opening balance."""
        self.transfers += other.transfers
        for kind, minor in other.changes.items():
            self.changes[kind] = self.changes.get(kind, 0) + minor


def rows_of_holdings(
    accounts: Iterable[HouseAccount],
    openings: Mapping[int, int],
    movements: Iterable[Movement],
    days: Sequence[date] | None,
    key_of: Callable[[HouseAccount, date | None], RowKey],
) -> ReportTable[Holding]:
    """The report on accounts that these openings and movements come to, with totals over the whole time.

    With `days`, each account has a row for each of them, opening with what the day before closed with.
    """
    by_account: dict[tuple[int, date | None], Holding] = {}
    for movement in movements:
        by_account.setdefault((movement.account_id, movement.day), Holding()).enter(movement)
    rows: dict[RowKey, Holding] = {}
    totals: dict[str, Holding] = {}
    for account in accounts:
        held = openings.get(account.id, 0)
        whole = Holding(held)
        for day in days if days is not None else (None,):
            moved = by_account.get((account.id, day), Holding())
            part = Holding(held, moved.transfers, dict(moved.changes))
            held = part.closing_minor
            rows.setdefault(key_of(account, day), Holding()).add(part)
            whole.add_changes(part)
        totals.setdefault(account.currency, Holding()).add(whole)
    return _in_order(rows, totals)
