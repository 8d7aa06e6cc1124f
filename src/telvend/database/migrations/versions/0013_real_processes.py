"""The serving processes to which something real is connected."""

from telvend.database.migrations.script import run

revision = "0013"
down_revision = "0012"

oldest_reader = None
locks = "nothing: a new table"


def upgrade() -> None:
    run("0013_real_processes")
