"""Reports by reseller, ranked and paged. Rows, their figures and the totals are those of the whole report, at one moment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Generic, TypeVar
from zoneinfo import ZoneInfo

from telvend.database.connections import Database, Tx
from telvend.kit.mode import Mode
from telvend.ledger.model import AccountKind
from telvend.reports import store as report_store
from telvend.reports.calendar import Calendar, after
from telvend.reports.model import By, Holding, Movement, ReportTable, RowKey, Sales, days_between
from telvend.reports.ranking import store
from telvend.reports.ranking.store import Place, Stirred, Window
from telvend.reports.service import Reports
from telvend.reports.units.holdings import holdings_of_days

LAST_PAGE: Final = 1_000_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a ranked report. `number` counts from 1. `currency`: whose wallets; "" for that in which most happened."""

    number: int
    rows: int
    currency: str = ""

    @property
    def offset(self) -> int:
        return (min(max(self.number, 1), LAST_PAGE) - 1) * self.rows


@dataclass(frozen=True, slots=True)
class RankedPage(Generic[T]):
    """The rows of a page in their order, all of one currency; the totals of the whole report by currency; and whether more rows follow."""

    rows: dict[RowKey, T]
    totals: dict[str, T]
    has_more: bool
    currency: str = ""


def ranked(table: ReportTable[T], currency: str, amount_of: Callable[[T], int]) -> dict[RowKey, T]:
    """The rows of a report in one currency, the largest amount first."""
    rows = [(key, value) for key, value in table.rows.items() if key.currency == currency]
    return dict(sorted(rows, key=lambda row: -amount_of(row[1])))


class RankedReports:
    """Ranked reports of one shop, whose days are those of `zone`."""

    def __init__(self, database: Database, zone: ZoneInfo, reports: Reports) -> None:
        self._database = database
        self._zone = zone
        self._reports = reports

    async def sales(
        self, first: date, last: date, mode: Mode, page: Page, *, with_cost: bool = False
    ) -> RankedPage[Sales]:
        """Sales that ended in these days, by reseller, the largest amount sold first. Raises InvalidInput, Busy."""
        days = days_between(first, last)
        by = frozenset({By.RESELLER})
        async with self._database.snapshot() as tx:
            await report_store.prepare(tx)
            calendar = await Calendar.read(tx, self._zone)
            counted, left = calendar.parts(days)
            uncounted: dict[int, Sales] = {}
            for span in left:
                for key, sales in (await report_store.sales(tx, span, by, with_cost=with_cost)).items():
                    uncounted.setdefault(key.account_id, Sales()).add(sales)
            accounts = await report_store.accounts(tx, uncounted) if uncounted else {}
            months = calendar.months_between(first, last)
            totals = await store.total_sales(tx, counted, months, first, last, mode)
            for wallet_id, sales in uncounted.items():
                if accounts[wallet_id].mode is mode:
                    totals.setdefault(accounts[wallet_id].currency, Sales()).add(sales)
            window = _window(page, mode, {code: total.sold + total.failed for code, total in totals.items()})
            sold = {
                wallet_id: sales.sold_minor
                for wallet_id, sales in uncounted.items()
                if (accounts[wallet_id].mode, accounts[wallet_id].currency) == (mode, window.currency)
            }
            places = await store.rank_sales(tx, counted, months, first, last, sold, window)
            sealed = [day for day in calendar.sealed_days(first) if day <= last]
            shown = [place.wallet_id for place in places[: page.rows]]
            found = await store.sales_of(tx, shown, counted, sealed, window)
        for wallet_id in shown:
            found.setdefault(wallet_id, Sales()).add(uncounted.get(wallet_id, Sales()))
        return _page(places, found, totals, window)

    async def wallets(self, first: date, last: date, mode: Mode, page: Page) -> RankedPage[Holding]:
        """Opening balance, changes and closing balance of each wallet in these days, the largest closing balance first.

        Raises InvalidInput, Busy.
        """
        days = days_between(first, last)
        async with self._database.snapshot() as tx:
            await report_store.prepare(tx)
            calendar = await Calendar.read(tx, self._zone)
            if calendar.is_counted:
                return await self._wallets_of_days(tx, calendar, days, mode, page)
        # Not counted, or not in days of this zone: the whole report is made, and cut.
        table = await self._reports.holdings(AccountKind.WALLET, first, last, [By.RESELLER], mode)
        window = _window(page, mode, {code: total.transfers for code, total in table.totals.items()})
        rows = list(ranked(table, window.currency, lambda held: held.closing_minor).items())
        end = page.offset + page.rows
        return RankedPage(dict(rows[page.offset : end]), table.totals, len(rows) > end, window.currency)

    async def _wallets_of_days(
        self, tx: Tx, calendar: Calendar, days: list[date], mode: Mode, page: Page
    ) -> RankedPage[Holding]:
        first, last = days[0], days[-1]
        counted, left = calendar.parts(days)
        moved: list[Movement] = []
        for span in left:
            moved += await report_store.movements(tx, span, by_day=False)
        months = [month.first for month in calendar.months_between(first, last)]
        stirred = Stirred(counted, months, first, last, [movement.account_id for movement in moved])
        totals = (await holdings_of_days(tx, calendar, AccountKind.WALLET, mode, days, [], None)).totals
        window = _window(page, mode, {code: total.transfers for code, total in totals.items()})
        places = await _rank(tx, calendar, after(last), stirred, window)
        sealed = [day for day in calendar.sealed_days(first) if day <= last]
        shown = places[: page.rows]
        held = await store.moved_of(tx, [place.wallet_id for place in shown], counted, sealed, window)
        for movement in moved:
            if movement.account_id in held:
                held[movement.account_id].enter(movement)
        for place in shown:
            one = held[place.wallet_id]
            # Without an opening balance `closing_minor` is the sum of the changes.
            one.opening_minor = place.minor - one.closing_minor
        return _page(places, held, totals, window)


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


def _window(page: Page, mode: Mode, happened: Mapping[str, int]) -> Window:
    """The window of a page. `happened`: how much did in each currency. One row more than the page has says whether more follow."""
    currency = page.currency or max(sorted(happened), key=lambda code: happened[code], default="")
    return Window(mode, currency, page.rows + 1, page.offset)


def _page(places: Sequence[Place], figures: Mapping[int, T], totals: Mapping[str, T], window: Window) -> RankedPage[T]:
    shown = places[: window.limit - 1]
    rows = {
        RowKey(None, place.reseller_id, None, None, None, window.currency): figures[place.wallet_id] for place in shown
    }
    return RankedPage(rows, dict(sorted(totals.items())), len(places) == window.limit, window.currency)
