"""Sealing what is known of people: a key for each check, wrapped by a master key that is not in the database.

    master key ── HKDF ──> wrapping key ── AES-256-GCM ──> the check's own key, wrapped
               └─ HKDF ──> look-up key  ── HMAC-SHA256 ──> what a number is found by
    the check's own key ── AES-256-GCM ──> number, record

Everything sealed is bound to the check it belongs to and to what it is, so that it opens nowhere else. Whoever has the
database alone has nothing; destroying a check's own key destroys what it sealed.

The master key is `identity_master_key` of the settings, or the file `secret/identity-master-key` of the data directory,
made on first start. Either may hold several, newest first: during a rotation, the old one is still needed.
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from telvend.errors import InvariantBroken
from telvend.kit.keyfile import KEY_BYTES, KeyFile, KeyRefused, key_text, new_key
from telvend.kit.secret import Secret

FILE: Final = Path("secret") / "identity-master-key"
_NONCE_BYTES: Final = 12


class SealBroken(InvariantBroken):
    """Something sealed does not open: it was changed, moved, or sealed with another key."""


class VaultRefused(KeyRefused):
    """The master key cannot be had. The message is one sentence for the shop-keeper."""


class RecordKey:
    """The key of one check. It seals and opens what belongs to that check, and prints as stars."""

    __slots__ = ("_bytes", "_cipher", "_id")

    def __init__(self, verification_id: int, key: bytes) -> None:
        self._id = verification_id
        self._bytes = key
        self._cipher = AESGCM(key)

    @classmethod
    def new(cls, verification_id: int) -> "RecordKey":
        return cls(verification_id, secrets.token_bytes(KEY_BYTES))

    def seal(self, what: str, text: bytes) -> bytes:
        """`what` (number, record) has to be said again to open it."""
        return _seal(self._cipher, text, f"telvend identity {what} {self._id}")

    def open(self, what: str, sealed: bytes) -> bytes:
        """Raises SealBroken."""
        return _open(self._cipher, sealed, f"telvend identity {what} {self._id}")

    def __repr__(self) -> str:
        return "RecordKey(********)"


class MasterKey:
    """One master key. `id` follows from it and gives nothing away; it stands beside everything wrapped with the key."""

    __slots__ = ("_bytes", "_lookup", "_wrapping", "id")

    def __init__(self, key: bytes) -> None:
        self._bytes = key
        self._wrapping = AESGCM(_derived(key, b"telvend identity: wrapping"))
        self._lookup = _derived(key, b"telvend identity: look-up")
        self.id = _derived(key, b"telvend identity: name")[:8].hex()

    @classmethod
    def new(cls) -> "MasterKey":
        return cls(new_key())

    def wrap(self, verification_id: int, key: RecordKey) -> bytes:
        return _seal(self._wrapping, key._bytes, f"telvend identity key {verification_id} {self.id}")  # noqa: SLF001

    def unwrap(self, verification_id: int, wrapped: bytes) -> RecordKey:
        """Raises SealBroken."""
        return RecordKey(
            verification_id, _open(self._wrapping, wrapped, f"telvend identity key {verification_id} {self.id}")
        )

    def lookup(self, kind: str, number: str) -> bytes:
        """What a number is found by: the same for the same number, and of no use without the master key."""
        return hmac.digest(self._lookup, f"{kind} {number}".encode(), hashlib.sha256)

    def text(self) -> str:
        """The key itself, for its file."""
        return key_text(self._bytes)

    def __repr__(self) -> str:
        return f"MasterKey({self.id})"


class MasterKeys:
    """The master keys of this installation, newest first. They come from the settings where those have any."""

    def __init__(self, data_dir: Path, given: Secret | None = None) -> None:
        self._file = KeyFile(data_dir / FILE, "identity master key", "identity_master_key", given, VaultRefused)
        self._keys: dict[str, MasterKey] = {}
        self.reload()

    @property
    def from_settings(self) -> bool:
        return self._file.from_settings

    @property
    def place(self) -> str:
        """Where the keys are, for sentences."""
        return self._file.place

    @property
    def all(self) -> tuple[MasterKey, ...]:
        return tuple(self._keys.values())

    def get(self, master_id: str) -> MasterKey | None:
        return self._keys.get(master_id)

    def reload(self) -> None:
        """Read them again. Raises VaultRefused where what is there is not a key."""
        keys = [MasterKey(key) for key in self._file.read()]
        self._keys = {key.id: key for key in keys}

    def make_first(self) -> MasterKey:
        """Make the first key and its file, unless somebody else has just done so. Raises VaultRefused."""
        self._file.make_first(new_key())
        self.reload()
        return self.all[0]

    def add(self, key: MasterKey) -> None:
        """Put a new key before the others, durably. Only where they are in a file."""
        self._keep([key, *self.all])

    def drop_all_but(self, master_ids: Collection[str]) -> None:
        """Forget every other key. Only where they are in a file."""
        self._keep([key for key in self.all if key.id in master_ids])

    def _keep(self, keys: list[MasterKey]) -> None:
        self._file.replace([key._bytes for key in keys])  # noqa: SLF001
        self.reload()


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(key)


def _seal(cipher: AESGCM, text: bytes, bound_to: str) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, text, bound_to.encode())


def _open(cipher: AESGCM, sealed: bytes, bound_to: str) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode())
    except (InvalidTag, ValueError) as error:
        raise SealBroken(f"what is sealed as {bound_to!r} does not open") from error
