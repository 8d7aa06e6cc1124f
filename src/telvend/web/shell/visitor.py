"""Who looks at a page, as the pages need it, and what finds that out."""

from collections.abc import Set as AbstractSet
from typing import Protocol
from uuid import UUID

from telvend.kit.mode import Mode


class Person(Protocol):
    """Somebody who signs in. `zone` is the IANA name in which times are shown."""

    @property
    def id(self) -> UUID: ...
    @property
    def email(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def phone(self) -> str: ...
    @property
    def zone(self) -> str: ...


class Visitor(Protocol):
    """A person in a session. `mode` is how the portal's switch stands; `csrf` is a secret of the session."""

    @property
    def person(self) -> Person: ...
    @property
    def reseller_id(self) -> UUID: ...
    @property
    def mode(self) -> Mode: ...
    @property
    def csrf(self) -> str: ...
    @property
    def roles(self) -> AbstractSet[str]: ...


class Visitors(Protocol):
    """What finds the visitor of a session."""

    async def visitor(self, token: str) -> Visitor | None:
        """Return who is in the session with this token; None where it has ended, or never was. Raises Busy."""
