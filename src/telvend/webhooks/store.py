"""All SQL of webhooks. The transactions that events are written in are those of the rooms that decide."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from telvend.database.connections import Tx, rows
from telvend.kit.mode import Mode
from telvend.kit.money import CURRENCIES, Money
from telvend.webhooks.model import (
    KEPT,
    OLD_SECRET,
    PAUSED_AFTER,
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    Endpoint,
    EndpointState,
)

TOPIC: Final = "webhooks"
"""The revision that tells processes that endpoints or thresholds have changed."""

_AGREEING: Final = 7_316_091_545
"""The advisory lock of whoever agrees on the key."""

_CLEANING: Final = 7_316_091_546
"""The advisory lock of whoever removes what is old."""

_LISTENING: Final = 7_316_091_547
"""The advisory lock of whoever begins a session."""

_ENDPOINT: Final = "id, reseller_id, url, events, state, failing_since, failure, previous_until, changed_at, created_at"


# What is told -------------------------------------------------------------------------------------------------------------

# The endpoints are read by the statement that writes, so that one whose adding has been committed misses nothing.
WRITE_EVENTS: Final = """
    with heard as materialized (
        select new.message, new.reseller_id, new.type, new.body, array(
            select e.id from webhook_endpoint e
            where e.reseller_id = new.reseller_id and e.state in ('active', 'paused')
                and (e.events is null or new.type = any(e.events))
        ) as endpoints
        from unnest($1::text[], $2::uuid[], $3::text[], $4::text[]) as new(message, reseller_id, type, body)
    ), event as (
        insert into webhook_event (message, reseller_id, type, body)
        select message, reseller_id, type, body from heard where endpoints <> '{}'
        returning id, message
    )
    insert into webhook_delivery (endpoint_id, event_id, due_at)
    select endpoint_id, event.id, now() from event join heard using (message)
    cross join lateral unnest(heard.endpoints) as endpoint_id
"""


async def write_events(
    tx: Tx, messages: Sequence[str], resellers: Sequence[UUID], types: Sequence[str], bodies: Sequence[str]
) -> int:
    """Write events for the endpoints of their resellers, due at once. Return how many deliveries that makes."""
    written = await tx.execute(WRITE_EVENTS, messages, resellers, types, bodies)
    return int(written.rpartition(" ")[2])


# A session of a developer is written for beside all endpoints, and makes no delivery.
WRITE_FOR_LISTENERS: Final = """
    insert into webhook_listener_event (listener_id, message, reseller_id, type, body)
    select l.id, new.message, new.reseller_id, new.type, new.body
    from unnest($1::text[], $2::uuid[], $3::text[], $4::text[]) as new(message, reseller_id, type, body)
    join webhook_listener l on l.until > now() and (l.reseller_id is null or l.reseller_id = new.reseller_id)
