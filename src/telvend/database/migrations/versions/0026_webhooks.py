"""Webhooks to resellers, and the balances below which they are told. Programs of before tell nobody of what they change."""

from telvend.database.migrations.script import run

revision = "0026"
down_revision = "0025"

oldest_reader = None
locks = "nothing: tables of their own, and a view"


def upgrade() -> None:
    run("0026_webhooks")
