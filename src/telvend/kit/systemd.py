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


async def live() -> None:
    """Say that we are ready, then give signs of life for as long as the event loop runs. Cancel it to end."""
    notify("READY=1")
    interval_s = watchdog_interval_s()
    while interval_s:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval_s)
