"""Sealing with AES-256-GCM under a key, and deriving keys from a key: what every room that keeps secrets uses.

    cipher = AESGCM(derived_key(key, b"telvend identity: wrapping"))
    sealed = seal(cipher, b"...", "telvend identity number 4711")
    open_sealed(cipher, sealed, "telvend identity number 4711")

What is sealed is bound to a text that names it: it opens under the same text alone, so that nothing can be moved to another row.
"""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from telvend.errors import InvariantBroken
from telvend.kit.keyfile import KEY_BYTES

_NONCE_BYTES: Final = 12


class SealBroken(InvariantBroken):
    """Something sealed does not open: it was changed, moved, or sealed with another key."""


def derived_key(key: bytes, purpose: bytes) -> bytes:
    """Return the key for one purpose that follows from `key`; it says nothing about those for other purposes."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(key)


def seal(cipher: AESGCM, text: bytes, bound_to: str) -> bytes:
    """Return `text` sealed, with its nonce in front."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, text, bound_to.encode())


def open_sealed(cipher: AESGCM, sealed: bytes, bound_to: str) -> bytes:
    """Return what was sealed. Raises SealBroken."""
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode())
    except (InvalidTag, ValueError) as error:
        raise SealBroken(f"what is sealed as {bound_to!r} does not open") from error
