"""The SQL of using: what was consumed under a reference, reservations, and what a sweep has to do."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from telvend.database.connections import Tx, rows
from telvend.operator.subscribers.balances.model import BucketKind, Reservation, ReservationPart, ReservationState

_REFERENCES: Final = "json_to_recordset($1::text::json) as wanted(subscriber_id bigint, reference text)"

FIND_CONSUMPTIONS: Final = f"""
    select c.subscriber_id, c.reference, c.kind, c.amount from {_REFERENCES}
    cross join lateral (
        select * from consumption
        where consumption.subscriber_id = wanted.subscriber_id and consumption.reference = wanted.reference limit 1
    ) as c
"""

INSERT_CONSUMPTIONS: Final = """
    insert into consumption (subscriber_id, reference, kind, amount, created_at)
    select subscriber_id, reference, kind, amount, $2
    from json_to_recordset($1::text::json) as new(subscriber_id bigint, reference text, kind text, amount bigint)
"""

_RESERVATION: Final = "r.id, r.subscriber_id, r.reference, r.kind, r.amount, r.captured, r.state, r.due_at"

FIND_RESERVATIONS: Final = f"""
    select {_RESERVATION} from {_REFERENCES}
    cross join lateral (
        select * from reservation
        where reservation.subscriber_id = wanted.subscriber_id and reservation.reference = wanted.reference limit 1
    ) as r
"""

OVERDUE_RESERVATIONS: Final = f"""
    select {_RESERVATION} from unnest($1::bigint[]) as wanted(id)
    cross join lateral (
        select * from reservation where reservation.subscriber_id = wanted.id and due_at is not null and due_at <= $2
        order by due_at limit 100
    ) as r
"""

RESERVATION_PARTS: Final = """
    select p.reservation_id, p.place, p.bucket_id, p.amount from unnest($1::bigint[]) as wanted(id)
    cross join lateral (
        select * from reservation_part where reservation_part.reservation_id = wanted.id order by place limit 1000000
    ) as p
"""

INSERT_RESERVATIONS: Final = """
    insert into reservation (subscriber_id, reference, kind, amount, captured, state, due_at, created_at)
    select subscriber_id, reference, kind, amount, captured, state, due_at, $2
    from json_to_recordset($1::text::json) as new(subscriber_id bigint, reference text, kind text, amount bigint,
        captured bigint, state text, due_at timestamptz)
    returning id, subscriber_id, reference
"""

INSERT_PARTS: Final = """
    insert into reservation_part (reservation_id, place, bucket_id, amount)
    select reservation_id, place, bucket_id, amount from json_to_recordset($1::text::json)
        as new(reservation_id bigint, place smallint, bucket_id bigint, amount bigint)
"""

UPDATE_RESERVATIONS: Final = """
    update reservation set captured = new.captured, state = new.state, due_at = new.due_at
    from json_to_recordset($1::text::json) as new(id bigint, captured bigint, state text, due_at timestamptz)
    where reservation.id = new.id and reservation.id = any($2::bigint[])
"""

DUE_RESERVATIONS: Final = "select subscriber_id from reservation where due_at <= now() order by due_at limit $1"

# What is reserved waits for its reservation.
OVER_BUCKETS: Final = """
    select subscriber_id, id from bucket where open and expires_at <= now() and balance > reserved
    order by expires_at limit $1
"""


class Consumption(msgspec.Struct, frozen=True, gc=False):
    """So much of one kind was used under a reference."""

    subscriber_id: int
    reference: str
    kind: str
    amount: int


class _Reference(msgspec.Struct, frozen=True, gc=False):
    """A reference of a subscriber, as the statements read it."""

    subscriber_id: int
    reference: str


class _NewPart(msgspec.Struct, gc=False):
    """A part of a new reservation, as INSERT_PARTS reads it."""

    reservation_id: int
    place: int
    bucket_id: int
    amount: int


async def find_consumptions(tx: Tx, wanted: Iterable[tuple[int, str]]) -> dict[tuple[int, str], Consumption]:
    """What was consumed under these references, by subscriber and reference."""
    found = await tx.fetch(FIND_CONSUMPTIONS, rows([_Reference(*key) for key in wanted]))
    return {(row[0], row[1]): Consumption(*row) for row in found}


async def write_consumptions(tx: Tx, consumptions: Sequence[Consumption], now: datetime) -> None:
    await tx.execute(INSERT_CONSUMPTIONS, rows(consumptions), now)


async def find_reservations(tx: Tx, wanted: Iterable[tuple[int, str]]) -> list[Reservation]:
    """The reservations under these references, with their parts."""
    return await _reservations(tx, await tx.fetch(FIND_RESERVATIONS, rows([_Reference(*key) for key in wanted])))


async def overdue_reservations(tx: Tx, subscriber_ids: Collection[int], now: datetime) -> list[Reservation]:
    """Those of locked subscribers whose deadline has passed, with their parts; a hundred of each at most."""
    return await _reservations(tx, await tx.fetch(OVERDUE_RESERVATIONS, list(subscriber_ids), now))


async def _reservations(tx: Tx, found: Sequence[Any]) -> list[Reservation]:
    parts: dict[int, list[ReservationPart]] = {row["id"]: [] for row in found}
    if parts:
        for row in await tx.fetch(RESERVATION_PARTS, list(parts)):
            parts[row[0]].append(ReservationPart(row[1], row[2], row[3]))
    return [
        Reservation(
            row["id"],
            row["subscriber_id"],
            row["reference"],
            BucketKind(row["kind"]),
            row["amount"],
            row["captured"],
            ReservationState(row["state"]),
            row["due_at"],
            parts[row["id"]],
        )
        for row in found
    ]


async def write_reservations(tx: Tx, reservations: Sequence[Reservation], now: datetime) -> None:
    """Write reservations: those whose id is 0 are new and get one, the others have ended."""
    new = {(item.subscriber_id, item.reference): item for item in reservations if not item.id}
    ended = [item for item in reservations if item.id]
    if new:
        for row in await tx.fetch(INSERT_RESERVATIONS, rows(list(new.values())), now):
            new[row[1], row[2]].id = row[0]
        parts = [
            _NewPart(item.id, part.place, part.bucket_id, part.amount) for item in new.values() for part in item.parts
        ]
        await tx.execute(INSERT_PARTS, rows(parts))
    if ended:
        await tx.execute(UPDATE_RESERVATIONS, rows(ended), [item.id for item in ended])


async def overdue(tx: Tx, limit: int) -> tuple[set[int], list[tuple[int, int]]]:
    """What a sweep has to do: subscribers with reservations past their deadline, and buckets that are over, by subscriber."""
    due = {row[0] for row in await tx.fetch(DUE_RESERVATIONS, limit)}
    over = [(row[0], row[1]) for row in await tx.fetch(OVER_BUCKETS, limit)]
    return due, over


async def held_reservations(tx: Tx, subscriber_id: int) -> list[Reservation]:
    """What is kept for sessions that are under way."""
    found = await tx.fetch(
        f"select {_RESERVATION} from reservation r where r.subscriber_id = $1 and r.due_at is not null order by r.id",
        subscriber_id,
    )
    return await _reservations(tx, found)
