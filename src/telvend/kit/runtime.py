"""What a task of this process reports: that it has died, and how many items it served together.

Lane("orders", place_all, runtime=runtime)      # a process that serves: see `bootstrap`
Lane("orders", place_all)                       # a command or a test: nothing ends, nothing is counted
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


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
