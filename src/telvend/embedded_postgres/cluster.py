"""The database server of one data directory: `Cluster` sets it up, starts it, notices its death, brings it back.

    <data_dir>/postgres/      PGDATA, owned by the account that PostgreSQL runs as, mode 0700
    <data_dir>/lock           held while a process runs this database (lock.py)
    <data_dir>/server.json    who runs it, and its URL (files.py)
    <data_dir>/secret/        generated passwords
    <data_dir>/postgres.log   what PostgreSQL says

PostgreSQL is our direct child: we see its death at once, and when we die the kernel sends it a signal.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from telvend.embedded_postgres import archiving
from telvend.embedded_postgres.binaries import Binaries, binaries_for
from telvend.embedded_postgres.creation import (
    APPLICATION_ROLE,
    DATABASE,
    SUPERUSER,
    create_database,
    last_lines,
    telling_line,
)
from telvend.embedded_postgres.files import ServerState, password_of, remove_state, write_state
from telvend.embedded_postgres.lock import LOCK_WAIT_S, DataDirectoryLock, LockRole
from telvend.embedded_postgres.privileges import OsAccount, choose_account, spawn
from telvend.embedded_postgres.processes import postmasters, send, server_name, server_processes
from telvend.embedded_postgres.refused import PostgresRefused
from telvend.embedded_postgres.settings import command_line
from telvend.embedded_postgres.sockets import PORT, remove_socket_folder, remove_stale_sockets, socket_folder
from telvend.kit.moved import read_moved

# What PostgreSQL gets when we die. SIGINT is the fast shutdown: sessions are cut off, a checkpoint is written, and the
# next start has nothing to repair. SIGQUIT ends it at once and leaves everything since the last checkpoint to be
# replayed. Measured with 1 GB max_wal_size and updates all over a table larger than shared_buffers, on two shared cores,
# from `kill -9` of the parent until the next one is ready, two runs each: SIGINT 1.8 and 1.5 s (the second soon after a
# checkpoint, which flatters it), SIGQUIT 8.9 and 15.8 s, of which 6.7 and 12.1 s replayed 445 and 782 MB.
DEATH_SIGNAL = signal.SIGINT

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
LEFTOVER_PATIENCE_S = 10.0
"""How long a server that lost its parent may take to shut down before we end it the hard way.

Long, because ending it in the middle of its last checkpoint costs more time in repair than waiting does.
"""
QUIT_PATIENCE_S = 1.0
LOG_LIMIT_BYTES = 5_000_000

# PostgreSQL's own words for "the processes of the server before me are not all gone yet".
_STILL_IN_USE = ("pre-existing shared memory block", 'lock file "')


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What is known once the data directory is locked: whom the server runs as, its programs, and its open PGDATA."""

    account: OsAccount
    binaries: Binaries
    pgdata_fd: int


# A step of bringing the server up asks to wait so many seconds; how that is done (sleep, or let others run) is the
# business of whoever drives it.
_Waiting = Generator[float, None, None]


def _silent(_: str) -> None:
    return


