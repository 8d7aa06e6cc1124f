"""PostgreSQL as the rooms use it: a pool, transactions, a dedicated connection for a lane, and the revisions.

Every connection sets what money needs (`synchronous_commit = on`) and reads it back, whatever the server's own settings
are and whoever stands in between (session.py). A server that does not keep it is refused at the start; later it counts as
one that is away.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from weakref import WeakSet

import asyncpg
import msgspec
from asyncpg.transaction import Transaction

from telvend.database.connecting import Connector, for_asyncpg
from telvend.database.facts import Fact
from telvend.database.outage import AWAY, Outage
from telvend.database.refusals import sentence_of
from telvend.database.session import (
    LANE_SETTINGS,
    SERVING_SETTINGS,
    SETTINGS,
    DatabaseRefused,
    prepare_session,
    require_sound_tables,
)
from telvend.errors import Busy
from telvend.kit.log import LogLimit, get

__all__ = [
    "CONNECTION_LOSS",
    "TRANSIENT",
    "Database",
    "DatabaseRefused",
    "DatabaseUnreachable",
    "DedicatedConnection",
    "Tx",
    "clock",
    "holds_tables",
    "increment_revision",
    "revisions",
    "rows",
    "writing_together",
]

Tx = Any
"""A connection inside a transaction (asyncpg's Connection; its package has no types)."""

_encode: Final = msgspec.json.Encoder().encode


_log = get(__name__)


class DatabaseUnreachable(DatabaseRefused, ConnectionError):
    """No connection was had now; it may be tried again later, so it counts as a loss of the connection too."""


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
    DatabaseRefused,  # A server that does not keep what it must, met again after the start.
    OSError,
    TimeoutError,
)
"""What it looks like when the server went away, or is not ready. The work may be tried again later."""

TRANSIENT: Final = (
    *CONNECTION_LOSS,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    # The state of the machine: no room, no memory, a statement that somebody ended, a disk with a fault.
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
)
"""What a second try may cure. Source: "PostgreSQL Error Codes", classes 08, 25006, 40, 53, 55, 57 and 58."""

LANE_PATIENCE_S: Final = 4.0
"""How long a lane waits for an answer: longer than any of its locks, and short enough to be back within five seconds."""

_SERVING_PATIENCE_S: Final = 5.0
_COMMAND_PATIENCE_S: Final = 30.0


# Takes room in files, and gives it back. A full disk lets small writes through for a while, and tables do not grow.
_WRITE_PROBE: Final = """
    create temporary table write_probe on commit drop as select md5(number::text) from generate_series(1, 4000) as number
"""


class _Transaction(Transaction):  # type: ignore[misc]
    """A transaction that hands on the facts that were remembered in it, once it is committed."""

    async def commit(self) -> None:
        await super().commit()
        self._connection.hand_on_facts()

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        await super().__aexit__(kind, error, traceback)
        if kind is None:
            self._connection.hand_on_facts()
        else:
            self._connection.facts.clear()

    async def rollback(self) -> None:
        # Of a savepoint too: to forget what was remembered before it does no harm, to keep what was undone would.
        self._connection.facts.clear()
        await super().rollback()


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that the pool takes back without a round trip: nothing here changes session state.

    `facts` are those of the transaction that is open (facts.py); `on_commit` gets them.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.facts: dict[str, Fact] = {}
        self.on_commit: Callable[[Collection[Fact]], None] | None = None

    def get_reset_query(self) -> str:
        return ""

    def transaction(self, **options: Any) -> Transaction:
        if not self.is_in_transaction():
            self.facts.clear()
        return _Transaction(
            self, options.get("isolation"), options.get("readonly", False), options.get("deferrable", False)
        )

    def hand_on_facts(self) -> None:
        """Say what has been committed. A savepoint commits nothing."""
        if self.facts and not self.is_in_transaction():
            try:
                if self.on_commit is not None:
                    self.on_commit(list(self.facts.values()))
            except Exception:
                # The transaction is committed. After an exception its caller would take it for failed, and repeat it.
                _log.exception("commit_not_noted", facts=len(self.facts))
            self.facts.clear()


