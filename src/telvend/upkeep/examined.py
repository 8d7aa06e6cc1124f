"""What the checks of an open shop are given."""

from dataclasses import dataclass
from datetime import datetime

from telvend.config import Settings
from telvend.connected import Connected
from telvend.database.connections import Database


@dataclass(frozen=True, slots=True)
class LastAudit:
    """The audit that ended last: when, and how many violations it has found."""

    ended_at: datetime
    findings: int


@dataclass(frozen=True, slots=True)
class Examined:
    """An open shop, as far as checks need it."""

    settings: Settings
    database: Database
    connected: Connected
    book_halted: str | None = None
    """Why nothing is sold of a book that has gone back; None where it is whole."""
    last_audit: LastAudit | None = None
    """None where none was run."""
