"""What a node found missing in the book, and who let sales go on."""

from telvend.database.migrations.script import run

revision = "0009"
down_revision = "0008"

oldest_reader = None
locks = "nothing: new tables"


def upgrade() -> None:
    run("0009_book")
