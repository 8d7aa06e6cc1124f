"""Writes e-mails in the transaction of what causes them, and shows what stands in the outbox.

    await outbox.write(tx, EmailKind.PASSWORD_CHANGED, person, {"address": "197.210.1.2"})

No e-mail holds a secret before it is sent: its link is made then (sender.py).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from telvend.database.connections import Database, Tx
from telvend.errors import InvalidInput, NotFound
from telvend.kit.clock import Clock
from telvend.people import store as people
from telvend.people.keys import PeopleKeys
from telvend.people.mail import store
from telvend.people.mail.model import Email, EmailKind, EmailState
from telvend.people.model import Person, zone_named
from telvend.resellers.model import is_email


class MailOutbox:
    """The e-mails of one shop. `on_written` is called when one was written; it may be sent once its transaction has committed."""

    def __init__(self, database: Database, keys: PeopleKeys, clock: Clock) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self.on_written: Callable[[], None] | None = None

    async def write(
        self, tx: Tx, kind: EmailKind, person: Person, facts: Mapping[str, Any], *, about: str | None = None
    ) -> None:
        """Write an e-mail to a person. `about`: what it is told once of."""
        now = self._clock.now()
        zone = zone_named(person.zone)
        shown = {
            "name": person.name,
            "at": f"{now.astimezone(zone):%Y-%m-%d %H:%M}",
            "zone": zone.key,
            **facts,
        }
        await store.insert_email(tx, kind, person.email, person.id, shown, now, about)
        self._written()

    async def write_to(
        self, tx: Tx, kind: EmailKind, address: str, facts: Mapping[str, Any], *, about: str | None = None
    ) -> int | None:
        """Write an e-mail to an address that may be nobody's; return its number."""
        number = await store.insert_email(tx, kind, address, None, facts, self._clock.now(), about)
        self._written()
        return number

    async def write_to_members(
        self, tx: Tx, kind: EmailKind, reseller_id: UUID, facts: Mapping[str, Any], *, about: str | None = None
    ) -> None:
        """Write an e-mail to everybody of a reseller whose address is proven; to its own where nobody signs in for it yet."""
        found = await people.members(tx, [reseller_id])
        for place, person in enumerate(found):
            if person.suspended_at is None and person.email_verified:
                await self.write(tx, kind, person, facts, about=f"{about} {place}" if about and place else about)
        if not found and (reseller := await people.reseller(tx, reseller_id)) is not None:
            await self.write_to(tx, kind, reseller.email, {"name": reseller.name, **facts}, about=about)

    async def send_test(self, address: str) -> Email:
        """Write a test to this address, and return it. Raises InvalidInput, Busy."""
        address = address.strip()
        if not is_email(address):
            raise InvalidInput("email", "must be an e-mail address")
        async with self._database.transaction() as tx:
            number = await self.write_to(tx, EmailKind.TEST, address, {})
        return await self.find(number or 0)

    async def listed(
        self, *, states: Sequence[EmailState] = tuple(EmailState), before: int | None = None, limit: int = 50
    ) -> list[Email]:
        """Return e-mails in these states, newest first, from below number `before`. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.listed(tx, states, before, limit)

    async def find(self, email_id: int) -> Email:
        """Return the e-mail with this number. Raises NotFound, Busy."""
        async with self._database.connection() as tx:
            found = await store.find(tx, email_id)
        if found is None:
            raise NotFound("E-mail")
        return found

    async def text(self, email_id: int) -> str | None:
        """Return the text of an e-mail that is kept here, link and all; None where it is not. Raises KeyRefused, Busy."""
        async with self._database.connection() as tx:
            found = await store.sealed_text(tx, email_id)
        return None if found is None else self._keys.named(found[0]).open_email(email_id, found[1])

    async def try_again(self, email_id: int) -> Email:
        """Send an e-mail now that was not sent: it has failed, waits, or is kept. Raises NotFound, InvalidInput, Busy."""
        email = await self.find(email_id)
        async with self._database.transaction() as tx:
            if not await store.try_again(tx, email_id, self._clock.now()):
                raise InvalidInput("", f"This e-mail is {email.state} and is not sent again.")
        self._written()
        return await self.find(email_id)

    async def counts(self) -> dict[EmailState, int]:
        """Return how many e-mails wait, and how many have failed. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.counts(tx)

    def _written(self) -> None:
        if self.on_written is not None:
            self.on_written()
