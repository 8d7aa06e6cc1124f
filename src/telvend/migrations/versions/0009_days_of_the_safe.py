"""Days of the safe, whose keys a purge destroys; random names of resellers' pictures."""

from telvend.migrations.script import run

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run("0009_days_of_the_safe")
