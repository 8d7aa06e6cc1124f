"""Memory that a burst has left behind: given back to the system once the burst is over.

The C library keeps what was freed between pieces that are still in use, and Python's collector does not run while nothing is
allocated: a process would stay as large as its worst moment.
"""

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Final

EXCESS_BYTES: Final = 16 * 1024 * 1024
"""How much more than its minimum a process may hold before giving memory back is worth the pause."""

_STATM: Final = Path("/proc/self/statm")
_PAGE_BYTES: Final = 4096


def resident_bytes() -> int:
    """Return how much memory this process holds; 0 where the system does not say."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0


def give_back(collect: bool) -> None:
    """Return free pages to the system: up to a few milliseconds. `collect` garbage before that: ten times as long."""
    if collect:
        gc.collect()
    if _trim is not None:
        _trim(0)


class Excess:
    """Decides when to give memory back. `spacing_s` is the time between two checks; it doubles, up to `most_s`, where one did not help."""

    def __init__(
        self,
        spacing_s: float = 5.0,
        most_s: float = 600.0,
        *,
        resident: Callable[[], int] = resident_bytes,
        give_back: Callable[[bool], None] = give_back,
    ) -> None:
        self._least_s = self._spacing_s = spacing_s
        self._most_s = most_s
        self._resident = resident
        self._give_back = give_back
        self._smallest = 0
        self._next_s = float("-inf")

    def check(self, now_s: float) -> None:
        """Give back the excess. Collect garbage only where the check before did not help without."""
        if now_s < self._next_s:
            return
        held = self._resident()
        if not self._smallest or held < self._smallest:
            self._smallest = held
        excess = held - self._smallest
        if excess < EXCESS_BYTES:
            self._spacing_s = self._least_s
        else:
            self._give_back(self._spacing_s > self._least_s)
            helped = held - self._resident() > excess // 4
            self._spacing_s = self._least_s if helped else min(self._most_s, self._spacing_s * 2)
        self._next_s = now_s + self._spacing_s


def _find_trim() -> Callable[[int], int] | None:
    """Return malloc_trim of glibc; other C libraries have none."""
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return found


_trim: Final = _find_trim()
