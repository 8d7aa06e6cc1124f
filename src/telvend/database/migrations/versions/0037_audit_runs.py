"""Audits that were run, and their results. Programs of before write none: their audits are not counted."""

from telvend.database.migrations.script import run

revision = "0037"
down_revision = "0036"

oldest_reader = None
locks = "nothing: a new table"


def upgrade() -> None:
    run("0037_audit_runs")
