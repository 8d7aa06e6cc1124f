"""Later work that nobody waits for: done again and again by a task of its own.

sweeping = PeriodicTask("voucher reservations", vouchers.sweep, clock, every_s=5.0)
sweeping.start()          # inside the event loop
await sweeping.close()    # what is under way is given up; the work is to be such that this is harmless
"""

import asyncio
from collections.abc import Awaitable, Callable

from telvend.errors import Busy
from telvend.kit.clock import Clock
from telvend.kit.log import LogLimit, get
from telvend.kit.runtime import NO_RUNTIME, Runtime

_log = get(__name__)


class PeriodicTask:
    """Calls `work`, waits for `every_s` seconds, and so on. While the database is away (Busy) it only tries again.

    Tell the runtime when the task dies of anything else.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        clock: Clock,
        *,
        every_s: float,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        self._name = name
        self._work = work
        self._clock = clock
        self._every_s = every_s
        self._runtime = runtime
        self._task: asyncio.Task[None] | None = None
        self._limit = LogLimit()

    def start(self) -> None:
        """Begin to work; from inside the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)
        self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """End, whatever is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            try:
                await self._work()
            except Busy:
                self._limit.write(_log.warning, "later_work_has_no_database", source=self._name, work=self._name)
            await self._clock.sleep(self._every_s)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("later_work_died", work=self._name, exc_info=error)
            self._runtime.died(error)
