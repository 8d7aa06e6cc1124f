"""All SQL about payloads. Orders of bundles and airtime have no row here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from telvend.database.connections import Tx
from telvend.database.due import claim_sql, correct_jumped_clock_sql

_AGREEING: Final = 7_316_091_544
"""The advisory lock of whoever agrees on the key."""

# The first payload stays: what a customer was shown must not change.
WRITE: Final = """
    insert into order_payload (id, attempt, key_id, sealed, due_at)
    select new.id, new.attempt, new.key_id, new.sealed,
        case when new.sealed is null then now() + make_interval(secs => $5) end
    from unnest($1::bigint[], $2::smallint[], $3::text[], $4::bytea[]) as new(id, attempt, key_id, sealed)
    on conflict (id) do update set key_id = excluded.key_id, sealed = excluded.sealed, due_at = null, updated_at = now()
        where order_payload.sealed is null and excluded.sealed is not null
"""

CLAIM: Final = claim_sql(
    "order_payload",
    returning="claimed.id, claimed.attempt, claimed.asked",
    assignments="asked = least(before.asked + 1, 32767), updated_at = now()",
)

CORRECT_JUMPED_CLOCK: Final = correct_jumped_clock_sql("order_payload")


class SealedPayload(msgspec.Struct, frozen=True):
    """A payload as it is written; without `key_id` and `sealed` it is one that the provider has not told yet."""

    order_id: int
    attempt: int
    key_id: str | None = None
    sealed: bytes | None = None


@dataclass(frozen=True, slots=True)
class MissingPayload:
    """A payload that its provider is to be asked for, claimed by a worker. `asked` counts this time too."""

    order_id: int
    attempt: int
    asked: int


async def write(tx: Tx, payloads: Sequence[SealedPayload], first_due_s: float) -> None:
    """Write payloads; one that is missing becomes due after `first_due_s`. One that is there already stays as it is."""
    await tx.execute(
        WRITE,
        [payload.order_id for payload in payloads],
        [payload.attempt for payload in payloads],
        [payload.key_id for payload in payloads],
        [payload.sealed for payload in payloads],
        first_due_s,
    )


async def find(tx: Tx, order_id: int) -> Any:
    """The row of an order: attempt, key_id, sealed, asked, due_at; None where there is none."""
    return await tx.fetchrow("select attempt, key_id, sealed, asked, due_at from order_payload where id = $1", order_id)


async def delivered_attempt(tx: Tx, order_id: int) -> int | None:
    """The number of the attempt that delivered an order."""
    found = await tx.fetchval("select max(number) from attempt where order_id = $1 and state = 'delivered'", order_id)
    return None if found is None else int(found)


async def claim(tx: Tx, limit: int, lease_s: float) -> list[MissingPayload]:
    """Claim payloads that are due to be asked for, for `lease_s`."""
    return [MissingPayload(*row) for row in await tx.fetch(CLAIM, limit, lease_s)]


async def requery_again(tx: Tx, order_id: int, after_s: float) -> None:
    """Have the provider asked for a missing payload `after_s` from now."""
    await tx.execute(
        "update order_payload set due_at = now() + make_interval(secs => $2), updated_at = now()"
        " where id = $1 and sealed is null",
        order_id, after_s,
    )  # fmt: skip


async def correct_jumped_clock(tx: Tx) -> None:
    await tx.execute(CORRECT_JUMPED_CLOCK)


# Readings -----------------------------------------------------------------------------------------------------------------


async def note_reading(tx: Tx, order_id: int, reader: str) -> None:
    await tx.execute("insert into order_payload_reading (order_id, reader) values ($1, $2)", order_id, reader)


async def readings(tx: Tx, order_id: int) -> list[tuple[datetime, str]]:
    """Who was shown the payload of an order, oldest first."""
    found = await tx.fetch(
        "select created_at, reader from order_payload_reading where order_id = $1 order by id", order_id
    )
    return [(row["created_at"], row["reader"]) for row in found]


# The key ------------------------------------------------------------------------------------------------------------------


async def hold_agreeing_off(tx: Tx) -> None:
    """Until this transaction ends nobody else makes a key."""
    await tx.execute("select pg_advisory_xact_lock($1)", _AGREEING)


async def recorded_key(tx: Tx) -> str | None:
    found = await tx.fetchval("select id from order_payload_key")
    return None if found is None else str(found)


async def record_key(tx: Tx, key_id: str) -> None:
    await tx.execute("insert into order_payload_key (id) values ($1)", key_id)
