"""All SQL of identity checks, their prices and their safe."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from telvend.authorities.contract import VerificationKind
from telvend.database.connections import Tx
from telvend.database.due import correct_jumped_clock_sql
from telvend.identity.model import Access, Cost, Pace, Price, Sweep, Verification, VerificationState
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of
from telvend.sales.model import SaleKey

# Any number that nobody else uses: a rotation takes it for itself, whoever seals something shares it.
_ROTATION: Final = 7_370_532

_MASTER: Final = "id, current, retired_at is not null as retired, first_day, purged_day, destroyed_before"

_COLUMNS: Final = """v.id, v.reference, v.reseller_id, v.key_id, v.dialect, v.mode, v.client_reference, v.wallet_id, v.position,
    v.kind, v.card_type, v.provider, v.force_new, v.use_real_api, v.source, v.reused_id, v.price_minor, v.cost_minor, v.currency,
    v.state, v.text, v.balance_before_minor, v.balance_after_minor, v.expires_at, v.purged_at, v.created_at, v.updated_at"""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A row of the safe. `day`: the one that `wrapped_key` was wrapped for; None where `master` knows no days."""

    id: int
    master: str
    day: int | None
    wrapped_key: bytes
    number: bytes
    record: bytes | None


@dataclass(frozen=True, slots=True)
class Master:
    """What the database says of a key that wraps. Everything but `id` and `retired` means nothing where there are no days.

    Nothing is wrapped for a day before `first_day`; `purged_day` is the last day that something was purged of; the keys of
    days before `destroyed_before` are forgotten by every node. `oldest_day` is the first day that may still wrap something.
    """

    id: str
    current: bool
    retired: bool
    first_day: int
    purged_day: int | None
    destroyed_before: int | None

    @property
    def oldest_day(self) -> int:
        destroyed = self.destroyed_before or 0
        unfinished = self.purged_day is not None and self.purged_day >= destroyed
        return destroyed if unfinished else self.first_day


# Prices and costs ---------------------------------------------------------------------------------------------------------


async def prices(tx: Tx, kind: VerificationKind) -> list[Price]:
    """The price list of a kind, in the order of its ids."""
    rows = await tx.fetch("select * from identity_price where kind = $1 order by id", kind)
    return [
        Price(
            row["id"],
            VerificationKind(row["kind"]),
            row["card_type"],
            Money(row["price_minor"], currency_of(row["currency"])),
            row["active"],
            row["description"],
        )
        for row in rows
    ]


async def write_price(tx: Tx, kind: VerificationKind, card_type: str, price_minor: int, active: bool) -> bool:
    """Whether there is such a line."""
    done = await tx.fetchval(
        "update identity_price set price_minor = $3, active = $4 where kind = $1 and card_type = $2 returning true",
        kind, card_type, price_minor, active,
    )  # fmt: skip
    return bool(done)


async def costs(tx: Tx, source: str, kind: VerificationKind) -> tuple[int, int]:
    """What an authority takes for a record, and for an answer without one, in minor units."""
    row = await tx.fetchrow(
        "select found_minor, without_minor from identity_cost where source = $1 and kind = $2", source, kind
    )
    return (row[0], row[1]) if row else (0, 0)


async def all_costs(tx: Tx) -> list[Cost]:
    """What every authority takes, as far as anybody has said, by name and kind."""
    rows = await tx.fetch("select * from identity_cost order by source, kind desc")
    return [
        Cost(
            row["source"],
            VerificationKind(row["kind"]),
            Money(row["found_minor"], currency_of(row["currency"])),
            Money(row["without_minor"], currency_of(row["currency"])),
        )
        for row in rows
    ]


async def write_costs(
    tx: Tx, source: str, kind: VerificationKind, currency: str, found_minor: int, without_minor: int
) -> None:
    await tx.execute(
        "insert into identity_cost values ($1, $2, $3, $4, $5) on conflict (source, kind) do update set"
        " currency = excluded.currency, found_minor = excluded.found_minor, without_minor = excluded.without_minor",
        source, kind, currency, found_minor, without_minor,
    )  # fmt: skip


# Master keys --------------------------------------------------------------------------------------------------------------


