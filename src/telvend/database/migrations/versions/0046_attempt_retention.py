"""How far old attempts have been removed. The version before removes none."""

from telvend.database.migrations.script import run

revision = "0046"
down_revision = "0045"

oldest_reader = None
locks = "nothing: a table of its own"


def upgrade() -> None:
    run("0046_attempt_retention")
