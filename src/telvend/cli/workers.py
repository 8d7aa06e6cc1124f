"""Several serving processes: each is started, brought back when it ends, and replaced when it does not serve any more.

A worker is started before the database is there, so that it imports its modules meanwhile; it gets its settings and the
database's address through its standard input, since they hold secrets. In return it writes lines into a pipe: `beat` every second
from then on, and `serving` once it serves. Anything else it writes is the sentence on why it cannot serve.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import typer
import uvloop

from telvend.bootstrap import load_modules, open_shop
from telvend.cli import server
from telvend.cli.common import fail
from telvend.cli.listening import BACKLOG, bound
from telvend.cli.opening import FAILURES, refusal_text
from telvend.config import Settings
from telvend.embedded_postgres.refused import PostgresRefused
from telvend.kit import garbage, log, metrics
from telvend.kit.processes import die_with_parent
from telvend.kit.secret import Secret

WORKER_VARIABLE: Final = "TELVEND_WORKER"
RESTART_PAUSE_S: Final = 0.2
RETRY_S: Final = 1.0
BEAT_S: Final = 1.0
STARTING_LIMIT_S: Final = 60.0
"""How long a worker may be silent before its first beat: it imports its modules, on a busy machine beside all the others."""

_SERVING: Final = b"serving\n"
_BEAT: Final = b"beat\n"

_logger = log.get("telvend.serve")


class WorkersRefused(PostgresRefused):
    """No worker could begin to serve."""


class _Worker:
    """One process: how it ended, what it said, and for how many seconds it has said nothing."""

    def __init__(self, process: asyncio.subprocess.Process, hears: asyncio.StreamReader) -> None:
        self.process = process
        self.hears = hears
        self.said = ""
        self.begun = False
        self.silent_s = 0.0

    def give(self, given: bytes) -> None:
        """Hand over the settings and the address; from now on it has something to do."""
        self.silent_s = 0.0
        if self.process.stdin is not None:
            self.process.stdin.write(given + b"\n")

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()


class Workers:
    """The workers of one `telvend serve`."""

    def __init__(self, settings: Settings, stop: asyncio.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._given = b""
        self._early: list[_Worker] = []
        # What has served once is brought back for ever. What never served would end in the same way every time.
        self._served = asyncio.Event()
        self._refusal: str | None = None

    async def begin(self) -> None:
        """Start the processes, which wait for `run`. Raises OSError."""
        metrics.prepare(Path(self._settings.data_dir) / "run" / "metrics")
        for _ in range(self._settings.workers):
            self._early.append(await self._start())

    async def close(self) -> None:
        """End processes that were begun and never ran."""
        for worker in self._early:
            worker.kill()
            await worker.process.wait()
        self._early.clear()

    async def run(self, url: str, as_json: bool, *, served: Callable[[], None]) -> None:
        """Serve until asked to stop; `served` is called when the first worker serves.

        Raises WorkersRefused where none of them could begin.
        """
        settings = msgspec.to_builtins(self._settings, enc_hook=Secret.reveal)
        self._given = json.dumps({"settings": settings, "url": url}).encode()
        early, self._early = self._early, []
        minders = [asyncio.create_task(self._mind(number, worker)) for number, worker in enumerate(early)]
        stopping = asyncio.create_task(self._stop.wait())
        first = asyncio.create_task(self._served.wait())
        await asyncio.wait([first, stopping], return_when=asyncio.FIRST_COMPLETED)
        first.cancel()
        if self._served.is_set():
            served()
            server.announce(self._settings, as_json, await self._standing(url))
        await stopping
        await asyncio.gather(*minders)
        if self._refusal is not None:
            raise WorkersRefused(self._refusal)

    async def _standing(self, url: str) -> list[str]:
        """How the shop stands, once for all workers. One that cannot be looked at is served all the same."""
        try:
            async with open_shop(self._settings, url) as shop:
                return [*await server.standing_of(shop), *await server.first_link(shop)]
        except FAILURES as error:
            _logger.warning("standing_not_known", error=refusal_text(error, self._settings))
            return []

    async def _mind(self, number: int, worker: _Worker | None) -> None:
        """Keep worker `number` running until everything stops; then let it drain."""
        while not self._stop.is_set():
            try:
                if worker is None:
                    worker = await self._start()
                worker.give(self._given)
            except Exception as error:
                # No memory, no room for another process: it may be there in a moment.
                _logger.error(  # noqa: TRY400 - a sentence, not a traceback each second
                    "worker_does_not_start", worker=number, error=str(error) or type(error).__name__
                )
                await self._pause(RETRY_S)
                continue
            await self._until_ended(number, worker)
            worker = None
            if not self._stop.is_set():
                await self._pause(RESTART_PAUSE_S)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    async def _until_ended(self, number: int, worker: _Worker) -> None:
        process = worker.process
        ended = asyncio.create_task(self._listen(worker))
        watching = asyncio.create_task(self._watch(number, worker))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        stopping.cancel()
        if self._stop.is_set():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
                # One that was stopped hears it only when it goes on.
                process.send_signal(signal.SIGCONT)
            try:
                await asyncio.wait_for(ended, self._settings.drain_s + 15)
            except TimeoutError:
                worker.kill()
            return
        metrics.process_ended(process.pid)
        _logger.error("worker_died", worker=number, status=process.returncode)

    async def _watch(self, number: int, worker: _Worker) -> None:
        """Kill a worker that stands still: it would keep its share of the connections, and its locks.

        Silence is counted in steps of our own: where the whole machine stood still, so did we.
        """
        watchdog_s = self._settings.watchdog_s
        while watchdog_s:
            await asyncio.sleep(BEAT_S)
            worker.silent_s += BEAT_S
            if worker.silent_s > (watchdog_s if worker.begun else max(watchdog_s, STARTING_LIMIT_S)):
                event = "worker_does_not_serve" if worker.begun else "worker_does_not_begin"
                _logger.critical(event, worker=number, silent_s=worker.silent_s)
                worker.kill()
                return

    async def _start(self) -> _Worker:
        hearing, saying = os.pipe()
        try:
            hears = asyncio.StreamReader()
            await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(hears), os.fdopen(hearing, "rb")
            )
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "telvend",
                "_worker",
                env=os.environ | {WORKER_VARIABLE: json.dumps({"parent": os.getpid(), "saying": saying})},
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(saying,),
            )
        finally:
            os.close(saying)
        return _Worker(process, hears)

    async def _listen(self, worker: _Worker) -> None:
        """Hear what a worker says, and wait until it ends. The first one gives up for all where none has served yet."""
        while line := await worker.hears.readline():
            worker.silent_s = 0.0
            worker.begun = True
            if line == _SERVING:
                self._served.set()
            elif line != _BEAT:
                worker.said += line.decode(errors="replace")
        status = await worker.process.wait()
        # One that was killed from outside says nothing of the next one.
        if status > 0 and not self._served.is_set() and not self._stop.is_set():
            self._refusal = (
                worker.said or f"A worker ended with status {status} before it served; what it said stands above."
            )
            self._stop.set()


# The other side of the pipe -----------------------------------------------------------------------------------------------


class _Parent:
    """The pipe to the process that started us."""

    def __init__(self, descriptor: int) -> None:
        # A parent that stands still must not make us stand still.
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self.serving = False

    def say(self, line: bytes) -> None:
        with suppress(OSError):
            os.write(self._descriptor, line)

    async def ready(self, *_: object) -> None:
        """Say that we serve."""
        self.serving = True
        self.say(_SERVING)

    def beat(self) -> None:
        """Say that the event loop runs, now and every second from now on."""
        self.say(_BEAT)
        asyncio.get_running_loop().call_later(BEAT_S, self.beat)


def run_worker() -> None:
    """One of several server processes; started by `telvend serve --workers`."""
    begun = json.loads(os.environ.pop(WORKER_VARIABLE))
    # When `serve` dies, however it dies, its workers die too: their database goes the same way.
    die_with_parent(begun["parent"])
    load_modules()
    garbage.look_as_usual()
    line = sys.stdin.readline()
    if not line:
        return  # It was not needed after all.
    given: dict[str, Any] = json.loads(line)
    settings = msgspec.convert(given["settings"], Settings, dec_hook=lambda _, text: Secret(text))
    server.configure_logs(settings)
    parent = _Parent(begun["saying"])
    with bound(settings.host, settings.port, reuse_port=True) as listener:
        listener.listen(BACKLOG)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve_as_worker(settings, given["url"], listener, parent))
        except FAILURES as error:
            sentence = refusal_text(error, settings)
            if parent.serving:
                fail(sentence)
            # Said once by the parent, not by each of us.
            parent.say(sentence.encode())
            raise typer.Exit(1) from None


async def _serve_as_worker(settings: Settings, url: str, listener: socket.socket, parent: _Parent) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    parent.beat()
    await server.run_api(settings, url, listener, stop, parent.ready, False)
