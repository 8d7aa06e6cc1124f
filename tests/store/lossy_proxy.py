"""A line to PostgreSQL that breaks when a test says so: during COMMIT, so that nobody knows whether it happened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.store.relays import relayed, socket_of


class Proxy:
    """Stands between a lane and PostgreSQL, and cuts the line at the next COMMIT: before it is passed on, or after it."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self.cut: str | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._socket_path)
        committing = asyncio.Event()

        async def forth() -> None:
            while data := await reader.read(65536):
                if b"COMMIT;" in data and self.cut is not None:
                    cut, self.cut = self.cut, None
                    committing.set()
                    if cut == "before":
                        writer.transport.abort()
                        far_writer.transport.abort()
                        return
                far_writer.write(data)

        async def back() -> None:
            while data := await far_reader.read(65536):
                if committing.is_set():
                    # PostgreSQL has answered, so it has committed; nobody hears of it.
                    writer.transport.abort()
                    return
                writer.write(data)

        await asyncio.wait([asyncio.create_task(forth()), asyncio.create_task(back())], return_when="FIRST_COMPLETED")
        for stream in (writer, far_writer):
            stream.transport.abort()


@asynccontextmanager
async def behind_a_proxy(database_url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy, and the URL of the same database behind it."""
    proxy = Proxy(socket_of(database_url))
    async with relayed(database_url, proxy.serve) as url:
        yield proxy, url