"""


async def write_for_listeners(
    tx: Tx, messages: Sequence[str], resellers: Sequence[UUID], types: Sequence[str], bodies: Sequence[str]
) -> None:
    """Write events for the sessions of developers who look on."""
    await tx.execute(WRITE_FOR_LISTENERS, messages, resellers, types, bodies)


class Listeners(msgspec.Struct, frozen=True):
    """Who is told: how many endpoints and sessions there are, and the wallets of the resellers whose events they are sent.

    `everybody`: a session is shown all events. `thresholds` by wallet; `newest` is the newest wallet there is.
    """

    endpoints: int
    sessions: int
    everybody: bool
    wallets: frozenset[int]
    thresholds: dict[int, int]
    newest: int


async def listeners(tx: Tx) -> Listeners:
    """Who is told of anything."""
    endpoints = await tx.fetchval("select count(*) from webhook_endpoint where state in ('active', 'paused')")
    sessions = await tx.fetch("select reseller_id from webhook_listener where until > now()")
    heard = await tx.fetch(
        "select w.wallet_id from webhook_wallet w where w.reseller_id in"
        " (select reseller_id from webhook_endpoint where state in ('active', 'paused')) or w.reseller_id = any($1::uuid[])",
        [row[0] for row in sessions if row[0] is not None],
    )
    thresholds = await tx.fetch("select wallet_id, threshold_minor from webhook_threshold")
    newest = await tx.fetchval("select max(wallet_id) from webhook_wallet")
    return Listeners(
        int(endpoints),
        len(sessions),
        any(row[0] is None for row in sessions),
        frozenset(row[0] for row in heard),
        {row[0]: row[1] for row in thresholds},
        int(newest or 0),
    )


# Low balances -------------------------------------------------------------------------------------------------------------


class WalletDip(msgspec.Struct, frozen=True):
    """A wallet that was just found below its threshold."""

    wallet_id: int
    reseller_id: UUID
    mode: Mode
    balance: Money
    threshold: Money


# Whoever has no endpoint is not told, and hears of the dip when there is one and the next message is due.
_SOMEBODY_LISTENS: Final = """(exists (
            select from webhook_endpoint e where e.reseller_id = w.reseller_id and e.state in ('active', 'paused'))
        or exists (
            select from webhook_listener l where l.until > now() and (l.reseller_id is null or l.reseller_id = w.reseller_id)))"""

# One message for a dip: the next one follows money that has come in, or an hour. So a wallet whose failed orders carry it up and down
# across its threshold is told of once.
MARK_LOW: Final = f"""
    update webhook_threshold t set told_at = now(), told_funded_minor = low.funded_minor
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
        as low(wallet_id, before_minor, balance_minor, funded_minor), webhook_wallet w
    where t.wallet_id = low.wallet_id and t.wallet_id = any($1::bigint[]) and w.wallet_id = low.wallet_id
        and low.balance_minor < t.threshold_minor and low.before_minor >= t.threshold_minor and {_SOMEBODY_LISTENS}
        and (t.told_at is null or t.told_funded_minor < low.funded_minor or t.told_at < now() - interval '1 hour')
    returning t.wallet_id, w.reseller_id, w.mode, w.currency, low.balance_minor, t.threshold_minor
"""

MARK_LOW_NOW: Final = f"""
    update webhook_threshold t set told_at = now(), told_funded_minor = w.funded_minor
    from webhook_wallet w
    where t.wallet_id = $1 and w.wallet_id = $1 and w.balance_minor < t.threshold_minor and t.told_at is null
        and {_SOMEBODY_LISTENS}
    returning t.wallet_id, w.reseller_id, w.mode, w.currency, w.balance_minor, t.threshold_minor
"""


async def mark_low(
    tx: Tx, wallets: Sequence[int], before: Sequence[int], balances: Sequence[int], funded: Sequence[int]
) -> list[WalletDip]:
    """Note which of these wallets, whose rows are locked, have fallen below their thresholds and whose owners are to be told."""
    return [_dip_of(row) for row in await tx.fetch(MARK_LOW, wallets, before, balances, funded)]


async def mark_low_now(tx: Tx, wallet_id: int) -> list[WalletDip]:
    """The same of a wallet as it stands, where it was not told of its threshold yet."""
    return [_dip_of(row) for row in await tx.fetch(MARK_LOW_NOW, wallet_id)]


def _dip_of(row: Any) -> WalletDip:
    wallet_id, reseller_id, mode, code, balance_minor, threshold_minor = row
    currency = CURRENCIES[code]
    return WalletDip(
        wallet_id, reseller_id, Mode(mode), Money(balance_minor, currency), Money(threshold_minor, currency)
    )


class LowWallet(msgspec.Struct, frozen=True):
    """A wallet that stands below its threshold. `funded_minor`: what it was ever funded with."""

    dip: WalletDip
    funded_minor: int


async def low_wallets(tx: Tx, after: int, most: int) -> list[LowWallet]:
    """Wallets that stand below their thresholds, whoever was told of it, from behind wallet `after`."""
    found = await tx.fetch(
        "select w.wallet_id, w.reseller_id, w.mode, w.currency, w.balance_minor, t.threshold_minor, w.funded_minor"
        " from webhook_threshold t join webhook_wallet w using (wallet_id)"
        " where w.balance_minor < t.threshold_minor and w.wallet_id > $1 order by w.wallet_id limit $2",
        after, most,
    )  # fmt: skip
    return [LowWallet(_dip_of(tuple(row)[:6]), row["funded_minor"]) for row in found]


async def set_threshold(tx: Tx, wallet_id: int, threshold_minor: int) -> None:
    """Set a wallet's threshold; its owner was told of nothing yet."""
    await tx.execute(
        "insert into webhook_threshold (wallet_id, threshold_minor) values ($1, $2) on conflict (wallet_id)"
        " do update set threshold_minor = excluded.threshold_minor, told_at = null, told_funded_minor = null",
        wallet_id, threshold_minor,
    )  # fmt: skip


