"""What pretending gateways put into live wallets, and how it is taken out."""

from telvend.database.migrations.script import run

revision = "0011"
down_revision = "0010"

oldest_reader = None
locks = "funding, while an index is built: the more there are, the longer; then wallet_transaction, until the last step"


def upgrade() -> None:
    run("0011_play_money")
