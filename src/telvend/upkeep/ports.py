"""Checks of the ports that the settings name: free, or served by Telvend."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from telvend.config import Settings
from telvend.upkeep.findings import Finding, Level

_WITHIN_S: Final = 1.0
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - they are only compared
_ALIVE: Final = b'{"status":"alive"}'


async def ports(settings: Settings) -> Sequence[Finding]:
    """Say whether the server answers on its port, and fail where another program has it."""
    places = [("port", settings.host, settings.port, "/livez")]
    if settings.metrics_port:
        places.append(("metrics port", settings.metrics_host, settings.metrics_port, "/metrics"))
    return [await _of_port(*place) for place in places]


async def _of_port(name: str, host: str, port: int, path: str) -> Finding:
    answer = await ask(_ANY_ADDRESS.get(host, host), port, path)
    where = f"{host} port {port}"
    if answer is None:
        return Finding(name, Level.OK, f"Nothing listens on {where}; the shop can be served there.")
    if _is_ours(answer, path):
        return Finding(name, Level.OK, f"Telvend answers on {where}.")
    text = f"Another program listens on {where}: `telvend serve` cannot start, or clients reach something else."
    return Finding(
        name, Level.FAILURE, text, f"Find it with: ss -ltnp 'sport = :{port}'; end it, or choose another port."
    )


def _is_ours(answer: bytes, path: str) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    if path == "/metrics":
        return b"telvend_" in body
    return head.startswith(b"HTTP/1.1 200 ") and _ALIVE in body


async def ask(host: str, port: int, path: str) -> bytes | None:
    """Return what is answered to a request, or as much of it as comes in time; None where nobody listens."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            reader, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return None
    got = b""
    try:
        async with asyncio.timeout(_WITHIN_S):
            writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            while piece := await reader.read(65536):
                got += piece
    except (OSError, TimeoutError):
        pass
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return got
