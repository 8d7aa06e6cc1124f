"""A database that goes back: to what it held when a test said so, with its connections alive or ended."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.conftest import Server

_TABLES = """
    select format('%I.%I', schemaname, tablename) as name, format('past.%I', schemaname || '_' || tablename) as kept,
        (select string_agg(quote_ident(attname), ', ') from pg_attribute
            where attrelid = format('%I.%I', schemaname, tablename)::regclass and attnum > 0 and not attisdropped
                and attgenerated = '') as columns
    from pg_tables where schemaname in ('public', 'simulator', 'sandbox') and tablename <> 'alembic_version'
"""

_REMEMBER = f"""
do $$
declare
    found record;
begin
    drop schema if exists past cascade;
    create schema past;
    for found in {_TABLES} loop
        execute format('create table %s as table %s', found.kept, found.name);
    end loop;
    create table past.sequences as select schemaname, sequencename, last_value from pg_sequences where schemaname = 'public';
end $$
"""

# What a restore does to a database whose connections it leaves alone: everything at once, triggers or no triggers.
_GO_BACK = f"""
do $$
declare
    found record;
begin
    set local session_replication_role = replica;
    for found in {_TABLES} loop
        execute 'delete from ' || found.name;
        execute format('insert into %s (%s) overriding system value select %s from %s', found.name, found.columns,
            found.columns, found.kept);
    end loop;
    perform setval(format('%I.%I', schemaname, sequencename)::regclass, coalesce(last_value, 1), last_value is not null)
        from past.sequences;
end $$
"""


class Past:
    """A moment of a database."""

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._name = name

    async def remember(self) -> None:
        """Keep what the database holds now."""
        await self._server.command(_REMEMBER, self._name)

    async def go_back(self, *, cut: bool = False) -> None:
        """Put it back. `cut`: end every connection as well, as a fail-over does."""
        await self._server.command(_GO_BACK, self._name)
        if cut:
            await self._server.command(
                f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{self._name}'"
            )


@asynccontextmanager
async def past_of(server: Server, url: str) -> AsyncIterator[Past]:
    """The past of the database at `url`, remembered now."""
    name = urlsplit(url).path.removeprefix("/")
    past = Past(server, name)
    await past.remember()
    yield past
    await server.command("drop schema past cascade", name)
