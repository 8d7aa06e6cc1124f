"""What a figure cannot be understood without: the machine, the versions, the disk."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path

from telvend import __version__


def facts(folder: Path) -> dict[str, str]:
    """The facts of this machine; `folder` is where the data will be."""
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": _found(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo")),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB",
        "kernel": platform.release(),
        "file system": _file_system(folder),
        "write and fdatasync of 8 KiB": f"{_sync_us(folder):.0f} µs",
        "load average before": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        "telvend": f"{__version__}, {_commit()}",
    }


def _found(pattern: str, path: Path) -> str:
    found = re.search(pattern, path.read_text(), re.MULTILINE)
    return found[1] if found else "unknown"


def _file_system(folder: Path) -> str:
    """The type of the file system; tmpfs would mean that nothing is durable."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return max((m for m in mounts if folder.resolve().is_relative_to(m[1])), key=lambda m: len(m[1]))[2]


def _sync_us(folder: Path, times: int = 200) -> float:
    """What a durable write costs, on average: the floor under every commit."""
    path = folder / "sync-probe"
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.write(file, bytes(8192))
        os.fsync(file)
        begun = time.perf_counter()
        for _ in range(times):
            os.pwrite(file, os.urandom(8192), 0)
            os.fdatasync(file)
        return (time.perf_counter() - begun) / times * 1e6
    finally:
        os.close(file)
        path.unlink()


def _commit() -> str:
    """The commit, and whether files differ from it."""
    root = Path(__file__).parent.parent
    try:
        commit = _git(root, "rev-parse", "--short", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "no commit"
    return f"commit {commit} with changes" if changed else f"commit {commit}"


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True, text=True).stdout.strip()
