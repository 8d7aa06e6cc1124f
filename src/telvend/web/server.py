"""HTTP in one serving process: uvicorn with our connections and their limits.

http = HttpServer(settings, listeners, app, by_port, open_files)
http.start()            # inside the event loop
await http.ended()      # only a fault, or `close`
await http.close()      # requests in hand are answered, nobody new is let in
"""

import asyncio
import gc
import socket
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn

from telvend.config import Settings
from telvend.web.connections import ConnectionLimits, Connections, most_connections
from telvend.web.forwarded import TrustedProxies
from telvend.web.protocol import HttpProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_DRAIN_S: Final = 10
"""How long requests in hand may take when the server ends."""


class HttpServer:
    """See the head of this file. `by_port` answer on ports of their own, `app` everywhere else."""

    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[socket.socket],
        app: "ASGIApp",
        by_port: "Mapping[int, ASGIApp]",
        open_files: int,
    ) -> None:
        self._listeners = list(listeners)
        self._connections = Connections(
            _limits(settings, open_files),
            TrustedProxies(settings.trusted_proxies),
            apps_by_port=by_port,
        )
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                app,
                http=cast(Any, partial(HttpProtocol, connections=self._connections)),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # Who is believed is the setting trusted_proxies; variables that are meant for other programs decide nothing.
                proxy_headers=False,
                forwarded_allow_ips="",
                workers=1,
                timeout_graceful_shutdown=_DRAIN_S,
                backlog=2048,
            )
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to answer. What is in memory now stays there for good."""
        # The collector need not walk through it again while somebody waits, and young objects of a few hundred requests
        # at once are looked at less often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(25_000, 20, 50)
        self._connections.start()
        self._task = asyncio.create_task(self._uvicorn.serve(sockets=self._listeners or None))

    async def ended(self) -> None:
        """Wait until nothing is answered any more."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Answer the requests in hand and let nobody new in. Raises what has ended uvicorn before."""
        if self._task is not None:
            self._uvicorn.should_exit = True
            try:
                await self._task
            finally:
                self._connections.close()


class _Uvicorn(uvicorn.Server):
    """uvicorn without its own signal handlers: `telvend serve` decides when to stop."""

    def install_signal_handlers(self) -> None: ...

    def capture_signals(self):  # type: ignore[no-untyped-def]
        return nullcontext()


def _limits(settings: Settings, open_files: int) -> ConnectionLimits:
    return ConnectionLimits(
        header_bytes=settings.max_header_bytes,
        header_fields=settings.max_header_fields,
        pipelined_requests=settings.max_pipelined_requests,
        header_timeout_s=settings.client_header_timeout_s,
        body_timeout_s=settings.client_body_timeout_s,
        keepalive_timeout_s=settings.keepalive_timeout_s,
        send_timeout_s=settings.send_timeout_s,
        connections=most_connections(open_files, settings.pool_size, settings.max_client_connections),
        connections_per_address=settings.max_connections_per_address,
    )
