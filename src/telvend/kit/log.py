"""Structured logs: one JSON object per line on stderr, or coloured lines when stderr is a terminal.

    configure("info")                                  # once, at the entry of a process
    _log = get(__name__)                               # at the top of a file
    _log.info("order_placed", order=order_id, phone=number)        # an event in snake_case, and its facts

What `bind_request` binds stands on every line of that request. Secrets and telephone numbers are masked by the names
of their fields before a line is rendered, at any depth, so that a careless line gives nothing away. Text inside of a
sentence is not searched: put facts into fields. The logs of uvicorn, asyncio and alembic come out the same way.

structlog is behind log_lines.py, which is imported by `configure` or with the first line: importing it takes as long as
the rest of a short command, and most commands log nothing.
"""

import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

LEVELS = ("debug", "info", "warning", "error", "critical")

MOST_LINES = 60
MOST_SOURCES = 1024
"""How many lines of one event a LogLimit writes in a minute, and how many sources it tells apart."""


def configure(level: str = "info", as_json: bool | None = None, *, stream: TextIO | None = None) -> None:
    """Send all logs of the process, also the standard library's, to `stream` (stderr).

    `as_json` None means JSON unless the stream is a terminal. Call it before the first line is logged: a logger keeps
    the configuration of its first line. Raises ValueError for a level that is not in LEVELS.
    """
    if level not in LEVELS:
        raise ValueError(f"There is no log level {level!r}; there are {', '.join(LEVELS)}.")
    _at_first_line.clear()
    from telvend.kit import log_lines

    log_lines.configure(level, as_json, stream or sys.stderr)


def configure_at_first_line(level: str) -> None:
    """Call `configure(level)` with the first line of the process, ours or the standard library's; for commands."""
    _at_first_line[:] = [level]
    root = logging.getLogger()
    root.handlers[:] = [_FirstRecord()]
    root.setLevel(logging.getLevelNamesMapping()[level.upper()])


_at_first_line: list[str] = []
"""The level that is still to be configured; empty where `configure` was called, or nothing asked for it."""


class _FirstRecord(logging.Handler):
    """Configures the logs, and logs the record again."""

    def emit(self, record: logging.LogRecord) -> None:
        if _at_first_line:
            configure(_at_first_line[0])
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)


class _Logger:
    """Makes structlog's logger of a file with its first line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._made: Any = None

    def __getattr__(self, verb: str) -> Any:
        if self._made is None:
            import structlog

            if _at_first_line:
                configure(_at_first_line[0])
            self._made = structlog.get_logger(self._name)
        return getattr(self._made, verb)


def get(name: str) -> "FilteringBoundLogger":
    """Return the logger of a file; `name` stands in the field `logger`. It may be called before `configure`."""
    return cast("FilteringBoundLogger", _Logger(name))


def bind_request(request_id: str, **facts: object) -> None:
    """Put the request's id, and facts if there are, on every line of this task and of the tasks that it starts."""
    from structlog.contextvars import bind_contextvars, clear_contextvars

    clear_contextvars()
    bind_contextvars(request_id=request_id, **facts)


class LogLimit:
    """Bounds the lines of an event that comes with many requests: one a minute for each source, MOST_LINES a minute in all.

    Each line that is written carries as `left_out` how many were not written before it, so that none goes uncounted.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minute_ends_s = float("-inf")
        self._lines = 0
        # By source: when its next line may be written, and how many were left out since its last.
        self._sources: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._left_out_of_others = 0

    def write(self, tell: Callable[..., object], event: str, *, source: str = "", **facts: object) -> None:
        """Write the event with its facts by `tell`, such as `_log.warning`, unless its source has had its line."""
        left_out = self.admit(source)
        if left_out is not None:
            tell(event, **facts, **({"left_out": left_out} if left_out else {}))

    def admit(self, source: str) -> int | None:
        """None where the line is to be left out, else how many were left out before it."""
        now_s = self._clock()
        if now_s >= self._minute_ends_s:
            self._minute_ends_s, self._lines = now_s + 60, 0
        next_s, left_out = self._sources.get(source, (float("-inf"), 0))
        if now_s < next_s or self._lines >= MOST_LINES:
            self._remember(source, next_s, left_out + 1)
            return None
        self._lines += 1
        self._remember(source, now_s + 60, 0)
        others, self._left_out_of_others = self._left_out_of_others, 0
        return left_out + others

    def _remember(self, source: str, next_s: float, left_out: int) -> None:
        self._sources[source] = (next_s, left_out)
        if len(self._sources) > MOST_SOURCES:
            self._left_out_of_others += self._sources.popitem(last=False)[1][1]
