"""The key that payloads are sealed with: the setting `payload_key`, or the file `secret/payload-key` of the data directory.

The file is made when the first payload is sealed. The database remembers which key it was, and no other is taken for it. Either may
hold older keys behind the first; what was sealed with them opens.
"""

from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from telvend.catalog.kinds import Payload
from telvend.database.agreed_key import AgreedKeys, KeyRecord
from telvend.database.connections import Database
from telvend.kit.keyfile import KeyFile
from telvend.kit.sealing import derived_key, open_sealed, seal
from telvend.kit.secret import Secret
from telvend.orders.payloads import store

FILE: Final = Path("secret") / "payload-key"

_MISSING: Final = (
    "The tokens and PINs of this database's orders are sealed with payload key {}, which is not in {}; bring it back."
)

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


class PayloadKeys(AgreedKeys[PayloadKey]):
    """Which keys are used in this shop. `given` is what the setting holds; without it there is a file."""

    def __init__(self, database: Database, data_dir: Path, given: Secret | None = None) -> None:
        file = KeyFile(data_dir / FILE, "payload key", "payload_key", given)
        record = KeyRecord(store.hold_agreeing_off, store.recorded_key, store.record_key)
        super().__init__(database, file, PayloadKey, record, _MISSING)
