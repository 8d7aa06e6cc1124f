"""What reconciliations with providers have found, and attempts as they are compared.

The version before reconciles nothing.
"""

from telvend.database.migrations.script import run

revision = "0028"
down_revision = "0027"

oldest_reader = None
locks = "none: a new view and a new table"


def upgrade() -> None:
    run("0028_reconciliation")
