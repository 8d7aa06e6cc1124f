"""Resellers and their keys: adding, listing, revoking, and telling who a request comes from."""

import re
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from telvend.database.connections import Database, Tx, increment_revision
from telvend.errors import AlreadyExists, InvalidInput, NotAuthenticated, NotFound, NotPermitted
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
from telvend.resellers.model import ApiKey, Caller, Profile, Reseller, is_email

READ_LIMIT: Final = 60
PURCHASE_LIMIT: Final = 30
"""Requests per minute of a key that was not given more. Source: the Netpluse document, "Rate Limits"."""

TOKEN_VALID_S: Final = 3599
"""How long a token lasts. Source: `expires_in` of MADAPI's OAuth."""

_EXPIRED_AT_ONCE: Final = 100
_LARGEST_LIMIT: Final = 1_000_000_000
_LONGEST_NAME: Final = 200
_LONGEST_REASON: Final = 500
_LARGEST_PICTURE: Final = 1024 * 1024
_AVATAR_TOKEN: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PICTURES: Final = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


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
        self._keyring = Keyring(self._ask, self._forms, clock or SystemClock())
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
        form = self._forms.of(api)
        if form is None:
            raise InvalidInput("api", f"must be one of {', '.join(self._forms.names)}")
        reads = _limit("read_limit", read_limit, READ_LIMIT)
        purchases = _limit("purchase_limit", purchase_limit, PURCHASE_LIMIT)
        reseller = await self.find(email)
        text = f"{form.prefix}{mode}_{random_text(KEY_LETTERS)}"
        secret = random_text(KEY_LETTERS) if form.has_secret else None
        async with self._database.transaction() as tx:
            key = await store.insert_key(
                tx,
                new_uuid(),
                reseller.id,
                form.api,
                mode,
                digest(text),
                self.hint_of(text),
                reads,
                purchases,
                digest(secret) if secret else None,
            )
            await increment_revision(tx, TOPIC)
        return key, Secret(text), Secret(secret) if secret else None

    async def revoke_key(self, key_id: UUID | str) -> ApiKey:
        """Make a key worthless; once revoked it stays so, with its first date. Raises NotFound.

        Here it is refused at once; in every other process when that has seen the revision, within a second.
        """
        try:
            number = key_id if isinstance(key_id, UUID) else UUID(key_id)
        except ValueError:
            raise NotFound("Key") from None
        async with self._database.transaction() as tx:
            key = await store.revoke_key(tx, number)
            if key is None:
                raise NotFound("Key")
            await increment_revision(tx, TOPIC)
        self.forget()
        return key

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


def _limit(field: str, given: int | None, otherwise: int) -> int:
    if given is None:
        return otherwise
    if not 1 <= given <= _LARGEST_LIMIT:
        raise InvalidInput(field, f"must be a whole number from 1 to {_LARGEST_LIMIT}")
    return given
