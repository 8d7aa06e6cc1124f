"""The key that secrets of endpoints are sealed with: the setting `webhook_key`, or the file `secret/webhook-key` of the data directory.

The file is made with the first endpoint. The database remembers which key it was, and no other is taken for it. Either may hold
older keys behind the first; what was sealed with them opens.
"""

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from telvend.database.agreed_key import AgreedKeys, KeyRecord
from telvend.database.connections import Database
from telvend.kit.keyfile import KeyFile
from telvend.kit.sealing import derived_key, open_sealed, seal
from telvend.kit.secret import Secret
from telvend.webhooks import store

FILE: Final = Path("secret") / "webhook-key"

_MISSING: Final = (
    "The secrets of this database's webhooks are sealed with webhook key {}, which is not in {}; bring it back."
)


class WebhookKey:
    """A key that secrets of endpoints are sealed with. `id` follows from it and gives nothing away.

    `listening` is the secret that sessions of `webhook listen` sign with.
    """

    __slots__ = ("_cipher", "id", "listening")

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(derived_key(key, b"telvend webhook: sealing"))
        self.id = derived_key(key, b"telvend webhook: name")[:8].hex()
        self.listening = derived_key(key, b"telvend webhook: listening")

    def seal(self, endpoint_id: int, secret: bytes) -> bytes:
        return seal(self._cipher, secret, f"telvend webhook {endpoint_id}")

    def open(self, endpoint_id: int, sealed: bytes) -> bytes:
        """Raises SealBroken."""
        return open_sealed(self._cipher, sealed, f"telvend webhook {endpoint_id}")

    def __repr__(self) -> str:
        return f"WebhookKey({self.id})"


class WebhookKeys(AgreedKeys[WebhookKey]):
    """Which keys are used in this shop. `given` is what the setting holds; without it there is a file."""

    def __init__(self, database: Database, data_dir: Path, given: Secret | None = None) -> None:
        file = KeyFile(data_dir / FILE, "webhook key", "webhook_key", given)
        record = KeyRecord(store.hold_agreeing_off, store.recorded_key, store.record_key)
        super().__init__(database, file, WebhookKey, record, _MISSING)
