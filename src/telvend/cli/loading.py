"""`telvend db load`: a dump into an empty database, and never into a shop."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from telvend.bootstrap import open_shop
from telvend.cli.common import Output, as_json_of, emit, fail, progress, settings_of
from telvend.cli.opening import FAILURES, refusal_text
from telvend.cli.options import DatabaseUrl, DataDir, Json
from telvend.config import Settings
from telvend.database.connections import Database, holds_tables
from telvend.embedded_postgres.binaries import client_programs_dir
from telvend.embedded_postgres.cluster import Cluster
from telvend.embedded_postgres.command import running_url
from telvend.embedded_postgres.environment import environment_of
from telvend.embedded_postgres.lock import LockRole
from telvend.kit import environment
from telvend.upkeep.preparation import prepare_database


def load(
    context: typer.Context,
    dump: Annotated[Path, typer.Argument(help="What `pg_dump --format=custom` has written.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Load a dump into an empty database, all of it or nothing. A shop that is served or not empty is refused.

    A data directory that does not exist is made. What was sold after the dump is not in it, so that the shop sells nothing
    until `telvend shop release`.
    """
    settings = settings_of(context, data_dir, database_url)
    if not dump.is_file():
        fail(f"{dump} is not a file.")
    if settings.database_url is None and running_url(Path(settings.data_dir)) is not None:
        fail(
            f"The shop in {settings.data_dir} is being served. A dump is loaded into an empty place: name another"
            " --data-dir."
        )
    try:
        with _place(settings) as url:
            if not asyncio.run(_is_empty(url)):
                fail(
                    "The database is not empty, and nothing was changed. A dump is loaded into an empty place: name another"
                    " --data-dir, or the --database-url of a new database."
                )
            progress("Loading the dump …")
            _load(dump, url)
            asyncio.run(_halt(settings, url, dump))
    except FAILURES as error:
        fail(refusal_text(error, settings))
    text = "Loaded. It sells nothing until `telvend shop release`; docs/howto/back-up-and-restore.md says what comes first."
    emit(Output({"loaded": str(dump)}, text), as_json_of(context, as_json))


@contextmanager
def _place(settings: Settings) -> Iterator[str]:
    """The URL of where the dump goes: the database that was named, or the data directory's, made where there is none."""
    if settings.database_url is not None:
        yield settings.database_url.reveal()
        return
    environment.clean_for_embedded()
    with Cluster(Path(settings.data_dir), role=LockRole.COMMAND, say=progress) as cluster:
        yield cluster.url


async def _is_empty(url: str) -> bool:
    async with Database.briefly(url) as database, database.connection() as tx:
        return not await holds_tables(tx)


async def _halt(settings: Settings, url: str, dump: Path) -> None:
    """Bring the schema to this version, and sell nothing with what was loaded until somebody has looked."""
    async with Database.briefly(url) as database:
        await prepare_database(database, progress)
    async with open_shop(settings, url) as shop:
        reason = f"the database was loaded from the dump {dump.name}, and what was sold after the dump is not in it"
        await shop.continuity.halt(shop.database, by="telvend db load", reason=reason)


def _load(dump: Path, url: str) -> None:
    """Hand the dump's statements to psql, in one transaction. Without --clean: what is there already makes it fail."""
    programs = client_programs_dir()
    with (
        subprocess.Popen(
            [programs / "pg_restore", "--no-owner", "--file=-", dump], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as reading,
        subprocess.Popen(
            [
                programs / "psql",
                "--quiet",
                "--no-psqlrc",
                "--output=/dev/null",
                "--single-transaction",
                "--set=ON_ERROR_STOP=1",
            ],
            # Address and password: as arguments everybody on this machine could read them.
            env={"PGTARGETSESSIONATTRS": "primary"} | os.environ | environment_of(url),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as writing,
    ):
        complete = _hand_over(reading, writing)
        said = (reading.stderr.read() if reading.stderr else b"") + (writing.stderr.read() if writing.stderr else b"")
    if not complete or writing.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:] or ["no reason was given"]
        fail(f"The dump could not be loaded, and nothing was changed: {last[0]}")


def _hand_over(reading: "subprocess.Popen[bytes]", writing: "subprocess.Popen[bytes]") -> bool:
    """Whether all of the dump was read. Where it was not, psql is told to fail, or it would commit the half."""
    assert reading.stdout is not None  # noqa: S101 - they are pipes
    assert writing.stdin is not None  # noqa: S101
    try:
        for piece in _understood(reading.stdout):
            writing.stdin.write(piece)
        complete = reading.wait() == 0
        if not complete:
            writing.kill()
        writing.stdin.close()
    except BrokenPipeError:
        reading.kill()
        return False
    return complete


def _understood(statements: IO[bytes]) -> Iterator[bytes]:
    """The statements, without a setting of a dump's head that servers before version 17 do not know."""
    for line in statements:
        if line.startswith((b"CREATE ", b"COPY ")):
            yield line
            break
        if not line.startswith(b"SET transaction_timeout"):
            yield line
    while piece := statements.read(1 << 20):
        yield piece
