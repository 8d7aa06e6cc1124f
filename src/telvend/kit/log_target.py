"""Where the lines of a log go: a file that costs lines, never requests.

A disk that is full, a reader that has gone and one that stands still lose lines. What is lost is counted, and said in a line
of its own once lines can be written again.
"""

import io
import os
import select
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, Final

PATIENCE_S: Final = 0.1
"""How long a line waits for a reader that is behind; the ones after it do not wait until the reader goes on."""


class LogTarget:
    """Writes lines to `file`. `lost` makes the line that says how many were lost."""

    def __init__(self, file: BinaryIO, lost: Callable[[int], bytes]) -> None:
        self._file = file
        self._line_of = lost
        self._lost = 0
        self._torn = False
        try:
            self._output: _Output | None = _Output(file.fileno())
        except (io.UnsupportedOperation, AttributeError, ValueError, OSError):
            self._output = None  # Something in memory, as in tests, or closed.

    def write(self, line: bytes) -> None:
        """Write one line with its end, or lose it."""
        if self._output is None:
            with suppress(OSError, ValueError):
                self._file.write(line)
            return
        if self._lost:
            line = self._line_of(self._lost) + line
        if self._torn:
            line = b"\n" + line
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._output.write(rest, 0.0 if self._lost else PATIENCE_S) :]
        except (OSError, ValueError):
            self._lost += 1
            self._torn = self._torn or len(rest) < len(line)
        else:
            self._lost, self._torn = 0, False

    def flush(self) -> None:
        """Do nothing but where the file is in memory: each line was written at once."""
        if self._output is None:
            with suppress(OSError, ValueError):
                self._file.flush()

    def close(self) -> None:
        """Give the descriptor back that was opened beside the file's. Lines that come later are lost."""
        if self._output is not None:
            self._output.close()


class _Output:
    """A descriptor that is written to without waiting longer than one is told to.

    Whether a descriptor blocks is a property that it shares with other processes, so that it is not changed: a pipe and a
    terminal are opened once more, and a socket (journald's) is written to with a flag.
    """

    def __init__(self, descriptor: int) -> None:
        """Raises OSError where the descriptor is closed."""
        mode = os.fstat(descriptor).st_mode
        self._descriptor = descriptor
        self._opened: int | None = None
        self._socket: socket.socket | None = None
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(descriptor))
        elif not stat.S_ISREG(mode):
            # Where it is not allowed, a reader that stands still makes us wait.
            with suppress(OSError):
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
                self._descriptor = self._opened = os.open(f"/proc/self/fd/{descriptor}", flags)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLOUT)

    def write(self, data: memoryview, wait_s: float) -> int:
        """Write what can be written within `wait_s` and return how much it is. Raises BlockingIOError, OSError."""
        try:
            return self._write(data)
        except BlockingIOError:
            if not wait_s or not self._poll.poll(wait_s * 1000):
                raise
            return self._write(data)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None
            self._descriptor = -1

    def _write(self, data: memoryview) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        return os.write(self._descriptor, data)
