"""A subscriber: the record, the states and their words, and the spelling of what names things."""

import re
from datetime import datetime
from enum import StrEnum

import msgspec

from telvend.errors import InvalidInput, NotPermitted
from telvend.kit.mode import Mode
from telvend.kit.money import Currency
from telvend.kit.text import require_text


class Billing(StrEnum):
    """How a subscriber pays. Source of the words: MTN MADAPI Plans v2.3."""

    PREPAID = "Prepaid"
    POSTPAID = "Postpaid"
    HYBRID = "Hybrid"


class SubscriberStatus(StrEnum):
    """What a subscriber may do. Everything can be read whatever it is. Source of the words: MTN MADAPI Plans v2.3."""

    ACTIVE = "Active"
    """May spend and be refilled."""
    SUSPENDED = "Suspended"
    """Blocked for a while: neither."""
    INACTIVE = "Inactive"
    """Not in use (any more): neither."""
    RICA_BARRED = "RICA Barred"
    """Not registered as the law demands (South Africa's RICA): neither."""
    BLACKLISTED = "Blacklisted"
    """Barred for good: neither."""


class Subscriber(msgspec.Struct):
    """Somebody with a SIM card. `msisdn` is in E.164, `country` an ISO 3166 code.

    Until `active_until` the subscriber can spend, until `grace_until` be refilled; refills move both ahead.
    `changed`: the row has to be written.
    """

    id: int
    mode: Mode
    msisdn: str
    country: str
    currency: Currency
    billing: Billing
    status: SubscriberStatus
    tariff_plan: str
    language: str
    active_until: datetime
    grace_until: datetime
    created_at: datetime
    changed: bool = False


def require_reference(reference: str) -> None:
    """Raises InvalidInput for a reference that cannot be one."""
    require_text("reference", reference, 128)


def line_of(text: str) -> str:
    """The one spelling of a line: `+233 30 212-3456` is `+233302123456`. Raises InvalidInput."""
    line = text.replace(" ", "").replace("-", "")
    if _LINE.fullmatch(line) is None:
        raise InvalidInput("line", "must be 3 to 32 letters and digits, a plus sign in front allowed")
    return line


_LINE = re.compile(r"\+?[0-9A-Za-z]{3,32}", re.ASCII)


class SubscriberBarred(NotPermitted):
    """The subscriber's status, or a clock that has run out, forbids it. Nothing was changed."""

    def __init__(self, status: str) -> None:
        super().__init__("do this for the subscriber")
        self.status = status
        self.args = (f"The subscriber is {status}.",)
