"""Pauses of networks, by a person and by themselves."""

from telvend.database.migrations.script import run

revision = "0020"
down_revision = "0019"

# An older program knows no pauses and goes on selling a paused network; `telvend network off` is for both.
oldest_reader = None
locks = "network, against changes of the catalogue, for a moment"


def upgrade() -> None:
    run("0020_network_pauses")
