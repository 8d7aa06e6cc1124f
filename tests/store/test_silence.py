"""A database that falls silent: connections that are dead without a word, and hosts that accept and say nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from telvend.database.connections import CONNECTION_LOSS, Database, DedicatedConnection
from telvend.database.watch import Watch
from telvend.errors import Busy
from telvend.kit.clock import SystemClock
from tests.conftest import Server
from tests.store.relays import socket_of, url_by

BACK_WITHIN_S = 5.0


class Line:
    """A TCP address in front of the server. `dead` connections pass nothing and end nothing; a frozen line answers nobody."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.frozen = False
        self.epoch = 0
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        if self._server is not None:
            self._server.close()

    def fall_silent(self) -> None:
        """The connections of now pass nothing any more; new ones do."""
        self.epoch += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        epoch = self.epoch
        self._writers.append(writer)
        if task := asyncio.current_task():
            self._tasks.add(task)
        if self.frozen:
            await asyncio.sleep(3600)
        far_reader, far_writer = await asyncio.open_unix_connection(self._socket_path)
        self._writers.append(far_writer)
        for source, target in ((reader, far_writer), (far_reader, writer)):
            self._tasks.add(asyncio.create_task(self._pump(source, target, epoch)))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, epoch: int) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if epoch != self.epoch or self.frozen:
                    await asyncio.sleep(3600)
                target.write(data)
                await target.drain()
            if epoch == self.epoch:
                target.close()


@asynccontextmanager
async def lines(url: str, count: int) -> AsyncIterator[tuple[list[Line], str]]:
    made = [Line(socket_of(url)) for _ in range(count)]
    for line in made:
        await line.start()
    hosts = ",".join(f"127.0.0.1:{line.port}" for line in made)
    try:
        yield made, url_by(url, hosts)
    finally:
        for line in made:
            await line.close()


@asynccontextmanager
async def watched(url: str) -> AsyncIterator[Database]:
    database = await Database.open(url, pool_size=3, serves=True)
    watch = Watch(database, SystemClock(), {}, lambda _: None)
    await watch.look()
    watch.start()
    try:
        yield database
    finally:
        await watch.close()
        await database.close()


async def seconds_until_back(database: Database, lane: DedicatedConnection) -> float:
    """Until pool and lane both answer again; meanwhile nothing but an absent database may be heard."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    waiting = {"pool", "lane"}
    while waiting:
        for which in sorted(waiting):
            try:
                if which == "lane":
                    await (await lane.get()).fetchval("select 1")
                else:
                    async with database.connection() as tx:
                        await tx.fetchval("select 1")
            except CONNECTION_LOSS:
                lane.drop()
            except Busy:
                pass
            else:
                waiting.discard(which)
        await asyncio.sleep(0.05)
        assert loop.time() - began < 30
    return loop.time() - began


async def test_connections_that_are_dead_without_a_word_are_replaced_soon(server: Server, database_url: str) -> None:
    async with lines(database_url, 1) as ((line,), url), watched(url) as database:
        lane = DedicatedConnection(database)
        await lane.get()
        async with asyncio.timeout(5):
            async with database.connection() as one, database.connection() as two:
                assert await one.fetchval("select 1") + await two.fetchval("select 1") == 2
        line.fall_silent()
        assert await seconds_until_back(database, lane) < BACK_WITHIN_S
        await lane.close()


async def test_a_session_that_fell_silent_within_a_request_gives_up_its_locks(
    server: Server, database_url: str
) -> None:
    await server.command("create table wanted (id int); insert into wanted values (1)", "telvend_shared")
    try:
        async with lines(database_url, 1) as ((line,), url):
            lost = await Database.open(url, pool_size=1, serves=True)
            dead = await lost.dedicated()
            await dead.execute("begin")
            await dead.execute("select from wanted for update")
            # The first half of a request, as asyncpg sends it: parse, and say what you think of it.
            parse = b"\0select 1\0" + bytes(2)
            dead._transport.write(b"P" + (len(parse) + 4).to_bytes(4, "big") + parse + b"H" + (4).to_bytes(4, "big"))
            await asyncio.sleep(0.2)
            line.fall_silent()
            began = asyncio.get_running_loop().time()
            async with watched(database_url) as database:
                while True:
                    with contextlib.suppress(Busy):
                        async with database.transaction() as tx:
                            await tx.execute("select from wanted for update")
                            break
            assert asyncio.get_running_loop().time() - began < BACK_WITHIN_S
            dead.terminate()
            await lost.close()
    finally:
        await server.command("drop table wanted", "telvend_shared")


async def test_a_watch_that_only_begins_when_the_host_freezes_takes_the_others_along(
    server: Server, database_url: str
) -> None:
    async with lines(database_url, 2) as ((one, other), url):
        database = await Database.open(url, pool_size=3, serves=True)
        watch = Watch(database, SystemClock(), {}, lambda _: None)
        lane = DedicatedConnection(database)
        await lane.get()
        one.frozen = other.frozen = False
        # Which of the two it is that both have gone to does not matter: the watch has no connection yet.
        frozen = one if database._connector._winner == 0 else other
        frozen.frozen = True
        watch.start()
        assert await seconds_until_back(database, lane) < BACK_WITHIN_S
        await watch.close()
        await lane.close()
        await database.close()


@pytest.mark.parametrize("first", [True, False], ids=["the first host", "the second host"])
async def test_a_frozen_host_is_left_for_the_other(server: Server, database_url: str, first: bool) -> None:
    async with lines(database_url, 2) as (both, url):
        frozen = both[0] if first else both[1]
        # The one that freezes is the one in use.
        (both[1] if first else both[0]).frozen = True
        async with watched(url) as database:
            lane = DedicatedConnection(database)
            await lane.get()
            (both[1] if first else both[0]).frozen = False
            frozen.frozen = True
            assert await seconds_until_back(database, lane) < BACK_WITHIN_S
            await lane.close()
