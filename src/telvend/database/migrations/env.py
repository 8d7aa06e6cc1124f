"""Alembic's entry: one connection, one transaction for all, one node at a time."""

import json
import os
from typing import Any

import psycopg
from alembic import context
from psycopg.rows import dict_row
from sqlalchemy import create_engine, pool, text

from telvend import __version__
from telvend.database.connecting import for_libpq
from telvend.database.migrations import APPLICATION_NAME, LOCK_WAIT_S, URL_VARIABLE, step_of
from telvend.database.session import PROMISES, READ, SESSION_WORD, SET, SETTINGS, for_version, require_session

# Any number that nobody else uses: nodes that start together take turns on it.
_TURN = 7_370_531


def record(ctx: object, step: Any, heads: object, run_args: object) -> None:  # noqa: ARG001 - as Alembic calls it
    """Note a step in the database, for programs that do not know it; from the revision on that has a table for it."""
    if connection.execute(text("select to_regclass('schema_step')")).scalar() is None:
        return
    taken = step_of(step.up_revision.module)
    connection.execute(
        text(
            "insert into schema_step (revision, oldest_reader, program) values (:revision, :oldest_reader, :program)"
            " on conflict (revision) do nothing"
        ),
        {"revision": taken.revision, "oldest_reader": taken.oldest_reader, "program": __version__},
    )


def _connect() -> psycopg.Connection:
    """A connection that has set what money needs and read it back, as every other one. Raises DatabaseRefused."""
    connection = psycopg.connect(for_libpq(os.environ[URL_VARIABLE]), application_name=APPLICATION_NAME)
    wanted = for_version({**SETTINGS, "application_name": APPLICATION_NAME}, connection.info.server_version // 10000)
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(SET.replace("$1", "%s"), [json.dumps({**wanted, SESSION_WORD: "migration"})])
        cursor.execute(READ.replace("$1", "%s"), [[*wanted, *PROMISES]])
        require_session(cursor.fetchone(), wanted, "migration")
    connection.commit()
    return connection


engine = create_engine("postgresql+psycopg://", creator=_connect, poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=False, on_version_apply=record)
    with context.begin_transaction():
        connection.execute(text(f"select pg_advisory_xact_lock({_TURN})"))
        connection.execute(text(f"set local lock_timeout = '{LOCK_WAIT_S}s'"))
        context.run_migrations()
engine.dispose()
