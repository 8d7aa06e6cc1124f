"""All SQL of recent deliveries."""

from typing import Any, Final

from telvend.database.connections import Tx
from telvend.fulfilment.recent.model import RecentSales

MOST_SALES: Final = 3000
"""So many of the newest sales are looked at, whatever their number in the hour: by the primary key alone."""

RECENT: Final = """
    with newest as materialized (
        select country, network, mode, state, created_at, updated_at from orders order by id desc limit $1
    )
    select country, network,
        count(*) filter (where state = 'delivered') as delivered,
        count(*) filter (where state = 'failed') as failed,
        count(*) filter (where state not in ('delivered', 'failed') and created_at < now() - interval '1 minute') as waiting,
        percentile_cont(0.5) within group (order by extract(epoch from updated_at - created_at))
            filter (where state = 'delivered') as median_s
    from newest where mode = 'live' and created_at > now() - interval '1 hour' group by country, network
"""


async def recent_sales(tx: Tx) -> dict[tuple[str, str], RecentSales]:
    """The latest live sales by country and network."""
    found: list[Any] = await tx.fetch(RECENT, MOST_SALES)
    return {
        (row["country"], row["network"]): RecentSales(
            row["delivered"], row["failed"], row["waiting"], None if row["median_s"] is None else float(row["median_s"])
        )
        for row in found
    }
