"""The settings that every session with PostgreSQL needs: set, read back, and refused where they do not hold.

Settings that were only sent along when the connection began may be dropped by a pooler in silence, or be overruled; so
they are set by a statement in the session, and a second statement reads what is in force. The second also reads what
only the server decides (fsync, a standby), since after a fail-over it is another server.

A pooler that hands each transaction to another connection (transaction or statement pooling) is recognised and refused:
what one statement sets there is gone for the next.
"""

import json
import secrets
from collections.abc import Collection, Mapping
from typing import Any, Final

import asyncpg
import msgspec

MINIMUM_VERSION: Final = 15

SETTINGS: Final[Mapping[str, str]] = {
    "application_name": "telvend",
    # What is acknowledged is on disk. remote_apply promises more, and is not needed.
    "synchronous_commit": "on",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    # The locks of a batch, and what is read after them, are written for it; a role may have another default.
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    # A policy that hides rows makes a statement fail instead of finding less.
    "row_security": "off",
    "lock_timeout": "10s",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "30s",
    "idle_session_timeout": "0",
    "jit": "off",
    "plan_cache_mode": "auto",
    "enable_seqscan": "on",
    "enable_indexscan": "on",
}

# With these the server ends the session of a vanished TCP client within seconds. By default that takes two hours, during which the
# session keeps its connection slot and its locks. Not read back: over a Unix socket they have no effect.
KEEPALIVES: Final[Mapping[str, str]] = {
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "4000",
}

# Somebody waits for what a serving process has locked: a process that is stopped gives it up soon.
SERVING_SETTINGS: Final[Mapping[str, str]] = {
    **SETTINGS,
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "2s",
}

# A lane sends the same few statements for ever: planning each anew would cost as much as running it, and a table that
# was empty when the plan was made must not be scanned from end to end when it is full.
LANE_SETTINGS: Final[Mapping[str, str]] = {
    **SERVING_SETTINGS,
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
}

# Settings of newer servers, by the version that brought them.
_SINCE: Final = {17: {"transaction_timeout": "0"}}

PROMISES: Final = {
    "fsync": ("on", "can lose money that it has acknowledged"),
    "full_page_writes": ("on", "can lose money in a power cut"),
    "data_sync_retry": ("off", "goes on after its disk has lost what it wrote"),
    "zero_damaged_pages": ("off", "empties damaged pages instead of saying so"),
    "ignore_checksum_failure": ("off", "reads damaged pages instead of saying so"),
    "session_replication_role": ("origin", "skips the triggers that keep transfers from being changed"),
}
"""What only the server or a superuser decides: the value that is needed, and what the database does otherwise."""

SESSION_WORD: Final = "telvend.session"
"""A setting that means nothing to the server; each session keeps a word of its own in it."""

SET: Final = "select set_config(key, value, false) from json_each_text($1::text::json)"

READ: Final = """
    select pg_backend_pid() as pid, current_setting('telvend.session', true) as word,
        (select json_object_agg(name, current_setting(name, true)) from unnest($1::text[]) as name)::text as settings,
        current_setting('server_version_num')::int / 10000 as major, current_setting('server_encoding') as encoding,
        pg_is_in_recovery() as standby, current_schema()::text as schema
"""

PROMISED: Final = "select json_object_agg(name, current_setting(name, true))::text from unnest($1::text[]) as name"

# Only a table that survives a crash may hold money, and the triggers that protect it must be on. $1 names both, since other tables
# may be in the same schema.
BROKEN_TABLES: Final = """
    select format('The table %s is unlogged: a crash empties it.', c.relname) as sentence
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and c.relpersistence = 'u' and n.nspname in (current_schema(), 'simulator', 'sandbox')
        and c.relname = any($1::text[])
    union all
    select format('The trigger %s of the table %s is switched off.', t.tgname, c.relname)
    from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
    where not t.tgisinternal and t.tgenabled not in ('O', 'A') and n.nspname = current_schema()
        and t.tgname = any($1::text[])
    order by 1 limit 1
"""

# asyncpg sends the first use of a statement in two halves. While the server waits for the second one, the session is not idle: none
# of the server's time-outs applies, and a client that has stopped there keeps its locks.
STUCK: Final = """
    select count(pg_terminate_backend(pid)) from pg_stat_activity
    where state = 'active' and wait_event = 'ClientRead' and xact_start is not null and application_name = 'telvend'
        and usename = current_user and datname = current_database() and pid <> pg_backend_pid()
        and state_change < clock_timestamp() - interval '3 s'
"""

SERVER: Final = """
    select system_identifier::text as system,
        ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int as timeline
    from pg_control_system()
"""

_PROBE_ROUNDS: Final = 3
_PROBE_TIMEOUT_S: Final = 5.0

POOLED: Final = (
    "A pooler in front of the database hands each transaction to another connection (transaction or statement pooling);"
    " Telvend needs session pooling, or the address of the server itself."
)

# How a pooler of transactions shows itself before it is asked: the statement was prepared on another connection.
_PREPARED_ELSEWHERE: Final = (
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
)


class DatabaseRefused(Exception):
    """The database is not one that money may be kept in. The message is one sentence for the operator."""


