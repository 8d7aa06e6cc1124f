"""Resellers and their keys: adding, listing, revoking, and telling who a request comes from."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from telvend.database.connections import Database, Tx, increment_revision
from telvend.errors import (
    AlreadyExists,
    Busy,
    InvalidInput,
    InvariantBroken,
    NotAuthenticated,
    NotFound,
    NotPermitted,
)
from telvend.kit.clock import Clock, SystemClock
from telvend.kit.ids import new_uuid
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN
from telvend.kit.phone import NotAMobileNumber, parse_mobile_of_any_market
from telvend.kit.secret import Secret, digest, random_text
from telvend.kit.text import require_text
from telvend.ledger.service import Ledger
from telvend.resellers import store
from telvend.resellers.keyforms import KEY_LETTERS, KeyForm, KeyForms
from telvend.resellers.keyring import TOPIC, Keyring
from telvend.resellers.model import ApiKey, Caller, NewKey, Profile, Reseller, is_email

READ_LIMIT: Final = 60
PURCHASE_LIMIT: Final = 30
"""Requests per minute of a key that was not given more. Source: the Netpluse document, "Rate Limits"."""

OWN_READ_LIMIT: Final = 10 * READ_LIMIT
OWN_PURCHASE_LIMIT: Final = 10 * PURCHASE_LIMIT
"""So much a reseller may give a key by itself. More is the operator's to give."""

MOST_KEYS: Final = 50
"""So many working keys a reseller may make by itself."""

TOKEN_VALID_S: Final = 3599
"""How long a token lasts. Source: `expires_in` of MADAPI's OAuth."""

_NO_KEY: Final = UUID(int=0)
_EXPIRED_AT_ONCE: Final = 100
LARGEST_LIMIT: Final = 1_000_000_000
_LONGEST_NAME: Final = 200
_LONGEST_REASON: Final = 500
_LARGEST_PICTURE: Final = 1024 * 1024
_AVATAR_TOKEN: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PICTURES: Final = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


AlsoKey = Callable[[Tx, ApiKey], Awaitable[None]]
"""What else is written with a change of a key: who made it."""


