"""What an authority is: somebody who is asked whose number this is, and answers with a record or without one.

Each question has one of five answers. They are values, not exceptions, because each is expected:

| answer        | what it means                                        | what the sale does                          |
|---------------|------------------------------------------------------|---------------------------------------------|
| `Found`       | here is the record                                   | the hold is posted: the record is the value |
| `NotOnRecord` | the authority answered: there is no such number      | the hold is released                        |
| `Blocked`     | the authority answered: this number is barred        | the hold is released                        |
| `Unavailable` | the authority cannot answer now                      | the hold is released; try again later       |
| `VerificationUnknown`     | it said something that nobody can understand         | the hold is released; somebody should look  |

Unlike airtime, the answer itself is what is sold. Without one nothing was delivered, so nothing is ever left in doubt.

An authority must not raise for anything that the far side does, and must not put a number, a name or anything else of a
record into a `text`: those are logged.
"""

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from telvend.kit.secret import Secret

TIMEOUT_S: Final = 8.0
"""How long an authority may take to answer."""


class VerificationKind(StrEnum):
    """Which register a number is looked up in."""

    NIN = "nin"
    """The National Identification Number, kept by the National Identity Management Commission."""
    BVN = "bvn"
    """The Bank Verification Number, kept by the Nigeria Inter-Bank Settlement System."""


class Gender(StrEnum):
    """As records say it. Empty where an authority says nothing that we understand."""

    MALE = "Male"
    FEMALE = "Female"
    UNSAID = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What an authority knows of a person, in one form whoever said it. What it does not say is empty, or None.

    Names are written as people write them; `mobile` in the national form; `photo` and `signature` are PNG or JPEG in
    base64 without a prefix. The number itself is not part of it. It prints as stars.
    """

    first_name: str = ""
    middle_name: str = ""
    last_name: str = ""
    date_of_birth: date | None = None
    gender: Gender = Gender.UNSAID
    mobile: str = ""
    email: str = ""
    address: str = ""
    town: str = ""
    lga: str = ""
    state: str = ""
    issue_date: date | None = None
    photo: str = ""
    signature: str = ""

    def __repr__(self) -> str:
        return "Record(********)"


@dataclass(frozen=True, slots=True)
class Found:
    """The number is on record."""

    record: Record


@dataclass(frozen=True, slots=True)
class NotOnRecord:
    """The authority has no such number."""

    text: str = "not on record"


@dataclass(frozen=True, slots=True)
class Blocked:
    """The authority knows the number and says that it is barred. Only BVNs are."""

    text: str = "blocked"


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The authority cannot answer now. `ours_to_mend`: our key or our money there is what is wrong."""

    retry_after_s: int = 30
    text: str = "unavailable"
    ours_to_mend: bool = False


@dataclass(frozen=True, slots=True)
class VerificationUnknown:
    """The authority said something that is not one of its documented answers. `text` is for the operator."""

    text: str = field(default="unknown")


Answer = Found | NotOnRecord | Blocked | Unavailable | VerificationUnknown
ANSWERS: Final = (Found, NotOnRecord, Blocked, Unavailable, VerificationUnknown)


@dataclass(frozen=True, slots=True)
class AuthorityTraits:
    """Facts about an authority. `pretends`: its records are invented, and a request to it costs nothing."""

    pretends: bool = False


class Authority(Protocol):
    """Somebody who keeps records of people. Implementations: `client.py` how to call, `wire.py` what they say."""

    @property
    def name(self) -> str:
        """The name in settings, on stored records and on the ledger's account: `prembly`."""

    @property
    def traits(self) -> AuthorityTraits: ...

    async def nin(self, number: Secret) -> Answer:
        """Whose NIN is this (11 digits)? Called with no transaction open."""

    async def bvn(self, number: Secret) -> Answer:
        """Whose BVN is this (11 digits)? Called with no transaction open."""

    async def close(self) -> None:
        """Give connections back."""
