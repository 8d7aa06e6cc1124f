"""A reseller's program that takes webhooks over a real connection, well or badly."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Behaviour = Callable[["Received", asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Received:
    """One request, as it came."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Receiver:
    """Answers each request as `behaviour` says; `requests` are all that came, `connections` how many."""

    behaviour: Behaviour
    port: int = 0
    connections: int = 0
    requests: list[Received] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    serving: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    @property
    def ids(self) -> list[str]:
        return [request.id for request in self.requests]

    async def wait_for(self, count: int, patience_s: float = 20.0) -> list[Received]:
        """The requests, once there are so many."""
        async with asyncio.timeout(patience_s):
            while len(self.requests) < count:
                self.came.clear()
                await self.came.wait()
        return self.requests

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection; what `asyncio.start_server` calls."""
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                received = Received(head[0], headers, body)
                self.requests.append(received)
                self.came.set()
                await self.behaviour(received, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def says(status: str = "200 OK", body: bytes = b"thanks", *more: str) -> Behaviour:
    """Answer at once."""

    async def behave(_: Received, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *more]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    return behave


def sends(raw: bytes, *, then_close: bool = False) -> Behaviour:
    """Send these bytes for an answer."""

    async def behave(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        if then_close:
            await writer.drain()
            writer.close()

    return behave


async def hangs(_: Received, writer: asyncio.StreamWriter) -> None:
    """Say nothing until the other side has gone."""
    await writer.wait_closed()


async def resets(_: Received, writer: asyncio.StreamWriter) -> None:
    """Reset the connection."""
    writer.transport.abort()


@asynccontextmanager
async def receiving(behaviour: Behaviour) -> AsyncIterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver(behaviour)
    server = await asyncio.start_server(receiver.accept, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in receiver.serving:
            task.cancel()
        await asyncio.gather(*receiver.serving, return_exceptions=True)
