"""The batch transaction: many items, one transaction, and one answer to a COMMIT whose reply was lost.

    batch = BatchTransaction(database, decide, again=(ReferenceTaken,))
    answers = await batch.run(items)         # an answer or an exception for each item, in its place

`decide` is the user's: it locks, looks up, decides and writes, in the transaction that it is given, and returns a
`DecidedBatch`. Everything else is here: the connection, the numbers that are taken ahead, the order of the steps, the tries.

| what goes wrong | what follows |
|---|---|
| `decide` raises what `again` names | the batch is decided again in a new transaction, `TRIES` times at most; then Busy |
| the connection is lost before COMMIT, or there is another transient error | Busy, unless `again` names it |
| the connection is lost during COMMIT | what `DecidedBatch.after_lost_commit` says |
| any other exception | rolled back and raised; the lane tries the batch in halves (lane.py) |
| an error after COMMIT | it is each item's answer; if `run` raised it, the lane would decide the batch again |
| the task is cancelled | the connection is dropped, since a statement may be half sent |
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Generic, Protocol, TypeVar

from telvend.database.connections import CONNECTION_LOSS, TRANSIENT, Database, DedicatedConnection, Tx
from telvend.errors import Busy, InvariantBroken
from telvend.kit.failpoints import FailpointError, hit_async, require_known
from telvend.kit.log import get

_log = get(__name__)

TRIES: Final = 5
"""More than two processes can race for the references of one batch, one after the other."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class AfterLostCommit(Enum):
    """What to do after a COMMIT whose reply was lost, without looking for the batch."""

    DECIDE_AGAIN = auto()
    """Decide the batch again. Safe if every item has a reference: committed items are found by it, and the locks of the lost
    transaction make the new one wait until its outcome is certain."""

    BUSY = auto()
    """Raise Busy. The batch may have been committed."""


Look = Callable[[Tx], Awaitable[bool]]
"""Return whether the batch was committed. Runs in a new transaction, and must take the locks of the batch first, to wait for a
server process that may still be committing. It is enough to look for one row of the batch. If False, Busy is raised."""


@dataclass(frozen=True, slots=True)
class DecidedBatch(Generic[Result]):
    """A batch that is decided and written, but not committed. `wrote`: whether a lost COMMIT can lose anything."""

    answers: Sequence[Result | Exception]
    after_lost_commit: Look | AfterLostCommit
    wrote: bool = True


Decide = Callable[[Tx, list[Item]], Awaitable[DecidedBatch[Result]]]
"""Decide and write a batch; answer each item in its place. May be called several times for one batch."""


class Supply(Protocol):
    """What batches use up, fetched from the database ahead of the transaction."""

    async def provide(self, tx: Tx, count: int) -> None:
        """Have at hand what `count` of them need. Not part of the transaction."""


class NumberBlock:
    """Numbers of a sequence, fetched a block at a time: one statement less for almost every batch.

    Unused numbers stay gaps. One block for each connection or task. `size`: how many are fetched at once, at least.
    """

    def __init__(self, fetch: Callable[[Tx, int], Awaitable[list[int]]], size: int = 1) -> None:
        self.size = size
        self._fetch = fetch
        self._numbers: list[int] = []

    async def provide(self, tx: Tx, count: int) -> None:
        """Have `count` numbers at hand. Not part of the transaction."""
        if len(self._numbers) < count:
            self._numbers = (await self._fetch(tx, max(self.size, count)))[::-1]

    def peek(self) -> int:
        """Return the next number without taking it. Raises InvariantBroken when none was provided."""
        if not self._numbers:
            raise InvariantBroken("numbers were not provided for")
        return self._numbers[-1]

    def take(self) -> int:
        """Take the next number. Raises InvariantBroken when none was provided."""
        if not self._numbers:
            raise InvariantBroken("numbers were not provided for")
        return self._numbers.pop()


