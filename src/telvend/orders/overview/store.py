"""All SQL of the figures of a first page. The summary of `orders` by time keeps each statement to the days that it is about."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from telvend.database.connections import Tx

PLACED: Final = """
    select o.country, o.network, coalesce(a.provider, '') as provider, o.currency, o.state, count(*) as orders,
        sum(o.price_minor)::bigint as price_minor,
        coalesce(sum(case when a.state = 'delivered' then a.cost_minor else o.cost_minor end)
            filter (where o.state = 'delivered'), 0)::bigint as cost_minor
    from orders o left join attempt a on a.order_id = o.id and a.number = o.attempts
    where o.created_at >= $1 and o.created_at < $2 and o.mode = 'live'
    group by 1, 2, 3, 4, 5
"""

SOLD_BY_DAY: Final = """
    select width_bucket(created_at, $2::timestamptz[]) as day, currency, count(*) as delivered, sum(price_minor)::bigint as sold_minor
    from orders where created_at >= $1 and created_at < $3 and mode = 'live' and state = 'delivered'
    group by 1, 2 order by 1, 2
"""

# Each half is the condition of a partial index.
OPEN_SINCE: Final = """
    select id from (
        select id, created_at from orders where due_at is not null and mode = 'live'
        union all select id, created_at from orders where state = 'review' and mode = 'live'
    ) as o
    where created_at < clock_timestamp() - make_interval(secs => $1)
    order by id limit $2
"""


async def placed(tx: Tx, since: datetime, until: datetime) -> list[Any]:
    """The live orders that were placed in this time, in groups. Read once for all of them, so that nobody waits for a plan."""
    found: list[Any] = await tx.fetch(PLACED, since, until)
    return found


async def sold_by_day(tx: Tx, starts: Sequence[datetime], until: datetime) -> list[Any]:
    """What was delivered of the live orders of each day, by its place from 1, and currency."""
    found: list[Any] = await tx.fetch(SOLD_BY_DAY, starts[0], list(starts), until)
    return found


IN_REVIEW: Final = "select id from orders where state = 'review' and id > $1 order by id limit $2"


async def in_review(tx: Tx, after: int, limit: int) -> list[int]:
    """The orders in review, oldest first, from above a number."""
    return [row[0] for row in await tx.fetch(IN_REVIEW, after, limit)]


async def open_since(tx: Tx, older_than_s: float, limit: int) -> list[int]:
    """The live orders that are open for longer than this, oldest first."""
    return [row[0] for row in await tx.fetch(OPEN_SINCE, older_than_s, limit)]
