"""Days of zones, months, and how open days give way to closed ones."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from telvend.errors import InvalidInput
from telvend.reports.model import ClosedMonth, Month, days_between, midnight, open_spans

LAGOS, ACCRA, UTC_ZONE = ZoneInfo("Africa/Lagos"), ZoneInfo("Africa/Accra"), ZoneInfo("UTC")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("Africa/Accra", "2026-11-28", "2026-11-28 00:00"),
        ("Africa/Lagos", "2026-11-28", "2026-11-27 23:00"),
        ("Africa/Johannesburg", "2026-11-28", "2026-11-27 22:00"),
        # The clock goes from 24:00 to 01:00: the day begins when it does.
        ("Africa/Cairo", "2026-04-24", "2026-04-23 22:00"),
        # The clock goes back from 24:00 to 23:00: the day before has 25 hours.
        ("Africa/Cairo", "2026-10-30", "2026-10-29 22:00"),
        ("America/New_York", "2026-03-08", "2026-03-08 05:00"),
        ("America/New_York", "2026-03-09", "2026-03-09 04:00"),
    ],
)
def test_a_day_begins_at_midnight_of_its_zone(zone: str, day: str, begins: str) -> None:
    assert midnight(date.fromisoformat(day), ZoneInfo(zone)) == at(begins)


@pytest.mark.parametrize("zone", ["Africa/Cairo", "America/New_York", "Africa/Casablanca", "Australia/Lord_Howe"])
def test_days_follow_each_other_without_gap_or_overlap_all_year(zone: str) -> None:
    days = days_between(date(2026, 1, 1), date(2026, 12, 31))
    (span,) = open_spans(days, [], ZoneInfo(zone))
    assert list(span.starts) == sorted(set(span.starts))
    lengths = {later - earlier for earlier, later in zip(span.starts, [*span.starts[1:], span.ends_at], strict=True)}
    assert all(timedelta(hours=22) <= length <= timedelta(hours=26) for length in lengths)
    assert span.ends_at == midnight(date(2027, 1, 1), ZoneInfo(zone))


def test_a_month_is_parsed_and_knows_its_days() -> None:
    month = Month.parse("2026-02")
    assert (month.first, month.next, len(month.days), str(month)) == (date(2026, 2, 1), date(2026, 3, 1), 28, "2026-02")
    assert Month.parse("2026-12").next == date(2027, 1, 1)


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-13", "2026-1", "26-01", "2026-01-01", "202601", "x", "0001-01", "9999-12"]
)
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Month.parse(text)
    assert refused.value.field == "month"


def test_days_have_an_order_and_a_number() -> None:
    assert days_between(date(2026, 1, 31), date(2026, 2, 1)) == [date(2026, 1, 31), date(2026, 2, 1)]
    for first, last in (
        (date(2026, 2, 1), date(2026, 1, 31)),
        (date(1900, 1, 1), date(2026, 1, 1)),
        (date(2026, 1, 1), date(9999, 12, 31)),
        (date(2000, 1, 1), date(2026, 1, 1)),
    ):
        with pytest.raises(InvalidInput):
            days_between(first, last)


def closed(text: str, zone: ZoneInfo) -> ClosedMonth:
    month = Month.parse(text)
    return ClosedMonth(
        month, str(zone), midnight(month.first, zone), midnight(month.next, zone), 0, "", "Esi", at("2027-01-01 00:00")
    )


def test_days_of_closed_months_are_left_out() -> None:
    october = closed("2026-10", ACCRA)
    before, after = open_spans(days_between(date(2026, 9, 30), date(2026, 11, 2)), [october], ACCRA)
    assert (list(before.days), before.ends_at) == ([date(2026, 9, 30)], october.begins_at)
    assert (list(after.days), after.begins_at) == ([date(2026, 11, 1), date(2026, 11, 2)], october.ends_at)
    assert open_spans(october.month.days, [october], ACCRA) == []


def test_open_days_give_way_to_a_month_that_was_closed_in_another_zone() -> None:
    october = closed("2026-10", LAGOS)
    before, after = open_spans(days_between(date(2026, 9, 30), date(2026, 11, 1)), [october], UTC_ZONE)
    assert before.ends_at == at("2026-09-30 23:00") == october.begins_at
    assert after.begins_at == at("2026-10-31 23:00") == october.ends_at
