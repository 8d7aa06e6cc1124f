"""The shop: resellers, keys, ledger, catalogue, orders."""

from telvend.database.migrations.script import run

revision = "0001"
down_revision = None

oldest_reader = None
locks = "nothing: new tables"


def upgrade() -> None:
    run("0001_shop")
