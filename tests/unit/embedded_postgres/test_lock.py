"""The lock of a data directory: who gets it, who waits, who is refused, and that a death frees it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from telvend.embedded_postgres.lock import DataDirectoryLock, Holder, LockRole
from telvend.embedded_postgres.refused import PostgresRefused

HOLD = """
import sys, time
from pathlib import Path
from telvend.embedded_postgres.lock import DataDirectoryLock, LockRole
lock = DataDirectoryLock(Path(sys.argv[1]))
assert lock.try_acquire(LockRole(sys.argv[2]))
print("held", flush=True)
time.sleep(float(sys.argv[3]))
"""


def hold(folder: Path, role: LockRole, seconds: float) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder, role, str(seconds)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def test_free_lock_is_taken_and_names_its_holder(tmp_path: Path) -> None:
    lock = DataDirectoryLock(tmp_path)
    lock.acquire(LockRole.SERVE, wait_s=0)
    assert DataDirectoryLock(tmp_path).holder() == Holder(os.getpid(), LockRole.SERVE)
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    lock.release()


def test_second_server_is_refused_with_the_process_id_of_the_first(tmp_path: Path) -> None:
    first = hold(tmp_path, LockRole.SERVE, 30)
    try:
        with pytest.raises(PostgresRefused, match=f"already being served by process {first.pid}"):
            DataDirectoryLock(tmp_path).acquire(LockRole.SERVE, wait_s=30)
    finally:
        end(first)


@pytest.mark.parametrize("role", list(LockRole))
def test_command_is_waited_for(tmp_path: Path, role: LockRole) -> None:
    first = hold(tmp_path, LockRole.COMMAND, 0.3)
    lock = DataDirectoryLock(tmp_path)
    lock.acquire(role, wait_s=10)
    assert lock.held
    lock.release()
    end(first)


def test_command_that_does_not_finish_is_named(tmp_path: Path) -> None:
    first = hold(tmp_path, LockRole.COMMAND, 30)
    try:
        with pytest.raises(PostgresRefused, match=f"process {first.pid}"):
            DataDirectoryLock(tmp_path).acquire(LockRole.SERVE, wait_s=0.1)
    finally:
        end(first)


def test_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    first = hold(tmp_path, LockRole.SERVE, 30)
    first.send_signal(signal.SIGKILL)
    lock = DataDirectoryLock(tmp_path)
    began = time.monotonic()
    lock.acquire(LockRole.SERVE, wait_s=5)  # Without waiting for the zombie to be collected.
    assert time.monotonic() - began < 1
    lock.release()
    end(first)


def test_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = DataDirectoryLock(tmp_path)
    lock.acquire(LockRole.SERVE, wait_s=0)
    child_pid = os.fork()
    if child_pid == 0:
        time.sleep(30)
        os._exit(0)
    try:
        time.sleep(0.1)
        lock.release()
        assert DataDirectoryLock(tmp_path).try_acquire(LockRole.COMMAND)
    finally:
        os.kill(child_pid, signal.SIGKILL)
        os.waitpid(child_pid, 0)
