"""What is known of providers beside the orders: whether they are switched off, floats, top-ups, reports of processes.

The version before goes on giving orders to a provider that was switched off, and reports nothing of its own breakers.
"""

from telvend.database.migrations.script import run

revision = "0025"
down_revision = "0024"

oldest_reader = None
locks = "nothing: a view and new tables"


def upgrade() -> None:
    run("0025_upstreams")
