"""What a part has to say, and how it is shown: a table on the terminal, Markdown for people, JSON for programs."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table


class Target(msgspec.Struct):
    """Something to reach, in words, and whether it was."""

    text: str
    met: bool


class Speed(msgspec.Struct, kw_only=True):
    """So many of something in a second. `tpcb_per_second` is pgbench before and after it, in the same run.

    Latencies are None where nobody waits for a single one.
    """

    part: str
    what: str
    per_second: float
    tpcb_per_second: tuple[float, float]
    p50_ms: float | None = None
    p99_ms: float | None = None
    errors: dict[str, int] = {}
    targets: list[Target] = []
    notes: dict[str, str] = {}

    @property
    def tpcb(self) -> float:
        return sum(self.tpcb_per_second) / 2

    @property
    def ratio(self) -> float:
        return self.per_second / self.tpcb


class Quantity(msgspec.Struct, kw_only=True):
    """Something that is not a rate: megabytes, seconds."""

    part: str
    what: str
    value: float
    unit: str
    targets: list[Target] = []
    notes: dict[str, str] = {}


class Report(msgspec.Struct, kw_only=True):
    """One run of the benchmark. `command` repeats it."""

    at: datetime
    command: str
    remark: str
    facts: dict[str, str]
    speeds: list[Speed] = []
    quantities: list[Quantity] = []


_SPEED_COLUMNS: Final = ("part", "a second", "p50 ms", "p99 ms", "errors", "TPC-B", "ratio", "target")
_QUANTITY_COLUMNS: Final = ("part", "what", "value", "target")
_WORDS: Final = {True: "yes", False: "NO"}


def _speed_row(speed: Speed) -> list[str]:
    return [
        speed.part,
        f"{speed.per_second:,.0f}",
        "" if speed.p50_ms is None else f"{speed.p50_ms:.2f}",
        "" if speed.p99_ms is None else f"{speed.p99_ms:.1f}",
        f"{sum(speed.errors.values()):,}",
        f"{speed.tpcb:,.0f}",
        f"{speed.ratio:.2f}",
        _targets(speed.targets),
    ]


def _quantity_row(quantity: Quantity) -> list[str]:
    return [quantity.part, quantity.what, f"{quantity.value:.2f} {quantity.unit}", _targets(quantity.targets)]


def _targets(targets: Sequence[Target]) -> str:
    return "; ".join(f"{target.text}: {_WORDS[target.met]}" for target in targets)


def show(report: Report, console: Console) -> None:
    """Print the tables."""
    for columns, rows in _tables(report):
        table = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for index in range(1, len(columns) - 1):
            table.columns[index].justify = "right" if columns is _SPEED_COLUMNS else "left"
        for row in rows:
            coloured = row[-1].replace(": NO", ": [red]NO[/red]").replace(": yes", ": [green]yes[/green]")
            table.add_row(*row[:-1], coloured)
        console.print()
        console.print(table)


def write(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write `<date>-<time>.md` and `.json` into `folder`; answers where they are."""
    folder.mkdir(exist_ok=True)
    name = f"{report.at:%Y-%m-%d-%H%M%S}"
    page, data = folder / f"{name}.md", folder / f"{name}.json"
    page.write_text(_markdown(report))
    data.write_bytes(msgspec.json.format(msgspec.json.encode(_plain(report))) + b"\n")
    return page, data


def _tables(report: Report) -> list[tuple[Sequence[str], list[list[str]]]]:
    both = (
        (_SPEED_COLUMNS, [_speed_row(speed) for speed in report.speeds]),
        (_QUANTITY_COLUMNS, [_quantity_row(quantity) for quantity in report.quantities]),
    )
    return [(columns, rows) for columns, rows in both if rows]


def _markdown(report: Report) -> str:
    lines = [f"# Telvend, {report.at:%Y-%m-%d %H:%M} UTC", "", f"Repeat it: `{report.command}`", ""]
    lines += [report.remark, ""] if report.remark else []
    lines += [f"- {name}: {fact}" for name, fact in report.facts.items()]
    for columns, rows in _tables(report):
        lines += ["", _line(columns), _line(["---"] * len(columns)), *map(_line, rows)]
    lines += ["", *(f"- {speed.part}: {speed.what}; {_notes(speed.notes)}" for speed in report.speeds)]
    lines += [f"- {one.part}, {one.what}: {_notes(one.notes)}" for one in report.quantities if one.notes]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _notes(notes: dict[str, str]) -> str:
    return ", ".join(f"{name} {note}" for name, note in notes.items())


def _plain(report: Report) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(report)
    plain["speeds"] = [
        msgspec.to_builtins(speed) | {"tpcb": speed.tpcb, "ratio": speed.ratio} for speed in report.speeds
    ]
    return plain


def at_least(ratio: float, times: float) -> Target:
    """A rate of at least so many times TPC-B."""
    return Target(f"≥ {times:.1f} × TPC-B", ratio >= times)


def below(text: str, value: float, limit: float) -> Target:
    """A value under a limit; `text` names both."""
    return Target(text, value < limit)
