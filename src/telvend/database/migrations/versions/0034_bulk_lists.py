"""Lists of purchases that are bought in the background. Programs of before leave them; what they bought are orders like any other."""

from telvend.database.migrations.script import run

revision = "0034"
down_revision = "0033"

oldest_reader = None
locks = "nothing: tables of their own"


def upgrade() -> None:
    run("0034_bulk_lists")
