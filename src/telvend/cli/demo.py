"""`telvend demo`: a furnished shop in a folder of its own, its business shown step by step (story.py), then an ordinary server."""

import asyncio
import socket
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from rich.console import Console

from telvend.cli.common import settings_of
from telvend.cli.options import DataDir
from telvend.config import default_data_dir

if TYPE_CHECKING:
    from telvend.bootstrap import Shop

PORTS: Final = range(8000, 8020)


app = typer.Typer()


@app.command("demo")
def demo(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="End after the sale.")] = False,
    port: Annotated[
        int | None, typer.Option(help="The port to listen on; the first free one from 8000.", show_default="")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """A furnished shop in a folder of its own: sells before your eyes, in three APIs, then serves until Ctrl-C."""
    from telvend.cli import supervisor
    from telvend.cli.story import Story

    began = time.monotonic()
    settings = settings_of(
        context,
        data_dir or default_data_dir() + "-demo",
        None,
        port=port or _free_port(),
        workers=1,
        # A demonstration talks to people: requests are shown by its own steps, not by log lines.
        log_level="warning",
    )
    # One person shows it, and anybody may try the portal: no e-mail leaves a demonstration.
    settings = msgspec.structs.replace(
        settings, database_url=None, second_person_above="", signup="open", verify_email=False
    )

    async def ready(shop: "Shop", stop: asyncio.Event) -> None:
        await Story(shop, settings, Console(highlight=False, soft_wrap=True), once=once).tell(time.monotonic() - began)
        if once:
            stop.set()

    supervisor.run_server(settings, partial(supervisor.run_api, tells_first_link=False), ready=ready)


def _free_port() -> int:
    for port in PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return PORTS[0]  # Serving will say that it is taken.
