"""Whom PostgreSQL runs as, and how a child process is started so that it ends with us.

PostgreSQL refuses to run as root. When we are root, it runs as an unprivileged account that may enter neither our data
directory's parents nor our checkout; nothing is loosened for it. It gets PGDATA as an open directory instead
(`/proc/self/fd/N`, which the kernel lets a process follow whatever the modes of the folders above).
"""

import ctypes
import os
import pwd
import signal
import subprocess
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from telvend.embedded_postgres.refused import PostgresRefused

ACCOUNTS_FOR_ROOT = ("telvend", "postgres", "nobody")
"""Tried in this order when we are root and there is no PGDATA yet whose owner decides."""

_PR_SET_PDEATHSIG = 1  # Source: linux/prctl.h
# Loaded here, because between fork and exec nothing may be imported or looked up.
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class OsAccount:
    """The user that PostgreSQL runs as. `changed` says that it is not the user that we run as."""

    name: str
    uid: int
    gid: int
    changed: bool


def choose_account(pgdata: Path) -> OsAccount:
    """The account for the server of `pgdata`, which need not exist yet.

    Raises PostgresRefused when the existing PGDATA belongs to root or to somebody whom we cannot become.
    """
    owner_uid = pgdata.stat().st_uid if pgdata.is_dir() else None
    own_uid = os.geteuid()
    if own_uid != 0:
        if owner_uid is not None and owner_uid != own_uid:
            raise PostgresRefused(
                f"The database in {pgdata} belongs to the user {_user_name(owner_uid)}, so Telvend has to be started "
                f"as that user or as root."
            )
        return OsAccount(_user_name(own_uid), own_uid, os.getegid(), changed=False)
    if owner_uid == 0:
        raise PostgresRefused(
            f"The database in {pgdata} belongs to root, as which PostgreSQL never runs: give the folder to the user "
            f"who should run it (chown -R)."
        )
    if owner_uid is not None:
        return OsAccount(_user_name(owner_uid), owner_uid, pgdata.stat().st_gid, changed=True)
    for name in ACCOUNTS_FOR_ROOT:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return OsAccount(name, entry.pw_uid, entry.pw_gid, changed=True)
    raise PostgresRefused(
        "PostgreSQL never runs as root, and none of the users telvend, postgres and nobody exists to run it instead."
    )


def spawn(
    account: OsAccount,
    arguments: Sequence[str],
    *,
    death_signal: signal.Signals,
    pass_fds: Sequence[int] = (),
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    output: int | IO[bytes] = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a program as `account`, in a session of its own, that gets `death_signal` when our process dies.

    The session of its own keeps Ctrl-C of the terminal away from it: we decide when it ends. Its environment is
    nearly empty, so that nobody's PGPORT or PGDATA reaches it. Raises RuntimeError outside of the main thread, since
    the kernel sends the death signal when the *thread* that forked ends.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("PostgreSQL has to be started from the main thread: it dies with the thread that starts it")
    with warnings.catch_warnings():
        # Python 3.12 warns of any fork beside threads. What runs between our fork and exec takes no lock.
        warnings.filterwarnings("ignore", message=".*multi-threaded.*", category=DeprecationWarning)
        return subprocess.Popen(
            arguments,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            # As pg_ctl does: PostgreSQL takes a postmaster.pid that names its grandparent for a stale one.
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "PG_GRANDPARENT_PID": str(os.getppid())},
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            user=account.uid if account.changed else None,
            group=account.gid if account.changed else None,
            extra_groups=[] if account.changed else None,
            preexec_fn=_die_with_parent(death_signal),
        )


def run(
    account: OsAccount, arguments: Sequence[str], *, pass_fds: Sequence[int] = (), text: str | None = None
) -> tuple[int, str]:
    """Run a program to its end and return its exit status and what it printed. `text` becomes its standard input.

    It is killed with everything it started when we are interrupted, and by the kernel when we die.
    """
    process = spawn(
        account,
        arguments,
        death_signal=signal.SIGKILL,
        pass_fds=pass_fds,
        stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
        output=subprocess.PIPE,
    )
    try:
        printed, _ = process.communicate(None if text is None else text.encode())
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, printed.decode(errors="replace")


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """What the child does between fork and exec, after it has become `account`.

    Changing the user clears the death signal, which is why it is set here and not before; exec keeps it.
    """
    parent_pid = os.getpid()
    unblock_all: set[signal.Signals] = set()

    def in_child() -> None:
        # A signal that `nohup` or a shell's `&` made us ignore would be lost until PostgreSQL has its own handler.
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, unblock_all)
        if _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
            os._exit(126)
        # The parent may have died before the line above; then no signal will ever come.
        if os.getppid() != parent_pid:
            os._exit(125)

    return in_child


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
