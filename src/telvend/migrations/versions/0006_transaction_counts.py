"""How many transactions of each 1,024 positions of a wallet came in and failed, for pages of any filter."""

from telvend.migrations.script import run

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run("0006_transaction_counts")
