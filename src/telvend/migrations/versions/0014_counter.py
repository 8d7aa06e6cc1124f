"""What a counter needs: debits, refunds, suspended resellers, and indexes to find orders by."""

from telvend.migrations.script import run

revision = "0014"
down_revision = "0013"

oldest_reader = None
locks = (
    "orders, against new sales, while three indexes are built: a few seconds for each million; then reseller and"
    " wallet_transaction for a moment"
)


def upgrade() -> None:
    run("0014_counter")
