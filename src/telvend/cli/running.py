"""What serving takes: bring the database up, then the processes that serve, and keep both up.

One process does everything unless there are to be more workers; then this one only minds the database and the workers.
What a single process does is in server.py.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final, TextIO

import msgspec
import typer
import uvloop

from telvend.bootstrap import prepare_database
from telvend.cli import server
from telvend.cli.frame import REFUSALS, fail, progress
from telvend.cli.server import Ready, run_api, run_fulfilment
from telvend.config import Settings
from telvend.kit import log, metrics
from telvend.kit.db import CONNECTION_LOSS, Database
from telvend.kit.postgres import Cluster, PostgresRefused
from telvend.kit.processes import die_with_parent
from telvend.kit.secret import Secret

WORKER_VARIABLE: Final = "TELVEND_WORKER"
RESTART_PAUSE_S: Final = 0.2
SERVING: Final = "serving"
"""What a worker says to its parent once it serves; else it is a sentence on why it cannot."""
CONNECTIONS_BESIDE_POOL: Final = 14
"""A serving process has one for each of its lanes and stores, beside its pool."""

__all__ = ["run_api", "run_fulfilment", "run_server", "run_worker"]

_logger = log.get("telvend.serve")


def run_server(
    settings: Settings,
    main: "server.Main",
    *,
    listens: bool = True,
    ready: Ready | None = None,
    as_json: bool = False,
) -> None:
    """Everything from the settings to the end of serving. Ends the program with one sentence where it is refused."""
    _configure_logs(settings)
    try:
        _make_data_dir(settings)
        listener = _listen(settings, shared=settings.workers > 1) if listens else None
        cluster = (
            None
            if settings.database_url
            else Cluster(
                Path(settings.data_dir), settings={"max_connections": str(_connections(settings))}, say=progress
            )
        )
        try:
            if cluster is not None:
                cluster.prepare()
                cluster.start(announce=False)
            url = cluster.url if cluster else _revealed(settings)
            asyncio.run(_prepare(url))
            if cluster is not None:
                cluster.announce()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_supervise(settings, url, listener, cluster, main, ready, as_json))
        finally:
            if listener is not None:
                listener.close()
            if cluster is not None:
                cluster.stop()
    except (*REFUSALS, *CONNECTION_LOSS) as error:
        fail(_sentence(error))


def _sentence(error: BaseException) -> str:
    if isinstance(error, REFUSALS):
        return str(error)
    return f"The database cannot be reached: {str(error) or type(error).__name__}"


def _make_data_dir(settings: Settings) -> None:
    try:
        Path(settings.data_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise PostgresRefused(f"The data directory {settings.data_dir} is not a folder.") from None
    except OSError as error:
        raise PostgresRefused(f"The data directory {settings.data_dir} cannot be made: {error.strerror}.") from None


def _connections(settings: Settings) -> int:
    """What the processes may need together, and room for commands and people."""
    return max(100, settings.workers * (settings.pool_size + CONNECTIONS_BESIDE_POOL) + 40)


def _revealed(settings: Settings) -> str:
    assert settings.database_url is not None  # noqa: S101 - the caller has looked
    return settings.database_url.reveal()


def _configure_logs(settings: Settings) -> None:
    log.configure(settings.log_level, None if settings.log_format == "auto" else settings.log_format == "json")


async def _prepare(url: str) -> None:
    database = await Database.open(url, pool_size=1)
    try:
        await prepare_database(database, progress)
    finally:
        await database.close()


def _listen(settings: Settings, *, shared: bool) -> socket.socket:
    """The listening socket; for several workers only the claim to the port, each of them then listens by itself."""
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        claim = _bound(family, settings, reuse_port=False)
        if not shared:
            return claim
        claim.close()
        return _bound(family, settings, reuse_port=True)
    except OSError as error:
        raise PortTaken(f"Cannot listen on {settings.host} port {settings.port}: {error.strerror}.") from None


class PortTaken(PostgresRefused):
    """The port is in use, or the address is not ours."""


def _bound(family: socket.AddressFamily, settings: Settings, *, reuse_port: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((settings.host, settings.port))
        if not reuse_port:
            made.listen(2048)
    except BaseException:
        made.close()
        raise
    return made


async def _supervise(
    settings: Settings,
    url: str,
    listener: socket.socket | None,
    cluster: Cluster | None,
    main: "server.Main",
    ready: Ready | None,
    as_json: bool,
) -> None:
    """Run one process here, or several beside us, until a signal asks to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        if cluster is not None:
            await stack.enter_async_context(_DatabaseMinder(cluster))
        if settings.workers == 1:
            await main(settings, url, listener, stop, ready, as_json)
        else:
            await _Workers(settings, url, stop).run(as_json)