async def hold_rotation_off(tx: Tx) -> None:
    """Until this transaction ends no other master key comes into force."""
    await tx.execute("select pg_advisory_xact_lock_shared($1)", _ROTATION)


async def hold_sealing_off(tx: Tx) -> None:
    """Until this transaction ends nobody seals anything."""
    await tx.execute("select pg_advisory_xact_lock($1)", _ROTATION)


async def masters(tx: Tx) -> list[Master]:
    """Every key that wraps or ever wrapped something, the one in force first."""
    rows = await tx.fetch(f"select {_MASTER} from identity_master order by current desc, created_at desc")
    return [_master(row) for row in rows]


async def current_master(tx: Tx) -> Master | None:
    row = await tx.fetchrow(f"select {_MASTER} from identity_master where current")
    return _master(row) if row else None


async def current_master_and_day(tx: Tx) -> tuple[Master | None, date]:
    """The key in force, and what day it is in UTC."""
    row = await tx.fetchrow(
        f"select (clock_timestamp() at time zone 'utc')::date as today, {_MASTER}"
        " from (values (1)) one left join identity_master on current"
    )
    return (None if row["id"] is None else _master(row)), row["today"]


async def make_master_current(tx: Tx, master_id: str, first_day: int) -> None:
    """Put a key in force. From now on nothing is wrapped with it for a day before `first_day`."""
    await tx.execute("update identity_master set current = false where current and id <> $1", master_id)
    await tx.execute(
        "insert into identity_master as m (id, first_day) values ($1, $2) on conflict (id) do update"
        " set current = true, retired_at = null, first_day = greatest(m.first_day, excluded.first_day)",
        master_id, first_day,
    )  # fmt: skip


async def destroy_days_before(tx: Tx, master_id: str, day: int) -> None:
    """Make every node forget the keys of earlier days. Nothing may be wrapped with them any more."""
    await tx.execute(
        "update identity_master set destroyed_before = greatest(destroyed_before, $2) where id = $1", master_id, day
    )


async def retire_masters(tx: Tx) -> None:
    """Say of every master key that seals nothing any more that it may be thrown away."""
    await tx.execute("""
        update identity_master m set retired_at = clock_timestamp()
        where not current and retired_at is null and not exists (select from identity_sealed s where s.master = m.id)
    """)


async def masters_in_use(tx: Tx) -> set[str]:
    """The master key in force, and those that still wrap something."""
    rows = await tx.fetch(
        "select id from identity_master where current union select distinct master from identity_sealed"
    )
    return {row[0] for row in rows}


async def sealed_otherwise(tx: Tx, master_id: str, limit: int) -> list[int]:
    """Checks whose key is wrapped by another master key, oldest first."""
    rows = await tx.fetch("select id from identity_sealed where master <> $1 order by id limit $2", master_id, limit)
    return [row[0] for row in rows]


async def sealed_before(tx: Tx, master_id: str, day: int, after_id: int, limit: int) -> list[int]:
    """Checks above `after_id` whose key is wrapped by this master key for an earlier day, oldest first."""
    rows = await tx.fetch(
        "select id from identity_sealed where master = $1 and id > $3 and day < $2 order by id limit $4",
        master_id, day, after_id, limit,
    )  # fmt: skip
    return [row[0] for row in rows]


async def lock_sealed(tx: Tx, ids: Sequence[int]) -> list[tuple[Sealed, VerificationKind, date]]:
    """Lock checks and their rows of the safe, in the order in which everybody locks them. With the days of their sales."""
    await tx.execute("select from verification where id = any($1::bigint[]) order by id for no key update", ids)
    rows = await tx.fetch(
        "select s.id, s.master, s.day, s.wrapped_key, s.number, s.record, v.kind,"
        " (v.created_at at time zone 'utc')::date as sold"
        " from identity_sealed s join verification v on v.id = s.id"
        " where s.id = any($1::bigint[]) order by s.id for no key update of s",
        ids,
    )
    return [(_sealed(row), VerificationKind(row["kind"]), row["sold"]) for row in rows]


