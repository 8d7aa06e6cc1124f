"""What is done by a link that was given to somebody: confirm an address, choose a new password, accept an invitation, become an owner.

A link works once and for a time; a newer one of the same kind for the same address ends it. Looking at its page uses nothing.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from telvend.database.connections import Database, Tx
from telvend.errors import AlreadyExists, InvalidInput, NotFound
from telvend.kit.addresses import network_of
from telvend.kit.clock import Clock
from telvend.kit.ids import new_uuid
from telvend.kit.phone import NotAMobileNumber, parse_mobile_of_any_market
from telvend.kit.secret import Secret, digest
from telvend.kit.text import LONGEST_NAME, require_text
from telvend.people import store
from telvend.people.acts import ActLog
from telvend.people.attempts import (
    PASSWORD_OF_SESSION,
    RESET_OF_ACCOUNT,
    RESET_OF_ADDRESS,
    VERIFICATION_OF_ACCOUNT,
    Attempts,
)
from telvend.people.mail.model import EmailKind
from telvend.people.mail.outbox import MailOutbox
from telvend.people.model import (
    LINK_LASTS,
    LINK_PATHS,
    Act,
    EmailTaken,
    FromWhere,
    Link,
    LinkEnded,
    Person,
    Purpose,
    Role,
    SessionToken,
    SignUp,
    SignUpRefused,
    Surface,
    Visitor,
    new_token,
    require_password,
    zone_of,
)
from telvend.people.passwords import Passwords
from telvend.people.sessions import Sessions
from telvend.people.store import FoundToken
from telvend.resellers.model import is_email
from telvend.resellers.service import Resellers


class Links:
    """The links of one shop. Paths are of this server; whoever prints one puts its address in front."""

    def __init__(
        self,
        database: Database,
        resellers: Resellers,
        passwords: Passwords,
        attempts: Attempts,
        sessions: Sessions,
        outbox: MailOutbox,
        acts: ActLog,
        clock: Clock,
        sign_up: SignUp,
        zone: str,
        require_password: Callable[[Visitor, Secret], Awaitable[None]],
    ) -> None:
        self._database = database
        self._resellers = resellers
        self._passwords = passwords
        self._attempts = attempts
        self._sessions = sessions
        self._outbox = outbox
        self._acts = acts
        self._clock = clock
        self._sign_up = sign_up
        self._zone = zone
        self._require_password = require_password

    async def link(self, purpose: Purpose, token: str) -> Link:
        """Return what a link is for; using nothing. Raises LinkEnded, NotFound for one that never was, Busy."""
        async with self._database.connection() as tx:
            found = await self._open(tx, purpose, token)
            link = store.link_of(found, await store.link_name(tx, found))
            invited = await self._reseller_of(tx, found) if purpose is Purpose.INVITE else None
            return link if invited is None else replace(link, email=invited.email)

    # A lost password --------------------------------------------------------------------------------------------------

    async def ask_reset(self, email: str, from_where: FromWhere) -> None:
        """Send a link for a new password to this address, if somebody has it.

        An unknown address costs the same and ends in the same way: what is written is looked at when it is sent. Raises
        InvalidInput for what is no address, TooManyAttempts, Busy.
        """
        email = email.strip()
        if not is_email(email):
            raise InvalidInput("email", "must be an e-mail address")
        async with self._database.transaction() as tx:
            await self._attempts.take(tx, RESET_OF_ADDRESS, network_of(from_where.address))
            await self._attempts.take(tx, RESET_OF_ACCOUNT, email.lower())
            await self._outbox.write_to(tx, EmailKind.RESET, email, {})

    async def reset_link(self, email: str, by: Visitor | str, *, ends_second_factor: bool = False) -> str:
        """Return the path of a link for a new password, for the operator to pass on. Raises NotFound, Busy.

        `ends_second_factor`: for somebody who has lost the device and the recovery codes too.
        """
        async with self._database.transaction() as tx:
            found = await store.by_email(tx, email.strip()) if is_email(email.strip()) else None
            if found is None:
                raise NotFound(
                    "Person", f"Nobody signs in as {email.strip()}; `telvend user invite` makes a first link."
                )
            if ends_second_factor:
                await store.remove_factor(tx, found.person.id)
                await self._outbox.write(tx, EmailKind.SECOND_FACTOR, found.person, {"now": "off"})
            after = {"second_factor": False} if ends_second_factor else None
            act = Act("person.reset_link", "person", found.person.email, after=after)
            await self._acts.record_by(tx, act, by)
            return await self._give(tx, Purpose.RESET, found.person.email, person=found.person)

    async def reset(self, token: str, password: Secret, from_where: FromWhere) -> None:
        """Choose a new password by a link; all sessions end. Raises LinkEnded, NotFound, InvalidInput, Busy."""
        text = require_password(password)
        async with self._database.connection() as tx:
            await self._open(tx, Purpose.RESET, token)
        hashed = await self._passwords.hash(text)
        now = self._clock.now()
        async with self._database.transaction() as tx:
            found = await self._use(tx, Purpose.RESET, token)
            current = None if found.person_id is None else await store.by_id(tx, found.person_id, lock=True)
            if current is None:
                raise LinkEnded
            person = current.person
            await self.change_password(tx, person, hashed, from_where)
            # Whoever guesses from elsewhere must not keep its owner out.
            await store.remember_device(tx, person.id, from_where.device, network_of(from_where.address), now)
            act = Act("password.reset", "person", person.email)
            await self._acts.record_of(tx, act, person, Surface.PORTAL, from_where)

    async def change_password(
        self, tx: Tx, person: Person, hashed: str, from_where: FromWhere, *, but: int | None = None
    ) -> None:
        """Write a new password: sessions end, all but one, and so do links that were given before; its owner is told."""
        now = self._clock.now()
        await store.write_password(tx, person.id, hashed, now)
        await store.delete_sessions(tx, person.id, but=but)
        await store.end_tokens(tx, person.id, (Purpose.RESET, Purpose.SECOND_STEP), now)
        await self._outbox.write(tx, EmailKind.PASSWORD_CHANGED, person, {"address": from_where.address})

    # The address ------------------------------------------------------------------------------------------------------

    async def ask_verification(self, visitor: Visitor) -> None:
        """Send another link that proves the visitor's e-mail address. Raises TooManyAttempts, Busy."""
        async with self._database.transaction() as tx:
            await self._attempts.take(tx, VERIFICATION_OF_ACCOUNT, str(visitor.person.id))
            await self._outbox.write(tx, EmailKind.VERIFY, visitor.person, {})

    async def ask_new_email(self, visitor: Visitor, password: Secret, email: str) -> None:
        """Send a link to another address of the visitor's, which takes the place of the present one when it is used.

        Raises InvalidInput, TooManyAttempts, Busy.
        """
        email = email.strip()
        if not is_email(email):
            raise InvalidInput("email", "must be an e-mail address")
        await self._require_password(visitor, password)
        async with self._database.transaction() as tx:
            await self._attempts.take(tx, VERIFICATION_OF_ACCOUNT, str(visitor.person.id))
            facts = {"person": str(visitor.person.id), "old": visitor.person.email}
            await self._outbox.write_to(tx, EmailKind.NEW_ADDRESS, email, facts)

    async def confirm_email(self, token: str) -> Link:
        """Note that the address is its owner's, and where it is a new one put it in the place of the old one, which is told.

        Raises LinkEnded, NotFound, EmailTaken, Busy.
        """
        now = self._clock.now()
        async with self._database.transaction() as tx:
            found = await self._use(tx, Purpose.VERIFY, token)
            current = None if found.person_id is None else await store.by_id(tx, found.person_id, lock=True)
            if current is None:
                raise LinkEnded
            person, reseller_id = current.person, current.person.member_of
            if not await store.verify_email(tx, person.id, found.email, now):
                if not await store.change_email(tx, person.id, found.email, now):
                    raise EmailTaken
                if reseller_id is not None:
                    await self._resellers.change_email(tx, reseller_id, person.email, found.email)
                await store.end_tokens(tx, person.id, (Purpose.RESET, Purpose.VERIFY), now)
                # To the old address: whoever lost it has to learn where it went.
                await self._outbox.write(tx, EmailKind.ADDRESS_CHANGED, person, {})
                act = Act("email.changed", "person", found.email, before={"email": person.email})
                where = FromWhere("link")
                await self._acts.record_of(tx, act, person, Surface.PORTAL, where)
            if reseller_id is not None:
                await self._resellers.prove_email(tx, reseller_id, found.email)
            return store.link_of(found, await store.link_name(tx, found))

    # Invitations ------------------------------------------------------------------------------------------------------

    async def invite(self, email: str, *, by: Visitor | str) -> str:
        """Return the path of a link by which a reseller that was made by command gets its person.

        Raises NotFound, AlreadyExists where somebody signs in for it, SignUpRefused where `signup` is closed, Busy.
        """
        reseller = await self._invited(email)
        async with self._database.transaction() as tx:
            await self._acts.record_by(tx, Act("reseller.invited", "reseller", reseller.email), by)
            return await self._give(tx, Purpose.INVITE, reseller.email, reseller=reseller)

    async def send_invitation(self, email: str, *, by: Visitor | str) -> str:
        """Send that link by e-mail instead; return the address. Raises as `invite`."""
        reseller = await self._invited(email)
        async with self._database.transaction() as tx:
            await self._acts.record_by(tx, Act("reseller.invited", "reseller", reseller.email), by)
            await self._outbox.write_to(tx, EmailKind.INVITE, reseller.email, {"reseller": str(reseller.id)})
        return reseller.email

    async def accept_invitation(
        self, token: str, password: Secret, from_where: FromWhere, *, name: str | None = None, phone: str | None = None
    ) -> SessionToken:
        """Make the person of an invited reseller, and begin its session. The address counts as proven: the shop has chosen it.

        Where somebody has this address already, for the console, `password` is to be theirs, and the account is the same.
        Raises LinkEnded, NotFound, InvalidInput, SignUpRefused, Busy.
        """
        if self._sign_up is SignUp.CLOSED:
            raise SignUpRefused("Nobody can get an account here at the moment.")
        text = require_password(password)
        chosen_name = None if name is None else _name(name)
        number = None if phone is None else _phone(phone)
        async with self._database.connection() as tx:
            invited = await self._reseller_of(tx, await self._open(tx, Purpose.INVITE, token))
            # As it is now: the operator may have corrected the address since.
            known = await store.by_email(tx, invited.email)
        if known is not None:
            if known.person.member_of == invited.id:
                raise LinkEnded  # Somebody else has just used it.
            if known.person.member_of is not None:
                raise EmailTaken
            await self._require_theirs(known, text)
        hashed = None if known is not None else await self._passwords.hash(text)
        now = self._clock.now()
        async with self._database.transaction() as tx:
            reseller = await self._reseller_of(tx, await self._use(tx, Purpose.INVITE, token))
            if reseller.email != invited.email:
                raise LinkEnded
            number = number or reseller.phone
            if known is not None:
                await store.join_reseller(tx, known.person.id, reseller.id, number)
                await store.verify_email(tx, known.person.id, reseller.email, now)
            elif not await store.insert_person(
                tx,
                new_uuid(),
                reseller.email,
                chosen_name or reseller.name,
                number,
                zone_of(number, self._zone),
                reseller.id,
                hashed or "",
                True,
                now,
            ):
                raise EmailTaken
            await self._resellers.prove_email(tx, reseller.id, reseller.email)
            current = await store.by_email(tx, reseller.email)
            if current is None:
                raise LinkEnded
            act = Act("invitation.accepted", "reseller", reseller.email)
            await self._acts.record_of(tx, act, current.person, Surface.PORTAL, from_where)
            return await self._sessions.begin(tx, current.person, Surface.PORTAL, from_where, tells=False)

    # The console ------------------------------------------------------------------------------------------------------

    async def console_link(self, *, by: Visitor | str) -> str:
        """Return the path of a link that makes an owner, or resets one: once, within an hour. It ends the one before. Raises Busy."""
        async with self._database.transaction() as tx:
            await self._acts.record_by(tx, Act("console.link", "console", ""), by)
            return await self._give(tx, Purpose.CONSOLE, "")

    async def open_console(self, token: str, email: str, password: Secret, from_where: FromWhere) -> SessionToken:
        """Make the owner with this address and password, and begin a session of the console.

        Somebody who has the address becomes an owner with this password; sessions end, and so does a second factor: whoever has
        the link works on the server. Raises LinkEnded, NotFound, InvalidInput, Busy.
        """
        email = email.strip()
        if not is_email(email):
            raise InvalidInput("email", "must be an e-mail address")
        return await self._open_console(
            Purpose.CONSOLE, token, email, require_password(password), from_where, [Role.OWNER]
        )

    async def staff_link(self, tx: Tx, email: str, roles: Iterable[Role]) -> str:
        """Return the path of a link by which somebody gets these roles. Raises Busy."""
        return await self._give(tx, Purpose.STAFF, email, roles=roles)

    async def accept_staff(self, token: str, password: Secret, from_where: FromWhere) -> SessionToken:
        """Give somebody the roles of a link, and begin a session of the console.

        Where somebody has this address already `password` is to be theirs. Raises LinkEnded, NotFound, InvalidInput, Busy.
        """
        text = require_password(password)
        async with self._database.connection() as tx:
            found = await self._open(tx, Purpose.STAFF, token)
            known = await store.by_email(tx, found.email)
        if known is not None:
            await self._require_theirs(known, text)
        return await self._open_console(
            Purpose.STAFF, token, found.email, text, from_where, found.roles, known=known is not None
        )

    async def _open_console(
        self,
        purpose: Purpose,
        token: str,
        email: str,
        text: str,
        from_where: FromWhere,
        roles: Iterable[Role],
        *,
        known: bool | None = None,
    ) -> SessionToken:
        """`known`: whether somebody has the address, and has shown its password; None where that does not matter."""
        resets = known is None
        async with self._database.connection() as tx:
            await self._open(tx, purpose, token)
        hashed = await self._passwords.hash(text)
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await store.hold_owners(tx)
            await self._use(tx, purpose, token)
            made = await store.insert_person(
                tx, new_uuid(), email, email.partition("@")[0], "", self._zone, None, hashed, not resets, now
            )
            current = await store.by_email(tx, email)
            if current is None:
                raise LinkEnded
            person = current.person
            if known is False and not made:
                raise EmailTaken
            if resets and not made:
                await store.resume(tx, person.id)
                await store.remove_factor(tx, person.id)
                await self.change_password(tx, person, hashed, from_where)
            await store.write_roles(tx, person.id, {*current.roles, *roles}, now)
            after = {"roles": sorted({*current.roles, *roles})}
            act = Act("console.opened", "person", person.email, before={"roles": sorted(current.roles)}, after=after)
            await self._acts.record_of(tx, act, person, Surface.CONSOLE, from_where)
            return await self._sessions.begin(tx, person, Surface.CONSOLE, from_where, tells=False)

    async def _reseller_of(self, tx: Tx, found: FoundToken) -> store.ResellerFacts:
        """The reseller that an invitation is for. Raises LinkEnded."""
        reseller = None if found.reseller_id is None else await store.reseller(tx, found.reseller_id)
        if reseller is None:
            raise LinkEnded
        return reseller

    async def _require_theirs(self, known: store.Credentials, text: str) -> None:
        """Let somebody go on who has an account with the address of a link, and knows its password."""
        whose = str(known.person.id)
        async with self._database.transaction() as tx:
            await self._attempts.take(tx, PASSWORD_OF_SESSION, whose)
        if not await self._passwords.fits(known.password, text):
            raise InvalidInput("password", "is not that of the account that has this address already")
        async with self._database.transaction() as tx:
            await self._attempts.forget(tx, [(PASSWORD_OF_SESSION, whose)])

    async def _invited(self, email: str) -> store.ResellerFacts:
        if self._sign_up is SignUp.CLOSED:
            raise SignUpRefused("The setting signup is closed: nobody gets an account.")
        found = await self._resellers.find(email)
        async with self._database.connection() as tx:
            if await store.members(tx, [found.id]):
                raise AlreadyExists(f"Somebody who signs in for {found.email}")
        return store.ResellerFacts(found.id, found.email, found.name, found.phone, found.suspended_at is not None)

    async def _give(
        self,
        tx: Tx,
        purpose: Purpose,
        email: str,
        *,
        person: Person | None = None,
        reseller: store.ResellerFacts | None = None,
        roles: Iterable[Role] = (),
    ) -> str:
        token, now = new_token(), self._clock.now()
        await store.insert_token(
            tx,
            digest(token.reveal()),
            purpose,
            email,
            now,
            now + LINK_LASTS[purpose],
            person_id=None if person is None else person.id,
            reseller_id=None if reseller is None else reseller.id,
            roles=roles,
        )
        return f"{LINK_PATHS[purpose]}/{token.reveal()}"

    async def _open(self, tx: Tx, purpose: Purpose, token: str) -> FoundToken:
        found = await store.token(tx, digest(token), purpose, self._clock.now())
        if found is None:
            raise NotFound("Link", "There is no such link.")
        if not found.open:
            raise LinkEnded
        return found

    async def _use(self, tx: Tx, purpose: Purpose, token: str) -> FoundToken:
        found = await store.use_token(tx, digest(token), purpose, self._clock.now())
        if found is None:
            await self._open(tx, purpose, token)
            raise LinkEnded
        return found


def _name(text: str) -> str:
    name = text.strip()
    require_text("name", name, LONGEST_NAME)
    return name


def _phone(text: str) -> str:
    try:
        return parse_mobile_of_any_market(text)
    except NotAMobileNumber as error:
        raise InvalidInput("phone", str(error)) from None
