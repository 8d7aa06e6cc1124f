"""The outbox of e-mails. Programs of before write and send none; what waits is sent by programs of this version."""

from telvend.database.migrations.script import run

revision = "0032"
down_revision = "0031"

oldest_reader = None
locks = "nothing: a table of its own"


def upgrade() -> None:
    run("0032_emails")
