"""`telvend upgrade`: bring the schema to this version, or say what that would take."""

import asyncio
import math
from typing import Annotated, Any

import typer
from rich.console import Console

from telvend import __version__
from telvend.cli.common import Output, as_json_of, emit, fail, progress, settings_of, table
from telvend.cli.opening import FAILURES, database_of, refusal_text
from telvend.cli.options import DatabaseUrl, DataDir, Json
from telvend.database import migrations
from telvend.database.connections import Database
from telvend.database.migrations import LOCK_WAIT_S, NOTED_SINCE, SchemaRefused, SchemaStanding
from telvend.database.migrations.blockers import Blocker, long_open
from telvend.database.migrations.duration import Duration, estimated
from telvend.upkeep.preparation import prepare_database

app = typer.Typer()


@app.command("upgrade")
def upgrade(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing: say whether this version can take the shop over, and how.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Bring the database's schema to this version, while nodes of the version before go on serving."""
    settings = settings_of(context, data_dir, database_url)
    try:
        with database_of(settings) as url:
            output = asyncio.run(_with(url, check=check))
    except FAILURES as error:
        fail(refusal_text(error, settings))
    emit(output, as_json_of(context, as_json), reading=check)


async def _with(url: str, *, check: bool) -> Output:
    async with Database.briefly(url) as database:
        await database.check_promises(migrations.names())
        found = await migrations.standing(database)
        if check:
            if not found.pending or found.revision is None:
                return _checked(found, [], None)
            return _checked(found, await long_open(database), await estimated(database, found.pending))
        if found.revision is None:
            raise SchemaRefused("There is no shop in this database; `telvend serve` opens one.")
        await prepare_database(database, progress)
        now = await migrations.current(database)
    data = {"version": __version__, "from": found.revision, "schema": now, "steps": len(found.pending)}
    if not found.pending:
        return Output(data, f"The schema is at revision {now}; there was nothing to do.")
    return Output(data, f"The schema was brought from revision {found.revision} to {now}.")


def _checked(found: SchemaStanding, in_the_way: list[Blocker], duration: Duration | None) -> Output:
    refusal = found.refusal
    if found.revision is None:
        refusal = "There is no shop in this database; `telvend serve` opens one."
    data: dict[str, Any] = {
        "version": __version__,
        "schema": found.revision,
        "target": found.target,
        "can_take_over": refusal is None,
        "reason": refusal,
        "steps": [
            {
                "revision": step.revision,
                "what": step.what,
                "locks": step.locks,
                "older_programs_go_on": step.oldest_reader is None,
                "oldest_reader": step.oldest_reader,
            }
            for step in found.pending
        ],
        "older_programs_start_again": found.older_programs_start_again,
        "lock_wait_s": LOCK_WAIT_S,
        "locks_for_s": None if duration is None else round(duration.seconds, 1),
        "rows": {} if duration is None else dict(duration.rows),
        "in_the_way": [
            {
                "pid": one.pid,
                "application": one.application,
                "user": one.user,
                "open_s": None if one.open_s is None else round(one.open_s),
            }
            for one in in_the_way
        ],
    }

    def show(console: Console) -> None:
        if refusal is not None:
            console.print(f"Telvend {__version__} cannot take this shop over. {refusal}", markup=False)
            return
        if not found.pending:
            console.print(
                f"Telvend {__version__} can take this shop over as it is: schema {found.revision}, no step to take."
            )
            return
        console.print(
            f"Telvend {__version__} can take this shop over: schema {found.revision} to {found.target},"
            f" {_count(len(found.pending))} in one transaction.\n"
        )
        rows = [(step.revision, step.what, step.locks, _afterwards(step.oldest_reader)) for step in found.pending]
        table("", ("step", "what", "locks", "programs from before"), rows, "")(console)
        console.print(
            f"\nIt waits at most {LOCK_WAIT_S} s for each lock and gives up where it cannot have it; sales wait behind it for"
            " as long. What it has locked stays so until the last step is done.",
        )
        if duration is not None:
            console.print(_estimate(duration), markup=False)
        if not found.older_programs_start_again:
            console.print(
                "Programs from before that are running go on, but cannot be started again afterwards: schemas from"
                f" before {NOTED_SINCE} did not provide for it. Put this version on every node before you begin."
            )
        for one in in_the_way:
            console.print(f"It may wait for {one.text}.", markup=False)

    return Output(data, show=show, exit_code=1 if refusal is not None else 0)


def _estimate(duration: Duration) -> str:
    read = ", ".join(f"{count} of {name}" for name, count in duration.rows.items() if count)
    if duration.seconds < 1:
        return "It is estimated to lock for less than a second."
    return f"It is estimated to lock for {math.ceil(duration.seconds)} s at most: it reads about {read} rows."


def _afterwards(oldest_reader: str | None) -> str:
    return "go on" if oldest_reader is None else f"go on from schema {oldest_reader}"


def _count(steps: int) -> str:
    return "one step" if steps == 1 else f"{steps} steps"
