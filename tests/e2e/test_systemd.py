"""`telvend serve` under systemd: it says when it serves, and that it still does; the process that was started says it alone."""

import os
import signal
import socket
import struct
from pathlib import Path

import pytest

from tests.e2e.shop import Shop, wait_for


class _Systemd:
    """The socket of `NotifyAccess=main`: what was said, and by which process."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)
        self.heard: list[tuple[int, str]] = []

    def hear(self) -> list[str]:
        """Everything that was said so far."""
        while True:
            try:
                data, extra, *_ = self._socket.recvmsg(200, 200)
            except BlockingIOError:
                return [said for _, said in self.heard]
            pid, _, _ = struct.unpack("iII", extra[0][2])
            self.heard.append((pid, data.decode()))

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "two workers"])
def test_a_server_says_once_that_it_is_ready_and_then_that_it_lives(
    options: tuple[str, ...], fresh_shop: Shop, tmp_path: Path
) -> None:
    shop, systemd = fresh_shop, _Systemd(tmp_path)
    shop.settings |= {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "1000000"}
    try:
        shop.start(*options)
        wait_for(lambda: systemd.hear().count("WATCHDOG=1") >= 3, 5, "signs of life")
        assert systemd.heard[0] == (shop.pid, "READY=1")
        assert systemd.hear().count("READY=1") == 1
        assert {pid for pid, _ in systemd.heard} == {shop.pid}
        os.kill(shop.pid, signal.SIGSTOP)
        systemd.hear()
        before = len(systemd.heard)
        try:
            with pytest.raises(AssertionError):
                wait_for(lambda: len(systemd.hear()) > before, 1, "a stopped process says nothing")
        finally:
            os.kill(shop.pid, signal.SIGCONT)
        wait_for(lambda: len(systemd.hear()) > before, 3, "it lives again")
        assert shop.stop() == 0
    finally:
        systemd.close()
