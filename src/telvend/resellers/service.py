"""Resellers and their keys: adding, listing, revoking, and telling who a request comes from."""

from typing import Final
from uuid import UUID

from telvend.errors import AlreadyExists, InvalidInput, NotFound
from telvend.kit.clock import Clock, SystemClock
from telvend.kit.db import Database, bump
from telvend.kit.ids import new_uuid
from telvend.kit.money import GHS, NGN
from telvend.kit.phone import NotAMobileNumber, parse_mobile_of_any_market
from telvend.kit.secret import Secret, digest, random_text
from telvend.ledger.model import Mode
from telvend.ledger.service import Ledger
from telvend.resellers import store
from telvend.resellers.keyring import KEY_LETTERS, PREFIX, TOPIC, Keyring
from telvend.resellers.model import Api, ApiKey, Caller, Reseller, is_email

READ_LIMIT: Final = 60
PURCHASE_LIMIT: Final = 30
"""Requests per minute of a key that was not given more. Source: the Netpluse document, "Rate Limits"."""

_LARGEST_LIMIT: Final = 1_000_000_000
_LONGEST_NAME: Final = 200


class Resellers:
    """The resellers of one shop. For `cached` to answer, somebody must keep calling `refreshed` (see keyring.py)."""

    def __init__(self, database: Database, ledger: Ledger, clock: Clock | None = None) -> None:
        self._database = database
        self._ledger = ledger
        self._keyring = Keyring(self._ask, clock or SystemClock())
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
        email, name = email.strip(), name.strip()
        if not is_email(email):
            raise InvalidInput("email", "must be an e-mail address")
        if not name or len(name) > _LONGEST_NAME or not name.isprintable():
            raise InvalidInput("name", f"must be 1 to {_LONGEST_NAME} printable characters")
        try:
            number = parse_mobile_of_any_market(phone)
        except NotAMobileNumber as error:
            raise InvalidInput("phone", str(error)) from None
        async with self._database.transaction() as tx:
            made = await store.insert_reseller(tx, new_uuid(), email, name, number)
            if made is None:
                raise AlreadyExists(f"The reseller {email}")
            for mode in Mode:
                for currency in (GHS, NGN):
                    await self._ledger.open_wallet(tx, made.id, currency, mode)
        return made

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

    async def list_resellers(self, *, limit: int | None = None, offset: int = 0) -> list[Reseller]:
        """Resellers in the order in which they came, `limit` of them after the first `offset`."""
        async with self._database.connection() as tx:
            return await store.resellers(tx, limit, offset)

    async def add_key(
        self,
        email: str,
        api: str,
        mode: Mode = Mode.LIVE,
        read_limit: int | None = None,
        purchase_limit: int | None = None,
    ) -> tuple[ApiKey, Secret, Secret | None]:
        """Make a key; its text is in the answer and nowhere else. Limits are requests per minute, 1 or more.

        A key of madapi also has a secret, for OAuth with the key as client_id.

        Raises NotFound for an unknown reseller, InvalidInput.
        """
        try:
            known_api = Api(api)
        except ValueError:
            raise InvalidInput("api", f"must be one of {', '.join(Api)}") from None
        reads = _limit("read_limit", read_limit, READ_LIMIT)
        purchases = _limit("purchase_limit", purchase_limit, PURCHASE_LIMIT)
        reseller = await self.find(email)
        start = f"{PREFIX[known_api]}{mode}_"
        text = start + random_text(KEY_LETTERS)
        # The hint gives eight letters away and leaves 190 bits.
        hint = f"{text[: len(start) + 4]}...{text[-4:]}"
        secret = random_text(KEY_LETTERS) if known_api is Api.MADAPI else None
        async with self._database.transaction() as tx:
            key = await store.insert_key(
                tx,
                new_uuid(),
                reseller.id,
                known_api,
                mode,
                digest(text),
                hint,
                reads,
                purchases,
                digest(secret) if secret else None,
            )
            await bump(tx, TOPIC)
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
            await bump(tx, TOPIC)
        self.forget()
        return key

    async def list_keys(self, email: str) -> list[ApiKey]:
        """Every key of a reseller, oldest first, the revoked ones included. Raises NotFound."""
        reseller = await self.find(email)
        async with self._database.connection() as tx:
            return await store.keys_of(tx, reseller.id)

    async def _ask(self, key_text: str) -> Caller | None:
        async with self._database.connection() as tx:
            return await store.caller_of(tx, digest(key_text))


def _limit(field: str, given: int | None, otherwise: int) -> int:
    if given is None:
        return otherwise
    if not 1 <= given <= _LARGEST_LIMIT:
        raise InvalidInput(field, f"must be a whole number from 1 to {_LARGEST_LIMIT}")
    return given
