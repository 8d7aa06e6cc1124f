"""Fundings, what gateways said about them, and the sandbox's own book."""

from telvend.database.migrations.script import run

revision = "0004"
down_revision = "0003"

oldest_reader = None
locks = "nothing: new tables"


def upgrade() -> None:
    run("0004_funding")
