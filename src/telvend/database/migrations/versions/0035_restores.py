"""Restores of a book, and up to when it knows what was sold. Programs of before see the halt that each restore writes, and no more."""

from telvend.database.migrations.script import run

revision = "0035"
down_revision = "0034"

oldest_reader = None
locks = "nothing: a table of its own"


def upgrade() -> None:
    run("0035_restores")
