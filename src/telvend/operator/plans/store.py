"""The SQL of reading plans for partners. What is read for one is read for all who ask at the same time, by their place."""

from collections.abc import Sequence
from typing import Any, Final

from telvend.database.connections import Tx, rows
from telvend.operator.subscribers.balances.store import BUCKET, IN_ORDER_OF_USE
from telvend.operator.subscribers.store import SUBSCRIBER

MOST_READ: Final = 200
"""Up to so many open buckets are read as they are; of more, the first of each kind are listed and all are summed."""

_WANTED: Final = "json_to_recordset($1::text::json) as wanted(place integer, mode text, msisdn text"

READ_SUBSCRIBERS: Final = f"""
    select wanted.place, {", ".join(f"s.{name.strip()}" for name in SUBSCRIBER.split(","))}, now() as now
    from {_WANTED})
    cross join lateral (
        select * from subscriber where subscriber.msisdn = wanted.msisdn and subscriber.mode = wanted.mode limit 1
    ) as s
"""

_SHOWN: Final = """bucket.open and bucket.line = wanted.line and bucket.kind <> 'momo'
    and (wanted.kinds is null or bucket.kind = any(wanted.kinds))
    and (wanted.product is null or bucket.product = wanted.product)"""

# Also the moment, the currency, and whether the line is the subscriber's, for those who have nothing.
READ_BUCKETS: Final = f"""
    select wanted.place, s.id as owner, s.currency, now() as now, {BUCKET},
           -- A scalar and not an `exists`, which could be planned as a scan of everybody's lines.
           wanted.line = '' or coalesce((
               select l.subscriber_id = s.id from subscriber_line l
               where l.line = wanted.line and l.mode = wanted.mode), false) as line_known
    from {_WANTED}, line text, kinds text[], product text)
    cross join lateral (
        select id, currency from subscriber
        where subscriber.msisdn = wanted.msisdn and subscriber.mode = wanted.mode limit 1
    ) as s
    left join lateral (
        select * from bucket
        where bucket.subscriber_id = s.id and {_SHOWN} and (bucket.expires_at is null or bucket.expires_at > now())
        limit $2
    ) as b on true
"""

_OF_ONE: Final = f"""
    from json_to_recordset($1::text::json) as wanted(subscriber_id bigint, line text, kinds text[], product text)
    cross join lateral (
        select * from bucket
        where bucket.subscriber_id = wanted.subscriber_id and {_SHOWN}
          and (bucket.expires_at is null or bucket.expires_at > $2::timestamptz)
        offset 0
    ) as b
"""

READ_FIRST_BUCKETS: Final = f"""
    select {BUCKET} from (
        select b.*, row_number() over (partition by b.kind, b.main order by
            coalesce(b.starts_at > $2, false), {IN_ORDER_OF_USE}) as place
        {_OF_ONE}
    ) as b
    where b.place <= $3
"""

READ_TOTALS: Final = f"""
    select b.kind, b.main,
           coalesce(sum(b.balance - b.reserved) filter (where b.starts_at <= $2), 0)::bigint as active,
           coalesce(sum(b.balance - b.reserved) filter (where b.starts_at is null or b.starts_at > $2), 0)::bigint
               as unused,
           sum(b.reserved)::bigint as reserved,
           min(b.expires_at) filter (where b.starts_at <= $2 and b.balance > b.reserved) as expires_at,
           count(*) as buckets
    {_OF_ONE}
    group by b.kind, b.main
"""


async def read_subscribers(tx: Tx, wanted: Sequence[Any]) -> list[Any]:
    """The rows of `SUBSCRIBER` of those who exist, with place and now."""
    found: list[Any] = await tx.fetch(READ_SUBSCRIBERS, rows(wanted))
    return found


async def read_buckets(tx: Tx, wanted: Sequence[Any], most: int) -> list[Any]:
    """The open buckets, `most` of each who is asked about; one row without a bucket for who has none."""
    found: list[Any] = await tx.fetch(READ_BUCKETS, rows(wanted), most)
    return found


async def read_first_buckets(tx: Tx, wanted: Any, now: Any, most: int) -> list[Any]:
    """The open buckets of one, `most` of each kind, in the order of use."""
    found: list[Any] = await tx.fetch(READ_FIRST_BUCKETS, rows([wanted]), now, most)
    return found


async def read_totals(tx: Tx, wanted: Any, now: Any) -> list[Any]:
    """What the open buckets of one add up to, by kind and whether it is the main account."""
    found: list[Any] = await tx.fetch(READ_TOTALS, rows([wanted]), now)
    return found
