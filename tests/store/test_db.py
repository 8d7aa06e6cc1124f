"""The database as the rooms use it: which servers are refused, and what becomes of us when one goes away."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from telvend.database import migrations
from telvend.database.connections import (
    CONNECTION_LOSS,
    Database,
    DatabaseRefused,
    DedicatedConnection,
    increment_revision,
    revisions,
)
from telvend.database.session import LANE_SETTINGS, SETTINGS
from telvend.embedded_postgres import settings as fixed
from telvend.embedded_postgres.cluster import Cluster
from telvend.errors import Busy
from telvend.kit.mode import Mode
from telvend.sales.gate import SalesGate
from telvend.sales.promises import Promises
from tests.conftest import Server
from tests.store.poolers import Pooler, TransactionPooler, behind

PATIENCE_S = 20


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server of this file alone, which promises nothing that a test does not ask of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixed, "PROMISES", {})
        cluster = Cluster(tmp_path_factory.mktemp("private"), settings={"wal_level": "replica"})
        with cluster:
            yield cluster


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = await Database.open(url, pool_size=2)
    try:
        yield database
    finally:
        await database.close()


def name_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


async def refusal(url: str) -> str:
    with pytest.raises(DatabaseRefused) as refused:
        async with opened(url):
            pass
    text = str(refused.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


async def back(database: Database) -> None:
    """Until statements work again; meanwhile nothing but Busy may be heard."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                async with database.connection() as tx:
                    await tx.fetchval("select 1")
                    return
            except Busy:
                await asyncio.sleep(0.05)


# Which servers are refused


async def test_a_server_that_keeps_its_promises_is_taken(database: Database) -> None:
    await database.check_promises(migrations.names())


async def switch(private: Cluster, setting: str, word: str) -> None:
    connection = await asyncpg.connect(private.superuser_url)
    try:
        await connection.execute(f"alter system set {setting} = {word}")
        await connection.execute("select pg_reload_conf()")
        for _ in range(PATIENCE_S * 50):
            if await connection.fetchval(f"show {setting}") == word:
                break
            await asyncio.sleep(0.02)
    finally:
        await connection.close()


async def cut_all(private: Cluster) -> None:
    connection = await asyncpg.connect(private.superuser_url)
    try:
        await connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where pid <> pg_backend_pid()"
            " and backend_type = 'client backend'"
        )
    finally:
        await connection.close()


@pytest.mark.parametrize(("setting"), ["fsync", "full_page_writes", "zero_damaged_pages", "ignore_checksum_failure"])
async def test_a_server_that_may_forget_what_it_said_is_refused(private: Cluster, setting: str) -> None:
    bad, good = ("off", "on") if setting in ("fsync", "full_page_writes") else ("on", "off")
    await switch(private, setting, bad)
    try:
        assert f"{setting} = {bad}" in await refusal(private.url)
    finally:
        await switch(private, setting, good)
    async with opened(private.url) as database:
        await database.check_promises(migrations.names())


async def test_another_encoding_is_refused(server: Server) -> None:
    await server.command("create database latin encoding 'LATIN1' locale 'C' template template0")
    try:
        assert "LATIN1" in await refusal(server.url("latin"))
    finally:
        await server.command("drop database latin with (force)")


async def test_an_old_server_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telvend.database.session.MINIMUM_VERSION", 99)
    with pytest.raises(DatabaseRefused, match="needs 99 or newer"):
        await database.check_promises(migrations.names())


async def test_a_standby_is_refused_and_cannot_be_written_to(private: Cluster) -> None:
    private.stop()
    signal_file = private.data_dir / "postgres" / "standby.signal"
    signal_file.touch()
    owner = (private.data_dir / "postgres").stat()
    os.chown(signal_file, owner.st_uid, owner.st_gid)
    try:
        private.prepare()
        private.start()
        assert "standby" in await refusal(private.url)
    finally:
        private.stop()
        signal_file.unlink()
        private.prepare()
        private.start()


# What every connection insists on


