"""People who sign in, their sessions and links, and the log of acts. Programs of before know no people: nobody signs in there."""

from telvend.database.migrations.script import run

revision = "0031"
down_revision = "0030"

oldest_reader = None
locks = "reseller, for a moment: tables of their own that refer to it, and a view"


def upgrade() -> None:
    run("0031_people")
