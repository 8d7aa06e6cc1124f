"""Signing in: by e-mail address or phone number and password, with the code of a second factor where there is one.

An unknown login costs what a known one costs, and ends with the same sentence: one comparison of a password for an e-mail address,
MOST_SHARING of them for a phone number, however many accounts share it.
"""

from typing import Final

from telvend.database.connections import Database, Tx
from telvend.kit.addresses import network_of
from telvend.kit.clock import Clock
from telvend.kit.phone import NotAMobileNumber, parse_mobile_of_any_market
from telvend.kit.secret import Secret, digest
from telvend.people import metrics, store
from telvend.people.acts import ActLog
from telvend.people.attempts import (
    CODE_OF_ACCOUNT,
    SIGN_IN_FROM_ELSEWHERE,
    SIGN_IN_FROM_NETWORK,
    SIGN_IN_OF_ADDRESS,
    AttemptLimit,
    Attempts,
)
from telvend.people.factors import Factors
from telvend.people.model import (
    LINK_LASTS,
    AccountSuspended,
    Act,
    CodeRefused,
    FromWhere,
    LinkEnded,
    Purpose,
    SecondFactorNeeded,
    SessionToken,
    SignInRefused,
    Surface,
    TooManyAttempts,
    new_token,
    password_text,
)
from telvend.people.passwords import Passwords
from telvend.people.sessions import Sessions
from telvend.people.store import Credentials
from telvend.resellers.model import is_email

MOST_SHARING: Final = 5
"""So many accounts that share a phone number can sign in by it, those who did so last; any other does by e-mail address."""
_LONGEST_LOGIN: Final = 254


