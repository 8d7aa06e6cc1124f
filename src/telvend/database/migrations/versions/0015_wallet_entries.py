"""What a line of a wallet's list shows, and which lines are open, as views for the room that keeps the list."""

from telvend.database.migrations.script import run

revision = "0015"
down_revision = "0014"

oldest_reader = None
locks = "nothing: views are added"


def upgrade() -> None:
    run("0015_wallet_entries")