class Resellers:
    """The resellers of one shop, whose keys are of these forms: one for each API that is served.

    For `cached` to answer, somebody must keep calling `refreshed` (see keyring.py).
    """

    def __init__(
        self, database: Database, ledger: Ledger, forms: Iterable[KeyForm], clock: Clock | None = None
    ) -> None:
        """Raises ValueError where two APIs share a name or a prefix."""
        self._database = database
        self._ledger = ledger
        self._forms = KeyForms(forms)
        self.hint_of = self._forms.hint_of
        self._clock = clock or SystemClock()
        self._keyring = Keyring(self._ask, self._forms, self._clock)
        # Bound here, since they stand on the path of every request.
        self.cached = self._keyring.cached
        self.authenticate = self._keyring.authenticate
        self.forget = self._keyring.forget
        self.refreshed = self._keyring.refreshed

    async def add(self, email: str, name: str, phone: str) -> Reseller:
        """Add a reseller and open wallets in GHS and NGN, live and test.

        `phone` is a mobile number of any market. Raises InvalidInput; AlreadyExists for an e-mail address that is known
        in whatever case.
        """
        email, name = _email(email), _name(name)
        try:
            number = parse_mobile_of_any_market(phone)
        except NotAMobileNumber as error:
            raise InvalidInput("phone", str(error)) from None
        async with self._database.transaction() as tx:
            return await self.add_in(tx, email, name, number)

    async def add_in(self, tx: Tx, email: str, name: str, phone: str) -> Reseller:
        """Add a reseller in a transaction of the caller's, as `add` does; the fields are valid. Raises AlreadyExists."""
        made = await store.insert_reseller(tx, new_uuid(), email, name, phone)
        if made is None:
            raise AlreadyExists(f"The reseller {email}")
        for mode in Mode:
            for currency in (GHS, NGN):
                await self._ledger.open_wallet(tx, made.id, currency, mode)
        return made

    async def change_email(self, tx: Tx, reseller_id: UUID, old: str, new: str) -> None:
        """Give a reseller the new address of its person, where it had the old one too. Raises AlreadyExists."""
        if not await store.change_email(tx, reseller_id, old, new):
            raise AlreadyExists(f"The reseller {new}")

    async def prove_email(self, tx: Tx, reseller_id: UUID, email: str) -> None:
        """Note that a reseller's e-mail address is proven, where this is its address."""
        await store.prove_email(tx, reseller_id, email)

    async def rename(self, email: str, *, name: str | None = None, new_email: str | None = None) -> Reseller:
        """Give a reseller another name, another e-mail address, or both. Keys, wallets and orders stay.

        Raises NotFound, InvalidInput; AlreadyExists for the address of somebody else.
        """
        if name is None and new_email is None:
            raise InvalidInput("", "Say what to change: --name, --email or both.")
        name = None if name is None else _name(name)
        new_email = None if new_email is None else _email(new_email)
        reseller = await self.find(email)
        async with self._database.transaction() as tx:
            if not await store.rename(tx, reseller.id, name, new_email):
                raise AlreadyExists(f"The reseller {new_email}")
        return await self.find(new_email or email)

    async def suspend(self, email: str, reason: str = "") -> Reseller:
        """Refuse every key of a reseller until `resume`. Orders that are open go on. Again it changes nothing.

        Here the keys are refused at once; in every other process when that has seen the revision, within a second.
        Raises NotFound, InvalidInput.
        """
        if len(reason) > _LONGEST_REASON or not reason.isprintable():
            raise InvalidInput("reason", f"must be at most {_LONGEST_REASON} printable characters")
        return await self._switch(email, reason)

    async def resume(self, email: str) -> Reseller:
        """Let the keys of a suspended reseller work again, all but the revoked ones. Raises NotFound."""
        return await self._switch(email, None)

    async def _switch(self, email: str, reason: str | None) -> Reseller:
        reseller = await self.find(email)
        async with self._database.transaction() as tx:
            if reason is None:
                await store.resume(tx, reseller.id)
            else:
                await store.suspend(tx, reseller.id, reason)
            await increment_revision(tx, TOPIC)
        self.forget()
        return await self.find(email)

    async def emails(self, reseller_ids: Collection[UUID]) -> dict[UUID, str]:
        """The e-mail addresses of these resellers. Raises Busy."""
        async with self._database.connection() as tx:
            found = await store.emails_of(tx, reseller_ids)
        return {reseller_id: found[reseller_id.bytes] for reseller_id in reseller_ids}

    async def find(self, email: str) -> Reseller:
        """The reseller of this e-mail address, in whatever case. Raises NotFound."""
        email = email.strip()
        found = None
        if is_email(email):
            async with self._database.connection() as tx:
                found = await store.reseller_of(tx, email)
        if found is None:
            raise NotFound("Reseller")
        return found

    async def caller_without_key(self, email: str, api: str, mode: Mode) -> Caller:
        """Return the reseller as a caller that has no key: for sales that the operator makes, whose references stand below `api`.

        Raises NotFound, NotPermitted (it is suspended), Busy.
        """
        reseller = await self.find(email)
        async with self._database.connection() as tx:
            caller = await store.caller_without_key(tx, reseller.id, api, mode)
        if caller is None:
            raise NotPermitted(f"{reseller.email} is suspended, and buys nothing until it is not.")
        return caller

    async def caller_of(self, reseller_id: UUID, api: str, mode: Mode) -> Caller:
        """Return a reseller as a caller that has no key: for what a person does who is signed in.

        Raises NotPermitted (it is suspended, or there is none), Busy.
        """
        async with self._database.connection() as tx:
            caller = await store.caller_without_key(tx, reseller_id, api, mode)
        if caller is None:
            raise NotPermitted("buy anything: the account is suspended")
        return caller

    async def list_resellers(self, *, limit: int | None = None, offset: int = 0) -> list[Reseller]:
        """Resellers in the order in which they came, `limit` of them after the first `offset`."""
        async with self._database.connection() as tx:
            return await store.resellers(tx, limit, offset)

    async def search(
        self, text: str = "", *, suspended: bool | None = None, after: int = 0, limit: int = 50
    ) -> list[Reseller]:
        """Resellers by a part of their address or name, by phone in any spelling, or by number; from above number `after`.

        Raises Busy.
        """
        text = text.strip()
        if len(text) > _LONGEST_NAME or not text.isprintable():
            return []
        try:
            text = parse_mobile_of_any_market(text)
        except NotAMobileNumber:
            text = text.removeprefix("#")
        async with self._database.connection() as tx:
            return await store.search(tx, text, suspended, after, limit)

    async def profile(self, reseller_id: UUID) -> Profile:
        """Everything about a reseller. Raises NotFound."""
        async with self._database.connection() as tx:
            found = await store.profile_of(tx, reseller_id)
        if found is None:
            raise NotFound("Reseller")
        return found

    async def avatar(self, token: str) -> tuple[bytes, str]:
        """The picture of this random name, and its media type. Raises NotFound."""
        found = None
        if _AVATAR_TOKEN.fullmatch(token):
            async with self._database.connection() as tx:
                found = await store.avatar_of(tx, token)
        if found is None:
            raise NotFound("Picture")
        return found

    async def change(
        self,
        email: str,
        *,
        address: str | None = None,
        gender: str | None = None,
        date_of_birth: date | None = None,
        email_verified: bool | None = None,
        phone_verified: bool | None = None,
        id_verified: bool | None = None,
        avatar: bytes | None = None,
        remove_avatar: bool = False,
    ) -> Profile:
        """Fill in what the operator knows about a reseller; None leaves a thing as it is.

        `avatar` is a PNG or JPEG of at most 1 MiB; the picture before it is found no more. Raises NotFound, InvalidInput.
        """
        reseller = await self.find(email)
        changes: dict[str, Any] = {
            name: value
            for name, value in (
                ("address", address),
                ("gender", gender),
                ("date_of_birth", date_of_birth),
                ("email_verified", email_verified),
                ("phone_verified", phone_verified),
                ("id_verified", id_verified),
            )
            if value is not None
        }
        if address is not None and (len(address) > _LONGEST_NAME or not address.isprintable()):
            raise InvalidInput("address", f"must be at most {_LONGEST_NAME} printable characters")
        if gender not in (None, "", "Male", "Female"):
            raise InvalidInput("gender", "must be Male, Female or empty")
        if date_of_birth is not None and not date(1900, 1, 1) <= date_of_birth <= datetime.now(UTC).date():
            raise InvalidInput("date_of_birth", "must be a day between 1900 and today")
        if avatar is not None:
            media_type = next((kind for start, kind in _PICTURES.items() if avatar.startswith(start)), None)
            if media_type is None or len(avatar) > _LARGEST_PICTURE:
                raise InvalidInput("avatar", "must be a PNG or JPEG of at most 1 MiB")
            changes |= {"avatar": avatar, "avatar_type": media_type}
        elif remove_avatar:
            changes |= {"avatar": None, "avatar_type": None}
        if changes:
            async with self._database.transaction() as tx:
                await store.write_profile(tx, reseller.id, changes)
        return await self.profile(reseller.id)

    async def add_key(
        self,
        email: str,
        api: str,
        mode: Mode = Mode.LIVE,
        read_limit: int | None = None,
        purchase_limit: int | None = None,
    ) -> tuple[ApiKey, Secret, Secret | None]:
        """Make a key; its text is in the answer and nowhere else. Limits are requests per minute, 1 or more.

        Where the API's keys have a secret it is made too, for OAuth with the key as client_id.

        Raises NotFound for an unknown reseller, InvalidInput.
        """
        form = self._form(api)
        reads = _limit("read_limit", read_limit, READ_LIMIT)
        purchases = _limit("purchase_limit", purchase_limit, PURCHASE_LIMIT)
        reseller = await self.find(email)
        async with self._database.transaction() as tx:
            made = await self._insert_key(tx, new_uuid(), reseller.id, form, mode, reads, purchases)
        if made is None:
            raise InvariantBroken("a new id was taken")
        return made.key, made.text, made.secret

    async def add_own_key(
        self,
        reseller_id: UUID,
        api: str,
        mode: Mode,
        read_limit: int | None = None,
        purchase_limit: int | None = None,
        *,
        once: str,
        also: AlsoKey | None = None,
    ) -> NewKey | None:
        """Make a key for its owner, with limits of at most ten times the usual ones. None: it was made before.

        `once` names the wish: the same one twice makes one key, whose text is shown to whoever came first. `also` is called
        in the transaction. Raises NotFound, InvalidInput, also where the reseller has MOST_KEYS working keys.
        """
        form = self._form(api)
        reads = _limit("read_limit", read_limit, READ_LIMIT, most=OWN_READ_LIMIT)
        purchases = _limit("purchase_limit", purchase_limit, PURCHASE_LIMIT, most=OWN_PURCHASE_LIMIT)
        key_id = UUID(bytes=digest(f"{reseller_id} {once}")[:16], version=5)
        async with self._database.transaction() as tx:
            if not await store.lock_reseller(tx, reseller_id):
                raise NotFound("Reseller")
            if await store.lock_key(tx, key_id) is not None:
                return None
            if await store.count_working(tx, reseller_id) >= MOST_KEYS:
                raise InvalidInput("api", f"has no room: {MOST_KEYS} keys work; revoke one that is not used")
            made = await self._insert_key(tx, key_id, reseller_id, form, mode, reads, purchases)
            if made is not None and also is not None:
                await also(tx, made.key)
            return made

    def _form(self, api: str) -> KeyForm:
        form = self._forms.of(api)
        if form is None:
            raise InvalidInput("api", f"must be one of {', '.join(self._forms.names)}")
        return form

    async def _insert_key(
        self, tx: Tx, key_id: UUID, reseller_id: UUID, form: KeyForm, mode: Mode, reads: int, purchases: int
    ) -> NewKey | None:
        text = f"{form.prefix}{mode}_{random_text(KEY_LETTERS)}"
        secret = random_text(KEY_LETTERS) if form.has_secret else None
        key = await store.insert_key(
            tx,
            key_id,
            reseller_id,
            form.api,
            mode,
            digest(text),
            self.hint_of(text),
            reads,
            purchases,
            digest(secret) if secret else None,
        )
        if key is None:
            return None
        await increment_revision(tx, TOPIC)
        return NewKey(key, Secret(text), Secret(secret) if secret else None)

    async def revoke_key(self, key_id: UUID | str, *, owner: UUID | None = None, also: AlsoKey | None = None) -> ApiKey:
        """Make a key worthless; once revoked it stays so, with its first date. Raises NotFound, also for another's than `owner`'s.

        Here it is refused at once; in every other process when that has seen the revision, within a second.
        """
        number = _key_id(key_id)
        async with self._database.transaction() as tx:
            before = _require_own(await store.lock_key(tx, number), owner)
            key = await store.revoke_key(tx, number)
            if key is None:
                raise NotFound("Key")
            if also is not None and before.revoked_at is None:
                await also(tx, key)
            await increment_revision(tx, TOPIC)
        self.forget()
        return key

    async def change_limits(
        self,
        key_id: UUID | str,
        *,
        read_limit: int,
        purchase_limit: int,
        owner: UUID | None = None,
        also: AlsoKey | None = None,
    ) -> ApiKey:
        """Change how many requests a minute a key may make; in force within a second.

        An `owner` may give his own keys ten times the usual limits, or what somebody else has given this one. Raises NotFound,
        InvalidInput, also for a revoked key.
        """
        number = _key_id(key_id)
        async with self._database.transaction() as tx:
            key = _require_own(await store.lock_key(tx, number), owner)
            if key.revoked_at is not None:
                raise InvalidInput("key", "is revoked")
            most = (LARGEST_LIMIT, LARGEST_LIMIT)
            if owner is not None:
                most = max(OWN_READ_LIMIT, key.read_limit), max(OWN_PURCHASE_LIMIT, key.purchase_limit)
            reads = _limit("read_limit", read_limit, READ_LIMIT, most=most[0])
            purchases = _limit("purchase_limit", purchase_limit, PURCHASE_LIMIT, most=most[1])
            key = await store.write_limits(tx, number, reads, purchases)
            if also is not None:
                await also(tx, key)
            await increment_revision(tx, TOPIC)
        self.forget()
        return key

    async def own_keys(self, reseller_id: UUID) -> list[ApiKey]:
        """Every key of a reseller, newest first, the revoked ones included. Raises Busy."""
        async with self._database.connection() as tx:
            return [*reversed(await store.keys_of(tx, reseller_id))]

    async def own_key(self, reseller_id: UUID, key_id: UUID | str) -> ApiKey:
        """One key of a reseller. Raises NotFound, also for somebody else's."""
        wanted = _key_id(key_id)
        found = next((key for key in await self.own_keys(reseller_id) if key.id == wanted), None)
        if found is None:
            raise NotFound("Key")
        return found

    async def caller_of_own_key(self, reseller_id: UUID, key_id: UUID | str) -> Caller:
        """Who a request with this key would come from. Raises NotFound: also for somebody else's, and a revoked one."""
        async with self._database.connection() as tx:
            caller = await store.caller_of_key(tx, _key_id(key_id))
        if caller is None or caller.reseller_id != reseller_id:
            raise NotFound("Key")
        return caller

    async def write_uses(self) -> None:
        """Write when the keys that this process has seen were used last. Raises Busy, and keeps them for the next time."""
        used = self._keyring.take_uses()
        used.pop(_NO_KEY.bytes, None)
        if not used:
            return
        now = self._clock.monotonic()
        in_order = sorted(used.items())
        try:
            async with self._database.transaction() as tx:
                await store.write_uses(
                    tx, [UUID(bytes=key) for key, _ in in_order], [max(0.0, now - at) for _, at in in_order]
                )
        except Busy:
            self._keyring.put_back_uses(used)
            raise

    async def write_last_uses(self) -> None:
        """The same when the process ends: what cannot be written then is lost."""
        with suppress(Busy):
            await self.write_uses()

    async def find_key(self, text: Secret) -> tuple[ApiKey, str]:
        """Whose key this text is, revoked or not, and the reseller's e-mail address; also an OAuth secret or a token of it.

        Raises NotFound.
        """
        async with self._database.connection() as tx:
            found = await store.key_by_digest(tx, digest(text.reveal()))
        if found is None:
            raise NotFound("Key")
        return found

    async def list_keys(self, email: str) -> list[ApiKey]:
        """Every key of a reseller, oldest first, the revoked ones included. Raises NotFound."""
        reseller = await self.find(email)
        async with self._database.connection() as tx:
            return await store.keys_of(tx, reseller.id)

    async def issue_token(self, caller: Caller, secret: Secret) -> Secret:
        """A token that stands for the key of `caller` for TOKEN_VALID_S seconds, or until the key is revoked.

        Raises NotAuthenticated where the secret is not the key's, and where keys of its API have none.
        """
        form = self._forms.of(caller.api)
        if form is None or not form.has_secret:
            raise NotAuthenticated
        text = form.token_prefix + random_text(KEY_LETTERS)
        async with self._database.transaction() as tx:
            if not await store.insert_token(tx, digest(text), caller.key_id, digest(secret.reveal()), TOKEN_VALID_S):
                raise NotAuthenticated
            await store.delete_expired_tokens(tx, _EXPIRED_AT_ONCE)
        return Secret(text)

    async def _ask(self, key_text: str) -> Caller | None:
        look_up = store.caller_of_token if self._forms.is_token(key_text) else store.caller_of
        async with self._database.connection() as tx:
            return await look_up(tx, digest(key_text))


def _email(text: str) -> str:
    email = text.strip()
    if not is_email(email):
        raise InvalidInput("email", "must be an e-mail address")
    return email


def _name(text: str) -> str:
    name = text.strip()
    require_text("name", name, _LONGEST_NAME)
    return name


def _limit(field: str, given: int | None, otherwise: int, *, most: int = LARGEST_LIMIT) -> int:
    if given is None:
        return otherwise
    if not 1 <= given <= most:
        raise InvalidInput(field, f"must be a whole number from 1 to {most}")
    return given


def _key_id(given: UUID | str) -> UUID:
    try:
        return given if isinstance(given, UUID) else UUID(given)
    except ValueError:
        raise NotFound("Key") from None


def _require_own(key: ApiKey | None, owner: UUID | None) -> ApiKey:
    if key is None or (owner is not None and key.reseller_id != owner):
        raise NotFound("Key")
    return key
