"""Metrics of provisional credits."""

from typing import Final

from telvend.kit.metrics import Counter

_PROVISIONAL_CREDITS: Final = Counter(
    "telvend_provisional_credits", "Provisional credits that were given, reversed or written off.", "what"
)


def count_provisional_credit(what: str) -> None:
    """Count a provisional credit that was given, reversed or written_off."""
    _PROVISIONAL_CREDITS.count(what)
