"""Transactions as the owner of a wallet counts them, airtime, profiles."""

from telvend.migrations.script import run

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run("0003_transactions")
