"""All SQL of the search index of orders."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from telvend.database.connections import Tx
from telvend.orders.store import beginning

# What was placed before this moment is committed, or never will be: no transaction is as old.
_HORIZON: Final = """
    select least(clock_timestamp() - make_interval(secs => $1), min(xact_start)) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""

INDEX: Final = """
    with placed as materialized (
        select id, reference, subscriber, client_reference, state from orders where created_at >= $1 and created_at < $2
    ), keys as (
        select 'number' as kind, subscriber as value, id from placed
        union all select 'reference', client_reference, id from placed where client_reference is not null
        union all
        select 'reference', theirs.reference, placed.id from placed join attempt a on a.order_id = placed.id
        cross join lateral (values (a.reference), (a.provider_reference)) as theirs(reference)
        where theirs.reference <> '' and not starts_with(theirs.reference, placed.reference)
    ), written as (
        insert into order_search (key, order_id) select search_key(kind, value), id from keys on conflict do nothing
    ), still_open as (
        insert into order_search_open (order_id) select id from placed where state not in ('delivered', 'failed')
        on conflict do nothing
    )
    select count(*) from placed
"""

INDEX_ENDED: Final = """
    with ended as materialized (
        select o.id, o.reference from order_search_open s join orders o on o.id = s.order_id
        where o.state in ('delivered', 'failed') limit $1
    ), written as (
        insert into order_search (key, order_id)
        select search_key('reference', theirs.reference), ended.id from ended join attempt a on a.order_id = ended.id
        cross join lateral (values (a.reference), (a.provider_reference)) as theirs(reference)
        where theirs.reference <> '' and not starts_with(theirs.reference, ended.reference)
        on conflict do nothing
    ), gone as (
        delete from order_search_open s using ended where s.order_id = ended.id
    )
    select count(*) from ended
"""

# Of the newest segments nothing is packed: an index that people look into most, and that is written, is to stay a plain one.
SEGMENT_BITS: Final = 18
FIRST_BUCKET: Final = -2048
BUCKETS: Final = 4096
_KEY_BITS_OF_A_BUCKET: Final = 52

# The keys of a few buckets lie together in the index. Who reads meanwhile finds an entry in one of the two tables.
PACK: Final = """
    with taken as (
        delete from order_search where key between $1 and $2 and order_id >= $3 and order_id < $4 returning key, order_id
    ), written as (
        insert into order_search_packed as p (bucket, segment, entries)
        select search_bucket(key), $5, string_agg(search_entry(key, order_id), '') from taken group by 1
        on conflict (bucket, segment) do update set entries = p.entries || excluded.entries
    )
    select count(*) from taken
"""


def _packed(key: str) -> str:
    """SQL for the orders that are packed under a key, and a few others: what is found is compared with the order itself.

    Most segments have none: looking for three bytes anywhere is quicker than taking the entries apart.
    """
    mark = f"substring(search_entry({key}, 0) for 3)"
    return f"""
        select (p.segment::bigint << {SEGMENT_BITS}) + (get_byte(p.entries, at + 3) << 16) + (get_byte(p.entries, at + 4) << 8)
            + get_byte(p.entries, at + 5) as id
        from (
            select segment, entries from order_search_packed
            where bucket = search_bucket({key}) and position({mark} in entries) > 0 offset 0
        ) as p cross join lateral generate_series(0, length(p.entries) - 1, 6) as at
        where substring(p.entries from at + 1 for 3) = {mark}
    """


# $4: until when orders are indexed. As a parameter, so that the summary of orders by time is used for those of after.
OF_NUMBER: Final = f"""
    select id from (
        (select s.order_id as id from order_search s where s.key = search_key('number', $1) and s.order_id < $2
         order by s.order_id desc limit $3)
        union
        (select packed.id from ({_packed("search_key('number', $1)")}) as packed where packed.id < $2)
        union
        (select o.id from orders o where o.created_at >= $4 and o.subscriber = $1 and o.id < $2 order by o.id + 0 desc limit $3)
    ) as found
    cross join lateral (select 1 from orders where orders.id = found.id and orders.subscriber = $1 limit 1) as same
    order by id desc limit $3
"""

