"""Measure `telvend order place --csv`: a list is checked, sold and its result written, by a command of its own beside the server."""

import asyncio
import csv
import os
import resource
import time
from pathlib import Path
from typing import Final

from bench.load import Load
from bench.report import Quantity, Speed, at_least
from bench.session import Bench
from bench.testbed import BooksWrong, Testbed

ROWS_FOR_EACH_SECOND: Final = 10_000
"""The length of the list, for each second of the extent: a hundred thousand rows in a run of ten seconds."""
_LEAST: Final = 4.0
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


async def place_list(bench: Bench, name: str, what: str) -> None:
    """Sell one list from one wallet, from the start of the command until its result is written; nothing is delivered beside."""
    await bench.serve("--no-fulfilment")
    testbed, rows = bench.testbed, ROWS_FOR_EACH_SECOND * bench.extent.seconds
    bench.say("furnishing the shop")
    await testbed.hot()
    file = testbed.data_dir.parent / f"list-{time.time_ns()}.csv"
    _write(file, rows, next(testbed.numbers))
    orders_before = await testbed.orders()
    spent: dict[str, float] = {}

    async def measure() -> Load:
        before = _cpu_of_postgres(testbed), resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        await _place(testbed, file, rows)
        elapsed_s = time.perf_counter() - began
        after = _cpu_of_postgres(testbed), resource.getrusage(resource.RUSAGE_CHILDREN)
        own_s = sum(after[1][:2]) - sum(before[1][:2])
        spent.update(command=own_s / rows * 1e6, PostgreSQL=(after[0] - before[0]) / rows * 1e6)
        return Load(per_second=rows / elapsed_s, p50_ms=0, p99_ms=0, longest_ms=0, succeeded=rows, errors={})

    load, beside = await bench.beside(f"selling a list of {rows:,} rows", measure)
    bench.say("checking the books")
    await testbed.check(orders_before=orders_before, sold=rows)
    speed = Speed(part=name, what=what, per_second=load.per_second, tpcb_per_second=beside)
    speed.notes = {f"CPU of {who} for each row": f"{us:.0f} µs" for who, us in spent.items()}
    speed.targets = [at_least(speed.ratio, _LEAST)]
    bench.report.speeds.append(speed)
    bench.say("giving the same command again")
    began = time.perf_counter()
    await _place(testbed, file, 0)
    bench.report.quantities.append(
        Quantity(
            part=name,
            what=f"the same command again, {rows:,} rows that are sold",
            value=time.perf_counter() - began,
            unit="s",
        )
    )
    await asyncio.to_thread(file.unlink)


def _write(file: Path, rows: int, first: int) -> None:
    with file.open("w", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(("product", "to", "reference"))
        writer.writerows(("GH-MTN-1GB-30D", f"024{at % 10_000_000:07d}", f"list-{first}-{at}") for at in range(rows))


async def _place(testbed: Testbed, file: Path, sold: int) -> None:
    """Raises TestbedFailed where the command does not end well, BooksWrong where it says that it has sold something else."""
    said = await testbed.command("order", "place", "--csv", str(file), "--email", "hot-0@bench.example", "--yes")
    if said.get("sold") != sold:
        raise BooksWrong(f"telvend order place --csv: {said}")


def _cpu_of_postgres(testbed: Testbed) -> float:
    """Seconds that the server's PostgreSQL has computed, those of its connections that have ended among them."""
    postmaster = int((testbed.data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It has just ended.
        # Source: proc(5); after the name come the state and the parent, and from the twelfth on utime, stime, cutime, cstime.
        if stat.parent.name == str(postmaster):
            ticks += sum(int(field) for field in fields[11:15])
        elif fields[1] == str(postmaster):
            ticks += sum(int(field) for field in fields[11:13])
    return ticks / _TICKS_A_SECOND