async def remove_threshold(tx: Tx, wallet_id: int) -> bool:
    """Remove a wallet's threshold. False where it had none."""
    removed = await tx.fetchval("delete from webhook_threshold where wallet_id = $1 returning true", wallet_id)
    return bool(removed)


async def thresholds_of(tx: Tx, reseller_id: UUID) -> list[tuple[Mode, Money, Money, datetime | None]]:
    """Mode, threshold and balance of each wallet of a reseller that has a threshold, and when its owner was told last."""
    found = await tx.fetch(
        "select w.mode, w.currency, t.threshold_minor, w.balance_minor, t.told_at from webhook_threshold t"
        " join webhook_wallet w using (wallet_id) where w.reseller_id = $1 order by w.mode, w.currency",
        reseller_id,
    )
    return [
        (
            Mode(row["mode"]),
            Money(row["threshold_minor"], CURRENCIES[row["currency"]]),
            Money(row["balance_minor"], CURRENCIES[row["currency"]]),
            row["told_at"],
        )
        for row in found
    ]


# Endpoints ----------------------------------------------------------------------------------------------------------------


async def lock_reseller(tx: Tx, reseller_id: UUID) -> None:
    """Until this transaction ends nobody else adds an endpoint of this reseller."""
    await tx.execute("select pg_advisory_xact_lock($1, hashtext($2))", _AGREEING % 2**31, str(reseller_id))


async def next_endpoint_id(tx: Tx) -> int:
    """Take the number of the next endpoint, which its secret is bound to."""
    return int(await tx.fetchval("select nextval(pg_get_serial_sequence('webhook_endpoint', 'id'))"))


async def insert_endpoint(
    tx: Tx, endpoint_id: int, reseller_id: UUID, url: str, events: Sequence[str] | None, key_id: str, sealed: bytes
) -> Endpoint:
    row = await tx.fetchrow(
        "insert into webhook_endpoint (id, reseller_id, url, events, key_id, secret) overriding system value"
        f" values ($1, $2, $3, $4, $5, $6) returning {_ENDPOINT}",
        endpoint_id, reseller_id, url, events, key_id, sealed,
    )  # fmt: skip
    return _endpoint_of(row)


async def endpoints_of(tx: Tx, reseller_id: UUID) -> list[Endpoint]:
    """The endpoints of a reseller, without removed ones, oldest first."""
    found = await tx.fetch(
        f"select {_ENDPOINT} from webhook_endpoint where reseller_id = $1 and state <> 'removed' order by id",
        reseller_id,
    )
    return [_endpoint_of(row) for row in found]


async def ailing_endpoints(tx: Tx, limit: int) -> list[Endpoint]:
    """Endpoints that fail or are paused, longest first; of all resellers."""
    found = await tx.fetch(
        f"select {_ENDPOINT} from webhook_endpoint where state in ('active', 'paused') and failing_since is not null"
        " order by failing_since limit $1",
        limit,
    )
    return [_endpoint_of(row) for row in found]


async def lock_endpoint(tx: Tx, endpoint_id: int) -> Endpoint | None:
    """The endpoint, locked until the end of `tx`; None where there is none, or it was removed."""
    row = await tx.fetchrow(
        f"select {_ENDPOINT} from webhook_endpoint where id = $1 and state <> 'removed' for no key update", endpoint_id
    )
    return None if row is None else _endpoint_of(row)


async def waiting(tx: Tx, endpoint_ids: Sequence[int]) -> dict[int, int]:
    """How many deliveries wait for each of these endpoints, up to a thousand."""
    found = await tx.fetch(
        "select e.id, (select count(*) from (select from webhook_delivery d where d.endpoint_id = e.id"
        " and d.due_at is not null limit 1000) x) as count from unnest($1::bigint[]) as e(id)",
        endpoint_ids,
    )
    return {row["id"]: row["count"] for row in found}


