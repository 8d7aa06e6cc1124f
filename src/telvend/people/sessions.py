"""Sessions: rows that are looked up on every page, so that one that is ended opens nothing any more, on any node."""

import base64
import hashlib
from datetime import timedelta
from typing import Final

from telvend.database.connections import Database, Tx
from telvend.errors import NotFound
from telvend.kit.addresses import network_of
from telvend.kit.clock import Clock
from telvend.kit.mode import Mode
from telvend.kit.secret import digest
from telvend.people import store
from telvend.people.mail.model import EmailKind
from telvend.people.mail.outbox import MailOutbox
from telvend.people.model import (
    IDLE,
    LASTS,
    FromWhere,
    Person,
    Session,
    SessionToken,
    Surface,
    Visitor,
    new_token,
)

SEEN_EVERY: Final = timedelta(minutes=1)
"""`seen_at` is written at most so often."""
_LONGEST_TOKEN: Final = 100


class Sessions:
    """The sessions of one shop."""

    def __init__(self, database: Database, outbox: MailOutbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    async def begin(
        self, tx: Tx, person: Person, surface: Surface, from_where: FromWhere, *, tells: bool = True
    ) -> SessionToken:
        """Begin a session. Its owner is told by e-mail where the browser is a new one; `tells`: not where an e-mail said so already."""
        now = self._clock.now()
        network = network_of(from_where.address)
        known = (await store.known_from(tx, [person.id], from_where.device, network))[person.id]
        await store.remember_device(tx, person.id, from_where.device, network, now)
        if tells and known.before and not known.agent:
            facts = {"agent": from_where.agent or "an unnamed browser", "address": from_where.address}
            await self._outbox.write(tx, EmailKind.NEW_DEVICE, person, facts)
        token = new_token()
        ends_at = now + LASTS[surface]
        await store.insert_session(
            tx, digest(token.reveal()), person.id, surface, from_where.agent, from_where.address, now, ends_at
        )
        return SessionToken(token, int(LASTS[surface].total_seconds()), surface)

    async def visitor(self, token: str, surface: Surface = Surface.PORTAL) -> Visitor | None:
        """Who has this session; None where it is none of this half of the pages, has ended, or its owner is suspended. Raises Busy."""
        if not 0 < len(token) <= _LONGEST_TOKEN:
            return None
        now = self._clock.now()
        async with self._database.connection() as tx:
            found = await store.visitor(tx, digest(token), surface, now, now - IDLE[surface])
            if found is not None and found.session.seen_at <= now - SEEN_EVERY:
                await store.see_session(tx, found.session.id, now, now - SEEN_EVERY)
        if found is None:
            return None
        roles = found.roles if surface is Surface.CONSOLE else frozenset()
        return Visitor(found.person, found.session, found.mode, _csrf_of(token), roles)

    async def sign_out(self, token: str) -> None:
        """End a session, whichever half it is of. Raises Busy."""
        async with self._database.transaction() as tx:
            await store.delete_session(tx, digest(token))

    async def listed(self, visitor: Visitor) -> list[Session]:
        """Return the open sessions of a visitor, those that were seen last first. Raises Busy."""
        now = self._clock.now()
        async with self._database.connection() as tx:
            return await store.sessions_of(tx, visitor.person.id, now, [(half, now - IDLE[half]) for half in Surface])

    async def revoke(self, visitor: Visitor, session_id: int) -> None:
        """End one of the visitor's own sessions. Raises NotFound, Busy."""
        async with self._database.transaction() as tx:
            if not await store.delete_session_of(tx, visitor.person.id, session_id):
                raise NotFound("Session")

    async def revoke_others(self, visitor: Visitor) -> int:
        """End all sessions of a visitor but this one. Return how many there were. Raises Busy."""
        async with self._database.transaction() as tx:
            return await store.delete_sessions(tx, visitor.person.id, but=visitor.session.id)

    async def set_mode(self, visitor: Visitor, mode: Mode) -> None:
        """Turn the switch between live and test of this session. Raises Busy."""
        async with self._database.transaction() as tx:
            await store.set_mode(tx, visitor.session.id, mode)


def _csrf_of(token: str) -> str:
    """What every form of a session holds. It follows from the token, and the token does not follow from it."""
    made = hashlib.sha256(f"telvend csrf {token}".encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(made).decode().rstrip("=")