async def write_wrapping(
    tx: Tx, verification_id: int, master_id: str, day: int | None, wrapped_key: bytes, number_hash: bytes
) -> None:
    await tx.execute(
        "update identity_sealed set master = $2, day = $3, wrapped_key = $4 where id = $1",
        verification_id, master_id, day, wrapped_key,
    )  # fmt: skip
    await tx.execute("update verification set number_hash = $2 where id = $1", verification_id, number_hash)


# Checks -------------------------------------------------------------------------------------------------------------------


async def insert(
    tx: Tx, verification: Verification, number_hash: bytes, sealed: Sealed, given_up_after_s: float
) -> None:
    """Write a new check and its row of the safe. One that is ASKING is due when it is to be given up."""
    await tx.execute(
        "insert into verification (id, reference, reseller_id, key_id, dialect, mode, client_reference, wallet_id, position,"
        " kind, card_type, provider, force_new, use_real_api, source, reused_id, number_hash, currency, price_minor, cost_minor,"
        " state, text, balance_before_minor, balance_after_minor, expires_at, created_at, updated_at, due_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,"
        " $25, $26, $26, case when $21::text = 'asking' then $26::timestamptz + make_interval(secs => $27) end)",
        verification.id, verification.reference, verification.reseller_id, verification.key_id, verification.dialect,
        verification.mode, verification.client_reference, verification.wallet_id, verification.position, verification.kind,
        verification.card_type, verification.provider, verification.force_new, verification.use_real_api, verification.source,
        verification.reused_id, number_hash, verification.price.currency.code, verification.price.minor,
        verification.cost.minor, verification.state, verification.text, verification.before.minor, verification.after.minor,
        verification.expires_at, verification.created_at, given_up_after_s,
    )  # fmt: skip
    await tx.execute(
        "insert into identity_sealed (id, master, day, wrapped_key, number, record) values ($1, $2, $3, $4, $5, $6)",
        sealed.id, sealed.master, sealed.day, sealed.wrapped_key, sealed.number, sealed.record,
    )  # fmt: skip


async def lock(tx: Tx, verification_id: int) -> Verification | None:
    row = await tx.fetchrow(f"select {_COLUMNS} from verification v where id = $1 for no key update", verification_id)
    return verification_of(row) if row else None


async def finish_verified(
    tx: Tx, verification_id: int, now: datetime, record_months: int, cost_minor: int, record: bytes
) -> Verification:
    """The hold was posted: keep the record, and use it again for so many months."""
    await tx.execute("update identity_sealed set record = $2 where id = $1", verification_id, record)
    row = await tx.fetchrow(
        "update verification v set state = 'verified', due_at = null, updated_at = $2, cost_minor = $4,"
        f" expires_at = $2::timestamptz + make_interval(months => $3) where id = $1 returning {_COLUMNS}",
        verification_id, now, record_months, cost_minor,
    )  # fmt: skip
    return verification_of(row)


async def finish_released(
    tx: Tx, verification_id: int, now: datetime, state: VerificationState, cost_minor: int, text: str
) -> Verification:
    """The hold was released."""
    row = await tx.fetchrow(
        "update verification v set state = $3, due_at = null, updated_at = $2, cost_minor = $4, text = $5,"
        f" balance_after_minor = balance_before_minor where id = $1 returning {_COLUMNS}",
        verification_id, now, state, cost_minor, text,
    )  # fmt: skip
    return verification_of(row)


async def write_late_cost(tx: Tx, verification_id: int, cost_minor: int) -> None:
    """The authority took something for an answer that came when the hold had been released."""
    await tx.execute("update verification set cost_minor = $2 where id = $1", verification_id, cost_minor)


_CORRECT_JUMPED_CLOCK: Final = correct_jumped_clock_sql("verification")


async def correct_jumped_clock(tx: Tx) -> None:
    """Correct the due times of open checks that were set by a clock that has jumped."""
    await tx.execute(_CORRECT_JUMPED_CLOCK)


async def due(tx: Tx, limit: int) -> list[tuple[int, int]]:
    """Checks that are to be given up, with their wallets, oldest first."""
    rows = await tx.fetch(
        "select id, wallet_id from verification where due_at <= clock_timestamp() order by due_at limit $1", limit
    )
    return [(row[0], row[1]) for row in rows]


