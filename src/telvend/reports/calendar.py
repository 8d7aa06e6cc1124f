"""The state of the shop's days in one snapshot of the database: until when they are counted, and which months are closed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from telvend.database.connections import Tx
from telvend.reports import store
from telvend.reports.model import ClosedMonth, Counted, Month, Span, midnight, open_spans, split
from telvend.reports.summaries import store as summaries


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days of `zone`, and where their figures stand: counted, sealed, or in the ledger alone. `closed`: oldest first."""

    zone: ZoneInfo
    closed: Sequence[ClosedMonth]
    counted: Counted

    @classmethod
    async def read(cls, tx: Tx, zone: ZoneInfo) -> "Calendar":
        return cls(zone, await store.closed_months(tx), await summaries.counted(tx))

    @property
    def months(self) -> list[Month]:
        """The closed months."""
        return [one.month for one in self.closed]

    def months_between(self, first: date, last: date) -> list[Month]:
        """The closed months that days from the first to the last are in."""
        return [month for month in self.months if month.first <= last and first < month.next]

    @property
    def is_counted(self) -> bool:
        """Return whether days are counted, and the days of closed months are of the same time zone, so that no two overlap."""
        zones = {self.counted.zone, *(one.zone for one in self.closed)}
        return self.counted.until is not None and zones == {str(self.zone)}

    def parts(self, days: Sequence[date], *, as_counted: bool = True) -> tuple[list[date], list[Span]]:
        """Of the days that are in no closed month: those that are counted, and the spans that are left to be read from the ledger.

        The last counted day may be counted in part. Without `as_counted` everything is left.
        """
        counted = self.counted if as_counted else Counted()
        whole: list[date] = []
        left: list[Span] = []
        for span in open_spans(days, self.closed, self.zone):
            of_span, rest = split(span, counted, self.zone)
            whole += of_span
            left += rest
        return whole, left

    def month_of(self, day: date) -> ClosedMonth | None:
        """The closed month that a day is in."""
        return next((one for one in self.closed if day in one), None)

    def sealed_days(self, first: date) -> list[date]:
        """The days of closed months from one on. Counted figures of them may still be there, and do not count."""
        return [day for month in self.months for day in month.days if day >= first]

    def uncounted(self, begins_at: datetime, ends_at: datetime | None = None) -> list[tuple[datetime, datetime | None]]:
        """The times from one moment to another, None: to now, that are neither counted nor in a closed month."""
        begins_at = max(begins_at, self.counted.until or begins_at)
        times: list[tuple[datetime, datetime | None]] = []
        for month in self.closed:
            if month.ends_at <= begins_at or (ends_at is not None and month.begins_at >= ends_at):
                continue
            if begins_at < month.begins_at:
                times.append((begins_at, month.begins_at))
            begins_at = month.ends_at
        if ends_at is None or begins_at < ends_at:
            times.append((begins_at, ends_at))
        return times

    def begins_at(self, day: date) -> datetime:
        return midnight(day, self.zone)


def after(day: date) -> date:
    """The day after."""
    return day + timedelta(days=1)
