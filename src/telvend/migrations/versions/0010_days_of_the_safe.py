"""Days of the safe, whose keys a purge destroys; random names of resellers' pictures."""

from telvend.migrations.script import run

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run("0010_days_of_the_safe")
