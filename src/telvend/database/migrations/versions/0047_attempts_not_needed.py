"""A view of the orders whose attempts nothing needs any more. The version before does not read it."""

from telvend.database.migrations.script import run

revision = "0047"
down_revision = "0046"

oldest_reader = None
locks = "nothing: a view"


def upgrade() -> None:
    run("0047_attempts_not_needed")
