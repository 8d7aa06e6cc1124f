"""The embedded PostgreSQL with real servers: set-up, sudden deaths, two starters, guards, commands.

Every test that starts a server ends it. The whole file takes well under a minute.
"""

import asyncio
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from telvend.embedded_postgres import archiving, binaries
from telvend.embedded_postgres.binaries import client_programs_dir
from telvend.embedded_postgres.cluster import Cluster
from telvend.embedded_postgres.command import open_for_command
from telvend.embedded_postgres.lock import LockRole
from telvend.embedded_postgres.processes import ServerProcess, server_name, server_processes
from telvend.embedded_postgres.refused import PostgresRefused
from telvend.kit.processes import is_running

BACK_WITHIN_S = 5.0
PRIVATE = 0o700

# A process of its own, like `telvend serve`: prints its URL and PostgreSQL's pid, and waits to be killed.
SERVE = """
import signal, sys
from pathlib import Path
from telvend.embedded_postgres.cluster import Cluster
from telvend.embedded_postgres.lock import LockRole
cluster = Cluster(Path(sys.argv[1]), role=LockRole(sys.argv[2]))
cluster.prepare()
cluster.start()
print(cluster.url, cluster.postgres_pid, flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that only its owner may enter, with a name that programs tend to stumble over."""
    folder = tmp_path_factory.mktemp("only root, Größe é") / ("x" * 100) / "deep"
    folder.mkdir(parents=True)
    for path in (folder, folder.parent):
        path.chmod(PRIVATE)
    return folder


@pytest.fixture(scope="module")
def data_dir(parent: Path) -> Iterator[Path]:
    """One database for the tests of this file, one after the other; every one leaves it stopped."""
    folder = parent / "data"
    cluster = Cluster(folder)
    cluster.prepare()
    cluster.stop()
    yield folder
    assert server_processes_of(folder) == []


def server_processes_of(folder: Path) -> list[ServerProcess]:
    pgdata = folder / "postgres"
    fd = os.open(pgdata, os.O_RDONLY)
    try:
        return server_processes(server_name(fd), pgdata.stat().st_uid)
    finally:
        os.close(fd)


def psql(url: str, statement: str) -> str:
    program = client_programs_dir() / "psql"
    return subprocess.run([program, url, "-XAtc", statement], check=True, capture_output=True, text=True).stdout.strip()


