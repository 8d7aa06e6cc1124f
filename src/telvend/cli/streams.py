"""stdout and stderr as commands use them: nothing that is printed makes a command fail that has done its work.

    install()                       # once, in main(): in place of Python's own streams

What the terminal cannot show is printed as an escape (`\\u1ecc`), which in JSON means the same letter. stderr takes what it is
given: a full disk behind it costs a sentence, not the command. stdout that cannot be written raises OutputLost, once, wherever
it is written from; common.py decides what that means for the command.
"""

import codecs
import io
import os
import select
import sys
from typing import Final, TextIO

ESCAPES: Final = "telvend-escapes"
"""The error handler of the streams."""


class OutputLost(Exception):
    """stdout cannot be written. The message says why; `by_reader`: whoever read it has gone, as `head` does."""

    def __init__(self, reason: str, *, by_reader: bool) -> None:
        self.by_reader = by_reader
        super().__init__(reason)


def install() -> None:
    """Put our streams in the place of Python's own."""
    _occupy()
    codecs.register_error(ESCAPES, _escaped)
    sys.stdout = _text(sys.stdout, _Stdout(1), line_buffering=False)
    sys.stderr = _text(sys.stderr, _Stderr(2), line_buffering=True)


def _occupy() -> None:
    """Where a standard stream was closed by whoever started us, keep its number from being given to another file."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # Opened the wrong way round, so that using it still fails; the lowest free number is the one that was closed.
            os.open(os.devnull, os.O_WRONLY if number == 0 else os.O_RDONLY)


def _text(before: TextIO | None, raw: io.RawIOBase, *, line_buffering: bool) -> TextIO:
    encoding = getattr(before, "encoding", None) or "utf-8"
    if before is not None:
        before.flush()
    line_buffering = line_buffering or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, ESCAPES, line_buffering=line_buffering)


class _Raw(io.RawIOBase):
    """A file descriptor that is written to as long as that works; after that, what is written is gone."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._lost = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data: "memoryview | bytes") -> int:  # type: ignore[override]
        while not self._lost:
            try:
                return os.write(self._number, data)
            except BlockingIOError:
                # A pipe that its reader has made non-blocking, and that is full.
                select.select([], [self._number], [])
            except OSError as error:
                self._lost = True
                self._failed(error)
        return len(data)

    def _failed(self, error: OSError) -> None:
        """Do what follows from the first failure; by itself nothing."""


class _Stdout(_Raw):
    def _failed(self, error: OSError) -> None:
        reason = "it is closed" if isinstance(error, BrokenPipeError) else error.strerror or type(error).__name__
        raise OutputLost(reason, by_reader=isinstance(error, BrokenPipeError))


class _Stderr(_Raw):
    """Drops what cannot be written: there is nowhere else to report it."""


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Escapes as JSON has them: letters beyond 16 bits as a pair."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    units = letters.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2)), error.end
