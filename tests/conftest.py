"""Fixtures that several rooms share: one embedded PostgreSQL for the whole run, a database as good as new for each test."""

import asyncio
import gc
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from telvend.bootstrap import FAILPOINTS
from telvend.database import migrations
from telvend.database.connections import Database
from telvend.embedded_postgres.cluster import Cluster
from telvend.kit import failpoints

# The same examples in every run, however slow the machine: a commit is judged by itself, not by a draw. `make soak` draws others, and more.
_ANY_SPEED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("same", derandomize=True, **_ANY_SPEED)
settings.register_profile("search", max_examples=1000, **_ANY_SPEED)
settings.load_profile("same")


def pytest_collection_finish() -> None:
    """Eleven thousand tests stay until the end: to look for garbage among them takes a second each time."""
    gc.freeze()


_TEMPLATE = "telvend_template"
_SHARED = "telvend_shared"

# A new database for every test would cost half a second each. This empties one, triggers or no triggers, counts from 1
# again, and puts back the rows that the migrations left (`keep_rows` has copied them).
_RENEW = """
do $$
declare
    kept record;
begin
    perform pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend';
    set local session_replication_role = replica;
    for kept in
        select format('%I.%I', schemaname, tablename) as name, pg_relation_size(format('%I.%I', schemaname, tablename)) as size
        from pg_tables where schemaname not in ('pg_catalog', 'information_schema', 'kept') and tablename <> 'alembic_version'
    loop
        -- New files are dear, so that only what has grown gets them.
        if kept.size > 2000000 then
            execute 'truncate ' || kept.name || ' cascade';
        elsif kept.size > 0 then
            execute 'delete from ' || kept.name;
        end if;
    end loop;
    perform setval(c.oid, 1, false) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind = 'S' and n.nspname not in ('pg_catalog', 'information_schema', 'kept');
    for kept in select tablename from pg_tables where schemaname = 'kept' loop
        execute format('insert into %s overriding system value select * from kept.%I', kept.tablename, kept.tablename);
    end loop;
end $$
"""

_KEEP_ROWS = """
do $$
declare
    found record;
    filled boolean;
begin
    create schema kept;
    for found in
        select format('%I.%I', schemaname, tablename) as name from pg_tables
        where schemaname not in ('pg_catalog', 'information_schema', 'kept') and tablename <> 'alembic_version'
    loop
        execute format('select exists (select from %s)', found.name) into filled;
        if filled then
            execute format('create table kept.%I as table %s', found.name, found.name);
        end if;
    end loop;
end $$
"""


class Server:
    """The server of this run: makes databases and throws them away."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def url(self, name: str) -> str:
        return self._cluster.superuser_url.replace("/telvend?", f"/{name}?")

    async def command(self, sql: str, database: str = "postgres") -> None:
        connection = await asyncpg.connect(self.url(database))
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    @asynccontextmanager
    async def database(self, name: str) -> AsyncIterator[str]:
        """The URL of a database with the current schema and no rows, dropped at the end."""
        await self.command(f"create database {name} template {_TEMPLATE} strategy file_copy")
        try:
            yield self.url(name)
        finally:
            await self.command(f"drop database {name} with (force)")

    async def renewed(self) -> str:
        """The URL of the shared database, with the current schema and no rows."""
        await self.command(f"alter database {_SHARED} reset all")
        await self.command(_RENEW, _SHARED)
        return self.url(_SHARED)

    async def make_template(self) -> None:
        await self.command(f"create database {_TEMPLATE}")
        database = await Database.open(self.url(_TEMPLATE), pool_size=1)
        try:
            await migrations.ensure(database, lambda _: None)
        finally:
            await database.close()
        await self.command(f"create database {_SHARED} template {_TEMPLATE}")
        await self.command(_KEEP_ROWS, _SHARED)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL of our own, with a template of the current schema."""
    # In memory where there is some, which is many times quicker. Nothing here cuts the power.
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * 2**30 else None
    with tempfile.TemporaryDirectory(dir=where, prefix="telvend-tests-") as folder, Cluster(Path(folder)) as cluster:
        made = Server(cluster)
        asyncio.run(made.make_template())
        yield made


@pytest.fixture
async def database_url(server: Server) -> str:
    """A database with the current schema and no rows."""
    return await server.renewed()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool on a fresh database."""
    opened = await Database.open(database_url, pool_size=4)
    yield opened
    await opened.close()


@pytest.fixture
def armed() -> Iterator[Callable[[str], None]]:
    """Arms failpoints for one test."""
    failpoints.know(FAILPOINTS)
    yield failpoints.arm
    failpoints.arm("")
