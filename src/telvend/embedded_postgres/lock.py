"""One process at a time may run the database of a data directory: the lock, and who holds it.

The lock is a `flock` on <data_dir>/lock, which the kernel frees when its holder dies, however it dies. The file's text
says who holds it (`{"pid": 4711, "role": "serve"}`) and means nothing while nobody does.
"""

import enum
import fcntl
import json
import os
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

from telvend.embedded_postgres.refused import PostgresRefused
from telvend.kit.processes import is_running

LOCK_WAIT_S = 30.0
POLL_S = 0.05
# A killed server holds its lock until the kernel has taken it apart.
DYING_SERVER_GRACE_S = 1.0


class LockRole(enum.StrEnum):
    """Why a process runs the database."""

    SERVE = "serve"
    """`telvend serve`: for as long as the shop is open; others use its server."""
    COMMAND = "command"
    """A command line program that found no server: for a moment; others wait for it."""


@dataclass(frozen=True, slots=True)
class Holder:
    pid: int
    role: LockRole


class DataDirectoryLock:
    """The lock of one data directory, free at first."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._path = data_dir / "lock"
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        return self._fd is not None

    def try_acquire(self, role: LockRole) -> bool:
        """Take the lock if it is free. Raises PostgresRefused when the file may not be opened."""
        try:
            # Close-on-exec, as every file of Python: PostgreSQL must not hold our lock when we are gone.
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PostgresRefused(f"The data directory {self._data_dir} cannot be used: {error.strerror}.") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps({"pid": os.getpid(), "role": role.value}).encode(), 0)
        self._fd = fd
        _held_locks.add(self)
        return True

    def acquire(self, role: LockRole, wait_s: float) -> None:
        """Take the lock, waiting up to `wait_s` for a command that holds it.

        Raises PostgresRefused after a second of grace when we and the holder both serve, else when the wait was in vain.
        """
        started = time.monotonic()
        while not self.try_acquire(role):
            waited_s = time.monotonic() - started
            holder = self.holder()
            both_serve = role is LockRole.SERVE and holder is not None and holder.role is LockRole.SERVE
            if both_serve and holder is not None and is_running(holder.pid) and waited_s >= DYING_SERVER_GRACE_S:
                raise PostgresRefused(
                    f"The data directory {self._data_dir} is already being served by process {holder.pid}."
                )
            if waited_s >= wait_s:
                raise busy(self._data_dir, holder)
            time.sleep(POLL_S)

    def is_held(self) -> bool:
        """Whether a process holds the lock now. Makes no file where there is none."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def holder(self) -> Holder | None:
        """Who wrote into the lock last: its holder, if anybody holds it."""
        try:
            found = json.loads(self._path.read_text())
            return Holder(int(found["pid"]), LockRole(found["role"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # Just being written.

    def release(self) -> None:
        if self._fd is not None:
            _held_locks.discard(self)
            os.close(self._fd)
            self._fd = None

    def close_in_forked_child(self) -> None:
        """A child that was forked without exec shares the lock and would hold it after our death."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def busy(data_dir: Path, holder: Holder | None) -> PostgresRefused:
    by = f" (process {holder.pid})" if holder else ""
    return PostgresRefused(
        f"Another Telvend program{by} is using the data directory {data_dir} and did not finish in time."
    )


_held_locks: weakref.WeakSet[DataDirectoryLock] = weakref.WeakSet()


def _close_locks_in_forked_child() -> None:
    for lock in list(_held_locks):
        lock.close_in_forked_child()


os.register_at_fork(after_in_child=_close_locks_in_forked_child)
