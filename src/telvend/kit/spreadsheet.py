"""Cells of CSV files that people open with a spreadsheet program."""

import re
from datetime import datetime
from typing import Any, Final

_E164: Final = re.compile(r"\A\+[0-9]{6,15}\Z", re.ASCII)


def csv_cell(value: Any) -> Any:
    """A value as a spreadsheet takes it. A text that it would take for a formula is marked as text with an apostrophe."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) and not _E164.match(value):
        return f"'{value}"
    return value
