"""PostgreSQL as the rooms use it: a pool, transactions, a dedicated connection for a lane, and the revisions.

Every connection insists on what money needs (`synchronous_commit = on`) whatever the server's own settings are, speaks
UTC, and gives up on a lock or an idle transaction instead of holding everybody up.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
import msgspec

from telvend.errors import Busy

Tx = Any
"""A connection inside a transaction (asyncpg's Connection; its package has no types)."""

MINIMUM_VERSION: Final = 15

_SETTINGS: Final = {
    "application_name": "telvend",
    "timezone": "UTC",
    "jit": "off",
    "synchronous_commit": "on",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "30s",
}

# A lane sends the same few statements for ever: planning each anew would cost as much as running it, and a table that
# was empty when the plan was made must not be scanned from end to end when it is full.
_LANE_SETTINGS: Final = _SETTINGS | {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}


_encode: Final = msgspec.json.Encoder().encode


class DatabaseRefused(Exception):
    """The database is not one that money may be kept in. The message is one sentence for the shop-keeper."""


CONNECTION_LOSS: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # What asyncpg says when the server took its leave while nothing was being asked.
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    OSError,
    TimeoutError,
)
"""What it looks like when the server went away, or is not ready. The work may be tried again later."""

TRANSIENT: Final = (
    *CONNECTION_LOSS,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
"""What a second try may cure."""


# What libpq understands in a URL and asyncpg would hand to the server, which does not.
_ONLY_LIBPQ: Final = frozenset(
    (
        "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
        "channel_binding", "gssencmode", "gssdelegation", "sslnegotiation", "sslcompression", "sslsni", "sslcertmode",
        "require_auth", "load_balance_hosts", "client_encoding", "fallback_application_name", "requirepeer",
    )
)  # fmt: skip


def for_asyncpg(url: str) -> str:
    """The same URL without what only libpq understands, and what we set ourselves."""
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in _ONLY_LIBPQ]
    return urlunsplit(parts._replace(query=urlencode(kept, safe="/")))


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that the pool takes back without a round trip: nothing here changes session state."""

    def get_reset_query(self) -> str:
        return ""


class Database:
    """A pool of connections to one database. Open it with `Database.open`, give it back with `close`."""

    def __init__(self, url: str, pool: "asyncpg.Pool") -> None:
        self.url = url
        self._pool = pool

    @classmethod
    async def open(cls, url: str, *, pool_size: int = 8) -> "Database":
        """Connect. Raises DatabaseRefused, or what asyncpg raises when there is no server."""
        try:
            pool = await asyncpg.create_pool(
                for_asyncpg(url),
                min_size=1,
                max_size=pool_size,
                connection_class=_Connection,
                server_settings=_SETTINGS,
                command_timeout=30,
                timeout=10,
                max_inactive_connection_lifetime=300,
            )
        except (ValueError, OverflowError):
            # What Python says of such an address may quote a part of the password.
            raise DatabaseRefused(
                "The address of the database cannot be read; it must look like postgresql://user:password@host:5432/name,"
                " with odd letters percent-encoded."
            ) from None
        return cls(url, pool)

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self._pool.close(), 5)
        except (TimeoutError, *CONNECTION_LOSS):
            self._pool.terminate()

    @property
    def size(self) -> int:
        return int(self._pool.get_size())

    @property
    def in_use(self) -> int:
        return int(self._pool.get_size() - self._pool.get_idle_size())

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Tx]:
        """A connection without a transaction: each statement is its own. Raises Busy when the server is away."""
        try:
            async with self._pool.acquire(timeout=5) as connection:
                yield connection
        except TRANSIENT as error:
            raise Busy from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """A transaction that commits at the end of the block. Raises Busy when the server is away."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Tx]:
        """A transaction that only reads, and sees one moment of the database for as long as it takes. Raises Busy."""
        async with self.connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute("set local statement_timeout = 0")
            yield connection

    async def dedicated(self) -> Tx:
        """A connection of its own, for a lane. The caller closes it."""
        return await asyncpg.connect(
            for_asyncpg(self.url), server_settings=_LANE_SETTINGS, command_timeout=30, timeout=5
        )

    async def check_promises(self) -> None:
        """Refuse a server that is too old or that may forget what it has acknowledged. Raises DatabaseRefused."""
        async with self.connection() as tx:
            row = await tx.fetchrow(
                "select current_setting('server_version_num')::int / 10000 as major,"
                " current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes,"
                " pg_is_in_recovery() as standby, current_setting('server_encoding') as encoding"
            )
        if row["major"] < MINIMUM_VERSION:
            raise DatabaseRefused(
                f"The database is PostgreSQL {row['major']}; Telvend needs {MINIMUM_VERSION} or newer."
            )
        if row["fsync"] != "on":
            raise DatabaseRefused("The database runs with fsync = off and can lose money that it has acknowledged.")
        if row["full_page_writes"] != "on":
            raise DatabaseRefused("The database runs with full_page_writes = off and can lose money in a power cut.")
        if row["standby"]:
            raise DatabaseRefused("The database is a standby and takes no writes; give the address of the primary.")
        if row["encoding"] != "UTF8":
            raise DatabaseRefused(f"The database is encoded in {row['encoding']}; Telvend needs UTF8.")


class Dedicated:
    """One connection for one task, opened when first needed and again after it was lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Tx | None = None

    async def get(self) -> Tx:
        """The live connection. Raises what is in CONNECTION_LOSS when there is none to be had."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.dedicated()
        return self._connection

    def drop(self) -> None:
        """Forget the connection at once, whatever it is doing: the server ends what had not been committed."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def roll_back(self, transaction: Tx) -> None:
        """Undo a transaction of this connection; where the connection is lost over it, the server does."""
        try:
            await transaction.rollback()
        except CONNECTION_LOSS:
            self.drop()

    async def close(self) -> None:
        if self._connection is not None:
            try:
                await self._connection.close(timeout=2)
            except CONNECTION_LOSS:
                self._connection.terminate()
            self._connection = None


def rows(items: Sequence[Any]) -> str:
    """Structs as one parameter for `json_to_recordset($1::text::json)`: a set of rows in a single argument.

    A tenth of what it costs to hand every column over as an array of its own.
    """
    return _encode(items).decode()


async def bump(tx: Tx, topic: str) -> None:
    """Tell every process that what it remembers of `topic` has changed; seen when `tx` commits."""
    await tx.execute(
        "insert into revision values ($1, 1) on conflict (topic) do update set number = revision.number + 1", topic
    )


async def revisions(tx: Tx) -> dict[str, int]:
    """How often each topic has changed."""
    return {row["topic"]: row["number"] for row in await tx.fetch("select topic, number from revision")}
