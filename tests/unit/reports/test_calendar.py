"""Which days are counted, which are sealed, and what is left to be read from the ledger."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from telvend.reports.calendar import Calendar
from telvend.reports.model import ClosedMonth, Counted, Month, midnight

ACCRA = ZoneInfo("Africa/Accra")


def closed(text: str, zone: str = "Africa/Accra") -> ClosedMonth:
    month = Month.parse(text)
    begins_at, ends_at = midnight(month.first, ZoneInfo(zone)), midnight(month.next, ZoneInfo(zone))
    return ClosedMonth(month, zone, begins_at, ends_at, 0, "", "Esi", ends_at)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


MAY, JULY = closed("2025-05"), closed("2025-07")


@pytest.mark.parametrize(
    ("counted", "begins", "ends", "times"),
    [
        (None, "2025-04-10", "2025-04-12", [("2025-04-10", "2025-04-12")]),
        ("2025-04-01", "2025-04-10", None, [("2025-04-10", "2025-05-01"), ("2025-06-01", "2025-07-01"), ("2025-08-01", None)]),
        ("2025-05-20", "2025-04-10", None, [("2025-06-01", "2025-07-01"), ("2025-08-01", None)]),
        ("2025-06-20", "2025-04-10", "2025-06-25", [("2025-06-20", "2025-06-25")]),
        ("2025-06-20", "2025-04-10", "2025-06-20", []),
        ("2025-05-20", "2025-04-10", "2025-05-30", []),
        ("2025-09-02", "2025-04-10", None, [("2025-09-02", None)]),
    ],
)  # fmt: skip
def test_what_is_neither_counted_nor_sealed_is_read_from_the_ledger(
    counted: str | None, begins: str, ends: str | None, times: list[tuple[str, str | None]]
) -> None:
    calendar = Calendar(ACCRA, [MAY, JULY], Counted(counted and at(counted), "Africa/Accra"))
    found = calendar.uncounted(at(begins), ends and at(ends))
    assert found == [(at(one), other and at(other)) for one, other in times]


def test_days_are_counted_sealed_or_left() -> None:
    calendar = Calendar(ACCRA, [MAY], Counted(at("2025-06-02 12:00"), "Africa/Accra"))
    days = [date(2025, 4, 30) + timedelta(days=number) for number in range(35)]
    counted, left = calendar.parts(days)
    assert counted == [date(2025, 4, 30), date(2025, 6, 1), date(2025, 6, 2)]
    assert [(span.begins_at, span.ends_at) for span in left] == [(at("2025-06-02 12:00"), at("2025-06-04"))]
    assert calendar.sealed_days(date(2025, 5, 30)) == [date(2025, 5, 30), date(2025, 5, 31)]
    assert calendar.month_of(date(2025, 5, 31)) is MAY
    assert calendar.month_of(date(2025, 6, 1)) is None
    assert calendar.months_between(date(2025, 5, 31), date(2025, 6, 2)) == [MAY.month]
    assert calendar.months_between(date(2025, 6, 1), date(2025, 6, 2)) == []


@pytest.mark.parametrize(("zone", "month_zone", "is_counted"), [
    ("Africa/Accra", "Africa/Accra", True), ("Africa/Lagos", "Africa/Accra", False), ("Africa/Accra", "Africa/Lagos", False),
])  # fmt: skip
def test_days_of_several_zones_do_not_lie_side_by_side(zone: str, month_zone: str, is_counted: bool) -> None:
    calendar = Calendar(ACCRA, [closed("2025-05", month_zone)], Counted(at("2025-06-02"), zone))
    assert calendar.is_counted is is_counted
