"""Alembic's entry: one connection, one transaction for all, one node at a time."""

import os

import psycopg
from alembic import context
from sqlalchemy import create_engine, pool, text

from telvend.migrations import URL_VARIABLE

# Any number that nobody else uses: nodes that start together take turns on it.
_TURN = 7_370_531

engine = create_engine(
    "postgresql+psycopg://", creator=lambda: psycopg.connect(os.environ[URL_VARIABLE]), poolclass=pool.NullPool
)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=False)
    with context.begin_transaction():
        connection.execute(text(f"select pg_advisory_xact_lock({_TURN})"))
        connection.execute(text("set local lock_timeout = '3s'"))
        context.run_migrations()
engine.dispose()
