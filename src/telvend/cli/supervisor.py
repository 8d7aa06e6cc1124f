"""What serving takes: bring the database up, then the processes that serve, and keep both up.

One process does everything unless there are to be more workers; then this one only minds the database (minder.py) and the
workers (workers.py). What a serving process does is in server.py.
"""

import asyncio
import signal
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import uvloop

from telvend.bootstrap import Shop, load_modules
from telvend.cli import server
from telvend.cli.common import fail, progress
from telvend.cli.keeper import BackupKeeper
from telvend.cli.listening import listen
from telvend.cli.minder import DatabaseMinder
from telvend.cli.opening import FAILURES, refusal_text
from telvend.cli.server import Ready, configure_logs, run_api, run_fulfilment
from telvend.cli.whereabouts import no_shop
from telvend.cli.workers import Workers, run_worker
from telvend.config import CONNECTIONS_BESIDE_POOL, Settings
from telvend.database.connections import Database
from telvend.embedded_postgres.cluster import Cluster
from telvend.embedded_postgres.command import has_database
from telvend.embedded_postgres.refused import NoDatabase, PostgresRefused
from telvend.kit import environment, garbage, systemd
from telvend.kit.moved import read_moved
from telvend.upkeep.backup import archive
from telvend.upkeep.keys_at_start import require_keys
from telvend.upkeep.moving.service import left_for, settle
from telvend.upkeep.preparation import enter_database, prepare_database

_MOVED: Final = "This shop was moved into another database: start `telvend serve` again, and it serves from there."
_MOVE_EVERY_S: Final = 1.0

__all__ = ["run_api", "run_fulfilment", "run_server", "run_worker"]


def run_server(
    settings: Settings,
    main: "server.Main",
    *,
    listens: bool = True,
    opens: bool = True,
    ready: Ready | None = None,
    as_json: bool = False,
) -> None:
    """Everything from the settings to the end of serving. Ends the program with one sentence where it is refused.

    `opens`: whether a shop is opened where there is none, and its schema brought to this version.
    """
    garbage.look_as_usual()
    configure_logs(settings)
    try:
        if settings.database_url is None:
            environment.clean_for_embedded()
            if not opens and not has_database(Path(settings.data_dir)):
                raise NoDatabase(no_shop(settings))
        _make_data_dir(settings)
        listener = listen(settings, shared=settings.workers > 1) if listens else None
        cluster = (
            None
            if settings.database_url
            else Cluster(
                Path(settings.data_dir), settings={"max_connections": str(_connections(settings))}, say=progress
            )
        )
        try:
            if cluster is not None:
                switch = archive.switch_on if settings.backup_to else archive.switch_off
                switch(Path(settings.data_dir))
                cluster.prepare()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_supervise(settings, listener, cluster, main, ready, as_json, opens=opens))
        finally:
            if listener is not None:
                listener.close()
            if cluster is not None:
                cluster.stop()
    except FAILURES as error:
        fail(refusal_text(error, settings))


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


async def _prepare(settings: Settings, url: str, *, opens: bool) -> None:
    await _finish_move(settings, url)
    async with Database.briefly(url) as database:
        if opens:
            await prepare_database(database, progress)
        else:
            await enter_database(database)
        await require_keys(settings, database)


async def _finish_move(settings: Settings, url: str) -> None:
    """A move into this database, or out of it, may have been killed after its commit. Raises PostgresRefused where it was out."""
    data_dir = Path(settings.data_dir)
    if settings.database_url is None:
        if (went := await left_for(url)) is not None:
            await settle(data_dir, went)
            raise PostgresRefused(_MOVED)
    elif (moved := read_moved(data_dir)) is not None and moved.url == url:
        await settle(data_dir, url)


async def _notice_move(data_dir: Path, stop: asyncio.Event) -> None:
    """Stop serving from a database that the shop was moved out of."""
    while not stop.is_set():
        if read_moved(data_dir) is not None:
            stop.set()
        await asyncio.sleep(_MOVE_EVERY_S)


async def _supervise(
    settings: Settings,
    listener: socket.socket | None,
    cluster: Cluster | None,
    main: "server.Main",
    ready: Ready | None,
    as_json: bool,
    *,
    opens: bool,
) -> None:
    """Bring the database up, then run one process here, or several beside us, until a signal asks to stop.

    What serves is imported while the database starts: after a crash both take seconds.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    signs = systemd.SignsOfLife()

    async def serving(shop: Shop, stop: asyncio.Event) -> None:
        signs.begin()
        if ready is not None:
            await ready(shop, stop)

    async with AsyncExitStack() as stack:
        # They go on while requests and calls are finished: a service that drains is alive.
        stack.callback(signs.close)
        workers: Workers | None = None
        loading: asyncio.Future[None] | None = None
        if settings.workers > 1:
            workers = Workers(settings, stop)
            stack.push_async_callback(workers.close)
            await workers.begin()
        else:
            loading = loop.run_in_executor(None, load_modules)
        url = await _or_stopped(_bring_up(settings, cluster, stack, opens=opens), stop)
        if url is None:
            return
        if cluster is not None:
            noticing = asyncio.create_task(_notice_move(Path(settings.data_dir), stop))
            stack.callback(noticing.cancel)
        if opens:
            await stack.enter_async_context(BackupKeeper(settings))
        if workers is not None:
            await workers.run(url, as_json, served=signs.begin)
        elif loading is not None:
            await loading
            await main(settings, url, listener, stop, serving, as_json)
    if cluster is not None and read_moved(Path(settings.data_dir)) is not None:
        raise PostgresRefused(_MOVED)


async def _bring_up(settings: Settings, cluster: Cluster | None, stack: AsyncExitStack, *, opens: bool) -> str:
    """Start the database and bring its schema to this version; answers its address."""
    if cluster is not None:
        await cluster.start_async(announce=False)
    url = cluster.url if cluster else _revealed(settings)
    await _prepare(settings, url, opens=opens)
    if cluster is not None:
        cluster.announce()
        await stack.enter_async_context(DatabaseMinder(cluster))
    return url


async def _or_stopped(work: Coroutine[Any, Any, str], stop: asyncio.Event) -> str | None:
    """What `work` answers, or None where a signal asks to stop before."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
        await asyncio.wait([working])
        return None
    return await working
