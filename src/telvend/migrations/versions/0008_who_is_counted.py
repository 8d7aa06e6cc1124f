"""What a refill was called by its partner, and sweeps of numbers by reseller."""

from telvend.migrations.script import run

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run("0008_who_is_counted")
