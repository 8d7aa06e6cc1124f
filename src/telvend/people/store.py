"""All SQL of people: who they are, their sessions, links, factors, attempts, and the log of acts.

Times are handed in, so that everything that ends does so by one clock.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from telvend.database.connections import Tx
from telvend.kit.mode import Mode
from telvend.people.model import Link, Person, Purpose, RecordedAct, Role, Session, Staff, Surface

_AGREEING: Final = 7_316_091_546
"""The advisory lock of whoever agrees on the key; the next number is that of whoever changes owners."""
_KEPT: Final = timedelta(days=30)
"""For so long a token that has ended is known as one that was."""
_AT_ONCE: Final = 50

_PERSON_COLUMNS: Final = (
    "p.id, p.email, p.name, p.phone, p.zone, p.email_verified_at is not null as email_verified,"
    " p.totp_confirmed_at is not null as has_totp, p.pin is not null as has_pin, p.reseller_id as member_of, p.created_at,"
    " p.suspended_at"
)
_SESSION_COLUMNS: Final = "s.id, s.surface, s.agent, s.address, s.made_at, s.seen_at, s.ends_at"


# Persons ----------------------------------------------------------------------------------------------------------------


class Credentials(msgspec.Struct, frozen=True):
    """What a sign-in is decided by. `suspended`: the person, or its reseller where it is one's member."""

    person: Person
    password: str
    suspended: bool
    roles: frozenset[Role]


async def insert_person(
    tx: Tx,
    person_id: UUID,
    email: str,
    name: str,
    phone: str,
    zone: str,
    reseller_id: UUID | None,
    password: str,
    verified: bool,
    at: datetime,
) -> bool:
    """Whether the person was added; False where the e-mail address is taken, in whatever case."""
    made = await tx.fetchval(
        "insert into person (id, email, name, phone, zone, reseller_id, password, password_changed_at, email_verified_at,"
        " created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $8) on conflict (lower(email)) do nothing returning true",
        person_id, email, name, phone, zone, reseller_id, password, at, at if verified else None,
    )  # fmt: skip
    return made is not None


_CREDENTIALS: Final = f"""
    select {_PERSON_COLUMNS}, p.password,
        p.suspended_at is not null or (p.reseller_id is not null and r.suspended_at is not null) as suspended,
        array(select role from person_role where person_id = p.id) as roles
    from person p left join person_reseller r on r.id = p.reseller_id
"""


async def by_email(tx: Tx, email: str) -> Credentials | None:
    """The person of this e-mail address, in whatever case."""
    row = await tx.fetchrow(f"{_CREDENTIALS} where lower(p.email) = lower($1)", email)
    return _credentials(row) if row else None


async def by_phone(tx: Tx, phone: str, surface: Surface, most: int) -> list[Credentials]:
    """Those who share a number and may open this half of the pages, who signed in last first."""
    found = await tx.fetch(
        f"{_CREDENTIALS} where p.phone = $1 and case $2::text when 'portal' then p.reseller_id is not null"
        " else exists (select from person_role where person_id = p.id) end"
        " order by p.signed_in_at desc nulls last, p.id limit $3",
        phone, surface, most,
    )  # fmt: skip
    return [_credentials(row) for row in found]


async def by_id(tx: Tx, person_id: UUID, *, lock: bool = False) -> Credentials | None:
    """The person with this id; `lock` keeps it from changing until `tx` ends."""
    if lock:
        await tx.execute("select from person where id = $1 for no key update", person_id)
    row = await tx.fetchrow(f"{_CREDENTIALS} where p.id = $1", person_id)
    return _credentials(row) if row else None


async def members(tx: Tx, reseller_ids: Collection[UUID]) -> list[Person]:
    """The people of these resellers."""
    found = await tx.fetch(
        f"select {_PERSON_COLUMNS} from person p where p.reseller_id = any($1::text[]::uuid[]) order by p.created_at, p.id",
        [str(reseller_id) for reseller_id in reseller_ids],
    )
    return [_person(row) for row in found]


async def write_password(tx: Tx, person_id: UUID, password: str, at: datetime) -> None:
    """Give a person another password; a PIN that is locked is free again."""
    await tx.execute(
        "update person set password = $2, password_changed_at = $3, pin_failures = 0 where id = $1",
        person_id, password, at,
    )  # fmt: skip


