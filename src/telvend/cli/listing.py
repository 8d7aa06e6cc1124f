"""Long lists: how many more rows there are than are shown, and complete CSV.

orders = await first(limit, lambda count: shop.order_records.list_orders(..., limit=count))      # or
found = await shop.order_records.list_orders(..., before=before, limit=limit)
more = await more_after(found, limit, cursor, lambda before, count: ...)
"""

import csv
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from telvend.cli.common import table
from telvend.kit.spreadsheet import csv_cell

if TYPE_CHECKING:
    from rich.console import Console

COUNTED: Final = 1000
"""So many more are counted; beyond that they are only said to be more."""
_AT_A_TIME: Final = 1000

T = TypeVar("T")

AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV for a spreadsheet.")]
LimitOrAll = Annotated[
    int | None, typer.Option(min=1, max=100_000, help="How many to show; 50 without, and all with --csv.")
]


@dataclass(frozen=True, slots=True)
class NextPage:
    """How many more there are than are shown: exactly, up to COUNTED. `cursor` is what `option` takes to go on, if anything."""

    count: int
    option: str = "--limit"
    cursor: object = None

    @property
    def following(self) -> object:
        """The cursor for programs; None where there are no more."""
        return self.cursor if self.count else None

    @property
    def left_off(self) -> dict[str, int]:
        """How many there are, for programs; nothing where everything was shown."""
        return {"more": self.count} if self.count else {}

    @property
    def text(self) -> str:
        """The line below a table; empty where there are no more."""
        if not self.count:
            return ""
        number = f"{self.count:,} more" if self.count < COUNTED else f"{COUNTED:,} or more"
        return f"{number}: {self.option}{'' if self.cursor is None else f' {self.cursor}'}"


async def first(
    limit: int, fetch: Callable[[int], Awaitable[Sequence[T]]], option: str = "--limit", cursor: object = None
) -> tuple[Sequence[T], NextPage]:
    """The first `limit` of a list that is asked for with a number, and how many more there are."""
    found = await fetch(limit + COUNTED)
    return found[:limit], NextPage(max(0, len(found) - limit), option, cursor)


async def more_after(
    shown: Sequence[Any],
    limit: int,
    cursor: Callable[[Any], Any],
    fetch: Callable[[Any, int], Awaitable[Sequence[Any]]],
    option: str = "--before",
) -> NextPage:
    """How many more there are behind the last one shown, of a list that goes on from a cursor."""
    if len(shown) < limit:
        return NextPage(0, option)
    last = cursor(shown[-1])
    return NextPage(len(await fetch(last, COUNTED)), option, last)


def page(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str, more: NextPage, title: str = ""
) -> "Callable[[Console], None]":
    """The table of one page; below it how many more there are, and how the next ones are asked for."""
    listed = table(title, columns, rows, empty)

    def show(console: "Console") -> None:
        listed(console)
        if more.count:
            console.print(f"\n{more.text}")

    return show


async def pages(
    limit: int | None,
    before: int | None,
    cursor: Callable[[T], int],
    fetch: Callable[[int | None, int], Awaitable[Sequence[T]]],
) -> AsyncIterator[Sequence[T]]:
    """All of a list, or its first `limit`, some at a time."""
    left = limit
    while left is None or left > 0:
        count = _AT_A_TIME if left is None else min(left, _AT_A_TIME)
        found = await fetch(before, count)
        if found:
            yield found
        if len(found) < count:
            return
        before = cursor(found[-1])
        left = None if left is None else left - count


async def print_csv(columns: Sequence[str], parts: AsyncIterator[Iterable[Mapping[str, Any]]]) -> None:
    """Print CSV for a spreadsheet as it comes. Raises OutputLost."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    sys.stdout.write(out.getvalue())
    async for part in parts:
        out.seek(0)
        out.truncate()
        for row in part:
            writer.writerow({name: csv_cell(row[name]) for name in columns})
        sys.stdout.write(out.getvalue())
    sys.stdout.flush()
