"""How much memory the processes of a server take. Source: proc(5), status and smaps_rollup."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

_MIB_IN_KIB: Final = 1024


class Taken(msgspec.Struct):
    """Of one process, in MiB: `resident` counts every page that it has in memory, `proportional` (PSS) shared pages by
    how many share them; None where the kernel does not tell us.
    """

    pid: int
    is_postgres: bool
    resident_mib: float
    proportional_mib: float | None


def of_server(pid: int) -> list[Taken]:
    """Every process of the server `pid`, itself first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := _number(entry / "status", "PPid")) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found, ahead = [], [pid]
    while ahead:
        process = ahead.pop(0)
        ahead += sorted(children.get(process, ()))
        folder = Path(f"/proc/{process}")
        resident = _number(folder / "status", "VmRSS")
        if resident is None:
            continue  # It has just ended.
        proportional = _number(folder / "smaps_rollup", "Pss")
        found.append(
            Taken(
                process,
                "postgres" in _command(folder),
                resident / _MIB_IN_KIB,
                None if proportional is None else proportional / _MIB_IN_KIB,
            )
        )
    return found


def resident_mib() -> float:
    """Every page that this process has in memory, in MiB."""
    resident = _number(Path("/proc/self/status"), "VmRSS")
    assert resident is not None
    return resident / _MIB_IN_KIB


def slope(points: Sequence[tuple[float, float]]) -> float:
    """How fast the second of each pair grows with the first, by least squares. Needs two points at different places."""
    count = len(points)
    middle, height = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    return sum((x - middle) * (y - height) for x, y in points) / sum((x - middle) ** 2 for x, _ in points)


def _number(file: Path, field: str) -> int | None:
    try:
        found = re.search(rf"^{field}:\s+(\d+)", file.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


def _command(folder: Path) -> str:
    try:
        return Path((folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")).name
    except OSError:
        return ""
