"""Doubles of a pooler in front of PostgreSQL: one that drops what clients send at the start, one that shares connections.

Both answer with a process number of their own, as PgBouncer does.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from tests.store.relays import relayed, socket_of

_READY, _KEY, _AUTHENTICATION, _PARAMETER, _TERMINATE = b"Z", b"K", b"R", b"S", b"X"
_KEPT = (b"user", b"database")

Message = tuple[bytes, bytes]


async def _message(reader: asyncio.StreamReader) -> Message:
    kind = await reader.readexactly(1)
    length = int.from_bytes(await reader.readexactly(4), "big")
    return kind, await reader.readexactly(length - 4)


def _packed(message: Message) -> bytes:
    kind, body = message
    return kind + (len(body) + 4).to_bytes(4, "big") + body


async def _startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The client's first message, with nothing in it but who wants which database."""
    while True:
        length = int.from_bytes(await reader.readexactly(4), "big")
        body = await reader.readexactly(length - 4)
        if body[:4] != (196608).to_bytes(4, "big"):
            writer.write(b"N")  # It asked for TLS.
            continue
        words = body[4:].split(b"\0")
        pairs = [(name, value) for name, value in zip(words[::2], words[1::2], strict=False) if name in _KEPT]
        kept = body[:4] + b"".join(name + b"\0" + value + b"\0" for name, value in pairs) + b"\0"
        return (len(kept) + 4).to_bytes(4, "big") + kept


class Pooler:
    """Session pooling: every client has a connection of its own; what it sent at the start is dropped."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._clients = 0

    def close(self) -> None:
        """End what is still open to the server."""

    def _fake_key(self) -> bytes:
        self._clients += 1
        return _packed((_KEY, self._clients.to_bytes(4, "big") + b"\0\0\0\1"))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._socket_path)
        far_writer.write(await _startup(reader, writer))

        async def forth() -> None:
            while data := await reader.read(65536):
                far_writer.write(data)

        async def back() -> None:
            while True:
                message = await _message(far_reader)
                writer.write(self._fake_key() if message[0] == _KEY else _packed(message))

        await _both(forth(), back())
        for stream in (writer, far_writer):
            stream.transport.abort()


class TransactionPooler(Pooler):
    """Transaction pooling with a single connection, which is lent for one transaction at a time.

    The first client's password opens it; the others are let in.
    """

    def __init__(self, socket_path: str) -> None:
        super().__init__(socket_path)
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._greeting: list[bytes] = []
        self._lent = asyncio.Lock()

    def close(self) -> None:
        if self._server is not None:
            self._server[1].transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        startup = await _startup(reader, writer)
        try:
            async with self._lent:
                if self._server is None:
                    self._server = await self._open(startup, reader, writer)
                else:
                    writer.write(_packed((_AUTHENTICATION, b"\0\0\0\0")) + b"".join(self._greeting))
                    writer.write(self._fake_key() + _packed((_READY, b"I")))
            await self._transactions(reader, writer, *self._server)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _open(
        self, startup: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        far_reader, far_writer = await asyncio.open_unix_connection(self._socket_path)
        far_writer.write(startup)
        while True:
            kind, body = await _message(far_reader)
            if kind == _PARAMETER:
                self._greeting.append(_packed((kind, body)))
            writer.write(self._fake_key() if kind == _KEY else _packed((kind, body)))
            if kind == _AUTHENTICATION and body[:4] not in (b"\0\0\0\0", b"\0\0\0\x0c"):
                far_writer.write(_packed(await _message(reader)))
            if kind == _READY:
                return far_reader, far_writer

    async def _transactions(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        while True:
            first = await _message(reader)
            if first[0] == _TERMINATE:
                return
            async with self._lent:
                far_writer.write(_packed(first))
                answering = asyncio.create_task(self._answers(far_reader, writer))
                asking = asyncio.create_task(self._questions(reader, far_writer))
                await asyncio.wait([answering, asking], return_when="FIRST_COMPLETED")
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                await answering

    async def _questions(self, reader: asyncio.StreamReader, far_writer: asyncio.StreamWriter) -> None:
        while True:
            far_writer.write(_packed(await _message(reader)))

    async def _answers(self, far_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand the answers on until the transaction has ended."""
        while True:
            kind, body = await _message(far_reader)
            writer.write(_packed((kind, body)))
            if kind == _READY and body == b"I":
                return


async def _both(*works: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(work) for work in works]
    _, left = await asyncio.wait(tasks, return_when="FIRST_COMPLETED")
    for task in left:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def behind(made: type[Pooler], database_url: str) -> AsyncIterator[str]:
    """The URL of the same database behind a pooler."""
    pooler = made(socket_of(database_url))
    try:
        async with relayed(database_url, pooler.serve) as url:
            yield url
    finally:
        pooler.close()
        await asyncio.sleep(0)  # Transports end in the next round of the loop.
