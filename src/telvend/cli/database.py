"""`telvend db`: the database itself."""

import os
from pathlib import Path
from typing import Annotated

import typer

from telvend.cli.common import Output, as_json_of, emit, fail, settings_of
from telvend.cli.loading import load
from telvend.cli.options import DatabaseUrl, DataDir, Json
from telvend.cli.whereabouts import no_shop
from telvend.config import Settings
from telvend.embedded_postgres.binaries import client_programs_dir
from telvend.embedded_postgres.command import has_database, running_url
from telvend.embedded_postgres.environment import environment_of
from telvend.embedded_postgres.refused import PostgresRefused

app = typer.Typer()


@app.command("url")
def url(
    context: typer.Context, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """A libpq URL for psql and other programs; that of the embedded database while it is being served.

    It holds the password, which everybody can read in the list of processes while it is an argument: rather use `db run`.
    """
    found = _url(settings_of(context, data_dir, database_url))
    emit(Output({"url": found}, found), as_json_of(context, as_json))


@app.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="PROGRAM [ARGUMENT]...", help="What to run, such as psql.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,  # noqa: ARG001 - every command takes it; what is printed is the program's own
) -> None:
    """Run psql, pg_dump or another program against this database.

    Where the database is, and its password, stand in the program's environment (PGHOST, PGPASSWORD and so on), where only its
    own user can read them. The programs of PostgreSQL that come along are found first. What it writes is for you alone.
    """
    settings = settings_of(context, data_dir, database_url)
    try:
        environment = os.environ | environment_of(_url(settings))
        environment["PATH"] = os.pathsep.join((str(client_programs_dir()), os.environ.get("PATH", os.defpath)))
    except PostgresRefused as error:
        fail(error)
    os.umask(0o077)
    try:
        os.execvpe(words[0], words, environment)  # noqa: S606 - the program that the user has named
    except OSError as error:
        fail(f"{words[0]} cannot be run: {error.strerror}.")


app.command("load")(load)


def _url(settings: Settings) -> str:
    if settings.database_url is not None:
        return settings.database_url.reveal()
    found = running_url(Path(settings.data_dir))
    if found is None and not has_database(Path(settings.data_dir)):
        fail(no_shop(settings))
    if found is None:
        fail("The embedded database only runs while somebody serves; start `telvend serve` first.")
    return found
