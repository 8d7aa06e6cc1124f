"""The minder brings a database back through whatever goes wrong meanwhile."""

import asyncio
import os
from collections.abc import Callable
from typing import cast

import pytest

from telvend.cli import minder
from telvend.cli.minder import DatabaseMinder
from telvend.embedded_postgres.cluster import Cluster
from telvend.embedded_postgres.refused import PostgresRefused


class Restarts:
    """A cluster whose death is told by a pipe, and whose restart fails with these, one after the other."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tries = 0
        self.announced = False
        self.back = asyncio.Event()
        self.wait_fd, self._death = os.pipe()

    def die(self) -> None:
        os.write(self._death, b".")

    def poll(self) -> int:
        return -9

    async def restart_async(self) -> None:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        os.read(self.wait_fd, 1)

    def announce_again(self) -> None:
        self.announced = True
        self.back.set()


@pytest.mark.parametrize(
    "failures",
    [
        (),
        (PostgresRefused("It does not start."),),
        (OSError(28, "No space left on device"), OSError(28, "No space left on device")),
        (RuntimeError("already started"), TimeoutError()),
    ],
)
async def test_the_database_is_brought_back_after_whatever_failed(
    monkeypatch: pytest.MonkeyPatch, failures: tuple[Exception, ...]
) -> None:
    monkeypatch.setattr(minder, "RETRY_S", 0.01)
    cluster = Restarts(*failures)
    async with DatabaseMinder(cast(Cluster, cluster)):
        cluster.die()
        async with asyncio.timeout(5):
            await cluster.back.wait()
    assert cluster.tries == len(failures) + 1


async def test_the_same_reason_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minder, "RETRY_S", 0.01)
    said: list[str] = []
    say: Callable[..., None] = lambda _, **facts: said.append(facts["error"])  # noqa: E731
    monkeypatch.setattr(minder._logger, "critical", say, raising=False)
    cluster = Restarts(*(OSError(28, "No space left on device") for _ in range(5)))
    async with DatabaseMinder(cast(Cluster, cluster)):
        cluster.die()
        async with asyncio.timeout(5):
            await cluster.back.wait()
    assert said == ["[Errno 28] No space left on device"]
