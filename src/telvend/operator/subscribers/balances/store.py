"""All SQL of buckets and postings.

Whoever changes what subscribers have does it in four steps inside a transaction, for as many of them as come together:

    subscribers, now = await lock_subscribers(tx, ids)                 in id order; `now` is the clock after the locks
    accounts = await load_accounts(tx, subscribers, now, numbers.take)      main accounts, and what else is asked for
    accounts[id].give(...)                                             the rules, in plain Python: account.py
    await write_accounts(tx, accounts.values())                        set by set, only what has changed

The first is in `subscribers/store.py`.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from telvend.database.batch import NumberBlock
from telvend.database.connections import Tx, rows
from telvend.operator.subscribers.balances.account import Account
from telvend.operator.subscribers.balances.model import Bucket, BucketKind, PostingKind
from telvend.operator.subscribers.model import Subscriber
from telvend.operator.subscribers.store import write_subscribers

MOST_LOADED: Final = 500
"""How many buckets of one kind are loaded to be used from, in the order of use. Almost nobody has more; who has is
loaded whole where these are not enough."""

NUMBERS_AT_A_TIME: Final = 1024

BUCKET: Final = """b.subscriber_id, b.id, b.kind, b.name, b.balance, b.reserved, b.postings, b.line, b.main, b.product,
    b.priority, b.validity_days, b.starts_at, b.expires_at, b.created_at, b.open"""

# The order in which buckets are used, as account.rank says it; a test holds the two together. $2 is the moment.
IN_ORDER_OF_USE: Final = """b.priority, coalesce(b.expires_at,
        case when b.starts_at is null then $2::timestamptz + make_interval(days => b.validity_days) end, 'infinity'),
        b.created_at, b.id"""

MAIN_ACCOUNTS: Final = f"""
    select {BUCKET} from unnest($1::bigint[]) as wanted(id)
    cross join lateral (select * from bucket where bucket.subscriber_id = wanted.id and bucket.main limit 1) as b
"""

BUCKETS_BY_ID: Final = f"""
    select {BUCKET} from unnest($1::bigint[]) as wanted(id)
    cross join lateral (select * from bucket where bucket.id = wanted.id limit 1) as b
"""

# $3 is how many of each at most.
BUCKETS_TO_USE: Final = f"""
    select {BUCKET} from json_to_recordset($1::text::json) as wanted(subscriber_id bigint, kind text, line text)
    cross join lateral (
        select * from bucket b
        where b.subscriber_id = wanted.subscriber_id and b.open and b.kind = wanted.kind and b.line = wanted.line
          and b.balance > b.reserved and (b.starts_at is null or b.starts_at <= $2)
          and (b.expires_at is null or b.expires_at > $2)
        order by {IN_ORDER_OF_USE}
        limit $3
    ) as b
"""

INSERT_BUCKETS: Final = """
    insert into bucket (id, subscriber_id, line, kind, main, name, product, priority, balance, reserved, postings,
        validity_days, starts_at, expires_at, open, created_at)
    select id, subscriber_id, line, kind, main, name, product, priority, balance, reserved, postings,
        validity_days, starts_at, expires_at, open, created_at
    from json_to_recordset($1::text::json) as new(id bigint, subscriber_id bigint, line text, kind text, main boolean,
        name text, product text, priority smallint, balance bigint, reserved bigint, postings integer,
        validity_days integer, starts_at timestamptz, expires_at timestamptz, open boolean, created_at timestamptz)
"""

# The ids stand there twice: without the array the planner would read all of a young table and keep to that plan.
UPDATE_BUCKETS: Final = """
    update bucket set balance = new.balance, reserved = new.reserved, postings = new.postings,
        starts_at = new.starts_at, expires_at = new.expires_at, open = new.open
    from json_to_recordset($1::text::json) as new(id bigint, balance bigint, reserved bigint, postings integer,
        starts_at timestamptz, expires_at timestamptz, open boolean)
    where bucket.id = new.id and bucket.id = any($2::bigint[])
"""

INSERT_POSTINGS: Final = """
    insert into bucket_posting (bucket_id, number, kind, change, balance_after, cause, created_at)
    select bucket_id, number, kind, change, balance_after, cause, $2
    from json_to_recordset($1::text::json)
        as new(bucket_id bigint, number integer, kind text, change bigint, balance_after bigint, cause text)
