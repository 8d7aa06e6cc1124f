"""The lane: nobody waits without need, everybody gets exactly their own answer, and nobody waits for ever."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telvend.database.lane import RECENT_S, Lane
from telvend.errors import Busy
from telvend.kit.runtime import Runtime

LONG_S = 5


class Counter:
    """Answers each item with itself times ten. A gate holds a batch up, as a commit would; poison fails its batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.poison: set[int] = set()

    async def process(self, items: list[int]) -> Sequence[int | Exception]:
        self.batches.append(items)
        self.began.set()
        await self.gate.wait()
        await asyncio.sleep(0)
        if self.poison & set(items):
            raise ValueError("poison")
        return [item * 10 for item in items]


async def answers(*futures: "asyncio.Future[Any]") -> list[Any]:
    async with asyncio.timeout(LONG_S):
        return await asyncio.gather(*futures, return_exceptions=True)


async def started(counter: Counter) -> None:
    """Until the lane has taken its first batch."""
    async with asyncio.timeout(LONG_S):
        await counter.began.wait()


async def test_without_a_start_each_is_served_alone_and_after_the_end_nobody() -> None:
    counter = Counter()
    lane: Lane[int, int] = Lane("test", counter.process)
    assert await asyncio.gather(lane.serve(1), lane.serve(2)) == [10, 20]
    assert counter.batches == [[1], [2]]
    counter.poison = {3}
    with pytest.raises(ValueError, match="poison"):
        await lane.serve(3)
    lane.start()
    assert await asyncio.gather(lane.serve(1), lane.serve(2)) == [10, 20]
    assert counter.batches[-1] == [1, 2]
    await lane.close()
    with pytest.raises(Busy):
        await lane.serve(1)


async def test_items_that_come_together_are_answered_in_their_places_with_one_wait() -> None:
    counter = Counter()
    lane: Lane[int, int] = Lane("test", counter.process, maximum_batch=3)
    assert await lane.serve_all([1, 2]) == [10, 20]
    lane.start()
    counter.poison = {4}
    alone, together = await asyncio.gather(lane.serve(9), lane.serve_all([1, 2, 3, 4, 5]))
    assert (alone, together[:3], together[4]) == (90, [10, 20, 30], 50)
    assert isinstance(together[3], ValueError)
    assert max(map(len, counter.batches)) == 3
    await lane.close()
    with pytest.raises(Busy):
        await lane.serve_all([1])


async def test_items_that_do_not_fit_together_are_refused_together() -> None:
    counter = Counter()
    lane: Lane[int, int] = Lane("test", counter.process, maximum_waiting=3)
    lane.start()
    with pytest.raises(Busy):
        await lane.serve_all([1, 2, 3, 4])
    assert await lane.serve_all([1, 2, 3]) == [10, 20, 30]
    assert await lane.serve_all([]) == []
    assert counter.batches == [[1, 2, 3]]
    await lane.close()


async def test_who_has_gone_leaves_the_others_of_a_batch_their_answers() -> None:
    counter = Counter()
    counter.gate.clear()
    lane: Lane[int, int] = Lane("test", counter.process)
    lane.start()
    gone, other = asyncio.create_task(lane.serve_all([1, 2])), asyncio.create_task(lane.serve(3))
    await started(counter)
    gone.cancel()
    counter.gate.set()
    assert await other == 30
    await lane.close()


async def test_what_is_answered_with_an_exception_raises_it_alone_too() -> None:
    error = ValueError("refused")

    async def refuse(items: list[int]) -> Sequence[int | Exception]:
        return [error] * len(items)

    lane: Lane[int, int] = Lane("test", refuse)
    with pytest.raises(ValueError, match="refused"):
        await lane.serve(1)


async def test_the_load_does_not_dip_between_two_batches_and_is_forgotten_soon() -> None:
    counter = Counter()
    lane: Lane[int, int] = Lane("test", counter.process)
    assert lane.load == 0
    lane.start()
    await answers(*(lane.submit(item) for item in range(20)))
    # Everybody has been answered, nobody waits: and yet the next twenty are about to come.
    assert (lane.depth, lane.load) == (0, 20)
    await asyncio.sleep(2 * RECENT_S)
    assert lane.load == 0
    await lane.close()


async def test_what_comes_during_a_batch_is_served_together_by_the_next_one() -> None:
    counter, sizes = Counter(), list[int]()
    counter.gate.clear()
    lane = Lane("test", counter.process, runtime=Runtime(batch=lambda _, size, __: sizes.append(size)))
    lane.start()
    first = lane.submit(0)
    await started(counter)
    others = [lane.submit(number) for number in range(1, 6)]
    assert lane.depth == 5
    counter.gate.set()
    assert await answers(first, *others) == [0, 10, 20, 30, 40, 50]
    assert counter.batches == [[0], [1, 2, 3, 4, 5]]
    assert sizes == [1, 5]
    await lane.close()


async def test_a_batch_is_never_larger_than_allowed_and_keeps_the_order() -> None:
    counter = Counter()
    lane = Lane("test", counter.process, maximum_batch=3)
    lane.start()
    assert await answers(*[lane.submit(number) for number in range(8)]) == [number * 10 for number in range(8)]
    assert counter.batches == [[0, 1, 2], [3, 4, 5], [6, 7]]
    await lane.close()


async def test_beyond_the_queue_is_busy_at_once_and_those_inside_are_answered() -> None:
    counter = Counter()
    lane = Lane("test", counter.process, maximum_waiting=2)
    lane.start()
    inside = [lane.submit(1), lane.submit(2)]
    with pytest.raises(Busy):
        lane.submit(3)
    assert await answers(*inside) == [10, 20]
    assert await answers(lane.submit(3)) == [30]
    await lane.close()


