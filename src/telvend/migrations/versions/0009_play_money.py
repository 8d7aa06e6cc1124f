"""What pretending gateways put into live wallets, and how it is taken out."""

from telvend.migrations.script import run

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run("0009_play_money")
