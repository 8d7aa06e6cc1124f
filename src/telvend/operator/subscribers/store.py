"""The SQL of subscribers and of what they have, as far as it is everybody's who changes them.

What only one of the sub-rooms says to the database stands in its own store: `delivering/`, `using/`, `reading/`.

Whoever changes what subscribers have does it in four steps inside a transaction, for as many of them as come together:

    subscribers, now = await lock_subscribers(tx, ids)                 in id order; `now` is the clock after the locks
    accounts = await load_accounts(tx, subscribers, now, numbers)      main accounts, and what else is asked for
    accounts[id].give(...)                                             the rules, in plain Python: account.py
    await write_accounts(tx, accounts.values())                        set by set, only what has changed

The lock of a subscriber's row guards all of the subscriber's buckets and reservations.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from telvend.database.batch import NumberBlock
from telvend.database.connections import Tx, rows
from telvend.kit.mode import Mode
from telvend.kit.money import CURRENCIES
from telvend.operator.subscribers.account import Account
from telvend.operator.subscribers.model import Billing, Bucket, Kind, Status, Subscriber

MOST_LOADED: Final = 500
"""How many buckets of one kind are loaded to be used from, in the order of use. Almost nobody has more; who has is
loaded whole where these are not enough."""

NUMBERS_AT_A_TIME: Final = 1024

NEW_TARIFF_PLAN: Final = "Prepaid"
NEW_USABLE_DAYS: Final = 90
NEW_REACHABLE_DAYS: Final = 180
"""What a subscriber begins with whom nobody has introduced."""

SUBSCRIBER: Final = """id, mode, msisdn, country, currency, billing, status, tariff_plan, language, usable_until,
    reachable_until, created_at"""

BUCKET: Final = """b.subscriber_id, b.id, b.kind, b.name, b.balance, b.reserved, b.postings, b.line, b.main, b.product,
    b.priority, b.validity_days, b.starts_at, b.expires_at, b.created_at, b.open"""

# The order in which buckets are used, as account.rank says it; a test holds the two together. $2 is the moment.
IN_ORDER_OF_USE: Final = """b.priority, coalesce(b.expires_at,
        case when b.starts_at is null then $2::timestamptz + make_interval(days => b.validity_days) end, 'infinity'),
        b.created_at, b.id"""

# The clock is read outside of what locks: inside it would be read before the wait.
LOCK: Final = f"""
    with locked as materialized (
        select {SUBSCRIBER} from subscriber where id = any($1::bigint[]) order by id for no key update
    )
    select {SUBSCRIBER}, clock_timestamp() as now from locked
"""

LOCK_WHO_IS_FREE: Final = LOCK.replace("for no key update", "for no key update skip locked")

LOCK_BY_NUMBER: Final = f"""
    with wanted as materialized (
        select s.id from json_to_recordset($1::text::json) as wanted(place integer, mode text, msisdn text)
        cross join lateral (
            select id from subscriber where subscriber.msisdn = wanted.msisdn and subscriber.mode = wanted.mode limit 1
        ) as s
    ), locked as materialized (
        select {SUBSCRIBER} from subscriber where id = any(array(select id from wanted)) order by id for no key update
    )
    select {SUBSCRIBER}, clock_timestamp() as now from locked
"""

FIND_IDS: Final = """
    select wanted.place, s.id from json_to_recordset($1::text::json) as wanted(place integer, mode text, msisdn text)
    cross join lateral (
        select id from subscriber where subscriber.msisdn = wanted.msisdn and subscriber.mode = wanted.mode limit 1
    ) as s
"""

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

UPDATE_SUBSCRIBERS: Final = """
    update subscriber set billing = new.billing, status = new.status, tariff_plan = new.tariff_plan,
        language = new.language, usable_until = new.usable_until, reachable_until = new.reachable_until,
        updated_at = now()
    from json_to_recordset($1::text::json) as new(id bigint, billing text, status text, tariff_plan text, language text,
        usable_until timestamptz, reachable_until timestamptz)
    where subscriber.id = new.id and subscriber.id = any($2::bigint[])
