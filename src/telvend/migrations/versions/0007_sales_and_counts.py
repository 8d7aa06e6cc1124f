"""What all sales have in common, as one view; and counts of a wallet's transactions, for pages of any filter."""

from telvend.migrations.script import run

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run("0007_sales_and_counts")
