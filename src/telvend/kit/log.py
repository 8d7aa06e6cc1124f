"""Structured logs: one JSON object per line on stderr, or coloured lines when stderr is a terminal.

    configure("info")                                  # once, at the entry of a process
    _log = get(__name__)                               # at the top of a file
    _log.info("order_placed", order=order_id, phone=number)        # an event in snake_case, and its facts

What `bind_request` binds stands on every line of that request. Secrets and telephone numbers are masked by the names
of their fields before a line is rendered, at any depth, so that a careless line gives nothing away. Text inside of a
sentence is not searched: put facts into fields. The logs of uvicorn, asyncio and alembic come out the same way.
"""

import dataclasses
import json
import logging
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from io import StringIO
from typing import Any, BinaryIO, TextIO, cast

import msgspec
import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from telvend.kit.phone import masked

LEVELS = ("debug", "info", "warning", "error", "critical")

STARS = "*****"

# A field is secret if one of the words of its name is here (api_key, accessToken, X-Authorization, voucher_pins) or
# ends like those below (apikey). A name that ends with the word id (key_id) names a secret and is none.
_SECRET_WORDS = frozenset(
    ("key", "token", "pin", "nin", "bvn", "password", "passphrase", "secret", "authorization", "cookie", "credential")
)
_SECRET_ENDINGS = ("apikey", "token", "password", "secret")
_TELEPHONE_WORDS = frozenset(("msisdn", "phone", "telephone", "mobile", "subscriber"))
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# What has seven digits and few letters is taken for a telephone number ("tel:+233…"); a UUID has more letters.
_FEWEST_DIGITS = 7
_MOST_LETTERS = 4
_SEPARATORS = re.compile(r"[^\w+]")
_NO_DIGITS = re.compile(r"\D")

_FLAT = frozenset((str, int, float, bool, type(None), bytes))
_NOTHING = (False, False)

# Deeper than this there is an ellipsis. It also ends what contains itself.
_DEEPEST = 8

# Their lines at level info say what our own say, with whole addresses, in which numbers stand.
_TALKATIVE = ("uvicorn.access", "httpx", "httpcore")

# What these say of a connection or a request, anybody on the network can have them say.
_PROVOKED = ("uvicorn.error", "asyncio")

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
    stream = stream or sys.stderr
    terminal = stream.isatty()
    if as_json is None:
        as_json = not terminal
    lowest = logging.getLevelNamesMapping()[level.upper()]
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if as_json:
        # A traceback is text, without the values of variables, which may be anything.
        first += [structlog.processors.format_exc_info, mask]
        render: Processor = _to_json
    else:
        first += [mask]
        render = _ToConsole(colors=terminal)
    structlog.configure(
        processors=[*first, render],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.BytesLoggerFactory(cast(BinaryIO, _Patient(stream.buffer))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=first,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render, _as_text],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(lowest)
    for name in list(root.manager.loggerDict):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _PROVOKED:
        logger = logging.getLogger(name)
        logger.filters[:] = [_LimitedRecords()]
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(lowest, logging.WARNING))


def get(name: str) -> FilteringBoundLogger:
    """Return the logger of a file; `name` stands in the field `logger`. It may be called before `configure`."""
    return cast(FilteringBoundLogger, structlog.get_logger(name))


def bind_request(request_id: str, **facts: object) -> None:
    """Put the request's id, and facts if there are, on every line of this task and of the tasks that it starts."""
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


class _LimitedRecords(logging.Filter):
    """Bounds the warnings of a library's logger by their text; `left_out` as with LogLimit."""

    def __init__(self) -> None:
        super().__init__()
        self._limit = LogLimit()

    def filter(self, record: logging.LogRecord) -> bool:
        left_out = self._limit.admit(str(record.msg))
        if left_out:
            record.msg = f"{record.msg} (and {left_out} more before)"
        return left_out is not None


def mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask what the names of the fields say is secret or a telephone number. A processor of structlog."""
    for name, value in event.items():
        # Most fields are plain values under plain names: those are passed by at once.
        if value.__class__ in _FLAT and _what_is_named(name) is _NOTHING:
            continue
        if name not in ("event", "exc_info"):
            event[name] = _field(name, value, telephone=False, depth=1)
    return event


def _field(name: str, value: object, *, telephone: bool, depth: int) -> object:
    secret, named_telephone = _what_is_named(name)
    if secret and value is not None and not isinstance(value, bool):
        return STARS
    return _value(value, telephone or named_telephone, depth)


@lru_cache(maxsize=4096)
def _what_is_named(name: str) -> tuple[bool, bool]:
    words = [word.lower() for word in _WORD.findall(name)]
    singular = {word.removesuffix("s") for word in words} | set(words)
    secret = words[-1:] != ["id"] and (
        not singular.isdisjoint(_SECRET_WORDS) or any(word.endswith(_SECRET_ENDINGS) for word in singular)
    )
    telephone = not singular.isdisjoint(_TELEPHONE_WORDS)
    return (secret, telephone) if secret or telephone else _NOTHING


def _value(value: object, telephone: bool, depth: int) -> object:
    if isinstance(value, str):
        return _text(value) if telephone else value
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return _text(str(value)) if telephone and len(str(value)) >= _FEWEST_DIGITS else value
    fields = _fields(value)
    if fields is None and not isinstance(value, list | tuple | set | frozenset):
        return value
    if depth >= _DEEPEST:
        return "…"
    if fields is None:
        return [_value(item, telephone, depth + 1) for item in cast("list[object]", value)]
    return {
        (text := key if isinstance(key, str) else str(key)): _field(text, item, telephone=telephone, depth=depth + 1)
        for key, item in fields.items()
    }


def _fields(value: object) -> Mapping[Any, object] | None:
    """The named parts of a value, of whichever kind of record it is: the JSON encoder would look into all of these."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = tuple(field.name for field in dataclasses.fields(value))
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        names = value._fields
    elif attributes := getattr(type(value), "__attrs_attrs__", None):
        names = tuple(attribute.name for attribute in attributes)
    else:
        return None
    return {name: getattr(value, name, None) for name in names}


def _text(value: str) -> str:
    bare = _SEPARATORS.sub("", value)
    digits = len(_NO_DIGITS.sub("", bare))
    if digits < _FEWEST_DIGITS or len(bare) - digits > _MOST_LETTERS + 1:
        return value
    return masked(bare)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # A line of a log is no place to fail.
        return f"<{type(value).__name__} that cannot be shown>"


_encoder = msgspec.json.Encoder(enc_hook=_shown, decimal_format="string")


def _to_json(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    line = {
        "timestamp": event.pop("timestamp", None),
        "level": event.pop("level", None),
        "event": event.pop("event", None),
        **event,
    }
    try:
        return _encoder.encode(line)
    except (TypeError, ValueError, OverflowError):
        # A lone surrogate, or a number of more than 64 bits: slower, but it says everything.
        return json.dumps(line, default=_shown).encode()


class _ToConsole:
    """Renders for people: one line for each event, whatever was logged. Nothing in it is obeyed by a terminal.

    A traceback follows its line, indented, so that no line of it reads like another event.
    """

    def __init__(self, *, colors: bool) -> None:
        self._render = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_indented_traceback)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> bytes:
        shown: EventDict = {
            _escaped(name) if isinstance(name, str) else name: value
            if name in ("exc_info", "exception", "stack")
            else _escaped(value if isinstance(value, str) else repr(value))
            for name, value in event.items()
        }
        for name in ("exception", "stack"):
            if name in shown:
                shown[name] = _indented(str(shown[name]))
        return self._render(logger, method, shown).encode(errors="replace")


def _escaped(text: str) -> str:
    """The text with everything that is no printable character written as in a Python literal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _indented(text: str) -> str:
    return "\n".join("    " + _escaped(line.replace("\t", "    ")) for line in text.split("\n"))


def _indented_traceback(file: TextIO, exc_info: Any) -> None:
    text = StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    file.write("\n" + _indented(text.getvalue().strip("\n")))


def _as_text(_logger: WrappedLogger, _method: str, line: Any) -> str:
    return cast(bytes, line).decode()


class _Patient:
    """A file for logs: a full disk or a reader that has gone costs lines, not requests."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, line: bytes) -> None:
        try:
            self._file.write(line)
        except (OSError, ValueError):
            return

    def flush(self) -> None:
        try:
            self._file.flush()
        except (OSError, ValueError):
            return
