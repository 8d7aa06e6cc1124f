"""Servers that break the line in the middle of an answer, in the ways that lines break."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import httpx

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@asynccontextmanager
async def _listening(answer: Play) -> AsyncIterator[str]:
    """The base URL of a server on a port of its own; each connection is closed when `answer` has ended, however it ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, httpx.HTTPError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def far_side(play: Play) -> AsyncIterator[str]:
    """A server that does what `play` says with each connection, once the head of the request has been read."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await play(reader, writer)

    async with _listening(answer) as url:
        yield url


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


async def half(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_HEAD + b'content-length: 500\r\n\r\n{"status": "completed"')
    await writer.drain()


async def dripping(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_HEAD + b"content-length: 500\r\n\r\n")
    for _ in range(100):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def oversized(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_HEAD + b"connection: close\r\n\r\n")
    for _ in range(40):
        writer.write(b" " * 65536)
        await writer.drain()


async def no_http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")


async def redirected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n")


PLAYS: Final = (reset, silent, half, dripping, oversized, no_http, redirected)


@asynccontextmanager
async def served(handle: Callable[[httpx.Request], Awaitable[httpx.Response]]) -> AsyncIterator[str]:
    """A server that answers each request as `handle` does; one that raises breaks the line."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        lengths = [int(value) for name, value in headers.items() if name.lower() == "content-length"]
        body = await reader.readexactly(lengths[0]) if lengths else b""
        answer = await handle(httpx.Request(method, f"http://far{target}", headers=headers, content=body))
        lines = [f"HTTP/1.1 {answer.status_code} Told", "connection: close"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + answer.content)
        await writer.drain()

    async with _listening(respond) as url:
        yield url
