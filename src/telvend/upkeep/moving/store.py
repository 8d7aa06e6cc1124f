"""All SQL of moving a shop into another database."""

from dataclasses import dataclass
from typing import Any, Final

from telvend.database.connections import Tx
from telvend.database.session import MINIMUM_VERSION

MARK: Final = "telvend.moved_to"
"""A setting of the database that is left behind: where its shop went. Set in the commit that ends writing there."""

_TABLES: Final = """
    select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname <> 'information_schema' and n.nspname not like 'pg\\_%'
        and c.relpersistence <> 't' order by 1
"""

_SCHEMAS: Final = """
    select nspname as name from pg_namespace where nspname <> 'information_schema' and nspname not like 'pg\\_%' order by 1
"""

_SEQUENCES: Final = """
    select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'S' and n.nspname <> 'information_schema' and n.nspname not like 'pg\\_%' order by 1
"""

_TARGET: Final = """
    select current_setting('server_version_num')::int / 10000 as major, pg_is_in_recovery() as standby,
        current_setting('server_encoding') as encoding, current_database()::text as name, current_user::text as role,
        has_database_privilege(current_database(), 'create') as creates_schemas,
        coalesce(has_schema_privilege(current_schema(), 'create'), false) as creates_tables,
        exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p')
            and n.nspname <> 'information_schema' and n.nspname not like 'pg\\_%') as holds_tables
"""

_BLOCKING: Final = """
    select coalesce(nullif(application_name, ''), 'a session') || ' (process ' || pid || ')' as text from pg_stat_activity
    where datname = current_database() and xact_start < now() - interval '3 s' and pid <> pg_backend_pid()
    order by xact_start limit 1
"""

# Both sides write values alike.
_AS_TEXT: Final = (
    "set timezone = 'UTC'; set datestyle = 'ISO, MDY'; set extra_float_digits = 1; set bytea_output = 'hex'"
)


@dataclass(frozen=True, slots=True)
class Target:
    """The database that a shop is to be moved into."""

    major: int
    standby: bool
    encoding: str
    name: str
    role: str
    creates_schemas: bool
    creates_tables: bool
    holds_tables: bool


def refusal_of(target: Target, name: str) -> str | None:
    """Why nothing can be moved into a database, in one sentence; None where it can, but for what it holds already."""
    if target.major < MINIMUM_VERSION:
        return f"{name} is PostgreSQL {target.major}: Telvend needs {MINIMUM_VERSION} or newer."
    if target.standby:
        return f"{name} is a standby: name the primary."
    if target.encoding != "UTF8":
        return f"{name} is encoded as {target.encoding}: make it with encoding 'UTF8'."
    if not target.creates_schemas or not target.creates_tables:
        return (
            f"The role {target.role} may not make tables and schemas in {name}: let it own the database"
            f" (alter database {target.name} owner to {target.role})."
        )
    return None


async def target_of(tx: Tx) -> Target:
    """What the database is, and what this role may do in it."""
    return Target(**dict(await tx.fetchrow(_TARGET)))


async def drop_everything(tx: Tx) -> None:
    """Remove an unfinished copy: every schema but the first one, and what that holds."""
    await tx.execute("set local client_min_messages = warning")
    names = [row["name"] for row in await tx.fetch(_SCHEMAS)]
    for name in names:
        if name != "public":
            await tx.execute(f'drop schema "{name}" cascade')
    for row in await tx.fetch(_TABLES):
        await tx.execute(f"drop table if exists {row['name']} cascade")
    left = await tx.fetch(
        # A routine is a function, a procedure or an aggregate.
        "select 'drop routine if exists ' || oid::regprocedure || ' cascade' as text"
        " from pg_proc where pronamespace = 'public'::regnamespace union all"
        " select 'drop view ' || oid::regclass || ' cascade' from pg_class where relkind = 'v'"
        " and relnamespace = 'public'::regnamespace union all"
        " select 'drop sequence ' || oid::regclass || ' cascade' from pg_class where relkind = 'S'"
        " and relnamespace = 'public'::regnamespace union all"
        " select 'drop type ' || oid::regtype || ' cascade' from pg_type where typtype in ('e', 'd')"
        " and typnamespace = 'public'::regnamespace"
    )
    for row in left:
        await tx.execute(row["text"])


async def stop_writers(tx: Tx) -> int:
    """Keep everybody else from writing until this transaction ends. Reading goes on. Returns how many tables there are."""
    names = [row["name"] for row in await tx.fetch(_TABLES)]
    await tx.execute("set local lock_timeout = '5s'; set local idle_in_transaction_session_timeout = 0")
    await tx.execute(f"lock table {', '.join(names)} in share mode")
    return len(names)


async def blocking(tx: Tx) -> str | None:
    """Who has a transaction open for long."""
    found: str | None = await tx.fetchval(_BLOCKING)
    return found


async def digests(tx: Tx) -> dict[str, tuple[int, str]]:
    """The number of rows of every table, and a sum over what they hold; and where each sequence stands."""
    found: dict[str, tuple[int, str]] = {}
    await tx.execute(_AS_TEXT)
    for row in await tx.fetch(_TABLES):
        name = row["name"]
        if name == "public.book_halt":
            continue  # The copy is halted, and the shop is not.
        one = await tx.fetchrow(
            f"select count(*) as rows, coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text as sum from {name} t"
        )
        found[name] = (one["rows"], one["sum"])
    for row in await tx.fetch(_SEQUENCES):
        if row["name"] == "public.book_halt_number_seq":
            continue
        one = await tx.fetchrow(f"select last_value, is_called from {row['name']}")
        found[row["name"]] = (one["last_value"], str(one["is_called"]))
    return found


async def leave(tx: Tx, role: str, database: str, url: str) -> None:
    """Take the right to write from the role of the shop, and note where it went: one commit ends selling here.

    A statement that waits for its lock is refused when it gets it.
    """
    for schema in [row["name"] for row in await tx.fetch(_SCHEMAS)]:
        await tx.execute(f'revoke insert, update, delete, truncate on all tables in schema "{schema}" from "{role}"')
        await tx.execute(f'revoke usage, update on all sequences in schema "{schema}" from "{role}"')
        await tx.execute(f'revoke create on schema "{schema}" from "{role}"')
    quoted = await tx.fetchval("select quote_literal($1::text)", url)
    await tx.execute(f'alter database "{database}" set {MARK} = {quoted}')


async def end_sessions(tx: Tx, role: str) -> None:
    """End the sessions of the shop's role."""
    await tx.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", role)


async def moved_to(tx: Tx) -> str | None:
    """Where the shop of this database went; None where it is the shop."""
    found: Any = await tx.fetchval(f"select nullif(current_setting('{MARK}', true), '')")
    return None if found is None else str(found)