@dataclass(frozen=True, slots=True)
class NumberHash:
    """The keyed hash of a check's number, and the key and day that it belongs to."""

    hash: bytes
    master: str
    day: int | None


async def by_client_reference(tx: Tx, key: SaleKey) -> tuple[Verification, NumberHash | None] | None:
    """The check that holds this reference, with the keyed hash of its number; that is None after a purge."""
    row = await tx.fetchrow(
        f"select {_COLUMNS}, v.number_hash, s.master, s.day from verification v left join identity_sealed s on s.id = v.id"
        " where reseller_id = $1 and dialect = $2 and mode = $3 and client_reference = $4 and state <> 'unavailable'",
        *key,
    )
    if row is None:
        return None
    gone = row["number_hash"] is None or row["master"] is None
    return verification_of(row), None if gone else NumberHash(row["number_hash"], row["master"], row["day"])


# One probe of an index for each hash, whatever the planner knows of the table: nothing but the hash is a condition before
# `offset 0`, so that it cannot choose to read all checks of the reseller instead.
ON_FILE: Final = """
    select s.id, s.master, s.day, s.wrapped_key, s.number, s.record, found.expires_at
    from (
        select of_number.id, of_number.expires_at
        from unnest($1::bytea[]) as wanted(number_hash) cross join lateral (
            select * from verification v
            where v.number_hash = wanted.number_hash and v.state = 'verified' and v.purged_at is null offset 0
        ) of_number
        where reseller_id = $2 and mode = $3 and kind = $4 and source = $5 and expires_at > $6
        order by of_number.id desc limit 1
    ) found join identity_sealed s on s.id = found.id"""


async def on_file(
    tx: Tx,
    number_hashes: Sequence[bytes],
    reseller_id: UUID,
    mode: Mode,
    kind: VerificationKind,
    source: str,
    now: datetime,
) -> tuple[Sealed, datetime] | None:
    """The newest record of this account, mode, kind, number and source that has not expired, and when it will."""
    row = await tx.fetchrow(ON_FILE, list(number_hashes), reseller_id, mode, kind, source, now)
    return (_sealed(row), row["expires_at"]) if row else None


async def by_ids(tx: Tx, ids: Sequence[int]) -> dict[int, Verification]:
    """The checks with these numbers, whoever they belong to."""
    rows = await tx.fetch(f"select {_COLUMNS} from verification v where id = any($1::bigint[])", ids)
    return {row["id"]: verification_of(row) for row in rows}


async def history(
    tx: Tx, reseller_id: UUID, mode: Mode, kind: VerificationKind, before: int | None, limit: int
) -> list[Verification]:
    """The checks of an account that have a record on file, newest first, from below number `before`."""
    rows = await tx.fetch(
        f"select {_COLUMNS} from verification v where reseller_id = $1 and mode = $2 and kind = $3 and id < $4"
        " and state = 'verified' and purged_at is null order by id desc limit $5",
        reseller_id, mode, kind, before if before is not None else 2**62, limit,
    )  # fmt: skip
    return [verification_of(row) for row in rows]


async def listed(
    tx: Tx, reseller_id: UUID | None, kind: VerificationKind | None, before: int | None, limit: int
) -> list[Verification]:
    """Checks of everybody in any state, newest first, for the operator."""
    rows = await tx.fetch(
        f"select {_COLUMNS} from verification v where ($1::uuid is null or reseller_id = $1) and ($2::text is null or kind = $2)"
        " and id < $3 order by id desc limit $4",
        reseller_id, kind, before if before is not None else 2**62, limit,
    )  # fmt: skip
    return [verification_of(row) for row in rows]


OWN_LISTED: Final = f"""
    select {_COLUMNS} from unnest($3::text[]) as wanted(kind) cross join lateral (
        select * from verification x where x.reseller_id = $1 and x.mode = $2 and x.kind = wanted.kind and x.id < $4
        order by x.id desc limit $5
    ) v order by v.id desc limit $5
"""


