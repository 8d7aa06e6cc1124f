"""Tells what is going on: on a terminal in one line that changes, elsewhere in a line for each part."""

from rich.console import Console
from rich.live import Live
from rich.text import Text

from bench.report import Report


class Progress:
    """Between `begin` and `end` of a part, `say` shows what it is doing; `end` prints what it added to the report."""

    def __init__(self, console: Console, report: Report, parts: int) -> None:
        self._console = console
        self._report = report
        self._parts = parts
        self._begun = 0
        self._shown = (0, 0)
        self._head = ""
        # Without the thread that repaints: it would take time from what is measured, so nothing moves meanwhile.
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        if self._live is not None:
            self._live.start()

    def begin(self, name: str, what: str) -> None:
        self._begun += 1
        self._head = f"[{self._begun}/{self._parts}] {name}: "
        if self._live is None:
            self._console.print(self._head + what, markup=False)

    def say(self, sentence: str) -> None:
        if self._live is not None:
            self._live.update(Text(f"{self._head}{sentence} ..."), refresh=True)

    def end(self) -> None:
        speeds, quantities = self._shown
        self._shown = len(self._report.speeds), len(self._report.quantities)
        for speed in self._report.speeds[speeds:]:
            latency = "" if speed.p99_ms is None else f", p50 {speed.p50_ms:.2f} ms, p99 {speed.p99_ms:.1f} ms"
            self._print(f"{speed.per_second:,.0f} a second, {speed.ratio:.2f} × TPC-B{latency}")
        for quantity in self._report.quantities[quantities:]:
            self._print(f"{quantity.what}: {quantity.value:.2f} {quantity.unit}")

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _print(self, sentence: str) -> None:
        self._console.print(self._head + sentence if self._live is not None else f"    {sentence}", markup=False)