async def count_waiting(tx: Tx) -> dict[str, int]:
    """How many deliveries wait for endpoints in each state; an endpoint counts for a thousand at most."""
    found = await tx.fetch(
        "select e.state, sum(waiting.count)::bigint as count from webhook_endpoint e cross join lateral ("
        "select count(*) from (select from webhook_delivery d where d.endpoint_id = e.id and d.due_at is not null limit 1000) x"
        ") waiting where e.state in ('active', 'paused') group by e.state"
    )
    return {row["state"]: int(row["count"]) for row in found}


async def count_failing(tx: Tx) -> dict[str, int]:
    """How many endpoints fail, in each state."""
    found = await tx.fetch(
        "select state, count(*)::bigint as count from webhook_endpoint"
        " where state in ('active', 'paused') and failing_since is not null group by state"
    )
    return {row["state"]: row["count"] for row in found}


async def rotate(tx: Tx, endpoint_id: int, key_id: str, sealed: bytes, previous: bytes) -> Endpoint:
    """Put a new secret in the place of the one in force, which signs for a while longer."""
    row = await tx.fetchrow(
        "update webhook_endpoint set previous_secret = $4, previous_until = now() + $5::interval, key_id = $2,"
        f" secret = $3, changed_at = now() where id = $1 returning {_ENDPOINT}",
        endpoint_id, key_id, sealed, previous, OLD_SECRET,
    )  # fmt: skip
    return _endpoint_of(row)


async def secret_of(tx: Tx, endpoint_id: int) -> tuple[str, bytes]:
    """The secret in force, sealed, and the id of the key that it is sealed with."""
    row = await tx.fetchrow("select key_id, secret from webhook_endpoint where id = $1", endpoint_id)
    return row["key_id"], row["secret"]


async def signing_secrets(tx: Tx, endpoint_id: int) -> tuple[str, list[bytes]]:
    """The secrets that messages are signed with now, sealed, the newest first, and the id of their key."""
    row = await tx.fetchrow(
        "select key_id, secret, case when previous_until > now() then previous_secret end as previous"
        " from webhook_endpoint where id = $1",
        endpoint_id,
    )
    return row["key_id"], [sealed for sealed in (row["secret"], row["previous"]) if sealed is not None]


async def set_state(tx: Tx, endpoint_id: int, state: EndpointState) -> Endpoint:
    """Change an endpoint's state. An active one has failed at nothing yet; of a removed one no secret stays."""
    row = await tx.fetchrow(
        "update webhook_endpoint set state = $2, changed_at = now(),"
        " failing_since = case when $2 = 'active' then null else failing_since end,"
        " failure = case when $2 = 'active' then '' else failure end,"
        " secret = case when $2 = 'removed' then ''::bytea else secret end,"
        " previous_secret = case when $2 = 'removed' then null else previous_secret end,"
        " previous_until = case when $2 = 'removed' then null else previous_until end"
        f" where id = $1 returning {_ENDPOINT}",
        endpoint_id, state,
    )  # fmt: skip
    return _endpoint_of(row)


async def fail_waiting(tx: Tx, endpoint_id: int) -> int:
    """Give up what waits for an endpoint that is sent nothing any more. Return how many deliveries."""
    done = await tx.execute(
        "update webhook_delivery set state = 'failed', due_at = null where endpoint_id = $1 and due_at is not null",
        endpoint_id,
    )
    return int(done.rpartition(" ")[2])


async def hasten(tx: Tx, endpoint_id: int) -> None:
    """Make everything that waits for an endpoint due now."""
    await tx.execute(
        "update webhook_delivery set due_at = now() where endpoint_id = $1 and due_at > now()", endpoint_id
    )


def _endpoint_of(row: Any) -> Endpoint:
    return Endpoint(
        row["id"],
        row["reseller_id"],
        row["url"],
        None if row["events"] is None else tuple(row["events"]),
        EndpointState(row["state"]),
        row["failing_since"],
        row["failure"],
        row["previous_until"],
        row["changed_at"],
        row["created_at"],
    )


# Deliveries, for people ---------------------------------------------------------------------------------------------------

_DELIVERY: Final = """
    select d.endpoint_id, d.event_id, e.url, v.type, v.message, d.state, d.attempts, d.due_at, v.created_at, v.body,
        a.status, a.error, a.started_at as attempted_at
    from webhook_endpoint e
    cross join lateral ({}) d
    join webhook_event v on v.id = d.event_id
    left join webhook_attempt a on a.endpoint_id = d.endpoint_id and a.event_id = d.event_id and a.number = d.attempts
"""

