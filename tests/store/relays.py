"""A TCP address in front of the tests' PostgreSQL: what poolers and lines that break have in common."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def socket_of(database_url: str) -> str:
    """Return the path of the socket on which the server listens."""
    query = parse_qs(urlsplit(database_url).query)
    return f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"


def url_by(database_url: str, hosts: str) -> str:
    """Return the URL of the same database through these hosts: `host:port`, several separated by commas."""
    parts = urlsplit(database_url)
    return f"postgresql://{parts.netloc.rpartition('@')[0]}@{hosts}{parts.path}"


@asynccontextmanager
async def relayed(database_url: str, serve: Serve) -> AsyncIterator[str]:
    """Have `serve` take connections on a TCP port. Yield the URL of the same database through it."""
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield url_by(database_url, f"127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    finally:
        listening.close()
