"""Days of a time zone."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When this day begins in this zone, in UTC; where the clock skips midnight, the moment at which it does."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
