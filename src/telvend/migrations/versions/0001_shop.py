"""The shop: resellers, keys, ledger, catalogue, orders."""

from telvend.migrations.script import run

revision = "0001"
down_revision = None


def upgrade() -> None:
    run("0001_shop")