class Server(msgspec.Struct, frozen=True):
    """Which PostgreSQL it is: the identifier of its cluster, and the timeline, which each promotion counts up.

    None where the role may not ask.
    """

    system: str | None = None
    timeline: int | None = None

    def was_replaced_by(self, other: "Server") -> bool:
        """Return whether `other` was promoted after this one. Later writes to this one are not in `other`."""
        return (
            self.system == other.system
            and self.timeline is not None
            and other.timeline is not None
            and self.timeline < other.timeline
        )


async def server_of(connection: Any) -> Server:
    """Return which primary is at the other end. Empty where the role may not ask, or it is a standby."""
    try:
        row = await connection.fetchrow(SERVER)
    except (
        asyncpg.InsufficientPrivilegeError,
        asyncpg.UndefinedFunctionError,
        asyncpg.ObjectNotInPrerequisiteStateError,
        asyncpg.FeatureNotSupportedError,
    ):
        return Server()
    return Server(row["system"], row["timeline"])


async def prepare_session(connection: Any, url: str, settings: Mapping[str, str] = SETTINGS) -> str | None:
    """Set what this session needs and read it back. Return the schema in which unqualified names are looked for.

    Two statements; behind a pooler a few more, with a second connection to `url`. Raises DatabaseRefused.
    """
    wanted = for_version(settings, connection.get_server_version().major)
    word = secrets.token_hex(8)
    try:
        await connection.execute(SET, json.dumps({**KEEPALIVES, **wanted, SESSION_WORD: word}))
        row = await connection.fetchrow(READ, [*wanted, *PROMISES])
        require_session(row, wanted, word)
        # A pooler invents the process number that it gives at the start; the server's own is the true one.
        if connection.get_server_pid() != row["pid"]:
            await _require_own_session(connection, url, row["pid"], word)
    except _PREPARED_ELSEWHERE:
        raise DatabaseRefused(POOLED) from None
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseRefused(f"The database does not let this role set what it needs: {error}.") from None
    schema: str | None = row["schema"]
    return schema


def for_version(settings: Mapping[str, str], major: int) -> dict[str, str]:
    """The settings, with those that servers of this version have besides."""
    wanted = dict(settings)
    for since, more in _SINCE.items():
        if major >= since:
            wanted |= more
    return wanted


def require_session(row: Any, wanted: Mapping[str, str], word: str) -> None:
    """Raise DatabaseRefused with the first thing that does not hold, in a row of READ."""
    if row["major"] < MINIMUM_VERSION:
        raise DatabaseRefused(f"The database is PostgreSQL {row['major']}; Telvend needs {MINIMUM_VERSION} or newer.")
    if row["word"] != word:
        raise DatabaseRefused(POOLED)
    found = json.loads(row["settings"])
    broken = _broken(found)
    if broken is not None:
        raise DatabaseRefused(broken)
    if row["standby"]:
        raise DatabaseRefused("The database is a standby and takes no writes; give the address of the primary.")
    if row["encoding"] != "UTF8":
        raise DatabaseRefused(f"The database is encoded in {row['encoding']}; Telvend needs UTF8.")
    for name, value in wanted.items():
        if found[name] != value:
            raise DatabaseRefused(
                f"The database keeps {name} = {found[name]} although {value} was set; without it money can be lost."
            )


async def _require_own_session(connection: Any, url: str, pid: int, word: str) -> None:
    """Behind a pooler: raise DatabaseRefused unless this client has a server connection of its own.

    A second client sets the same setting to something else, between two statements of the first. Where transactions are
    handed out, the first one then finds the other's word, or another process, however many connections the pooler has.
    """
    probe = await asyncpg.connect(url, timeout=_PROBE_TIMEOUT_S, command_timeout=_PROBE_TIMEOUT_S)
    try:
        for _ in range(_PROBE_ROUNDS):
            await probe.execute(SET, json.dumps({SESSION_WORD: "probe"}))
            theirs = await probe.fetchrow(READ, [])
            ours = await connection.fetchrow(READ, [])
            if theirs["pid"] == pid or ours["pid"] != pid or ours["word"] != word or theirs["word"] != "probe":
                raise DatabaseRefused(POOLED)
    finally:
        try:
            await probe.close(timeout=1)
        except (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            probe.terminate()


async def end_stuck_sessions(connection: Any) -> int:
    """End sessions that are in a transaction and have waited three seconds for the rest of a request. Return how many."""
    ended: int = await connection.fetchval(STUCK)
    return ended


async def broken_promise(connection: Any) -> str | None:
    """What the server does not keep any more, in one sentence: its settings can be changed while it runs."""
    return _broken(json.loads(await connection.fetchval(PROMISED, list(PROMISES))))


def _broken(found: Mapping[str, str | None]) -> str | None:
    for name, (value, otherwise) in PROMISES.items():
        # None: a setting that this server does not have, or does not show to this role.
        if found[name] not in (value, None):
            return f"The database runs with {name} = {found[name]} and {otherwise}."
    return None


async def require_sound_tables(connection: Any, ours: Collection[str]) -> None:
    """Raise DatabaseRefused where a table of `ours` would not survive a crash, or a trigger of `ours` is off."""
    sentence = await connection.fetchval(BROKEN_TABLES, list(ours))
    if sentence is not None:
        raise DatabaseRefused(str(sentence))
