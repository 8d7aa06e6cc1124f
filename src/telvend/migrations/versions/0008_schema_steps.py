"""Which steps have brought the schema here."""

from telvend.migrations.script import run

revision = "0008"
down_revision = "0007"

oldest_reader = None
locks = "nothing: a new table"


def upgrade() -> None:
    run("0008_schema_steps")
