"""What the lanes that write have in common: a batch is decided in one transaction, and once more when that was lost.

Everything that goes through here is known by its reference, so that doing it again after a connection broke, even during
COMMIT, finds what had been done and does the rest: the rows that the lost transaction had locked, or the references that it
was writing, are waited for until the server knows its fate.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from telvend.database.connections import CONNECTION_LOSS, TRANSIENT, Database, Dedicated, Tx
from telvend.database.lane import Lane
from telvend.errors import Busy
from telvend.kit.failpoints import hit, hit_async
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.operator.subscribers.store import NUMBERS_AT_A_TIME, BucketNumbers

_TRIES: Final = 5

Item = TypeVar("Item")
Result = TypeVar("Result")

Decide = Callable[[Tx, list[Item], BucketNumbers], Awaitable[Sequence[Result | Exception]]]
"""Decides a batch and writes what follows; answers each in its place. May be called again for the same batch."""


class Together(Generic[Item, Result]):
    """A lane around `decide`, with a connection and numbers of its own. Before `start` (a command) it serves one by one."""

    def __init__(
        self,
        name: str,
        database: Database,
        decide: "Decide[Item, Result]",
        buckets_of: Callable[[Item], int],
        *,
        again: tuple[type[Exception], ...] = (),
        points: str = "subscribers",
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        """`buckets_of`: how many new buckets an item may need. `again`: what `decide` raises where the batch has to be decided
        anew, because somebody else was quicker. `points`: how the names of its failpoints begin."""
        self._connection = Dedicated(database)
        self._decide = decide
        self._buckets_of = buckets_of
        self._again = again
        self._points = points
        self._numbers = BucketNumbers()
        self._alone = asyncio.Lock()
        self._started = False
        self.lane: Lane[Item, Result] = Lane(name, self._process, runtime=runtime)

    def start(self) -> None:
        """Begin to serve whoever comes together; from inside the event loop."""
        self._started = True
        self._numbers.ahead = NUMBERS_AT_A_TIME
        self.lane.start()

    async def close(self) -> None:
        if self._started:
            await self.lane.close()
        await self._connection.close()

    async def submit(self, item: Item) -> Result:
        """Decide `item`, with whoever else is waiting. Raises what was answered, and Busy."""
        if self._started:
            return await self.lane.submit(item)
        async with self._alone:
            (answer,) = await self._process([item])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _process(self, items: list[Item]) -> Sequence[Result | Exception]:
        lost: BaseException | None = None
        for _ in range(_TRIES):
            try:
                tx = await self._connection.get()
                await self._numbers.provide(tx, sum(map(self._buckets_of, items)))
                transaction = tx.transaction()
                await transaction.start()
                try:
                    answers = await self._decide(tx, items, self._numbers)
                    await hit_async(f"{self._points}.before_commit")
                except BaseException:
                    await self._connection.roll_back(transaction)
                    raise
                await transaction.commit()
                hit(f"{self._points}.after_commit")
            except CONNECTION_LOSS as error:
                self._connection.drop()
                lost = error
            except (*TRANSIENT, *self._again) as error:
                lost = error
            else:
                return answers
        raise (self._connection.busy(lost) if lost is not None else Busy()) from lost