UNDER_REFERENCE: Final = f"""
    with recent as materialized (
        select o.id, o.client_reference from orders o where o.created_at >= $3
    ), found as (
        select order_id as id from order_search where key = search_key('reference', $1)
        union {_packed("search_key('reference', $1)")}
        union select id from recent where client_reference = $1
        union select a.order_id from recent join attempt a on a.order_id = recent.id
            where a.reference = $1 or a.provider_reference = $1
        union select a.order_id from order_search_open s join attempt a on a.order_id = s.order_id
            where a.reference = $1 or a.provider_reference = $1
    )
    select found.id from found cross join lateral (
        select 1 from orders o where o.id = found.id and (o.client_reference = $1 or exists (
            select from attempt a where a.order_id = o.id and (a.reference = $1 or a.provider_reference = $1)
        )) limit 1
    ) as same
    order by found.id desc limit $2
"""

_INDEXED_UNTIL: Final = "select coalesce(placed_until, '-infinity') from order_search_progress"


async def take(tx: Tx) -> tuple[datetime, float] | None:
    """Lock the progress: until when orders are indexed, and the seconds of the next step. None where another process has it."""
    row = await tx.fetchrow("select placed_until, step_s from order_search_progress for update skip locked")
    if row is None:
        return None
    return row["placed_until"] or await beginning(tx), row["step_s"]


async def horizon(tx: Tx, younger_s: float) -> datetime:
    """The moment before which every order is committed; at least so many seconds ago."""
    found: datetime = await tx.fetchval(_HORIZON, younger_s)
    return found


async def index(tx: Tx, since: datetime, until: datetime) -> int:
    """Index the orders that were placed in this time. Returns how many."""
    return int(await tx.fetchval(INDEX, since, until))


async def index_ended(tx: Tx, limit: int) -> int:
    """Index the references of attempts of orders that have ended since they were indexed. Returns of how many."""
    return int(await tx.fetchval(INDEX_ENDED, limit))


async def write_progress(tx: Tx, placed_until: datetime, step_s: float) -> None:
    await tx.execute("update order_search_progress set placed_until = $1, step_s = $2", placed_until, step_s)


async def next_to_pack(tx: Tx) -> tuple[int, int] | None:
    """The segment and the bucket from which on entries are packed; None where all that is old enough is, or was not indexed yet."""
    row = await tx.fetchrow(
        "select segment, bucket, (select max(id) from orders) as newest from order_search_progress"
        " where placed_until > clock_timestamp() - interval '10 minutes'"
    )
    if row is None or (row["newest"] or 0) >> SEGMENT_BITS < row["segment"] + 2:
        return None
    return row["segment"], row["bucket"]


async def pack(tx: Tx, segment: int, bucket: int, count: int) -> int:
    """Pack the entries of so many buckets of a segment. Returns how many entries that were. The progress is locked."""
    following = bucket + count
    packed = await tx.fetchval(
        PACK,
        bucket << _KEY_BITS_OF_A_BUCKET, (following << _KEY_BITS_OF_A_BUCKET) - 1,
        segment << SEGMENT_BITS, (segment + 1) << SEGMENT_BITS, segment,
    )  # fmt: skip
    if following >= FIRST_BUCKET + BUCKETS:
        segment, following = segment + 1, FIRST_BUCKET
    await tx.execute("update order_search_progress set segment = $1, bucket = $2", segment, following)
    return int(packed)


async def of_number(tx: Tx, subscriber: str, before: int, limit: int) -> Sequence[int]:
    """The orders for a number, newest first, from below number `before`."""
    until = await tx.fetchval(_INDEXED_UNTIL)
    found: Sequence[Any] = await tx.fetch(OF_NUMBER, subscriber, before, limit, until)
    return [row[0] for row in found]


async def under_reference(tx: Tx, reference: str, limit: int) -> Sequence[int]:
    """The orders that a caller or a provider knows by this reference, newest first."""
    until = await tx.fetchval(_INDEXED_UNTIL)
    found: Sequence[Any] = await tx.fetch(UNDER_REFERENCE, reference, limit, until)
    return [row[0] for row in found]
