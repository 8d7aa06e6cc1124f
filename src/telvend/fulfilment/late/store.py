"""All SQL of late requeries. A row for each attempt that a person has decided and of which no late report was entered."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from telvend.database.connections import Tx, rows
from telvend.database.due import claim_sql, correct_jumped_clock_sql

# A requery that is brought forward does not count against the schedule. The first decision stays in the order of its schedule.
SCHEDULE: Final = """
    insert into late_requery as known (order_id, attempt, provider, reference, provider_reference, due_at)
    select a.order_id, a.number, a.provider, a.reference, coalesce(a.provider_reference, ''), now() + make_interval(secs => new.due_in_s)
    from json_to_recordset($1::text::json) as new(order_id bigint, attempt smallint, due_in_s float8)
    cross join lateral (select * from attempt where attempt.order_id = new.order_id and attempt.number = new.attempt) as a
    on conflict (order_id, attempt) do update set due_at = excluded.due_at, asked = greatest(known.asked - 1, 0), updated_at = now()
        where known.due_at is null or known.due_at > excluded.due_at
"""

CLAIM: Final = claim_sql(
    "late_requery",
    returning="claimed.id, claimed.order_id, claimed.attempt, claimed.asked",
    assignments="asked = least(before.asked + 1, 32767), updated_at = now()",
)

CORRECT_JUMPED_CLOCK: Final = correct_jumped_clock_sql("late_requery")

FORGET: Final = """
    delete from late_requery as known using json_to_recordset($1::text::json) as gone(order_id bigint, attempt smallint)
    where known.order_id = gone.order_id and known.attempt = gone.attempt
"""

BRING_FORWARD: Final = """
    update late_requery as known set due_at = now(), asked = greatest(known.asked - 1, 0), updated_at = now()
    from unnest($1::text[], $2::text[]) as called(provider, reference)
    where known.provider = called.provider and called.reference in (known.reference, known.provider_reference)
        and (known.due_at is null or known.due_at > now())
    returning called.provider, called.reference
"""

NAMED: Final = """
    select called.provider, called.reference from unnest($1::text[], $2::text[]) as called(provider, reference)
    where exists (select from late_requery as known where known.provider = called.provider
        and called.reference in (known.reference, known.provider_reference))
"""


class LateRequery(msgspec.Struct, frozen=True, gc=False):
    """A late requery that is due, claimed by a worker. `asked` counts this time too."""

    id: int
    order_id: int
    attempt: int
    asked: int


class _Scheduled(msgspec.Struct, gc=False):
    order_id: int
    attempt: int
    due_in_s: float


class _Gone(msgspec.Struct, gc=False):
    order_id: int
    attempt: int


async def schedule(tx: Tx, due_in_s: Mapping[int, Mapping[int, float]]) -> None:
    """Have the providers of these attempts asked, by order and number; one that is due before stays as it is."""
    new = [_Scheduled(order_id, number, after) for order_id, all_ in due_in_s.items() for number, after in all_.items()]
    await tx.execute(SCHEDULE, rows(new))


async def claim(tx: Tx, limit: int, lease_s: float) -> list[LateRequery]:
    """Claim what is due, for `lease_s`."""
    return [LateRequery(*row) for row in await tx.fetch(CLAIM, limit, lease_s)]


async def requery_again(tx: Tx, number: int, after_s: float | None) -> None:
    """Have the provider asked again `after_s` from now; None: only where it calls back, or a person asks."""
    await tx.execute(
        "update late_requery set due_at = now() + make_interval(secs => $2), updated_at = now() where id = $1",
        number, after_s,
    )  # fmt: skip


async def forget(tx: Tx, attempts: Iterable[tuple[int, int]]) -> None:
    """Ask no more about these attempts, by order and number."""
    await tx.execute(FORGET, rows([_Gone(order_id, number) for order_id, number in attempts]))


async def bring_forward(
    tx: Tx, providers: Sequence[str], references: Sequence[str]
) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Have the attempts with these references asked about now, ours or theirs.

    Returns which references are known here, by provider and reference, and which of these were brought forward.
    """
    known = {(row["provider"], row["reference"]) for row in await tx.fetch(NAMED, providers, references)}
    if not known:
        return known, set()
    forward: list[Any] = await tx.fetch(BRING_FORWARD, [name for name, _ in known], [text for _, text in known])
    return known, {(row["provider"], row["reference"]) for row in forward}


async def correct_jumped_clock(tx: Tx) -> None:
    """Correct the due times that were set by a clock that has jumped."""
    await tx.execute(CORRECT_JUMPED_CLOCK)
