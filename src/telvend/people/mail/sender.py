"""Sends what stands in the outbox of e-mails. Every serving process may do it; each e-mail is taken by one of them at a time.

A link is made in the transaction that takes the e-mail in hand, so that its token is nowhere before it is sent. Where the process
dies between sending and writing that down, the e-mail is sent again after the lease, with a newer link that ends the first.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, make_msgid, parseaddr
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from telvend.database.connections import Database, Tx
from telvend.kit.clock import Clock
from telvend.kit.failpoints import hit_async
from telvend.kit.keyfile import KeyRefused
from telvend.kit.log import get
from telvend.kit.secret import Secret, digest
from telvend.people import metrics
from telvend.people import store as people
from telvend.people.keys import PeopleKeys
from telvend.people.mail import store
from telvend.people.mail.model import (
    KEPT_DAYS,
    LEASE_S,
    LINKS,
    RETRIES_S,
    Email,
    EmailKind,
    EmailState,
    Written,
    written,
)
from telvend.people.mail.transport import KeptHere, MailNotSent, Transport
from telvend.people.model import LINK_LASTS, LINK_PATHS, Person, Purpose, Role, new_token

EVERY_S: Final = 1.0
_AT_ONCE: Final = 4
# Long lines are not broken: a link that is would lead nowhere.
_POLICY: Final = SMTP.clone(max_line_length=900)

_DOMAIN: Final = re.compile(r"(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]*", re.ASCII)

_log = get(__name__)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a link of an e-mail needs: to whom it goes now, and what the text says."""

    address: str
    facts: Mapping[str, Any]
    link: Secret | None


