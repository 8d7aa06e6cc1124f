"""Noticing what other processes have changed: soon, every time, and never with an older answer on top of a newer one."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from telvend.database import watch as watch_module
from telvend.database.connections import Database, DedicatedConnection, Tx, increment_revision
from telvend.database.watch import INTERVAL_S, Watch
from telvend.errors import Busy
from telvend.kit.clock import SystemClock
from tests.clocks import FakeClock
from tests.conftest import Server

LONG_S = 10


class Memory:
    """Remembers two topics, as a process does; and when a look succeeded."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = FakeClock(hurry=False)
        self.told: list[str] = []
        self.looked_at: list[float] = []
        self.number = 0
        self.fails: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.reading = asyncio.Event()
        self.looked = asyncio.Event()
        self.watch = Watch(database, self.clock, {"keys": self.keys, "catalogue": self.catalogue}, self.succeeded)

    async def keys(self, _: Tx) -> None:
        self.told.append("keys")

    async def catalogue(self, tx: Tx) -> None:
        self.told.append("catalogue")
        if self.fails is not None:
            raise self.fails
        number = await tx.fetchval("select number from revision where topic = 'catalogue'")
        self.reading.set()
        # Between reading and remembering, others come to their turn.
        await self.gate.wait()
        self.number = number

    def succeeded(self, at: float) -> None:
        self.looked_at.append(at)
        self.looked.set()

    async def change(self, topic: str) -> None:
        async with self.database.transaction() as tx:
            await increment_revision(tx, topic)

    async def next_look(self) -> None:
        """Let a quarter of a second pass and the running watch look once."""
        self.looked.clear()
        async with asyncio.timeout(LONG_S):
            while not self.looked.is_set():
                self.clock.pass_time(INTERVAL_S)
                await asyncio.sleep(0.01)


@pytest.fixture
async def memory(database: Database) -> AsyncIterator[Memory]:
    made = Memory(database)
    yield made
    await made.watch.close()


async def test_the_first_look_loads_everything_and_the_next_nothing(memory: Memory) -> None:
    await memory.watch.look()
    await memory.watch.look()
    assert memory.told == ["keys", "catalogue"]


async def test_only_what_has_changed_is_loaded_again(memory: Memory) -> None:
    await memory.watch.look()
    memory.told.clear()
    await memory.change("keys")
    await memory.change("keys")
    await memory.watch.look()
    assert memory.told == ["keys"]
    await memory.change("something else")
    await memory.watch.look()
    assert memory.told == ["keys"]


async def test_trust_is_as_old_as_the_beginning_of_the_look(memory: Memory) -> None:
    memory.gate.clear()
    looking = asyncio.create_task(memory.watch.look())
    await asyncio.wait_for(memory.reading.wait(), LONG_S)
    memory.clock.pass_time(3)
    memory.gate.set()
    await looking
    assert memory.looked_at == [0.0]


async def test_what_could_not_be_loaded_is_loaded_at_the_next_look(memory: Memory) -> None:
    memory.fails = LookupError()
    with pytest.raises(LookupError):
        await memory.watch.look()
    assert memory.looked_at == []
    memory.fails = None
    await memory.watch.look()
    assert memory.told == ["keys", "catalogue"] * 2


async def test_of_two_looks_at_once_the_older_answer_never_wins(memory: Memory) -> None:
    memory.gate.clear()
    first = asyncio.create_task(memory.watch.look())
    await asyncio.wait_for(memory.reading.wait(), LONG_S)
    await memory.change("catalogue")
    # As /healthz does while the watch is at it.
    second = asyncio.create_task(memory.watch.look())
    await asyncio.sleep(0.1)
    memory.gate.set()
    await asyncio.gather(first, second)
    assert memory.number == 2
    assert memory.told == ["keys", "catalogue", "catalogue"]


async def test_a_look_that_is_given_up_does_not_stop_the_others(memory: Memory) -> None:
    memory.gate.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(memory.watch.look(), 0.2)
    memory.gate.set()
    await asyncio.wait_for(memory.watch.look(), LONG_S)
    assert memory.number == 1
    assert len(memory.looked_at) == 1


async def test_a_change_of_another_process_is_seen_at_once_by_itself(memory: Memory) -> None:
    seen = asyncio.Event()

    async def keys(_: Tx) -> None:
        seen.set()

    watch = Watch(memory.database, SystemClock(), {"keys": keys}, lambda _: None)
    watch.start()
    try:
        await asyncio.wait_for(seen.wait(), LONG_S)
        seen.clear()
        await memory.change("keys")
        await asyncio.wait_for(seen.wait(), 3)  # A quarter of a second, on a machine that does nothing else.
    finally:
        await watch.close()


async def test_the_watch_goes_on_after_errors_and_lost_connections(server: Server, memory: Memory) -> None:
    memory.watch.start()
    await memory.next_look()
    memory.fails = LookupError()
    await memory.change("catalogue")
    memory.told.clear()
    async with asyncio.timeout(LONG_S):
        while len(memory.told) < 2:
            memory.clock.pass_time(INTERVAL_S)
            await asyncio.sleep(0.01)
    memory.fails = None
    await server.command(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'telvend'"
    )
    await memory.next_look()
    assert memory.number == 2


async def test_while_the_database_is_away_trust_gets_no_younger(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await memory.watch.look()

    async def away(**_: object) -> None:
        raise ConnectionRefusedError

    memory.watch._connection.drop()
    monkeypatch.setattr(memory.database, "dedicated", away)
    memory.clock.pass_time(5)
    with pytest.raises(Busy):
        await memory.watch.look()
    assert memory.looked_at == [0.0]


async def test_a_look_in_vain_ends_every_connection(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait_long() -> None:
        async with memory.database.connection() as tx:
            await tx.fetchval("select pg_sleep(60)")

    lane = DedicatedConnection(memory.database)
    dedicated = await lane.get()
    pooled = asyncio.create_task(wait_long())
    await asyncio.sleep(0.1)
    monkeypatch.setattr(watch_module, "PATIENCE_S", 0.1)
    memory.gate.clear()
    async with asyncio.timeout(LONG_S):
        with pytest.raises(Busy):
            await memory.watch.look()
        with pytest.raises(Busy):
            await pooled
    assert dedicated.is_closed()
    memory.gate.set()
    monkeypatch.undo()
    await memory.watch.look()
    assert await (await lane.get()).fetchval("select 1") == 1
    await lane.close()


async def test_a_closed_watch_looks_no_more(memory: Memory) -> None:
    memory.watch.start()
    await memory.next_look()
    await memory.watch.close()
    count = len(memory.looked_at)
    memory.clock.pass_time(10)
    await asyncio.sleep(0.05)
    assert len(memory.looked_at) == count
