"""How often an attempt was sent again under its reference, where that is an idempotency key.

The version before calls no provider whose reference is a key, and so neither counts resends nor judges an attempt that has some.
"""

from telvend.database.migrations.script import run

revision = "0024"
down_revision = "0023"

oldest_reader = None
locks = "the table of attempts, for a moment, while it gets a column"


def upgrade() -> None:
    run("0024_resent_attempts")
