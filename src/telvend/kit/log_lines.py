"""The lines of a log: how structlog and the standard library are set up, what is masked, how a line is rendered.

Only log.py imports this file, when logs are configured.
"""

import dataclasses
import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from io import StringIO
from typing import Any, BinaryIO, TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from telvend.kit.log import LogLimit
from telvend.kit.log_target import LogTarget
from telvend.kit.phone import masked

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

# During an outage it warns with a traceback, again and again, of what database/outage.py says once.
_REPEATING = ("asyncpg.pool",)

# What these say of a connection or a request, anybody on the network can have them say.
_PROVOKED = ("uvicorn.error", "asyncio")


_targets: list[LogTarget] = []
"""The target of the configuration that stands."""


def configure(level: str, as_json: bool | None, stream: TextIO) -> None:
    """Do what `log.configure` says; `level` is one of its LEVELS."""
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
    while _targets:
        _targets.pop().close()
    target = LogTarget(stream.buffer, lambda count: _lost_line(count, as_json=as_json))
    _targets.append(target)
    structlog.configure(
        processors=[*first, render],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.BytesLoggerFactory(cast(BinaryIO, target)),
        cache_logger_on_first_use=True,
    )
    handler = _TargetHandler(target)
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
    for name in _REPEATING:
        logging.getLogger(name).setLevel(max(lowest, logging.ERROR))
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(lowest, logging.WARNING))


class _TargetHandler(logging.Handler):
    """Writes the standard library's records where our own lines go."""

    def __init__(self, target: LogTarget) -> None:
        super().__init__()
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode(errors="replace")
        except Exception:  # A record that cannot be rendered costs itself, not its request.
            line = f"{record.name}: a record that cannot be shown".encode()
        self._target.write(line + b"\n")


def _lost_line(count: int, *, as_json: bool) -> bytes:
    facts = {"level": "warning", "event": "log_lines_lost", "count": count}
    if as_json:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return json.dumps({"timestamp": now, **facts}).encode() + b"\n"
    return f"log_lines_lost count={count}\n".encode()


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
