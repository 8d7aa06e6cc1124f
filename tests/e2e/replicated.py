"""Two PostgreSQL servers, a primary and a synchronous standby, each behind a line that can fall silent.

with Pair() as pair:
    pair.url            # names both hosts, always in the same order
    pair.fail("freeze") # or "kill", "silence": the primary is gone
    pair.promote()      # the standby is the primary now
    pair.thaw()         # the old one is back, and still acts as the primary
    pair.join()         # the old one becomes the standby, and catches up

The programs are those that come along with Telvend, or those in the folder that TELVEND_TEST_POSTGRES names.
"""

import os
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from telvend.embedded_postgres.binaries import binaries_for
from telvend.embedded_postgres.privileges import choose_account, run, spawn
from tests.e2e.shop import free_port, wait_for

PROGRAMS_VARIABLE = "TELVEND_TEST_POSTGRES"


class Line:
    """A TCP proxy to one server. While it is `silent` nothing passes and nothing is closed, as where packets are dropped."""

    def __init__(self, to_port: int) -> None:
        self.silent = False
        self._to_port = to_port
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._ends = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ends = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            for end in (key.fileobj, key.data):
                if isinstance(end, socket.socket):
                    end.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ends:
            if self.silent:
                time.sleep(0.01)
                continue
            for key, _ in self._selector.select(0.02):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._pass_on(key.fileobj, key.data)  # type: ignore[arg-type]

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._to_port), 1)
        except OSError:
            client.close()
            return
        server.settimeout(5)
        client.settimeout(5)
        self._selector.register(client, selectors.EVENT_READ, server)
        self._selector.register(server, selectors.EVENT_READ, client)

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        if one.fileno() < 0:
            return  # Both ends were ready, and the first has closed both.
        try:
            data = one.recv(65536)
            other.sendall(data)
        except OSError:
            data = b""
        if not data:
            for end in (one, other):
                self._selector.unregister(end)
                end.close()


class _Host:
    """One of the two servers, whatever its role."""

    def __init__(self, pair: "Pair", name: str) -> None:
        self.name = name
        self.folder = pair.folder / name
        self.port = free_port()
        self.line = Line(self.port)
        self._pair = pair
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 60,
            "shared_buffers": "64MB",
            "wal_level": "replica",
            "fsync": "on",
        }
        log = os.open(self._pair.folder / f"{self.name}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            self._process = spawn(
                self._pair.account,
                [
                    self._pair.program("postgres"),
                    "-D",
                    str(self.folder),
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                death_signal=signal.SIGQUIT,
                output=log,
            )
        finally:
            os.close(log)
        wait_for(lambda: self.asks("select 1") is not None, 20, f"{self.name} is up")

    def asks(self, sql: str, database: str = "postgres") -> Any:
        """Run a statement directly, not through the line. Return its first value, None without one or without a connection."""
        try:
            with psycopg.connect(
                host="127.0.0.1", port=self.port, user="postgres", dbname=database, autocommit=True, connect_timeout=2
            ) as connection:
                found = connection.execute(sql)  # type: ignore[arg-type]
                return (found.fetchone() or (None,))[0] if found.description else None
        except psycopg.OperationalError:
            return None

    def pids(self) -> list[int]:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return [self._process.pid, *map(int, children)]

    def signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def end(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self.signal(signal.SIGCONT)
                self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
            self._process = None
        self.line.silent = False


class Pair:
    """See the head of this file."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="telvend-pair-", dir="/tmp"))
        self.account = choose_account(self.folder / "none")
        os.chown(self.folder, self.account.uid, self.account.gid)
        self.primary = _Host(self, "one")
        self.other = _Host(self, "two")
        self._hosts = (self.primary, self.other)
        self._failed = ""

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{host.line.port}" for host in self._hosts)
        return f"postgresql://telvend:x@{hosts}/telvend?sslmode=disable"

    def program(self, name: str) -> str:
        folder = os.environ.get(PROGRAMS_VARIABLE)
        return f"{folder}/{name}" if folder else binaries_for(self.account).program(name)

    def _run(self, name: str, *arguments: object) -> None:
        status, said = run(self.account, [self.program(name), *map(str, arguments)])
        assert status == 0, said

    def __enter__(self) -> Self:
        one = self.primary
        self._run("initdb", "-D", one.folder, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        one.start()
        one.asks("create role telvend login")
        one.asks("create database telvend owner telvend")
        self.join()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for host in self._hosts:
            host.end()
            host.line.close()
        shutil.rmtree(self.folder)

    def join(self) -> None:
        """Make the other server a synchronous standby with a fresh copy of the primary."""
        other, name = self.other, self.other.name
        other.end()
        if other.folder.exists():
            shutil.rmtree(other.folder)
        source = f"host=127.0.0.1 port={self.primary.port} user=postgres application_name={name}"
        self._run("pg_basebackup", "-D", other.folder, "-d", source, "-R", "-N", "--checkpoint=fast")
        other.start()
        self.primary.asks(f"alter system set synchronous_standby_names = '{name}'")
        self.primary.asks("select pg_reload_conf()")
        in_step = "select count(*) from pg_stat_replication where sync_state = 'sync'"
        wait_for(lambda: self.primary.asks(in_step) == 1, 20, "in step")

    def fail(self, how: str) -> None:
        """Fail the primary: `kill` (SIGKILL; the kernel closes its connections), `freeze` (SIGSTOP), `silence` (its line)."""
        match how:
            case "kill":
                self.primary.signal(signal.SIGKILL)
            case "freeze":
                self.primary.signal(signal.SIGSTOP)
            case _:
                self.primary.line.silent = True
        self._failed = how

    def promote(self) -> None:
        """Make the standby the primary. Returns when it takes writes."""
        # The copy has the setting too, and no standby follows it yet.
        self.other.asks("alter system reset synchronous_standby_names")
        self.other.asks("select pg_reload_conf()")
        assert self.other.asks("select pg_promote()")
        self.primary, self.other = self.other, self.primary

    def thaw(self) -> None:
        """Bring the old primary back; one that was killed is started on its own data."""
        match self._failed:
            case "kill":
                self.other.end()
                self.other.start()
            case "freeze":
                self.other.signal(signal.SIGCONT)
            case _:
                self.other.line.silent = False
        wait_for(lambda: self.other.asks("select pg_is_in_recovery()") is False, 20, "takes itself for the primary")
