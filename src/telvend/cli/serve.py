"""`telvend serve` and `telvend work`: the commands; what they do stands in supervisor.py, which only they load."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from telvend.cli.common import as_json_of, settings_of
from telvend.cli.options import DatabaseUrl, DataDir, Json
from telvend.embedded_postgres.command import running_url
from telvend.kit import environment
from telvend.kit.secret import Secret

app = typer.Typer()


@app.command("serve")
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The port to listen on.", show_default="8000")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Server processes.", show_default="1")] = None,
    console_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="A port of its own for the console, on this machine.", show_default=False),
    ] = None,
    no_fulfilment: Annotated[
        bool, typer.Option("--no-fulfilment", help="Take orders and leave delivering to others.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Serve the API, deliver orders, and keep the embedded database running. SIGTERM drains."""
    from telvend.cli import supervisor

    settings = settings_of(
        context,
        data_dir,
        database_url,
        host=host,
        port=port,
        console_port=console_port,
        workers=workers,
        fulfilment=False if no_fulfilment else None,
    )
    supervisor.run_server(settings, supervisor.run_api, as_json=as_json_of(context, as_json))


@app.command("work")
def work(
    context: typer.Context, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Deliver orders and nothing else; beside `telvend serve --no-fulfilment`, on this machine or another. Opens no shop."""
    from telvend.cli import supervisor

    settings = settings_of(context, data_dir, database_url, workers=1)
    if settings.database_url is None and (url := running_url(Path(settings.data_dir))) is not None:
        environment.clean_for_embedded()
        settings = msgspec.structs.replace(settings, database_url=Secret(url))
    supervisor.run_server(
        settings, supervisor.run_fulfilment, listens=False, opens=False, as_json=as_json_of(context, as_json)
    )


@app.command("_worker", hidden=True)
def worker() -> None:
    """One of several server processes; started by `telvend serve --workers`."""
    from telvend.cli import supervisor

    supervisor.run_worker()