async def own_listed(
    tx: Tx, reseller_id: UUID, mode: Mode, kinds: Sequence[str], before: int | None, limit: int
) -> list[Verification]:
    """An account's checks in any state, newest first, from below number `before`: each kind from its end of the index."""
    rows = await tx.fetch(OWN_LISTED, reseller_id, mode, kinds, before if before is not None else 2**62, limit)
    return [verification_of(row) for row in rows]


async def write_consent(
    tx: Tx, reseller_id: UUID, mode: Mode, client_reference: str, person_id: UUID, wording: str
) -> None:
    """Keep a consent; of a check that is asked for again the first one stays."""
    await tx.execute(
        "insert into identity_consent (reseller_id, mode, client_reference, person_id, wording) values ($1, $2, $3, $4, $5)"
        " on conflict do nothing",
        reseller_id, mode, client_reference, person_id, wording,
    )  # fmt: skip


async def consent_of(tx: Tx, reseller_id: UUID, mode: Mode, client_reference: str) -> tuple[UUID, str, datetime] | None:
    """Who has stated the consent to a check, in which words and when."""
    row = await tx.fetchrow(
        "select person_id, wording, given_at from identity_consent"
        " where reseller_id = $1 and mode = $2 and client_reference = $3",
        reseller_id, mode, client_reference,
    )  # fmt: skip
    return None if row is None else (UUID(bytes=row["person_id"].bytes), row["wording"], row["given_at"])


# The safe -----------------------------------------------------------------------------------------------------------------


async def sealed(tx: Tx, ids: Sequence[int], *, records: bool) -> dict[int, Sealed]:
    """Rows of the safe; without the records where only numbers are wanted."""
    record = "record" if records else "null::bytea as record"
    rows = await tx.fetch(
        f"select id, master, day, wrapped_key, number, {record} from identity_sealed where id = any($1::bigint[])", ids
    )
    return {row["id"]: _sealed(row) for row in rows}


async def note_access(tx: Tx, reader_kind: str, reader: str, action: str, ids: Sequence[int]) -> None:
    if ids:
        await tx.execute(
            "insert into identity_access (reader_kind, reader, action, verification_ids) values ($1, $2, $3, $4)",
            reader_kind, reader, action, list(ids),
        )  # fmt: skip


async def accesses(tx: Tx, verification_id: int | None, limit: int) -> list[Access]:
    """Who took what out of the safe, newest first; of one check or of all."""
    rows = await tx.fetch(
        "select * from identity_access where ($1::bigint is null or verification_ids @> array[$1::bigint])"
        " order by id desc limit $2",
        verification_id, limit,
    )  # fmt: skip
    return [
        Access(row["at"], row["reader_kind"], row["reader"], row["action"], tuple(row["verification_ids"]))
        for row in rows
    ]


async def now_in(tx: Tx) -> datetime:
    found: datetime = await tx.fetchval("select now()")
    return found


async def purge(tx: Tx, before: datetime, limit: int) -> int:
    """Forget what is known from up to `limit` checks that were sold before that moment. Returns how many there were.

    The same transaction notes which days' keys are to be destroyed, so that whoever comes after a crash knows.
    """
    rows = await tx.fetch(
        "select id from verification where purged_at is null and state <> 'asking' and created_at < $1"
        " order by id limit $2 for no key update",
        before, limit,
    )  # fmt: skip
    await forget(tx, [row[0] for row in rows])
    return len(rows)


async def forget(tx: Tx, ids: Sequence[int]) -> None:
    """Remove what is known from these checks, which are locked, and what an authority wrote about them."""
    if not ids:
        return
    rows = await tx.fetch("delete from identity_sealed where id = any($1::bigint[]) returning master, day", ids)
    days: dict[str, int] = {}
    for row in rows:
        days[row["master"]] = max(days.get(row["master"], -1), -1 if row["day"] is None else row["day"])
    for master_id in sorted(days):
        await tx.execute(
            "update identity_master set purged_day = greatest(purged_day, $2) where id = $1", master_id, days[master_id]
        )
    await tx.execute(
        "update verification set purged_at = now(), number_hash = null, text = '' where id = any($1::bigint[])", ids
    )


# Sweeping -----------------------------------------------------------------------------------------------------------------


