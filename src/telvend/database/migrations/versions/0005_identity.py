"""Identity checks, their prices, and the safe in which their records are kept."""

from telvend.database.migrations.script import run

revision = "0005"
down_revision = "0004"

oldest_reader = None
locks = "nothing: new tables"


def upgrade() -> None:
    run("0005_identity")
