"""Ctrl-C and SIGTERM of a command that runs for long: it ends what it is doing first."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from telvend.cli.common import progress


@contextmanager
def stopping(sentence: str) -> Iterator[asyncio.Event]:
    """An event that Ctrl-C and SIGTERM set, with `sentence` on stderr; a second one ends the program at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def heard() -> None:
        progress(sentence)
        stop.set()
        for one in signals:
            loop.remove_signal_handler(one)

    try:
        for one in signals:
            loop.add_signal_handler(one, heard)
    except (RuntimeError, ValueError):
        pass  # Not the main thread: somebody else hears signals.
    try:
        yield stop
    finally:
        for one in signals:
            with suppress(RuntimeError, ValueError):
                loop.remove_signal_handler(one)
