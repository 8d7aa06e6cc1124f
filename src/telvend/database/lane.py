"""A lane: many callers, one task that serves whatever is waiting, together, as soon as it has served the ones before.

There is no timer. While one batch is being committed the next one gathers by itself, so that a single caller waits for
one commit and two hundred wait for one commit too.

    lane = Lane("orders", process)       # process(list of items) -> list of results or exceptions, in the same order
    result = await lane.submit(item)     # raises Busy at once when the queue is full

A command does not start its lanes: there `await lane.serve(item)` processes the item alone.

What can go wrong, and what becomes of the waiters: `process` raises Busy: all of the batch get it. It raises anything
else: one of the items is poison; the batch is tried again in halves until the one that fails alone gets the exception.
The task itself dies: everybody waiting gets Busy, and the runtime is told, which ends a process that serves.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar, cast

from telvend.errors import Busy
from telvend.kit.runtime import NO_RUNTIME, Runtime

MAXIMUM_BATCH: Final = 256
RECENT_S: Final = 0.1

Item = TypeVar("Item")
Result = TypeVar("Result")


class Lane(Generic[Item, Result]):
    """See the head of this file."""

    def __init__(
        self,
        name: str,
        process: Callable[[list[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        maximum_batch: int = MAXIMUM_BATCH,
        maximum_waiting: int = 8192,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        self.name = name
        self._process = process
        self._maximum_batch = maximum_batch
        self._maximum_waiting = maximum_waiting
        self._runtime = runtime
        self._waiting: deque[tuple[Item, asyncio.Future[Result] | _Place[Result]]] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._latest_batch = 0
        self._latest_at = 0.0
        self._closing = False

    def start(self) -> None:
        """Begin to serve. Call it from the event loop that will submit."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"lane {self.name}")
        self._task.add_done_callback(self._ended)

    @property
    def depth(self) -> int:
        """How many are waiting for the next batch."""
        return len(self._waiting)

    @property
    def load(self) -> int:
        """How many wait, or came together within the last tenth of a second.

        Between two batches nobody waits, however many there are who will ask again at once: `depth` dips to nothing, this
        does not.
        """
        recent = self._latest_batch if time.monotonic() - self._latest_at < RECENT_S else 0
        return max(len(self._waiting), recent)

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """Queue `item`; await the answer. Raises Busy at once when the queue is full or the lane is closed."""
        if self._closing or self._task is None or len(self._waiting) >= self._maximum_waiting:
            raise Busy
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._wake.set()
        return future

    async def serve_all(self, items: Sequence[Item]) -> "Sequence[Result | Exception]":
        """Serve `items`, one after the other, in as few batches as they take. Answers each in its place.

        A future for all of them, where `submit` makes one for each. Raises Busy at once when they do not fit into the queue or the
        lane is closed. If this process has not started the lane they are one batch.
        """
        if self._task is None and not self._closing:
            return await self._process(list(items))
        if self._closing or len(self._waiting) + len(items) > self._maximum_waiting:
            raise Busy
        if not items:
            return []
        together: _Together[Result] = _Together(len(items))
        self._waiting.extend((item, _Place(together, place)) for place, item in enumerate(items))
        self._wake.set()
        return await together.future

    async def serve(self, item: Item) -> Result:
        """Serve `item`: in a batch with other waiting items, or alone if this process has not started the lane.

        Raises Busy, and the exception that `item` is answered with. If the lane was not started, several calls of `process` may
        run at the same time.
        """
        if self._task is not None or self._closing:
            return await self.submit(item)
        (answer,) = await self._process([item])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        """Serve who is waiting, take nobody else, end."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            waiting = self._waiting
            batch = [waiting.popleft() for _ in range(min(len(waiting), self._maximum_batch))]
            self._runtime.batch(self.name, len(batch), len(waiting))
            self._latest_batch, self._latest_at = len(batch), time.monotonic()
            try:
                await self._serve_batch(batch)
                self._latest_at = time.monotonic()
            except BaseException:
                # Those of this batch that have no answer yet wait like the others for `_ended`.
                waiting.extendleft(reversed(batch))
                raise

    async def _serve_batch(self, batch: "list[tuple[Item, asyncio.Future[Result] | _Place[Result]]]") -> None:
        try:
            results = await self._process([item for item, _ in batch])
        except Busy as error:
            results = [error] * len(batch)
        except Exception as error:
            if len(batch) == 1:
                results = [error]
            else:
                middle = len(batch) // 2
                await self._serve_batch(batch[:middle])
                await self._serve_batch(batch[middle:])
                return
        if len(results) != len(batch):
            raise RuntimeError(f"lane {self.name} got {len(results)} answers for {len(batch)} items")
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue  # The caller has gone.
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        died = task.cancelled() or error is not None
        self._closing = True
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(Busy())
        if died:
            self._runtime.died(error or asyncio.CancelledError())


class _Together(Generic[Result]):
    """The answers of items that came together; `future` has them when there is one for each."""

    __slots__ = ("answers", "future", "left")

    def __init__(self, count: int) -> None:
        self.future: asyncio.Future[list[Result | Exception]] = asyncio.get_running_loop().create_future()
        self.answers: list[Result | Exception | None] = [None] * count
        self.left = count


class _Place(Generic[Result]):
    """What one of several items that came together has instead of a future of its own."""

    __slots__ = ("_answered", "_place", "_together")

    def __init__(self, together: _Together[Result], place: int) -> None:
        self._together = together
        self._place = place
        self._answered = False

    def done(self) -> bool:
        return self._answered

    def set_result(self, result: Result) -> None:
        self._answer(result)

    def set_exception(self, error: Exception) -> None:
        self._answer(error)

    def _answer(self, answer: Result | Exception) -> None:
        together = self._together
        self._answered = True
        together.answers[self._place] = answer
        together.left -= 1
        if not together.left and not together.future.done():
            together.future.set_result(cast(list[Result | Exception], together.answers))
