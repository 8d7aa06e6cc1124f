"""Finding and ending the server processes that an earlier, killed run of us left behind.

Every process of a server carries the server's name in its title (`postgres: telvend-fe00-2b1c: ...`, and the first of
them, the postmaster, as `-c cluster_name=...`). Titles are readable for everybody; the working directory would say the
same, but root may not see it in a container without CAP_SYS_PTRACE.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A process of PostgreSQL. The postmaster is the first one, which starts and ends the others."""

    pid: int
    is_postmaster: bool


def server_name(pgdata_fd: int) -> str:
    """The name of the server of an open PGDATA: it stays when the folder is renamed, and no other folder has it."""
    found = os.fstat(pgdata_fd)
    return f"telvend-{found.st_dev:x}-{found.st_ino:x}"


def server_processes(name: str, uid: int) -> list[ServerProcess]:
    """The living processes, of user `uid`, of the server called `name`. A few milliseconds."""
    return [found for entry in os.listdir("/proc") if entry.isdigit() and (found := _look_at(int(entry), name, uid))]


def send(process: ServerProcess, name: str, uid: int, number: signal.Signals) -> None:
    """Signal `process` if it still is what it was; its number may belong to somebody else by now."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if _look_at(process.pid, name, uid) == process:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def served_folders() -> list[Path]:
    """The data directories whose database runs now, of those processes that we may look into."""
    found = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with suppress(OSError):
            arguments = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if Path(arguments[0]).name == "postgres" and any(
                word.startswith("cluster_name=telvend-") for word in arguments
            ):
                found.add(Path(os.readlink(f"/proc/{entry}/cwd")).parent)
    return sorted(found)


def _look_at(pid: int, name: str, uid: int) -> ServerProcess | None:
    try:
        if os.stat(f"/proc/{pid}").st_uid != uid:
            return None
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None
    if words.startswith(f"postgres: {name}: "):
        return ServerProcess(pid, is_postmaster=False)
    arguments = words.split("\0")
    if f"cluster_name={name}" in arguments and Path(arguments[0]).name == "postgres":
        return ServerProcess(pid, is_postmaster=True)
    return None


def postmasters(found: list[ServerProcess]) -> Iterator[ServerProcess]:
    return (process for process in found if process.is_postmaster)
