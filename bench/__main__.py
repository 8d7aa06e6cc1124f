"""`python -m bench`: chooses the parts, runs them one after the other, shows and writes what came out.

Exit code 1 when the books do not hold, or when what was acknowledged is not what is in the database; a target that was
missed is a result like any other.
"""

import argparse
import asyncio
import shlex
import sys
import tempfile
from datetime import UTC, datetime
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console

from bench import machine
from bench.cases import PARTS
from bench.growth import ORDERS, growth
from bench.progress import Progress
from bench.report import Report, show, write
from bench.session import Bench, Extent, Part
from bench.testbed import BooksWrong, Testbed, TestbedFailed
from bench.tpcb import PgbenchFailed
from bench.wrk import WrkFailed
from telvend.kit import log

RESULTS: Final = Path(__file__).parent / "results"
QUICK: Final = Extent(seconds=2, warm_up_s=0.5, starts=1)
_BUSY_LOAD: Final = 0.5


def main() -> int:
    chosen = _arguments()
    if chosen.list:
        for part in PARTS:
            print(f"{part.name:18} {part.what}")
        return 0
    extent = QUICK if chosen.quick else Extent()
    extent = Extent(
        seconds=chosen.seconds or extent.seconds,
        warm_up_s=extent.warm_up_s,
        workers=chosen.workers,
        starts=extent.starts,
    )
    if chosen.growth or chosen.growth_orders:
        orders = chosen.growth_orders or ORDERS
        parts = [Part("growth", f"a shop beside {orders:,} orders", partial(growth, orders=orders))]
    else:
        parts = _chosen_parts(chosen.only)
    # What the lane would log of a rejected purchase must not stand between the lines of progress.
    log.configure("error", as_json=False)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run(parts, extent, Path(chosen.folder)))
    except KeyboardInterrupt:
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="How fast Telvend is; see bench/README.md.")
    parser.add_argument("--list", action="store_true", help="show the parts and end")
    parser.add_argument(
        "--only", action="append", metavar="PART", help="this part, or those that match `hot-*`; may be repeated"
    )
    parser.add_argument("--seconds", type=_whole_number, metavar="N", help="how long each part is measured (10)")
    parser.add_argument("--quick", action="store_true", help="short runs that only show that everything works")
    parser.add_argument(
        "--growth", action="store_true", help=f"instead of the parts: a shop that is filled with {ORDERS:,} orders"
    )
    parser.add_argument("--growth-orders", type=_whole_number, metavar="N", help="the same, with so many orders")
    parser.add_argument("--workers", type=_whole_number, default=1, metavar="N", help="server processes (1)")
    parser.add_argument(
        "--folder", default=tempfile.gettempdir(), metavar="DIR", help="where the temporary data directory is made"
    )
    return parser.parse_args()


def _whole_number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _chosen_parts(only: list[str] | None) -> list[Part]:
    if not only:
        return list(PARTS)
    for pattern in only:
        if not any(fnmatch(part.name, pattern) for part in PARTS):
            sys.exit(f"There is no part {pattern}; `python -m bench --list` shows them.")
    return [part for part in PARTS if any(fnmatch(part.name, pattern) for pattern in only)]


async def _run(parts: list[Part], extent: Extent, where: Path) -> int:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    report = _report(extent, where)
    if report.remark:
        console.print(f"[yellow]{report.remark}[/yellow]")
    wrong = False
    with tempfile.TemporaryDirectory(prefix="telvend-bench-", dir=where) as folder:
        testbed = Testbed(Path(folder))
        progress = Progress(console, report, len(parts))
        bench = Bench(testbed, extent, report, progress.say)
        try:
            for part in parts:
                progress.begin(part.name, part.what)
                try:
                    await part.run(bench, part.name, part.what)
                except BooksWrong as error:
                    console.print(f"{part.name}: {error}", markup=False, style="red")
                    wrong = True
                progress.end()
        except (TestbedFailed, PgbenchFailed, WrkFailed) as error:
            console.print(str(error), markup=False, style="red")
            wrong = True
        finally:
            progress.close()
            await testbed.close()
            if bench.large is not None:
                await bench.large.close()
    show(report, console)
    for path in write(report, RESULTS):
        console.print(f"Written to {path}")
    return int(wrong)


def _report(extent: Extent, where: Path) -> Report:
    arguments = " ".join(shlex.quote(argument) for argument in sys.argv[1:])
    facts = machine.facts(where)
    remarks = []
    if extent.seconds < Extent().seconds:
        remarks.append(f"Runs of {extent.seconds} s are too short to mean much.")
    if float(facts["load average before"]) > _BUSY_LOAD:
        remarks.append("Somebody else was using the machine.")
    if facts["file system"] == "tmpfs":
        remarks.append("The data was kept in memory: nothing was durable.")
    return Report(
        at=datetime.now(UTC), command=f"python -m bench {arguments}".strip(), remark=" ".join(remarks), facts=facts
    )


if __name__ == "__main__":
    sys.exit(main())
