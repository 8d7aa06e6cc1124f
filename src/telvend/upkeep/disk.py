"""Checks of the disk: room, growth, and whether it keeps what it is told to keep."""

import os
import re
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from telvend.config import Settings
from telvend.orders import store as order_store
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level
from telvend.upkeep.machine import GIB

_ROOM: Final = "disk space"
_GROWTH: Final = "disk growth"
_FSYNC: Final = "fsync"

_FULL_BYTES: Final = GIB
_FULL_SHARE: Final = 0.03
_NEARLY_BYTES: Final = 5 * GIB
_NEARLY_SHARE: Final = 0.1
_FEW_DAYS: Final = 30
_EMPTY_BYTES: Final = 32 << 20
"""More than a database has in which nothing was sold."""

_WRITES: Final = 16
_LONGEST_S: Final = 0.5
_TOO_GOOD_S: Final = 5e-6
"""No disk and no battery-backed controller has answered by then: nothing was written."""
_SLOW_S: Final = 0.02
_IN_MEMORY: Final = {"tmpfs", "ramfs"}


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of a data directory. `fsync_s`: the median of some writes that were forced to it; None: not tried."""

    free_bytes: int
    total_bytes: int
    kind: str
    fsync_s: float | None
    preloaded: bool
    """Whether a library that makes fsync do nothing is loaded into programs (eatmydata)."""


def measure(data_dir: Path, *, writes: bool) -> Disk | None:
    """Read the disk, and write to it where `writes`; None where there is no data directory."""
    try:
        usage = shutil.disk_usage(data_dir)
    except OSError:
        return None
    preloaded = "eatmydata" in os.environ.get("LD_PRELOAD", "")
    return Disk(usage.free, usage.total, _kind_of(data_dir), _fsync_s(data_dir) if writes else None, preloaded)


async def disk(settings: Settings) -> Sequence[Finding]:
    """Say how much room the data directory has, and whether its disk keeps what it acknowledges."""
    embedded = settings.database_url is None
    found = measure(Path(settings.data_dir), writes=embedded)
    if found is None:
        return []
    return [_room(found, Path(settings.data_dir)), *([] if not embedded else _kept(found))]


async def growth(examined: Examined) -> Sequence[Finding]:
    """Say how fast the database grows, and for how long there is room. Raises Busy."""
    settings = examined.settings
    async with examined.database.connection() as tx:
        share = await order_store.share_of_last_day(tx)
    size = await examined.database.size_bytes()
    if share is None:
        return []
    daily = int(max(0, size - _EMPTY_BYTES) * share)
    text = f"The database has {size / GIB:.2f} GiB, of which {daily / GIB:.2f} are of the last day."
    found = measure(Path(settings.data_dir), writes=False) if settings.database_url is None else None
    if found is None or not daily:
        return [Finding(_GROWTH, Level.OK, text)]
    days = found.free_bytes // daily
    text += f" At this rate there is room for {days} days." if days < 3650 else " There is room for years."
    if days < _FEW_DAYS:
        return [Finding(_GROWTH, Level.WARNING, text, "Enlarge the disk, or move to a PostgreSQL of your own.")]
    return [Finding(_GROWTH, Level.OK, text)]


def _room(found: Disk, data_dir: Path) -> Finding:
    share = found.free_bytes / max(found.total_bytes, 1)
    text = (
        f"{found.free_bytes / GIB:.1f} GiB of {found.total_bytes / GIB:.1f} are free where {data_dir} is ({share:.0%})."
    )
    advice = f"Make room, or enlarge the disk: du -xhd 2 {data_dir} | sort -h | tail"
    if found.free_bytes < _FULL_BYTES or (share < _FULL_SHARE and found.free_bytes < _NEARLY_BYTES):
        return Finding(_ROOM, Level.FAILURE, f"{text} The database stops when nothing is left.", advice)
    if found.free_bytes < _NEARLY_BYTES or (share < _NEARLY_SHARE and found.free_bytes < 10 * _NEARLY_BYTES):
        return Finding(_ROOM, Level.WARNING, text, advice)
    return Finding(_ROOM, Level.OK, text)


def _kept(found: Disk) -> list[Finding]:
    """What is known of whether written data outlive a loss of power."""
    if found.kind in _IN_MEMORY:
        text = f"The data directory is in memory ({found.kind}): a restart of the machine loses every sale."
        return [Finding(_FSYNC, Level.FAILURE, text, "Put data_dir on a disk.")]
    if found.preloaded:
        text = "LD_PRELOAD loads eatmydata, which makes fsync do nothing: a loss of power loses sales."
        return [Finding(_FSYNC, Level.FAILURE, text, "Take it out of the environment of the service.")]
    if found.fsync_s is None:
        return []
    took = f"{found.fsync_s * 1000:.2f} ms" if found.fsync_s >= 1e-5 else f"{found.fsync_s * 1e6:.1f} µs"
    if found.fsync_s < _TOO_GOOD_S:
        text = f"The disk says within {took} that data are written, which no disk can: a loss of power may lose sales."
        return [
            Finding(_FSYNC, Level.WARNING, text, "Look at the cache of the disk, of its controller or of the host.")
        ]
    if found.fsync_s > _SLOW_S:
        text = f"The disk takes {took} to keep data; each commit waits for it."
        return [Finding(_FSYNC, Level.WARNING, text, "Take a faster disk: sales of one wallet wait for each other.")]
    return [Finding(_FSYNC, Level.OK, f"The disk takes {took} to keep data.")]


def _fsync_s(folder: Path) -> float | None:
    """The median time of a forced write of a page; None where this user may not write there."""
    path = folder / f".doctor-{os.getpid()}"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        return None
    times: list[float] = []
    try:
        until = time.monotonic() + _LONGEST_S
        while len(times) < _WRITES and time.monotonic() < until:
            os.pwrite(fd, os.urandom(8192), 8192 * len(times))
            began = time.perf_counter()
            os.fsync(fd)
            times.append(time.perf_counter() - began)
    except OSError:
        return None
    finally:
        os.close(fd)
        path.unlink(missing_ok=True)
    return statistics.median(times)


def _kind_of(folder: Path) -> str:
    """The type of the file system that a folder is on, by the longest mount point above it."""
    best, kind = "", ""
    real = os.path.realpath(folder)
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in mounts:
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split(" ")[4])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, after.split(" ")[0]
    return kind
