"""Visitors for tests that need no database."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from telvend.kit.mode import Mode
from telvend.people.model import Person, Session, Surface, Visitor


def visitor(reseller_id: UUID | None, *, mode: Mode = Mode.LIVE) -> Visitor:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    person = Person(
        uuid4(), "ama@example.com", "Ama", "+233241234567", "Africa/Accra", True, False, False, reseller_id, at
    )
    return Visitor(person, Session(1, Surface.PORTAL, "", "", at, at, at), mode, "secret of the session")
