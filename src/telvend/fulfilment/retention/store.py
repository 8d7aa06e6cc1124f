"""All SQL of removing old attempts."""

from datetime import datetime

from telvend.database.connections import Tx
from telvend.ledger.model import TransferKind

# What nothing else needs: the order was delivered, and its provider stands in the ledger too, where reports read it. The attempts of
# an order stay if a person or a late report has decided one of them, if two have delivered, if it was refunded, or if a token is still
# to be fetched.
# Orders are looked at in the order of their numbers, each once: what is kept now is kept for good.
_REMOVE = f"""
    with looked as materialized (
        select id, state, created_at, updated_at from orders where id > $1 order by id limit $3
    ), old as (
        select id from looked o where o.state = 'delivered' and o.updated_at < $2
            and exists (select from transfer t where t.cause = o.id and t.kind = {TransferKind.COST})
            and (select count(*) filter (where a.state = 'delivered') = 1 and not bool_or(a.by_hand) from attempt a where a.order_id = o.id)
            and not exists (select from late_report l where l.order_id = o.id)
            and not exists (select from order_refund f where f.order_id = o.id)
            and not exists (select from order_payload p where p.id = o.id and p.due_at is not null)
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
