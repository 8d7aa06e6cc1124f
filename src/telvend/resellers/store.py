"""All SQL of resellers and their keys."""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg

from telvend.database.connections import Tx
from telvend.kit.mode import Mode
from telvend.resellers.model import ApiKey, Caller, Profile, Reseller

_NO_KEY: Final = UUID(int=0)

_RESELLER: Final = "select id, number, email, name, phone, created_at, suspended_at from reseller"

_KEY_COLUMNS: Final = (
    "id, reseller_id, api, mode, hint, read_limit, purchase_limit, created_at, revoked_at,"
    " (select used_at from api_key_use where key_id = id) as used_at"
)

# One row for each wallet in the key's mode; one with empty wallet columns where there is none.
_CALLER_COLUMNS: Final = """
    k.id, k.reseller_id, r.number, k.api, k.mode, k.read_limit, k.purchase_limit, w.currency, w.account_id
"""
_OWNER: Final = """
    join reseller r on r.id = k.reseller_id
    left join wallet w on w.reseller_id = k.reseller_id and w.mode = k.mode
"""
_CALLER: Final = f"""
    select {_CALLER_COLUMNS}, null as expires_in_s
    from api_key k {_OWNER}
    where k.digest = $1 and k.revoked_at is null and r.suspended_at is null
"""
_CALLER_OF_ID: Final = f"""
    select {_CALLER_COLUMNS}, null as expires_in_s
    from api_key k {_OWNER}
    where k.id = $1 and k.revoked_at is null and r.suspended_at is null
"""
# A token dies with its key.
_CALLER_OF_TOKEN: Final = f"""
    select {_CALLER_COLUMNS}, extract(epoch from t.expires_at - now()) as expires_in_s
    from access_token t
    join api_key k on k.id = t.key_id {_OWNER}
    where t.digest = $1 and t.expires_at > now() and k.revoked_at is null and r.suspended_at is null
"""


_CALLER_OF_RESELLER: Final = """
    select r.id as reseller_id, r.number, w.currency, w.account_id
    from reseller r left join wallet w on w.reseller_id = r.id and w.mode = $2
    where r.id = $1 and r.suspended_at is null
"""


async def caller_without_key(tx: Tx, reseller_id: UUID, api: str, mode: Mode) -> Caller | None:
    """A reseller as somebody sells to it by hand, with no key and no limits; None where it is suspended."""
    found = await tx.fetch(_CALLER_OF_RESELLER, reseller_id, mode)
    if not found:
        return None
    return Caller(
        reseller_id=reseller_id,
        reseller_number=found[0]["number"],
        key_id=_NO_KEY,
        key_bytes=_NO_KEY.bytes,
        api=api,
        mode=mode,
        read_limit=0,
        purchase_limit=0,
        wallets={row["currency"]: row["account_id"] for row in found if row["currency"] is not None},
    )


async def insert_reseller(tx: Tx, reseller_id: UUID, email: str, name: str, phone: str) -> Reseller | None:
    """The new reseller, or None where the e-mail address is known, in whatever case."""
    row = await tx.fetchrow(
        "insert into reseller (id, email, name, phone) values ($1, $2, $3, $4) on conflict (lower(email)) do nothing"
        " returning id, number, email, name, phone, created_at, suspended_at",
        reseller_id, email, name, phone,
    )  # fmt: skip
    return _reseller(row) if row else None


async def reseller_of(tx: Tx, email: str) -> Reseller | None:
    """The reseller of this e-mail address, in whatever case."""
    row = await tx.fetchrow(f"{_RESELLER} where lower(email) = lower($1)", email)
    return _reseller(row) if row else None


async def emails_of(tx: Tx, reseller_ids: Collection[UUID]) -> dict[bytes, str]:
    """The e-mail addresses of these resellers, by the bytes of their ids."""
    # As texts: of an array of uuid asyncpg would first ask the server what it is, longer than the statement takes.
    ids = [str(reseller_id) for reseller_id in reseller_ids]
    rows = await tx.fetch("select id, email from reseller where id = any($1::text[]::uuid[])", ids)
    return {row["id"].bytes: row["email"] for row in rows}


async def email_of(tx: Tx, reseller_id: UUID) -> str | None:
    """A reseller's e-mail address; None where there is no such reseller."""
    found: str | None = await tx.fetchval("select email from reseller where id = $1", reseller_id)
    return found


