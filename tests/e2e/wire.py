"""HTTP/1.1 as bare as it can be: thousands of requests cost seconds, and what is sent may be as wrong as one likes."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One kept-alive connection. Raises ConnectionError or IncompleteReadError when the far side goes away."""

    def __init__(self, port: int, key: str = "") -> None:
        self._port = port
        self._key = key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def buy(self, body: Any) -> Reply:
        """POST /api/v1/purchase."""
        return await self.request("POST", "/api/v1/purchase", json.dumps(body).encode())

    async def request(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """Send a request and read its answer; on a new connection when the last one has ended."""
        own = {"host": "shop", "x-api-key": self._key} | (headers or {})
        if body is not None:
            own["content-length"] = str(len(body))
        head = "".join(f"{name}: {text}\r\n" for name, text in own.items())
        return await self.send(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + (body or b""), method == "HEAD")

    async def send(self, raw: bytes, bodyless: bool = False) -> Reply:
        """Send these bytes and read one answer."""
        try:
            async with asyncio.timeout(30):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._streams
                writer.write(raw)
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines) if name}
                length = 0 if bodyless else int(headers["content-length"])
                reply = Reply(int(first.split()[1]), headers, await reader.readexactly(length))
        except BaseException:
            self.close()
            raise
        if headers.get("connection") == "close":
            self.close()
        return reply
