"""How many transactions of each 1,024 positions of a wallet came in and failed, for pages of any filter."""

from telvend.migrations.script import run

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run("0007_transaction_counts")