"""

NEXT_NUMBERS: Final = "select nextval('bucket_number') from generate_series(1, $1::int)"


async def next_numbers(tx: Tx, count: int) -> list[int]:
    """`count` fresh numbers of buckets. Not part of the transaction: an unused one stays a gap."""
    return [row[0] for row in await tx.fetch(NEXT_NUMBERS, count)]


def bucket_numbers() -> NumberBlock:
    """Return an empty block of numbers of buckets. A lane fetches `NUMBERS_AT_A_TIME`, others what they need."""
    return NumberBlock(next_numbers)


class Use(msgspec.Struct, frozen=True):
    """What somebody is about to use of: the buckets of one kind on one line of a subscriber."""

    subscriber_id: int
    kind: Kind
    line: str = ""


class _Key(msgspec.Struct, gc=False):
    """A subscriber that is looked for, as the statements read it."""

    place: int
    mode: str
    msisdn: str


async def find_ids(tx: Tx, wanted: Sequence[tuple[Mode, str]]) -> dict[tuple[Mode, str], int]:
    """The ids of those subscribers, by mode and MSISDN, that exist. Locks nothing."""
    found = await tx.fetch(FIND_IDS, rows([_Key(place, mode, msisdn) for place, (mode, msisdn) in enumerate(wanted)]))
    return {wanted[row[0]]: row[1] for row in found}


async def lock_subscribers(
    tx: Tx, ids: Collection[int], *, who_is_free: bool = False
) -> tuple[dict[int, Subscriber], datetime | None]:
    """Lock these subscribers in id order, so that two transactions never wait for each other.

    Also answers the database's clock after the locks were had; None when none of them was found. Whoever locks wallets too
    does that before. `who_is_free`: leaves out those that somebody else has locked.
    """
    found = await tx.fetch(LOCK_WHO_IS_FREE if who_is_free else LOCK, sorted(set(ids)))
    return {row["id"]: subscriber_of(row) for row in found}, found[-1]["now"] if found else None


async def load_accounts(
    tx: Tx,
    subscribers: Mapping[int, Subscriber],
    now: datetime,
    numbers: NumberBlock,
    *,
    uses: Collection[Use] = (),
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
        await tx.execute(UPDATE_SUBSCRIBERS, rows(subscribers), [subscriber.id for subscriber in subscribers])
    for account in touched:
        account.written()


async def lock_by_number(
    tx: Tx, wanted: Sequence[tuple[Mode, str]]
) -> tuple[dict[tuple[Mode, str], Subscriber], datetime | None]:
    """Lock those of these subscribers, by mode and MSISDN, that exist, as `lock_subscribers` does."""
    keys = rows([_Key(place, mode, msisdn) for place, (mode, msisdn) in enumerate(wanted)])
    found = await tx.fetch(LOCK_BY_NUMBER, keys)
    subscribers = map(subscriber_of, found)
    return {(subscriber.mode, subscriber.msisdn): subscriber for subscriber in subscribers}, (
        found[-1]["now"] if found else None
    )


async def accounts_to_give(
    tx: Tx, subscribers: Iterable[Subscriber], now: datetime, mains: Collection[int], numbers: NumberBlock
) -> dict[int, Account]:
    """Accounts of locked subscribers to which something is given: with the main accounts of `mains` only."""
    accounts = {subscriber.id: Account(subscriber, [], now, numbers.take) for subscriber in subscribers}
    if mains:
        for row in await tx.fetch(MAIN_ACCOUNTS, list(mains)):
            accounts[row["subscriber_id"]].buckets.append(bucket_of(row))
    return accounts


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
_MODES: Final = {mode.value: mode for mode in Mode}
_BILLINGS: Final = {billing.value: billing for billing in Billing}
_STATUSES: Final = {status.value: status for status in Status}
_KINDS: Final = {kind.value: kind for kind in Kind}


def subscriber_of(row: Any) -> Subscriber:
    """The subscriber in a row of `SUBSCRIBER`."""
    return Subscriber(
        row["id"],
        _MODES[row["mode"]],
        row["msisdn"],
        row["country"],
        CURRENCIES[row["currency"]],
        _BILLINGS[row["billing"]],
        _STATUSES[row["status"]],
        row["tariff_plan"],
        row["language"],
        row["usable_until"],
        row["reachable_until"],
        row["created_at"],
    )


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


# Who there is: none of this is on anybody's path -----------------------------------------------------------------------


async def insert_subscriber(
    tx: Tx,
    msisdn: str,
    *,
    country: str,
    currency: str,
    billing: str,
    status: str,
    tariff_plan: str,
    language: str,
    usable_days: int,
    reachable_days: int,
) -> list[Subscriber]:
    """The new subscriber's rows, live first; empty where there is one of this number."""
    found = await tx.fetch(
        f"""
        insert into subscriber (mode, msisdn, country, currency, billing, status, tariff_plan, language, usable_until,
            reachable_until)
        select mode, $1, $2, $3, $4, $5, $6, $7, now() + make_interval(days => $8), now() + make_interval(days => $9)
        from (values ('live'), ('test')) as m(mode) order by mode
        on conflict do nothing returning {SUBSCRIBER}
        """,
        msisdn, country, currency, billing, status, tariff_plan, language, usable_days, reachable_days,
    )  # fmt: skip
    return [subscriber_of(row) for row in found]


