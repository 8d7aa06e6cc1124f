"""People as records: who signs in, with which session, by which links; and the pure rules of passwords, PINs and zones."""

import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from telvend.errors import InvalidInput, InvariantBroken, NotAuthenticated, NotFound, NotPermitted, TooManyRequests
from telvend.kit.mode import Mode
from telvend.kit.phone import masked
from telvend.kit.secret import Secret

SHORTEST_PASSWORD: Final = 10
LONGEST_PASSWORD: Final = 200
PIN_FAILURES: Final = 5
"""After so many wrong PINs in a row nothing is bought until its owner has given the password."""

_PIN: Final = re.compile(r"[0-9]{4}", re.ASCII)
_VERSION: Final = re.compile(r"[\d._]+")
_LONGEST_AGENT: Final = 300
_LONGEST_ADDRESS: Final = 64


class Surface(StrEnum):
    """Which half of the pages a session opens. Neither opens the other."""

    PORTAL = "portal"
    CONSOLE = "console"


class Role(StrEnum):
    """What a person may do in the console."""

    OWNER = "owner"
    """Everything, and gives roles."""
    FINANCE = "finance"
    """Money: credits, refunds, decisions, prices."""
    SUPPORT = "support"
    """Looks at everything, and asks providers again."""


class Purpose(StrEnum):
    """What a token is for that is used once."""

    VERIFY = "verify"
    RESET = "reset"
    INVITE = "invite"
    """A reseller that was made by command gets a person."""
    STAFF = "staff"
    """Somebody gets roles of the console."""
    CONSOLE = "console"
    """Makes an owner, or resets one."""
    SECOND_STEP = "second_step"
    """The password was right; the code of the second factor is missing."""


LINK_PATHS: Final = {
    Purpose.VERIFY: "/verify",
    Purpose.RESET: "/reset",
    Purpose.INVITE: "/invitation",
    Purpose.STAFF: "/console/invitation",
    Purpose.CONSOLE: "/console/link",
}
"""The page of each kind of link: `/reset/<token>`."""

LINK_LASTS: Final = {
    Purpose.VERIFY: timedelta(days=3),
    Purpose.RESET: timedelta(hours=1),
    Purpose.INVITE: timedelta(hours=72),
    Purpose.STAFF: timedelta(hours=72),
    Purpose.CONSOLE: timedelta(hours=1),
    Purpose.SECOND_STEP: timedelta(minutes=5),
}
IDLE: Final = {Surface.PORTAL: timedelta(days=7), Surface.CONSOLE: timedelta(hours=2)}
"""A session ends when nothing was seen of it for so long."""
LASTS: Final = {Surface.PORTAL: timedelta(days=30), Surface.CONSOLE: timedelta(hours=12)}
"""A session ends in any case after so long."""


class SignUp(StrEnum):
    """Who may get an account in the portal; the setting `signup`."""

    OPEN = "open"
    INVITE = "invite"
    CLOSED = "closed"


def _printable(text: str, longest: int) -> str:
    return "".join(letter for letter in text[: longest * 2] if letter.isprintable())[:longest]


@dataclass(frozen=True, slots=True)
class FromWhere:
    """Where a request came from: the client's address and its User-Agent, as short printable texts."""

    address: str
    agent: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", _printable(self.address, _LONGEST_ADDRESS))
        object.__setattr__(self, "agent", _printable(self.agent, _LONGEST_AGENT))

    @property
    def device(self) -> str:
        """The agent without its versions, which change every few weeks."""
        return _VERSION.sub("", self.agent)


COMMAND: Final = FromWhere("command line")
"""Where acts of the command line come from."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signs in. `zone` is the IANA name in which times are shown to this person."""

    id: UUID
    email: str
    name: str
    phone: str
    zone: str
    email_verified: bool
    has_totp: bool
    has_pin: bool
    member_of: UUID | None
    created_at: datetime
    suspended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A session as its owner sees it: where from, since when, until when."""

    id: int
    surface: Surface
    agent: str
    address: str
    made_at: datetime
    seen_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page: the person, and the session by which it is known. `csrf` stands in every form."""

    person: Person
    session: Session
    mode: Mode
    csrf: str = field(repr=False)
    roles: frozenset[Role] = frozenset()

    @property
    def reseller_id(self) -> UUID:
        """Whose portal this is. Only a session of the portal has one."""
        if self.person.member_of is None:
            raise InvariantBroken("A person of the console alone was asked for its reseller.")
        return self.person.member_of


