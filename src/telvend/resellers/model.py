"""Who buys: the reseller, its keys, and the caller that a request turns out to come from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final
from uuid import UUID

from telvend.kit.mode import Mode
from telvend.kit.secret import Secret

# What browsers take for an e-mail address. It is ASCII only, so that the database and we agree on capitals.
# Source: HTML Standard, "valid email address", https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address
_EMAIL: Final = re.compile(
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
    r"@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*",
    re.ASCII,
)
_LONGEST_EMAIL: Final = 254  # RFC 5321 leaves room for no more.


@dataclass(frozen=True, slots=True)
class Reseller:
    """An account. `number` is the integer that networkdatasub calls the user's id; `phone` is in E.164.

    `suspended_at` is None while its keys work.
    """

    id: UUID
    number: int
    email: str
    name: str
    phone: str
    created_at: datetime
    suspended_at: datetime | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Profile(Reseller):
    """An account with what the operator filled in about it.

    `avatar_token`: the random name of the picture that is kept, None without one. Whoever knows it may see the picture.
    """

    address: str
    gender: str
    date_of_birth: date | None
    email_verified: bool
    phone_verified: bool
    id_verified: bool
    avatar_token: str | None = field(repr=False)
    suspended_reason: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key after it was shown: never its text. Limits are requests per minute.

    `hint` is its first and last letters, so that a person can tell keys apart. `revoked_at` is None while it works.
    `used_at`: when a request was last made with it, to a minute; None before the first one.
    """

    id: UUID
    reseller_id: UUID
    api: str
    mode: Mode
    hint: str
    read_limit: int
    purchase_limit: int
    created_at: datetime
    revoked_at: datetime | None
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made, shown this once. `secret`: of an API whose keys have one."""

    key: ApiKey
    text: Secret
    secret: Secret | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request, as its key says. Limits are requests per minute.

    `key_bytes` are the 16 bytes of `key_id`, for shared memory. `wallets` are the reseller's wallets in the key's mode:
    currency code to wallet id. `expires_in_s`: how long it may be remembered, counted from when it was looked up; None for
    a key, which lasts until it is revoked, and so many seconds for a token of one.
    """

    reseller_id: UUID
    reseller_number: int
    key_id: UUID
    key_bytes: bytes
    api: str
    mode: Mode
    read_limit: int
    purchase_limit: int
    wallets: Mapping[str, int]
    expires_in_s: float | None = None


def is_email(text: str) -> bool:
    """Whether this has the form of an e-mail address; whether it exists is another matter."""
    return len(text) <= _LONGEST_EMAIL and _EMAIL.fullmatch(text) is not None
