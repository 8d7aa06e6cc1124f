"""All SQL of backups: what a server is, keeping its write-ahead log while it is copied, and how a server archives."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

import asyncpg

from telvend.database.connecting import for_asyncpg
from telvend.database.connections import Tx

_FACTS: Final = """
    select current_setting('server_version') as version, current_setting('wal_level') as wal_level,
        current_setting('max_wal_senders')::int as senders, current_setting('summarize_wal', true) = 'on' as summarizes,
        current_setting('archive_mode') as archive_mode,
        (select setting::bigint from pg_settings where name = 'wal_segment_size') as segment_bytes,
        pg_database_size(current_database()) as bytes
"""

_SYSTEM: Final = "select system_identifier::text from pg_control_system()"

_ARCHIVER: Final = """
    select archived_count, last_archived_wal, last_archived_time, failed_count, last_failed_time from pg_stat_archiver
"""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself."""

    version: str
    wal_level: str
    senders: int
    summarizes: bool
    archive_mode: str
    segment_bytes: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ArchiverFacts:
    """How a server archives its write-ahead log, as it counts itself."""

    archived: int
    last_at: datetime | None
    failed: int
    last_failed_at: datetime | None


async def archiver_of(tx: Tx) -> ArchiverFacts:
    """How the server archives."""
    return _archiver(await tx.fetchrow(_ARCHIVER))


def _archiver(row: Any) -> ArchiverFacts:
    return ArchiverFacts(row["archived_count"], row["last_archived_time"], row["failed_count"], row["last_failed_time"])


class Session:
    """A session of its own, for code that blocks. Raises `FAILURES`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        try:
            self._connection: Any = self._runner.run(_connected(self._url))
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._connection.terminate()
        finally:
            self._runner.close()

    def row(self, sql: str) -> Any:
        """The first row that a statement returns."""
        return self._runner.run(self._connection.fetchrow(sql))

    def facts(self) -> ServerFacts:
        """What this server is."""
        return ServerFacts(**dict(self.row(_FACTS)))

    def archiver(self) -> ArchiverFacts:
        """How this server archives."""
        return _archiver(self.row(_ARCHIVER))

    def system(self) -> str:
        """The number of the database system; empty where this role may not read it."""
        try:
            return str(self.row(_SYSTEM)["system_identifier"])
        except asyncpg.InsufficientPrivilegeError:
            return ""

    def switch_segment(self) -> None:
        """Finish the current segment of write-ahead log, so that it is archived."""
        self.row("select pg_switch_wal()")


FAILURES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


async def _connected(url: str) -> Any:
    return await asyncpg.connect(for_asyncpg(url), timeout=10, server_settings={"application_name": "telvend backup"})


@contextmanager
def kept_log(url: str) -> Iterator[None]:
    """Keep the write-ahead log from now on until the context ends; the server's limit for it still holds.

    The slot is this session's: it goes when the process does, however it ends. Raises `FAILURES`.
    """
    with Session(url) as session:
        session.row("select pg_create_physical_replication_slot('telvend_backup_' || pg_backend_pid(), true, true)")
        yield
