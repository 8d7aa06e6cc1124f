"""The database for a command line program: the running server's, or one of our own for as long as the command takes."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from telvend.embedded_postgres.files import read_state
from telvend.embedded_postgres.lock import LOCK_WAIT_S, POLL_S, DataDirectoryLock, LockRole, busy
from telvend.embedded_postgres.refused import NoDatabase
from telvend.kit.processes import is_running


def _silent(_: str) -> None:
    return


@contextmanager
def open_for_command(
    data_dir: Path, *, wait_s: float = LOCK_WAIT_S, say: Callable[[str], None] = _silent
) -> Iterator[str]:
    """The URL of the data directory's database, for a command that comes and goes.

    If `telvend serve` runs, the URL is its server's. If nobody does, the server is started here (from the main
    thread) and stopped on leaving. Another command that has the database is waited for, and so is a `serve` that is
    not ready yet, each up to `wait_s`. Creates nothing. Raises PostgresRefused; NoDatabase where there is none.
    """
    if (url := running_url(data_dir)) is not None:
        yield url
        return
    from telvend.embedded_postgres.cluster import Cluster  # Not needed beside a server.

    cluster = Cluster(data_dir, role=LockRole.COMMAND, say=say)
    lock = DataDirectoryLock(cluster.data_dir)
    until = time.monotonic() + wait_s
    while True:
        if has_database(cluster.data_dir):
            if cluster.try_prepare():
                break
        elif not lock.is_held():
            # Looked at again: a `serve` that was creating it may have finished and ended between the two.
            if has_database(cluster.data_dir):
                continue
            raise NoDatabase(f"There is no shop in {cluster.data_dir}.")
        holder = lock.holder()
        state = read_state(cluster.data_dir)
        # The state of a server that was killed may still lie there; only the holder's own counts.
        if holder and state and state.ready and holder.role is LockRole.SERVE and state.pid == holder.pid:
            yield state.url
            return
        if time.monotonic() >= until:
            raise busy(cluster.data_dir, holder)
        time.sleep(POLL_S)
    try:
        cluster.start()
        yield cluster.url
    finally:
        cluster.stop()


def has_database(data_dir: Path) -> bool:
    """Whether a database has been created in this data directory."""
    return os.path.lexists(data_dir / "postgres")


def running_url(data_dir: Path) -> str | None:
    """The URL of the server that `telvend serve` runs for this data directory now; None where none is ready."""
    lock = DataDirectoryLock(data_dir.absolute())
    try:
        holder, state = lock.holder(), read_state(data_dir.absolute())
    except OSError:
        return None
    # The state of a server that was killed may still lie there; only a living holder's own counts.
    if (
        holder
        and state
        and state.ready
        and holder.role is LockRole.SERVE
        and state.pid == holder.pid
        and is_running(holder.pid)
    ):
        return state.url
    return None
