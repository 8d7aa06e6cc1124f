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
from telvend.subscribers.model import (
    Billing,
    Bucket,
    Kind,
    Part,
    PostingKind,
    Reservation,
    ReservationState,
    Status,
    Subscriber,
)

MOST_LOADED: Final = 500
"""How many buckets of one kind are loaded to be used from, in the order of use. Almost nobody has more; who has is
loaded whole where these are not enough."""

NUMBERS_AT_A_TIME: Final = 1024

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

NEW_TARIFF_PLAN: Final = "Prepaid"
NEW_USABLE_DAYS: Final = 90
NEW_REACHABLE_DAYS: Final = 180
"""What a subscriber begins with whom nobody has introduced."""

LOCK_WHO_IS_FREE: Final = LOCK.replace("for no key update", "for no key update skip locked")

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
        select {SUBSCRIBER} from subscriber where id = any(array(select id from wanted)) order by id for no key update
    )
    select {SUBSCRIBER}, clock_timestamp() as now from locked
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

# Using --------------------------------------------------------------------------------------------------------------------

_REFERENCES: Final = "json_to_recordset($1::text::json) as wanted(subscriber_id bigint, reference text)"

FIND_CONSUMPTIONS: Final = f"""
    select c.subscriber_id, c.reference, c.kind, c.amount from {_REFERENCES}
    cross join lateral (
        select * from consumption
        where consumption.subscriber_id = wanted.subscriber_id and consumption.reference = wanted.reference limit 1
    ) as c
"""

INSERT_CONSUMPTIONS: Final = """
    insert into consumption (subscriber_id, reference, kind, amount, created_at)
    select subscriber_id, reference, kind, amount, $2
    from json_to_recordset($1::text::json) as new(subscriber_id bigint, reference text, kind text, amount bigint)
"""

_RESERVATION: Final = "r.id, r.subscriber_id, r.reference, r.kind, r.amount, r.captured, r.state, r.due_at"

FIND_RESERVATIONS: Final = f"""
    select {_RESERVATION} from {_REFERENCES}
    cross join lateral (
        select * from reservation
        where reservation.subscriber_id = wanted.subscriber_id and reservation.reference = wanted.reference limit 1
    ) as r
"""

OVERDUE_RESERVATIONS: Final = f"""
    select {_RESERVATION} from unnest($1::bigint[]) as wanted(id)
    cross join lateral (
        select * from reservation where reservation.subscriber_id = wanted.id and due_at is not null and due_at <= $2
        order by due_at limit 100
    ) as r
"""

RESERVATION_PARTS: Final = """
    select p.reservation_id, p.place, p.bucket_id, p.amount from unnest($1::bigint[]) as wanted(id)
    cross join lateral (
        select * from reservation_part where reservation_part.reservation_id = wanted.id order by place limit 1000000
    ) as p
"""

INSERT_RESERVATIONS: Final = """
    insert into reservation (subscriber_id, reference, kind, amount, captured, state, due_at, created_at)
    select subscriber_id, reference, kind, amount, captured, state, due_at, $2
    from json_to_recordset($1::text::json) as new(subscriber_id bigint, reference text, kind text, amount bigint,
        captured bigint, state text, due_at timestamptz)
    returning id, subscriber_id, reference
"""

INSERT_PARTS: Final = """
    insert into reservation_part (reservation_id, place, bucket_id, amount)
    select reservation_id, place, bucket_id, amount from json_to_recordset($1::text::json)
        as new(reservation_id bigint, place smallint, bucket_id bigint, amount bigint)
"""

UPDATE_RESERVATIONS: Final = """
    update reservation set captured = new.captured, state = new.state, due_at = new.due_at
    from json_to_recordset($1::text::json) as new(id bigint, captured bigint, state text, due_at timestamptz)
    where reservation.id = new.id and reservation.id = any($2::bigint[])
"""

MOMO_BLOCKED: Final = """
    select wanted.id from unnest($1::bigint[]) as wanted(id)
    cross join lateral (
        select blocked from momo_account where momo_account.subscriber_id = wanted.id limit 1
    ) as m
    where m.blocked
"""

# Sweeping -----------------------------------------------------------------------------------------------------------------

DUE_RESERVATIONS: Final = "select subscriber_id from reservation where due_at <= now() order by due_at limit $1"

# What is reserved waits for its reservation.
OVER_BUCKETS: Final = """
    select subscriber_id, id from bucket where open and expires_at <= now() and balance > reserved
    order by expires_at limit $1
"""

NEXT_NUMBERS: Final = "select nextval('bucket_number') from generate_series(1, $1::int)"


