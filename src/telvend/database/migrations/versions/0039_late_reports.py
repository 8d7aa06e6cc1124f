"""Proposals of provisional credits, and late requeries. The version before cannot list such a proposal, and asks nobody late."""

from telvend.database.migrations.script import run

revision = "0039"
down_revision = "0038"

oldest_reader = None
locks = "proposal, against new proposals, and late_report, each for a moment"


def upgrade() -> None:
    run("0039_late_reports")
