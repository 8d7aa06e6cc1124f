"""Restarts the embedded database when it dies.

Whatever goes wrong while it does, a full disk among it, is logged and tried again each second: nobody else would.
"""

import asyncio
from typing import Final

from telvend.embedded_postgres.cluster import Cluster
from telvend.kit import log

RETRY_S: Final = 1.0

_logger = log.get("telvend.serve")


class DatabaseMinder:
    """Watches a running cluster for as long as its context lasts."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._restarting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._watch()

    async def __aexit__(self, *_: object) -> None:
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.wait([self._restarting])
        else:
            asyncio.get_running_loop().remove_reader(self._cluster.wait_fd)

    def _watch(self) -> None:
        asyncio.get_running_loop().add_reader(self._cluster.wait_fd, self._died)

    def _died(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._cluster.wait_fd)
        _logger.error("database_died", status=self._cluster.poll())
        self._restarting = loop.create_task(self._restart())

    async def _restart(self) -> None:
        told = ""
        while True:
            try:
                await self._cluster.restart_async()
                break
            except Exception as error:
                # The same reason each second would only fill the disk that may be full.
                if str(error) != told:
                    told = str(error)
                    _logger.critical("database_does_not_start", error=told or type(error).__name__)
                await asyncio.sleep(RETRY_S)
        _logger.warning("database_is_back")
        self._restarting = None
        self._watch()
        while not self._cluster.announced:
            # Commands find the server by a file, for which there may be no room yet.
            await asyncio.sleep(RETRY_S)
            self._cluster.announce_again()
