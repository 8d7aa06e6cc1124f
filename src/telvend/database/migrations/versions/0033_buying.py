"""Named numbers of resellers, and links to receipts. Programs of before do not read them, and sell as ever."""

from telvend.database.migrations.script import run

revision = "0033"
down_revision = "0032"

oldest_reader = None
locks = "nothing: tables of their own"


def upgrade() -> None:
    run("0033_buying")
