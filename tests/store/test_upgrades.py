"""Shops as earlier versions have left them: upgraded, sold on, audited; and upgrades that are killed half-way.

tests/data/upgrades/make.py has made the dumps with the code of those versions.
"""

import asyncio
import gzip
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from telvend.audit.service import Audit, audit_books
from telvend.bootstrap import open_shop
from telvend.config import Settings
from telvend.database import migrations
from telvend.database.connections import Database
from telvend.database.migrations import URL_VARIABLE, SchemaStep
from telvend.database.migrations.duration import estimated, work_of
from telvend.kit.mode import Mode
from tests.conftest import Server
from tests.store.test_cli import Shop

DUMPS = Path(__file__).parents[1] / "data" / "upgrades"
VERSIONS = sorted(path.name.partition(".")[0] for path in DUMPS.glob("*.sql.gz"))
AMA = "ama@example.com"


def statements(version: str) -> str:
    """The SQL of a dump, without the two lines that are for psql."""
    text = gzip.decompress((DUMPS / f"{version}.sql.gz").read_bytes()).decode()
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


@pytest.fixture
async def old(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[tuple[str, str]]:
    """A version, and the address of a shop that it has left."""
    name = f"old_{request.param}"
    await server.command(f"create database {name}")
    await server.command(statements(request.param), name)
    yield request.param, server.url(name)
    await server.command(f"drop database {name} with (force)")


EVERY_VERSION = pytest.mark.parametrize(
    "old", [pytest.param(VERSIONS[0], marks=pytest.mark.soak), *VERSIONS[1:]], indirect=True
)


@pytest.fixture
def nowhere(nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELVEND_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


async def schema(url: str) -> tuple[str, list[str]]:
    """The revision and the columns of every table."""
    connection = await asyncpg.connect(url)
    try:
        columns = await connection.fetch(
            "select table_name || '.' || column_name as name from information_schema.columns where table_schema = 'public' order by 1"
        )
        return await connection.fetchval("select version_num from alembic_version"), [row["name"] for row in columns]
    finally:
        await connection.close()


async def rows(url: str, statement: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


ORDERS = "select id, reference, client_reference, state, price_minor from orders order by id"
MONEY = "select cause, kind, debit, credit, amount_minor from transfer order by cause, kind"


@EVERY_VERSION
async def test_a_shop_of_an_earlier_version_is_upgraded_sold_on_and_audited(
    old: tuple[str, str], tmp_path: Path
) -> None:
    version, url = old
    before = await rows(url, ORDERS), await rows(url, MONEY)
    assert len({state for _, _, _, state, _ in before[0]}) >= 3
    database = await Database.open(url, pool_size=2)
    try:
        assert await migrations.current(database) == version
        await migrations.ensure(database, lambda _: None)
        assert (await rows(url, ORDERS), await rows(url, MONEY)) == before
        report = await audit_books(database)
        assert report.findings == ()
        assert report.orders == len(before[0])
    finally:
        await database.close()
    async with open_shop(Settings(data_dir=str(tmp_path)), url) as shop:
        await shop.watch.look()
        services = shop.services
        services.orders.start()
        caller = await services.resellers.caller_without_key(AMA, "netpluse", Mode.LIVE)
        network = services.catalogue.snapshot.network("GH", "MTN")
        assert network is not None
        wanted = {"network": network, "size": "1GB", "subscriber": "+233241230000", "prefix": "NPAPI"}
        sold = await services.orders.buy_bundle(caller, client_reference="after", **wanted)
        known = await services.orders.buy_bundle(
            caller, client_reference="live-0001", **wanted | {"subscriber": "+233241230001"}
        )
        await services.orders.close()
        assert not sold.replayed
        assert known.replayed, "what the old version has sold is found by its reference"
        assert (await Audit(shop.database, tmp_path).run(full=True)).findings == ()


@pytest.mark.parametrize("old", VERSIONS[:1], indirect=True)
def test_the_upgrade_is_announced_with_how_long_it_locks(old: tuple[str, str], nowhere: Path) -> None:
    version, url = old
    told = Shop(url).data("upgrade", "--check")
    assert (told["schema"], told["can_take_over"]) == (version, True)
    assert [step["revision"] for step in told["steps"]] == [one for one in migrations.known() if one > version]
    assert 0 < told["locks_for_s"] < 5
    assert "less than a second" in Shop(url).run("upgrade", "--check").stdout or told["locks_for_s"] >= 1
    done = Shop(url).data("upgrade")
    assert (done["from"], done["schema"]) == (version, migrations.known()[-1])
    assert Shop(url).data("ledger", "check")["ok"] is True


# Killed ---------------------------------------------------------------------------------------------------------------------


async def killed_at(url: str, lock: str) -> None:
    """Migrate in a process of its own, and `kill -9` it while it waits for this lock."""
    holder = await asyncpg.connect(url)
    try:
        async with holder.transaction():
            await holder.execute(lock)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "telvend.database.migrations", env=os.environ | {URL_VARIABLE: url},
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            watcher = await asyncpg.connect(url)
            try:
                async with asyncio.timeout(60):
                    while not await watcher.fetchval(
                        "select exists (select from pg_stat_activity where wait_event_type = 'Lock'"
                        " and application_name = $1)", migrations.APPLICATION_NAME,
                    ):  # fmt: skip
                        assert process.returncode is None, "it has not waited"
                        await asyncio.sleep(0.02)
            finally:
                await watcher.close()
            process.send_signal(signal.SIGKILL)
            assert await process.wait() == -signal.SIGKILL
    finally:
        await holder.close()


@pytest.mark.parametrize(
    ("old", "lock"),
    [
        pytest.param("0019", "lock table attempt in access exclusive mode", id="inside a step"),
        pytest.param("0038", "lock table alembic_version in share mode", id="between two steps"),
    ],
    indirect=["old"],
)
async def test_a_migration_that_is_killed_leaves_the_shop_as_it_was_and_can_be_repeated(
    old: tuple[str, str], lock: str
) -> None:
    _, url = old
    before = await schema(url), await rows(url, ORDERS), await rows(url, MONEY)
    await killed_at(url, lock)
    assert (await schema(url), await rows(url, ORDERS), await rows(url, MONEY)) == before
    database = await Database.open(url, pool_size=2)
    try:
        await migrations.ensure(database, lambda _: None)
        assert (await audit_books(database)).findings == ()
    finally:
        await database.close()


# How long it locks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("create table t (id bigint); create index t_id on t (id);", []),
        ("create index o on orders (x);", [("orders", 4.0)]),
        ("create unique index o on orders (x) where y is null;", [("orders", 4.0)]),
        ("alter table orders add column x text not null default '';", []),
        ("alter table orders\n  add column x text check (x <> '');", [("orders", 2.0)]),
        ("update orders set x = 1; -- update wallet", [("orders", 20.0)]),
        ("insert into t select id from orders where x;", [("orders", 10.0)]),
        ("create function f() returns trigger language plpgsql as $$ begin update orders set x = 1; end $$;", []),
        ("create view v as select * from orders;", []),
    ],
)
def test_what_grows_with_a_table_is_read_from_the_statements(sql: str, found: list[tuple[str, float]]) -> None:
    assert work_of(sql)[0] == found


async def test_the_estimate_grows_with_the_rows(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    step = SchemaStep("9999", "", None, "")
    monkeypatch.setattr(
        "telvend.database.migrations.duration._sql_of", lambda _: "create index x on orders (price_minor);"
    )
    assert (await estimated(database, [step])).seconds < 1
    async with database.connection() as tx:
        await tx.execute("update pg_class set reltuples = 3e6 where oid = 'orders'::regclass")
        try:
            found = await estimated(database, [step])
        finally:
            await tx.execute("update pg_class set reltuples = -1 where oid = 'orders'::regclass")
    assert found.rows == {"orders": 3_000_000}
    assert 12 < found.seconds < 13
