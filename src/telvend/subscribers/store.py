"""All SQL of subscribers and of what they have.

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

from telvend.errors import InvariantBroken
from telvend.kit.db import Tx, rows
from telvend.kit.money import CURRENCIES
from telvend.ledger.model import Mode
from telvend.subscribers.account import Account
from telvend.subscribers.model import Billing, Bucket, Kind, Status, Subscriber

MOST_LOADED: Final = 500
"""How many buckets of one kind are loaded to be used from, in the order of use. Almost nobody has more; who has is
loaded whole where these are not enough."""

NUMBERS_AT_A_TIME: Final = 1024

_SUBSCRIBER: Final = """id, mode, msisdn, country, currency, billing, status, tariff_plan, language, usable_until,
    reachable_until, created_at"""

_BUCKET: Final = """b.subscriber_id, b.id, b.kind, b.name, b.balance, b.reserved, b.postings, b.line, b.main, b.product,
    b.priority, b.validity_days, b.starts_at, b.expires_at, b.created_at, b.open"""

# The order in which buckets are used, as Account._rank says it; a test holds the two together. $2 is the moment.
_IN_ORDER_OF_USE: Final = """b.priority, coalesce(b.expires_at,
        case when b.starts_at is null then $2::timestamptz + make_interval(days => b.validity_days) end, 'infinity'),
        b.created_at, b.id"""

# The clock is read outside of what locks: inside it would be read before the wait.
LOCK: Final = f"""
    with locked as materialized (
        select {_SUBSCRIBER} from subscriber where id = any($1::bigint[]) order by id for no key update
    )
    select {_SUBSCRIBER}, clock_timestamp() as now from locked
"""

NEW_TARIFF_PLAN: Final = "Prepaid"
NEW_USABLE_DAYS: Final = 90
NEW_REACHABLE_DAYS: Final = 180
"""What a subscriber begins with whom nobody has introduced."""

FIND_IDS: Final = """
    select wanted.place, s.id from json_to_recordset($1::text::json) as wanted(place integer, mode text, msisdn text)
    cross join lateral (
        select id from subscriber where subscriber.msisdn = wanted.msisdn and subscriber.mode = wanted.mode limit 1
    ) as s
"""

MAIN_ACCOUNTS: Final = f"""
    select {_BUCKET} from unnest($1::bigint[]) as wanted(id)
    cross join lateral (select * from bucket where bucket.subscriber_id = wanted.id and bucket.main limit 1) as b
"""

BUCKETS_BY_ID: Final = f"""
    select {_BUCKET} from unnest($1::bigint[]) as wanted(id)
    cross join lateral (select * from bucket where bucket.id = wanted.id limit 1) as b
