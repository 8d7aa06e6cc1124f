"""The check of short texts that people and programs enter: names, reasons, references."""

from typing import Final

from telvend.errors import InvalidInput

LONGEST_REASON: Final = 500
LONGEST_NAME: Final = 200
"""The most characters in the reason for an act by hand, and in the name of the person."""


def require_text(field: str, text: str, longest: int = 64) -> None:
    """Raise InvalidInput for a text that is empty, too long, or cannot be printed."""
    if not 1 <= len(text) <= longest or not text.isprintable():
        raise InvalidInput(field, f"must be 1 to {longest} printable characters")


def require_reason(reason: str, by_whom: str) -> tuple[str, str]:
    """Return the reason and the name, without blanks around them. Raises InvalidInput."""
    reason, by_whom = reason.strip(), by_whom.strip()
    require_text("reason", reason, LONGEST_REASON)
    require_text("by", by_whom, LONGEST_NAME)
    return reason, by_whom
