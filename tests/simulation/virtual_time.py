"""An event loop whose time is counted, not waited for: when nobody is ready it jumps to the next timer.

Everything that runs in it (the real worker, its lanes, `asyncio.timeout`) believes that hours pass; a run takes
milliseconds and is the same every time. Tasks remember which worker they belong to, so that a worker can be killed.
"""

import asyncio
import selectors
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

OWNER: ContextVar[int] = ContextVar("owner", default=0)
"""Whose tasks are being created: 0 is the world itself."""

_START = datetime(2026, 1, 1, tzinfo=UTC)


class NobodyWaits(Exception):
    """Every task waits for another one: time cannot move on."""


class _Jump(selectors.SelectSelector):
    """A selector that watches nothing, and lets time pass instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NobodyWaits
        if timeout > 0:
            self.elapsed_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the head of this file. `errors` gathers what asyncio would have logged."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self._clock_resolution = 1e-6
        self.owned: dict[int, set[asyncio.Task[Any]]] = {}
        self.errors: list[str] = []
        self.set_task_factory(self._make)  # type: ignore[arg-type]
        self.set_exception_handler(self._note)

    def time(self) -> float:
        return self._jump.elapsed_s

    def stand_still(self, seconds: float) -> None:
        """Let time pass in which nothing runs, as for a process that was stopped."""
        self._jump.elapsed_s += seconds

    def kill(self, owner: int) -> None:
        """Cancel every task of this owner."""
        for task in list(self.owned.get(owner, ())):
            task.cancel()

    def end(self) -> None:
        """Cancel what still runs, let it end, and close the loop."""
        self.set_exception_handler(lambda *_: None)
        for task in asyncio.all_tasks(self):
            task.cancel()
        for _ in range(3):
            self.run_until_complete(asyncio.sleep(0))
        self.close()

    def _make(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **more: Any
    ) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **more)
        tasks = self.owned.setdefault(OWNER.get(), set())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(f"{context['message']}: {context.get('exception')!r}")


class VirtualClock:
    """The clock of a virtual loop, as `telvend.kit.clock.Clock` wants it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return _START + timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class DatabaseClock(VirtualClock):
    """The database's clock: it may be `ahead` of the others, or behind, and jump at any time."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead
