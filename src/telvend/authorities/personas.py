"""The built-in authority: people who do not exist. Every well-formed number is somebody, always the same one.

Who somebody is follows from a keyed hash of the number, so that a test written today finds the same person next year, on
every installation. Some numbers are not people but situations:

    12345678901        John, as the networkdatasub document prints him
    …0404              not on record
    …0407              blocked, as a BVN
    …0408              answered after 3 seconds
    …0503              the authority is down

Nothing here is about anybody: names, dates and places are put together from lists.
"""

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final, TypeVar

from telvend.authorities.contract import (
    Answer,
    AuthorityTraits,
    Blocked,
    Found,
    Gender,
    NotOnRecord,
    Record,
    Unavailable,
    VerificationKind,
)
from telvend.authorities.portrait import portrait, signature
from telvend.kit.clock import Clock, SystemClock
from telvend.kit.secret import Secret

NAME: Final = "personas"
Item = TypeVar("Item")

_KEY: Final = b"telvend personas, 1"
"""Part of what everybody's tests expect: another key would make everybody somebody else."""

SLOW_S: Final = 3.0
RETRY_AFTER_S: Final = 30

JOHN: Final = "12345678901"

SITUATIONS: Final = (
    ("0404", "Not on record. Nothing is charged."),
    ("0407", "Blocked, as a BVN. Nothing is charged."),
    ("0408", f"Answered after {SLOW_S:.0f} seconds."),
    ("0503", "No answer. Nothing is charged."),
)
"""The answers to numbers with these last digits; no persona has such a number."""

_NOT_ON_RECORD, _BLOCKED, _SLOW, _DOWN = (ending for ending, _ in SITUATIONS)

# Both pictures of the document's example are this one pixel.
_PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
# Source: networkdatasub document, "Verify NIN" and "Verify BVN". The two examples give him his names in another order,
# and the page that we have hides his e-mail address: this is what it prints in its place.
_JOHN_BY_KIND: Final = {
    VerificationKind.NIN: Record(
        first_name="John",
        middle_name="Doe",
        last_name="Smith",
        date_of_birth=date(1990, 1, 1),
        gender=Gender.MALE,
        mobile="08012345678",
        address="123 Main Street",
        town="Ikeja",
        lga="Ikeja",
        state="Lagos",
        issue_date=date(2025, 5, 18),
        photo=_PIXEL,
        signature=_PIXEL,
    ),
    VerificationKind.BVN: Record(
        first_name="John",
        middle_name="Smith",
        last_name="Doe",
        date_of_birth=date(1990, 1, 1),
        gender=Gender.MALE,
        mobile="08012345678",
        email="[email protected]",
        address="123 Main Street",
        town="Ikeja",
        lga="Ikeja",
        state="Lagos",
        issue_date=date(2025, 5, 18),
        photo=_PIXEL,
        signature=_PIXEL,
    ),
}

_MEN: Final = (
    "Adebayo", "Chinedu", "Ibrahim", "Emeka", "Oluwaseun", "Musa", "Tunde", "Obinna", "Yusuf", "Femi", "Kelechi",
    "Aminu", "Segun", "Uche", "Bashir", "Kunle", "Ifeanyi", "Sani", "Ayodele", "Nnamdi", "Efe", "Tamuno", "Bello",
)  # fmt: skip
_WOMEN: Final = (
    "Aisha", "Chioma", "Folake", "Ngozi", "Halima", "Bukola", "Adaeze", "Zainab", "Yetunde", "Amaka", "Fatima",
    "Titilayo", "Ifeoma", "Hauwa", "Omolara", "Nkechi", "Maryam", "Damilola", "Ebele", "Rukayat", "Osas", "Ibinabo",
)  # fmt: skip
_FAMILIES: Final = (
    "Adeyemi", "Okafor", "Bello", "Eze", "Abubakar", "Ogunleye", "Nwosu", "Danjuma", "Balogun", "Okonkwo", "Lawal",
    "Adesina", "Umar", "Obi", "Akinwale", "Garba", "Chukwu", "Olawale", "Suleiman", "Igwe", "Oyelaran", "Aliyu",
    "Okoro", "Fashola", "Etim", "Tarka", "Amadi", "Ekanem",
)  # fmt: skip
_PLACES: Final = (
    ("Lagos", "Surulere", "Surulere"), ("Lagos", "Eti-Osa", "Lekki"), ("Lagos", "Alimosho", "Egbeda"),
    ("Oyo", "Ibadan North", "Ibadan"), ("Ogun", "Abeokuta South", "Abeokuta"), ("Kano", "Nassarawa", "Kano"),
    ("Kaduna", "Kaduna North", "Kaduna"), ("Rivers", "Obio/Akpor", "Port Harcourt"), ("Enugu", "Enugu North", "Enugu"),
    ("Anambra", "Onitsha South", "Onitsha"), ("Edo", "Oredo", "Benin City"), ("Delta", "Warri South", "Warri"),
    ("Plateau", "Jos North", "Jos"), ("Kwara", "Ilorin West", "Ilorin"), ("Imo", "Owerri Municipal", "Owerri"),
    ("FCT", "Abuja Municipal", "Garki"), ("Akwa Ibom", "Uyo", "Uyo"), ("Borno", "Maiduguri", "Maiduguri"),
)  # fmt: skip
_STREETS: Final = (
    "Awolowo Road", "Market Street", "Unity Close", "Ahmadu Bello Way", "Palm Avenue", "Station Road", "Hospital Road",
    "Mission Street", "Independence Way", "Church Street", "Stadium Road", "Harmony Crescent",
)  # fmt: skip
# The first digits of mobile numbers that Nigeria has given out.
_MOBILE_PREFIXES: Final = ("0803", "0806", "0813", "0703", "0802", "0808", "0812", "0805", "0807", "0809", "0817")


class Personas:
    """The personas as an authority. It needs nothing from outside and never fails by itself."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    @property
    def name(self) -> str:
        return NAME

    @property
    def traits(self) -> AuthorityTraits:
        return AuthorityTraits(pretends=True)

    async def nin(self, number: Secret) -> Answer:
        return await self._answer(VerificationKind.NIN, number.reveal())

    async def bvn(self, number: Secret) -> Answer:
        return await self._answer(VerificationKind.BVN, number.reveal())

    async def close(self) -> None:
        """Nothing to give back."""

    async def _answer(self, kind: VerificationKind, number: str) -> Answer:
        if number.endswith(_NOT_ON_RECORD):
            return NotOnRecord()
        if number.endswith(_BLOCKED) and kind is VerificationKind.BVN:
            return Blocked()
        if number.endswith(_DOWN):
            return Unavailable(RETRY_AFTER_S, "the personas are down for numbers that end so")
        if number.endswith(_SLOW):
            await self._clock.sleep(SLOW_S)
        return Found(persona(kind, number))


def persona(kind: VerificationKind, number: str) -> Record:
    """Who has this number: the same person for a NIN and a BVN of the same digits."""
    if number == JOHN:
        return _JOHN_BY_KIND[kind]
    seed = hashlib.blake2b(number.encode(), digest_size=32, key=_KEY).digest()
    gender = (Gender.MALE, Gender.FEMALE)[seed[0] % 2]
    names = _MEN if gender is Gender.MALE else _WOMEN
    first, last = _of(names, seed, 1), _of(_FAMILIES, seed, 5)
    # Nobody has the same name twice; the last of these is never the first name.
    after_first = names[(names.index(first) + 1) % len(names)]
    middle = next(name for name in (_of(names, seed, 3), _of(names, seed, 17), after_first) if name != first)
    state, lga, town = _of(_PLACES, seed, 7)
    born = date(1950, 1, 1) + timedelta(days=_number(seed, 9) % 20_450)  # To the end of 2005.
    issued = date(2012, 9, 1) + timedelta(days=_number(seed, 11) % 4_500)  # NINs have been given out since 2012.
    digits = int.from_bytes(seed[13:17], "big") % 10_000_000
    return Record(
        first_name=first,
        middle_name=middle,
        last_name=last,
        date_of_birth=born,
        gender=gender,
        mobile=f"{_of(_MOBILE_PREFIXES, seed, 19)}{digits:07}",
        email=f"{first}.{last}{seed[21] % 100}@example.com".lower(),
        address=f"{seed[22] % 120 + 1} {_of(_STREETS, seed, 23)}",
        town=town,
        lga=lga,
        state=state,
        issue_date=max(issued, born + timedelta(days=16 * 366)),
        photo=portrait(seed[25:28]),
        signature=signature(seed[28:31]),
    )


def _of(items: Sequence[Item], seed: bytes, at: int) -> Item:
    return items[_number(seed, at) % len(items)]


def _number(seed: bytes, at: int) -> int:
    return int.from_bytes(seed[at : at + 2], "big")
