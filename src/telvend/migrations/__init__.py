"""The database's schema over time: SQL files in `sql/`, in the order of `versions/`, run by Alembic.

A migration must be able to run while the previous version of Telvend is serving, and gives up after three seconds if it
cannot have its lock. Alembic and its SQLAlchemy are only loaded when there is something to do, in a process of their own
(`python -m telvend.migrations`): a serving process that finds its schema in place pays one SELECT.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import asyncpg

from telvend.kit.db import Database

FOLDER: Final = Path(__file__).parent
URL_VARIABLE: Final = "TELVEND_MIGRATE_URL"


def known() -> list[str]:
    """The revisions that this version of Telvend knows, oldest first."""
    return sorted(path.name.split("_")[0] for path in (FOLDER / "versions").glob("[0-9]*.py"))


class SchemaRefused(Exception):
    """The schema is not one that this version can work with. The message is one sentence."""


async def current(database: Database) -> str | None:
    """The revision that the database is at; None for an empty one."""
    async with database.connection() as tx:
        try:
            found = await tx.fetchval("select version_num from alembic_version")
        except asyncpg.UndefinedTableError:
            return None
    return None if found is None else str(found)


async def ensure(database: Database, say: Callable[[str], None]) -> None:
    """Bring the schema to this version. Raises SchemaRefused when it is newer, or cannot be brought here."""
    revision = await current(database)
    revisions = known()
    if revision == revisions[-1]:
        return
    if revision is not None and revision not in revisions:
        raise SchemaRefused(
            f"The database's schema is at revision {revision}, newer than this version of Telvend, which knows"
            f" {revisions[-1]}; install the newer version again."
        )
    say(f"Preparing the database (schema {revision or 'empty'} to {revisions[-1]}) …")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "telvend.migrations",
        env=os.environ | {URL_VARIABLE: database.url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        last = output.decode(errors="replace").strip().splitlines()[-1:]
        raise SchemaRefused(f"The database's schema could not be brought to this version: {' '.join(last)}")