# Each endpoint's newest are read from its own end of the index, and then put together.
DELIVERIES: Final = (
    _DELIVERY.format(
        "select * from webhook_delivery x where x.endpoint_id = e.id and ($3::text is null or x.state = $3)"
        " and ($4::bigint is null or (x.event_id, x.endpoint_id) < ($4, $5)) order by x.event_id desc limit $6"
    )
    + " where e.reseller_id = $1 and ($2::bigint is null or e.id = $2) order by d.event_id desc, d.endpoint_id desc limit $6"
)
DELIVERY: Final = (
    _DELIVERY.format("select * from webhook_delivery x where x.endpoint_id = e.id and x.event_id = $2")
    + " where e.id = $1 and ($3::uuid is null or e.reseller_id = $3)"
)


async def deliveries(
    tx: Tx,
    reseller_id: UUID,
    *,
    endpoint_id: int | None,
    state: str | None,
    before: tuple[int, int] | None,
    limit: int,
) -> list[Delivery]:
    """Deliveries to a reseller's endpoints, newest first; those behind the endpoint and event `before`."""
    last_endpoint, last_event = before or (None, None)
    found = await tx.fetch(DELIVERIES, reseller_id, endpoint_id, state, last_event, last_endpoint, limit)
    return [_delivery_of(row) for row in found]


async def delivery(tx: Tx, endpoint_id: int, event_id: int, owner: UUID | None = None) -> Delivery | None:
    """One delivery; None where there is none any more, or it is of another reseller than `owner`."""
    row = await tx.fetchrow(DELIVERY, endpoint_id, event_id, owner)
    return None if row is None else _delivery_of(row)


async def attempts_of(tx: Tx, endpoint_id: int, event_id: int) -> list[DeliveryAttempt]:
    """The attempts of a delivery, oldest first."""
    found = await tx.fetch(
        "select number, started_at, duration_ms, status, error, answer from webhook_attempt"
        " where endpoint_id = $1 and event_id = $2 order by number",
        endpoint_id, event_id,
    )  # fmt: skip
    return [DeliveryAttempt(*row) for row in found]


async def replay(tx: Tx, endpoint_id: int, event_id: int) -> None:
    """Begin the schedule of a delivery anew, at once."""
    await tx.execute(
        "update webhook_delivery set state = 'pending', due_at = now(), tries = 0 where endpoint_id = $1 and event_id = $2",
        endpoint_id, event_id,
    )  # fmt: skip


async def insert_test(tx: Tx, endpoint_id: int, message: str, reseller_id: UUID, kind: str, body: str) -> int:
    """Write a test message into the log, which no process sends by itself. Return the event's number.

    It stands as failed until its answer has come, so that a command that was killed leaves nothing that seems to wait.
    """
    return int(
        await tx.fetchval(
            "with event as (insert into webhook_event (message, reseller_id, type, body) values ($2, $3, $4, $5) returning id)"
            " insert into webhook_delivery (endpoint_id, event_id, state) select $1, id, 'failed' from event returning event_id",
            endpoint_id, message, reseller_id, kind, body,
        )
    )  # fmt: skip


async def mark_delivered(tx: Tx, endpoint_id: int, event_id: int) -> None:
    """Note that a message that is sent no more was taken."""
    await tx.execute(
        "update webhook_delivery set state = 'delivered' where endpoint_id = $1 and event_id = $2 and due_at is null",
        endpoint_id, event_id,
    )  # fmt: skip


def _delivery_of(row: Any) -> Delivery:
    values = dict(row.items())
    return Delivery(**values | {"state": DeliveryState(values["state"])})


# Sending ------------------------------------------------------------------------------------------------------------------

# An endpoint is looked up by the first of what waits for it, so that ten thousand that wait for another one cost nothing.
TAKE_LEASES: Final = """
    insert into webhook_lease as l (endpoint_id, holder, until)
    select e.id, $1::uuid, now() + make_interval(secs => $2)
    from webhook_endpoint e
    cross join lateral (
        select d.due_at from webhook_delivery d where d.endpoint_id = e.id and d.due_at is not null
        order by d.due_at limit 1
    ) first
    left join webhook_lease held on held.endpoint_id = e.id
    where e.state = 'active' and first.due_at <= now()
        and (held.endpoint_id is null or held.until < now()
            or (held.holder = $1 and held.until < now() + make_interval(secs => $2 / 2)))
    order by e.id
    on conflict (endpoint_id) do update set holder = excluded.holder, until = excluded.until
        where l.until < now() or l.holder = excluded.holder
"""

