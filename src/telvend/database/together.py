"""Several statements that write, sent as one: a round trip to the database for all of them.

    await execute_together(tx, [Statement(INSERT_ORDERS, (rows, now)), Statement(WRITE_TRANSFERS, (transfers,))])

Each but the last becomes a part of its WITH. So they see one snapshot, and none sees what another writes: they must write
different tables, and fit in any order. PostgreSQL executes each to its end, or none of them.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from telvend.database.connections import Tx

_PARAMETER: Final = re.compile(r"\$(\d+)")


class Statement(NamedTuple):
    """An INSERT, UPDATE or DELETE with its parameters."""

    sql: str
    parameters: tuple[Any, ...]


async def execute_together(tx: Tx, statements: Sequence[Statement]) -> None:
    """Execute all of them. Raises what any of them raises; then nothing of them is written."""
    if statements:
        sql = joined(tuple((one.sql, len(one.parameters)) for one in statements))
        await tx.execute(sql, *(parameter for one in statements for parameter in one.parameters))


@lru_cache(maxsize=256)
def joined(statements: tuple[tuple[str, int], ...]) -> str:
    """Return one statement for these, each with the number of its parameters, which are numbered on."""
    texts, taken = [], 0
    for sql, parameters in statements:
        texts.append(_PARAMETER.sub(lambda found, taken=taken: f"${int(found[1]) + taken}", sql))  # type: ignore[misc]
        taken += parameters
    *parts, last = texts
    named = ", ".join(f"written_{number} as ({text})" for number, text in enumerate(parts))
    return f"with {named} {last}" if parts else last
