"""A line to PostgreSQL that breaks when a test says so: during COMMIT, so that nobody knows whether it happened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit


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
    url = urlsplit(database_url)
    query = parse_qs(url.query)
    proxy = Proxy(f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}")
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy, f"postgresql://{url.username}:{url.password}@127.0.0.1:{port}{url.path}"
    finally:
        listening.close()