LEASED: Final = """
    select e.id, e.reseller_id, e.url, e.key_id, e.secret, e.failing_since is not null as failing,
        case when e.previous_until > now() then e.previous_secret end as previous
    from webhook_lease l join webhook_endpoint e on e.id = l.endpoint_id
    where l.holder = $1 and l.until > now() and e.state = 'active'
"""

DUE: Final = """
    select due.* from unnest($1::bigint[], $2::integer[]) as wanted(endpoint_id, count)
    cross join lateral (
        select d.endpoint_id, d.event_id, d.tries from webhook_delivery d
        where d.endpoint_id = wanted.endpoint_id and d.due_at <= now() order by d.due_at limit wanted.count
    ) due
"""

BODIES: Final = """
    select id, message, type, body, created_at from webhook_event where id = any($1::bigint[])
"""

# What another process has decided meanwhile stays: the attempt is written down, and changes nothing.
RECORD: Final = """
    with said as (
        select * from json_to_recordset($1::text::json) as new(endpoint_id bigint, event_id bigint, tries smallint, state text,
            due_in_s float8, started_at timestamptz, duration_ms integer, status smallint, error text, answer text)
    ), changed as (
        update webhook_delivery d set attempts = d.attempts + 1,
            state = case when d.state = 'pending' then said.state else d.state end,
            tries = case when d.state = 'pending' then said.tries else d.tries end,
            due_at = case when d.state = 'pending' then now() + make_interval(secs => said.due_in_s) else d.due_at end
        from said where d.endpoint_id = said.endpoint_id and d.event_id = said.event_id
            and d.event_id = any($2::bigint[])
        returning d.endpoint_id, d.event_id, d.attempts
    )
    insert into webhook_attempt (endpoint_id, event_id, number, started_at, duration_ms, status, error, answer)
    select said.endpoint_id, said.event_id, changed.attempts, said.started_at, said.duration_ms, said.status, said.error,
        said.answer
    from changed join said using (endpoint_id, event_id)
"""


class LeasedEndpoint(msgspec.Struct, frozen=True):
    """An active endpoint that this process sends to. `previous`: the sealed secret that signs beside the one in force."""

    id: int
    reseller_id: UUID
    url: str
    key_id: str
    secret: bytes
    failing: bool
    previous: bytes | None


class DueDelivery(msgspec.Struct, frozen=True):
    """A delivery to be sent. `tries`: how many attempts of its schedule were made."""

    endpoint_id: int
    event_id: int
    tries: int


class Message(msgspec.Struct, frozen=True):
    """An event as it is sent."""

    id: int
    message: str
    type: str
    body: str
    created_at: datetime


class AttemptRow(msgspec.Struct, frozen=True, gc=False):
    """An attempt, and what becomes of its delivery. `tries` counts this one too."""

    endpoint_id: int
    event_id: int
    tries: int
    state: DeliveryState
    due_in_s: float | None
    started_at: datetime
    duration_ms: int
    status: int | None
    error: str
    answer: str


async def take_leases(tx: Tx, holder: UUID, lease_s: float) -> None:
    """Take, or keep, the lease of every endpoint that something is due for and that nobody else sends to."""
    await tx.execute(TAKE_LEASES, holder, lease_s)


async def leased(tx: Tx, holder: UUID) -> list[LeasedEndpoint]:
    """The endpoints that this process sends to."""
    return [LeasedEndpoint(*row) for row in await tx.fetch(LEASED, holder)]


async def give_leases_back(tx: Tx, holder: UUID, endpoint_ids: Collection[int] | None) -> None:
    """Let another process send to these endpoints; None for all."""
    await tx.execute(
        "delete from webhook_lease where holder = $1 and ($2::bigint[] is null or endpoint_id = any($2))",
        holder, None if endpoint_ids is None else list(endpoint_ids),
    )  # fmt: skip


