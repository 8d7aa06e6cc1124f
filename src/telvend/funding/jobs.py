"""The worker: asks gateways about fundings that are due, with no transaction open.

    worker = FundingWorker(database, asking, clock)
    worker.start()            # inside the event loop
    worker.wake()             # a notice has come: ask now instead of at the next poll
    await worker.drain(10)    # SIGTERM: claim no more, let questions end

Any number may run, in any number of processes. One that dies loses its leases, and the gateway is asked again: asking
twice is harmless, and what follows from the answers happens once (`asking.py`). When to ask, when a funding expires, and
how often it is asked about after that is decided by `model.next_step`.
"""

import asyncio
from typing import Final

from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.funding import store
from telvend.funding.model import Funding
from telvend.funding.verification import PaymentVerification
from telvend.kit import log
from telvend.kit.clock import Clock
from telvend.kit.runtime import NO_RUNTIME, Runtime

_log = log.get(__name__)

LEASE_S: Final = 60.0
"""How long a worker has a funding in hand; longer than a gateway takes to answer or to time out."""

_LONGEST_RETRY_S: Final = 5.0
_CORRECT_CLOCK_S: Final = 10.0


class FundingWorker:
    """See the head of this file."""

    def __init__(
        self,
        database: Database,
        verification: PaymentVerification,
        clock: Clock,
        *,
        concurrency: int = 16,
        poll_s: float = 1.0,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        self._database = database
        self._verification = verification
        self._clock = clock
        self._concurrency = concurrency
        self._poll_s = poll_s
        self._runtime = runtime
        self._questions: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._draining = False
        self._task: asyncio.Task[None] | None = None
        self._correct_clock_at = 0.0

    def start(self) -> None:
        """Begin to work; from inside the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="funding")
        self._task.add_done_callback(self._ended)

    def wake(self) -> None:
        """Look for due fundings now."""
        self._wake.set()

    async def drain(self, patience_s: float) -> None:
        """Claim no more, and wait for questions that are under way. What is not answered by then is asked again later."""
        self._draining = True
        self._wake.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        questions = set(self._questions)
        if questions:
            _, late = await asyncio.wait(questions, timeout=patience_s)
            for question in late:
                question.cancel()
            if late:
                await asyncio.wait(late)

    async def work_off(self) -> int:
        """Ask about everything that is due now, and wait for the answers. Returns how many there were. Raises Busy."""
        count = 0
        while questions := await self._claim():
            count += len(questions)
            await asyncio.wait(questions)
        return count

    async def _run(self) -> None:
        retry_s = self._poll_s
        while True:
            # Cleared before looking, so that a notice that comes while we look is not missed.
            self._wake.clear()
            try:
                claimed = await self._claim()
                retry_s = self._poll_s
            except Busy:
                await self._clock.sleep(retry_s)
                retry_s = min(_LONGEST_RETRY_S, 2 * retry_s)
                continue
            if not claimed or len(self._questions) >= self._concurrency:
                await self._pause()

    async def _claim(self) -> set["asyncio.Task[None]"]:
        room = self._concurrency - len(self._questions)
        if room <= 0 or self._draining:
            return set()
        async with self._database.connection() as tx:
            if (now := self._clock.monotonic()) >= self._correct_clock_at:
                self._correct_clock_at = now + _CORRECT_CLOCK_S
                await store.correct_jumped_clock(tx)
            claimed = await store.claim(tx, room, LEASE_S)
        loop = asyncio.get_running_loop()
        begun = {loop.create_task(self._ask(funding)) for funding in claimed}
        self._questions |= begun
        for question in begun:
            question.add_done_callback(self._answered)
        return begun

    async def _ask(self, funding: Funding) -> None:
        try:
            await self._verification.ask(funding)
        except Busy:
            _log.warning("funding_not_settled", funding=funding.reference)
        except Exception:
            # A bug. Nothing was done, and it is asked about again when the lease has ended.
            _log.exception("funding_not_settled", funding=funding.reference)

    def _answered(self, question: "asyncio.Task[None]") -> None:
        full = len(self._questions) >= self._concurrency
        self._questions.discard(question)
        if full:
            self._wake.set()

    async def _pause(self) -> None:
        """Until the next poll, or until woken."""
        timer = asyncio.get_running_loop().call_later(self._poll_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if self._draining or task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.critical("funding_worker_died", exc_info=error)
            self._runtime.died(error)
