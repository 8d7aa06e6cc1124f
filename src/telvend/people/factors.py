"""The second factor (TOTP with recovery codes) and the purchase PIN."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from telvend.database.connections import Database, Tx
from telvend.errors import AlreadyExists, InvalidInput, NotFound
from telvend.kit.clock import Clock
from telvend.kit.secret import Secret, digest
from telvend.people import store, totp
from telvend.people.acts import ActLog
from telvend.people.attempts import CODE_OF_ACCOUNT, PASSWORD_OF_SESSION, Attempts
from telvend.people.keys import PeopleKeys
from telvend.people.mail.model import EmailKind
from telvend.people.mail.outbox import MailOutbox
from telvend.people.model import (
    PIN_FAILURES,
    Act,
    CodeRefused,
    PurchasePinLocked,
    PurchasePinRefused,
    Visitor,
    password_text,
    require_pin,
)
from telvend.people.passwords import Passwords

_LONGEST_CODE: Final = 40


@dataclass(frozen=True, slots=True)
class NewFactor:
    """A second factor that its owner has to show a code of. `uri` is what the QR code says."""

    secret: Secret
    uri: Secret


class Factors:
    """Second factors and PINs of people."""

    def __init__(
        self,
        database: Database,
        keys: PeopleKeys,
        passwords: Passwords,
        attempts: Attempts,
        acts: ActLog,
        outbox: MailOutbox,
        clock: Clock,
        issuer: str,
    ) -> None:
        self._database = database
        self._keys = keys
        self._passwords = passwords
        self._attempts = attempts
        self._acts = acts
        self._outbox = outbox
        self._clock = clock
        self._issuer = issuer

    async def require_password(self, visitor: Visitor, password: Secret, field: str = "password") -> None:
        """Let a visitor go on who knows the password. Raises InvalidInput, TooManyAttempts, Busy."""
        async with self._database.transaction() as tx:
            await self._attempts.take(tx, PASSWORD_OF_SESSION, str(visitor.person.id))
            found = await store.by_id(tx, visitor.person.id)
        if found is None or not await self._passwords.fits(found.password, password_text(password)):
            raise InvalidInput(field, "is not your password")
        async with self._database.transaction() as tx:
            await self._attempts.forget(tx, [(PASSWORD_OF_SESSION, str(visitor.person.id))])

    # The second factor ------------------------------------------------------------------------------------------------

    async def begin_totp(self, visitor: Visitor) -> NewFactor:
        """Make a secret for an authenticator app. It counts once `confirm_totp` has seen a code of it.

        Raises AlreadyExists where there is a second factor, KeyRefused, Busy.
        """
        key = await self._keys.ready()
        secret = totp.new_secret()
        person = visitor.person
        async with self._database.transaction() as tx:
            if not await store.write_factor(tx, person.id, key.id, key.seal_factor(person.id, secret)):
                raise AlreadyExists("A second factor of this account")
        return NewFactor(Secret(secret), Secret(totp.provisioning_uri(secret, person.email, self._issuer)))

    async def confirm_totp(self, visitor: Visitor, code: str) -> list[Secret]:
        """Turn the second factor on. Return recovery codes, which are shown this once; all other sessions end.

        Raises CodeRefused, NotFound where none was begun, TooManyAttempts, Busy.
        """
        person = visitor.person
        async with self._database.transaction() as tx:
            await self._attempts.take(tx, CODE_OF_ACCOUNT, str(person.id))
        async with self._database.transaction() as tx:
            found = await store.factor(tx, person.id)
            if found is None or found.confirmed:
                raise NotFound("A second factor that waits for its first code")
            secret = self._keys.named(found.key_id).open_factor(person.id, found.sealed)
            step = totp.step_of(secret, code, self._clock.now())
            if step is None or not await store.confirm_factor(tx, person.id, found.sealed, step, self._clock.now()):
                raise CodeRefused
            codes = await self._write_codes(tx, person.id)
            await store.delete_sessions(tx, person.id, but=visitor.session.id)
            await self._acts.record(Act("totp.on", "person", person.email), visitor, tx=tx)
            await self._outbox.write(tx, EmailKind.SECOND_FACTOR, person, {"now": "on"})
        return codes

    async def new_recovery_codes(self, visitor: Visitor, password: Secret) -> list[Secret]:
        """Put new recovery codes in the place of the old ones. Raises NotFound without a second factor, InvalidInput, Busy."""
        await self.require_password(visitor, password)
        async with self._database.transaction() as tx:
            found = await store.factor(tx, visitor.person.id)
            if found is None or not found.confirmed:
                raise NotFound("Second factor")
            return await self._write_codes(tx, visitor.person.id)

    async def recovery_codes_left(self, visitor: Visitor) -> int:
        """Return how many recovery codes are left. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.count_recovery_codes(tx, visitor.person.id)

    async def end_totp(self, visitor: Visitor, password: Secret) -> None:
        """Turn the second factor off. Raises InvalidInput, TooManyAttempts, Busy."""
        await self.require_password(visitor, password)
        async with self._database.transaction() as tx:
            await store.remove_factor(tx, visitor.person.id)
            await self._acts.record(Act("totp.off", "person", visitor.person.email), visitor, tx=tx)
            await self._outbox.write(tx, EmailKind.SECOND_FACTOR, visitor.person, {"now": "off"})

    async def take_code(self, tx: Tx, person_id: UUID, code: str) -> bool:
        """Whether this is a code of the person's second factor that was not used before, or a recovery code; it is used now."""
        if len(code) > _LONGEST_CODE:
            return False
        found = await store.factor(tx, person_id)
        if found is None or not found.confirmed:
            return False
        secret = self._keys.named(found.key_id).open_factor(person_id, found.sealed)
        now = self._clock.now()
        step = totp.step_of(secret, code, now)
        if step is not None:
            return await store.take_step(tx, person_id, step)
        return await store.use_recovery_code(tx, person_id, digest(totp.recovery_text(code)), now)

    async def _write_codes(self, tx: Tx, person_id: UUID) -> list[Secret]:
        codes = totp.new_recovery_codes()
        await store.write_recovery_codes(tx, person_id, [digest(code) for code in codes])
        return [Secret(code) for code in codes]

    # The purchase PIN -------------------------------------------------------------------------------------------------

    async def set_pin(self, visitor: Visitor, password: Secret, pin: Secret) -> None:
        """Ask for this PIN before every purchase by a page from now on. Raises InvalidInput, TooManyAttempts, Busy."""
        text = require_pin(pin)
        await self.require_password(visitor, password)
        hashed = await self._passwords.hash(text)
        async with self._database.transaction() as tx:
            await store.write_pin(tx, visitor.person.id, hashed)
            await self._acts.record(Act("pin.set", "person", visitor.person.email), visitor, tx=tx)

    async def remove_pin(self, visitor: Visitor, password: Secret) -> None:
        """Ask for no PIN any more. Raises InvalidInput, TooManyAttempts, Busy."""
        await self.require_password(visitor, password)
        async with self._database.transaction() as tx:
            await store.write_pin(tx, visitor.person.id, None)
            await self._acts.record(Act("pin.removed", "person", visitor.person.email), visitor, tx=tx)

    async def unlock_pin(self, visitor: Visitor, password: Secret) -> None:
        """Let a PIN be tried again that was wrong too often. Raises InvalidInput, TooManyAttempts, Busy."""
        await self.require_password(visitor, password)
        async with self._database.transaction() as tx:
            await store.unlock_pin(tx, visitor.person.id)

    async def check_pin(self, visitor: Visitor, pin: Secret | None) -> None:
        """Let a purchase go on: its owner has set no PIN, or this is it.

        Raises InvalidInput where it is missing, which counts for nothing; PurchasePinRefused, PurchasePinLocked, Busy.
        """
        async with self._database.transaction() as tx:
            if not await store.has_pin(tx, visitor.person.id):
                return
            if pin is None or not pin.reveal().strip():
                raise InvalidInput("pin", "is needed for a purchase")
            attempt = await store.begin_pin_attempt(tx, visitor.person.id, PIN_FAILURES)
        if attempt is None:
            raise PurchasePinLocked
        if not await self._passwords.fits(attempt.pin, pin.reveal().strip()):
            raise PurchasePinRefused(PIN_FAILURES - attempt.failures)
        async with self._database.transaction() as tx:
            await store.pin_fitted(tx, visitor.person.id, attempt.pin)
