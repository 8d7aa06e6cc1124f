"""Which steps have brought the schema here."""

from telvend.database.migrations.script import run

revision = "0012"
down_revision = "0011"

oldest_reader = None
locks = "nothing: a new table"


def upgrade() -> None:
    run("0012_schema_steps")