"""

# $3 is how many of each at most.
BUCKETS_TO_USE: Final = f"""
    select {_BUCKET} from json_to_recordset($1::text::json) as wanted(subscriber_id bigint, kind text, line text)
    cross join lateral (
        select * from bucket b
        where b.subscriber_id = wanted.subscriber_id and b.open and b.kind = wanted.kind and b.line = wanted.line
          and b.balance > b.reserved and (b.starts_at is null or b.starts_at <= $2)
          and (b.expires_at is null or b.expires_at > $2)
        order by {_IN_ORDER_OF_USE}
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

# Deliveries ---------------------------------------------------------------------------------------------------------------

# Whoever has a row in one mode has one in the other. The limit keeps the planner from reading all subscribers.
CREATE_SUBSCRIBERS: Final = """
    insert into subscriber (mode, msisdn, country, currency, tariff_plan, usable_until, reachable_until)
    select m.mode, new.msisdn, new.country, new.currency, $2, now() + make_interval(days => $3),
           now() + make_interval(days => $4)
    from json_to_recordset($1::text::json) as new(mode text, msisdn text, country text, currency text)
    cross join (values ('live'), ('test')) as m(mode)
    left join lateral (
        select true as there from subscriber s where s.msisdn = new.msisdn and s.mode = new.mode limit 1
    ) as known on true
    where known.there is null
    order by new.msisdn, m.mode
    on conflict (msisdn, mode) do nothing
"""

LOCK_BY_NUMBER: Final = f"""
    with wanted as materialized (
        select s.id from json_to_recordset($1::text::json) as wanted(place integer, mode text, msisdn text)
        cross join lateral (
            select id from subscriber where subscriber.msisdn = wanted.msisdn and subscriber.mode = wanted.mode limit 1
        ) as s
    ), locked as materialized (
        select {_SUBSCRIBER} from subscriber where id = any(array(select id from wanted)) order by id for no key update
    )
    select {_SUBSCRIBER}, clock_timestamp() as now from locked
"""

# One that another process has written and not committed yet is waited for; in the order of the references, so that two
# never wait for each other.
CLAIM_REFERENCES: Final = """
    insert into network_delivery (reference, state, subscriber_id, parts, fingerprint)
    select reference, state, subscriber_id, parts, fingerprint
    from json_to_recordset($1::text::json)
        as new(reference text, state text, subscriber_id bigint, parts smallint, fingerprint text)
    order by reference collate "C"
    on conflict (reference) do nothing
    returning reference
"""

KNOWN_REFERENCES: Final = """
    select d.reference, d.state, d.subscriber_id, d.parts, d.fingerprint, d.reason
    from unnest($1::text[]) as wanted(reference)
    cross join lateral (
        select * from network_delivery where network_delivery.reference = wanted.reference limit 1
    ) as d
"""

REFUSE_REFERENCES: Final = """
    update network_delivery set state = new.state, reason = new.reason, parts = 0
    from json_to_recordset($1::text::json) as new(reference text, state text, reason text)
    where network_delivery.reference = new.reference and network_delivery.reference = any($2::text[])
"""

FORGET_REFERENCES: Final = "delete from network_delivery where reference = any($1::text[])"

NEXT_NUMBERS: Final = "select nextval('bucket_number') from generate_series(1, $1::int)"


class BucketNumbers:
    """Numbers of buckets, taken ahead by the thousand: an unused one stays a gap. One for each connection or task."""

    def __init__(self) -> None:
        self._numbers: list[int] = []

    async def provide(self, tx: Tx, count: int) -> None:
        """Have `count` of them at hand. Not part of the transaction."""
        if len(self._numbers) < count:
            found = await tx.fetch(NEXT_NUMBERS, max(NUMBERS_AT_A_TIME, count))
            self._numbers = [row[0] for row in found][::-1]

    def __call__(self) -> int:
        if not self._numbers:
            raise InvariantBroken("numbers of buckets were not provided for")
        return self._numbers.pop()


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


async def lock_subscribers(tx: Tx, ids: Collection[int]) -> tuple[dict[int, Subscriber], datetime | None]:
    """Lock these subscribers in id order, so that two transactions never wait for each other.

    Also answers the database's clock after the locks were had; None when none of them was found. Whoever locks wallets too
    does that before.
    """
    found = await tx.fetch(LOCK, sorted(set(ids)))
    return {row["id"]: subscriber_of(row) for row in found}, found[-1]["now"] if found else None


async def load_accounts(
    tx: Tx,
    subscribers: Mapping[int, Subscriber],
    now: datetime,
    numbers: BucketNumbers,
    *,
    uses: Collection[Use] = (),
    buckets: Collection[int] = (),
    most: int = MOST_LOADED,
) -> dict[int, Account]:
    """The accounts of locked subscribers, with their main accounts; giving needs no more.

    `uses`: with what can be used so, too, at most `most` buckets of each, in the order of use. `buckets`: with these ones.
    """
    found = list(await tx.fetch(MAIN_ACCOUNTS, list(subscribers)))
    if uses:
        found += await tx.fetch(BUCKETS_TO_USE, rows(list(uses)), now, most)
    if buckets:
        found += await tx.fetch(BUCKETS_BY_ID, list(buckets))
    loaded: dict[int, dict[int, Bucket]] = {subscriber_id: {} for subscriber_id in subscribers}
    for row in found:
        loaded[row["subscriber_id"]][row["id"]] = bucket_of(row)
    return {
        subscriber_id: Account(subscriber, list(loaded[subscriber_id].values()), now, numbers)
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


class NewSubscriber(msgspec.Struct, frozen=True, gc=False):
    """Somebody who may have to be made, in both modes, because something arrived for the one in `mode`."""

    mode: str
    msisdn: str
    country: str
    currency: str


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A reference of a delivery: what it became, or becomes if it is new. `parts`: how many postings it made."""

    reference: str
    state: str
    subscriber_id: int | None = None
    parts: int = 0
    fingerprint: str = ""
    reason: str | None = None


async def create_subscribers(tx: Tx, wanted: Sequence[NewSubscriber]) -> None:
    """Make those of these that do not exist, in both modes. Call it before anything is locked in `tx`."""
    await tx.execute(CREATE_SUBSCRIBERS, rows(wanted), NEW_TARIFF_PLAN, NEW_USABLE_DAYS, NEW_REACHABLE_DAYS)


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
    tx: Tx, subscribers: Iterable[Subscriber], now: datetime, mains: Collection[int], numbers: BucketNumbers
) -> dict[int, Account]:
    """Accounts of locked subscribers to which something is given: with the main accounts of `mains` only."""
    accounts = {subscriber.id: Account(subscriber, [], now, numbers) for subscriber in subscribers}
    if mains:
        for row in await tx.fetch(MAIN_ACCOUNTS, list(mains)):
            accounts[row["subscriber_id"]].buckets.append(bucket_of(row))
    return accounts


async def claim_references(tx: Tx, claims: Sequence[Claim]) -> set[str]:
    """Write these references, each what it becomes. Answers those that were new; the others stay as they are."""
    return {row[0] for row in await tx.fetch(CLAIM_REFERENCES, rows(claims))}


async def known_references(tx: Tx, references: Sequence[str]) -> dict[str, Claim]:
    """What these references have become."""
    return {row[0]: Claim(*row) for row in await tx.fetch(KNOWN_REFERENCES, references)}


async def refuse_references(tx: Tx, claims: Sequence[Claim]) -> None:
    """What was claimed in this transaction and is refused."""
    await tx.execute(REFUSE_REFERENCES, rows(claims), [claim.reference for claim in claims])


async def forget_references(tx: Tx, references: Sequence[str]) -> None:
    """What was claimed in this transaction and leaves its reference free."""
    await tx.execute(FORGET_REFERENCES, references)


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


def subscriber_of(row: Any) -> Subscriber:
    """The subscriber in a row of `_SUBSCRIBER`."""
    return Subscriber(
        row["id"],
        Mode(row["mode"]),
        row["msisdn"],
        row["country"],
        CURRENCIES[row["currency"]],
        Billing(row["billing"]),
        Status(row["status"]),
        row["tariff_plan"],
        row["language"],
        row["usable_until"],
        row["reachable_until"],
        row["created_at"],
    )


def bucket_of(row: Any) -> Bucket:
    """The bucket in a row of `_BUCKET`."""
    return Bucket(
        row["id"],
        Kind(row["kind"]),
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