class EmailSender:
    """Sends e-mails of one shop by `transport`. `base_url` says where links lead; `sender` stands in From."""

    def __init__(
        self,
        database: Database,
        keys: PeopleKeys,
        clock: Clock,
        transport: Transport,
        *,
        base_url: Callable[[], str],
        sender: str,
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._transport = transport
        self._base_url = base_url
        self._sender = sender

    async def work(self) -> int:
        """Send what is due now. Return how many e-mails were taken in hand. Raises Busy."""
        done = 0
        while True:
            in_hand: list[tuple[Email, _Prepared]] = []
            async with self._database.transaction() as tx:
                claimed = await store.claim(tx, self._clock.now(), timedelta(seconds=LEASE_S), _AT_ONCE)
                # In the order in which they were written, so that of two links to one person the later one is the newer.
                for email in claimed:
                    prepared = await self._prepare(tx, email)
                    if prepared is None:
                        await store.close(tx, email.id, EmailState.DROPPED, self._clock.now())
                    else:
                        in_hand.append((email, prepared))
            if not claimed:
                return done
            # All of them end before the lease does: none is sent by somebody else meanwhile.
            ended = await asyncio.gather(*(self._send(*one) for one in in_hand), return_exceptions=True)
            for error in ended:
                if isinstance(error, BaseException):
                    raise error
            done += len(claimed)

    async def _send(self, email: Email, prepared: _Prepared) -> None:
        link = None if prepared.link is None else prepared.link.reveal()
        text = written(email.kind, prepared.facts, self._base_url(), link)
        message = self._message(prepared.address, text.subject, text.text)
        await hit_async("email.before_send")
        try:
            await self._transport.send(email.id, message)
        except MailNotSent as error:
            await self._note_failure(email, text.subject, error)
            return
        await hit_async("email.before_record")
        if self._transport.keeps:
            try:
                await self._keep(email, text)
            except KeyRefused as error:
                await self._note_failure(email, text.subject, MailNotSent(str(error)))
                return
        else:
            async with self._database.transaction() as tx:
                await store.close(tx, email.id, EmailState.SENT, self._clock.now(), subject=text.subject)
        metrics.EMAILS.count(EmailState.KEPT if self._transport.keeps else EmailState.SENT)

    async def _keep(self, email: Email, text: Written) -> None:
        key = await self._keys.ready()
        sealed = key.seal_email(email.id, text.text)
        async with self._database.transaction() as tx:
            await store.keep(tx, email.id, self._clock.now(), text.subject, key.id, sealed)

    async def _note_failure(self, email: Email, subject: str, error: MailNotSent) -> None:
        now = self._clock.now()
        over = error.permanent or email.tries > len(RETRIES_S)
        async with self._database.transaction() as tx:
            if over:
                await store.close(tx, email.id, EmailState.FAILED, now, subject=subject, failure=str(error))
            else:
                due_at = now + timedelta(seconds=RETRIES_S[email.tries - 1])
                await store.put_off(tx, email.id, due_at, str(error), subject)
        if over:
            metrics.EMAILS.count(EmailState.FAILED)
        write = _log.error if over else _log.warning
        write("email_not_sent", number=email.id, about=email.kind, why=str(error), gives_up=over)

    async def _prepare(self, tx: Tx, email: Email) -> _Prepared | None:
        """To whom the e-mail goes, and its link; None where nobody wants it any more."""
        purpose = LINKS.get(email.kind)
        if purpose is None:
            return _Prepared(email.recipient, email.facts, None)
        found = await people.by_email(tx, email.recipient)
        person = None if found is None or found.suspended else found.person
        match purpose:
            case Purpose.RESET:
                return await self._with_link(tx, purpose, person) if person is not None else None
            case Purpose.VERIFY if email.kind is EmailKind.NEW_ADDRESS:
                owner = await people.by_id(tx, UUID(email.facts["person"]))
                # Somebody else's address by now, or its owner has another one than when it was asked for.
                if person is not None or owner is None or owner.person.email != email.facts["old"]:
                    return None
                link = await self._link(tx, purpose, email.recipient, person_id=owner.person.id)
                return _Prepared(email.recipient, {}, link)
            case Purpose.VERIFY:
                wanted = person is not None and person.id == email.person_id and not person.email_verified
                return await self._with_link(tx, purpose, person) if person is not None and wanted else None
            case Purpose.INVITE:
                reseller_id = UUID(email.facts["reseller"])
                reseller = await people.reseller(tx, reseller_id)
                if reseller is None or (person is not None and person.member_of is not None):
                    return None
                link = await self._link(tx, purpose, reseller.email, reseller_id=reseller_id)
                return _Prepared(reseller.email, {"name": reseller.name}, link)
            case _:
                roles = [Role(name) for name in email.facts["roles"]]
                return _Prepared(email.recipient, {}, await self._link(tx, purpose, email.recipient, roles=roles))

    async def _with_link(self, tx: Tx, purpose: Purpose, person: Person) -> _Prepared:
        link = await self._link(tx, purpose, person.email, person_id=person.id)
        return _Prepared(person.email, {"name": person.name}, link)

    async def _link(self, tx: Tx, purpose: Purpose, address: str, **whose: Any) -> Secret:
        token, now = new_token(), self._clock.now()
        ends_at = now + LINK_LASTS[purpose]
        await people.insert_token(tx, digest(token.reveal()), purpose, address, now, ends_at, **whose)
        return Secret(f"{self._base_url()}{LINK_PATHS[purpose]}/{token.reveal()}")

    def _message(self, to: str, subject: str, text: str) -> EmailMessage:
        name, address = parseaddr(self._sender)
        message = EmailMessage(policy=_POLICY)
        message["From"] = formataddr((name, address))
        message["To"] = to
        message["Subject"] = subject
        message["Date"] = format_datetime(self._clock.now())
        message["Message-ID"] = make_msgid(domain=address.rpartition("@")[2] or "localhost")
        # No holiday notice answers what no person has written. Source: RFC 3834.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        return message


class EmailRetention:
    """Removes e-mails that are older than they are kept, and their files."""

    EVERY_S: Final = 3600.0

    def __init__(self, database: Database, clock: Clock, transport: Transport) -> None:
        self._database = database
        self._clock = clock
        self._transport = transport

    async def look(self) -> int:
        """Remove what is old now. Return how many e-mails that were. Raises Busy."""
        before = self._clock.now() - timedelta(days=KEPT_DAYS)
        removed = 0
        while True:
            async with self._database.transaction() as tx:
                deleted = await store.delete_old(tx, before, 1000)
            removed += deleted
            if deleted < 1000:
                break
        if isinstance(self._transport, KeptHere):
            await asyncio.to_thread(self._transport.remove_older_than, before.timestamp())
        return removed


def sender_of(mail_from: str, base_url: str) -> str:
    """What stands in From: the setting, else an address at the shop's own host."""
    host = urlsplit(base_url).hostname or ""
    return mail_from or f"Telvend <no-reply@{host if _DOMAIN.fullmatch(host) else 'localhost'}>"
