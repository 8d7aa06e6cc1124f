"""How long pending migrations will lock: estimated from their SQL and from the number of rows that it reads.

Only statements whose time grows with a table count: building an index, verifying a new constraint, writing rows anew. All steps
are one transaction, so what the first has locked stays locked until the last has ended. The rates are those of a small server
with a slow disk; what is estimated is an upper bound rather than a forecast.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from telvend.database.connections import Database
from telvend.database.migrations import FOLDER, SchemaStep

_STATEMENTS: Final = {
    # Seconds for a million rows; the first pattern that fits counts.
    re.compile(r"create (?:unique )?index (?:\w+ )?on (?:only )?([a-z_]+)"): 4.0,
    re.compile(r"alter table ([a-z_]+)\b.*\b(?:type|generated always as \()"): 20.0,
    re.compile(r"alter table ([a-z_]+)\b.*\b(?:check \(|references|foreign key|unique|primary key|set not null)"): 2.0,
    re.compile(r"update ([a-z_]+)\b"): 20.0,
    re.compile(r"delete from ([a-z_]+)\b"): 10.0,
    re.compile(r"insert into [a-z_]+\b.*\bselect\b.*\bfrom ([a-z_]+)"): 10.0,
}
_MADE: Final = re.compile(r"create table (?:if not exists )?([a-z_]+)")
_COMMENT: Final = re.compile(r"--[^\n]*")
_FUNCTION: Final = re.compile(r"\$\$.*?\$\$", re.DOTALL)
_EVERY_STEP_S: Final = 0.05
_ROWS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Duration:
    """How long the pending steps are estimated to lock, and the rows of each table that they read."""

    seconds: float
    rows: Mapping[str, int]


def work_of(sql: str, made: frozenset[str] = frozenset()) -> tuple[list[tuple[str, float]], frozenset[str]]:
    """Return what a migration does to tables that exist, each with its seconds for a million rows, and the tables it makes."""
    text = _FUNCTION.sub("''", _COMMENT.sub("", sql)).lower()
    statements = [" ".join(statement.split()) for statement in text.split(";")]
    made = made.union(name for statement in statements for name in _MADE.findall(statement))
    found = []
    for statement in statements:
        for pattern, rate in _STATEMENTS.items():
            match = pattern.match(statement)
            if match is not None:
                if match[1] not in made:
                    found.append((match[1], rate))
                break
    return found, made


async def estimated(database: Database, pending: Iterable[SchemaStep]) -> Duration:
    """Estimate from the planner's count of rows, and from the pages of a table that was never analysed. Raises Busy."""
    works: list[tuple[str, float]] = []
    made: frozenset[str] = frozenset()
    steps = 0
    for step in pending:
        found, made = work_of(_sql_of(step), made)
        works += found
        steps += 1
    tables = sorted({name for name, _ in works})
    async with database.connection() as tx:
        rows = await tx.fetch(
            "select relname, (case when reltuples >= 0 then reltuples else pg_relation_size(oid) / 200 end)::bigint as rows"
            " from pg_class where relkind = 'r' and relnamespace = current_schema()::regnamespace and relname = any($1::text[])",
            tables,
        )
    counted = {row["relname"]: row["rows"] for row in rows}
    seconds = steps * _EVERY_STEP_S + sum(rate * counted.get(name, 0) / _ROWS for name, rate in works)
    return Duration(seconds, counted)


def _sql_of(step: SchemaStep) -> str:
    (path,) = Path(FOLDER / "sql").glob(f"{step.revision}_*.sql")
    return path.read_text("utf-8")
