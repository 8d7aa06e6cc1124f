"""Views that reports read, summaries of times to find a day by, and months that are closed."""

from telvend.database.migrations.script import run

revision = "0019"
down_revision = "0018"

oldest_reader = None
locks = "transfer and orders, against new sales, while summaries of their times are built: about two seconds for each million"


def upgrade() -> None:
    run("0019_reports")