async def test_a_database_that_is_set_to_forget_is_overruled_by_every_connection(
    server: Server, database_url: str
) -> None:
    name = name_of(database_url)
    await server.command(f"alter database {name} set synchronous_commit = off")
    await server.command(f"alter database {name} set timezone = 'Africa/Lagos'")
    async with opened(database_url) as database:
        lane = DedicatedConnection(database)
        async with database.connection() as tx:
            # Others wait for what a lane has locked; a command may take longer.
            for connection, lock, idle in ((tx, "10s", "30s"), (await lane.get(), "2s", "2s")):
                for setting, expected in {
                    "synchronous_commit": "on", "timezone": "UTC", "lock_timeout": lock,
                    "idle_in_transaction_session_timeout": idle,
                }.items():  # fmt: skip
                    assert await connection.fetchval(f"show {setting}") == expected
        await lane.close()


# Everything that a role, a database or a pooler could set otherwise, and what it would break.
OTHERWISE = {
    "synchronous_commit": "off",
    "timezone": "'Africa/Lagos'",
    "datestyle": "'SQL, DMY'",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "'serializable'",
    "default_transaction_deferrable": "on",
    "row_security": "on",
    "lock_timeout": "0",
    "statement_timeout": "'1s'",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "'1s'",
    "enable_indexscan": "off",
    "jit": "on",
}


async def test_whatever_a_database_is_set_to_every_connection_has_what_money_needs(
    server: Server, database_url: str
) -> None:
    name = name_of(database_url)
    for setting, value in OTHERWISE.items():
        await server.command(f"alter database {name} set {setting} = {value}")
    async with opened(database_url) as database:
        lane = DedicatedConnection(database)
        async with database.connection() as tx:
            for connection, settings in ((tx, SETTINGS), (await lane.get(), LANE_SETTINGS)):
                for setting, expected in settings.items():
                    assert await connection.fetchval(f"show {setting}") == expected, setting
        await lane.close()


@pytest.mark.parametrize("level", ["off", "local", "remote_write", "remote_apply"])
async def test_synchronous_commit_is_on_whatever_else_was_asked_for(
    server: Server, database_url: str, level: str
) -> None:
    await server.command(f"alter database {name_of(database_url)} set synchronous_commit = {level}")
    async with opened(database_url) as database, database.connection() as tx:
        assert await tx.fetchval("show synchronous_commit") == "on"


async def test_a_database_whose_triggers_do_not_fire_is_refused(server: Server, database_url: str) -> None:
    await server.command(f"alter database {name_of(database_url)} set session_replication_role = replica")
    assert "session_replication_role = replica" in await refusal(database_url)


@pytest.mark.parametrize(
    ("change", "back", "says"),
    [
        ("alter table transfer disable trigger user", "alter table transfer enable trigger user", "is switched off"),
        ("alter table attempt set unlogged", "alter table attempt set logged", "attempt is unlogged"),
    ],
)
async def test_tables_that_would_not_keep_money_are_refused(
    server: Server, database: Database, change: str, back: str, says: str
) -> None:
    name = name_of(database.url)
    await server.command(change, name)
    try:
        with pytest.raises(DatabaseRefused, match=says):
            await database.check_promises(migrations.names())
    finally:
        await server.command(back, name)
    await database.check_promises(migrations.names())


async def test_every_table_and_trigger_of_the_schema_is_looked_at(database: Database) -> None:
    async with database.connection() as tx:
        found = await tx.fetch(
            "select relname::text as name from pg_class where relkind = 'r' and relname <> 'alembic_version'"
            " and relnamespace::regnamespace::text in ('public', 'simulator', 'sandbox')"
            " union select tgname::text from pg_trigger where not tgisinternal"
        )
    assert {row["name"] for row in found} == set(migrations.names())


async def test_tables_and_triggers_of_somebody_else_are_not_looked_at(server: Server, database: Database) -> None:
    """As `pgbench -i --unlogged-tables` makes, and a trigger of an administrator that is off for a while."""
    name = name_of(database.url)
    for statement in (
        "create unlogged table pgbench_accounts (aid integer)",
        "create trigger somebodys before update on orders for each row execute function suppress_redundant_updates_trigger()",
        "alter table orders disable trigger somebodys",
    ):
        await server.command(statement, name)
    await database.check_promises(migrations.names())