class Database:
    """A pool of connections to one database. Open it with `Database.open`, give it back with `close`.

    `on_commit` gets the facts of each transaction when it has committed. `on_connected` is called with each new connection
    before anybody uses it.
    """

    def __init__(self, url: str, pool: Any = None, *, serves: bool = False) -> None:
        """Raises ValueError for a URL that cannot be read."""
        self.url = url
        self.outage = Outage()
        self.on_commit: Callable[[Collection[Fact]], None] | None = None
        self.on_connected: Callable[[Tx], Awaitable[None]] | None = None
        self._connector = Connector(url, on_moved=self.drop_connections)
        self._settings = SERVING_SETTINGS if serves else SETTINGS
        self._patience_s = _SERVING_PATIENCE_S if serves else _COMMAND_PATIENCE_S
        self._pool = pool
        self._dedicated: WeakSet[Any] = WeakSet()
        self._schema: str | None = None
        self._refusals = LogLimit()

    @classmethod
    async def open(cls, url: str, *, pool_size: int = 8, serves: bool = False) -> "Database":
        """Connect. `serves`: locks and idle transactions are given up soon, since others wait for them.

        Raises DatabaseRefused, which is DatabaseUnreachable where a later try may succeed.
        """
        try:
            opened = cls(url, serves=serves)
            opened._pool = await asyncpg.create_pool(
                for_asyncpg(url),
                connect=opened._connect,
                min_size=1,
                max_size=pool_size,
                connection_class=_Connection,
                init=opened._prepare,
                command_timeout=opened._patience_s,
                max_inactive_connection_lifetime=300,
            )
        except DatabaseRefused:
            raise
        except (ValueError, OverflowError, asyncpg.PostgresError, *CONNECTION_LOSS) as error:
            # A certificate that is not accepted is a ValueError to Python, and no later try cures it.
            kind = DatabaseRefused
            if isinstance(error, CONNECTION_LOSS) and not isinstance(error, ValueError):
                kind = DatabaseUnreachable
            # Without its cause: what Python says of an address may quote a part of the password.
            raise kind(sentence_of(error, url)) from None
        return opened

    @classmethod
    @asynccontextmanager
    async def briefly(cls, url: str) -> "AsyncIterator[Database]":
        """Open it with one connection, for as long as the block takes. Raises what `open` raises."""
        opened = await cls.open(url, pool_size=1)
        try:
            yield opened
        finally:
            await opened.close()

    async def _connect(self, _dsn: str, *, loop: object = None, **options: Any) -> Tx:  # noqa: ARG002 - asyncpg's
        return await self._connector.connect(**options)

    async def _prepare(self, connection: Tx, settings: Mapping[str, str] | None = None) -> None:
        """Make a new connection one of ours. Raises DatabaseRefused."""
        schema = await prepare_session(connection, for_asyncpg(self.url), settings or self._settings)
        if self._schema is None:
            self._schema = schema
        elif schema != self._schema:
            raise DatabaseRefused(
                f"The tables were in the schema {self._schema}, and a new connection would look in {schema}."
            )
        connection.on_commit = self._committed
        if self.on_connected is not None:
            await self.on_connected(connection)

    def _committed(self, facts: Collection[Fact]) -> None:
        if self.on_commit is not None:
            self.on_commit(facts)

    def report(self, error: DatabaseRefused) -> None:
        """Log that a server was refused after the start: it counts as away. The same sentence at most once a minute."""
        self._refusals.write(_log.error, "database_refused", source=str(error), why=str(error))

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
                try:
                    yield connection
                except TimeoutError:
                    # Whoever waits for a silent server to take a cancellation waits long, and the others are as silent.
                    connection.terminate()
                    await self._pool.expire_connections()
                    raise
        except TRANSIENT as error:
            raise self.busy(error) from error

    def busy(self, error: BaseException) -> Busy:
        """Return what is told to whoever waits, and remember what the database cannot do."""
        if isinstance(error, DatabaseRefused):
            self.report(error)
        self.outage.note(error)
        return Busy()

    def drop_connections(self) -> None:
        """End every connection at once, whatever it is doing: the server behind them does not answer.

        Whoever waits on one gets what is in CONNECTION_LOSS; the next statement makes a new one.
        """
        pooled = (holder._con for holder in self._pool._holders) if self._pool is not None else ()  # noqa: SLF001
        for connection in [*self._dedicated, *pooled]:
            if connection is not None and not connection.is_closed():
                connection.terminate()

    async def probe(self, connection: Tx) -> None:
        """During an outage: see whether the database reads and writes again. Raises what is in TRANSIENT."""
        if self.outage.reason is None:
            return
        if self.outage.reason != AWAY:
            try:
                async with connection.transaction():
                    await connection.execute(_WRITE_PROBE)
            except asyncpg.InsufficientPrivilegeError:
                pass  # This role may make no temporary tables: the next sale will tell.
        self.outage.over()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """A transaction that commits at the end of the block. Raises Busy when the server is away."""
        together = _TOGETHER.get()
        async with self.connection() as connection, connection.transaction():
            yield connection
            if together is not None and not together.written:
                await together.write(connection)
        if together is not None:
            together.written = True

    async def size_bytes(self) -> int:
        """Return the size of this database on the server's disk. Raises Busy."""
        async with self.connection() as tx:
            return int(await tx.fetchval("select pg_database_size(current_database())"))

    @asynccontextmanager
    async def snapshot(self, *, scratch: bool = False) -> AsyncIterator[Tx]:
        """A repeatable-read transaction without a statement time-out: all of its statements see one snapshot. Raises Busy.

        Read-only, unless `scratch`: then it may create temporary tables.
        """
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=not scratch),
        ):
            await connection.execute("set local statement_timeout = 0")
            yield connection

    async def dedicated(self, *, lane: bool = True) -> Tx:
        """A connection of its own, for a lane or a task. The caller closes it.

        Raises DatabaseRefused, and what CONNECTION_LOSS has.
        """
        connection = None
        try:
            connection = await self._connector.connect(connection_class=_Connection, command_timeout=LANE_PATIENCE_S)
            await self._prepare(connection, LANE_SETTINGS if lane else None)
        except BaseException as error:
            if connection is not None:
                connection.terminate()
            if isinstance(error, DatabaseRefused):
                self.report(error)
            raise
        self._dedicated.add(connection)
        return connection

    async def check_promises(self, ours: Collection[str]) -> None:
        """Refuse a server that may forget what it has acknowledged. Raises DatabaseRefused.

        Checks the settings again, as for each new connection, and the tables and triggers that `ours` names.
        """
        async with self._pool.acquire(timeout=5) as connection:
            await prepare_session(connection, for_asyncpg(self.url), self._settings)
            await require_sound_tables(connection, ours)