class _DatabaseMinder:
    """Brings the embedded database back when it dies."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._restarting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._watch()

    async def __aexit__(self, *_: object) -> None:
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.wait([self._restarting])
        else:
            asyncio.get_running_loop().remove_reader(self._cluster.wait_fd)

    def _watch(self) -> None:
        asyncio.get_running_loop().add_reader(self._cluster.wait_fd, self._died)

    def _died(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._cluster.wait_fd)
        _logger.error("database_died", status=self._cluster.poll())
        self._restarting = loop.create_task(self._restart())

    async def _restart(self) -> None:
        while True:
            try:
                await self._cluster.restart_async()
                break
            except PostgresRefused as error:
                _logger.critical("database_does_not_start", error=str(error))
                await asyncio.sleep(1)
        _logger.warning("database_is_back")
        self._restarting = None
        self._watch()


class _Workers:
    """N processes that serve on the same port; one that dies is replaced."""

    def __init__(self, settings: Settings, url: str, stop: asyncio.Event) -> None:
        self._settings = settings
        self._stop = stop
        # The environment of a process is not for others to read, unlike its arguments: the secrets go this way.
        given = {
            "settings": msgspec.to_builtins(settings, enc_hook=Secret.reveal),
            "url": url,
            "parent": os.getpid(),
        }
        self._given = given
        # What has served once is brought back for ever. What never served would end in the same way every time.
        self._served = asyncio.Event()
        self._refusal: str | None = None

    async def run(self, as_json: bool) -> None:
        """Serve until asked to stop. Raises WorkersRefused where none of them could begin."""
        metrics.prepare(Path(self._settings.data_dir) / "run" / "metrics")
        minders = [asyncio.create_task(self._mind(number)) for number in range(self._settings.workers)]
        stopping = asyncio.create_task(self._stop.wait())
        served = asyncio.create_task(self._served.wait())
        await asyncio.wait([served, stopping], return_when=asyncio.FIRST_COMPLETED)
        served.cancel()
        if self._served.is_set():
            server.announce(self._settings, as_json)
        await stopping
        await asyncio.gather(*minders)
        if self._refusal is not None:
            raise WorkersRefused(self._refusal)

    async def _mind(self, number: int) -> None:
        """Keep worker `number` running until everything stops; then let it drain."""
        while not self._stop.is_set():
            process, hears = await self._start()
            ended = asyncio.create_task(self._listen(process, hears))
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set():
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(ended, self._settings.drain_s + 15)
                except TimeoutError:
                    process.kill()
                return
            stopping.cancel()
            metrics.process_ended(process.pid)
            _logger.error("worker_died", worker=number, status=process.returncode)
            await asyncio.sleep(RESTART_PAUSE_S)

    async def _start(self) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader]:
        """A worker, and the pipe in which it says one thing: that it serves, or why it cannot."""
        hearing, saying = os.pipe()
        hears = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(hears), os.fdopen(hearing, "rb")
        )
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "telvend",
                "_worker",
                env=os.environ | {WORKER_VARIABLE: json.dumps(self._given | {"saying": saying})},
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(saying,),
            )
        finally:
            os.close(saying)
        return process, hears

    async def _listen(self, process: asyncio.subprocess.Process, hears: asyncio.StreamReader) -> None:
        """Hear what a worker says, and wait until it ends. The first one gives up for all where none has served yet."""
        said = (await hears.read()).decode()
        if said == SERVING:
            self._served.set()
        status = await process.wait()
        # One that was killed from outside says nothing of the next one.
        if status > 0 and not self._served.is_set() and not self._stop.is_set():
            self._refusal = said or f"A worker ended with status {status} before it served; what it said stands above."
            self._stop.set()


class WorkersRefused(PostgresRefused):
    """No worker could begin to serve."""


def run_worker() -> None:
    """One of several server processes; started by `telvend serve --workers`."""
    given = json.loads(os.environ.pop(WORKER_VARIABLE))
    # When `serve` dies, however it dies, its workers die too: their database goes the same way.
    die_with_parent(given["parent"])
    settings = msgspec.convert(given["settings"], Settings, dec_hook=lambda _, text: Secret(text))
    _configure_logs(settings)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with os.fdopen(given["saying"], "w") as saying, _bound(family, settings, reuse_port=True) as listener:
        listener.listen(2048)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve_as_worker(settings, given["url"], listener, saying))
        except (*REFUSALS, *CONNECTION_LOSS) as error:
            sentence = _sentence(error)
            if saying.closed:
                fail(sentence)
            # Said once by the parent, not by each of us.
            saying.write(sentence)
            raise typer.Exit(1) from None


async def _serve_as_worker(settings: Settings, url: str, listener: socket.socket, saying: TextIO) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def ready(*_: object) -> None:
        saying.write(SERVING)
        saying.close()

    await server.run_api(settings, url, listener, stop, ready, False)
