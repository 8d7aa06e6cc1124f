"""Warnings that clients can provoke, logged at most once a minute for each key, with how many were left out."""

from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

SPACING_S: Final = 60.0
_MOST_KEYS: Final = 1000


class SparseWarnings:
    """Writes the first warning of each key at once, and the next when a minute has passed, with the number left out."""

    def __init__(self, logger: FilteringBoundLogger, clock: Callable[[], float] = monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}

    def warning(self, event: str, key: str, **facts: Any) -> None:
        """Log `event` with `facts`, unless one with `key` was logged within the last minute; then count it."""
        now = self._clock()
        at, unsaid = self._said.get(key, (float("-inf"), 0))
        if now - at < SPACING_S:
            self._said[key] = (at, unsaid + 1)
            return
        if len(self._said) >= _MOST_KEYS:
            # The keys are a closed set nearly everywhere; where they are addresses, the oldest gives way.
            self._said.pop(next(iter(self._said)))
        self._said.pop(key, None)
        self._said[key] = (now, 0)
        if unsaid:
            facts["not_logged"] = unsaid
        self._logger.warning(event, **facts)
