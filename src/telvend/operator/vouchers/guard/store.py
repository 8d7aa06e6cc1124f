"""All SQL of the guards: what is counted for whoever sends wrong PINs. They are locked by kind and subject, after vouchers."""

from collections.abc import Collection
from typing import Any, Final

import msgspec

from telvend.database.connections import Tx, rows
from telvend.operator.vouchers.guard.model import FORGOTTEN_AFTER, Guard, Guarded

ADD_GUARDS: Final = """
    insert into pin_guard (kind, subject)
    select kind, subject from json_to_recordset($1::text::json) as new(kind text, subject text)
    on conflict do nothing
"""

# They are locked in the order in which they are asked for.
LOCK_GUARDS: Final = """
    select g.kind, g.subject, g.wrong, g.strikes, g.locked_until, g.last_at
    from json_to_recordset($1::text::json) as wanted(kind text, subject text)
    cross join lateral (
        select * from pin_guard where pin_guard.kind = wanted.kind and pin_guard.subject = wanted.subject for update
    ) as g
"""

WRITE_GUARDS: Final = """
    update pin_guard set wrong = new.wrong, strikes = new.strikes, locked_until = new.locked_until, last_at = new.last_at
    from json_to_recordset($1::text::json) as new(kind text, subject text, wrong integer, strikes integer,
        locked_until timestamptz, last_at timestamptz)
    where pin_guard.kind = new.kind and pin_guard.subject = new.subject and pin_guard.subject = any($2::text[])
"""

REMOVE_GUARDS: Final = """
    delete from pin_guard using json_to_recordset($1::text::json) as gone(kind text, subject text)
    where pin_guard.kind = gone.kind and pin_guard.subject = gone.subject and pin_guard.subject = any($2::text[])
"""

Subject = tuple[Guarded, str]


class _Subject(msgspec.Struct, gc=False):
    """A guard, as the statements read it."""

    kind: str
    subject: str


class GuardGone(Exception):
    """What was counted for somebody was forgotten at the same moment; the transaction has to begin again."""


async def lock_guards(tx: Tx, subjects: Collection[Subject], counted: Collection[Subject]) -> dict[Subject, Guard]:
    """Lock the guards of these subjects, in order. Those in `counted` are made where there are none.

    The others have none where nothing is counted for them. Raises GuardGone.
    """
    if counted:
        await tx.execute(ADD_GUARDS, rows([_Subject(*subject) for subject in sorted(counted)]))
    found = await tx.fetch(LOCK_GUARDS, rows([_Subject(*subject) for subject in sorted(subjects)]))
    guards = {(guard.kind, guard.subject): guard for guard in map(_guard, found)}
    for guard in guards.values():
        guard.changed = guard.clear  # One that nothing will be counted for in the end has no row.
    if not guards.keys() >= set(counted):
        # Somebody whose lock we have waited for sent a right PIN.
        raise GuardGone
    return guards


async def write_guards(tx: Tx, guards: Collection[Guard]) -> None:
    """Write what has changed; who has nothing to remember has no row."""
    kept = [guard for guard in guards if guard.changed and not guard.clear]
    gone = [_Subject(guard.kind, guard.subject) for guard in guards if guard.changed and guard.clear]
    if kept:
        await tx.execute(WRITE_GUARDS, rows(kept), [guard.subject for guard in kept])
    if gone:
        await tx.execute(REMOVE_GUARDS, rows(gone), [guard.subject for guard in gone])


async def forget_guards(tx: Tx, limit: int) -> int:
    """Remove guards for which nothing has happened for long enough. Returns how many there were."""
    found = await tx.fetch(
        """
        delete from pin_guard where (kind, subject) in (
            select kind, subject from pin_guard where greatest(last_at, locked_until) < now() - $1::interval
            limit $2 for update skip locked
        ) returning kind
        """,
        FORGOTTEN_AFTER, limit,
    )  # fmt: skip
    return len(found)


async def guards(tx: Tx, limit: int) -> list[Guard]:
    """Everybody for whom something is counted, the last one first."""
    found = await tx.fetch(
        "select kind, subject, wrong, strikes, locked_until, last_at from pin_guard"
        " order by last_at desc, kind, subject limit $1",
        limit,
    )
    return [_guard(row) for row in found]


def _guard(row: Any) -> Guard:
    return Guard(
        Guarded(row["kind"]),
        row["subject"],
        row["wrong"],
        row["strikes"],
        row["locked_until"],
        row["last_at"],
    )


async def remove_guard(tx: Tx, subject: Subject) -> bool:
    """Forget what is counted for somebody. Whether there was anything."""
    gone = await tx.fetchval("delete from pin_guard where kind = $1 and subject = $2 returning true", *subject)
    return bool(gone)


async def remove_guards_at_every_source(tx: Tx, partner: str) -> bool:
    """Forget what is counted for a partner, named by mode and id. Whether there was anything."""
    gone = await tx.fetch(
        "delete from pin_guard where kind = $1 and starts_with(subject, $2 || ' ') returning true",
        Guarded.PARTNER, partner,
    )  # fmt: skip
    return bool(gone)
