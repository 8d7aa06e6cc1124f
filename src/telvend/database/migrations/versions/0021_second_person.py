"""Large amounts that wait for a second person; who gave a credit. Programs of before ask nobody."""

from telvend.database.migrations.script import run

revision = "0021"
down_revision = "0020"

oldest_reader = None
locks = "wallet_credit, for a moment: new tables, and a column that is empty for what is there"


def upgrade() -> None:
    run("0021_second_person")