def load(url: str) -> subprocess.Popen[bytes]:
    """pgbench with eight sessions, already running."""
    program = client_programs_dir() / "pgbench"
    subprocess.run([program, "-i", "-q", url], check=True, stderr=subprocess.DEVNULL)
    running = subprocess.Popen(
        [program, "-n", "-c", "8", "-T", "60", url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 10
    while int(psql(url, "SELECT count(*) FROM pgbench_history")) < 200:
        assert time.monotonic() < until
        time.sleep(0.1)
    return running


def serve(folder: Path, role: LockRole = LockRole.SERVE) -> tuple[subprocess.Popen[str], str, int]:
    process = subprocess.Popen([sys.executable, "-c", SERVE, folder, role], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url, pid = process.stdout.readline().split()
    return process, url, int(pid)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


async def test_server_is_private_durable_and_belongs_to_an_ordinary_role(data_dir: Path) -> None:
    with Cluster(data_dir, settings={"max_connections": "20"}) as cluster:
        connection = await asyncpg.connect(cluster.url)
        try:
            settings = dict(await connection.fetch("SELECT name, setting FROM pg_settings"))
            assert not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
            assert await connection.fetchval("SELECT upper('größe')") == "GRÖSSE".replace("SS", "ß")
            await connection.execute("CREATE TABLE made_by_telvend (); DROP TABLE made_by_telvend")
        finally:
            await connection.close()
        assert [settings[name] for name in ("fsync", "full_page_writes", "synchronous_commit")] == ["on"] * 3
        assert settings["listen_addresses"] == ""
        assert settings["max_connections"] == "20"
        assert psql(cluster.superuser_url, "SHOW is_superuser") == "on"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(cluster.url, password="wrong")
        state = json.loads((data_dir / "server.json").read_text())
        assert state == {"pid": os.getpid(), "role": "serve", "url": cluster.url, "ready": True}
    assert not (data_dir / "server.json").exists()


def test_folders_keep_their_modes_and_postgres_does_not_run_as_root(data_dir: Path) -> None:
    with Cluster(data_dir) as cluster:
        assert os.stat(f"/proc/{cluster.postgres_pid}").st_uid != 0
        assert psql(cluster.url, "SELECT 1") == "1"
    for folder in (data_dir, data_dir.parent, data_dir.parent.parent, data_dir / "postgres", data_dir / "secret"):
        assert stat.S_IMODE(folder.stat().st_mode) == PRIVATE
        owner_uid = os.geteuid() if folder != data_dir / "postgres" else (data_dir / "postgres").stat().st_uid
        assert folder.stat().st_uid == owner_uid


def test_programs_below_a_private_folder_are_copied_when_the_account_changes(
    data_dir: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an ordinary user the programs are used where they are; the copy is looked at in the unit tests."""
    # pytest's own folders are private, so the account could not enter them.
    place = Path(f"/tmp/telvend-test-{os.getpid()}")
    monkeypatch.setattr(binaries, "COPY_PLACES", (place,))
    monkeypatch.setattr(binaries, "everybody_can_use", lambda _wheel: False)
    try:
        with Cluster(data_dir) as cluster:
            program = os.readlink(f"/proc/{cluster.postgres_pid}/exe")
            assert psql(cluster.url, "SELECT 1") == "1"
        assert program.startswith(str(place)) == (os.geteuid() == 0)
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def test_killed_server_under_load_is_back_and_nothing_acknowledged_is_lost(data_dir: Path) -> None:
    loop = asyncio.get_running_loop()
    with Cluster(data_dir) as cluster:
        running = load(cluster.url)
        died = asyncio.Event()
        loop.add_reader(cluster.wait_fd, died.set)
        before = int(psql(cluster.url, "SELECT count(*) FROM pgbench_history"))
        killed_pid = cluster.postgres_pid
        assert killed_pid is not None
        os.kill(killed_pid, signal.SIGKILL)
        began = time.monotonic()
        await asyncio.wait_for(died.wait(), 1)
        loop.remove_reader(cluster.wait_fd)
        assert cluster.poll() == -signal.SIGKILL
        await cluster.restart_async()
        after = int(psql(cluster.url, "SELECT count(*) FROM pgbench_history"))
        assert time.monotonic() - began < BACK_WITHIN_S
        assert after >= before
        assert cluster.postgres_pid != killed_pid
        assert cluster.is_alive
        running.wait()


def test_killed_parent_takes_postgres_along_and_the_next_one_is_ready_soon(data_dir: Path) -> None:
    first, url, postgres_pid = serve(data_dir)
    running = load(url)
    before = int(psql(url, "SELECT count(*) FROM pgbench_history"))
    first.kill()
    began = time.monotonic()
    with Cluster(data_dir) as cluster:
        assert time.monotonic() - began < BACK_WITHIN_S
        assert int(psql(cluster.url, "SELECT count(*) FROM pgbench_history")) >= before
        assert not is_running(postgres_pid)
    first.communicate()
    running.wait()


def stop_server_processes(data_dir: Path) -> None:
    for found in server_processes_of(data_dir):
        with suppress(ProcessLookupError):  # A session or a worker of autovacuum may just be ending.
            os.kill(found.pid, signal.SIGSTOP)


def test_a_server_whose_processes_were_all_stopped_is_woken_to_end(data_dir: Path) -> None:
    process, url, _ = serve(data_dir)
    running = load(url)
    stop_server_processes(data_dir)
    kill(process)
    running.kill()
    running.wait()
    began = time.monotonic()
    with Cluster(data_dir) as cluster:
        took_s = time.monotonic() - began
        assert psql(cluster.url, "SELECT 1") == "1"
        stop_server_processes(data_dir)
        began = time.monotonic()
    # Where one of them stays asleep the server is given ten seconds to end, and twenty in a stop.
    assert max(took_s, time.monotonic() - began) < 8


def test_pid_file_that_names_a_stranger_does_not_stop_the_start(data_dir: Path) -> None:
    with Cluster(data_dir) as cluster:
        pid_file = data_dir / "postgres" / "postmaster.pid"
        left_behind = pid_file.read_text()
        folder = cluster.url.partition("host=")[2].partition("&")[0]
    # A living process of the server's own user, as pids get recycled.
    owner = pid_file.parent.stat()
    stranger = subprocess.Popen(["/bin/sleep", "60"], user=owner.st_uid if os.geteuid() == 0 else None)
    try:
        text = left_behind.replace(left_behind.split()[0], str(stranger.pid), 1)
        Path(folder).mkdir(mode=0o700)
        for file in (pid_file, Path(folder) / ".s.PGSQL.5432.lock"):
            file.write_text(text)
            os.chown(file, owner.st_uid, owner.st_gid)
        os.chown(folder, owner.st_uid, owner.st_gid)
        with Cluster(data_dir) as cluster:
            assert psql(cluster.url, "SELECT 1") == "1"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_of_two_starters_at_once_one_serves_and_the_other_is_refused(data_dir: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-c", SERVE, data_dir, "serve"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    until = time.monotonic() + 20
    while not (ended := [process for process in both if process.poll() is not None]) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(ended) == 1
    _, complaint = ended[0].communicate()
    (server,) = (process for process in both if process is not ended[0])
    assert f"already being served by process {server.pid}" in complaint
    kill(server)
    with Cluster(data_dir):
        pass


def test_command_uses_the_running_server(data_dir: Path) -> None:
    server, url, _ = serve(data_dir)
    with open_for_command(data_dir) as found:
        assert found == url
        assert psql(found, "SELECT 1") == "1"
    assert server.poll() is None
    kill(server)
    with Cluster(data_dir):
        pass


def test_command_alone_starts_its_own_server_and_the_next_takes_its_turn(data_dir: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from telvend.embedded_postgres.command import open_for_command\n"
        "with open_for_command(Path(sys.argv[1])) as url:\n"
        "    print(url, flush=True)\n"
        "    time.sleep(0.5)\n"
    )
    first = subprocess.Popen([sys.executable, "-c", program, data_dir], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline().startswith("postgresql://telvend:")
    assert json.loads((data_dir / "lock").read_text()) == {"pid": first.pid, "role": "command"}
    with open_for_command(data_dir) as url:
        assert first.wait() == 0
        assert psql(url, "SELECT 1") == "1"
    assert server_processes_of(data_dir) == []
    first.communicate()


def test_command_does_not_see_a_server_before_it_is_announced(data_dir: Path) -> None:
    cluster = Cluster(data_dir)
    cluster.prepare()
    cluster.start(announce=False)
    with pytest.raises(PostgresRefused, match="did not finish in time"), open_for_command(data_dir, wait_s=0.1):
        pass
    cluster.announce()
    with open_for_command(data_dir, wait_s=0.1) as url:
        assert url == cluster.url
    cluster.stop()


def test_database_of_another_major_version_is_refused(data_dir: Path) -> None:
    version_file = data_dir / "postgres" / "PG_VERSION"
    version_file.write_text("17\n")
    try:
        with pytest.raises(PostgresRefused, match="made by PostgreSQL 17, but this Telvend brings PostgreSQL 18"):
            Cluster(data_dir).prepare()
    finally:
        version_file.write_text("18\n")


def test_what_postgres_says_reaches_the_refusal(data_dir: Path) -> None:
    cluster = Cluster(data_dir, settings={"shared_buffers": "lots"})
    cluster.prepare()
    with pytest.raises(PostgresRefused, match='invalid value for parameter "shared_buffers"'):
        cluster.start()
    cluster.stop()
    with Cluster(data_dir):
        pass


def test_killed_installation_heals_itself(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    process = subprocess.Popen([sys.executable, "-c", SERVE, folder, "serve"], stdout=subprocess.DEVNULL)
    while not (folder / "postgres.new" / "PG_VERSION").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (folder / "postgres").exists()
    said: list[str] = []
    with Cluster(folder, say=said.append) as cluster:
        assert psql(cluster.url, "SELECT current_database()") == "telvend"
    assert said == ["Creating the database (once, a few seconds) ..."]
    assert not (folder / "postgres.new").exists()


def test_folder_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PostgresRefused, match="not a folder"):
        Cluster(tmp_path / "file").prepare()
    (tmp_path / "data" / "postgres").mkdir(parents=True)
    (tmp_path / "data" / "postgres" / "photo.jpg").touch()
    if os.geteuid() == 0:
        os.chown(tmp_path / "data" / "postgres", 65534, 65534)
    with pytest.raises(PostgresRefused, match="not a database of PostgreSQL"):
        Cluster(tmp_path / "data").prepare()
    assert (tmp_path / "data" / "postgres" / "photo.jpg").exists()


def archived(spool: Path) -> list[str]:
    return sorted(path.name for path in spool.iterdir() if not path.name.startswith("."))


def switch_segments(cluster: Cluster, count: int) -> None:
    for _ in range(count):
        psql(cluster.superuser_url, "SELECT pg_logical_emit_message(true, 'x', 'x'); SELECT pg_switch_wal()")


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_finished_log_is_put_aside_and_given_up_where_nobody_takes_it(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "WAITING_LIMIT_BYTES", 3 << 24)
    spool = data_dir / "backup" / "wal"
    spool.mkdir(parents=True, mode=0o700)
    with Cluster(data_dir) as cluster:
        switch_segments(cluster, 2)
        wait_until(lambda: len(archived(spool)) == 2)
        assert [size for _, size, _ in archiving.waiting_segments(spool)] == [16 << 20] * 2
        # It is the log itself, and nobody else may read it.
        assert stat.S_IMODE(spool.stat().st_mode) == PRIVATE
        switch_segments(cluster, 4)
        wait_until(lambda: archiving.GAP in archived(spool))
        # Selling goes on, and the server keeps no log for anybody.
        wait_until(lambda: psql(cluster.url, "SELECT failed_count FROM pg_stat_archiver") == "0")
        assert len(archived(spool)) == 3 + 1
        for path in spool.iterdir():
            path.unlink()
        switch_segments(cluster, 1)
        wait_until(lambda: len(archived(spool)) >= 1)
