"""Notifications to systemd: the service is ready, and it is still alive. Source: sd_notify(3), sd_watchdog_enabled(3).

With `Type=notify` and `WatchdogSec=` in the unit, systemd replaces a server that stands still. Without systemd nothing happens.
"""

import asyncio
import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Send one state, such as `READY=1`, where systemd listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        sender.sendto(state.encode(), address)


def watchdog_interval_s() -> float | None:
    """Return how often systemd wants a sign of life from this process, halved to be on the safe side; None: never."""
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or pid not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 2_000_000


class SignsOfLife:
    """Tells systemd that the service is ready, then that its event loop still runs, until `close`."""

    def __init__(self) -> None:
        self._next: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Say that we are ready. Needs a running event loop."""
        notify("READY=1")
        interval_s = watchdog_interval_s()
        if interval_s:
            self._beat(interval_s)

    def close(self) -> None:
        if self._next is not None:
            self._next.cancel()

    def _beat(self, interval_s: float) -> None:
        notify("WATCHDOG=1")
        self._next = asyncio.get_running_loop().call_later(interval_s, self._beat, interval_s)
