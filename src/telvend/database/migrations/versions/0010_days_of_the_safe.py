"""Days of the safe, whose keys a purge destroys; random names of resellers' pictures."""

from telvend.database.migrations.script import run

revision = "0010"
down_revision = "0009"

oldest_reader = None
locks = "identity_master, identity_sealed and reseller, while resellers with a picture get its name: an instant"


def upgrade() -> None:
    run("0010_days_of_the_safe")
