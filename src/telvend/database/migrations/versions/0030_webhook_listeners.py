"""Sessions of `webhook listen`. Programs of before write nothing for them: a session sees what programs of this version change."""

from telvend.database.migrations.script import run

revision = "0030"
down_revision = "0029"

oldest_reader = None
locks = "nothing: tables of their own"


def upgrade() -> None:
    run("0030_webhook_listeners")
