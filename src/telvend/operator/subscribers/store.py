"""All SQL of subscribers and their lines: who there is.

What they have is `balances/`. The lock of a subscriber's row guards all of the subscriber's buckets and reservations.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from telvend.database.connections import Tx, rows
from telvend.errors import NotFound
from telvend.kit.mode import Mode
from telvend.kit.money import CURRENCIES, Currency
from telvend.operator.subscribers.model import Billing, Subscriber, SubscriberStatus

NEW_TARIFF_PLAN: Final = "Prepaid"
NEW_ACTIVE_DAYS: Final = 90
NEW_GRACE_DAYS: Final = 180
"""What a subscriber begins with whom nobody has introduced."""

SUBSCRIBER: Final = """id, mode, msisdn, country, currency, billing, status, tariff_plan, language, usable_until,
    reachable_until, created_at"""

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

FIND_CURRENCIES: Final = """
    select wanted.place, s.id, s.currency
    from json_to_recordset($1::text::json) as wanted(place integer, mode text, msisdn text)
    cross join lateral (
        select id, currency from subscriber where subscriber.msisdn = wanted.msisdn and subscriber.mode = wanted.mode limit 1
    ) as s
"""

UPDATE_SUBSCRIBERS: Final = """
    update subscriber set billing = new.billing, status = new.status, tariff_plan = new.tariff_plan,
        language = new.language, usable_until = new.active_until, reachable_until = new.grace_until,
        updated_at = now()
    from json_to_recordset($1::text::json) as new(id bigint, billing text, status text, tariff_plan text, language text,
        active_until timestamptz, grace_until timestamptz)
    where subscriber.id = new.id and subscriber.id = any($2::bigint[])
"""

# Whoever has a row in one mode has one in the other. The limit keeps the planner from reading all subscribers.
CREATE_SUBSCRIBERS: Final = f"""
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
    returning {SUBSCRIBER}, clock_timestamp() as now
"""


class NewSubscriber(msgspec.Struct, frozen=True, gc=False):
    """Somebody who may have to be made, in both modes, because something arrived for the one in `mode`."""

    mode: str
    msisdn: str
    country: str
    currency: str


class _Key(msgspec.Struct, gc=False):
    """A subscriber that is looked for, as the statements read it."""

    place: int
    mode: str
    msisdn: str


async def find_currencies(tx: Tx, wanted: Collection[tuple[Mode, str]]) -> dict[tuple[Mode, str], tuple[int, Currency]]:
    """Id and currency of those of these subscribers, by mode and MSISDN, that exist. Locks nothing.

    A currency decides which wallet is locked, and wallets are locked before subscribers.
    """
    keys = list(wanted)
    found = await tx.fetch(
        FIND_CURRENCIES, rows([_Key(place, mode, msisdn) for place, (mode, msisdn) in enumerate(keys)])
    )
    return {keys[row[0]]: (row[1], CURRENCIES[row[2]]) for row in found}


async def lock_subscribers(
    tx: Tx, ids: Collection[int], *, who_is_free: bool = False
) -> tuple[dict[int, Subscriber], datetime | None]:
    """Lock these subscribers in id order, so that two transactions never wait for each other.

    Also answers the database's clock after the locks were had; None when none of them was found. Whoever locks wallets too
    does that before. `who_is_free`: leaves out those that somebody else has locked.
    """
    found = await tx.fetch(LOCK_WHO_IS_FREE if who_is_free else LOCK, sorted(set(ids)))
    return {row["id"]: subscriber_of(row) for row in found}, found[-1]["now"] if found else None


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


async def create_subscribers(
    tx: Tx, wanted: Sequence[NewSubscriber]
) -> tuple[dict[tuple[Mode, str], Subscriber], datetime | None]:
    """Make those of these that do not exist, in both modes. Call it before anything is locked in `tx`.

    Answers those that were made, as `lock_by_number` does: they are locked, since nobody else sees them before the end of `tx`.
    """
    made = await tx.fetch(CREATE_SUBSCRIBERS, rows(wanted), NEW_TARIFF_PLAN, NEW_ACTIVE_DAYS, NEW_GRACE_DAYS)
    subscribers = map(subscriber_of, made)
    return {(subscriber.mode, subscriber.msisdn): subscriber for subscriber in subscribers}, (
        made[-1]["now"] if made else None
    )


async def write_subscribers(tx: Tx, subscribers: Sequence[Subscriber]) -> None:
    """Write locked subscribers as they are now."""
    await tx.execute(UPDATE_SUBSCRIBERS, rows(subscribers), [subscriber.id for subscriber in subscribers])


# A look-up in a dictionary takes a fifth of the time of a call of the enumeration.
_MODES: Final = {mode.value: mode for mode in Mode}
_BILLINGS: Final = {billing.value: billing for billing in Billing}
_STATUSES: Final = {status.value: status for status in SubscriberStatus}


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


# For people: none of this is on anybody's path -------------------------------------------------------------------------


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
    active_days: int,
    grace_days: int,
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
        msisdn, country, currency, billing, status, tariff_plan, language, active_days, grace_days,
    )  # fmt: skip
    return [subscriber_of(row) for row in found]


async def find_subscriber(tx: Tx, mode: Mode, msisdn: str, *, lock: bool = False) -> Subscriber | None:
    """The subscriber of this number in this mode; locked until the end of `tx` where asked for."""
    row = await tx.fetchrow(
        f"select {SUBSCRIBER} from subscriber where msisdn = $1 and mode = $2 {'for no key update' if lock else ''}",
        msisdn, mode,
    )  # fmt: skip
    return subscriber_of(row) if row else None


async def require_subscriber(tx: Tx, mode: Mode, msisdn: str, *, lock: bool = False) -> Subscriber:
    """Return the subscriber of this number as `find_subscriber` does. Raises NotFound."""
    found = await find_subscriber(tx, mode, msisdn, lock=lock)
    if found is None:
        raise NotFound("Subscriber")
    return found


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
