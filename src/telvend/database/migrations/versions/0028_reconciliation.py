"""Attempts by their time, and what reconciliations with providers have found.

The version before reconciles nothing.
"""

from telvend.database.migrations.script import run

revision = "0028"
down_revision = "0027"

oldest_reader = None
locks = "attempt, against new deliveries, while a summary of their times is built: about a second for each million"


def upgrade() -> None:
    run("0028_reconciliation")
