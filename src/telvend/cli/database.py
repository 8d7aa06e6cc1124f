"""`telvend db`: the database itself."""

from pathlib import Path

import typer

from telvend.cli.frame import DatabaseUrl, DataDir, Json, Output, as_json_of, emit, fail, settings_of
from telvend.kit.postgres import running_url

app = typer.Typer(name="db", help="The database itself.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """The database itself."""


@app.command("url")
def url(
    context: typer.Context, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """A libpq URL for psql and other programs; that of the embedded database while it is being served."""
    settings = settings_of(context, data_dir, database_url)
    if settings.database_url is not None:
        found: str | None = settings.database_url.reveal()
    else:
        found = running_url(Path(settings.data_dir))
    if found is None:
        fail("The embedded database only runs while somebody serves; start `telvend serve` first.")
    emit(Output({"url": found}, found), as_json_of(context, as_json))
