"""Which steps have brought the schema here."""

from telvend.migrations.script import run

revision = "0011"
down_revision = "0010"

oldest_reader = None
locks = "nothing: a new table"


def upgrade() -> None:
    run("0011_schema_steps")
