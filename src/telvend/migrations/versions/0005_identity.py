"""Identity checks, their prices, and the safe in which their records are kept."""

from telvend.migrations.script import run

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run("0005_identity")