async def pace(tx: Tx, reseller_id: UUID, mode: Mode, now: datetime, most: int) -> Pace:
    """What a reseller has asked for in the last hour (its last `most` checks), with all its keys of this mode."""
    row = await tx.fetchrow(
        """
        select count(*) filter (where state in ('not_on_record', 'blocked')), count(*) filter (where state = 'asking'),
            count(distinct number_hash)
        from (
            select state, number_hash from verification
            where reseller_id = $1 and mode = $2 and created_at > $3::timestamptz - interval '1 hour'
            order by created_at desc limit $4
        ) as recent
        """,
        reseller_id, mode, now, most,
    )  # fmt: skip
    return Pace(*row)


async def sweep_of(tx: Tx, reseller_id: UUID, mode: Mode) -> tuple[datetime, int] | None:
    """When the reseller may go on, and how often it was delayed since it began."""
    row = await tx.fetchrow(
        "select not_before, strikes from identity_pace where reseller_id = $1 and mode = $2", reseller_id, mode
    )
    return (row[0], row[1]) if row else None


async def write_sweep(
    tx: Tx, reseller_id: UUID, mode: Mode, key_id: UUID, now: datetime, not_before: datetime, pace: Pace
) -> None:
    await tx.execute(
        """
        insert into identity_pace as p
            (reseller_id, mode, key_id, first_at, last_at, not_before, strikes, delays, unknown, numbers)
        values ($1, $2, $3, $4, $4, $5, 1, 1, $6, $7)
        on conflict (reseller_id, mode) do update set key_id = excluded.key_id, last_at = excluded.last_at,
            not_before = excluded.not_before, strikes = p.strikes + 1, delays = p.delays + 1,
            unknown = greatest(p.unknown, excluded.unknown), numbers = greatest(p.numbers, excluded.numbers)
        """,
        reseller_id, mode, key_id, now, not_before, pace.unknown, pace.numbers,
    )  # fmt: skip


async def end_sweep(tx: Tx, reseller_id: UUID, mode: Mode) -> None:
    await tx.execute("update identity_pace set strikes = 0 where reseller_id = $1 and mode = $2", reseller_id, mode)


async def sweeps(tx: Tx) -> list[Sweep]:
    """Every reseller that ever swept, the last one first."""
    rows = await tx.fetch("select * from identity_pace order by last_at desc")
    return [
        Sweep(
            _uuid(row["reseller_id"]),
            Mode(row["mode"]),
            _uuid(row["key_id"]),
            row["first_at"],
            row["last_at"],
            row["delays"],
            row["unknown"],
            row["numbers"],
        )
        for row in rows
    ]


def verification_of(row: Any) -> Verification:
    """The check in a row of `_COLUMNS`."""
    currency = currency_of(row["currency"])
    return Verification(
        id=row["id"],
        reference=row["reference"],
        reseller_id=_uuid(row["reseller_id"]),
        key_id=_uuid(row["key_id"]),
        dialect=row["dialect"],
        mode=Mode(row["mode"]),
        client_reference=row["client_reference"],
        wallet_id=row["wallet_id"],
        position=row["position"],
        kind=VerificationKind(row["kind"]),
        card_type=row["card_type"],
        provider=row["provider"],
        force_new=row["force_new"],
        use_real_api=row["use_real_api"],
        source=row["source"],
        reused_id=row["reused_id"],
        price=Money(row["price_minor"], currency),
        cost=Money(row["cost_minor"], currency),
        state=VerificationState(row["state"]),
        text=row["text"],
        before=Money(row["balance_before_minor"], currency),
        after=Money(row["balance_after_minor"], currency),
        expires_at=row["expires_at"],
        purged_at=row["purged_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _master(row: Any) -> Master:
    return Master(
        row["id"], row["current"], row["retired"], row["first_day"], row["purged_day"], row["destroyed_before"]
    )


def _sealed(row: Any) -> Sealed:
    return Sealed(row["id"], row["master"], row["day"], row["wrapped_key"], row["number"], row["record"])


def _uuid(value: UUID) -> UUID:
    # asyncpg's own class compares equal, but hashes and pickles by other means than the standard one.
    return UUID(bytes=value.bytes)
