"""Checks of the clock: whether something keeps it right, whether it has jumped, whether the database has the same one.

Orders are made due, leases end and documents are dated by it. A clock that goes back delays what was due; it moves no money.
"""

import ctypes
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from telvend.config import Settings
from telvend.database.connections import Database
from telvend.database.connections import clock as database_time
from telvend.orders import store as order_store
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level

_CLOCK: Final = "clock"
_ADVICE: Final = "Let a time service keep it: apt-get install systemd-timesyncd, or chrony."

_UNSYNCHRONISED: Final = 0x40
"""STA_UNSYNC of adjtimex(2)."""
_BYTES_OF_TIMEX: Final = 512
"""More than `struct timex` has on any platform."""
_STATUS_AT: Final = 40
"""Where its field `status` is on 64 bits: modes, padding, offset, freq, maxerror, esterror, then status."""
_JUMP_S: Final = 5.0
_APART_S: Final = 1.0
_FAR_APART_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of this machine. `synchronised`: the kernel's word; None where it gives none.

    `jumped_s`: by how much it was set since the embedded database was started; None where that does not run.
    """

    synchronised: bool | None
    jumped_s: float | None


def measure(data_dir: Path) -> Clock:
    """Ask the kernel about the clock, and compare it with the start of the embedded database."""
    return Clock(_synchronised(), _jumped_s(data_dir / "postgres" / "postmaster.pid"))


async def clock(settings: Settings) -> Sequence[Finding]:
    """Say whether a time service keeps the clock right, and whether it was set lately."""
    found = measure(Path(settings.data_dir))
    findings = []
    if found.jumped_s is not None and abs(found.jumped_s) > _JUMP_S:
        way = "forward" if found.jumped_s > 0 else "back"
        text = f"The clock was set {way} by {abs(found.jumped_s):.0f} s while the database was running."
        findings.append(Finding(_CLOCK, Level.WARNING, text, _ADVICE))
    if found.synchronised is False:
        findings.append(Finding(_CLOCK, Level.WARNING, "Nothing keeps the clock of this machine right.", _ADVICE))
    if findings:
        return findings
    how = "A time service keeps the clock right" if found.synchronised else "The clock has not been set"
    return [Finding(_CLOCK, Level.OK, f"{how}; times are shown in {settings.timezone}.")]


async def database_clock(database: Database) -> Sequence[Finding]:
    """Compare the clock of the database with ours. Raises Busy."""
    before = time.time()
    async with database.connection() as tx:
        theirs = await database_time(tx)
    after = time.time()
    ahead_s = theirs.timestamp() - (before + after) / 2
    if abs(ahead_s) <= _APART_S + (after - before):
        return []
    text = f"The clock of the database is {abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} that of this machine."
    level = Level.FAILURE if abs(ahead_s) > _FAR_APART_S else Level.WARNING
    return [Finding("clock of the database", level, text, "Let a time service keep both right, on every node.")]


async def order_clock(examined: Examined) -> Sequence[Finding]:
    """Warn where an order was placed in the future: the clock was ahead then, and was set back. Raises Busy."""
    async with examined.database.connection() as tx:
        newest = await order_store.newest_placed_at(tx)
    ahead_s = 0.0 if newest is None else (newest - datetime.now(UTC)).total_seconds()
    if ahead_s <= _JUMP_S:
        return []
    text = f"An order was placed {ahead_s:.0f} s from now: the clock was ahead, and was set back."
    return [Finding(_CLOCK, Level.WARNING, text, _ADVICE)]


def _synchronised() -> bool | None:
    """What adjtimex(2) says. It is asked with `modes` 0, which changes nothing."""
    timex = ctypes.create_string_buffer(_BYTES_OF_TIMEX)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    except (OSError, AttributeError):
        return None
    if state < 0 or ctypes.sizeof(ctypes.c_long) != 8:
        return None
    status = int.from_bytes(timex.raw[_STATUS_AT : _STATUS_AT + 4], "little")
    return not status & _UNSYNCHRONISED


def _jumped_s(file: Path) -> float | None:
    """The start of the database as it was noted then, less the same moment by the clock that nobody sets."""
    try:
        lines = file.read_text().splitlines()
        pid, noted_s = int(lines[0]), int(lines[2])
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError, IndexError):
        return None
    ran_s = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - ran_s - noted_s
