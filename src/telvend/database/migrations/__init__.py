"""The database's schema over time: SQL files in `sql/`, in the order of `versions/`, run by Alembic.

A migration must be able to run while the previous version of Telvend is serving, and gives up after three seconds if it
cannot have its lock; then it says who has it. Only `telvend serve` and `telvend upgrade` migrate (`ensure`); everything else
works with the schema as it is, or says what to do (`require`).

Each file in `versions/` also states two things:

    oldest_reader = None       # the step only adds: any older program may go on with the schema after it; or the oldest
                               # revision that a program may know to do so, where the step removes what older ones use
    locks = "nothing: …"       # what waits while the step is taken, for `telvend upgrade --check`

Every step is noted in the table `schema_step`, so that a program that does not know the last steps can start all the same
where each of them lets it.

Alembic and its SQLAlchemy are only loaded when there is something to do, in a process of their own
(`python -m telvend.database.migrations`): a serving process that finds its schema in place pays one SELECT.
"""

import asyncio
import importlib
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

import asyncpg

from telvend.database.connections import Database
from telvend.database.migrations.blockers import Blocker, blocking
from telvend.errors import Busy
from telvend.kit import environment

FOLDER: Final = Path(__file__).parent
URL_VARIABLE: Final = "TELVEND_MIGRATE_URL"
APPLICATION_NAME: Final = "telvend migration"
LOCK_WAIT_S: Final = 3
"""How long a migration waits for one lock before it gives up; whoever wants to sell waits behind it for as long."""
NOTED_SINCE: Final = "0012"
"""The step that makes `schema_step`. Programs of before do not read it, and start on no schema newer than their own."""
_LOOK_EVERY_S: Final = 0.3


class SchemaRefused(Exception):
    """The schema is not one that this version can work with. The message is one sentence."""


@dataclass(frozen=True, slots=True)
class SchemaStep:
    """One migration. `what`: its docstring; `oldest_reader`, `locks`: see the head of this file."""

    revision: str
    what: str
    oldest_reader: str | None
    locks: str


@dataclass(frozen=True, slots=True)
class SchemaStanding:
    """Where a database stands: its revision (None: empty), this program's, and the steps between them.

    `refusal` says why this version cannot take it over, or is None.
    """

    revision: str | None
    target: str
    pending: list[SchemaStep]
    refusal: str | None
    is_newer: bool

    @property
    def older_programs_start_again(self) -> bool:
        """Whether the programs that serve now can be started again after the pending steps."""
        before = self.revision or ""
        return not self.pending or (
            before >= NOTED_SINCE and all(_lets_go_on(step.oldest_reader, before) for step in self.pending)
        )


def _lets_go_on(oldest_reader: str | None, known: str) -> bool:
    """Whether a step with this `oldest_reader` lets programs go on that know the schema up to `known`."""
    return oldest_reader is None or oldest_reader <= known


def known() -> list[str]:
    """The revisions that this version of Telvend knows, oldest first."""
    return [name.split("_")[0] for name in _names()]


def _names() -> list[str]:
    return sorted(path.stem for path in (FOLDER / "versions").glob("[0-9]*.py"))


def names() -> list[str]:
    """The tables and triggers of this schema, without the names of their schemas."""
    made = re.compile(r"create (?:table|trigger) (?:[a-z]+\.)?([a-z_]+)")
    found = {name for file in (FOLDER / "sql").glob("*.sql") for name in made.findall(file.read_text("utf-8"))}
    return sorted(found)


def step_of(module: ModuleType) -> SchemaStep:
    """What a file in `versions/` states. One that does not say whom it lets go on lets nobody."""
    revision = module.revision
    return SchemaStep(
        revision,
        (module.__doc__ or "").strip().partition("\n")[0],
        getattr(module, "oldest_reader", revision),
        getattr(module, "locks", "not stated"),
    )


def steps() -> list[SchemaStep]:
    """Every step that this version knows, oldest first."""
    return [step_of(importlib.import_module(f"telvend.database.migrations.versions.{name}")) for name in _names()]