async def rehash(tx: Tx, person_id: UUID, before: str, after: str) -> None:
    """Put a hash with other parameters in the place of one of the same password."""
    await tx.execute("update person set password = $3 where id = $1 and password = $2", person_id, before, after)


async def write_profile(tx: Tx, person_id: UUID, name: str, phone: str, zone: str) -> None:
    await tx.execute("update person set name = $2, phone = $3, zone = $4 where id = $1", person_id, name, phone, zone)


async def change_email(tx: Tx, person_id: UUID, email: str, at: datetime) -> bool:
    """Whether a person has this address now, which is proven; False where it is somebody else's. Then `tx` can only end."""
    try:
        await tx.execute("update person set email = $2, email_verified_at = $3 where id = $1", person_id, email, at)
    except asyncpg.UniqueViolationError:
        return False
    return True


async def follow(tx: Tx, reseller_id: UUID, old: str, new: str) -> bool:
    """Give the person of a reseller the address that the operator has given the reseller. False where it is somebody else's."""
    try:
        await tx.execute(
            "update person set email = $3, email_verified_at = case when lower(email) = lower($3) then email_verified_at end"
            " where reseller_id = $1 and lower(email) = lower($2)",
            reseller_id, old, new,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        return False
    return True


async def verify_email(tx: Tx, person_id: UUID, email: str, at: datetime) -> bool:
    """Note that the address is proven; False where it is not the person's any more."""
    found = await tx.fetchval(
        "update person set email_verified_at = coalesce(email_verified_at, $3) where id = $1 and lower(email) = lower($2)"
        " returning true",
        person_id, email, at,
    )  # fmt: skip
    return found is not None


async def join_reseller(tx: Tx, person_id: UUID, reseller_id: UUID, phone: str) -> None:
    """Make a person of the console the member of a reseller too."""
    await tx.execute(
        "update person set reseller_id = $2, phone = case when phone = '' then $3 else phone end where id = $1",
        person_id, reseller_id, phone,
    )  # fmt: skip


async def suspend(tx: Tx, person_id: UUID, at: datetime) -> None:
    await tx.execute("update person set suspended_at = coalesce(suspended_at, $2) where id = $1", person_id, at)


async def resume(tx: Tx, person_id: UUID) -> None:
    await tx.execute("update person set suspended_at = null where id = $1", person_id)


class ResellerFacts(msgspec.Struct, frozen=True):
    """What people may know of a reseller."""

    id: UUID
    email: str
    name: str
    phone: str
    suspended: bool


async def reseller(tx: Tx, reseller_id: UUID) -> ResellerFacts | None:
    """The reseller with this id."""
    row = await tx.fetchrow(
        "select id, email, name, phone, suspended_at is not null as suspended from person_reseller where id = $1",
        reseller_id,
    )
    return ResellerFacts(_uuid(row["id"]), row["email"], row["name"], row["phone"], row["suspended"]) if row else None


# Roles ------------------------------------------------------------------------------------------------------------------


async def write_roles(tx: Tx, person_id: UUID, roles: Iterable[Role], at: datetime) -> None:
    """Give a person these roles and no others."""
    names = sorted(str(role) for role in roles)
    await tx.execute("delete from person_role where person_id = $1 and role <> all($2::text[])", person_id, names)
    await tx.execute(
        "insert into person_role (person_id, role, given_at) select $1, role, $3 from unnest($2::text[]) as role"
        " on conflict do nothing",
        person_id, names, at,
    )  # fmt: skip


async def hold_owners(tx: Tx) -> None:
    """Keep others from changing who is an owner until `tx` ends."""
    await tx.execute("select pg_advisory_xact_lock($1)", _AGREEING + 1)


async def count_owners(tx: Tx) -> int:
    """How many owners can sign in."""
    return int(
        await tx.fetchval(
            "select count(*) from person_role o join person p on p.id = o.person_id"
            " where o.role = 'owner' and p.suspended_at is null"
        )
    )


async def staff(tx: Tx) -> list[Staff]:
    """Everybody with a role, in the order in which they came."""
    found = await tx.fetch(
        f"select {_PERSON_COLUMNS}, array_agg(o.role) as roles,"
        " (select max(seen_at) from person_session s where s.person_id = p.id and s.surface = 'console') as seen_at"
        " from person p join person_role o on o.person_id = p.id group by p.id order by p.created_at, p.id"
    )
    return [Staff(_person(row), _roles(row["roles"]), row["seen_at"]) for row in found]


# Sessions ---------------------------------------------------------------------------------------------------------------


async def insert_session(
    tx: Tx,
    digest: bytes,
    person_id: UUID,
    surface: Surface,
    agent: str,
    address: str,
    at: datetime,
    ends_at: datetime,
) -> None:
    """Begin a session. A few that have ended are cleared away."""
    await tx.execute(
        "insert into person_session (digest, person_id, surface, agent, address, made_at, seen_at, ends_at)"
        " values ($1, $2, $3, $4, $5, $6, $6, $7)",
        digest, person_id, surface, agent, address, at, ends_at,
    )  # fmt: skip
    await tx.execute("update person set signed_in_at = $2 where id = $1", person_id, at)
    await tx.execute(
        "delete from person_session where id in (select id from person_session where ends_at < $1 order by ends_at"
        " limit $2 for update skip locked)",
        at, _AT_ONCE,
    )  # fmt: skip


class FoundSession(msgspec.Struct, frozen=True):
    """A session that is open, whose it is, and what that person may do."""

    person: Person
    session: Session
    mode: Mode
    roles: frozenset[Role]


_VISITOR: Final = f"""
    select {_PERSON_COLUMNS}, s.id as session_id, s.surface, s.agent, s.address, s.made_at, s.seen_at, s.ends_at, s.mode,
        array(select role from person_role where person_id = p.id) as roles
    from person_session s
    join person p on p.id = s.person_id and p.suspended_at is null
    left join person_reseller r on r.id = p.reseller_id
    where s.digest = $1 and s.surface = $2 and s.ends_at > $3 and s.seen_at > $4
        and case s.surface when 'portal' then r.id is not null and r.suspended_at is null
            else exists (select from person_role where person_id = p.id) end
"""


async def visitor(tx: Tx, digest: bytes, surface: Surface, at: datetime, idle_since: datetime) -> FoundSession | None:
    """The session with this digest, where it is open: not ended, not idle, of a person and a reseller that are not suspended."""
    row = await tx.fetchrow(_VISITOR, digest, surface, at, idle_since)
    if row is None:
        return None
    session = _session(row, row["session_id"])
    return FoundSession(_person(row), session, Mode(row["mode"]), _roles(row["roles"]))


async def see_session(tx: Tx, session_id: int, at: datetime, unless_since: datetime) -> None:
    """Note that a session was seen, unless somebody has just done so."""
    await tx.execute(
        "update person_session set seen_at = $2 where id = $1 and seen_at <= $3", session_id, at, unless_since
    )


async def set_mode(tx: Tx, session_id: int, mode: Mode) -> None:
    await tx.execute("update person_session set mode = $2 where id = $1", session_id, mode)


async def sessions_of(tx: Tx, person_id: UUID, at: datetime, idle: Sequence[tuple[Surface, datetime]]) -> list[Session]:
    """The open sessions of a person, those that were seen last first. `idle`: since when one of each surface counts as idle."""
    found = await tx.fetch(
        f"select {_SESSION_COLUMNS} from person_session s join unnest($3::text[], $4::timestamptz[]) as idle(surface, since)"
        " on idle.surface = s.surface where s.person_id = $1 and s.ends_at > $2 and s.seen_at > idle.since"
        " order by s.seen_at desc, s.id desc",
        person_id, at, [surface for surface, _ in idle], [since for _, since in idle],
    )  # fmt: skip
    return [_session(row, row["id"]) for row in found]


async def delete_session(tx: Tx, digest: bytes) -> None:
    await tx.execute("delete from person_session where digest = $1", digest)


async def delete_session_of(tx: Tx, person_id: UUID, session_id: int) -> bool:
    """Whether a session of this person has ended now."""
    found = await tx.fetchval(
        "delete from person_session where id = $2 and person_id = $1 returning true", person_id, session_id
    )
    return found is not None


async def delete_sessions(tx: Tx, person_id: UUID, *, but: int | None = None, surface: Surface | None = None) -> int:
    """End the sessions of a person, all but one, or those of one half. Return how many there were."""
    found = await tx.fetch(
        "delete from person_session where person_id = $1 and id is distinct from $2 and ($3::text is null or surface = $3)"
        " returning id",
        person_id, but, surface,
    )  # fmt: skip
    return len(found)


# Devices ----------------------------------------------------------------------------------------------------------------


class KnownFrom(msgspec.Struct, frozen=True):
    """Whether a person has signed in before at all, with this browser, and from this network."""

    before: bool
    agent: bool
    network: bool


async def known_from(tx: Tx, person_ids: Sequence[UUID], agent: str, network: str) -> dict[UUID, KnownFrom]:
    """What is known of where these people sign in from."""
    found = await tx.fetch(
        "select person_id, bool_or(agent = $2) as agent, bool_or(network = $3) as network from person_device"
        " where person_id = any($1::text[]::uuid[]) group by person_id",
        [str(person_id) for person_id in person_ids], agent, network,
    )  # fmt: skip
    known = {_uuid(row["person_id"]): KnownFrom(True, row["agent"], row["network"]) for row in found}
    return {person_id: known.get(person_id, KnownFrom(False, False, False)) for person_id in person_ids}


async def remember_device(tx: Tx, person_id: UUID, agent: str, network: str, at: datetime) -> None:
    """Remember from where a person has signed in; the twenty last are kept."""
    await tx.execute(
        "insert into person_device (person_id, agent, network, seen_at) values ($1, $2, $3, $4)"
        " on conflict (person_id, agent, network) do update set seen_at = excluded.seen_at",
        person_id, agent, network, at,
    )  # fmt: skip
    await tx.execute(
        "delete from person_device where person_id = $1 and (agent, network) in (select agent, network from person_device"
        " where person_id = $1 order by seen_at desc offset 20)",
        person_id,
    )


# Links and other tokens -------------------------------------------------------------------------------------------------


class FoundToken(msgspec.Struct, frozen=True):
    """A token as it was given. `open`: it was not used, has not ended, and no other took its place."""

    purpose: Purpose
    person_id: UUID | None
    reseller_id: UUID | None
    email: str
    roles: frozenset[Role]
    ends_at: datetime
    open: bool


_GIVEN: Final = "purpose, person_id, reseller_id, email, roles, ends_at"


async def insert_token(
    tx: Tx,
    digest: bytes,
    purpose: Purpose,
    email: str,
    at: datetime,
    ends_at: datetime,
    *,
    person_id: UUID | None = None,
    reseller_id: UUID | None = None,
    roles: Iterable[Role] = (),
) -> None:
    """Keep a token; older ones of the same purpose for the same address end. A few old ones are cleared away."""
    # Of two at once one waits for the other, and ends what that has made.
    await tx.execute("select pg_advisory_xact_lock(hashtextextended($1::text || ' ' || lower($2), 31))", purpose, email)
    await tx.execute(
        "update person_token set ended_at = $3 where purpose = $1 and lower(email) = lower($2) and used_at is null"
        " and ended_at is null",
        purpose, email, at,
    )  # fmt: skip
    await tx.execute(
        "insert into person_token (digest, purpose, person_id, reseller_id, email, roles, made_at, ends_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8)",
        digest, purpose, person_id, reseller_id, email, [str(role) for role in roles], at, ends_at,
    )  # fmt: skip
    await tx.execute(
        "delete from person_token where digest in (select digest from person_token where ends_at < $1 order by ends_at"
        " limit $2 for update skip locked)",
        at - _KEPT, _AT_ONCE,
    )  # fmt: skip


async def token(tx: Tx, digest: bytes, purpose: Purpose, at: datetime) -> FoundToken | None:
    """The token with this digest, used or not."""
    row = await tx.fetchrow(
        f"select {_GIVEN}, used_at is null and ended_at is null and ends_at > $3 as open from person_token"
        " where digest = $1 and purpose = $2",
        digest, purpose, at,
    )  # fmt: skip
    return _token(row) if row else None


async def use_token(tx: Tx, digest: bytes, purpose: Purpose, at: datetime) -> FoundToken | None:
    """Use a token. None where it is not open: of two at once one gets it."""
    row = await tx.fetchrow(
        "update person_token set used_at = $3 where digest = $1 and purpose = $2 and used_at is null and ended_at is null"
        f" and ends_at > $3 returning {_GIVEN}, true as open",
        digest, purpose, at,
    )  # fmt: skip
    return _token(row) if row else None


async def end_tokens(tx: Tx, person_id: UUID, purposes: Iterable[Purpose], at: datetime) -> None:
    """End what this person was given for these purposes and has not used."""
    await tx.execute(
        "update person_token set ended_at = $3 where person_id = $1 and purpose = any($2::text[]) and used_at is null"
        " and ended_at is null",
        person_id, [str(purpose) for purpose in purposes], at,
    )  # fmt: skip


async def link_name(tx: Tx, found: FoundToken) -> str:
    """The name of whom a token is about; empty where it is about nobody yet."""
    name = await tx.fetchval(
        "select coalesce((select name from person where id = $1), (select name from person_reseller where id = $2), '')",
        found.person_id, found.reseller_id,
    )  # fmt: skip
    return str(name)


def link_of(found: FoundToken, name: str) -> Link:
    return Link(found.purpose, found.email, found.ends_at, name, found.roles)


# Second factor ----------------------------------------------------------------------------------------------------------


class Factor(msgspec.Struct, frozen=True):
    """The sealed secret of a person's second factor."""

    key_id: str
    sealed: bytes
    confirmed: bool


async def factor(tx: Tx, person_id: UUID) -> Factor | None:
    """The second factor of a person, confirmed or not."""
    row = await tx.fetchrow(
        "select totp_key_id, totp_secret, totp_confirmed_at is not null as confirmed from person"
        " where id = $1 and totp_secret is not null",
        person_id,
    )
    return Factor(row["totp_key_id"], row["totp_secret"], row["confirmed"]) if row else None


async def write_factor(tx: Tx, person_id: UUID, key_id: str, sealed: bytes) -> bool:
    """Whether the secret is kept until its owner shows a code of it; False where there is a factor already."""
    found = await tx.fetchval(
        "update person set totp_secret = $3, totp_key_id = $2, totp_step = 0 where id = $1 and totp_confirmed_at is null"
        " returning true",
        person_id, key_id, sealed,
    )  # fmt: skip
    return found is not None


async def confirm_factor(tx: Tx, person_id: UUID, sealed: bytes, step: int, at: datetime) -> bool:
    """Whether this secret is the person's second factor from now on."""
    found = await tx.fetchval(
        "update person set totp_confirmed_at = $4, totp_step = $3 where id = $1 and totp_secret = $2"
        " and totp_confirmed_at is null returning true",
        person_id, sealed, step, at,
    )  # fmt: skip
    return found is not None


async def take_step(tx: Tx, person_id: UUID, step: int) -> bool:
    """Whether the code of this step is taken now; False where it, or a later one, was taken before."""
    found = await tx.fetchval(
        "update person set totp_step = $2 where id = $1 and totp_step < $2 and totp_confirmed_at is not null returning true",
        person_id, step,
    )  # fmt: skip
    return found is not None


async def remove_factor(tx: Tx, person_id: UUID) -> None:
    await tx.execute(
        "update person set totp_secret = null, totp_key_id = null, totp_confirmed_at = null, totp_step = 0 where id = $1",
        person_id,
    )
    await tx.execute("delete from person_recovery_code where person_id = $1", person_id)


async def write_recovery_codes(tx: Tx, person_id: UUID, digests: Sequence[bytes]) -> None:
    """Put these codes in the place of all others."""
    await tx.execute("delete from person_recovery_code where person_id = $1", person_id)
    await tx.execute(
        "insert into person_recovery_code (person_id, digest) select $1, digest from unnest($2::bytea[]) as digest",
        person_id, list(digests),
    )  # fmt: skip


async def use_recovery_code(tx: Tx, person_id: UUID, digest: bytes, at: datetime) -> bool:
    """Whether this code counts, this once."""
    found = await tx.fetchval(
        "update person_recovery_code set used_at = $3 where person_id = $1 and digest = $2 and used_at is null"
        " returning true",
        person_id, digest, at,
    )  # fmt: skip
    return found is not None


async def count_recovery_codes(tx: Tx, person_id: UUID) -> int:
    """How many codes are left."""
    return int(
        await tx.fetchval(
            "select count(*) from person_recovery_code where person_id = $1 and used_at is null", person_id
        )
    )


# Purchase PIN -----------------------------------------------------------------------------------------------------------


async def write_pin(tx: Tx, person_id: UUID, pin: str | None) -> None:
    """Set the PIN, or take it away; nothing is locked then."""
    await tx.execute("update person set pin = $2, pin_failures = 0 where id = $1", person_id, pin)


async def unlock_pin(tx: Tx, person_id: UUID) -> None:
    await tx.execute("update person set pin_failures = 0 where id = $1", person_id)


class PinAttempt(msgspec.Struct, frozen=True):
    """The hash of a PIN, and how many attempts failed before this one in a row."""

    pin: str
    failures: int


async def begin_pin_attempt(tx: Tx, person_id: UUID, most: int) -> PinAttempt | None:
    """Count an attempt as failed before it is looked at, so that many at once are no more than one after the other.

    None where there are too many already, or no PIN.
    """
    row = await tx.fetchrow(
        "update person set pin_failures = pin_failures + 1 where id = $1 and pin is not null and pin_failures < $2"
        " returning pin, pin_failures",
        person_id, most,
    )  # fmt: skip
    return PinAttempt(row["pin"], row["pin_failures"]) if row else None


async def pin_fitted(tx: Tx, person_id: UUID, pin: str) -> None:
    """Note that the attempt was right."""
    await tx.execute("update person set pin_failures = 0 where id = $1 and pin = $2", person_id, pin)


async def has_pin(tx: Tx, person_id: UUID) -> bool:
    return bool(await tx.fetchval("select pin is not null from person where id = $1", person_id))


# Attempts ---------------------------------------------------------------------------------------------------------------


async def take_attempt(tx: Tx, key: bytes, at: datetime, each: timedelta, most: int) -> datetime | None:
    """Take one of `most` attempts of a key, of which another comes back after every `each`.

    Return None where it was taken, else when the next one can be.
    """
    taken = await tx.fetchval(
        "insert into person_attempt as a (key, empty_at) values ($1, $2::timestamptz + $3::interval) on conflict (key) do update"
        " set empty_at = greatest(a.empty_at, $2) + $3 where greatest(a.empty_at, $2) + $3 <= $2 + $3::interval * $4::int"
        " returning true",
        key, at, each, most,
    )  # fmt: skip
    if taken is not None:
        return None
    found: datetime | None = await tx.fetchval(
        "select empty_at - $2::interval * ($3::int - 1) from person_attempt where key = $1", key, each, most
    )
    return found or at


async def give_attempt_back(tx: Tx, key: bytes, each: timedelta) -> None:
    """Give one attempt back: it has succeeded."""
    await tx.execute("update person_attempt set empty_at = empty_at - $2::interval where key = $1", key, each)


async def forget_attempts(tx: Tx, keys: Sequence[bytes], at: datetime) -> None:
    """Forget the attempts of these keys, and a few whose time is over."""
    await tx.execute("delete from person_attempt where key = any($1::bytea[])", list(keys))
    await tx.execute(
        "delete from person_attempt where key in (select key from person_attempt where empty_at < $1 order by empty_at"
        " limit $2 for update skip locked)",
        at, _AT_ONCE,
    )  # fmt: skip


async def delete_ended(tx: Tx, at: datetime, most: int) -> int:
    """Delete attempts whose time is over, sessions and tokens that have ended, `most` of each. Return how many."""
    count = 0
    for table, column, before in (
        ("person_attempt", "empty_at", at),
        ("person_session", "ends_at", at),
        ("person_token", "ends_at", at - _KEPT),
    ):
        found = await tx.fetch(
            f"delete from {table} where ctid = any(array(select ctid from {table} where {column} < $1 limit $2"
            " for update skip locked)) returning true",
            before, most,
        )  # fmt: skip
        count += len(found)
    return count


# Acts -------------------------------------------------------------------------------------------------------------------

_encode: Final = msgspec.json.Encoder().encode
_ACT: Final = "id, done_at, person_id, who, surface, address, what, thing, key, reason, before, after"


async def insert_act(tx: Tx, act: RecordedAct) -> None:
    """Write down what was done; it cannot be changed afterwards."""
    await tx.execute(
        "insert into act (done_at, person_id, who, surface, address, what, thing, key, reason, before, after)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb, $11::text::jsonb)",
        act.done_at, act.person_id, act.who, act.surface, act.address, act.what, act.thing, act.key, act.reason,
        None if act.before is None else _encode(act.before).decode(),
        None if act.after is None else _encode(act.after).decode(),
    )  # fmt: skip


async def acts(
    tx: Tx,
    *,
    who: str | None,
    what: str | None,
    thing: str | None,
    key: str | None,
    since: datetime | None,
    until: datetime | None,
    before: int | None,
    limit: int,
) -> list[RecordedAct]:
    """Acts, newest first, from below number `before`. `what` is a whole name, or its first part with a dot behind it."""
    asked: dict[str, Any] = {
        "lower(who) = lower({})": who,
        "starts_with(what, {})" if what and what.endswith(".") else "what = {}": what,
        "thing = {}": thing,
        "key = {}": key,
        "done_at >= {}": since,
        "done_at < {}": until,
        "id < {}": before,
    }
    # Only what is asked for stands in the statement, so that each question finds its index.
    values = [value for value in asked.values() if value is not None]
    places = iter(range(1, len(values) + 1))
    conditions = [
        condition.replace("{}", f"${next(places)}") for condition, value in asked.items() if value is not None
    ]
    found = await tx.fetch(
        f"select {_ACT} from act where {' and '.join(['true', *conditions])} order by id desc limit ${len(values) + 1}",
        *values, limit,
    )  # fmt: skip
    return [
        RecordedAct(
            what=row["what"],
            thing=row["thing"],
            key=row["key"],
            reason=row["reason"],
            before=None if row["before"] is None else msgspec.json.decode(row["before"]),
            after=None if row["after"] is None else msgspec.json.decode(row["after"]),
            id=row["id"],
            done_at=row["done_at"],
            person_id=None if row["person_id"] is None else _uuid(row["person_id"]),
            who=row["who"],
            surface=row["surface"],
            address=row["address"],
        )
        for row in found
    ]


# The key ----------------------------------------------------------------------------------------------------------------


async def hold_agreeing_off(tx: Tx) -> None:
    """Until this transaction ends nobody else makes a key."""
    await tx.execute("select pg_advisory_xact_lock($1)", _AGREEING)


async def recorded_key(tx: Tx) -> str | None:
    found = await tx.fetchval("select id from people_key")
    return None if found is None else str(found)


async def record_key(tx: Tx, key_id: str) -> None:
    await tx.execute("insert into people_key (id) values ($1)", key_id)


def _person(row: Any) -> Person:
    return Person(
        id=_uuid(row["id"]),
        email=row["email"],
        name=row["name"],
        phone=row["phone"],
        zone=row["zone"],
        email_verified=row["email_verified"],
        has_totp=row["has_totp"],
        has_pin=row["has_pin"],
        member_of=None if row["member_of"] is None else _uuid(row["member_of"]),
        created_at=row["created_at"],
        suspended_at=row["suspended_at"],
    )


def _credentials(row: Any) -> Credentials:
    return Credentials(_person(row), row["password"], row["suspended"], _roles(row["roles"]))


def _session(row: Any, session_id: int) -> Session:
    return Session(
        session_id,
        Surface(row["surface"]),
        row["agent"],
        row["address"],
        row["made_at"],
        row["seen_at"],
        row["ends_at"],
    )


def _token(row: Any) -> FoundToken:
    return FoundToken(
        Purpose(row["purpose"]),
        None if row["person_id"] is None else _uuid(row["person_id"]),
        None if row["reseller_id"] is None else _uuid(row["reseller_id"]),
        row["email"],
        _roles(row["roles"]),
        row["ends_at"],
        row["open"],
    )


def _roles(names: Iterable[str]) -> frozenset[Role]:
    return frozenset(map(Role, names))


def _uuid(value: UUID) -> UUID:
    # asyncpg's own class compares equal, but hashes and pickles by other means than the standard one.
    return UUID(bytes=value.bytes)
