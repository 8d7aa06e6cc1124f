"""The key that payloads are sealed with: the setting `payload_key`, or the file `secret/payload-key` of the data directory.

The file is made when the first payload is sealed. The database remembers which key it was, and no other is taken for it. Either may
hold older keys behind the first; what was sealed with them opens.
"""

import asyncio
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from telvend.catalog.kinds import Payload
from telvend.database.connections import Database
from telvend.kit.keyfile import KeyFile, KeyMissing, new_key
from telvend.kit.sealing import derived_key, open_sealed, seal
from telvend.kit.secret import Secret
from telvend.orders.payloads import store

FILE: Final = Path("secret") / "payload-key"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[dict[str, str]]).decode


class PayloadKey:
    """A key that payloads are sealed with. `id` follows from it and gives nothing away."""

    __slots__ = ("_cipher", "id")

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(derived_key(key, b"telvend payload: sealing"))
        self.id = derived_key(key, b"telvend payload: name")[:8].hex()

    def seal(self, order_id: int, payload: Payload) -> bytes:
        return seal(self._cipher, _encode(payload.reveal()), f"telvend payload {order_id}")

    def open(self, order_id: int, sealed: bytes) -> Payload:
        """Raises SealBroken."""
        return Payload(_decode(open_sealed(self._cipher, sealed, f"telvend payload {order_id}")))

    def __repr__(self) -> str:
        return f"PayloadKey({self.id})"


class PayloadKeys:
    """Which keys are used in this shop. `given` is what the setting holds; without it there is a file."""

    def __init__(self, database: Database, data_dir: Path, given: Secret | None = None) -> None:
        self._database = database
        self._file = KeyFile(data_dir / FILE, "payload key", "payload_key", given)
        self._key: PayloadKey | None = None
        self._agreeing = asyncio.Lock()

    @property
    def from_settings(self) -> bool:
        """Whether the keys stand in the settings."""
        return self._file.from_settings

    async def check(self) -> None:
        """See that the key in use, if any, is here; makes nothing. Raises KeyRefused, Busy."""
        async with self._database.connection() as tx:
            recorded = await store.recorded_key(tx)
        self._file.read()
        if recorded is not None:
            self.named(recorded)

    async def ready(self) -> PayloadKey:
        """Return the key to seal with; it is made where nothing was ever sealed. Raises KeyRefused, Busy."""
        async with self._agreeing:
            if self._key is None:
                self._key = await self._agree()
        return self._key

    def named(self, key_id: str) -> PayloadKey:
        """Return the key of this id. Raises KeyRefused."""
        for key in map(PayloadKey, self._file.read()):
            if key.id == key_id:
                return key
        raise KeyMissing(
            f"The tokens and PINs of this database's orders are sealed with payload key {key_id}, which is not in"
            f" {self._file.place}; bring it back."
        )

    async def _agree(self) -> PayloadKey:
        async with self._database.transaction() as tx:
            # The first process makes the key. The others read the file after it, once they are let in.
            await store.hold_agreeing_off(tx)
            recorded = await store.recorded_key(tx)
            if recorded is not None:
                return self.named(recorded)
            if not self._file.read():
                self._file.make_first(new_key())
            first = PayloadKey(self._file.read()[0])
            await store.record_key(tx, first.id)
        return first
