"""The check of short texts that people and programs enter: names, reasons, references."""

from telvend.errors import InvalidInput


def require_text(field: str, text: str, longest: int = 64) -> None:
    """Raise InvalidInput for a text that is empty, too long, or cannot be printed."""
    if not 1 <= len(text) <= longest or not text.isprintable():
        raise InvalidInput(field, f"must be 1 to {longest} printable characters")
