"""The batch transaction: what becomes of a batch when its connection breaks, somebody is quicker, or it is cancelled."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import asyncpg
import pytest

from telvend.bootstrap import FAILPOINTS
from telvend.database.batch import (
    TRIES,
    AfterLostCommit,
    BatchFailpoints,
    BatchTransaction,
    DecidedBatch,
    Look,
    NumberBlock,
)
from telvend.database.connections import TRANSIENT, Database
from telvend.database.lane import Lane
from telvend.errors import Busy, InvariantBroken
from telvend.kit import failpoints
from telvend.kit.failpoints import FailpointError, FailpointsMisspelt

POINTS = BatchFailpoints("lane.before_begin", "lane.after_write", "lane.after_commit")
DEADLOCK = asyncpg.DeadlockDetectedError("deadlock")
LOST = ConnectionResetError("lost")


class FakeServer:
    """A database with one table of committed rows, and connections that break where `breaks` says so.

    `breaks`: for each step, in its order, the errors to come; None passes. A COMMIT that breaks `after` has happened.
    """

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.log: list[str] = []
        self.breaks: dict[str, list[Exception | None]] = {}
        self.noted: list[BaseException] = []
        self.opened = 0

    def step(self, name: str) -> None:
        self.log.append(name)
        coming = self.breaks.get(name)
        if coming and (error := coming.pop(0)) is not None:
            raise error

    async def dedicated(self, *, lane: bool = True) -> "FakeConnection":
        assert lane
        self.step("connect")
        self.opened += 1
        return FakeConnection(self)

    def busy(self, error: BaseException) -> Busy:
        self.noted.append(error)
        return Busy()


class FakeConnection:
    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.closed = False
        self.written: list[str] = []

    def is_closed(self) -> bool:
        return self.closed

    def terminate(self) -> None:
        self.server.log.append("drop")
        self.closed = True

    async def close(self, timeout: float) -> None:  # noqa: ARG002, ASYNC109 - asyncpg's
        self.closed = True

    def transaction(self) -> "FakeTransaction":
        return FakeTransaction(self)


class FakeTransaction:
    def __init__(self, connection: FakeConnection) -> None:
        self.connection = connection
        self.server = connection.server

    async def start(self) -> None:
        self.connection.written = []
        self.server.step("begin")

    async def commit(self) -> None:
        self.server.step("commit")
        self.server.rows += self.connection.written
        self.server.step("committed")

    async def rollback(self) -> None:
        self.server.step("rollback")

    async def __aenter__(self) -> None:
        await self.start()

    async def __aexit__(self, kind: object, *_: object) -> None:
        await (self.commit() if kind is None else self.rollback())


class Taken(Exception):
    """Somebody else was quicker."""


class Shop:
    """Its items are rows to be written; one that is there already is answered as such, `!` is refused."""

    def __init__(
        self,
        after_lost_commit: Look | AfterLostCommit = AfterLostCommit.DECIDE_AGAIN,
        again: tuple[type[Exception], ...] = (Taken,),
        **named: Any,
    ) -> None:
        self.server = FakeServer()
        self.after = after_lost_commit
        self.batch: BatchTransaction[str, str] = BatchTransaction(
            cast("Database", self.server), self.decide, again=again, failpoints=POINTS, **named
        )

    async def decide(self, tx: FakeConnection, items: list[str]) -> DecidedBatch[str]:
        self.server.step("decide")
        new = [item for item in items if item != "!" and item not in self.server.rows]
        tx.written += new
        answers = [ValueError(item) if item == "!" else ("new" if item in new else "known") for item in items]
        return DecidedBatch(cast("Sequence[str | Exception]", answers), self.after, bool(new))

    async def look(self, _tx: FakeConnection) -> bool:
        self.server.step("look")
        return "a" in self.server.rows

    def log(self) -> list[str]:
        log, self.server.log = self.server.log, []
        return log


def looking() -> Shop:
    shop = Shop()
    shop.after = shop.look
    return shop


async def test_a_batch_is_decided_written_and_committed_and_each_gets_an_answer() -> None:
    shop = Shop()
    new, refused = await shop.batch.run(["a", "!"])
    assert new == "new"
    assert isinstance(refused, ValueError)
    assert shop.log() == ["connect", "begin", "decide", "commit", "committed"]
    assert list(await shop.batch.run(["a", "b"])) == ["known", "new"]
    assert shop.log() == ["begin", "decide", "commit", "committed"]
    assert shop.server.rows == ["a", "b"]
    await shop.batch.close()


@pytest.mark.parametrize("step", ["connect", "begin", "decide"])
async def test_a_connection_lost_before_commit_is_busy_and_the_next_batch_gets_a_new_one(step: str) -> None:
    shop = Shop()
    shop.server.breaks[step] = [LOST]
    with pytest.raises(Busy):
        await shop.batch.run(["a"])
    assert (shop.server.rows, shop.server.noted) == ([], [LOST])
    assert list(await shop.batch.run(["a"])) == ["new"]
    assert shop.log()[-4:] == ["begin", "decide", "commit", "committed"]
    assert shop.server.opened == (1 if step == "connect" else 2)


@pytest.mark.parametrize("step", ["connect", "begin", "decide", "commit", "committed"])
@pytest.mark.parametrize("error", [LOST, TimeoutError()])
async def test_where_a_second_try_is_safe_a_lost_connection_is_made_up_for(step: str, error: Exception) -> None:
    shop = Shop(again=TRANSIENT)
    shop.server.breaks[step] = [error]
    answer = "known" if step == "committed" else "new"
    assert list(await shop.batch.run(["a"])) == [answer]
    assert (shop.server.rows, shop.server.noted) == (["a"], [])


async def test_another_transient_error_is_busy_and_keeps_the_connection() -> None:
    shop = Shop()
    shop.server.breaks["decide"] = [DEADLOCK]
    with pytest.raises(Busy):
        await shop.batch.run(["a"])
    assert shop.log() == ["connect", "begin", "decide", "rollback"]
    assert shop.server.noted == [DEADLOCK]
    shop = Shop(again=TRANSIENT)
    shop.server.breaks["decide"] = [DEADLOCK]
    assert list(await shop.batch.run(["a"])) == ["new"]
    assert shop.server.opened == 1


async def test_a_commit_that_the_server_refuses_has_not_happened() -> None:
    shop = looking()
    shop.server.breaks["commit"] = [DEADLOCK]
    with pytest.raises(Busy):
        await shop.batch.run(["a"])
    assert "look" not in shop.log()


async def test_who_was_quicker_is_found_in_the_next_try() -> None:
    shop = Shop()
    shop.server.breaks["decide"] = [Taken(), Taken()]
    assert list(await shop.batch.run(["a"])) == ["new"]
    assert shop.log() == ["connect", *["begin", "decide", "rollback"] * 2, "begin", "decide", "commit", "committed"]


@pytest.mark.parametrize("again", [(Taken,), TRANSIENT])
async def test_after_the_last_try_it_is_busy(again: tuple[type[Exception], ...]) -> None:
    shop = Shop(again=again)
    error = Taken() if again == (Taken,) else DEADLOCK
    shop.server.breaks["decide"] = [error] * TRIES
    with pytest.raises(Busy):
        await shop.batch.run(["a"])
    assert shop.log().count("begin") == TRIES == 5
    assert shop.server.noted == [error]
    assert list(await shop.batch.run(["a"])) == ["new"]


async def test_a_lost_commit_that_happened_is_found_by_one_row() -> None:
    shop = looking()
    shop.server.breaks["committed"] = [LOST]
    assert list(await shop.batch.run(["a", "b"])) == ["new", "new"]
    assert (shop.server.rows, shop.server.noted) == (["a", "b"], [])
    assert shop.log() == [
        *["connect", "begin", "decide", "commit", "committed", "drop"],
        *["connect", "begin", "look", "commit", "committed"],
    ]


async def test_a_lost_commit_that_did_not_happen_is_busy_for_everybody() -> None:
    shop = looking()
    shop.server.breaks["commit"] = [LOST]
    with pytest.raises(Busy):
        await shop.batch.run(["a", "b"])
    assert (shop.server.rows, shop.server.noted) == ([], [])
    assert "look" in shop.log()
    assert list(await shop.batch.run(["a", "b"])) == ["new", "new"]


@pytest.mark.parametrize(
    ("step", "errors"), [("connect", [None, LOST]), ("begin", [None, LOST]), ("look", [LOST]), ("look", [DEADLOCK])]
)
async def test_a_lost_commit_that_nobody_can_look_for_is_busy(step: str, errors: list[Exception | None]) -> None:
    shop = looking()
    shop.server.breaks = {"committed": [LOST], step: [*errors]}
    with pytest.raises(Busy):
        await shop.batch.run(["a"])
    assert shop.server.noted == [errors[-1]]
    assert list(await shop.batch.run(["a"])) == ["known"]


async def test_a_lost_commit_of_a_batch_that_wrote_nothing_is_busy_and_not_looked_for() -> None:
    for shop in (looking(), Shop()):
        shop.server.rows = ["a"]
        shop.server.breaks["commit"] = [LOST]
        with pytest.raises(Busy):
            await shop.batch.run(["a", "!"])
        assert shop.log() == ["connect", "begin", "decide", "commit", "drop"]


async def test_a_lost_commit_may_be_left_to_whoever_asked() -> None:
    shop = Shop(AfterLostCommit.BUSY, again=TRANSIENT)
    shop.server.breaks["committed"] = [LOST]
    with pytest.raises(Busy):
        await shop.batch.run(["a"])
    assert (shop.server.rows, shop.server.noted) == (["a"], [LOST])


async def test_a_commit_that_is_lost_again_and_again_is_busy() -> None:
    shop = Shop(again=())
    shop.server.breaks["commit"] = [LOST] * TRIES
    with pytest.raises(Busy):
        await shop.batch.run(["a"])
    assert shop.server.rows == []
    assert shop.server.opened == TRIES


async def test_any_other_error_is_raised_and_undone() -> None:
    shop = Shop()
    shop.server.breaks["decide"] = [ValueError("poison")]
    with pytest.raises(ValueError, match="poison"):
        await shop.batch.run(["a"])
    assert shop.log() == ["connect", "begin", "decide", "rollback"]
    assert list(await shop.batch.run(["a"])) == ["new"]


async def test_a_connection_lost_while_undoing_is_dropped() -> None:
    shop = Shop()
    shop.server.breaks = {"decide": [ValueError("poison")], "rollback": [LOST]}
    with pytest.raises(ValueError, match="poison"):
        await shop.batch.run(["a"])
    assert list(await shop.batch.run(["a"])) == ["new"]
    assert shop.server.opened == 2


async def test_a_cancelled_batch_drops_its_connection_without_asking_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop()
    deciding = asyncio.Event()

    async def wait(*_: object) -> DecidedBatch[str]:
        deciding.set()
        await asyncio.Event().wait()
        raise AssertionError

    with monkeypatch.context() as patched:
        patched.setattr(shop.batch, "_decide", wait)
        task = asyncio.create_task(shop.batch.run(["a"]))
        await deciding.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert shop.log() == ["connect", "begin", "drop"]
    assert list(await shop.batch.run(["a"])) == ["new"]


async def test_one_batch_at_a_time() -> None:
    shop = Shop()
    failpoints.arm("lane.after_write=sleep:0.01@1")
    try:
        await asyncio.gather(shop.batch.run(["a"]), shop.batch.run(["b"]))
    finally:
        failpoints.arm("")
    assert shop.log() == ["connect", *["begin", "decide", "commit", "committed"] * 2]


@pytest.mark.parametrize(
    ("point", "log", "rows"),
    [
        ("lane.before_begin", ["connect"], []),
        ("lane.after_write", ["connect", "begin", "decide", "rollback"], []),
    ],
)
async def test_failpoints_stand_before_begin_and_before_commit(point: str, log: list[str], rows: list[str]) -> None:
    shop = Shop()
    failpoints.arm(f"{point}=error")
    try:
        with pytest.raises(FailpointError):
            await shop.batch.run(["a"])
    finally:
        failpoints.arm("")
    assert shop.log() == log
    assert shop.server.rows == rows


async def through_a_lane(shop: Shop, items: list[str]) -> list[str | BaseException]:
    lane: Lane[str, str] = Lane("shop", shop.batch.run)
    lane.start()
    answers = await asyncio.gather(*map(lane.submit, items), return_exceptions=True)
    await lane.close()
    return answers


async def test_an_error_after_commit_is_everybodys_answer_and_nothing_is_decided_again() -> None:
    shop = Shop()
    failpoints.arm("lane.after_commit=error@1")
    try:
        answers = await through_a_lane(shop, ["a", "b"])
    finally:
        failpoints.arm("")
    assert [type(answer) for answer in answers] == [FailpointError, FailpointError]
    assert shop.log() == ["connect", "begin", "decide", "commit", "committed"]
    assert shop.server.rows == ["a", "b"]


async def test_a_bug_in_looking_for_a_lost_commit_is_busy_and_nothing_is_decided_again() -> None:
    shop = looking()
    shop.server.breaks = {"committed": [LOST], "look": [ValueError("a bug")]}
    answers = await through_a_lane(shop, ["a", "b"])
    assert [type(answer) for answer in answers] == [Busy, Busy]
    assert shop.log().count("decide") == 1
    assert shop.server.rows == ["a", "b"]


def test_a_failpoint_that_nobody_knows_is_an_error_at_once() -> None:
    failpoints.know(FAILPOINTS)
    with pytest.raises(FailpointsMisspelt):
        BatchFailpoints(before_commit="lane.nowhere")


# Numbers --------------------------------------------------------------------------------------------------------------


class Sequencer:
    def __init__(self) -> None:
        self.last = 0
        self.asked: list[int] = []

    async def fetch(self, _tx: object, count: int) -> list[int]:
        self.asked.append(count)
        self.last += count
        return list(range(self.last - count + 1, self.last + 1))


async def test_numbers_are_fetched_in_blocks_and_taken_in_order() -> None:
    sequence = Sequencer()
    numbers = NumberBlock(sequence.fetch, 4)
    await numbers.provide(None, 2)
    assert (numbers.peek(), numbers.take(), numbers.peek(), numbers.take()) == (1, 1, 2, 2)
    await numbers.provide(None, 2)
    assert sequence.asked == [4]
    await numbers.provide(None, 6)
    assert sequence.asked == [4, 6]
    assert [numbers.take() for _ in range(6)] == [5, 6, 7, 8, 9, 10]


async def test_numbers_that_were_not_provided_are_a_bug() -> None:
    numbers = NumberBlock(Sequencer().fetch)
    with pytest.raises(InvariantBroken):
        numbers.take()
    with pytest.raises(InvariantBroken):
        numbers.peek()


async def test_supplies_are_provided_before_begin_as_each_batch_needs() -> None:
    sequence = Sequencer()
    numbers = NumberBlock(sequence.fetch)
    shop = Shop(supplies={numbers: lambda items: 3 * len(items)})
    shop.server.breaks["begin"] = [LOST]
    with pytest.raises(Busy):
        await shop.batch.run(["a", "b"])
    assert sequence.asked == [6]
    await shop.batch.run(["a"])
    assert sequence.asked == [6]
