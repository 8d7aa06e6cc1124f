"""What a refill was called by its partner, and sweeps of numbers by reseller."""

from telvend.database.migrations.script import run

revision = "0008"
down_revision = "0007"

oldest_reader = None
locks = "verification, while an index is built: the more checks there are, the longer; then refill, until the last step"


def upgrade() -> None:
    run("0008_who_is_counted")
