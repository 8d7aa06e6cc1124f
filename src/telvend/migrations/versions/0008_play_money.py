"""What pretending gateways put into live wallets, and how it is taken out."""

from telvend.migrations.script import run

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run("0008_play_money")
