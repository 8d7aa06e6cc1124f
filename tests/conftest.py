"""Fixtures that several rooms share: one embedded PostgreSQL for the whole run, a fresh migrated database for each test."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from telvend import migrations
from telvend.kit.db import Database
from telvend.kit.postgres import Cluster

_numbers = itertools.count(1)
_TEMPLATE = "telvend_template"


class Server:
    """The server of this run: makes databases and throws them away."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def url(self, name: str) -> str:
        return self._cluster.superuser_url.replace("/telvend?", f"/{name}?")

    async def command(self, sql: str) -> None:
        connection = await asyncpg.connect(self.url("postgres"))
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

    async def make_template(self) -> None:
        await self.command(f"create database {_TEMPLATE}")
        database = await Database.open(self.url(_TEMPLATE), pool_size=1)
        try:
            await migrations.ensure(database, lambda _: None)
        finally:
            await database.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A PostgreSQL of our own, with a template of the current schema."""
    with Cluster(Path(tmp_path_factory.mktemp("postgres"))) as cluster:
        made = Server(cluster)
        asyncio.run(made.make_template())
        yield made


@pytest.fixture
async def database_url(server: Server) -> AsyncIterator[str]:
    """A fresh database with the current schema and no rows."""
    async with server.database(f"test_{next(_numbers)}") as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool on a fresh database."""
    opened = await Database.open(database_url, pool_size=4)
    yield opened
    await opened.close()
