"""The CPU time of a server's processes. Unlike a rate it hardly changes when the machine is busy with something else.

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
    """Return the CPU time in µs of the server `pid` and its processes, including ended ones, by their kind."""
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
    """Return the CPU time of one request, for each kind of process, as notes of a result."""
    return {f"{kind} computed for each": f"{spent_us[kind] / max(1, requests):.0f} µs" for kind in (TELVEND, BACKENDS)}