async def due(tx: Tx, counts: Sequence[tuple[int, int]]) -> list[DueDelivery]:
    """What is due for these endpoints, oldest first, up to so many of each."""
    found = await tx.fetch(DUE, [endpoint for endpoint, _ in counts], [count for _, count in counts])
    return [DueDelivery(*row) for row in found]


async def messages(tx: Tx, event_ids: Collection[int]) -> dict[int, Message]:
    """The events with these numbers."""
    return {row["id"]: Message(*row) for row in await tx.fetch(BODIES, list(event_ids))}


async def record(tx: Tx, attempts: Sequence[AttemptRow]) -> None:
    """Write attempts down, and what follows from them; one of each delivery."""
    await tx.execute(RECORD, rows(attempts), [attempt.event_id for attempt in attempts])


async def note_success(tx: Tx, endpoint_ids: Sequence[int]) -> None:
    """Note that these endpoints work again."""
    await tx.execute(
        "update webhook_endpoint set failing_since = null, failure = '' where id = any($1::bigint[])"
        " and failing_since is not null",
        endpoint_ids,
    )


async def note_failures(tx: Tx, failures: Sequence[tuple[int, str]]) -> None:
    """Note that these endpoints have failed, and why."""
    await tx.execute(
        "update webhook_endpoint e set failing_since = coalesce(e.failing_since, now()), failure = new.why"
        " from unnest($1::bigint[], $2::text[]) as new(id, why) where e.id = new.id"
        " and (e.failing_since is null or e.failure <> new.why)",
        [endpoint for endpoint, _ in failures], [why for _, why in failures],
    )  # fmt: skip


async def pause_failing(tx: Tx, endpoint_ids: Sequence[int]) -> list[Endpoint]:
    """Pause those of these endpoints that have failed for so long that nobody seems to be there."""
    found = await tx.fetch(
        "update webhook_endpoint set state = 'paused', changed_at = now() where id = any($1::bigint[])"
        f" and state = 'active' and failing_since < now() - $2::interval returning {_ENDPOINT}",
        endpoint_ids, PAUSED_AFTER,
    )  # fmt: skip
    return [_endpoint_of(row) for row in found]


async def mark_gone(tx: Tx, endpoint_ids: Sequence[int]) -> list[Endpoint]:
    """Note that these endpoints want nothing any more."""
    found = await tx.fetch(
        "update webhook_endpoint set state = 'gone', failure = 'answered 410', changed_at = now()"
        f" where id = any($1::bigint[]) and state = 'active' returning {_ENDPOINT}",
        endpoint_ids,
    )
    return [_endpoint_of(row) for row in found]


# Sessions of developers ---------------------------------------------------------------------------------------------------


class ListenerEvent(msgspec.Struct, frozen=True):
    """An event that waits for a session."""

    id: int
    message: str
    reseller_id: UUID
    type: str
    body: str
    created_at: datetime


async def insert_listener(tx: Tx, reseller_id: UUID | None, lasts_s: float, most: int) -> int:
    """Begin a session and return its number; 0 where there are `most` already."""
    await tx.execute("select pg_advisory_xact_lock($1)", _LISTENING)
    number = await tx.fetchval(
        "insert into webhook_listener (reseller_id, until) select $1, now() + make_interval(secs => $2)"
        " where (select count(*) from webhook_listener where until > now()) < $3 returning id",
        reseller_id, lasts_s, most,
    )  # fmt: skip
    return int(number or 0)


async def put_listener_off(tx: Tx, listener_id: int, lasts_s: float) -> bool:
    """Let a session last on. False where it has ended."""
    lasts = await tx.fetchval(
        "update webhook_listener set until = now() + make_interval(secs => $2) where id = $1 and until > now() returning true",
        listener_id, lasts_s,
    )  # fmt: skip
    return bool(lasts)


async def listener_events(tx: Tx, listener_id: int, limit: int) -> list[ListenerEvent]:
    """What waits for a session, oldest first."""
    found = await tx.fetch(
        "select id, message, reseller_id, type, body, created_at from webhook_listener_event where listener_id = $1"
        " order by id limit $2",
        listener_id, limit,
    )  # fmt: skip
    return [ListenerEvent(*row) for row in found]


async def remove_listener_events(tx: Tx, numbers: Sequence[int]) -> None:
    await tx.execute("delete from webhook_listener_event where id = any($1::bigint[])", numbers)


