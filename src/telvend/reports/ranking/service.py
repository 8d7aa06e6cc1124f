"""Reports by reseller, ranked and paged. Rows, their figures and the totals are those of the whole report, at one moment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Generic, TypeVar
from zoneinfo import ZoneInfo

from telvend.database.connections import Database, Tx
from telvend.kit.mode import Mode
from telvend.ledger.model import AccountKind
from telvend.reports import store as report_store
from telvend.reports.calendar import Calendar, after
from telvend.reports.model import By, Holding, Movement, ReportTable, RowKey, SaleLines, Sales, days_between, enter
from telvend.reports.ranking import store
from telvend.reports.ranking.store import Place, Stirred, Window
from telvend.reports.service import Reports
from telvend.reports.units.holdings import holdings_of_days

LAST_PAGE: Final = 1_000_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a ranked report. `number` counts from 1; `currency`: of one alone, "" of each, one after the other."""

    number: int
    rows: int
    currency: str = ""

    @property
    def offset(self) -> int:
        return (min(max(self.number, 1), LAST_PAGE) - 1) * self.rows


@dataclass(frozen=True, slots=True)
class RankedPage(Generic[T]):
    """The rows of a page in their order, the totals of the whole report by currency, and whether more rows follow."""

    rows: dict[RowKey, T]
    totals: dict[str, T]
    has_more: bool


def ranked(table: ReportTable[T], amount_of: Callable[[T], int]) -> dict[RowKey, T]:
    """The rows of a report by reseller, the largest amount first, one currency after the other, and those without any amount last."""

    def place(row: tuple[RowKey, T]) -> tuple[bool, str, int]:
        key, value = row
        amount = amount_of(value)
        return amount == 0, key.currency, -amount

    return dict(sorted(table.rows.items(), key=place))


class RankedReports:
    """Ranked reports of one shop, whose days are those of `zone`."""

    def __init__(self, database: Database, zone: ZoneInfo, reports: Reports) -> None:
        self._database = database
        self._zone = zone
        self._reports = reports

    async def sales(
        self, first: date, last: date, mode: Mode, page: Page, *, with_cost: bool = False
    ) -> RankedPage[Sales]:
        """What became final by reseller, the largest amounts first. Raises InvalidInput, Busy."""
        days = days_between(first, last)
        by = frozenset({By.RESELLER})
        async with self._database.snapshot() as tx:
            await report_store.prepare(tx)
            calendar = await Calendar.read(tx, self._zone)
            counted, left = calendar.parts(days, as_counted=calendar.counted.with_wallets)
            lines: SaleLines = {}
            for span in left:
                for key, sales in (await report_store.sales(tx, span, by, with_cost=with_cost)).items():
                    enter(lines, key, sales)
            uncounted: dict[int, Sales] = {}
            for key, sales in lines.items():
                uncounted.setdefault(key.account_id, Sales()).add(sales)
            accounts = await report_store.accounts(tx, uncounted) if uncounted else {}
            sold = [
                (wallet_id, accounts[wallet_id].currency, sales.sold_minor)
                for wallet_id, sales in uncounted.items()
                if accounts[wallet_id].mode is mode
            ]
            places = await store.rank_sales(tx, counted, calendar.months, first, last, sold, _window(page, mode))
            shown = places[: page.rows]
            sealed = [day for day in calendar.sealed_days(first) if day <= last]
            found = await store.sales_of(tx, [place.wallet_id for place in shown], counted, sealed)
            totals = await store.total_sales(tx, counted, calendar.months, first, last, mode)
        for wallet_id, sales in uncounted.items():
            if accounts[wallet_id].mode is mode:
                totals.setdefault(accounts[wallet_id].currency, Sales()).add(sales)
        rows: dict[RowKey, Sales] = {}
        for place in shown:
            rows[_key(place)] = found.get(place.wallet_id, Sales())
            rows[_key(place)].add(uncounted.get(place.wallet_id, Sales()))
        return _page(rows, totals, page, has_more=len(places) > page.rows)

    async def wallets(self, first: date, last: date, mode: Mode, page: Page) -> RankedPage[Holding]:
        """What wallets held before and after these days, and what moved; those that hold most afterwards first.

        Raises InvalidInput, Busy.
        """
        days = days_between(first, last)
        async with self._database.snapshot() as tx:
            await report_store.prepare(tx)
            calendar = await Calendar.read(tx, self._zone)
            if calendar.is_counted and calendar.counted.with_wallets:
                return await self._wallets_of_days(tx, calendar, days, mode, page)
        # Not counted, or not in days of this zone: the whole report is made, and cut.
        table = await self._reports.holdings(AccountKind.WALLET, first, last, [By.RESELLER], mode)
        rows = [
            (key, held)
            for key, held in ranked(table, lambda held: held.closing_minor).items()
            if page.currency in ("", key.currency)
        ]
        end = page.offset + page.rows
        return _page(dict(rows[page.offset : end]), table.totals, page, has_more=len(rows) > end)

    async def _wallets_of_days(
        self, tx: Tx, calendar: Calendar, days: list[date], mode: Mode, page: Page
    ) -> RankedPage[Holding]:
        first, last = days[0], days[-1]
        counted, left = calendar.parts(days)
        moved: list[Movement] = []
        for span in left:
            moved += await report_store.movements(tx, span, by_day=False)
        months = [month.first for month in calendar.months]
        stirred = Stirred(counted, months, first, last, [movement.account_id for movement in moved])
        places = await _rank(tx, calendar, after(last), stirred, _window(page, mode))
        shown = places[: page.rows]
        sealed = [day for day in calendar.sealed_days(first) if day <= last]
        held = await store.moved_of(tx, [place.wallet_id for place in shown], counted, sealed)
        totals = (await holdings_of_days(tx, calendar, AccountKind.WALLET, mode, days, [], None)).totals
        for movement in moved:
            if movement.account_id in held:
                held[movement.account_id].enter(movement)
        rows: dict[RowKey, Holding] = {}
        for place in shown:
            row = held[place.wallet_id]
            row.opening_minor = place.minor - row.closing_minor  # What changed is all that it closes with so far.
            rows[_key(place)] = row
        return _page(rows, totals, page, has_more=len(places) > page.rows)


async def _rank(tx: Tx, calendar: Calendar, day: date, stirred: Stirred, window: Window) -> list[Place]:
    """Rank wallets by what they held when a day began."""
    month = calendar.month_of(day)
    if month is not None:
        return await store.rank_wallets_in_closed(tx, month.month, day, stirred, window)
    since: dict[int, int] = {}
    for begins_at, ends_at in calendar.uncounted(calendar.begins_at(day)):
        for account_id, minor in (await report_store.changes_since(tx, begins_at, ends_at)).items():
            since[account_id] = since.get(account_id, 0) + minor
    months = [month for month in calendar.months if month.next > day]
    return await store.rank_wallets(tx, day, calendar.sealed_days(day), months, since, stirred, window)


def _window(page: Page, mode: Mode) -> Window:
    """One row more than the page has says whether more follow."""
    return Window(mode, page.currency, page.rows + 1, page.offset)


def _key(place: Place) -> RowKey:
    return RowKey(None, place.reseller_id, None, None, None, place.currency)


def _page(rows: dict[RowKey, T], totals: Mapping[str, T], page: Page, *, has_more: bool) -> RankedPage[T]:
    of_currency = {code: total for code, total in sorted(totals.items()) if page.currency in ("", code)}
    return RankedPage(rows, of_currency, has_more)
