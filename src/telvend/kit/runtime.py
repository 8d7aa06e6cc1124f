"""What a task of this process reports: that it has died, and how many items it served together.

    Lane("orders", place_all, runtime=runtime_of_server())

Without one, as in commands and tests, nothing ends and nothing is counted.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from telvend.kit import log, metrics

DEAD_TASK_EXIT_CODE: Final = 70
_END_AFTER_S: Final = 0.2

_log = log.get("telvend.serve")


def _end_nothing(_: BaseException) -> None:
    """Leave the process as it is."""


def _count_nothing(_lane: str, _size: int, _waiting: int) -> None:
    """Leave the metrics as they are."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Given to every lane and every task that works later.

    `died(error)`: a task has ended that never ends by itself, which only a bug can do. Its callers would wait for ever.
    `batch(lane, size, waiting)`: `lane` takes `size` items together; `waiting` others are left for the next batch.
    """

    died: Callable[[BaseException], None] = _end_nothing
    batch: Callable[[str, int, int], None] = _count_nothing


NO_RUNTIME: Final = Runtime()
"""For commands and tests."""


def runtime_of_server() -> Runtime:
    """Return the runtime of a process that serves: it ends when a task has died, and counts batches for Prometheus."""
    return Runtime(died=_end_process, batch=metrics.lane_batch)


def _end_process(error: BaseException) -> None:
    # Somebody else starts the process again.
    _log.critical("lane_died", error=repr(error))
    asyncio.get_running_loop().call_later(_END_AFTER_S, os._exit, DEAD_TASK_EXIT_CODE)
