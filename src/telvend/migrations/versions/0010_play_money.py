"""What pretending gateways put into live wallets, and how it is taken out."""

from telvend.migrations.script import run

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run("0010_play_money")
