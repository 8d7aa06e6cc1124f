"""The schema: made once, by whoever comes first, whole or not at all; never guessed at when it is not ours."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator

import pytest

from telvend.database import migrations
from telvend.database.connections import Database
from telvend.database.migrations import SchemaRefused
from telvend.database.migrations.blockers import shown
from tests.conftest import Server
from tests.hostile import HOSTILE

_numbers = itertools.count(1)


@pytest.fixture
async def empty(server: Server) -> AsyncIterator[Database]:
    """A database without a schema."""
    name = f"empty_{next(_numbers)}"
    await server.command(f"create database {name}")
    database = await Database.open(server.url(name), pool_size=2)
    yield database
    await database.close()
    await server.command(f"drop database {name} with (force)")


@pytest.fixture
async def migrated(server: Server) -> AsyncIterator[Database]:
    """A database of this test alone: what is done to its schema must not meet others."""
    async with server.database(f"migrated_{next(_numbers)}") as url:
        database = await Database.open(url, pool_size=2)
        yield database
        await database.close()


async def brought(database: Database) -> list[str]:
    """Bring the schema here; what was said while doing it."""
    said: list[str] = []
    await migrations.ensure(database, said.append)
    return said


async def refusal(database: Database) -> str:
    with pytest.raises(SchemaRefused) as refused:
        await brought(database)
    text = str(refused.value)
    assert "\n" not in text
    return text


async def tables(database: Database) -> set[str]:
    async with database.connection() as tx:
        found = await tx.fetch(
            "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
        )
    return {row["relname"] for row in found}


async def test_an_empty_database_gets_the_schema_and_a_second_time_nothing(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await migrations.current(empty) is None
    (sentence,) = await brought(empty)
    assert "empty" in sentence
    assert await migrations.current(empty) == migrations.known()[-1]
    assert {"orders", "transfer", "wallet", "attempt"} <= await tables(empty)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", None)  # One SELECT and no process.
    assert await brought(empty) == []


async def test_two_nodes_that_start_together_take_turns(server: Server, empty: Database) -> None:
    other = await Database.open(empty.url, pool_size=1)
    try:
        await asyncio.gather(brought(empty), brought(other))
    finally:
        await other.close()
    async with empty.connection() as tx:
        assert await tx.fetchval("select array_agg(version_num) from alembic_version") == [migrations.known()[-1]]
        assert await tx.fetchval("select count(*) from installation") == 1


async def test_a_newer_schema_is_refused_in_one_sentence_and_left_alone(migrated: Database) -> None:
    async with migrated.connection() as tx:
        await tx.execute("update alembic_version set version_num = '9999'")
    text = await refusal(migrated)
    assert "9999" in text
    assert "newer" in text
    assert await migrations.current(migrated) == "9999"


async def test_a_migration_that_fails_leaves_nothing_behind(empty: Database) -> None:
    async with empty.connection() as tx:
        await tx.execute("create table orders (someone_elses text)")
    text = await refusal(empty)
    assert 'relation "orders" already exists' in text
    assert await tables(empty) == {"orders"}
    assert await migrations.current(empty) is None


async def bring_to(database: Database, revision: str) -> None:
    """Give an empty database the schema as it was at this revision."""
    async with database.connection() as tx:
        for path in sorted((migrations.FOLDER / "sql").glob("*.sql")):
            if path.name[:4] <= revision:
                await tx.execute(path.read_text("utf-8"))
        await tx.execute("create table alembic_version (version_num varchar(32) primary key)")
        await tx.execute("insert into alembic_version values ($1)", revision)


async def test_a_migration_gives_up_soon_when_somebody_else_has_its_lock(empty: Database) -> None:
    before_last, last = migrations.known()[-2:]
    await bring_to(empty, before_last)
    began = time.monotonic()
    async with empty.transaction() as tx:
        # Readers go on; whoever wants to write the version waits.
        await tx.execute("lock table alembic_version in share mode")
        pid = await tx.fetchval("select pg_backend_pid()")
        await tx.fetchval("select count(*) from orders where subscriber = '+233241234567' and price_minor > 12345")
        text = await refusal(empty)
    assert "lock timeout" in text
    assert f"it waited 3 s for process {pid} (telvend as postgres, its transaction open for " in text
    # How its statement begins, and nothing that may be somebody's.
    assert "s: select count(*) from orders where subscriber = …)" in text
    assert time.monotonic() - began < 25  # Three seconds for the lock, the rest for a busy machine.
    assert await migrations.current(empty) == before_last
    await brought(empty)
    assert await migrations.current(empty) == last


async def test_bundles_still_to_be_delivered_last_as_long_as_the_catalogue_says(empty: Database) -> None:
    await bring_to(empty, "0005")
    async with empty.connection() as tx:
        await tx.execute("""
            insert into network (country, code, name) values ('GH', 'MTN', 'MTN');
            insert into product (code, network_id, kind, size, validity_days, currency, price_minor, cost_minor)
            select 'P' || n, network.id, 'data', n || 'GB', 30 * n, 'GHS', 5, 4 from network, generate_series(1, 2) as n;
            insert into orders (id, reference, reseller_id, dialect, mode, fingerprint, wallet_id, country, network,
                product_id, product, size, subscriber, price_minor, cost_minor, currency, state, balance_after_minor,
                due_at, created_at, updated_at, position, kind, face_minor)
            select n, 'R' || n, gen_random_uuid(), 'netpluse', 'live', '', 1, 'GH', 'MTN', p.id, p.code, p.size, '', 5, 4,
                'GHS', state, 0, case when state = 'accepted' then now() end, now(), now(), n, o.kind, 5
            from product p, (values (1, 'P1', 'accepted', 'data'), (2, 'P2', 'review', 'data'),
                (3, 'P1', 'delivered', 'data'), (4, 'P2', 'accepted', 'airtime')) as o(n, code, state, kind)
            where p.code = o.code""")
    await brought(empty)
    async with empty.connection() as tx:
        found = await tx.fetch("select validity_days from orders order by id")
    assert [row[0] for row in found] == [30, 60, None, None]


async def test_what_keys_have_swept_is_their_resellers_in_each_mode(empty: Database) -> None:
    await bring_to(empty, "0007")
    async with empty.transaction() as tx:
        await tx.execute("""
            insert into reseller (id, email, name, phone) select md5(n::text)::uuid, n || '@example.com', 'N', '+2348031234567'
            from generate_series(1, 2) n;
            insert into api_key (id, reseller_id, api, mode, digest, hint, read_limit, purchase_limit)
            select md5('key ' || k.n)::uuid, md5(k.reseller::text)::uuid, 'networkdatasub', k.mode, sha256(k.n::text::bytea), 'x',
                60, 30
            from (values (1, 1, 'live'), (2, 1, 'live'), (3, 1, 'test'), (4, 2, 'live')) k(n, reseller, mode);
            insert into identity_sweep (key_id, reseller_id, first_at, last_at, not_before, strikes, delays, unknown, numbers)
            select k.id, k.reseller_id, '2026-01-01', make_date(2026, 1, s.day), make_date(2026, 1, s.day), s.n, s.n, s.n * 10, 50
            from (values (1, 3), (2, 2), (3, 1)) s(n, day) join api_key k on k.id = md5('key ' || s.n)::uuid""")
    await brought(empty)
    async with empty.connection() as tx:
        found = await tx.fetch(
            "select key_id = md5('key 1')::uuid as last, mode, extract(day from not_before)::int as day, strikes, delays, unknown"
            " from identity_pace order by mode"
        )
        kept = await tx.fetchval("select count(*) from identity_sweep")  # The version before still serves.
    assert [tuple(row) for row in found] == [(True, "live", 3, 2, 3, 20), (False, "test", 1, 3, 3, 30)]
    assert kept == 3


async def test_pictures_from_before_get_addresses_that_nobody_guesses(empty: Database) -> None:
    await bring_to(empty, "0007")
    async with empty.connection() as tx:
        await tx.execute("""
            insert into reseller (id, email, name, phone, avatar, avatar_type)
            select gen_random_uuid(), n || '@example.com', 'N', '+233241234567', case when n > 1 then ''::bytea end, 'image/png'
            from generate_series(1, 3) as n""")
    await brought(empty)
    async with empty.connection() as tx:
        found = [row[0] for row in await tx.fetch("select avatar_token from reseller order by email")]
    assert [token and len(token) for token in found] == [None, 64, 64]
    assert found[1] != found[2]


async def test_a_program_of_before_goes_on_where_every_newer_step_lets_it(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await brought(empty)
    last = migrations.known()[-1]
    names = migrations._names()
    async with empty.connection() as tx:
        taken = dict(await tx.fetch("select revision, oldest_reader from schema_step"))
        # As it is after two steps more, of which this version knows nothing.
        await tx.execute("insert into schema_step (revision, program) values ('0998', '0.8'), ('0999', '0.9')")
        await tx.execute("update alembic_version set version_num = '0999'")
    assert taken[last] is None
    for known in (names, names[:-1]):
        monkeypatch.setattr(migrations, "_names", lambda known=known: known)
        (said,) = await brought(empty)
        assert "0999, newer" in said
        await migrations.require(empty)
    monkeypatch.setattr(migrations, "_names", lambda: names)

    async with empty.connection() as tx:
        # 0998 takes away what programs used before the last revision; this one does not.
        await tx.execute("update schema_step set oldest_reader = $1 where revision = '0998'", last)
    assert len(await brought(empty)) == 1
    async with empty.connection() as tx:
        await tx.execute("update schema_step set oldest_reader = '0998' where revision = '0998'")
    text = await refusal(empty)
    assert "step 0998 needs a program that knows 0998: install Telvend 0.9 again" in text
    with pytest.raises(SchemaRefused):
        await migrations.require(empty)


async def test_a_command_works_with_no_older_schema_and_brings_it_nowhere(empty: Database) -> None:
    before_last, last = migrations.known()[-2:]
    await bring_to(empty, before_last)
    with pytest.raises(SchemaRefused) as refused:
        await migrations.require(empty)
    assert f"at revision {before_last} and this version of Telvend needs {last}: `telvend upgrade`" in str(
        refused.value
    )
    assert await migrations.current(empty) == before_last
    await brought(empty)
    await migrations.require(empty)


async def test_nobody_elses_environment_reaches_a_migration(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    assert len(await brought(empty)) == 1


def test_every_step_says_whom_it_lets_go_on_and_what_it_locks() -> None:
    for name, step in zip(migrations._names(), migrations.steps(), strict=True):
        text = (migrations.FOLDER / "versions" / f"{name}.py").read_text("utf-8")
        assert "\noldest_reader = " in text, name
        assert "\nlocks = " in text, name
        assert step.oldest_reader is None or step.oldest_reader <= step.revision
        assert step.what
        assert step.locks


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("select 1", "select 1"),
        ("  select *\n  from orders ", "select * from orders"),
        ("select * from orders where subscriber = '+233241234567'", "select * from orders where subscriber = …"),
        ("update wallet set pin = $$secret$$, x = 1", "update wallet set pin = …"),
        ("select 233241234567 from t /* secret */", "select … from t …"),
        ("alter role x password E'se\\'cret'", "alter role x password E …"),
        ("x" * 100, "x" * 80 + " …"),
        ("", ""),
    ],
)
def test_of_a_statement_only_what_is_nobodys_is_shown(query: str, text: str) -> None:
    assert shown(query) == text


def test_the_revisions_are_one_line_and_each_has_its_sql() -> None:
    versions = sorted((migrations.FOLDER / "versions").glob("[0-9]*.py"))
    assert {path.stem for path in versions} == {path.stem for path in (migrations.FOLDER / "sql").glob("*.sql")}
    below = None
    for path, revision in zip(versions, migrations.known(), strict=True):
        text = path.read_text("utf-8")
        assert f'revision = "{revision}"' in text
        assert f"down_revision = {below!r}".replace("'", '"') in text
        below = revision
