"""The verbs of reports: what was sold and earned, what accounts hold, and the closing of a month.

Days of closed months are read from what was sealed, all others from the ledger and the orders; one report is one moment of the
database.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Generic, TypeVar
from zoneinfo import ZoneInfo

import asyncpg

from telvend.database.connections import Database, Tx, clock
from telvend.errors import InvalidInput, InvariantBroken
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of
from telvend.kit.text import require_text
from telvend.ledger.model import AccountKind, AccountTotal, TransferKind
from telvend.reports import store
from telvend.reports.invariants import INVARIANTS
from telvend.reports.model import (
    By,
    ClosedMonth,
    Counted,
    HeldByUnit,
    Holding,
    HouseAccount,
    Month,
    Movement,
    RowKey,
    SaleLines,
    Sales,
    Span,
    days_between,
    enter,
    midnight,
    open_spans,
    rows_of_holdings,
    rows_of_sales,
    split,
)
from telvend.reports.summaries import store as summaries

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

T = TypeVar("T")


def _unseen(done: int, total: int, step: str) -> None:
    """Nobody looks."""


@dataclass(frozen=True, slots=True)
class ReportTable(Generic[T]):
    """Rows in their order, and totals by currency."""

    rows: dict[RowKey, T]
    totals: dict[str, T]


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
            closed = await store.closed_months(tx)
            lines = await store.closed_sales(tx, first, last, [one.month for one in closed])
            counted = await summaries.counted(tx) if summaries.can_tell(by) else Counted()
            for span in open_spans(days, closed, self._zone):
                whole, left = split(span, counted, self._zone)
                parts = [await summaries.sales(tx, whole[0], whole[-1], by, mode)] if whole else []
                parts += [await store.sales(tx, one, frozenset(by), with_cost=with_cost) for one in left]
                for part in parts:
                    for key, sales in part.items():
                        enter(lines, key, sales)
            accounts = await store.accounts(tx, {key.account_id for key in lines})
        return ReportTable(*rows_of_sales(lines, accounts, mode, by))

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
            closed = await store.closed_months(tx)
            counted = await summaries.counted(tx)
            # Days of several zones do not lie side by side.
            ours = {counted.zone, *(one.zone for one in closed)} == {str(self._zone)}
            if counted.until is not None and ours and (kind is not AccountKind.WALLET or By.RESELLER not in by):
                return await self._holdings_of_days(tx, counted, closed, kind, days, by, mode)
            movements = await store.closed_movements(tx, first, last, [one.month for one in closed])
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

        return ReportTable(*rows_of_holdings(shown, openings, moved, days if by_day else None, key_of))

    async def _holdings_of_days(
        self,
        tx: Tx,
        counted: Counted,
        closed: Sequence[ClosedMonth],
        kind: AccountKind,
        days: Sequence[date],
        by: Sequence[By],
        mode: Mode,
    ) -> ReportTable[Holding]:
        """Holdings from the figures of days. All wallets of a currency are one account here."""
        first, last = days[0], days[-1]
        wallets = kind is AccountKind.WALLET
        held = HeldByUnit(wallets=wallets)
        months = [one.month for one in closed]
        moved = await store.closed_movements(tx, first, last, months)
        for span in open_spans(days, closed, self._zone):
            whole, left = split(span, counted, self._zone)
            if whole:
                held.enter_rows(await summaries.movements(tx, kind, mode, whole[0], whole[-1]))
            for one in left:
                moved += await store.movements(tx, one, by_day=True, kinds=_KINDS.get(kind))
        known = await store.accounts(tx, {movement.account_id for movement in moved} if wallets else ())
        held.enter(moved, {number: one for number, one in known.items() if (one.kind, one.mode) == (kind, mode)})
        if wallets:
            for currency, minor in (await store.held_by_wallets(tx, mode)).items():
                held.opening("", currency, minor)
            # What they hold now, less what came since: of these days, of later ones, and of what is not counted yet.
            held.take_back()
            later = last + timedelta(days=1)
            changes = await summaries.changes(tx, kind, mode, later, None)
            end = max(midnight(later, self._zone), counted.until or midnight(later, self._zone))
            rest = await store.changes_since(tx, end, None)
            for sealed in await store.closed_movements(tx, later, date.max, months):
                rest[sealed.account_id] = rest.get(sealed.account_id, 0) + sealed.change_minor
            sign = -1
        else:
            before = [one for one in closed if one.month.first <= first]
            since = before[-1].month if before else None
            within = since is not None and first < since.next
            rest = {} if since is None else await store.closed_openings(tx, since, first if within else since.next)
            changes = {}
            if not within:
                changes = await summaries.changes(tx, kind, mode, None if since is None else since.next, first)
                begins_at = midnight(first, self._zone)
                if counted.until is not None and begins_at > counted.until:
                    for number, minor in (await store.changes_since(tx, counted.until, begins_at)).items():
                        rest[number] = rest.get(number, 0) + minor
            sign = 1
        for (owner, currency), minor in changes.items():
            held.opening(owner, currency, sign * minor)
        known |= await store.accounts(tx, rest if wallets else ())
        for number, minor in rest.items():
            if number in known and (known[number].kind, known[number].mode) == (kind, mode):
                held.opening("" if wallets else known[number].owner, known[number].currency, sign * minor)
        by_day, named = By.DAY in by, By.PROVIDER in by
        shown, openings, movements = held.told(kind, mode, by_day=by_day)

        def key_of(account: HouseAccount, day: date | None) -> RowKey:
            return RowKey(day, None, None, account.owner if named else None, None, account.currency)

        return ReportTable(*rows_of_holdings(shown, openings, movements, days if by_day else None, key_of))

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
            closed = await store.closed_months(tx)
            counted = await summaries.counted(tx)
            if {counted.zone, *(one.zone for one in closed)} != {str(self._zone)}:
                counted = Counted()
            rest = await store.changes_since(tx, counted.until, None)
            if counted.until is not None:
                last = closed[-1].month if closed else None
                for row in await summaries.totals(tx, None if last is None else last.next):
                    add(row["account_kind"], row["owner"], row["currency"], row["mode"], row["minor"])
                sealed = {} if last is None else await store.closed_openings(tx, last, last.next)
                for number, minor in sealed.items():
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
