"""The simulator's own book of what it delivered."""

from telvend.database.migrations.script import run

revision = "0002"
down_revision = "0001"

oldest_reader = None
locks = "nothing: new tables"


def upgrade() -> None:
    run("0002_simulator")
