"""Graceful stop of a long-running command on Ctrl-C and SIGTERM."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from telvend.cli.common import progress


@contextmanager
def stopping(sentence: str) -> Iterator[asyncio.Event]:
    """Yield an event that Ctrl-C and SIGTERM set, printing `sentence` on stderr; a second signal ends the program at once."""
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
        pass  # Not the main thread, which alone can handle signals.
    try:
        yield stop
    finally:
        for one in signals:
            with suppress(RuntimeError, ValueError):
                loop.remove_signal_handler(one)
