"""One serving process: opens the shop, starts its tasks, answers HTTP until asked to stop, then drains."""

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, cast

import typer
import uvicorn

from telvend.bootstrap import Shop, applications, open_shop
from telvend.cli.frame import json_text
from telvend.cli.listening import listen_for_metrics
from telvend.cli.streams import OutputLost
from telvend.config import Settings
from telvend.errors import Busy
from telvend.kit import log, metrics
from telvend.kit.runtime import Runtime
from telvend.upkeep.deployment import is_local
from telvend.upkeep.reality import announcements
from telvend.web.connections import Connections, Limits, most_connections, raise_file_limit
from telvend.web.forwarded import TrustedProxies
from telvend.web.protocol import HttpProtocol

DEAD_LANE_EXIT_CODE: Final = 70

_logger = log.get("telvend.serve")


Ready = Callable[[Shop, asyncio.Event], Awaitable[None]]
"""Called once when a single process has begun to serve, with its shop and what stops it."""


def configure_logs(settings: Settings) -> None:
    """Send the logs of a serving process where the settings say."""
    log.configure(settings.log_level, None if settings.log_format == "auto" else settings.log_format == "json")


class Main(Protocol):
    """What a process does between its start and `stop`."""

    async def __call__(
        self,
        settings: Settings,
        url: str,
        listener: socket.socket | None,
        stop: asyncio.Event,
        ready: Ready | None,
        as_json: bool,
    ) -> None: ...


async def standing_of(shop: Shop) -> list[str]:
    """What has to be said of a shop at its start: what pretends, what funds nothing, whether live sales are halted."""
    try:
        wallets = await shop.play_money.wallets()
    except Busy:
        wallets = []  # The gate has looked, and the log says it.
    return announcements(shop.connected, wallets)


def announce(settings: Settings, as_json: bool, standing: Sequence[str] = ()) -> None:
    """Say where we are and how the shop stands. As JSON also one object on stdout."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    typer.echo(f"Telvend serves on http://{host}:{settings.port}", err=True)
    if as_json:
        _say_for_programs({"url": f"http://{host}:{settings.port}", "pid": os.getpid()})
    if not settings.public_url and not is_local(settings.host):
        typer.echo(
            "NOTE: public_url is not set: absolute addresses in answers, those of payment pages among them, are made of"
            " the Host that each request names. Set TELVEND_PUBLIC_URL to the address that clients use.",
            err=True,
        )
    for sentence in standing:
        typer.echo(sentence, err=True)


def _say_for_programs(data: dict[str, object]) -> None:
    try:
        typer.echo(json_text(data))
    except OutputLost as error:
        # Whoever wanted to read it has gone; that is no reason not to serve.
        _logger.warning("stdout_cannot_be_written", error=str(error))


async def run_api(
    settings: Settings,
    url: str,
    listener: socket.socket | None,
    stop: asyncio.Event,
    ready: Ready | None,
    as_json: bool,
) -> None:
    """Serve HTTP on `listener`, and deliver orders unless the settings say otherwise."""
    if settings.workers > 1:
        metrics.prepare(Path(settings.data_dir) / "run" / "metrics")
    # After the database was started, which is left with the limit that it was given.
    files = raise_file_limit()
    async with _running(settings, url, fulfilment=settings.fulfilment) as shop:
        listeners = [listener] if listener else []
        if settings.metrics_port:
            listeners.append(listen_for_metrics(settings))
        main, metrics_only = applications(shop, Path(settings.data_dir) / "run")
        connections = Connections(
            _limits(settings, files),
            TrustedProxies(settings.trusted_proxies),
            apps_by_port={settings.metrics_port: metrics_only} if settings.metrics_port else {},
        )
        http = _Http(
            uvicorn.Config(
                main,
                http=cast(Any, partial(HttpProtocol, connections=connections)),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # Who is believed is the setting trusted_proxies; variables that are meant for other programs decide nothing.
                proxy_headers=False,
                forwarded_allow_ips="",
                workers=1,
                timeout_graceful_shutdown=10,
                backlog=2048,
            )
        )
        # What is here now stays for good: the collector need not walk through it again while somebody waits, and young
        # objects of a few hundred requests at once are looked at less often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(25_000, 20, 50)
        connections.start()
        serving = asyncio.create_task(http.serve(sockets=listeners or None))
        try:
            if settings.workers == 1:
                announce(settings, as_json, await standing_of(shop))
            if ready is not None:
                await ready(shop, stop)
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([stopping, serving], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
        finally:
            # Requests in hand are answered, nobody new is let in; then the shop closes behind them.
            http.should_exit = True
            await serving
            connections.close()


def _limits(settings: Settings, files: int) -> Limits:
    return Limits(
        header_bytes=settings.max_header_bytes,
        header_fields=settings.max_header_fields,
        pipelined_requests=settings.max_pipelined_requests,
        header_timeout_s=settings.client_header_timeout_s,
        body_timeout_s=settings.client_body_timeout_s,
        keepalive_timeout_s=settings.keepalive_timeout_s,
        send_timeout_s=settings.send_timeout_s,
        connections=most_connections(files, settings.pool_size, settings.max_client_connections),
        connections_per_address=settings.max_connections_per_address,
    )


async def run_fulfilment(
    settings: Settings,
    url: str,
    listener: socket.socket | None,  # noqa: ARG001 - nobody listens
    stop: asyncio.Event,
    ready: Ready | None,
    as_json: bool,
) -> None:
    """Deliver orders until asked to stop."""
    async with _running(settings, url, fulfilment=True) as shop:
        typer.echo("Telvend delivers orders; it does not listen.", err=True)
        for sentence in await standing_of(shop):
            typer.echo(sentence, err=True)
        if as_json:
            _say_for_programs({"pid": os.getpid()})
        if ready is not None:
            await ready(shop, stop)
        await stop.wait()


class _Http(uvicorn.Server):
    """uvicorn without its own signal handlers: stopping is decided above."""

    def install_signal_handlers(self) -> None:
        """Left to serve.py."""

    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Left to serve.py."""
        return _nothing()


