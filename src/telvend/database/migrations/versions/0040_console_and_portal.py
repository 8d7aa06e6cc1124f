"""Lines of reconciliations, jobs of the console, claims, prices on receipts. The version before writes none."""

from telvend.database.migrations.script import run

revision = "0040"
down_revision = "0039"

oldest_reader = None
locks = "reconciliation and reseller, against changes, for a moment"


def upgrade() -> None:
    run("0040_console_and_portal")
