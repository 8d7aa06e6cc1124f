"""Lists as data: what a page shows as a table, and a file has as rows."""

import csv
import io
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from starlette.responses import Response, StreamingResponse

from telvend.kit.money import Money


@dataclass(frozen=True, slots=True)
class Link:
    """A text that leads somewhere."""

    href: str
    text: str


@dataclass(frozen=True, slots=True)
class State:
    """A state, shown as a badge; `words` in place of its own name."""

    state: str
    words: str | None = None
    tone: str | None = None


Value = str | int | float | Money | datetime | date | Link | State | None
"""What a cell may be."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what stands above it, and whether it is an amount."""

    title: str
    amount: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """A field above a list. `options`: what can be chosen; none for a field to type in."""

    name: str
    label: str
    options: Sequence[tuple[str, str]] = ()
    type: str = "text"


@dataclass(frozen=True, slots=True)
class Listing:
    """A list as a page shows it. `newer` and `older` lead to the pages beside it, `beside` is what they are called; `csv` leads to the
    whole as a file.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    filters: Sequence[Filter] = ()
    newer: str = ""
    older: str = ""
    beside: tuple[str, str] = ("Newer", "Older")
    csv: str = ""
    empty: str = "Nothing here"
    advice: str = ""
    summary: Sequence[tuple[str, Value]] = ()

    def heads(self) -> list[tuple[str, str]]:
        """The heads of the columns, with their class."""
        return [(column.title or "Action", "amount" if column.amount else "") for column in self.columns]


_NUMBER: Final = re.compile(r"[+-]?[0-9][0-9 .,-]*", re.ASCII)


def csv_text(value: Value) -> str:
    """A cell of a file. What a spreadsheet would take for a formula is quoted: resellers choose their names and references."""
    if value is None:
        return ""
    if isinstance(value, Money):
        return f"{value.decimal}"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Link):
        value = value.text
    elif isinstance(value, State):
        value = value.state
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not _NUMBER.fullmatch(text) else text


def csv_file(name: str, columns: Sequence[str], parts: AsyncIterator[Sequence[Sequence[Value]]]) -> Response:
    """Answer with a CSV file, a part at a time."""

    async def lines() -> AsyncIterator[str]:
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerow(columns)
        async for part in parts:
            writer.writerows([csv_text(value) for value in row] for row in part)
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
        yield buffer.getvalue()

    headers = {"content-disposition": f'attachment; filename="{name}"', "x-content-type-options": "nosniff"}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)
