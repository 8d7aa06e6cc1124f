"""What providers have posted to us, until the question that it brings forward is put.

The version before has no address for it.
"""

from telvend.database.migrations.script import run

revision = "0029"
down_revision = "0028"

oldest_reader = None
locks = "nothing: a view and a new table"


def upgrade() -> None:
    run("0029_provider_callbacks")
