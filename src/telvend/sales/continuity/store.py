"""All SQL of noticing a database that has gone back, and of letting sales go on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from telvend.database.connections import Tx, rows
from telvend.database.facts import Fact
from telvend.sales.continuity.model import BookRestore, BookStanding, Halt, ShopRelease

# The rooms' tables are looked into by their keys only. A number alone is not enough: after the sequence has gone back it is
# used again, by a row that is younger than the one that is lost. The time of an order can be changed by hand; that of
# its first transfer, which is as old, cannot.
_FIRST_TRANSFER: Final = "(select min(t.created_at) from transfer t where t.cause = f.number)"

MISSING: Final = f"""
    select f.place from json_to_recordset($1::text::json)
        as f(place integer, kind text, number bigint, part integer, at timestamptz, final boolean, detail text)
    where not coalesce(case f.kind
        when 'order' then (select not f.final or o.state not in ('accepted', 'delivering', 'waiting', 'review')
            from orders o where o.id = f.number and least(o.created_at, {_FIRST_TRANSFER}) <= f.at)
        when 'attempt' then (select true from attempt a
            where a.order_id = f.number and a.number = f.part and a.started_at <= f.at)
        when 'verification' then (select not f.final or v.state <> 'asking'
            from verification v where v.id = f.number and least(v.created_at, {_FIRST_TRANSFER}) <= f.at)
        when 'refill' then (select true
            from refill r where r.id = f.number and least(r.created_at, {_FIRST_TRANSFER}) <= f.at)
        when 'transfer' then (select concat_ws(' ', t.debit, t.credit, t.amount_minor, t.wallet_id, t.wallet_sequence,
            t.wallet_balance_minor) = f.detail from transfer t where t.cause = f.number and t.kind = f.part)
        else true end, false)
    order by f.place
"""

# The lists are texts: of an array of records asyncpg would first ask the server what it is, on every new connection.
STANDING: Final = """
    select (select id from installation) as shop, clock_timestamp() as now,
        (select max(detected_at) from book_halt) as doubted_before,
        array_to_json(array(
            select json_build_array(id, released_at) from book_release order by number))::text as releases,
        array_to_json(array(
            select json_build_array(number, node, why, detected_at) from book_halt where release is null order by number
        ))::text as halts
"""

RELEASE: Final = """
    with made as (insert into book_release (released_by, reason) values ($1, $2) returning number, released_at),
    released as (
        update book_halt set release = made.number from made where book_halt.release is null
        returning book_halt.number, node, why, detected_at, made.released_at
    )
    select number, node, why, detected_at, released_at from released order by number
"""

HALTS: Final = """
    select h.number, h.node, h.why, h.detected_at, r.released_at, coalesce(r.released_by, '') as released_by,
        coalesce(r.reason, '') as reason
    from book_halt h left join book_release r on r.number = h.release order by h.number desc limit $1
"""

MOVING: Final = "telvend database move"
"""Who has halted a copy until it is the shop."""

HALT_COPY: Final = f"insert into book_halt (node, why) values ('{MOVING}', 'this copy is not the shop yet: moving it has not ended');\n"
"""A statement for psql, in the transaction that copies."""

_NO_BOOK: Final = "select to_regclass('book_halt') is null or to_regclass('installation') is null"
_COPY_OF: Final = """
    select exists (select from installation where id::text = $1)
        and exists (select from book_halt where release is null and node = $2)
"""

RESTORE: Final = """
    with halted as (insert into book_halt (node, why) values ($1, $2) returning number)
    insert into book_restore (halt, backup, known_until) select number, $3, $4 from halted
"""

RESTORES: Final = """
    select r.backup, r.known_until, r.restored_at from book_restore r join book_halt h on h.number = r.halt
    where h.release is null order by r.id
"""

_releases_in: Final = msgspec.json.Decoder(list[tuple[UUID, datetime]]).decode
_halts_in: Final = msgspec.json.Decoder(list[tuple[int, str, str, datetime]]).decode


class _Row(msgspec.Struct):
    place: int
    kind: str
    number: int
    part: int
    at: Any
    final: bool
    detail: str


async def missing(tx: Tx, facts: Sequence[Fact]) -> list[Fact]:
    """Those of the facts that the book does not have."""
    if not facts:
        return []
    wanted = [
        _Row(place, fact.kind, fact.number, fact.part, fact.at, fact.final, fact.detail)
        for place, fact in enumerate(facts)
    ]
    return [facts[row[0]] for row in await tx.fetch(MISSING, rows(wanted))]


async def standing(tx: Tx) -> BookStanding:
    """What the book says of itself."""
    row = await tx.fetchrow(STANDING)
    return BookStanding(
        shop=row["shop"],
        now=row["now"],
        releases=[ShopRelease(*found) for found in _releases_in(row["releases"])],
        halts=[Halt(*found) for found in _halts_in(row["halts"])],
        doubted_before=row["doubted_before"],
    )


async def halt(tx: Tx, node: str, why: str) -> None:
    """Write down that sales are halted, unless this node has said the same already."""
    await tx.execute(
        "insert into book_halt (node, why) select $1::text, $2::text where not exists"
        " (select from book_halt where release is null and node = $1::text and why = $2::text)",
        node,
        why,
    )


async def release(tx: Tx, by: str, reason: str) -> list[Halt]:
    """End every open halt and return them."""
    return [
        Halt(row["number"], row["node"], row["why"], row["detected_at"], row["released_at"], by, reason)
        for row in await tx.fetch(RELEASE, by, reason)
    ]


async def halts(tx: Tx, limit: int) -> list[Halt]:
    """The halts that there were, newest first."""
    return [Halt(*row) for row in await tx.fetch(HALTS, limit)]


async def restored(tx: Tx, node: str, why: str, backup: str, known_until: datetime) -> None:
    """Write down that the book was restored, which halts sales."""
    await tx.execute(RESTORE, node, why, backup, known_until)


async def restores(tx: Tx) -> list[BookRestore]:
    """The restores that are not released yet, oldest first."""
    return [BookRestore(*row) for row in await tx.fetch(RESTORES)]


async def is_unfinished_copy_of(tx: Tx, shop: str) -> bool:
    """Whether the tables here are a copy of this shop that was never finished."""
    return not await tx.fetchval(_NO_BOOK) and bool(await tx.fetchval(_COPY_OF, shop, MOVING))


async def let_copy_sell(tx: Tx) -> None:
    """End the halt under which a copy was made. Nothing was lost: no order is doubted because of it."""
    await tx.execute("delete from book_halt where release is null and node = $1", MOVING)
