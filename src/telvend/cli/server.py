"""What one serving process does between its start and the signal to stop, and what it says. `bootstrap` starts and closes it."""

import asyncio
import os
import socket
import stat
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TextIO

import typer

from telvend.bootstrap import Shop, serve, work
from telvend.cli.common import json_text
from telvend.cli.listening import listen_apart
from telvend.cli.streams import OutputLost
from telvend.config import Settings
from telvend.errors import Busy
from telvend.kit import log
from telvend.upkeep.deployment import is_local
from telvend.upkeep.reality import announcements
from telvend.upkeep.served_at import note_address

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


async def first_link(shop: Shop) -> list[str]:
    """What leads the first owner into the console, while there is none; once for all processes of a server.

    The link itself is for a terminal or a pipe to somebody who started us; a log that is kept gets the command that makes one.
    """
    try:
        if await shop.people.has_owner():
            return []
        if not _is_read_at_once(sys.stderr):
            return ["The console has no owner yet: `telvend console link` prints a link that makes one."]
        path = await shop.people.console_link(by="telvend serve")
    except Busy:
        return []
    return [f"The console has no owner yet. This link makes one, once, within an hour: {shop.console_url}{path}"]


def _is_read_at_once(stream: TextIO) -> bool:
    """Whether what is written there is read by whoever started us, and not kept as the log of a service."""
    try:
        kept = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):
        return False
    return "JOURNAL_STREAM" not in os.environ and (stat.S_ISCHR(kept) or stat.S_ISFIFO(kept))


def announce(settings: Settings, as_json: bool, standing: Sequence[str] = ()) -> None:
    """Say where we are and how the shop stands. As JSON also one object on stdout."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    note_address(settings)
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
    *,
    tells_first_link: bool = True,
) -> None:
    """Serve HTTP on `listener`, and deliver orders unless the settings say otherwise.

    `tells_first_link`: whether it is said how the first owner gets in; not where the caller says so.
    """

    def listen() -> list[socket.socket]:
        mine = [listener] if listener else []
        return [*mine, *listen_apart(settings)]

    async with serve(settings, url, listen) as (shop, http):
        _say_halted(shop)
        if settings.workers == 1:
            announce(settings, as_json, await standing_of(shop))
            for sentence in await first_link(shop) if tells_first_link else []:
                typer.echo(sentence, err=True)
        if ready is not None:
            await ready(shop, stop)
        ends = [asyncio.create_task(stop.wait()), asyncio.create_task(http.ended())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()


async def run_fulfilment(
    settings: Settings,
    url: str,
    listener: socket.socket | None,  # noqa: ARG001 - nobody listens
    stop: asyncio.Event,
    ready: Ready | None,
    as_json: bool,
) -> None:
    """Deliver orders until asked to stop."""
    async with work(settings, url) as shop:
        _say_halted(shop)
        typer.echo("Telvend delivers orders; it does not listen.", err=True)
        for sentence in await standing_of(shop):
            typer.echo(sentence, err=True)
        if as_json:
            _say_for_programs({"pid": os.getpid()})
        if ready is not None:
            await ready(shop, stop)
        await stop.wait()


def _say_halted(shop: Shop) -> None:
    if shop.continuity.halted is not None:
        typer.echo(f"ATTENTION: {shop.continuity.halted}", err=True)
