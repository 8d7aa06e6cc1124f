"""The SQL of reading what subscribers have: plans for partners, and everything for people.

Of plans, what is read for one is read for all who ask at the same time, by their place.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from telvend.database.connections import Tx, rows
from telvend.operator.subscribers.model import Bucket, Kind, PostingKind
from telvend.operator.subscribers.store import BUCKET, IN_ORDER_OF_USE, SUBSCRIBER, bucket_of

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

READ_MOMO: Final = f"""
    select wanted.place, s.currency, now() as now, m.*, b.balance_minor, b.reserved_minor
    from {_WANTED})
    cross join lateral (
        select id, currency from subscriber
        where subscriber.msisdn = wanted.msisdn and subscriber.mode = wanted.mode limit 1
    ) as s
    left join lateral (select * from momo_account where momo_account.subscriber_id = s.id limit 1) as m on true
    left join lateral (
        select balance as balance_minor, reserved as reserved_minor
        from bucket where bucket.subscriber_id = s.id and bucket.kind = 'momo' limit 1
    ) as b on true
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


async def read_momo(tx: Tx, wanted: Sequence[Any]) -> list[Any]:
    """Mobile money of those who exist; its columns are null for who has none."""
    found: list[Any] = await tx.fetch(READ_MOMO, rows(wanted))
    return found


# For people: none of this is on anybody's path --------------------------------------------------------------------------


async def clock(tx: Tx) -> datetime:
    """The database's clock."""
    found: datetime = await tx.fetchval("select clock_timestamp()")
    return found


async def open_buckets(tx: Tx, subscriber_id: int, limit: int) -> list[Bucket]:
    """What a subscriber has, of every kind and line, `limit` buckets at most."""
    found = await tx.fetch(
        f"select {BUCKET} from bucket b where b.subscriber_id = $1 and b.open order by b.id limit $2",
        subscriber_id, limit,
    )  # fmt: skip
    return [bucket_of(row) for row in found]


class PostingLine(msgspec.Struct, frozen=True):
    """A posting as people read it, with the bucket that it changed."""

    bucket_id: int
    number: int
    posting: PostingKind
    change: int
    balance_after: int
    cause: str
    created_at: datetime
    kind: Kind
    name: str
    line: str


_POSTING: Final = """p.bucket_id, p.number, p.kind as posting, p.change, p.balance_after, p.cause, p.created_at, b.kind,
    b.name, b.line"""


async def postings_of_bucket(tx: Tx, subscriber_id: int, bucket_id: int, before: int, limit: int) -> list[PostingLine]:
    """The postings of a subscriber's bucket, newest first, from below number `before`."""
    found = await tx.fetch(
        f"""
        select {_POSTING} from bucket b join bucket_posting p on p.bucket_id = b.id
        where b.id = $1 and b.subscriber_id = $2 and p.number < $3 order by p.number desc limit $4
        """,
        bucket_id, subscriber_id, before, limit,
    )  # fmt: skip
    return [_posting_line(row) for row in found]


async def postings_of(tx: Tx, subscriber_id: int, *, closed: bool, offset: int, limit: int) -> list[PostingLine]:
    """The postings of a subscriber's open buckets, newest first; of the closed ones too where asked for, which reads every
    bucket of the shop."""
    found = await tx.fetch(
        f"""
        select {_POSTING} from bucket b join bucket_posting p on p.bucket_id = b.id
        where b.subscriber_id = $1 {"" if closed else "and b.open"}
        order by p.created_at desc, p.bucket_id desc, p.number desc limit $2 offset $3
        """,
        subscriber_id, limit, offset,
    )  # fmt: skip
    return [_posting_line(row) for row in found]


def _posting_line(row: Any) -> PostingLine:
    return PostingLine(
        row["bucket_id"],
        row["number"],
        PostingKind(row["posting"]),
        row["change"],
        row["balance_after"],
        row["cause"],
        row["created_at"],
        Kind(row["kind"]),
        row["name"],
        row["line"],
    )
