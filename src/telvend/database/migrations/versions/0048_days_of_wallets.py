"""Figures of days by wallet, which are counted anew. The version before counts days without them, which the next one notices.

While both run, each may undo what the other has counted; reports of the new version read the ledger in that time.
"""

from telvend.database.migrations.script import run

revision = "0048"
down_revision = "0047"

oldest_reader = None
locks = "report_progress, for a moment"


def upgrade() -> None:
    run("0048_days_of_wallets")
