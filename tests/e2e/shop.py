"""A whole shop as a black box: real processes on a data directory and a port of their own, the command line, raw HTTP.

shop = Shop(folder)
shop.start("--workers", "2")          # returns when /healthz says so
shop.telvend("ledger", "check")       # a command with --json
os.kill(shop.pid, SIGKILL)
shop.end()                            # nothing of it is left running, whatever happened before
"""

import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg

from telvend.kit.processes import die_with_parent

TELVEND = Path(sys.executable).with_name("telvend")
# Live orders too go to a simulator, which the numbers steer. Its time-out is waited for in real time; half a second is
# enough to be one.
STEERED = {"TELVEND_OWN_NETWORK": "false", "TELVEND_SIMULATORS": "{simulator = {live = true, timeout_s = 0.5}}"}

# Nothing here speaks TLS, and reading the certificates of the world takes longer than a request.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

# Starting Python costs more than most commands, so that several may share one. Each prints its one line of JSON.
_SEVERAL = """
import json, sys
from telvend.cli import app
from telvend.kit import log
log.configure("warning")
for arguments in json.load(sys.stdin):
    if code := app(arguments, standalone_mode=False):
        sys.exit(code)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def load() -> float:
    """How many times longer things take than on an idle machine: processes that want to run, for each processor; at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def is_running(pid: int) -> bool:
    """Whether there is such a process that has not ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(condition: Callable[[], Any], within_s: float, what: str) -> float:
    """Wait until `condition` answers something true; how long it took, in seconds.

    `within_s` is for a machine of one's own; beside others everything takes as much longer as there are more that want to run.
    """
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within_s * load(), f"{what}: not within {within_s:g} s, load {load():.1f}"
        time.sleep(0.02)
    return time.monotonic() - started


class Shop:
    """One installation. `start` and `end` it as often as you like; its data stays in the folder."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = dict(STEERED)  # For `start`: TELVEND_… to text. Without any it is as it comes, fresh.
        self.program: list[str | Path] = [TELVEND]  # What `start` calls.
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: set[int] = set()

    # Processes ---------------------------------------------------------------------------------------------------------

    def start(
        self,
        *options: str,
        failpoints: str = "",
        may_end: bool = False,
        halted: bool = False,
        within_s: float = 30,
        files: int = 0,
    ) -> float:
        """Start `telvend serve`. Answers how many seconds passed until it was ready.

        `may_end`: an armed failpoint may end it before that. `halted`: it serves, and sells nothing.
        `files`: how many files it may open, as `ulimit -n` says.
        """
        with (self.data_dir / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self.program, "serve", "--port", str(self.port), *options],
                env=self.environment(TELVEND_FAILPOINTS=failpoints, **self.settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=partial(_as_child, os.getpid(), files),  # From the main thread only.
            )
        wanted = self.is_halted if halted else self.is_ready
        took_s = wait_for(lambda: wanted() or self.has_ended(), within_s, "halted" if halted else "ready")
        assert may_end or not self.has_ended(), self.log()[-2000:]
        self._see()
        return took_s

    def environment(self, **more: str) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("TELVEND_")}
        return ours | {"TELVEND_DATA_DIR": str(self.data_dir)} | {name: text for name, text in more.items() if text}

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2, verify=_NO_CERTIFICATES).status_code == 200
        except httpx.HTTPError:
            return False

    def is_halted(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/healthz", timeout=2, verify=_NO_CERTIFICATES)
        except httpx.HTTPError:
            return False
        return answer.status_code == 503 and "shop release" in answer.text

    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def log(self) -> str:
        return (self.data_dir / "serve.log").read_text()

    @property
    def pid(self) -> int:
        """Of `telvend serve`, which is the parent of all the others."""
        assert self._process is not None
        return self._process.pid

    def worker_pids(self) -> list[int]:
        return [pid for pid, words in self._children() if "_worker" in words]

    def postgres_pid(self) -> int:
        (found,) = self.postgres_pids()
        return found

    def postgres_pids(self) -> list[int]:
        """One, or none while it is being brought back."""
        return [pid for pid, words in self._children() if words[0].endswith("/postgres")]

    def _children(self) -> list[tuple[int, list[str]]]:
        found = []
        for pid in _children_of(self.pid):
            try:
                found.append((pid, Path(f"/proc/{pid}/cmdline").read_text().split("\0")))
            except OSError:
                continue
        return [(pid, words) for pid, words in found if is_running(pid)]

    def _see(self) -> None:
        """Remember every process there is now, to look for them when they should be gone."""
        waiting = [self.pid]
        while waiting:
            pid = waiting.pop()
            self._seen.add(pid)
            waiting += _children_of(pid)

    def left_running(self) -> set[int]:
        """Processes of this shop that were seen at some time and still run."""
        return {pid for pid in self._seen if is_running(pid)}

    def kill(self) -> None:
        """`kill -9` of `telvend serve`, and of nothing else."""
        self._see()
        os.kill(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait(10)

    def stop(self, within_s: float = 30) -> int:
        """SIGTERM; answers the exit code."""
        self._see()
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(within_s * load())

    def end(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and not self.has_ended():
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
        try:
            wait_for(lambda: not self.left_running(), 15, "every process ended")
        finally:
            for pid in self.left_running():
                os.kill(pid, signal.SIGKILL)

    # The command line --------------------------------------------------------------------------------------------------

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a person would."""
        return subprocess.run(
            [TELVEND, *arguments], env=self.environment(), capture_output=True, text=True, timeout=60, check=False
        )

    def telvend(self, *arguments: str) -> dict[str, Any]:
        """Run a command with `--json`; it has to succeed."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr or done.stdout
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def several(self, commands: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
        """Run commands with `--json` one after the other in one process."""
        done = subprocess.run(
            [sys.executable, "-c", _SEVERAL],
            input=json.dumps([[*command, "--json"] for command in commands]),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr or done.stdout
        return [json.loads(line) for line in done.stdout.splitlines()]

    # The books ---------------------------------------------------------------------------------------------------------

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into the database, or change what only time would."""
        state = json.loads((self.data_dir / "server.json").read_text())
        with psycopg.connect(state["url"], autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def wait_until_final(self, within_s: float = 30) -> float:
        """Wait until every order is final. Answers how long that took."""
        return wait_for(
            lambda: self.sql("select count(*) from orders where state not in ('delivered', 'failed')") == [(0,)],
            within_s,
            "every order is final",
        )

    def check_books(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The books hold, and the simulator delivered nothing twice. Answers both reports."""
        ledger, book = self.several([["ledger", "check"], ["simulator", "book", "--limit", "100000"]])
        assert ledger["ok"], ledger["findings"]
        assert book["delivered_twice"] == []
        return ledger, book

    # HTTP --------------------------------------------------------------------------------------------------------------

    def client(self, key: str | None, **headers: str) -> httpx.Client:
        """A client of the Netpluse API."""
        return httpx.Client(
            base_url=f"{self.url}/api/v1/",
            headers=({"x-api-key": key} if key else {}) | headers,
            timeout=30,
            verify=_NO_CERTIFICATES,
        )

    def async_client(self, key: str, connections: int) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        return httpx.AsyncClient(
            base_url=f"{self.url}/api/v1/",
            headers={"x-api-key": key},
            timeout=60,
            limits=limits,
            verify=_NO_CERTIFICATES,
        )


def _as_child(parent: int, files: int) -> None:
    die_with_parent(parent)
    if files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


def _children_of(pid: int) -> list[int]:
    try:
        # PostgreSQL and the workers are started by the main thread.
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def purchase(
    number: int | str = "0241230000", reference: str | None = None, *, network: str = "MTN", capacity: str = "1GB"
) -> dict[str, str]:
    """The body of a purchase. A number of four digits or fewer becomes the ending, which steers the simulator."""
    phone = f"024123{number:04d}" if isinstance(number, int) else number
    body = {"network": network, "phoneNumber": phone, "capacity": capacity}
    return body if reference is None else body | {"reference": reference}