class SigningIn:
    """Decides who may have a session."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        attempts: Attempts,
        sessions: Sessions,
        factors: Factors,
        acts: ActLog,
        clock: Clock,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._attempts = attempts
        self._sessions = sessions
        self._factors = factors
        self._acts = acts
        self._clock = clock

    async def sign_in(
        self,
        login: str,
        password: Secret,
        from_where: FromWhere,
        *,
        otp: str | None = None,
        surface: Surface = Surface.PORTAL,
    ) -> SessionToken:
        """Begin a session of somebody who knows the password.

        `login` is an e-mail address or a phone number; among accounts that share a number the password decides. Raises
        SignInRefused, SecondFactorNeeded where the code is missing, CodeRefused, AccountSuspended, TooManyAttempts, Busy.
        """
        try:
            signed_in = await self._sign_in(login, password, from_where, otp, surface)
        except (SignInRefused, CodeRefused):
            metrics.SIGN_INS.count(surface, "refused")
            raise
        except TooManyAttempts:
            metrics.SIGN_INS.count(surface, "throttled")
            raise
        except AccountSuspended:
            metrics.SIGN_INS.count(surface, "suspended")
            raise
        metrics.SIGN_INS.count(surface, "done")
        return signed_in

    async def second_step(
        self, ticket: Secret, code: str, from_where: FromWhere, *, surface: Surface = Surface.PORTAL
    ) -> SessionToken:
        """Begin the session for which `SecondFactorNeeded` has given a ticket.

        Raises LinkEnded where the ticket is too old or used, CodeRefused, TooManyAttempts, Busy.
        """
        now = self._clock.now()
        async with self._database.transaction() as tx:
            found = await store.token(tx, digest(ticket.reveal()), Purpose.SECOND_STEP, now)
            if found is None or not found.open or found.person_id is None:
                raise LinkEnded
            await self._attempts.take(tx, CODE_OF_ACCOUNT, str(found.person_id))
        async with self._database.transaction() as tx:
            person = await store.by_id(tx, found.person_id, lock=True)
            if person is None or person.suspended or not _opens(person, surface):
                raise LinkEnded
            if not await self._factors.take_code(tx, found.person_id, code):
                metrics.SIGN_INS.count(surface, "refused")
                raise CodeRefused
            if await store.use_token(tx, digest(ticket.reveal()), Purpose.SECOND_STEP, now) is None:
                raise LinkEnded
            await self._attempts.forget(tx, [(CODE_OF_ACCOUNT, str(found.person_id))])
            signed_in = await self._begin(tx, person, surface, from_where)
        metrics.SIGN_INS.count(surface, "done")
        return signed_in

    async def _sign_in(
        self, login: str, password: Secret, from_where: FromWhere, otp: str | None, surface: Surface
    ) -> SessionToken:
        by_phone, login = _kind_of(login)
        network = network_of(from_where.address)
        async with self._database.transaction() as tx:
            await self._attempts.take(tx, SIGN_IN_OF_ADDRESS, network)
            candidates = await self._candidates(tx, login, by_phone=by_phone, surface=surface)
            known = await store.known_from(tx, [one.person.id for one in candidates], from_where.device, network)
            taken = [(SIGN_IN_FROM_NETWORK, f"{login} {network}")]
            if not any(one.network for one in known.values()):
                taken.append((SIGN_IN_FROM_ELSEWHERE, login))
            for limit, whose in taken:
                await self._attempts.take(tx, limit, whose)
        text = password_text(password)
        found: Credentials | None = None
        for place in range(MOST_SHARING if by_phone else 1):
            candidate = candidates[place] if place < len(candidates) else None
            if await self._passwords.fits(None if candidate is None else candidate.password, text):
                found = candidate
                break
        if found is None:
            raise SignInRefused
        if found.suspended:
            raise AccountSuspended
        return await self._signed_in(found, text, from_where, otp, surface, [*taken, (SIGN_IN_OF_ADDRESS, network)])

    async def _signed_in(
        self,
        found: Credentials,
        text: str,
        from_where: FromWhere,
        otp: str | None,
        surface: Surface,
        taken: list[tuple[AttemptLimit, str]],
    ) -> SessionToken:
        """Begin the session of somebody whose password was right."""
        person_id = found.person.id
        rehashed = await self._passwords.hash(text) if self._passwords.is_outdated(found.password) else None
        if found.person.has_totp and otp is None:
            raise SecondFactorNeeded(await self._ticket(found))
        if found.person.has_totp:
            async with self._database.transaction() as tx:
                await self._attempts.take(tx, CODE_OF_ACCOUNT, str(person_id))
        async with self._database.transaction() as tx:
            # As it is now: the password may have been changed while it was compared.
            current = await store.by_id(tx, person_id, lock=True)
            if current is None or current.password != found.password or not _opens(current, surface):
                raise SignInRefused
            if current.suspended:
                raise AccountSuspended
            if current.person.has_totp and not await self._factors.take_code(tx, person_id, otp or ""):
                raise CodeRefused
            if rehashed is not None:
                await store.rehash(tx, person_id, found.password, rehashed)
            # What failed from one address at other accounts stays counted.
            await self._attempts.give_back(tx, *taken[-1])
            await self._attempts.forget(tx, [*taken[:-1], (CODE_OF_ACCOUNT, str(person_id))])
            return await self._begin(tx, current, surface, from_where)

    async def _begin(self, tx: Tx, found: Credentials, surface: Surface, from_where: FromWhere) -> SessionToken:
        token = await self._sessions.begin(tx, found.person, surface, from_where)
        if surface is Surface.CONSOLE:
            act = Act("session.begun", "person", found.person.email)
            await self._acts.record_of(tx, act, found.person, surface, from_where)
        return token

    async def _candidates(self, tx: Tx, login: str, *, by_phone: bool, surface: Surface) -> list[Credentials]:
        """Whose password may be meant: of those who may open this half of the pages at all."""
        if by_phone:
            return await store.by_phone(tx, login, surface, MOST_SHARING)
        found = await store.by_email(tx, login) if is_email(login) else None
        return [found] if found is not None and _opens(found, surface) else []

    async def _ticket(self, found: Credentials) -> Secret:
        token, now = new_token(), self._clock.now()
        async with self._database.transaction() as tx:
            await store.insert_token(
                tx,
                digest(token.reveal()),
                Purpose.SECOND_STEP,
                found.person.email,
                now,
                now + LINK_LASTS[Purpose.SECOND_STEP],
                person_id=found.person.id,
            )
        return token


def _opens(found: Credentials, surface: Surface) -> bool:
    """Whether this person has anything to see there."""
    return found.person.member_of is not None if surface is Surface.PORTAL else bool(found.roles)


def _kind_of(login: str) -> tuple[bool, str]:
    """Whether a login is a phone number, and its one spelling."""
    login = login.strip()[:_LONGEST_LOGIN]
    try:
        return True, parse_mobile_of_any_market(login)
    except NotAMobileNumber:
        return False, login.lower()