class DedicatedConnection:
    """One connection for one task, opened when first needed and again after it was lost."""

    def __init__(self, database: Database, *, lane: bool = True) -> None:
        self._database = database
        self._lane = lane
        self._connection: Tx | None = None

    async def get(self) -> Tx:
        """The live connection. Raises what is in CONNECTION_LOSS when there is none to be had."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.dedicated(lane=self._lane)
        return self._connection

    def busy(self, error: BaseException) -> Busy:
        """Return what is told to whoever waits, and remember what the database cannot do."""
        return self._database.busy(error)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Tx]:
        """The live connection for statements that only read, outside of a transaction. Raises Busy.

        A failure in TRANSIENT drops the connection.
        """
        try:
            yield await self.get()
        except TRANSIENT as error:
            self.drop()
            raise self.busy(error) from error

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


@dataclass(slots=True)
class Together:
    """What is written with the first transaction of a block. `written`: that has committed."""

    write: Callable[[Tx], Awaitable[None]]
    written: bool = False


_TOGETHER: Final[ContextVar[Together | None]] = ContextVar("together", default=None)


@contextmanager
def writing_together(write: Callable[[Tx], Awaitable[None]]) -> Iterator[Together]:
    """Have `write` called at the end of the first `transaction` that this task commits in the block.

    What a person does is recorded so, with the change itself, though the room that makes the change knows nothing of people.
    Where the block ends and nothing of it was committed by `transaction`, `written` is still False.
    """
    together = Together(write)
    token = _TOGETHER.set(together)
    try:
        yield together
    finally:
        _TOGETHER.reset(token)


def rows(items: Sequence[Any]) -> str:
    """Structs as one parameter for `json_to_recordset($1::text::json)`: a set of rows in a single argument.

    A tenth of what it costs to hand every column over as an array of its own.
    """
    return _encode(items).decode()


async def clock(tx: Tx) -> datetime:
    """Return the database's time at this moment, not that of the beginning of `tx`."""
    now: datetime = await tx.fetchval("select clock_timestamp()")
    return now


async def transaction_time(tx: Tx) -> datetime:
    """Return the database's time at the beginning of `tx`, which is what its rows get by default."""
    now: datetime = await tx.fetchval("select now()")
    return now


async def holds_tables(tx: Tx) -> bool:
    """Whether anybody has tables in this database."""
    found: bool = await tx.fetchval(
        "select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p')"
        " and n.nspname <> 'information_schema' and n.nspname not like 'pg\\_%')"
    )
    return found


async def increment_revision(tx: Tx, topic: str) -> None:
    """Tell every process that what it remembers of `topic` has changed; seen when `tx` commits."""
    await tx.execute(
        "insert into revision values ($1, 1) on conflict (topic) do update set number = revision.number + 1", topic
    )


async def revisions(tx: Tx) -> dict[str, int]:
    """How often each topic has changed."""
    return {row["topic"]: row["number"] for row in await tx.fetch("select topic, number from revision")}