class _nothing:  # noqa: N801 - a context manager, as contextlib spells them
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


@asynccontextmanager
async def _running(settings: Settings, url: str, *, fulfilment: bool) -> AsyncIterator[Shop]:
    """A shop with its lanes, its watch and, where asked, its fulfilment running."""

    def died(error: BaseException) -> None:
        # A lane without its task would leave everybody waiting for ever. Somebody else starts us again.
        _logger.critical("lane_died", error=repr(error))
        asyncio.get_running_loop().call_later(0.2, os._exit, DEAD_LANE_EXIT_CODE)

    runtime = Runtime(died=died, batch=metrics.lane_batch)
    async with open_shop(settings, url, runtime=runtime, serves=True) as shop:
        services = shop.services
        while True:
            try:
                await shop.watch.look()
                break
            except Busy:
                await asyncio.sleep(0.1)  # The database is just coming back.
        # Loaded now, and not while somebody waits for the first answer.
        metrics.pool("shop", shop.database.size, shop.database.in_use)
        metrics.book_behind(shop.continuity.halted is not None)
        if shop.continuity.halted is not None:
            typer.echo(f"ATTENTION: {shop.continuity.halted}", err=True)
        remembering = shop.continuity.saving(shop.clock, runtime)
        remembering.start()
        shop.watch.start()
        services.ledger.start()
        services.orders.start()
        services.identity.start()
        services.premiums.start()
        services.provisioning.start()
        services.usage.start()
        services.plans.start()
        services.vouchers.start()
        services.refills.start()
        shop.funding_worker.start()
        if fulfilment:
            services.orders.on_placed = shop.fulfilment.wake
            shop.fulfilment.start()
        try:
            yield shop
        finally:
            if fulfilment:
                await shop.fulfilment.drain(settings.drain_s)
            await shop.funding_worker.drain(settings.drain_s)
            await services.premiums.close()
            await services.identity.close()
            await services.vouchers.close()
            await services.orders.close()
            await services.ledger.close()
            await shop.watch.close()
            await remembering.close()