async def test_one_poisonous_item_fails_alone() -> None:
    counter = Counter()
    counter.poison = {5}
    lane = Lane("test", counter.process)
    lane.start()
    found = await answers(*[lane.submit(number) for number in range(8)])
    assert [number * 10 for number in range(8) if number != 5] == [found[n] for n in range(8) if n != 5]
    assert isinstance(found[5], ValueError)
    assert await answers(lane.submit(9)) == [90]  # The lane goes on.
    # Halves, not one by one: log2 of the batch and a little.
    assert len(counter.batches) - 1 <= 2 * 3 + 1
    await lane.close()


@settings(max_examples=60)
@given(
    st.integers(1, 9),
    st.sets(st.integers(0, 40), max_size=6),
    st.lists(st.integers(0, 6), min_size=1, max_size=12),
    st.integers(0, 1000),
)
async def test_whatever_is_mixed_everybody_gets_their_own_answer(
    maximum_batch: int, poison: set[int], waves: list[int], seed: int
) -> None:
    counter, random = Counter(), Random(seed)
    counter.poison = poison
    lane = Lane("test", counter.process, maximum_batch=maximum_batch)
    lane.start()
    asked: dict[int, asyncio.Future[int]] = {}
    gone = set()
    for wave in waves:
        for _ in range(wave):
            asked[len(asked)] = lane.submit(len(asked))
        for _ in range(random.randrange(4)):
            await asyncio.sleep(0)
        if asked and random.random() < 0.3:
            number = random.randrange(len(asked))
            if asked[number].cancel():  # A caller that hangs up takes nothing from the others.
                gone.add(number)
    await asyncio.wait_for(lane.close(), LONG_S)
    for number, future in asked.items():
        assert future.done()
        if number in gone:
            assert future.cancelled()
        elif number in poison:
            assert isinstance(future.exception(), ValueError)
        else:
            assert future.result() == number * 10


async def test_busy_is_the_answer_of_the_whole_batch_and_is_not_tried_again() -> None:
    tried = []

    async def away(items: list[int]) -> Sequence[int]:
        tried.append(items)
        raise Busy

    lane = Lane("test", away)
    lane.start()
    found = await answers(*[lane.submit(number) for number in range(4)])
    assert [type(one) for one in found] == [Busy] * 4
    assert tried == [[0, 1, 2, 3]]
    await lane.close()


async def test_an_exception_among_the_answers_belongs_to_its_item_alone() -> None:
    async def process(items: list[int]) -> Sequence[int | Exception]:
        return [LookupError(str(item)) if item % 2 else item for item in items]

    lane = Lane("test", process)
    lane.start()
    found = await answers(lane.submit(0), lane.submit(1), lane.submit(2))
    assert (found[0], type(found[1]), found[2]) == (0, LookupError, 2)
    await lane.close()


async def test_a_caller_that_hangs_up_while_waiting_disturbs_nobody() -> None:
    counter = Counter()
    counter.gate.clear()
    lane = Lane("test", counter.process)
    lane.start()
    first, second = lane.submit(1), lane.submit(2)
    await started(counter)
    first.cancel()
    counter.gate.set()
    assert await answers(second) == [20]
    await lane.close()


async def test_wrong_number_of_answers_ends_the_lane_and_everybody_is_told() -> None:
    # Answers that have slipped by one would tell people about other people's orders.
    deaths: list[BaseException] = []

    async def process(items: list[int]) -> Sequence[int]:
        return items[1:]

    lane = Lane("test", process, maximum_batch=2, runtime=Runtime(died=deaths.append))
    lane.start()
    found = await answers(*[lane.submit(number) for number in range(5)])
    assert [type(one) for one in found] == [Busy] * 5
    assert [type(death) for death in deaths] == [RuntimeError]
    with pytest.raises(Busy):
        lane.submit(6)
    await lane.close()


async def test_when_the_task_dies_in_the_middle_nobody_waits_for_ever() -> None:
    counter, deaths = Counter(), list[BaseException]()
    counter.gate.clear()
    lane = Lane("test", counter.process, maximum_batch=2, runtime=Runtime(died=deaths.append))
    lane.start()
    waiting = [lane.submit(number) for number in range(5)]
    await started(counter)
    assert lane._task is not None
    lane._task.cancel()
    assert [type(one) for one in await answers(*waiting)] == [Busy] * 5
    assert [type(death) for death in deaths] == [asyncio.CancelledError]


async def test_the_half_that_was_answered_keeps_its_answers_when_the_task_dies() -> None:
    async def process(items: list[int]) -> Sequence[int]:
        if 3 in items:
            if items == [3]:
                raise asyncio.CancelledError
            raise ValueError
        return items

    lane = Lane("test", process)
    lane.start()
    found = await answers(*[lane.submit(number) for number in range(4)])
    assert found[:3] == [0, 1, 2]
    assert isinstance(found[3], Busy)


async def test_closing_serves_who_is_waiting_and_takes_nobody_else() -> None:
    counter, deaths = Counter(), list[BaseException]()
    counter.gate.clear()
    lane = Lane("test", counter.process, maximum_batch=2, runtime=Runtime(died=deaths.append))
    lane.start()
    waiting = [lane.submit(number) for number in range(5)]
    await started(counter)
    closing = asyncio.create_task(lane.close())
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        lane.submit(9)
    counter.gate.set()
    await asyncio.wait_for(closing, LONG_S)
    assert [future.result() for future in waiting] == [0, 10, 20, 30, 40]
    assert deaths == []


async def test_a_lane_that_was_never_started_is_busy_and_closes() -> None:
    lane = Lane("test", Counter().process)
    with pytest.raises(Busy):
        lane.submit(1)
    await lane.close()
