"""Lists of purchases that are bought in the background. Programs of before leave them; what they bought are orders like any other."""

from telvend.database.migrations.script import run

revision = "0035"
down_revision = "0034"

oldest_reader = None
locks = "nothing: tables of their own"


def upgrade() -> None:
    run("0035_bulk_lists")
