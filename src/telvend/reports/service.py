"""The verbs of reports: what was sold and earned, what accounts hold, and the closing of a month.

Days of closed months are read from what was sealed, all others from the ledger and the orders; one report is one moment of the
database.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

import asyncpg

from telvend.database.connections import Database, Tx, clock
from telvend.errors import InvalidInput, InvariantBroken
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of
from telvend.kit.text import require_text
from telvend.ledger.model import AccountKind, AccountTotal, TransferKind
from telvend.reports import store
from telvend.reports.calendar import Calendar
from telvend.reports.invariants import INVARIANTS
from telvend.reports.model import (
    By,
    ClosedMonth,
    Holding,
    HouseAccount,
    Month,
    Movement,
    ReportTable,
    RowKey,
    SaleLines,
    Sales,
    Span,
    days_between,
    enter,
    open_spans,
    rows_of_holdings,
    rows_of_sales,
)
from telvend.reports.summaries import store as summaries
from telvend.reports.units.holdings import holdings_of_days

_ALL: Final = frozenset(By)
_FOR_HOLDINGS: Final = {AccountKind.PROVIDER: By.PROVIDER, AccountKind.WALLET: By.RESELLER}
_KINDS: Final = {
    AccountKind.PROVIDER: store.PROVIDER_KINDS,
    AccountKind.PROVISIONAL_CREDIT: (
        TransferKind.PROVISIONAL_CREDIT,
        TransferKind.REVERSAL,
        TransferKind.CREDIT_WRITE_OFF,
    ),
}
"""The kinds of transfers that move accounts of a kind; those of a wallet are nearly all."""
_LONGEST_NAME: Final = 200

CLOSING_STEPS: Final = 5
"""How many steps it takes to close a month."""

Progress = Callable[[int, int, str], None]
"""Called before each step: its number, how many there are, and what it is."""


def _unseen(done: int, total: int, step: str) -> None:
    """Nobody looks."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A month that was closed now, and our references of the sales from before its end that are still open."""

    month: ClosedMonth
    open_sales: list[str]


