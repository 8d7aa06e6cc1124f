"""What the checks of an open shop are given."""

from dataclasses import dataclass

from telvend.config import Settings
from telvend.connected import Connected
from telvend.database.connections import Database


@dataclass(frozen=True, slots=True)
class Examined:
    """An open shop, as far as checks need it."""

    settings: Settings
    database: Database
    connected: Connected
    book_halted: str | None = None
    """Why nothing is sold of a book that has gone back; None where it is whole."""