"""

NEXT_NUMBERS: Final = "select nextval('bucket_number') from generate_series(1, $1::int)"


async def next_numbers(tx: Tx, count: int) -> list[int]:
    """`count` fresh numbers of buckets. Not part of the transaction: an unused one stays a gap."""
    return [row[0] for row in await tx.fetch(NEXT_NUMBERS, count)]


def bucket_numbers() -> NumberBlock:
    """Return an empty block of numbers of buckets. A lane fetches `NUMBERS_AT_A_TIME`, others what they need."""
    return NumberBlock(next_numbers)


class BucketUse(msgspec.Struct, frozen=True):
    """What somebody is about to use of: the buckets of one kind on one line of a subscriber."""

    subscriber_id: int
    kind: BucketKind
    line: str = ""


async def load_accounts(
    tx: Tx,
    subscribers: Mapping[int, Subscriber],
    now: datetime,
    numbers: NumberBlock,
    *,
    uses: Collection[BucketUse] = (),
    buckets: Collection[int] = (),
    most: int | None = MOST_LOADED,
) -> dict[int, Account]:
    """The accounts of locked subscribers, with their main accounts; giving needs no more.

    `uses`: with what can be used so, too, at most `most` buckets of each, in the order of use. `buckets`: with those of
    these that are theirs.
    """
    found = list(await tx.fetch(MAIN_ACCOUNTS, list(subscribers)))
    if uses:
        found += await tx.fetch(BUCKETS_TO_USE, rows(list(uses)), now, most)
    if buckets:
        found += await tx.fetch(BUCKETS_BY_ID, list(buckets))
    loaded: dict[int, dict[int, Bucket]] = {subscriber_id: {} for subscriber_id in subscribers}
    for row in found:
        if row["subscriber_id"] in loaded:
            loaded[row["subscriber_id"]][row["id"]] = bucket_of(row)
    return {
        subscriber_id: Account(subscriber, list(loaded[subscriber_id].values()), now, numbers.take)
        for subscriber_id, subscriber in subscribers.items()
    }


async def accounts_to_give(
    tx: Tx, subscribers: Iterable[Subscriber], now: datetime, mains: Collection[int], numbers: NumberBlock
) -> dict[int, Account]:
    """Accounts of locked subscribers to which something is given: with the main accounts of `mains` only."""
    accounts = {subscriber.id: Account(subscriber, [], now, numbers.take) for subscriber in subscribers}
    if mains:
        for row in await tx.fetch(MAIN_ACCOUNTS, list(mains)):
            accounts[row["subscriber_id"]].buckets.append(bucket_of(row))
    return accounts


async def write_accounts(tx: Tx, accounts: Iterable[Account]) -> None:
    """Write what the accounts' verbs have changed: subscribers, buckets, postings. Each is written once."""
    touched = [account for account in accounts if account.touched]
    if not touched:
        return
    now = touched[0].now
    new = [_new_row(account, bucket) for account in touched for bucket in account.buckets if bucket.new]
    changed = [bucket for account in touched for bucket in account.buckets if bucket.changed and not bucket.new]
    postings = [posting for account in touched for posting in account.postings]
    subscribers = [account.subscriber for account in touched if account.subscriber.changed]
    if new:
        await tx.execute(INSERT_BUCKETS, rows(new))
    if changed:
        await tx.execute(UPDATE_BUCKETS, rows(changed), [bucket.id for bucket in changed])
    if postings:
        await tx.execute(INSERT_POSTINGS, rows(postings), now)
    if subscribers:
        await write_subscribers(tx, subscribers)
    for account in touched:
        account.written()


class _NewBucket(msgspec.Struct, gc=False):
    """A new bucket, as INSERT_BUCKETS reads it."""

    id: int
    subscriber_id: int
    line: str
    kind: str
    main: bool
    name: str
    product: str
    priority: int
    balance: int
    reserved: int
    postings: int
    validity_days: int | None
    starts_at: datetime | None
    expires_at: datetime | None
    open: bool
    created_at: datetime | None


def _new_row(account: Account, bucket: Bucket) -> _NewBucket:
    return _NewBucket(
        bucket.id,
        account.subscriber.id,
        bucket.line,
        bucket.kind,
        bucket.main,
        bucket.name,
        bucket.product,
        bucket.priority,
        bucket.balance,
        bucket.reserved,
        bucket.postings,
        bucket.validity_days,
        bucket.starts_at,
        bucket.expires_at,
        bucket.open,
        bucket.created_at,
    )


# A look-up in a dictionary takes a fifth of the time of a call of the enumeration.
_KINDS: Final = {kind.value: kind for kind in BucketKind}


def bucket_of(row: Any) -> Bucket:
    """The bucket in a row of `BUCKET`."""
    return Bucket(
        row["id"],
        _KINDS[row["kind"]],
        row["name"],
        row["balance"],
        row["reserved"],
        row["postings"],
        row["line"],
        row["main"],
        row["product"],
        row["priority"],
        row["validity_days"],
        row["starts_at"],
        row["expires_at"],
        row["created_at"],
        row["open"],
    )


# For people: none of this is on anybody's path -------------------------------------------------------------------------


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
    kind: BucketKind
    name: str
    line: str


_POSTING: Final = """p.bucket_id, p.number, p.kind as posting, p.change, p.balance_after, p.cause, p.created_at, b.kind,
    b.name, b.line"""


async def given_by(tx: Tx, subscriber_id: int, kind: PostingKind, cause: str) -> list[Any]:
    """What a subscriber was given for this cause: kind, name, change, expires_at of the buckets, in their order."""
    found: list[Any] = await tx.fetch(
        """
        select b.kind, b.name, p.change, b.expires_at
        from bucket b join bucket_posting p on p.bucket_id = b.id and p.kind = $2 and p.cause = $3
        where b.subscriber_id = $1 order by b.id
        """,
        subscriber_id, kind, cause,
    )  # fmt: skip
    return found


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
        BucketKind(row["kind"]),
        row["name"],
        row["line"],
    )
