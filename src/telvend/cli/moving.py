"""`telvend database`: where the shop's database is, and moving it."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telvend.cli.common import Output, as_json_of, emit, fail, progress, settings_of
from telvend.cli.opening import FAILURES, database_of, refusal_text
from telvend.cli.options import DatabaseUrl, DataDir, Json
from telvend.cli.secret_arguments import warn_of_password
from telvend.config import SECRETS
from telvend.database.connections import Database
from telvend.kit.moved import read_moved
from telvend.upkeep.moving.service import Move, MoveRefused, left_for, move, place_of, settle

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer()


@app.callback()
def _group() -> None:
    """The shop's database."""


@app.command("move")
def move_(
    context: typer.Context,
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            envvar="TELVEND_MOVE_TO",
            help="An empty database of your own; with a password in it better in TELVEND_MOVE_TO.",
        ),
    ],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Move the shop from the embedded database into another PostgreSQL: copies, compares, audits, and switches.

    Sales stop meanwhile. Killed at any moment, the shop is where it was, or where it was to go; the old database never sells
    again after the new one does. Running it again finishes or begins anew.
    """
    settings = settings_of(context, data_dir, database_url)
    warn_of_password(url)
    if not url.startswith(SECRETS["database_url"]):
        fail(f"The target must begin with {' or '.join(SECRETS['database_url'])}.")
    folder = Path(settings.data_dir)
    began = time.monotonic()
    try:
        moved = read_moved(folder)
        if moved is not None:
            if moved.url != url:
                fail(f"This shop was moved to {moved.place} already.")
            asyncio.run(settle(folder, url))
            done = Move(moved.place, 0, 0, 0)
        elif settings.database_url is not None:
            fail("This shop's database is not the embedded one: move it with PostgreSQL's own tools.")
        else:
            with database_of(settings) as source:
                before = asyncio.run(left_for(source))
                if before is not None:
                    asyncio.run(settle(folder, before))
                    done = Move(place_of(before), 0, 0, 0)
                else:
                    done = asyncio.run(move(source, settings, url, _audit, progress))
    except MoveRefused as error:
        fail(error)
    except (*FAILURES, ValueError) as error:
        fail(refusal_text(error, settings))
    emit(_output(done, folder, time.monotonic() - began), as_json_of(context, as_json))


async def _audit(url: str) -> int:
    from telvend.audit.service import audit_books  # It reads every room.

    async with Database.briefly(url) as database:
        report = await audit_books(database)
    if not report.ok:
        raise MoveRefused(f"The books do not hold, and the shop is where it was: {report.findings[0].text}")
    return report.transfers


def _output(done: Move, folder: Path, seconds: float) -> Output:
    data = {
        "moved_to": done.place,
        "tables": done.tables,
        "rows": done.rows,
        "transfers": done.transfers,
        "seconds": round(seconds, 1),
        "settings": str(folder / "moved.json"),
    }

    def show(console: "Console") -> None:
        def say(text: str) -> None:
            console.print(text, markup=False, soft_wrap=True)

        if done.rows:
            say(
                f"Moved to {done.place} in {seconds:.1f} s: {done.tables} tables, {done.rows:,} rows, {done.transfers:,} transfers"
                " audited on both sides."
            )
        else:
            say(f"The shop is in {done.place}.")
        say(
            f"Every command with this data directory follows {folder / 'moved.json'}; a `telvend serve` that was running ends, to be"
            " started again. Set database_url (in telvend.toml, or TELVEND_DATABASE_URL) on other nodes, and here too when you"
            f" like. The old database in {folder / 'postgres'} sells no more: remove it once the new one is backed up."
        )

    return Output(data, show=show)
