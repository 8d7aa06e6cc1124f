"""How pages write amounts, times and states: `₦1,234.50`, `28 Nov 2026, 14:05` in the person's zone."""

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from telvend.kit.money import Money

SIGNS: Final = {"NGN": "₦", "GHS": "GH₵", "ZAR": "R", "SZL": "E", "UGX": "USh "}
"""The sign before an amount; other currencies stand with their code."""

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MINUS: Final = "\u2212"

# Zones whose people read a clock of twelve hours (CLDR, en-GH).
_TWELVE_HOURS: Final = frozenset({"Africa/Accra"})


def money_text(amount: Money) -> str:
    """Write an amount with its sign and thousands: Money(-123450, NGN) is "−₦1,234.50"."""
    code = amount.currency.code
    sign = SIGNS.get(code, f"{code}\u00a0").replace(" ", "\u00a0")
    minus = _MINUS if amount.minor < 0 else ""
    return f"{minus}{sign}{abs(amount.decimal):,}"


@lru_cache(maxsize=256)
def zone_of(name: str) -> ZoneInfo:
    """The zone of this IANA name; UTC where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def date_text(day: date) -> str:
    """Write a day so that nobody reads it the wrong way round: "28 Nov 2026"."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def time_text(at: datetime, zone: str, *, seconds: bool = False) -> str:
    """Write a moment in a zone: "28 Nov 2026, 14:05", in Ghana "28 Nov 2026, 2:05 pm"."""
    local = at.astimezone(zone_of(zone))
    end = f":{local.second:02}" if seconds else ""
    if zone in _TWELVE_HOURS:
        return f"{date_text(local)}, {(local.hour + 11) % 12 + 1}:{local.minute:02}{end} {'am' if local.hour < 12 else 'pm'}"
    return f"{date_text(local)}, {local.hour:02}:{local.minute:02}{end}"


def iso_text(at: datetime) -> str:
    """A moment as the datetime attribute of an element has it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_WORDS_BY_TONE: Final = {
    "good": "completed delivered success successful succeeded paid active sells up ok sent verified live credited done",
    "wait": """pending processing queued accepted sending waiting running unknown open review test partial retrying held checking
        expiring degraded paused unconfirmed""",
    "bad": """failed declined expired revoked refused error down cancelled canceled abandoned suspended blocked stopped given_up
        disabled""",
}
TONES: Final = {tone: frozenset(words.split()) for tone, words in _WORDS_BY_TONE.items()}
"""The tone of a badge by the word of the state; what stands in none is neutral. The word is always written as well."""


def tone_of(state: str) -> str:
    """The tone in which a state is shown."""
    return next((tone for tone, states in TONES.items() if state in states), "plain")


def words_of(state: str) -> str:
    """A state in words: `given_up` is "Given up"."""
    return state.replace("_", " ").replace("-", " ").capitalize()