async def current(database: Database) -> str | None:
    """The revision that the database is at; None for an empty one."""
    async with database.connection() as tx:
        try:
            found = await tx.fetchval("select version_num from alembic_version")
        except asyncpg.UndefinedTableError:
            return None
    return None if found is None else str(found)


async def standing(database: Database) -> SchemaStanding:
    """How this version and the database's schema stand to each other."""
    revision = await current(database)
    revisions = known()
    target = revisions[-1]
    if revision is None or revision in revisions:
        pending = (
            [] if revision == target else [step for step in steps() if revision is None or step.revision > revision]
        )
        return SchemaStanding(revision, target, pending, None, is_newer=False)
    return SchemaStanding(revision, target, [], await _cannot_go_on(database, revision, target), is_newer=True)


async def _cannot_go_on(database: Database, revision: str, target: str) -> str | None:
    """Why this version cannot work with a schema that it does not know; None where every newer step lets it."""
    async with database.connection() as tx:
        try:
            taken = await tx.fetch(
                "select revision, oldest_reader, program from schema_step where revision > $1 order by revision", target
            )
        except asyncpg.UndefinedTableError:
            taken = []
    newest = (
        f"The database's schema is at revision {revision}, newer than this version of Telvend, which knows {target}"
    )
    if not taken or taken[-1]["revision"] != revision:
        return f"{newest}; install the newer version again."
    for row in taken:
        if not _lets_go_on(row["oldest_reader"], target):
            return (
                f"{newest}, and step {row['revision']} needs a program that knows {row['oldest_reader']}:"
                f" install Telvend {taken[-1]['program']} again."
            )
    return None


async def require(database: Database) -> None:
    """Raise SchemaRefused unless the schema is one that this version can work with as it is. Changes nothing."""
    found = await standing(database)
    if found.refusal is not None:
        raise SchemaRefused(found.refusal)
    if found.revision is None:
        raise SchemaRefused("There is no shop in this database; `telvend serve` opens one.")
    if found.pending:
        raise SchemaRefused(
            f"The database's schema is at revision {found.revision} and this version of Telvend needs {found.target}:"
            " `telvend upgrade` brings it there, and so does the next start of `telvend serve`."
        )


async def ensure(database: Database, say: Callable[[str], None]) -> None:
    """Bring the schema to this version. Raises SchemaRefused when it is newer and does not let us, or cannot be brought here."""
    found = await standing(database)
    if found.refusal is not None:
        raise SchemaRefused(found.refusal)
    if found.is_newer:
        say(
            f"The database's schema is at revision {found.revision}, newer than this version of Telvend, which knows"
            f" {found.target}; every step between lets it go on."
        )
    if not found.pending:
        return
    say(f"Preparing the database (schema {found.revision or 'empty'} to {found.target}) …")
    variables = dict(os.environ)
    environment.clean(variables)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "telvend.database.migrations",
        env=variables | {URL_VARIABLE: database.url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    communicating = asyncio.create_task(process.communicate())
    waited_for: list[Blocker] = []
    while not (await asyncio.wait([communicating], timeout=_LOOK_EVERY_S))[0]:
        with suppress(Busy):
            # Whoever was in the way last: once the migration has given up nobody is.
            waited_for = await blocking(database, APPLICATION_NAME) or waited_for
    output, _ = communicating.result()
    if process.returncode:
        last = " ".join(output.decode(errors="replace").strip().splitlines()[-1:])
        raise SchemaRefused(
            f"The database's schema could not be brought to this version: {last}{_blame(last, waited_for)}"
        )


def _blame(said: str, waited_for: list[Blocker]) -> str:
    if not waited_for or "lock timeout" not in said:
        return ""
    text = " and ".join(blocker.text for blocker in waited_for)
    return f"; it waited {LOCK_WAIT_S} s for {text}. Let it finish, or end it with pg_terminate_backend, and try again."