async def test_a_pooler_that_drops_what_was_sent_at_the_start_changes_nothing(
    server: Server, database_url: str
) -> None:
    await server.command(f"alter database {name_of(database_url)} set synchronous_commit = off")
    async with behind(Pooler, database_url) as url, opened(url) as database:
        await database.check_promises(migrations.names())
        lane = DedicatedConnection(database)
        async with database.connection() as tx:
            for connection in (tx, await lane.get()):
                assert connection.get_server_pid() != await connection.fetchval("select pg_backend_pid()")
                assert await connection.fetchval("show synchronous_commit") == "on"
        await lane.close()


async def test_a_pooler_that_hands_each_transaction_to_another_connection_is_refused(database_url: str) -> None:
    async with behind(TransactionPooler, database_url) as url:
        assert "session pooling" in await refusal(url)


async def test_a_server_that_forgets_after_the_start_counts_as_away_and_is_logged(private: Cluster) -> None:
    """As after a fail-over to one that is set up otherwise."""
    async with opened(private.url) as database:
        lane = DedicatedConnection(database)
        await lane.get()
        await switch(private, "fsync", "off")
        try:
            await cut_all(private)
            with capture_logs() as logs:
                for _ in range(3):
                    with pytest.raises(Busy):
                        await read(database)
                lane.drop()
                with pytest.raises(CONNECTION_LOSS):
                    await lane.get()
            assert {entry["event"] for entry in logs} == {"database_refused"}
            assert len(logs) == 1
            assert "fsync = off" in logs[0]["why"]
        finally:
            await switch(private, "fsync", "on")
        await back(database)
        await lane.get()
        await lane.close()


async def test_a_server_that_is_told_to_forget_while_it_runs_is_not_sold_from(private: Cluster) -> None:
    gate = SalesGate()
    promises = Promises(gate, every_s=0)
    async with opened(private.url) as database, database.connection() as tx:
        await promises.check(tx)
        assert gate.reasons == ()
        await switch(private, "fsync", "off")
        try:
            with capture_logs() as logs:
                for _ in range(PATIENCE_S * 50):  # The server's own process has to hear of it, too.
                    await promises.check(tx)
                    if promises.broken:
                        break
                    await asyncio.sleep(0.02)
            assert gate.halts(Mode.LIVE)
            assert "fsync = off" in (promises.broken or "")
            assert [entry["log_level"] for entry in logs] == ["critical"]
        finally:
            await switch(private, "fsync", "on")
        for _ in range(PATIENCE_S * 50):
            await promises.check(tx)
            if promises.broken is None:
                break
            await asyncio.sleep(0.02)
        gate.require_open(Mode.LIVE)


async def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    before = await read(database)

    async def half_way() -> None:
        async with database.transaction() as tx:
            await increment_revision(tx, "keys")
            raise LookupError

    with pytest.raises(LookupError):
        await half_way()
    assert await read(database) == before


async def test_a_reader_of_a_snapshot_sees_one_moment_and_writes_nothing(database: Database) -> None:
    async with database.snapshot() as tx:
        before = await revisions(tx)
        async with database.transaction() as other:
            await increment_revision(other, "keys")
        assert await revisions(tx) == before
    assert (await read(database))["keys"] == before["keys"] + 1
    with pytest.raises(Busy):
        async with database.snapshot() as tx:
            await increment_revision(tx, "keys")


async def test_no_change_is_lost_when_many_tell_of_one(database: Database) -> None:
    async def once(topic: str) -> None:
        async with database.transaction() as tx:
            await increment_revision(tx, topic)

    before = await read(database)
    await asyncio.gather(*(once("keys") for _ in range(20)), *(once("something new") for _ in range(3)))
    after = await read(database)
    assert after["keys"] == before["keys"] + 20
    assert after["something new"] == 3


async def go_on(database: Database) -> None:
    """Make transactions for two seconds, or until one is refused."""
    for _ in range(100):
        async with database.transaction() as tx:
            await tx.fetchval("select 1")
        await asyncio.sleep(0.02)