@dataclass(frozen=True, slots=True)
class SessionToken:
    """A session that has just begun: what the cookie holds, and for how long. Only its digest is stored."""

    secret: Secret
    lasts_s: int
    surface: Surface


@dataclass(frozen=True, slots=True)
class Link:
    """What a link is for, before it is used. `name`: of the reseller or person that it is about; empty where there is none."""

    purpose: Purpose
    email: str
    ends_at: datetime
    name: str = ""
    roles: frozenset[Role] = frozenset()


@dataclass(frozen=True, slots=True)
class Staff:
    """Somebody with roles of the console."""

    person: Person
    roles: frozenset[Role]
    seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did. `thing` and `key` say on what, such as "reseller" and its e-mail address.

    `before` and `after` say what it changed; secrets in them are starred, numbers masked, when it is recorded.
    """

    what: str
    thing: str
    key: str
    reason: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RecordedAct(Act):
    """An act with who did it, when and from where. `person_id` is None where nobody was signed in."""

    id: int = field(default=0, kw_only=True)
    done_at: datetime = field(kw_only=True)
    person_id: UUID | None = field(kw_only=True)
    who: str = field(kw_only=True)
    surface: str = field(kw_only=True)
    address: str = field(kw_only=True)


# Errors -----------------------------------------------------------------------------------------------------------------


class SignInRefused(NotAuthenticated):
    """The login and the password do not belong together. Unknown logins are not told apart."""

    def __init__(self) -> None:
        Exception.__init__(self, "This e-mail address or phone number and this password do not belong together.")


class SecondFactorNeeded(NotAuthenticated):
    """The password was right. `ticket` goes to `People.second_step` with a code, within five minutes."""

    def __init__(self, ticket: Secret) -> None:
        self.ticket = ticket
        Exception.__init__(self, "Enter the code of your authenticator app, or a recovery code.")


class CodeRefused(NotAuthenticated):
    """The code of the second factor is wrong, or was used before."""

    def __init__(self) -> None:
        Exception.__init__(self, "This code is not right, or was used before. Wait for the next one.")


class AccountSuspended(NotPermitted):
    """The password was right, and the account is suspended."""

    def __init__(self) -> None:
        self.what = "sign in"
        Exception.__init__(self, "This account is suspended. Write to the shop.")


class SignUpRefused(NotPermitted):
    """Nobody may sign up by themselves; `signup` is not `open`."""

    def __init__(self, sentence: str = "Nobody can sign up here without an invitation of the shop.") -> None:
        self.what = "sign up"
        Exception.__init__(self, sentence)


class EmailTaken(InvalidInput):
    """Somebody has an account with this e-mail address."""

    def __init__(self) -> None:
        super().__init__("email", "has an account already; sign in, or ask for a new password")


class EmailNotVerified(NotPermitted):
    """Nothing is bought with real money by a page before the e-mail address is proven."""

    def __init__(self) -> None:
        self.what = "buy with real money"
        Exception.__init__(
            self, "Confirm your e-mail address first: open the link that was sent to it, or have another one sent."
        )


class LinkEnded(NotFound):
    """A link that was used, is too old, or was replaced by a newer one: 410 for a browser."""

    def __init__(self) -> None:
        NotFound.__init__(self, "Link", "This link was used already, is too old, or there is a newer one.")


class TooManyAttempts(TooManyRequests):
    """Too many attempts in a short time; the next one is taken in `retry_after_s` seconds."""

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        self.limit = 0
        count, unit = (retry_after_s, "second") if retry_after_s < 60 else (-(-retry_after_s // 60), "minute")
        wait = f"{count} {unit}{'s' * (count != 1)}"
        Exception.__init__(self, f"Too many attempts; try again in {wait}.")


class PurchasePinRefused(InvalidInput):
    """The purchase PIN is wrong; after `left` more wrong ones nothing is bought until the password was given."""

    def __init__(self, left: int) -> None:
        self.left = left
        text = f"is wrong; {left} attempt{'s' * (left != 1)} left" if left else "is wrong, and is locked now"
        super().__init__("pin", text)


class PurchasePinLocked(NotPermitted):
    """Too many wrong PINs in a row: its owner lifts it with the password."""

    def __init__(self) -> None:
        self.what = "buy"
        Exception.__init__(self, "Your PIN was wrong too often and is locked. Unlock it with your password.")


# Rules ------------------------------------------------------------------------------------------------------------------


def require_password(password: Secret, field: str = "password") -> str:
    """Return a new password in its one spelling. Raises InvalidInput, which does not repeat it."""
    text = password_text(password)
    if not SHORTEST_PASSWORD <= len(text) <= LONGEST_PASSWORD:
        raise InvalidInput(field, f"must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    return text


def password_text(password: Secret) -> str:
    """A password as it is hashed: keyboards differ in how they write a letter with an accent. Empty where it is none."""
    text = unicodedata.normalize("NFC", password.reveal())
    try:
        text.encode()
    except UnicodeEncodeError:
        return ""
    return text


def new_token() -> Secret:
    """A token of 256 bits, as it stands in cookies and links."""
    return Secret(secrets.token_urlsafe(32))


def require_pin(pin: Secret) -> str:
    """Return a new purchase PIN. Raises InvalidInput, which does not repeat it."""
    text = pin.reveal().strip()
    if not _PIN.fullmatch(text):
        raise InvalidInput("pin", "must have four digits")
    return text


_ZONES: Final = {
    "+27": "Africa/Johannesburg",
    "+211": "Africa/Juba",
    "+220": "Africa/Banjul",
    "+221": "Africa/Dakar",
    "+223": "Africa/Bamako",
    "+224": "Africa/Conakry",
    "+225": "Africa/Abidjan",
    "+226": "Africa/Ouagadougou",
    "+227": "Africa/Niamey",
    "+228": "Africa/Lome",
    "+229": "Africa/Porto-Novo",
    "+231": "Africa/Monrovia",
    "+232": "Africa/Freetown",
    "+233": "Africa/Accra",
    "+234": "Africa/Lagos",
    "+237": "Africa/Douala",
    "+241": "Africa/Libreville",
    "+242": "Africa/Brazzaville",
    "+243": "Africa/Kinshasa",
    "+244": "Africa/Luanda",
    "+245": "Africa/Bissau",
    "+249": "Africa/Khartoum",
    "+250": "Africa/Kigali",
    "+254": "Africa/Nairobi",
    "+255": "Africa/Dar_es_Salaam",
    "+256": "Africa/Kampala",
    "+258": "Africa/Maputo",
    "+260": "Africa/Lusaka",
    "+263": "Africa/Harare",
    "+264": "Africa/Windhoek",
    "+265": "Africa/Blantyre",
    "+266": "Africa/Maseru",
    "+267": "Africa/Gaborone",
    "+268": "Africa/Mbabane",
}


def zone_of(phone: str, otherwise: str) -> str:
    """The time zone of the country of a number in E.164, where that country is one of ours and has one zone."""
    return _ZONES.get(phone[:4]) or _ZONES.get(phone[:3]) or otherwise


def zone_named(name: str) -> ZoneInfo:
    """The zone of a person; UTC where this machine does not know it any more."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


_SECRET_NAMES: Final = ("password", "pin", "secret", "token", "key", "code", "nin", "bvn", "digest")
_NUMBER_NAMES: Final = ("phone", "msisdn", "subscriber", "recipient")


def told(facts: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The facts of an act as they are recorded: secrets starred, numbers masked, by the last word of their names."""
    if facts is None:
        return None
    return {name: _told(name, value) for name, value in facts.items()}


def _told(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return told(value)
    if isinstance(value, list | tuple):
        return [_told(name, one) for one in value]
    last = name.lower().rpartition("_")[2]
    if isinstance(value, Secret) or (last in _SECRET_NAMES and isinstance(value, str)):
        return "********"
    if last in _NUMBER_NAMES and isinstance(value, str):
        return masked(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)
