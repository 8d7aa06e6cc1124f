"""The verbs of people: sign up and in, sessions, links, second factors, roles, and the log of acts.

    token = await people.sign_in("ama@example.com", Secret("…"), FromWhere("197.210.1.2", "Opera Mini"))
    visitor = await people.visitor(token.secret.reveal())       # on every page; None sends to /signin

Each half of it stands in a file of its own (signing_in.py, sessions.py, links.py, factors.py, acts.py); callers see one service.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from telvend.database.connections import Database, Tx
from telvend.errors import AlreadyExists, InvalidFields, InvalidInput, NotFound, NotPermitted
from telvend.kit.addresses import network_of
from telvend.kit.clock import Clock, SystemClock
from telvend.kit.ids import new_uuid
from telvend.kit.mode import Mode
from telvend.kit.phone import NotAMobileNumber, parse_mobile_of_any_market
from telvend.kit.secret import Secret
from telvend.kit.text import LONGEST_NAME, require_text
from telvend.people import store
from telvend.people.acts import ActLog
from telvend.people.attempts import SIGN_UP_OF_ADDRESS, Attempts
from telvend.people.factors import Factors
from telvend.people.keys import PeopleKeys
from telvend.people.links import Links
from telvend.people.mail.model import EmailKind
from telvend.people.mail.outbox import MailOutbox
from telvend.people.model import (
    Act,
    EmailNotVerified,
    EmailTaken,
    FromWhere,
    Person,
    Role,
    SessionToken,
    SignUp,
    SignUpRefused,
    Staff,
    Surface,
    Visitor,
    require_password,
    zone_of,
)
from telvend.people.passwords import Passwords
from telvend.people.sessions import Sessions
from telvend.people.signing_in import SigningIn
from telvend.resellers.model import is_email
from telvend.resellers.service import Resellers

_CLEANED_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class PeoplePolicy:
    """What the settings say. `zone`: of people whose country has none of its own here; `issuer`: how an authenticator app names us."""

    sign_up: SignUp = SignUp.INVITE
    verify_email: bool = True
    zone: str = "UTC"
    issuer: str = "Telvend"


class People:
    """Whoever signs in to one shop."""

    def __init__(
        self,
        database: Database,
        resellers: Resellers,
        keys: PeopleKeys,
        outbox: MailOutbox,
        policy: PeoplePolicy | None = None,
        *,
        passwords: Passwords | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.policy = policy or PeoplePolicy()
        self._database = database
        self._resellers = resellers
        self._outbox = outbox
        self._clock = clock or SystemClock()
        self._passwords = passwords or Passwords()
        self._attempts = Attempts(self._clock)
        self._sessions = Sessions(database, outbox, self._clock)
        self._acts = ActLog(database, self._clock)
        self._factors = Factors(
            database, keys, self._passwords, self._attempts, self._acts, outbox, self._clock, self.policy.issuer
        )
        self._links = Links(
            database,
            resellers,
            self._passwords,
            self._attempts,
            self._sessions,
            outbox,
            self._acts,
            self._clock,
            self.policy.sign_up,
            self.policy.zone,
            self._factors.require_password,
        )
        signing_in = SigningIn(
            database, self._passwords, self._attempts, self._sessions, self._factors, self._acts, self._clock
        )
        self.mail = outbox
        self.sign_in = signing_in.sign_in
        self.second_step = signing_in.second_step
        sessions = self._sessions
        self.visitor = sessions.visitor
        self.sign_out = sessions.sign_out
        self.sessions = sessions.listed
        self.revoke = sessions.revoke
        self.revoke_others = sessions.revoke_others
        self.set_mode = sessions.set_mode
        links = self._links
        self.link = links.link
        self.ask_reset = links.ask_reset
        self.reset_link = links.reset_link
        self.reset = links.reset
        self.ask_verification = links.ask_verification
        self.ask_new_email = links.ask_new_email
        self.confirm_email = links.confirm_email
        self.invite = links.invite
        self.send_invitation = links.send_invitation
        self.accept_invitation = links.accept_invitation
        self.console_link = links.console_link
        self.open_console = links.open_console
        self.accept_staff = links.accept_staff
        factors = self._factors
        self.require_password = factors.require_password
        self.begin_totp = factors.begin_totp
        self.confirm_totp = factors.confirm_totp
        self.end_totp = factors.end_totp
        self.new_recovery_codes = factors.new_recovery_codes
        self.recovery_codes_left = factors.recovery_codes_left
        self.set_pin = factors.set_pin
        self.remove_pin = factors.remove_pin
        self.unlock_pin = factors.unlock_pin
        self.check_pin = factors.check_pin
        self.record = self._acts.record
        self.acts = self._acts.listed

    async def close(self) -> None:
        """End the threads that passwords are hashed in."""
        await self._passwords.close()

    async def clean(self) -> int:
        """Delete what has ended: sessions, old tokens, attempts. Return how many rows. Raises Busy."""
        count = 0
        while True:
            async with self._database.transaction() as tx:
                deleted = await store.delete_ended(tx, self._clock.now(), _CLEANED_AT_ONCE)
            count += deleted
            if deleted < _CLEANED_AT_ONCE:
                return count

    # Accounts ---------------------------------------------------------------------------------------------------------

    async def sign_up(self, name: str, email: str, phone: str, password: Secret, from_where: FromWhere) -> SessionToken:
        """Add a reseller, its wallets and its person, and begin a session of the portal. A link proves the address later.

        Raises SignUpRefused unless `signup` is open; InvalidFields with everything that is wrong; EmailTaken; TooManyAttempts;
        Busy.
        """
        if self.policy.sign_up is not SignUp.OPEN:
            raise SignUpRefused
        name, email, number, text = _valid_form(name, email, phone, password)
        async with self._database.transaction() as tx:
            await self._attempts.take(tx, SIGN_UP_OF_ADDRESS, network_of(from_where.address))
        hashed = await self._passwords.hash(text)
        now = self._clock.now()
        person_id, zone = new_uuid(), zone_of(number, self.policy.zone)
        async with self._database.transaction() as tx:
            try:
                reseller = await self._resellers.add_in(tx, email, name, number)
            except AlreadyExists:
                raise EmailTaken from None
            if not await store.insert_person(tx, person_id, email, name, number, zone, reseller.id, hashed, False, now):
                raise EmailTaken
            made = await store.by_id(tx, person_id)
            if made is None:
                raise EmailTaken
            await self._outbox.write(tx, EmailKind.VERIFY, made.person, {})
            await self._acts.record_of(
                tx, Act("account.opened", "reseller", email), made.person, Surface.PORTAL, from_where
            )
            return await self._sessions.begin(tx, made.person, Surface.PORTAL, from_where, tells=False)

    async def change_password(self, visitor: Visitor, old: Secret, new: Secret) -> None:
        """Change a password; all other sessions of its owner end. Raises InvalidInput, TooManyAttempts, Busy."""
        text = require_password(new, "new_password")
        await self.require_password(visitor, old)
        hashed = await self._passwords.hash(text)
        from_where = FromWhere(visitor.session.address, visitor.session.agent)
        async with self._database.transaction() as tx:
            await self._links.change_password(tx, visitor.person, hashed, from_where, but=visitor.session.id)
            await self._acts.record(Act("password.changed", "person", visitor.person.email), visitor, tx=tx)

    async def change_profile(self, visitor: Visitor, name: str, phone: str, zone: str) -> None:
        """Give a visitor another name, phone number and zone. Raises InvalidFields, Busy."""
        problems: dict[str, str] = {}
        name = name.strip()
        number = ""
        try:
            require_text("name", name, LONGEST_NAME)
        except InvalidInput as error:
            problems["name"] = error.problem
        try:
            # Somebody of the console alone may have none.
            number = parse_mobile_of_any_market(phone) if phone.strip() or visitor.person.member_of else ""
        except NotAMobileNumber as error:
            problems["phone"] = str(error)
        if not _is_zone(zone):
            problems["zone"] = "is no time zone that is known here, such as Africa/Accra"
        if problems:
            raise InvalidFields(problems)
        async with self._database.transaction() as tx:
            await store.write_profile(tx, visitor.person.id, name, number, zone)

    def require_verified(self, visitor: Visitor) -> None:
        """Let a purchase go on: with play money, or by somebody whose e-mail address is proven. Raises EmailNotVerified.

        Pages call it before they sell anything; the API does not know it.
        """
        if visitor.mode is Mode.LIVE and self.policy.verify_email and not visitor.person.email_verified:
            raise EmailNotVerified

    async def members(self, reseller_ids: Collection[UUID]) -> list[Person]:
        """Return the people of these resellers. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.members(tx, reseller_ids)

    async def suspend(self, person_id: UUID, reason: str, by: Visitor | str) -> None:
        """Open nothing to a person until `resume`; its sessions end.

        Somebody with roles is suspended by an owner. Raises NotFound, InvalidInput, NotPermitted (for the last owner too), Busy.
        """
        require_text("reason", reason.strip(), LONGEST_NAME)
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await store.hold_owners(tx)
            person = await self._locked(tx, person_id)
            if person.roles:
                _require_owner(by)
            await store.suspend(tx, person_id, now)
            if not await store.count_owners(tx) and Role.OWNER in person.roles:
                raise NotPermitted("be suspended: the console needs an owner")
            await store.delete_sessions(tx, person_id)
            act = Act("person.suspended", "person", person.person.email, reason.strip())
            await self._acts.record_by(tx, act, by)

    async def resume(self, person_id: UUID, reason: str, by: Visitor | str) -> None:
        """Let a suspended person sign in again. Raises NotFound, InvalidInput, Busy."""
        require_text("reason", reason.strip(), LONGEST_NAME)
        async with self._database.transaction() as tx:
            person = await self._locked(tx, person_id)
            if person.roles:
                _require_owner(by)
            await store.resume(tx, person_id)
            act = Act("person.resumed", "person", person.person.email, reason.strip())
            await self._acts.record_by(tx, act, by)

    # The console ------------------------------------------------------------------------------------------------------

    async def staff(self) -> list[Staff]:
        """Return everybody with a role. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.staff(tx)

    async def has_owner(self) -> bool:
        """Return whether somebody owns the console. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.count_owners(tx) > 0

    async def invite_staff(self, email: str, roles: Iterable[Role], reason: str, by: Visitor | str) -> str:
        """Return the path of a link by which somebody gets these roles, to be passed on.

        Raises InvalidInput, NotPermitted unless an owner asks, Busy.
        """
        _require_owner(by)
        email, wanted = email.strip(), sorted(set(roles))
        if not is_email(email):
            raise InvalidInput("email", "must be an e-mail address")
        if not wanted:
            raise InvalidInput("roles", "must be at least one of owner, finance and support")
        async with self._database.transaction() as tx:
            act = Act("staff.invited", "person", email, reason.strip(), after={"roles": wanted})
            await self._acts.record_by(tx, act, by)
            return await self._links.staff_link(tx, email, wanted)

    async def set_roles(self, person_id: UUID, roles: Iterable[Role], reason: str, by: Visitor | str) -> None:
        """Give somebody these roles and no others; sessions of the console end where one was taken away, on every node at once.

        Raises NotFound, InvalidInput, NotPermitted unless an owner asks and where nobody would be owner, Busy.
        """
        require_text("reason", reason.strip(), LONGEST_NAME)
        _require_owner(by)
        wanted = frozenset(roles)
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await store.hold_owners(tx)
            person = await self._locked(tx, person_id)
            await store.write_roles(tx, person_id, wanted, now)
            if Role.OWNER in person.roles - wanted and not await store.count_owners(tx):
                raise NotPermitted("give up its role: the console needs an owner")
            if person.roles - wanted:
                await store.delete_sessions(tx, person_id, surface=Surface.CONSOLE)
            act = Act(
                "roles.changed",
                "person",
                person.person.email,
                reason.strip(),
                before={"roles": sorted(person.roles)},
                after={"roles": sorted(wanted)},
            )
            await self._acts.record_by(tx, act, by)

    async def follow(self, reseller_id: UUID, old_email: str, new_email: str) -> bool:
        """Let the person of a reseller sign in with the address that the operator has given the reseller. Raises Busy.

        Return False where somebody else signs in with it: then the person keeps the old one.
        """
        try:
            async with self._database.transaction() as tx:
                if not await store.follow(tx, reseller_id, old_email, new_email):
                    raise EmailTaken
        except EmailTaken:
            return False
        return True

    async def find(self, email: str) -> Person:
        """Return the person of this e-mail address. Raises NotFound, Busy."""
        email = email.strip()
        found = None
        if is_email(email):
            async with self._database.connection() as tx:
                found = await store.by_email(tx, email)
        if found is None:
            raise NotFound("Person")
        return found.person

    async def _locked(self, tx: Tx, person_id: UUID) -> store.Credentials:
        found = await store.by_id(tx, person_id, lock=True)
        if found is None:
            raise NotFound("Person")
        return found


def _require_owner(by: Visitor | str) -> None:
    """Let an owner go on, or a command of the command line. Raises NotPermitted."""
    if isinstance(by, Visitor) and Role.OWNER not in by.roles:
        raise NotPermitted("do that: it takes an owner")


def _valid_form(name: str, email: str, phone: str, password: Secret) -> tuple[str, str, str, str]:
    """The fields of sign-up in their one spelling. Raises InvalidFields with the problems of all of them."""
    name, email = name.strip(), email.strip()
    number = text = ""
    problems: dict[str, str] = {}
    try:
        require_text("name", name, LONGEST_NAME)
    except InvalidInput as error:
        problems["name"] = error.problem
    if not is_email(email):
        problems["email"] = "must be an e-mail address"
    try:
        number = parse_mobile_of_any_market(phone)
    except NotAMobileNumber as error:
        problems["phone"] = str(error)
    try:
        text = require_password(password)
    except InvalidInput as error:
        problems["password"] = error.problem
    if problems:
        raise InvalidFields(problems)
    return name, email, number, text


def _is_zone(name: str) -> bool:
    try:
        return bool(name) and bool(ZoneInfo(name).key)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
