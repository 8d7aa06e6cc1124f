"""What a counter needs: debits, refunds, suspended resellers, and an index to find orders by day."""

from telvend.database.migrations.script import run

revision = "0014"
down_revision = "0013"

oldest_reader = None
locks = (
    "orders, against new sales, while a summary of their days is built: about a second for each million; then reseller"
    " and wallet_transaction for a moment"
)


def upgrade() -> None:
    run("0014_counter")
