"""Figures of days by wallet."""

from telvend.database.migrations.script import run

revision = "0048"
down_revision = "0047"

oldest_reader = None
locks = "nothing: a table of its own"


def upgrade() -> None:
    run("0048_days_of_wallets")