async def leave_listener_events_off(tx: Tx, listener_id: int, most: int) -> int:
    """Remove the oldest of what waits for a session beyond the newest `most`. Return how many."""
    removed = await tx.execute(
        "delete from webhook_listener_event where listener_id = $1 and id <= (select id from webhook_listener_event"
        " where listener_id = $1 order by id desc offset $2 limit 1)",
        listener_id, most,
    )  # fmt: skip
    return int(removed.rpartition(" ")[2])


async def remove_listener(tx: Tx, listener_id: int) -> None:
    """Remove a session and what waits for it."""
    await tx.execute("delete from webhook_listener where id = $1", listener_id)
    await tx.execute("delete from webhook_listener_event where listener_id = $1", listener_id)


async def remove_ended_listeners(tx: Tx) -> bool:
    """Remove sessions whose time is over, and what waits for no session. Return whether there were any."""
    ended = await tx.execute("delete from webhook_listener where until <= now()")
    # Also what a transaction has written for a session that was removed meanwhile.
    left = await tx.execute(
        "delete from webhook_listener_event v where not exists (select from webhook_listener l where l.id = v.listener_id)"
    )
    return not ended.endswith(" 0") or not left.endswith(" 0")


# Cleaning -----------------------------------------------------------------------------------------------------------------


async def hold_cleaning(tx: Tx) -> bool:
    """Whether nobody else is cleaning; until this transaction ends nobody else does."""
    return bool(await tx.fetchval("select pg_try_advisory_xact_lock($1)", _CLEANING))


async def oldest_events(tx: Tx, after: int, limit: int) -> tuple[list[int], int | None]:
    """Of the next `limit` events after number `after`: those that are older than they are kept, and the last one looked at.

    The last one is None where the first younger one was met, or there are no more.
    """
    found = await tx.fetch(
        "select id, created_at < now() - $3::interval as old from webhook_event where id > $1 order by id limit $2",
        after, limit, KEPT,
    )  # fmt: skip
    old = [row["id"] for row in found if row["old"]]
    return old, found[-1]["id"] if len(old) == len(found) == limit else None


# What was replayed lately is kept as long as what is new.
REMOVE_EVENTS: Final = """
    with old as (
        select v.id from webhook_event v where v.id = any($1::bigint[]) and not exists (
            select from webhook_endpoint e join webhook_delivery d on d.endpoint_id = e.id and d.event_id = v.id
            join webhook_attempt a on a.endpoint_id = d.endpoint_id and a.event_id = d.event_id and a.number = d.attempts
            where e.reseller_id = v.reseller_id and a.started_at > now() - $2::interval)
    ), delivered as (
        delete from webhook_delivery d using old, webhook_event v, webhook_endpoint e
        where v.id = old.id and e.reseller_id = v.reseller_id and d.endpoint_id = e.id and d.event_id = old.id
        returning d.endpoint_id, d.event_id
    ), attempted as (
        delete from webhook_attempt a using delivered d where a.endpoint_id = d.endpoint_id and a.event_id = d.event_id
    )
    delete from webhook_event v using old where v.id = old.id
"""


async def remove_events(tx: Tx, event_ids: Sequence[int]) -> int:
    """Remove these events with their deliveries and attempts, unless one was attempted lately. Return how many events."""
    removed = await tx.execute(REMOVE_EVENTS, event_ids, KEPT)
    return int(removed.rpartition(" ")[2])


async def correct_jumped_clock(tx: Tx, longest_s: float) -> None:
    """Make due what a clock that was ahead has put off further than any schedule does."""
    await tx.execute(
        "update webhook_delivery set due_at = now() where due_at > now() + make_interval(secs => $1)", longest_s
    )


# The key ------------------------------------------------------------------------------------------------------------------


async def hold_agreeing_off(tx: Tx) -> None:
    """Until this transaction ends nobody else makes a key."""
    await tx.execute("select pg_advisory_xact_lock($1)", _AGREEING)


async def recorded_key(tx: Tx) -> str | None:
    found = await tx.fetchval("select id from webhook_key")
    return None if found is None else str(found)


async def record_key(tx: Tx, key_id: str) -> None:
    await tx.execute("insert into webhook_key (id) values ($1)", key_id)