async def rename(tx: Tx, reseller_id: UUID, name: str | None, email: str | None) -> bool:
    """Whether the reseller has the new name and e-mail address now; False where the address is another's.

    A new address is not proven.
    """
    try:
        await tx.execute(
            "update reseller set name = coalesce($2, name), email = coalesce($3, email),"
            " email_verified = email_verified and coalesce(lower($3) = lower(email), true) where id = $1",
            reseller_id, name, email,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        return False
    return True


async def change_email(tx: Tx, reseller_id: UUID, old: str, new: str) -> bool:
    """Whether the reseller has the new address in the place of the old one; False where it is another's. Then `tx` can only end."""
    try:
        await tx.execute(
            "update reseller set email = $3, email_verified = false where id = $1 and lower(email) = lower($2)",
            reseller_id, old, new,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        return False
    return True


async def prove_email(tx: Tx, reseller_id: UUID, email: str) -> None:
    await tx.execute(
        "update reseller set email_verified = true where id = $1 and lower(email) = lower($2)", reseller_id, email
    )


async def suspend(tx: Tx, reseller_id: UUID, reason: str) -> None:
    """Suspend a reseller; one who is suspended stays so, with the first date and reason."""
    await tx.execute(
        "update reseller set suspended_at = now(), suspended_reason = $2 where id = $1 and suspended_at is null",
        reseller_id, reason,
    )  # fmt: skip


async def resume(tx: Tx, reseller_id: UUID) -> None:
    await tx.execute("update reseller set suspended_at = null, suspended_reason = '' where id = $1", reseller_id)


async def key_by_digest(tx: Tx, digest: bytes) -> tuple[ApiKey, str] | None:
    """The key whose text, OAuth secret or token has this digest, revoked or not, and its reseller's e-mail address."""
    row = await tx.fetchrow(
        f"select {_KEY_COLUMNS}, (select email from reseller r where r.id = reseller_id) as email from api_key"
        " where digest = $1 or secret_digest = $1 or id = (select a.key_id from access_token a where a.digest = $1)",
        digest,
    )
    return (_key(row), row["email"]) if row else None


async def resellers(tx: Tx, limit: int | None, offset: int) -> list[Reseller]:
    """Resellers in the order in which they came, `limit` after the first `offset`."""
    rows = await tx.fetch(f"{_RESELLER} order by number limit $1 offset $2", limit, offset)
    return [_reseller(row) for row in rows]


# Ten thousand rows are read in a few milliseconds; an index for parts of names would be for a shop of another size.
_DIGITS: Final = 18
"""Any number of so many digits fits into 64 bits."""

_SEARCH: Final = f"""
    {_RESELLER} where number > $1
    and ($2 = '' or searched like $3 or phone = $2 or number = $6)
    and ($4::boolean is null or (suspended_at is not null) = $4)
    order by number limit $5
"""


async def search(tx: Tx, text: str, suspended: bool | None, after: int, limit: int) -> list[Reseller]:
    """Resellers whose address or name has this text in it, in whatever case, or whose phone or number it is; from above `after`."""
    escaped = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None
    rows = await tx.fetch(_SEARCH, after, text, f"%{escaped}%", suspended, limit, number)
    return [_reseller(row) for row in rows]


async def insert_key(
    tx: Tx,
    key_id: UUID,
    reseller_id: UUID,
    api: str,
    mode: Mode,
    digest: bytes,
    hint: str,
    read_limit: int,
    purchase_limit: int,
    secret_digest: bytes | None,
) -> ApiKey | None:
    """The new key; None where there is one of this id."""
    row = await tx.fetchrow(
        "insert into api_key (id, reseller_id, api, mode, digest, hint, read_limit, purchase_limit, secret_digest)"
        f" values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (id) do nothing returning {_KEY_COLUMNS}",
        key_id, reseller_id, api, mode, digest, hint, read_limit, purchase_limit, secret_digest,
    )  # fmt: skip
    return None if row is None else _key(row)


async def lock_reseller(tx: Tx, reseller_id: UUID) -> bool:
    """Until this transaction ends nobody else makes a key for this reseller. False where there is none."""
    return await tx.fetchval("select true from reseller where id = $1 for no key update", reseller_id) is not None


async def count_working(tx: Tx, reseller_id: UUID) -> int:
    """How many keys of a reseller are not revoked."""
    return int(
        await tx.fetchval("select count(*) from api_key where reseller_id = $1 and revoked_at is null", reseller_id)
    )


async def lock_key(tx: Tx, key_id: UUID) -> ApiKey | None:
    """The key, locked until the end of `tx`; None where there is none."""
    row = await tx.fetchrow(f"select {_KEY_COLUMNS} from api_key where id = $1 for no key update", key_id)
    return None if row is None else _key(row)


async def write_limits(tx: Tx, key_id: UUID, read_limit: int, purchase_limit: int) -> ApiKey:
    row = await tx.fetchrow(
        f"update api_key set read_limit = $2, purchase_limit = $3 where id = $1 returning {_KEY_COLUMNS}",
        key_id, read_limit, purchase_limit,
    )  # fmt: skip
    return _key(row)


async def write_uses(tx: Tx, key_ids: Sequence[UUID], ages_s: Sequence[float]) -> None:
    """Note that these keys were used so many seconds ago. An earlier use than is known changes nothing."""
    await tx.execute(
        "insert into api_key_use (key_id, used_at) select new.id, now() - make_interval(secs => new.age_s)"
        " from unnest($1::text[]::uuid[], $2::float8[]) as new(id, age_s) join api_key k on k.id = new.id order by new.id"
        " on conflict (key_id) do update set used_at = excluded.used_at where api_key_use.used_at < excluded.used_at",
        [str(key_id) for key_id in key_ids], ages_s,
    )  # fmt: skip


async def caller_of_key(tx: Tx, key_id: UUID) -> Caller | None:
    """Whose key this id is; None for an unknown or a revoked one."""
    return _caller(await tx.fetch(_CALLER_OF_ID, key_id))


async def revoke_key(tx: Tx, key_id: UUID) -> ApiKey | None:
    """The key, revoked now or at some time before; None where there is no such key."""
    row = await tx.fetchrow(
        f"update api_key set revoked_at = coalesce(revoked_at, now()) where id = $1 returning {_KEY_COLUMNS}", key_id
    )
    return _key(row) if row else None


async def keys_of(tx: Tx, reseller_id: UUID) -> list[ApiKey]:
    """Every key of a reseller, oldest first, the revoked ones included."""
    rows = await tx.fetch(
        f"select {_KEY_COLUMNS} from api_key where reseller_id = $1 order by created_at, id", reseller_id
    )
    return [_key(row) for row in rows]


async def insert_token(tx: Tx, digest: bytes, key_id: UUID, secret_digest: bytes, valid_s: int) -> bool:
    """Keep a token of a key that works. False where the secret is not the key's, or the key has been revoked."""
    made = await tx.fetchval(
        "insert into access_token (digest, key_id, expires_at)"
        " select $1, id, now() + make_interval(secs => $4) from api_key"
        " where id = $2 and secret_digest = $3 and revoked_at is null returning true",
        digest, key_id, secret_digest, valid_s,
    )  # fmt: skip
    return made is not None


async def delete_expired_tokens(tx: Tx, at_most: int) -> None:
    """Whoever makes a token clears a few away that have ended; two who do so at once take different ones."""
    await tx.execute(
        "delete from access_token where digest in (select digest from access_token where expires_at < now()"
        " order by expires_at limit $1 for update skip locked)",
        at_most,
    )


async def caller_of(tx: Tx, digest: bytes) -> Caller | None:
    """Whose key this is; None for an unknown or a revoked one."""
    return _caller(await tx.fetch(_CALLER, digest))


async def caller_of_token(tx: Tx, digest: bytes) -> Caller | None:
    """Whose token this is; None for an unknown one, one that has ended, and one whose key was revoked."""
    return _caller(await tx.fetch(_CALLER_OF_TOKEN, digest))


def _caller(rows: list[Any]) -> Caller | None:
    if not rows:
        return None
    first = rows[0]
    return Caller(
        reseller_id=_uuid(first["reseller_id"]),
        reseller_number=first["number"],
        key_id=_uuid(first["id"]),
        key_bytes=first["id"].bytes,
        api=first["api"],
        mode=Mode(first["mode"]),
        read_limit=first["read_limit"],
        purchase_limit=first["purchase_limit"],
        wallets={row["currency"]: row["account_id"] for row in rows if row["currency"] is not None},
        expires_in_s=None if first["expires_in_s"] is None else float(first["expires_in_s"]),
    )


def _uuid(value: UUID) -> UUID:
    # asyncpg's own class compares equal, but hashes and pickles by other means than the standard one.
    return UUID(bytes=value.bytes)


def _reseller(row: Any) -> Reseller:
    return Reseller(
        _uuid(row["id"]),
        row["number"],
        row["email"],
        row["name"],
        row["phone"],
        row["created_at"],
        suspended_at=row["suspended_at"],
    )


def _key(row: Any) -> ApiKey:
    return ApiKey(
        _uuid(row["id"]),
        _uuid(row["reseller_id"]),
        row["api"],
        Mode(row["mode"]),
        row["hint"],
        row["read_limit"],
        row["purchase_limit"],
        row["created_at"],
        row["revoked_at"],
        row["used_at"],
    )


async def profile_of(tx: Tx, reseller_id: UUID) -> Profile | None:
    """Everything about a reseller but the picture itself."""
    row = await tx.fetchrow(
        "select id, number, email, name, phone, created_at, suspended_at, suspended_reason,"
        " address, gender, date_of_birth, email_verified, phone_verified,"
        " id_verified, avatar_token from reseller where id = $1",
        reseller_id,
    )
    return Profile(**dict(row)) if row else None


async def write_profile(tx: Tx, reseller_id: UUID, changes: dict[str, Any]) -> None:
    """Change columns of a reseller; their names are the store's own, never input."""
    assignments = ", ".join(f"{name} = ${place}" for place, name in enumerate(changes, 2))
    await tx.execute(f"update reseller set {assignments} where id = $1", reseller_id, *changes.values())


async def avatar_of(tx: Tx, token: str) -> tuple[bytes, str] | None:
    """The picture of this random name, and its media type. The database makes the name whenever there is a new picture."""
    row = await tx.fetchrow(
        "select avatar, avatar_type from reseller where avatar_token = $1 and avatar is not null", token
    )
    return (row["avatar"], row["avatar_type"]) if row else None
