"""Later work: it goes on while the database is away, and its death is told."""

import asyncio

from telvend.errors import Busy
from telvend.kit.periodic import PeriodicTask
from telvend.kit.runtime import Runtime
from tests.clocks import FakeClock


class Work:
    """Notes when it was called, and raises what it is told to."""

    def __init__(self, clock: FakeClock, *raises: Exception | None) -> None:
        self.clock = clock
        self.raises = list(raises)
        self.called_at: list[float] = []

    async def __call__(self) -> None:
        self.called_at.append(self.clock.monotonic())
        if self.raises and (error := self.raises.pop(0)) is not None:
            raise error


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_work_is_done_at_once_and_again_after_each_pause() -> None:
    clock = FakeClock(hurry=False)
    work = Work(clock)
    repeating = PeriodicTask("tests", work, clock, every_s=5)
    repeating.start()
    await turns()
    assert work.called_at == [0]
    clock.pass_time(4)
    await turns()
    assert work.called_at == [0]
    clock.pass_time(1)
    await turns()
    assert work.called_at == [0, 5]
    await repeating.close()
    clock.pass_time(5)
    await turns()
    assert work.called_at == [0, 5]


async def test_a_database_that_is_away_is_waited_for() -> None:
    clock = FakeClock()
    deaths: list[BaseException] = []
    work = Work(clock, Busy(), Busy())
    repeating = PeriodicTask("tests", work, clock, every_s=5, runtime=Runtime(died=deaths.append))
    repeating.start()
    await turns()
    await repeating.close()
    assert work.called_at[:3] == [0, 5, 10]
    assert deaths == []


async def test_a_bug_ends_the_task_and_is_told() -> None:
    clock = FakeClock()
    deaths: list[BaseException] = []
    bug = RuntimeError("a bug")
    repeating = PeriodicTask("tests", Work(clock, None, bug), clock, every_s=5, runtime=Runtime(died=deaths.append))
    repeating.start()
    await turns()
    assert deaths == [bug]
    await repeating.close()


async def test_what_never_began_can_be_closed() -> None:
    await PeriodicTask("tests", Work(FakeClock()), FakeClock(), every_s=5).close()