async def requery_now(connection: Any) -> None:
    for _ in range(100):
        await connection.fetchval("select 1")
        await asyncio.sleep(0.02)


async def read(database: Database) -> dict[str, int]:
    async with database.connection() as tx:
        return await revisions(tx)


# When the server goes away


async def cut(server: Server, url: str) -> None:
    """End every connection to this database, as an administrator does, or a failing network."""
    name = name_of(url)
    await server.command(f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{name}'")


async def test_the_pool_outlives_its_connections(server: Server, database_url: str) -> None:
    async with opened(database_url) as database:
        for _ in range(2):
            await asyncio.gather(*(read(database) for _ in range(4)))
            await cut(server, database_url)
            await back(database)


async def test_a_transaction_that_is_cut_off_is_busy_and_has_not_happened(server: Server, database_url: str) -> None:
    async with opened(database_url) as database:
        before = await read(database)

        async def cut_off() -> None:
            async with database.transaction() as tx:
                await increment_revision(tx, "keys")
                await cut(server, database_url)

        with pytest.raises(Busy):
            await cut_off()
        await back(database)
        assert await read(database) == before


async def test_a_mistake_of_ours_is_not_called_busy(database: Database) -> None:
    for statement, values in (
        ("select nothing from nowhere", ()),
        ("select $1::bigint", (10**30,)),
        ("select 1/0", ()),
    ):
        with pytest.raises((asyncpg.PostgresError, ValueError)):
            async with database.connection() as tx:
                await tx.fetchval(statement, *values)


async def test_a_lost_dedicated_connection_is_opened_again(server: Server, database_url: str) -> None:
    async with opened(database_url) as database:
        lane = DedicatedConnection(database)
        first = await lane.get()
        assert await lane.get() is first
        await cut(server, database_url)
        with pytest.raises(CONNECTION_LOSS):
            await first.fetchval("select 1")
        second = await lane.get()
        assert await second.fetchval("select 1") == 1
        lane.drop()
        assert second.is_closed()
        assert await (await lane.get()).fetchval("select 1") == 1
        await lane.close()
        await lane.close()


async def test_what_a_dropped_connection_was_doing_does_not_happen(database: Database) -> None:
    before = await read(database)
    lane = DedicatedConnection(database)
    connection = await lane.get()
    transaction = connection.transaction()
    await transaction.start()
    await increment_revision(connection, "keys")
    lane.drop()
    async with asyncio.timeout(PATIENCE_S), database.transaction() as tx:
        await increment_revision(tx, "keys")  # Waits for the other's row lock, if anybody still held it.
    assert (await read(database))["keys"] == before["keys"] + 1


async def test_without_a_server_everything_is_busy_until_it_is_back(private: Cluster) -> None:
    async with opened(private.url) as database:
        lane = DedicatedConnection(database)
        await back(database)
        connection = await lane.get()
        assert private.postgres_pid is not None
        os.kill(private.postgres_pid, signal.SIGKILL)
        began = asyncio.get_running_loop().time()
        with pytest.raises(Busy):
            await go_on(database)
        assert asyncio.get_running_loop().time() - began < PATIENCE_S
        with pytest.raises(CONNECTION_LOSS):
            await requery_now(connection)
        lane.drop()
        with pytest.raises(CONNECTION_LOSS):
            await lane.get()
        await private.restart_async()
        await back(database)
        assert await (await lane.get()).fetchval("select 1") == 1
        await lane.close()


async def test_closing_ends_even_when_the_server_has_gone(private: Cluster) -> None:
    database = await Database.open(private.url, pool_size=2)
    lane = DedicatedConnection(database)
    await lane.get()
    assert private.postgres_pid is not None
    os.kill(private.postgres_pid, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S):
        await lane.close()
        await database.close()
    await private.restart_async()


async def test_no_server_at_all_is_a_loss_of_connection(tmp_path: Path) -> None:
    for url in (f"postgresql://x@/x?host={tmp_path}", "postgresql://x:y@127.0.0.1:1/x"):
        with pytest.raises(CONNECTION_LOSS):
            await Database.open(url, pool_size=1)
