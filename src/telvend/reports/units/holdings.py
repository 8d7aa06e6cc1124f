"""Reports on accounts from the figures of days: of each provider, of provisional credits, or of all wallets of a currency together."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date

from telvend.database.connections import Tx
from telvend.kit.mode import Mode
from telvend.ledger.model import AccountKind, TransferKind
from telvend.reports.calendar import Calendar, after
from telvend.reports.model import By, Holding, HouseAccount, Movement, ReportTable, RowKey, rows_of_holdings
from telvend.reports.units import store
from telvend.reports.units.store import Changes, Moved


class _Units:
    """What units held at the beginning, and how they changed."""

    def __init__(self) -> None:
        self.openings: Changes = {}
        self.moved: dict[tuple[date, str, str, TransferKind], tuple[int, int]] = {}

    def add(self, changes: Mapping[tuple[str, str], int]) -> None:
        """Add to what was held at the beginning."""
        for unit, minor in changes.items():
            self.openings[unit] = self.openings.get(unit, 0) + minor

    def subtract(self, changes: Mapping[tuple[str, str], int]) -> None:
        self.add({unit: -minor for unit, minor in changes.items()})

    def move(self, moved: Iterable[Moved]) -> None:
        for day, owner, currency, kind, transfers, minor in moved:
            key = (day, owner, currency, kind)
            before = self.moved.get(key, (0, 0))
            self.moved[key] = (before[0] + transfers, before[1] + minor)

    def subtract_moved(self) -> None:
        """Take what has moved back from the openings, which were what is held afterwards."""
        for (_, owner, currency, _), (_, minor) in self.moved.items():
            self.subtract({(owner, currency): minor})

    def table(self, kind: AccountKind, mode: Mode, days: Sequence[date], by: Collection[By]) -> ReportTable[Holding]:
        """The report, without units that held nothing and did not move."""
        stirred = {(owner, currency) for _, owner, currency, _ in self.moved}
        units = sorted(stirred | {unit for unit, minor in self.openings.items() if minor})
        numbers = {unit: number for number, unit in enumerate(units)}
        accounts = [HouseAccount(number, kind, *unit, mode, None) for unit, number in numbers.items()]
        by_day = By.DAY in by
        movements = [
            Movement(day if by_day else None, numbers[owner, currency], transfer, transfers, minor)
            for (day, owner, currency, transfer), (transfers, minor) in self.moved.items()
        ]

        def key_of(account: HouseAccount, day: date | None) -> RowKey:
            return RowKey(day, None, None, account.owner if By.PROVIDER in by else None, None, account.currency)

        openings = {number: self.openings.get(unit, 0) for unit, number in numbers.items()}
        return rows_of_holdings(accounts, openings, movements, days if by_day else None, key_of)


async def holdings_of_days(
    tx: Tx,
    calendar: Calendar,
    kind: AccountKind,
    mode: Mode,
    days: Sequence[date],
    by: Collection[By],
    kinds: Collection[TransferKind] | None,
) -> ReportTable[Holding]:
    """The report on accounts of a kind in these days, where days are counted. `kinds`: those of transfers that move them.

    Resellers are not told apart.
    """
    units = _Units()
    counted, left = calendar.parts(days)
    units.move(await store.counted_movements(tx, kind, mode, counted))
    months = calendar.months_between(days[0], days[-1])
    units.move(await store.sealed_movements(tx, kind, mode, months, days[0], days[-1]))
    for span in left:
        units.move(await store.movements(tx, kind, mode, span, kinds))
    if kind is AccountKind.WALLET and calendar.closed and calendar.closed[0].month.first <= days[0]:
        # They store what they hold now, and a closed month has rows for every one of them. So what came since is taken back: later, and in
        # these days.
        units.add(await store.held_by_wallets(tx, mode))
        for changes in await _changes_from(tx, calendar, kind, mode, after(days[-1])):
            units.subtract(changes)
        units.subtract_moved()
    else:
        for changes in await _changes_before(tx, calendar, kind, mode, days[0]):
            units.add(changes)
    return units.table(kind, mode, days, by)


async def _changes_from(tx: Tx, calendar: Calendar, kind: AccountKind, mode: Mode, day: date) -> list[Changes]:
    """How accounts have changed since a day began."""
    sealed_days = calendar.sealed_days(day)
    found = [await store.counted_changes(tx, kind, mode, day, None, sealed_days)]
    if sealed_days:
        found.append(await store.sealed_changes(tx, kind, mode, calendar.months, day))
    for begins_at, ends_at in calendar.uncounted(calendar.begins_at(day)):
        found.append(await store.changes(tx, kind, mode, begins_at, ends_at))
    return found


async def _changes_before(tx: Tx, calendar: Calendar, kind: AccountKind, mode: Mode, day: date) -> list[Changes]:
    """All that accounts had changed by before a day: what the last closed month says, and what came after it."""
    before = [one for one in calendar.closed if one.month.first <= day]
    if before and day in before[-1]:
        return [await store.sealed_openings(tx, kind, mode, before[-1].month, day)]
    found = []
    since = None
    if before:
        since = before[-1].month.next
        found.append(await store.sealed_openings(tx, kind, mode, before[-1].month, since))
    found.append(await store.counted_changes(tx, kind, mode, since, day, ()))
    begins_at = calendar.counted.until
    if begins_at is not None and before:
        begins_at = max(begins_at, before[-1].ends_at)
    if begins_at is not None:
        for one, ends_at in calendar.uncounted(begins_at, calendar.begins_at(day)):
            found.append(await store.changes(tx, kind, mode, one, ends_at))
    return found
