"""E-mails: their kinds and texts, and the schedule by which they are sent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from telvend.people.model import Purpose

RETRIES_S: Final = (60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)
"""After so many seconds each an e-mail is tried again; then it has failed."""
LEASE_S: Final = 120.0
KEPT_DAYS: Final = 30
"""For so long what was sent, kept or has failed is listed."""


class EmailKind(StrEnum):
    """What an e-mail is about."""

    VERIFY = "verify"
    NEW_ADDRESS = "new_address"
    ADDRESS_CHANGED = "address_changed"
    RESET = "reset"
    INVITE = "invite"
    STAFF = "staff"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - no password
    SECOND_FACTOR = "second_factor"
    NEW_DEVICE = "new_device"
    ENDPOINT_STOPPED = "endpoint_stopped"
    LOW_BALANCE = "low_balance"
    TEST = "test"


LINKS: Final = {
    EmailKind.VERIFY: Purpose.VERIFY,
    EmailKind.NEW_ADDRESS: Purpose.VERIFY,
    EmailKind.RESET: Purpose.RESET,
    EmailKind.INVITE: Purpose.INVITE,
    EmailKind.STAFF: Purpose.STAFF,
}
"""Kinds that carry a link, and what for. The link is made when the e-mail is sent."""


class EmailState(StrEnum):
    """Where an e-mail stands."""

    WAITING = "waiting"
    """It is sent at its time."""
    SENT = "sent"
    """A mail server has taken it."""
    KEPT = "kept"
    """No mail server is set up; it can be read here, and may stand in a file."""
    FAILED = "failed"
    """It was refused, or could not be sent for two days."""
    DROPPED = "dropped"
    """Nobody wanted it when it was its turn: no such account, or a link that was not needed any more."""


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail of the outbox. `text` is None where it is not kept, or not made yet."""

    id: int
    kind: EmailKind
    recipient: str
    person_id: UUID | None
    facts: Mapping[str, Any]
    state: EmailState
    due_at: datetime | None
    tries: int
    failure: str
    subject: str
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Written:
    """The subject and the text of an e-mail."""

    subject: str
    text: str


def written(kind: EmailKind, facts: Mapping[str, Any], shop: str, link: str | None) -> Written:
    """Write an e-mail. `shop` is the address of the shop as a person reads it; `link` is the one that it carries."""
    subject, lines = _TEXTS[kind]
    values = {name: _one_line(str(value)) for name, value in facts.items()} | {"shop": shop, "link": link or ""}

    def filled(line: str) -> str:
        # In one pass: what somebody calls themselves is no template.
        return _PLACE.sub(lambda place: values.get(place[1], ""), line)

    return Written(filled(subject), "\n\n".join(map(filled, lines)) + "\n")


_PLACE: Final = re.compile(r"\{([a-z]+)\}")


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


_NOT_YOU: Final = (
    "If it was not you: change your password, and end the sessions that you do not know, at {shop}/account."
)

_TEXTS: Final[Mapping[EmailKind, tuple[str, tuple[str, ...]]]] = {
    EmailKind.VERIFY: (
        "Confirm your e-mail address",
        (
            # Without the name: whoever signs up chooses it, and must not write to strangers through us.
            "Hello,",
            "somebody, hopefully you, has opened an account at {shop} with this address. Confirm that it is yours:",
            "{link}",
            "The link works once, for three days. If this was not you, do nothing.",
        ),
    ),
    EmailKind.NEW_ADDRESS: (
        "Confirm your new e-mail address",
        (
            "Hello,",
            "somebody, hopefully you, wants to sign in at {shop} with this address from now on. Confirm that it is yours:",
            "{link}",
            "The link works once, for three days. If this was not you, do nothing.",
        ),
    ),
    EmailKind.ADDRESS_CHANGED: (
        "Your e-mail address was changed",
        (
            "Hello {name},",
            "your account at {shop} has another e-mail address since {at} ({zone}); nothing is sent to this one any more.",
            "If it was not you: write to the shop at once.",
        ),
    ),
    EmailKind.RESET: (
        "Choose a new password",
        (
            "Hello {name},",
            "somebody, hopefully you, has asked for a new password at {shop}. Choose it here:",
            "{link}",
            "The link works once, for one hour. If this was not you, do nothing: your password stays as it is.",
        ),
    ),
    EmailKind.INVITE: (
        "Your account is ready",
        (
            "Hello {name},",
            "an account was opened for you at {shop}. Choose a password to see it:",
            "{link}",
            "The link works once, for 72 hours.",
        ),
    ),
    EmailKind.STAFF: (
        "Your access to the console",
        (
            "Hello,",
            "you have been given access to the console of {shop}. Choose a password:",
            "{link}",
            "The link works once, for 72 hours.",
        ),
    ),
    EmailKind.PASSWORD_CHANGED: (
        "Your password was changed",
        (
            "Hello {name},",
            "the password of your account at {shop} was changed at {at} ({zone}), from {address}. All other sessions have ended.",
            'If it was not you: choose another one now, at {shop}/signin, with "Forgot password".',
        ),
    ),
    EmailKind.SECOND_FACTOR: (
        "The second step of your sign-in was changed",
        (
            "Hello {name},",
            "at {at} ({zone}) the code that {shop} asks for after your password was turned {now}.",
            'If it was not you: choose another password now, at {shop}/signin, with "Forgot password", and write to the shop.',
        ),
    ),
    EmailKind.NEW_DEVICE: (
        "Somebody has signed in to your account",
        (
            "Hello {name},",
            "your account at {shop} was opened at {at} ({zone}) with a browser that it was not used with before:",
            "{agent}\nfrom {address}",
            _NOT_YOU,
        ),
    ),
    EmailKind.ENDPOINT_STOPPED: (
        "Your webhook endpoint gets nothing any more",
        (
            "Hello {name},",
            "nothing is sent to your endpoint at {host} (number {endpoint}) any more: {why}.",
            "When it works again, go to {shop}/webhooks and let it be sent what waits.",
        ),
    ),
    EmailKind.LOW_BALANCE: (
        "Your {currency} wallet is low",
        (
            "Hello {name},",
            "your {mode} wallet holds {currency} {balance}, which is below the {currency} {threshold} that you asked to be told of.",
            "Top it up at {shop}/topup. You are told once, and again after it was topped up.",
        ),
    ),
    EmailKind.TEST: (
        "A test of the mail settings",
        ("Hello,", "this is a test from {shop}. E-mails of this shop arrive here."),
    ),
}