class Cluster:
    """The embedded PostgreSQL of one data directory.

    Use: `prepare()`, `start()`, and at the end `stop()`; or as a context manager. All of it from the main thread: the
    kernel ties the server's life to the thread that started it. `say` is told, in whole sentences, what takes long.

    An asyncio program learns of the server's death without polling:

        loop.add_reader(cluster.wait_fd, died)      # becomes readable when PostgreSQL ends
        ...
        loop.remove_reader(cluster.wait_fd)         # before restarting: every start has its own descriptor
        await cluster.restart_async()
        loop.add_reader(cluster.wait_fd, died)

    Processes that are forked from ours without exec give up the lock by themselves. While nothing happens, none of
    this costs anything: no thread, no timer.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        role: LockRole = LockRole.SERVE,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = _silent,
    ) -> None:
        """`settings` are further settings of PostgreSQL by name; those that make commits durable are refused."""
        self.data_dir = data_dir.absolute()
        self.role = role
        self._settings = dict(settings or {})
        self._say = say
        self._lock = DataDirectoryLock(self.data_dir)
        self._prepared_or_none: _Prepared | None = None
        self._socket_folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._wait_fd: int | None = None
        self._announced = False
        self._told = False

    def __enter__(self) -> Self:
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # What is known

    @property
    def url(self) -> str:
        """A libpq URL of the ordinary role, which owns the database: for psql, pgbench and asyncpg as it stands."""
        return self._url(APPLICATION_ROLE, DATABASE)

    @property
    def superuser_url(self) -> str:
        """The same for the superuser, for extensions and the like. Telvend itself never uses it."""
        return self._url(SUPERUSER, DATABASE)

    @property
    def log_file(self) -> Path:
        return self.data_dir / "postgres.log"

    @property
    def postgres_pid(self) -> int | None:
        """The process id of PostgreSQL, also after its death until the next start."""
        return self._process.pid if self._process else None

    @property
    def wait_fd(self) -> int:
        """A pidfd that becomes readable when PostgreSQL ends. Valid until the next `restart_async()` or `stop()`."""
        if self._wait_fd is None:
            raise RuntimeError("the server has not been started")
        return self._wait_fd

    def poll(self) -> int | None:
        """None while PostgreSQL runs, else its exit status (negative: the signal that killed it)."""
        if self._process is None:
            raise RuntimeError("the server has not been started")
        return self._process.poll()

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    # What can be done

    def prepare(self, *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        """Lock the data directory and make sure that there is a database of our version in it.

        Makes the directory (mode 0700) when there is none; the modes of what is there, and above, stay as they are.
        Waits up to `lock_wait_s` for a command line program that uses it. Raises PostgresRefused.
        """
        self._make_data_dir()
        self._lock.acquire(self.role, lock_wait_s)
        self._prepare_locked()

    def try_prepare(self) -> bool:
        """`prepare()` if nobody holds the data directory; False, and nothing done, if somebody does."""
        self._make_data_dir()
        if not self._lock.try_acquire(self.role):
            return False
        self._prepare_locked()
        return True

    def _prepare_locked(self) -> None:
        """What comes after taking the lock. On an error the lock is free again."""
        try:
            remove_state(self.data_dir)
            _require_not_moved(self.data_dir)
            pgdata = self.data_dir / "postgres"
            account = choose_account(pgdata)
            binaries = binaries_for(account)
            if not os.path.lexists(pgdata):
                create_database(self.data_dir, account, binaries, self._say)
            _check_version(pgdata, binaries)
            password_of(self.data_dir, APPLICATION_ROLE, create=False)
            pgdata_fd = os.open(pgdata, os.O_RDONLY | os.O_DIRECTORY)
            self._prepared_or_none = _Prepared(account, binaries, pgdata_fd)
        except OSError as error:
            self._release()
            raise PostgresRefused(
                f"The data directory {self.data_dir} cannot be used: {error.strerror} ({error.filename})."
            ) from error
        except BaseException:
            self._release()
            raise

    def start(self, *, announce: bool = True, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start PostgreSQL and wait until it accepts connections; repairing after a crash takes a few seconds.

        `announce=False` keeps other programs waiting until `announce()`, for example until the schema is there.
        Raises PostgresRefused when it does not come up, with the reason from its log.
        """
        _drive(self._bring_up(timeout_s))
        if announce:
            self.announce()

    async def start_async(self, *, announce: bool = True, timeout_s: float = START_TIMEOUT_S) -> None:
        """`start()` that lets the event loop run while it waits. The loop has to be the main thread's."""
        for wait_s in self._bring_up(timeout_s):
            await asyncio.sleep(wait_s)
        if announce:
            self.announce()

    def announce(self) -> None:
        """Let other programs use the server: server.json says `ready`. A restart keeps it so. Raises OSError."""
        self._announced = True
        self._write_state(ready=True)
        self._told = True

    def announce_again(self) -> None:
        """After a restart: tell other programs that the server is ready, where there was no room for that yet."""
        with suppress(OSError):
            self._write_state(ready=True)
            self._told = True

    @property
    def announced(self) -> bool:
        """Whether other programs can find the server."""
        return self._told or not self._announced

    async def restart_async(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Bring PostgreSQL back after it died (or stop and start it, when it did not).

        Lets the event loop run while it waits. The loop has to be the main thread's.
        """
        for wait_s in self._restart(timeout_s):
            await asyncio.sleep(wait_s)

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Shut PostgreSQL down (a clean stop, sessions are cut off) and give the data directory free.

        What has not ended after `timeout_s` is ended the hard way, which loses nothing that was committed. Does
        nothing when nothing was started; afterwards `prepare()` may be called again.
        """
        if self._lock.held:
            with suppress(OSError):
                remove_state(self.data_dir)
        if self._process is not None:
            _drive(self._end_process(timeout_s))
            if self._socket_folder is not None:
                remove_socket_folder(self._socket_folder)
        self._announced = False
        self._release()

    # Preparing

    def _make_data_dir(self) -> None:
        if self._lock.held:
            raise RuntimeError("already prepared")
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError as error:
            raise PostgresRefused(f"The data directory {self.data_dir} is not a folder.") from error
        except OSError as error:
            raise PostgresRefused(
                f"The data directory {self.data_dir} cannot be made: {error.strerror} ({error.filename})."
            ) from error
        if not os.access(self.data_dir, os.R_OK | os.W_OK | os.X_OK):
            raise PostgresRefused(f"The data directory {self.data_dir} may not be written to by this user.")

    def _url(self, role: str, database: str) -> str:
        if self._socket_folder is None:
            raise RuntimeError("the server has not been started")
        password = password_of(self.data_dir, role, create=False)
        return f"postgresql://{role}:{password}@/{database}?host={self._socket_folder}&port={PORT}"

    def _write_state(self, *, ready: bool) -> None:
        write_state(self.data_dir, ServerState(os.getpid(), self.role.value, self.url, ready))

    def _release(self) -> None:
        if self._prepared_or_none is not None:
            os.close(self._prepared_or_none.pgdata_fd)
            self._prepared_or_none = None
        self._lock.release()

    @property
    def _prepared(self) -> _Prepared:
        if self._prepared_or_none is None:
            raise RuntimeError("prepare() comes first")
        return self._prepared_or_none

    # Bringing up

    def _restart(self, timeout_s: float) -> _Waiting:
        if self._announced:
            self._told = False
            # On a full disk there is no room for it, and the database has to come back all the same.
            with suppress(OSError):
                self._write_state(ready=False)
        yield from self._end_process(STOP_TIMEOUT_S)
        yield from self._bring_up(timeout_s)
        if self._announced:
            self.announce_again()

    def _bring_up(self, timeout_s: float) -> _Waiting:
        account = self._prepared.account
        if self._process is not None:
            raise RuntimeError("already started")
        deadline = time.monotonic() + timeout_s
        while True:
            yield from self._end_leftovers()
            self._socket_folder = socket_folder(self.data_dir, account)
            remove_stale_sockets(self._socket_folder)
            self._disown_pid_file()
            log_position = self._spawn()
            yield from self._wait_until_ready(deadline)
            if self.is_alive:
                return
            said = self._log_since(log_position)
            self._forget_process()
            if not any(words in said for words in _STILL_IN_USE) or time.monotonic() >= deadline:
                raise PostgresRefused(
                    f"The database in {self.data_dir} does not start: {telling_line(said)}", last_lines(said)
                )
            yield 0.05

    def _end_leftovers(self) -> _Waiting:
        """Wait for, then end, the processes that a killed run left; nobody else can have any while we hold the lock.

        A postmaster got its death signal and is shutting down; it gets some time for that, since a finished shutdown
        is quicker started from than a crash. Without their postmaster the others have nothing to finish, and a
        session in the middle of a long statement would notice only at its end.
        """
        name, uid = server_name(self._prepared.pgdata_fd), self._prepared.account.uid
        began = time.monotonic()
        while found := server_processes(name, uid):
            waited_s = time.monotonic() - began
            first = list(postmasters(found))
            for process in first or found:
                if not first or waited_s >= LEFTOVER_PATIENCE_S + QUIT_PATIENCE_S:
                    send(process, name, uid, signal.SIGKILL)
                elif waited_s >= LEFTOVER_PATIENCE_S:
                    send(process, name, uid, signal.SIGQUIT)
                else:
                    send(process, name, uid, signal.SIGINT)
            # Those that were stopped hear it only when they go on, and a postmaster waits for all of its own.
            for process in found:
                send(process, name, uid, signal.SIGCONT)
            yield 0.02

    def _disown_pid_file(self) -> None:
        """Make a stale postmaster.pid name us instead of a process that is gone.

        PostgreSQL refuses to start when the pid in there is that of any living process of its user, which after a
        restart of the machine or of a container may be anybody's. A pid that is its parent's it takes for stale, and
        goes on to its other check, whether the old server's shared memory is in use; deleting the file would skip it.
        """
        try:
            fd = os.open("postmaster.pid", os.O_RDWR | os.O_NOFOLLOW, dir_fd=self._prepared.pgdata_fd)
        except FileNotFoundError:
            return
        with os.fdopen(fd, "r+") as file:
            found = os.fstat(fd)
            if found.st_uid != self._prepared.account.uid or found.st_nlink != 1:
                # The folder is the account's: when root writes in there, a planted link could lead anywhere.
                os.unlink("postmaster.pid", dir_fd=self._prepared.pgdata_fd)
                return
            lines = file.read().splitlines()
            # Written over, and cut off only then: a full disk would not give back what was cut off first.
            file.seek(0)
            file.write("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
            file.truncate()

    def _spawn(self) -> int:
        """Start the process; returns where in the log its words begin."""
        prepared = self._prepared
        own = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._socket_folder),
            "unix_socket_permissions": "0700",
            "port": str(PORT),
            "cluster_name": server_name(prepared.pgdata_fd),
            "logging_collector": "off",
            "log_destination": "stderr",
        }
        with suppress(FileNotFoundError):
            if self.log_file.stat().st_size > LOG_LIMIT_BYTES:
                self.log_file.replace(self.log_file.with_name("postgres.log.1"))
        log_fd = os.open(self.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        spool_fd = archiving.open_spool(self.data_dir, prepared.account)
        try:
            position = os.fstat(log_fd).st_size
            if spool_fd is not None:
                own |= archiving.settings(spool_fd)
            self._process = spawn(
                prepared.account,
                [
                    prepared.binaries.program("postgres"),
                    "-D",
                    f"/proc/self/fd/{prepared.pgdata_fd}",
                    *command_line(own, self._settings),
                ],
                death_signal=DEATH_SIGNAL,
                pass_fds=(prepared.pgdata_fd, *([] if spool_fd is None else [spool_fd])),
                output=log_fd,
            )
        finally:
            os.close(log_fd)
            if spool_fd is not None:
                os.close(spool_fd)
        self._wait_fd = os.pidfd_open(self._process.pid)
        return position

    def _wait_until_ready(self, deadline: float) -> _Waiting:
        """Until the server accepts connections or has ended. Raises PostgresRefused at the deadline."""
        told_after = time.monotonic() + 2
        while self.is_alive and not self._accepts_connections():
            now = time.monotonic()
            if now >= deadline:
                yield from self._end_process(STOP_TIMEOUT_S)
                raise PostgresRefused(
                    f"The database in {self.data_dir} did not get ready in time; see {self.log_file}."
                )
            if now >= told_after:
                self._say("The database is repairing itself after a crash ...")
                told_after = deadline
            yield 0.01

    def _accepts_connections(self) -> bool:
        """Whether postmaster.pid says so in its eighth line. Source: pg_ctl.c, and LOCK_FILE_LINE_* of miscadmin.h."""
        try:
            fd = os.open("postmaster.pid", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._prepared.pgdata_fd)
        except FileNotFoundError:
            return False
        with os.fdopen(fd) as file:
            lines = file.read().splitlines()
        return len(lines) >= 8 and lines[0] == str(self.postgres_pid) and lines[7].strip() == "ready"

    def _log_since(self, position: int) -> str:
        try:
            with self.log_file.open("rb") as file:
                file.seek(position)
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    # Ending

    def _end_process(self, timeout_s: float) -> _Waiting:
        """End the child if it lives, and what it left behind; forget it."""
        if self._process is None:
            return
        for number, patience_s in (
            (signal.SIGINT, timeout_s),
            (signal.SIGQUIT, QUIT_PATIENCE_S),
            (signal.SIGKILL, float("inf")),
        ):
            until = time.monotonic() + patience_s
            self._process.send_signal(number)  # Does nothing when it has ended.
            self._process.send_signal(signal.SIGCONT)  # One that was stopped hears it only when it goes on.
            if self.is_alive:
                self._wake_children()
            while self.is_alive and time.monotonic() < until:
                yield 0.01
        yield from self._end_leftovers()
        self._forget_process()

    def _wake_children(self) -> None:
        """A postmaster that ends waits for each of its processes, also for one that was stopped."""
        name, uid = server_name(self._prepared.pgdata_fd), self._prepared.account.uid
        for process in server_processes(name, uid):
            send(process, name, uid, signal.SIGCONT)

    def _forget_process(self) -> None:
        self._process = None
        if self._wait_fd is not None:
            os.close(self._wait_fd)
            self._wait_fd = None


def _require_not_moved(data_dir: Path) -> None:
    """A database that was left behind must not sell again by accident."""
    try:
        moved = read_moved(data_dir)
    except ValueError as error:
        raise PostgresRefused(f"{error}; it says where this shop was moved to.") from None
    if moved is not None:
        raise PostgresRefused(
            f"The shop of {data_dir} was moved to {moved.place} at {moved.moved_at:%Y-%m-%d %H:%M} UTC: its database here is not"
            " started any more."
        )


def _check_version(pgdata: Path, binaries: Binaries) -> None:
    try:
        found = (pgdata / "PG_VERSION").read_text().strip()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PostgresRefused(
            f"{pgdata} is not a database of PostgreSQL, so Telvend leaves it alone: move it away to start afresh."
        ) from error
    if found != str(binaries.major):
        raise PostgresRefused(
            f"The database in {pgdata} was made by PostgreSQL {found}, but this Telvend brings PostgreSQL "
            f"{binaries.major}: use the Telvend that made it, or move the data over with pg_dump."
        )


def _drive(steps: _Waiting) -> None:
    for wait_s in steps:
        time.sleep(wait_s)


__all__ = ["Cluster"]