class Reports:
    """Reports of one shop, whose days are those of `zone`."""

    def __init__(self, database: Database, zone: ZoneInfo) -> None:
        self._database = database
        self._zone = zone

    async def today(self) -> date:
        """Today in the shop's zone, by the database's clock. Raises Busy."""
        async with self._database.connection() as tx:
            return (await clock(tx)).astimezone(self._zone).date()

    async def sales(
        self, first: date, last: date, by: Sequence[By], mode: Mode, *, with_cost: bool = False
    ) -> ReportTable[Sales]:
        """What became final from one day to another, both included. `with_cost`: also what it cost, which takes longer.

        Raises InvalidInput, Busy.
        """
        days = days_between(first, last)
        async with self._database.snapshot() as tx:
            await store.prepare(tx)
            calendar = await Calendar.read(tx, self._zone)
            lines = await store.closed_sales(tx, first, last, calendar.months)
            counted, left = calendar.parts(days, as_counted=summaries.can_tell(by))
            parts = [await summaries.sales(tx, counted, by, mode)]
            parts += [await store.sales(tx, span, frozenset(by), with_cost=with_cost) for span in left]
            for part in parts:
                for key, sales in part.items():
                    enter(lines, key, sales)
            accounts = await store.accounts(tx, {key.account_id for key in lines})
        return rows_of_sales(lines, accounts, mode, by)

    async def holdings(
        self, kind: AccountKind, first: date, last: date, by: Sequence[By], mode: Mode
    ) -> ReportTable[Holding]:
        """What accounts of providers, of provisional credits, or wallets, held before and after these days, and what moved.

        Accounts that held nothing and did not move are left out. Raises InvalidInput, Busy.
        """
        allowed = {By.DAY, *([_FOR_HOLDINGS[kind]] if kind in _FOR_HOLDINGS else [])}
        for one in by:
            if one not in allowed:
                raise InvalidInput("by", f"must be {' or '.join(sorted(allowed))} here")
        days = days_between(first, last)
        by_day = By.DAY in by
        kinds = _KINDS.get(kind)
        async with self._database.snapshot() as tx:
            await store.prepare(tx)
            calendar = await Calendar.read(tx, self._zone)
            closed = calendar.closed
            if calendar.is_counted and By.RESELLER not in by:
                return await holdings_of_days(tx, calendar, kind, mode, days, by, kinds)
            movements = await store.closed_movements(tx, first, last, calendar.months)
            spans = open_spans(days, closed, self._zone)
            for span in spans:
                movements += await store.movements(tx, span, by_day=by_day, kinds=kinds)
            everybody = await store.accounts(tx)
            if kind is AccountKind.WALLET and [len(span.days) for span in spans] == [len(days)]:
                # Only later transfers are read for this; those of these days are in `movements`.
                openings = _held_before(everybody.values(), await store.changes_since(tx, spans[0].ends_at, None))
                for movement in movements:
                    if movement.account_id in openings:
                        openings[movement.account_id] -= movement.change_minor
            else:
                openings = await self._openings(tx, first, closed, kind, everybody)
        accounts = {number: one for number, one in everybody.items() if one.kind is kind and one.mode is mode}
        moved = [
            movement
            if by_day
            else Movement(None, movement.account_id, movement.kind, movement.transfers, movement.change_minor)
            for movement in movements
            if movement.account_id in accounts
        ]
        stirred = {movement.account_id for movement in moved}
        shown = [one for one in accounts.values() if one.id in stirred or openings.get(one.id)]
        named = _FOR_HOLDINGS.get(kind) in by

        def key_of(account: HouseAccount, day: date | None) -> RowKey:
            owner = account.owner if named else None
            provider = kind is AccountKind.PROVIDER
            return RowKey(day, None if provider else owner, None, owner if provider else None, None, account.currency)

        return rows_of_holdings(shown, openings, moved, days if by_day else None, key_of)

    async def _openings(
        self,
        tx: Tx,
        day: date,
        closed: Sequence[ClosedMonth],
        kind: AccountKind | None,
        accounts: dict[int, HouseAccount],
    ) -> dict[int, int]:
        """Return the balances of accounts at the beginning of a day: of all accounts, or at least of those of `kind`.

        Wallets store their balance, from which the transfers since are subtracted. For other accounts the transfers before are
        added up, from the last closed month on.
        """
        for one in closed:
            if day in one:
                return await store.closed_openings(tx, one.month, day)
        (span,) = open_spans([day], closed, self._zone)
        if kind is AccountKind.WALLET:
            return _held_before(accounts.values(), await store.changes_since(tx, span.begins_at, None))
        before = [one for one in closed if one.ends_at <= span.begins_at]
        if not before:
            return await store.changes_since(tx, None, span.begins_at)
        last = before[-1]
        openings = await store.closed_openings(tx, last.month, last.month.next)
        for account_id, minor in (await store.changes_since(tx, last.ends_at, span.begins_at)).items():
            openings[account_id] = openings.get(account_id, 0) + minor
        return openings

    async def totals(self) -> list[AccountTotal]:
        """What every account of the house holds, and all wallets of a currency and mode together, by the ledger. Raises Busy.

        From the last closed month and the counted days on, only what is younger is added up.
        """
        found: dict[tuple[str, str, str, str], int] = {}

        def add(kind: str, owner: str, currency: str, mode: str, minor: int) -> None:
            key = (mode, currency, kind, "" if kind == AccountKind.WALLET else owner)
            found[key] = found.get(key, 0) + minor

        async with self._database.snapshot() as tx:
            await store.prepare(tx)
            calendar = await Calendar.read(tx, self._zone)
            if calendar.is_counted and calendar.counted.until is not None:
                last = calendar.closed[-1] if calendar.closed else None
                for row in await summaries.totals(tx, None if last is None else last.month.next):
                    add(row["account_kind"], row["owner"], row["currency"], row["mode"], row["minor"])
                rest = {} if last is None else await store.closed_openings(tx, last.month, last.month.next)
                begins_at = calendar.counted.until if last is None else max(calendar.counted.until, last.ends_at)
                younger = await store.changes_since(tx, begins_at, None)
            else:
                rest, younger = {}, await store.changes_since(tx, None, None)
            for number, minor in younger.items():
                rest[number] = rest.get(number, 0) + minor
            known = await store.accounts(tx, rest)
        for number, minor in rest.items():
            account = known[number]
            add(account.kind, account.owner, account.currency, account.mode, minor)
        return [
            AccountTotal(AccountKind(kind), owner, Mode(mode), Money(minor, currency_of(currency)))
            for (mode, currency, kind, owner), minor in sorted(found.items())
        ]

    async def closed(self) -> list[ClosedMonth]:
        """The months that are closed, oldest first. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.closed_months(tx)

    async def findings(self) -> list[str]:
        """Compare every closed month with its digest and with the ledger: a sentence for each thing that is wrong. Raises Busy."""
        async with self._database.snapshot() as tx:
            await store.prepare(tx)
            return [text for invariant in INVARIANTS for text in await store.breaking(tx, invariant)]

    async def close(self, month: Month, by_whom: str, *, progress: Progress = _unseen) -> Closed:
        """Close a month: compute its figures, store and seal them, in one transaction. They never change.

        Sales that are still open are not included: they count in the day in which they end. Raises InvalidInput (not over, closed
        before), InvariantBroken (the sales and the ledger disagree), Busy.
        """
        require_text("by", by_whom, _LONGEST_NAME)
        async with self._database.connection() as tx:
            span = await self._closable(tx, month)
        try:
            async with self._database.connection() as tx, tx.transaction(isolation="repeatable_read"):
                await store.prepare(tx)
                progress(1, CLOSING_STEPS, "Reading what was sold")
                sold = await store.sales(tx, span, _ALL, with_cost=True)
                progress(2, CLOSING_STEPS, "Reading the ledger")
                moved = _added_up(await store.movements(tx, span, by_day=True))
                accounts = await store.accounts(tx)
                closed = await store.closed_months(tx)
                progress(3, CLOSING_STEPS, "Comparing sales and ledger")
                _require_agreement(month, sold, moved, accounts)
                progress(4, CLOSING_STEPS, "Adding up opening balances")
                openings = await self._openings(tx, month.first, closed, None, accounts)
                progress(5, CLOSING_STEPS, "Sealing the figures")
                transfers = sum(movement.transfers for movement in moved) // 2
                await store.write_closed(tx, month, str(self._zone), span, by_whom, transfers, sold, openings, moved)
                open_sales = await store.open_sales(tx, span.ends_at, Mode.LIVE)
        except asyncpg.UniqueViolationError:
            raise InvalidInput(
                "month", f"{month} was closed a moment ago by somebody else; its figures stand"
            ) from None
        return Closed(next(one for one in await self.closed() if one.month == month), open_sales)

    async def _closable(self, tx: Tx, month: Month) -> Span:
        closed = await store.closed_months(tx)
        for one in closed:
            if one.month == month:
                at = f"{one.closed_at.astimezone(self._zone):%Y-%m-%d %H:%M}"
                raise InvalidInput("month", f"{month} was closed on {at} by {one.by_whom}; its figures stand")
        (span,) = open_spans(month.days, closed, self._zone)
        if await clock(tx) < span.ends_at:
            ends = f"{span.ends_at.astimezone(self._zone):%Y-%m-%d %H:%M}"
            raise InvalidInput("month", f"{month} is not over before {ends} ({self._zone})")
        # Rows have the time at which their transaction began.
        if unfinished := await store.unfinished_since(tx, span.ends_at):
            raise InvalidInput(
                "month",
                f"{unfinished} transaction(s) from before the end of {month} are not over yet; try again in a minute",
            )
        return span


def _held_before(accounts: Iterable[HouseAccount], changes: dict[int, int]) -> dict[int, int]:
    """Return the balances of wallets before `changes`, which must be all changes since."""
    return {
        account.id: account.balance_minor - changes.get(account.id, 0)
        for account in accounts
        if account.balance_minor is not None
    }


def _added_up(movements: Iterable[Movement]) -> list[Movement]:
    """One movement for each day, account and kind, whatever the other account was."""
    found: dict[tuple[date | None, int, TransferKind], tuple[int, int]] = {}
    for m in movements:
        key = (m.day, m.account_id, m.kind)
        transfers, minor = found.get(key, (0, 0))
        found[key] = (transfers + m.transfers, minor + m.change_minor)
    return [Movement(*key, *value) for key, value in found.items()]


def _require_agreement(
    month: Month, sold: SaleLines, moved: Collection[Movement], accounts: dict[int, HouseAccount]
) -> None:
    """Raise InvariantBroken if the sales, by currency and mode, do not add up to the movements of the house's accounts."""
    by_sales: dict[tuple[str, Mode], Sales] = {}
    for key, sales in sold.items():
        wallet = accounts[key.account_id]
        by_sales.setdefault((wallet.currency, wallet.mode), Sales()).add(sales)
    by_ledger: dict[tuple[str, Mode], list[int]] = {}
    for movement in moved:
        account = accounts[movement.account_id]
        sums = by_ledger.setdefault((account.currency, account.mode), [0, 0, 0, 0])
        if account.kind is AccountKind.IN_FLIGHT:
            sums[0] -= movement.change_minor if movement.kind in (TransferKind.COST, TransferKind.MARGIN) else 0
            sums[1] -= movement.change_minor if movement.kind is TransferKind.RELEASE else 0
        elif account.kind is AccountKind.PROVIDER:
            sums[2] += movement.change_minor
        elif account.kind in (AccountKind.MARGIN, AccountKind.LOSS, AccountKind.WRITE_OFF):
            sums[3] += movement.change_minor
    for unit in by_sales.keys() | by_ledger.keys():
        said = by_sales.get(unit, Sales())
        ours = [said.sold_minor, said.released_minor, said.cost_minor, said.margin_minor]
        theirs = by_ledger.get(unit, [0, 0, 0, 0])
        if ours != theirs:
            raise InvariantBroken(
                f"{month} is not closed: sold, released, cost and margin of {unit[0]} ({unit[1]}) come to {ours} by the sales and"
                f" to {theirs} by the ledger, in minor units. See telvend ledger check."
            )
