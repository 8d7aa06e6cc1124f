"""Identifiers that people see: our references of orders.

A reference carries the number of its row, so that it is found through the primary key without an index of its own, and
a check that cannot be guessed from the number: `NPAPI-4711-7kq2xd`.
"""

import hashlib
import itertools
import re
import secrets
import uuid
from functools import lru_cache
from typing import Final

_REFERENCE = re.compile(r"\A([A-Z]{2,8})-([1-9]\d{0,17})-([0-9a-z]{6})\Z", re.ASCII)
_REQUEST_ID = re.compile(rb"\A[A-Za-z0-9._-]{1,64}\Z")
_BASE32: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_MOST_DIGITS: Final = 18
"""Any number of so many digits fits into 64 bits."""

_PAIRS: Final = [first + second for first in _BASE32 for second in _BASE32]


def reference_of(prefix: str, number: int, salt: bytes) -> str:
    """Our reference for row `number`; `salt` is the installation's own, so that checks differ between shops."""
    check = _keyed(salt).copy()
    check.update(number.to_bytes(8, "big"))
    mixed = int.from_bytes(check.digest(), "big")
    return f"{prefix}-{number}-{_PAIRS[mixed & 1023]}{_PAIRS[mixed >> 10 & 1023]}{_PAIRS[mixed >> 20 & 1023]}"


@lru_cache(maxsize=8)
def _keyed(salt: bytes) -> "hashlib.blake2b":
    """The hash of a shop's checks before anything is put in: to copy it takes half the time of keying it anew."""
    return hashlib.blake2b(digest_size=4, key=salt)


def number_in(reference: str) -> int | None:
    """The row number inside a reference of ours, or None where the text has not that form."""
    match = _REFERENCE.match(reference)
    return int(match[2]) if match else None


def number_named(text: str) -> int | None:
    """The row number that a person names, by one of our references or by the number alone; None where the text is neither."""
    plain = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if plain else number_in(text)


def new_uuid() -> uuid.UUID:
    """A random identifier for accounts and keys."""
    return uuid.uuid4()


_request_prefix: Final = secrets.token_hex(6).encode()
_request_numbers = itertools.count(1)


def new_request_id() -> bytes:
    """An identifier for one request: random for the process, then counted; cheap enough for every request."""
    return b"%b-%x" % (_request_prefix, next(_request_numbers))


def request_id_of(given: bytes | None) -> bytes:
    """The client's own X-Request-ID where it can be used, else a new one."""
    return given if given is not None and _REQUEST_ID.match(given) else new_request_id()