class BucketNumbers:
    """Numbers of buckets, taken ahead where `ahead` says so: an unused one stays a gap. One for each connection or task."""

    def __init__(self, ahead: int = 1) -> None:
        self.ahead = ahead
        self._numbers: list[int] = []

    async def provide(self, tx: Tx, count: int) -> None:
        """Have `count` of them at hand. Not part of the transaction."""
        if len(self._numbers) < count:
            found = await tx.fetch(NEXT_NUMBERS, max(self.ahead, count))
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
    numbers: BucketNumbers,
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


class Consumption(msgspec.Struct, frozen=True, gc=False):
    """So much of one kind was used under a reference."""

    subscriber_id: int
    reference: str
    kind: str
    amount: int


class _Reference(msgspec.Struct, frozen=True, gc=False):
    """A reference of a subscriber, as the statements read it."""

    subscriber_id: int
    reference: str


class _NewPart(msgspec.Struct, gc=False):
    """A part of a new reservation, as INSERT_PARTS reads it."""

    reservation_id: int
    place: int
    bucket_id: int
    amount: int


async def find_consumptions(tx: Tx, wanted: Iterable[tuple[int, str]]) -> dict[tuple[int, str], Consumption]:
    """What was consumed under these references, by subscriber and reference."""
    found = await tx.fetch(FIND_CONSUMPTIONS, rows([_Reference(*key) for key in wanted]))
    return {(row[0], row[1]): Consumption(*row) for row in found}


async def write_consumptions(tx: Tx, consumptions: Sequence[Consumption], now: datetime) -> None:
    await tx.execute(INSERT_CONSUMPTIONS, rows(consumptions), now)


async def find_reservations(tx: Tx, wanted: Iterable[tuple[int, str]]) -> list[Reservation]:
    """The reservations under these references, with their parts."""
    return await _reservations(tx, await tx.fetch(FIND_RESERVATIONS, rows([_Reference(*key) for key in wanted])))


async def overdue_reservations(tx: Tx, subscriber_ids: Collection[int], now: datetime) -> list[Reservation]:
    """Those of locked subscribers whose deadline has passed, with their parts; a hundred of each at most."""
    return await _reservations(tx, await tx.fetch(OVERDUE_RESERVATIONS, list(subscriber_ids), now))


async def _reservations(tx: Tx, found: Sequence[Any]) -> list[Reservation]:
    parts: dict[int, list[Part]] = {row["id"]: [] for row in found}
    if parts:
        for row in await tx.fetch(RESERVATION_PARTS, list(parts)):
            parts[row[0]].append(Part(row[1], row[2], row[3]))
    return [
        Reservation(
            row["id"],
            row["subscriber_id"],
            row["reference"],
            Kind(row["kind"]),
            row["amount"],
            row["captured"],
            ReservationState(row["state"]),
            row["due_at"],
            parts[row["id"]],
        )
        for row in found
    ]


async def write_reservations(tx: Tx, reservations: Sequence[Reservation], now: datetime) -> None:
    """Write reservations: those whose id is 0 are new and get one, the others have ended."""
    new = {(item.subscriber_id, item.reference): item for item in reservations if not item.id}
    ended = [item for item in reservations if item.id]
    if new:
        for row in await tx.fetch(INSERT_RESERVATIONS, rows(list(new.values())), now):
            new[row[1], row[2]].id = row[0]
        parts = [
            _NewPart(item.id, part.place, part.bucket_id, part.amount) for item in new.values() for part in item.parts
        ]
        await tx.execute(INSERT_PARTS, rows(parts))
    if ended:
        await tx.execute(UPDATE_RESERVATIONS, rows(ended), [item.id for item in ended])


async def momo_blocked(tx: Tx, subscriber_ids: Collection[int]) -> set[int]:
    """Those of locked subscribers whose mobile money is blocked."""
    return {row[0] for row in await tx.fetch(MOMO_BLOCKED, list(subscriber_ids))}


async def overdue(tx: Tx, limit: int) -> tuple[set[int], list[tuple[int, int]]]:
    """What a sweep has to do: subscribers with reservations past their deadline, and buckets that are over, by subscriber."""
    due = {row[0] for row in await tx.fetch(DUE_RESERVATIONS, limit)}
    over = [(row[0], row[1]) for row in await tx.fetch(OVER_BUCKETS, limit)]
    return due, over


# For people: none of this is on anybody's path --------------------------------------------------------------------------


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


async def held_reservations(tx: Tx, subscriber_id: int) -> list[Reservation]:
    """What is kept for sessions that are under way."""
    found = await tx.fetch(
        f"select {_RESERVATION} from reservation r where r.subscriber_id = $1 and r.due_at is not null order by r.id",
        subscriber_id,
    )
    return await _reservations(tx, found)


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