async def find_subscriber(tx: Tx, mode: Mode, msisdn: str, *, lock: bool = False) -> Subscriber | None:
    """The subscriber of this number in this mode; locked until the end of `tx` where asked for."""
    row = await tx.fetchrow(
        f"select {SUBSCRIBER} from subscriber where msisdn = $1 and mode = $2 {'for no key update' if lock else ''}",
        msisdn, mode,
    )  # fmt: skip
    return subscriber_of(row) if row else None


async def listed(
    tx: Tx, mode: Mode, *, status: str | None, currency: str | None, after: int, limit: int
) -> list[Subscriber]:
    """Subscribers in the order of their ids, those after `after`."""
    found = await tx.fetch(
        f"""
        select {SUBSCRIBER} from subscriber
        where mode = $1 and id > $2 and ($3::text is null or status = $3) and ($4::text is null or currency = $4)
        order by id limit $5
        """,
        mode, after, status, currency, limit,
    )  # fmt: skip
    return [subscriber_of(row) for row in found]


async def write_subscribers(tx: Tx, subscribers: Sequence[Subscriber]) -> None:
    """Write locked subscribers as they are now."""
    await tx.execute(UPDATE_SUBSCRIBERS, rows(subscribers), [subscriber.id for subscriber in subscribers])


async def insert_line(tx: Tx, mode: Mode, line: str, subscriber_id: int) -> int:
    """Give a subscriber a line; whose it is: somebody else's stays that."""
    await tx.execute(
        "insert into subscriber_line (mode, line, subscriber_id) values ($1, $2, $3) on conflict do nothing",
        mode, line, subscriber_id,
    )  # fmt: skip
    return int(await tx.fetchval("select subscriber_id from subscriber_line where mode = $1 and line = $2", mode, line))


async def lines_of(tx: Tx, subscriber_id: int) -> list[str]:
    found = await tx.fetch("select line from subscriber_line where subscriber_id = $1 order by line", subscriber_id)
    return [row[0] for row in found]


async def momo_bucket(tx: Tx, subscriber_id: int) -> Bucket | None:
    """The bucket that holds a subscriber's mobile money."""
    row = await tx.fetchrow(
        f"select {BUCKET} from bucket b where b.subscriber_id = $1 and b.kind = 'momo'", subscriber_id
    )
    return bucket_of(row) if row else None


async def insert_momo(tx: Tx, subscriber_id: int, authorization_digest: bytes) -> bool:
    """Whether the account was made now; False where there was one."""
    made = await tx.fetchval(
        "insert into momo_account (subscriber_id, authorization_digest) values ($1, $2) on conflict do nothing"
        " returning true",
        subscriber_id, authorization_digest,
    )  # fmt: skip
    return bool(made)


async def change_momo(tx: Tx, subscriber_id: int, changes: Mapping[str, int | bool | bytes]) -> bool:
    """Set these columns of a subscriber's mobile money; whether there is any."""
    names = list(changes)
    assignments = "".join(f", {name} = ${place}" for place, name in enumerate(names, 2))
    changed = await tx.fetchval(
        f"update momo_account set subscriber_id = $1{assignments} where subscriber_id = $1 returning true",
        subscriber_id, *(changes[name] for name in names),
    )  # fmt: skip
    return bool(changed)
