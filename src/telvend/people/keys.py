"""The key that secrets of people are sealed with: the setting `people_key`, or the file `secret/people-key` of the data directory.

Secrets of second factors are sealed, and e-mails that are kept here. The file is made with the first of them. The database
remembers which key it was, and no other is taken for it. Either may hold older keys behind the first; what was sealed with them
opens.
"""

from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from telvend.database.agreed_key import AgreedKeys, KeyRecord
from telvend.database.connections import Database
from telvend.kit.keyfile import KeyFile
from telvend.kit.sealing import derived_key, open_sealed, seal
from telvend.kit.secret import Secret
from telvend.people import store

FILE: Final = Path("secret") / "people-key"

_MISSING: Final = (
    "The second factors of this database's people are sealed with people key {}, which is not in {}; bring it back."
)


class PeopleKey:
    """A key that secrets of people are sealed with. `id` follows from it and gives nothing away."""

    __slots__ = ("_factors", "_mail", "id")

    def __init__(self, key: bytes) -> None:
        self._factors = AESGCM(derived_key(key, b"telvend people: second factors"))
        self._mail = AESGCM(derived_key(key, b"telvend people: e-mails"))
        self.id = derived_key(key, b"telvend people: name")[:8].hex()

    def seal_factor(self, person_id: UUID, secret: str) -> bytes:
        return seal(self._factors, secret.encode(), f"telvend person {person_id}")

    def open_factor(self, person_id: UUID, sealed: bytes) -> str:
        """Raises SealBroken."""
        return open_sealed(self._factors, sealed, f"telvend person {person_id}").decode()

    def seal_email(self, email_id: int, text: str) -> bytes:
        return seal(self._mail, text.encode(), f"telvend e-mail {email_id}")

    def open_email(self, email_id: int, sealed: bytes) -> str:
        """Raises SealBroken."""
        return open_sealed(self._mail, sealed, f"telvend e-mail {email_id}").decode()

    def __repr__(self) -> str:
        return f"PeopleKey({self.id})"


class PeopleKeys(AgreedKeys[PeopleKey]):
    """Which keys are used in this shop. `given` is what the setting holds; without it there is a file."""

    def __init__(self, database: Database, data_dir: Path, given: Secret | None = None) -> None:
        file = KeyFile(data_dir / FILE, "people key", "people_key", given)
        record = KeyRecord(store.hold_agreeing_off, store.recorded_key, store.record_key)
        super().__init__(database, file, PeopleKey, record, _MISSING)
