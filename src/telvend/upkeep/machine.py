"""Checks of the machine: processors, memory, and the files that a process may open.

`measure` reads what the machine has, limits of a container included; the checks compare it with what the settings ask for.
"""

import json
import os
import re
import resource
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from telvend.config import CONNECTIONS_BESIDE_POOL, Settings
from telvend.upkeep.findings import Finding, Level

MIB: Final = 1 << 20
GIB: Final = 1 << 30

_FOR_SYSTEM: Final = 512 * MIB
"""What the system and the embedded database need beside our own processes."""
_FOR_PROCESS: Final = 160 * MIB
_FEW_FILES: Final = 4096
"""Fewer would refuse clients long before anything else is short."""
_FOR_ITSELF: Final = 200
"""Files that a process opens beside connections."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine gives to Telvend. `files`: how many a process may open; `of_server`: read of the server that runs."""

    cores: float
    memory_bytes: int
    available_bytes: int
    files: int
    of_server: bool


def measure(data_dir: Path) -> Machine:
    """Read what this machine has."""
    memory = _memory()
    cores = min(float(len(os.sched_getaffinity(0))), _cores_of_container())
    total = min(memory.get("MemTotal", 0), _memory_of_container())
    pid = _server(data_dir)
    files = None if pid is None else _files_of(pid)
    own, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Machine(
        cores,
        total,
        min(memory.get("MemAvailable", total), total),
        own if files is None else files,
        files is not None,
    )


async def machine(settings: Settings) -> Sequence[Finding]:
    """Compare processors, memory and open files with what the settings ask for."""
    return [*_findings(measure(Path(settings.data_dir)), settings)]


def _findings(found: Machine, settings: Settings) -> Iterator[Finding]:
    yield _cores(found, settings)
    yield _memory_of(found, settings)
    yield _files(found, settings)


def _cores(found: Machine, settings: Settings) -> Finding:
    cores = f"{found.cores:g} core{'' if found.cores == 1 else 's'}"
    if settings.workers > found.cores:
        text = f"{settings.workers} server processes share {cores}; each wants one."
        return Finding(
            "processors", Level.WARNING, text, "Set workers to the number of cores, or take a larger machine."
        )
    return Finding(
        "processors", Level.OK, f"{cores} for {_count(settings.workers, 'server process', 'server processes')}."
    )


def _memory_of(found: Machine, settings: Settings) -> Finding:
    needed = _FOR_SYSTEM + settings.workers * _FOR_PROCESS
    has = f"{found.memory_bytes / GIB:.1f} GiB of memory, {found.available_bytes / GIB:.1f} of it free"
    if found.memory_bytes < needed:
        text = f"This machine has {has}; {needed / GIB:.1f} GiB are needed."
        return Finding(
            "memory", Level.WARNING, text, "Take a larger machine, or fewer workers: a full memory ends processes."
        )
    if found.available_bytes < needed / 8:
        text = f"This machine has {has}."
        return Finding("memory", Level.WARNING, text, "Find out what takes it: ps aux --sort=-rss | head")
    return Finding("memory", Level.OK, f"This machine has {has}.")


def _files(found: Machine, settings: Settings) -> Finding:
    whose = "The server" if found.of_server else "A process"
    wanted = max(
        _FEW_FILES, settings.pool_size + CONNECTIONS_BESIDE_POOL + _FOR_ITSELF + settings.max_client_connections
    )
    if found.files < wanted:
        text = f"{whose} may open {found.files} files; {wanted} are wanted for the connections of clients."
        return Finding("open files", Level.WARNING, text, "Set LimitNOFILE=65536 in the service, or: ulimit -n 65536")
    return Finding("open files", Level.OK, f"{whose} may open {found.files} files.")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


# What the machine has -------------------------------------------------------------------------------------------------------


def _memory() -> dict[str, int]:
    """The lines of /proc/meminfo, in bytes."""
    found = re.findall(r"^(\w+): +([0-9]+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {name: int(number) * 1024 for name, number in found}


def _memory_of_container() -> int:
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _text(Path(path))
        if text.isdigit():
            return int(text)
    return 1 << 62


def _cores_of_container() -> float:
    quota, _, period = _text(Path("/sys/fs/cgroup/cpu.max")).partition(" ")
    if quota.isdigit() and period.isdigit():
        return int(quota) / int(period)
    quota, period = (_text(Path(f"/sys/fs/cgroup/cpu/cpu.cfs_{name}_us")) for name in ("quota", "period"))
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else float("inf")


def _server(data_dir: Path) -> int | None:
    """The process that serves this data directory, by what its lock says; it may have ended."""
    try:
        said = json.loads((data_dir / "lock").read_text("utf-8"))
        return int(said["pid"]) if said["role"] == "serve" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _files_of(pid: int) -> int | None:
    found = re.search(r"^Max open files +([0-9]+) ", _text(Path(f"/proc/{pid}/limits")), re.MULTILINE)
    return None if found is None else int(found[1])


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
