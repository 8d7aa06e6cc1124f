"""What an audit needs that takes up from a checkpoint: the checkpoint, and a note of each row that is removed."""

from telvend.database.migrations.script import run

revision = "0018"
down_revision = "0017"

oldest_reader = None
locks = "the tables of sales and of subscribers against writing, for a moment, while each gets a trigger on DELETE"


def upgrade() -> None:
    run("0018_audit_checkpoint")
