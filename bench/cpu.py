"""What the processes of a server compute. Unlike a rate it says much the same on a machine that is busy with other things.

Source: proc(5), stat.
"""

import os
from collections import Counter
from pathlib import Path
from typing import Final

from bench.memory import of_server

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_US: Final = 1_000_000

TELVEND: Final = "telvend serve"
BACKENDS: Final = "PostgreSQL for its clients"
BACKGROUND: Final = "PostgreSQL beside"
"""The kinds of processes: the server's own, the sessions of PostgreSQL, and its checkpointer, writers and vacuum."""

_BESIDE: Final = (
    "autovacuum",
    "background writer",
    "checkpointer",
    "io worker",
    "logical replication",
    "walwriter",
)


def of_kinds(pid: int) -> Counter[str]:
    """Microseconds that server `pid` and its processes have computed, those that have ended too, by their kind."""
    found: Counter[str] = Counter()
    for process in of_server(pid):
        folder = Path(f"/proc/{process.pid}")
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It has just ended; its parent says what it took.
        # utime, stime; then those of its children that have ended and were waited for.
        own, ended = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
        if not process.is_postgres:
            found[TELVEND] += own
            continue
        found[BACKGROUND if any(word in words for word in _BESIDE) else BACKENDS] += own
        # Of the server itself these are sessions and workers that were vacuuming; a serving process keeps its sessions.
        found[BACKGROUND] += ended
    return Counter({kind: ticks * _US // _TICKS_A_SECOND for kind, ticks in found.items()})


def each(spent_us: Counter[str], requests: int) -> dict[str, str]:
    """What each of so many requests took of what was computed, as notes of a result."""
    return {f"{kind} computed for each": f"{spent_us[kind] / max(1, requests):.0f} µs" for kind in (TELVEND, BACKENDS)}
