"""The database sessions that block a migration, or would: they hold locks that it needs.

Of what a session is doing only the beginning is shown, up to the first text in it: what stands in there may be a number or a
secret of somebody.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from telvend.database.connections import Database

_MOST: Final = 3
_LONGEST: Final = 80
_LONG_OPEN_S: Final = 2
_HIDDEN: Final = "<insufficient privilege>"
_TEXT_BEGINS: Final = re.compile(r"'|\$[A-Za-z_]*\$|--|/\*")
_NUMBER: Final = re.compile(r"[0-9]{3,}", re.ASCII)

_COLUMNS: Final = """
    b.pid, b.application_name, b.usename, b.backend_type, b.state, coalesce(host(b.client_addr), '') as address,
    extract(epoch from clock_timestamp() - coalesce(b.xact_start, b.query_start, b.backend_start))::float8 as open_s, b.query
"""

# Another node's migration is no obstacle: they take turns.
_BLOCKING: Final = f"""
    select {_COLUMNS} from pg_stat_activity m
    cross join lateral unnest(pg_blocking_pids(m.pid)) as waits(pid) join pg_stat_activity b on b.pid = waits.pid
    where m.datname = current_database() and m.application_name = $1 and b.application_name <> $1
"""

_LONG_OPEN: Final = f"""
    select {_COLUMNS} from pg_stat_activity b
    where b.datname = current_database() and b.pid <> pg_backend_pid() and b.xact_start < clock_timestamp() - make_interval(secs => $1)
    order by b.xact_start
"""


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session of the database. `open_s`: for how long its transaction has been open; `doing`: how its statement begins.

    Of sessions of another role PostgreSQL may tell neither (None, "").
    """

    pid: int
    application: str
    user: str
    address: str
    open_s: float | None
    doing: str

    @property
    def text(self) -> str:
        who = f"{self.application or 'an unnamed program'} as {self.user}" if self.user else self.application
        where = f" from {self.address}" if self.address else ""
        since = f", its transaction open for {_duration(self.open_s)}" if self.open_s is not None else ""
        doing = f": {self.doing}" if self.doing else ""
        return f"process {self.pid} ({who}{where}{since}{doing})"


async def blocking(database: Database, application_name: str) -> list[Blocker]:
    """Whom the migration with this application_name waits for now."""
    async with database.connection() as tx:
        return _made(await tx.fetch(_BLOCKING, application_name))


async def long_open(database: Database) -> list[Blocker]:
    """The transactions that have been open for a while, the oldest first: a migration that began now may wait for them."""
    async with database.connection() as tx:
        return _made(await tx.fetch(_LONG_OPEN, _LONG_OPEN_S))


def _made(rows: list[Any]) -> list[Blocker]:
    found = {
        row["pid"]: Blocker(
            row["pid"],
            row["application_name"] or ("" if row["backend_type"] == "client backend" else row["backend_type"] or ""),
            row["usename"] or "",
            row["address"],
            row["open_s"],
            "" if row["query"] == _HIDDEN else shown(row["query"] or ""),
        )
        for row in rows
    }
    return list(found.values())[:_MOST]


def shown(query: str) -> str:
    """How a statement begins, without texts, comments and long numbers."""
    text = " ".join(query.split())
    found = _TEXT_BEGINS.search(text)
    begins = text if found is None else text[: found.start()]
    cut = begins[:_LONGEST]
    return _NUMBER.sub("…", cut).strip() + (" …" if len(cut) < len(text) and cut.strip() else "")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