@dataclass(frozen=True, slots=True)
class BatchFailpoints:
    """The failpoints that a batch passes: before BEGIN, when all is written, and after COMMIT.

    Raises FailpointsMisspelt.
    """

    before_begin: str | None = None
    before_commit: str | None = None
    after_commit: str | None = None

    def __post_init__(self) -> None:
        for name in (self.before_begin, self.before_commit, self.after_commit):
            if name is not None:
                require_known(name)


class BatchTransaction(Generic[Item, Result]):
    """See the head of this file. It owns one connection, and runs one batch at a time."""

    def __init__(
        self,
        database: Database,
        decide: Decide[Item, Result],
        *,
        supplies: Mapping[Supply, Callable[[list[Item]], int]] | None = None,
        again: tuple[type[Exception], ...] = (),
        failpoints: BatchFailpoints | None = None,
    ) -> None:
        """`supplies`: what is fetched ahead, and how much of it a batch may need. `again`: the exceptions after which the
        batch is decided again: another transaction was first, or a retry is safe."""
        self._connection = DedicatedConnection(database)
        self._decide = decide
        self._supplies = tuple((supplies or {}).items())
        self._again = again
        self._failpoints = failpoints or BatchFailpoints()
        self._one_at_a_time = asyncio.Lock()

    async def close(self) -> None:
        """Give the connection back."""
        await self._connection.close()

    async def run(self, items: list[Item]) -> Sequence[Result | Exception]:
        """Decide `items` in one transaction; return their answers when it is durable.

        Raises Busy, and what `decide` raises. Nothing was written then, except that Busy may follow a lost COMMIT whose outcome
        is unknown. So after any other exception the items may be decided again.
        """
        async with self._one_at_a_time:
            try:
                decided = await self._commit(items)
            except asyncio.CancelledError:
                self._connection.drop()
                raise
        try:
            await _pass(self._failpoints.after_commit)
        except FailpointError as error:
            return [error] * len(items)
        return decided.answers

    async def _commit(self, items: list[Item]) -> DecidedBatch[Result]:
        """Decide and commit, in as many tries as it takes. Raises what `run` raises."""
        for _ in range(TRIES):
            decided: DecidedBatch[Result] | None = None
            try:
                tx = await self._connection.get()
                for supply, needed in self._supplies:
                    await supply.provide(tx, needed(items))
                await _pass(self._failpoints.before_begin)
                transaction = tx.transaction()
                await transaction.start()
                try:
                    written = await self._decide(tx, items)
                    await _pass(self._failpoints.before_commit)
                except Exception:
                    await self._connection.roll_back(transaction)
                    raise
                decided = written
                await transaction.commit()
            except CONNECTION_LOSS as error:
                self._connection.drop()
                latest: Exception = error
                if decided is not None and decided.wrote:
                    # The connection broke during COMMIT: its outcome is unknown.
                    if decided.after_lost_commit is AfterLostCommit.BUSY:
                        raise self._connection.busy(error) from error
                    if not isinstance(decided.after_lost_commit, AfterLostCommit):
                        await self._find(decided.after_lost_commit, error)
                        return decided
                elif not isinstance(error, self._again):
                    raise self._connection.busy(error) from error
            except self._again as error:
                latest = error
            except TRANSIENT as error:
                raise self._connection.busy(error) from error
            else:
                return decided
        raise self._connection.busy(latest) from latest

    async def _find(self, look: Look, lost: Exception) -> None:
        """Find out whether a lost COMMIT happened. Raises Busy if it did not, or if that cannot be found out.

        If it did not, every answer of the batch is void, even one without a row: it depends on what other items wrote (too
        little money, a reference in use).
        """
        try:
            tx = await self._connection.get()
            async with tx.transaction():
                there = await look(tx)
        except Exception as error:
            # Also for a bug: the lane would decide the batch again, though it may be committed.
            self._connection.drop()
            if not isinstance(error, TRANSIENT):
                _log.exception("lost_commit_not_found")
            raise self._connection.busy(error) from error
        if not there:
            raise Busy from lost


async def _pass(failpoint: str | None) -> None:
    if failpoint is not None:
        await hit_async(failpoint)
