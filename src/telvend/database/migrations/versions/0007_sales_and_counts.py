"""What all sales have in common, as one view; and counts of a wallet's transactions, for pages of any filter."""

from telvend.database.migrations.script import run

revision = "0007"
down_revision = "0006"

oldest_reader = None
locks = "wallet_transaction and wallet_failed, while their rows are counted: the more there are, the longer"


def upgrade() -> None:
    run("0007_sales_and_counts")
