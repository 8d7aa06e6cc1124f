"""All SQL of removing old attempts."""

from datetime import datetime

from telvend.database.connections import Tx

# Orders are looked at in the order of their numbers, each once: the attempts that are kept then are kept for good.
_REMOVE = """
    with looked as materialized (
        select id, created_at from orders where id > $1 order by id limit $3
    ), old as (
        select looked.id from looked
        cross join lateral (
            select delivered_at from order_without_needs where order_without_needs.id = looked.id limit 1
        ) as o
        where o.delivered_at < $2
    ), removed as (
        delete from attempt using old
        where attempt.order_id = old.id and (select max(created_at) from looked) < $2
        returning attempt.started_at
    )
    select (select max(id) from looked where (select max(created_at) from looked) < $2) as order_id,
        count(*) as count, max(started_at) as last_at
    from removed
"""


async def remove(tx: Tx, before: datetime, limit: int) -> tuple[bool, int]:
    """Look at the next `limit` orders and remove their attempts, if all of them were placed before this moment.

    Returns whether there may be more, and how many attempts were removed. One process at a time; to the others there is no more.
    """
    found = await tx.fetchval("select order_id from attempt_retention for update skip locked")
    if found is None:
        return False, 0
    row = await tx.fetchrow(_REMOVE, found, before, limit)
    if row["order_id"] is None:
        return False, 0
    await tx.execute(
        "update attempt_retention set order_id = $1, removed_until = greatest(removed_until, $2)",
        row["order_id"],
        row["last_at"],
    )
    return True, row["count"]
