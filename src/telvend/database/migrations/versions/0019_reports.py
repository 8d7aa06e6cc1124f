"""Views that reports read, and months that are closed."""

from telvend.database.migrations.script import run

revision = "0019"
down_revision = "0018"

oldest_reader = None
locks = "nothing: views and new tables"


def upgrade() -> None:
    run("0019_reports")
