"""Events, endpoints and deliveries; when a delivery is tried again. Pure, without a database or a network."""

import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from telvend.errors import InvalidInput
from telvend.kit.mode import Mode
from telvend.kit.secret import Secret

TIMEOUT_S: Final = 15.0
"""How long an endpoint may take for its answer, the connection included."""

RETRIES_S: Final = (5.0, 20.0, 120.0, 600.0, 3600.0, 6 * 3600.0, 24 * 3600.0)
"""How long after an attempt that failed the next one follows; the first is made at once."""

SPREAD: Final = 0.1
"""The part of a wait by which it may be longer, so that what failed together does not come back together."""

LONGEST_RETRY_AFTER_S: Final = 3600.0
"""So far at most an endpoint puts the next attempt off by `Retry-After`, with 429 or 503. It never comes earlier than planned."""

PAUSED_AFTER: Final = timedelta(days=3)
"""An endpoint at which every attempt has failed for so long is paused."""

KEPT: Final = timedelta(days=30)
"""How long events, deliveries and attempts are kept."""

OLD_SECRET: Final = timedelta(hours=24)
"""How long messages are signed with the previous secret too, after a rotation."""

ANSWER_KEPT_BYTES: Final = 1024
"""So much of an answer is kept with its attempt."""

MOST_ENDPOINTS: Final = 16
"""So many endpoints a reseller may have."""


class EventType(StrEnum):
    """What resellers are told of. The texts are public and never change."""

    ORDER_COMPLETED = "order.completed"
    """A sale was delivered: its price is captured."""
    ORDER_FAILED = "order.failed"
    """A sale was definitely not delivered: its price is back in the wallet."""
    ORDER_REVIEW = "order.review"
    """Nobody knows whether a sale was delivered, and a person looks at it: its price stays held."""
    ORDER_REFUNDED = "order.refunded"
    """The price of a delivered sale was given back."""
    FUNDING_COMPLETED = "funding.completed"
    """A payment through a gateway has come, and the wallet has it."""
    FUNDING_FAILED = "funding.failed"
    """A payment was declined, could not be begun, or did not come in time."""
    VERIFICATION_COMPLETED = "verification.completed"
    """An identity check has its outcome; the status says which. Only a verified one is charged."""
    WALLET_LOW = "wallet.low"
    """A wallet holds less than the balance that its owner has named."""


class Event(msgspec.Struct, frozen=True):
    """One event for the owner of a wallet. `data` is what its body shows as such."""

    type: EventType
    reseller_id: UUID
    mode: Mode
    data: Mapping[str, Any]


_encode: Final = msgspec.json.Encoder(decimal_format="string").encode


def body_of(event: Event, at: datetime) -> str:
    """The body that is signed and sent: type, timestamp, data; the data begin with the mode."""
    return _encode(
        {"type": event.type, "timestamp": time_of(at), "data": {"mode": str(event.mode), **event.data}}
    ).decode()


def time_of(at: datetime) -> str:
    """A moment as bodies show it: UTC with milliseconds and `Z`."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


TEST_PREFIX: Final = "msg_test_"
"""How the `webhook-id` of a test message begins."""


def new_message_id(*, test: bool = False) -> str:
    """Return a new `webhook-id`; that of a test message says so."""
    return f"{TEST_PREFIX if test else 'msg_'}{secrets.token_hex(12)}"


class EndpointState(StrEnum):
    """Whether an endpoint is sent anything."""

    ACTIVE = "active"
    PAUSED = "paused"
    """It has failed for three days, or its owner has paused it. Events wait for it."""
    GONE = "gone"
    """It has answered 410: nothing is sent, and nothing waits."""
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a reseller is told. `events`: the types that it is sent; None for all. `failing_since`: None while it works."""

    id: int
    reseller_id: UUID
    url: str
    events: tuple[str, ...] | None
    state: EndpointState
    failing_since: datetime | None
    failure: str
    previous_until: datetime | None
    changed_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret, shown once. `previous_until`: until then messages are signed with the one before too."""

    endpoint: Endpoint
    secret: Secret
    previous_until: datetime | None = None


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    """Not taken yet; it is tried again."""
    DELIVERED = "delivered"
    """The endpoint has answered with a 2xx status."""
    FAILED = "failed"
    """It was tried as often as the schedule says, or the endpoint has gone: it is not tried again by itself."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message for one endpoint. `status`, `error` and `attempted_at` are of the last attempt."""

    endpoint_id: int
    event_id: int
    url: str
    type: str
    message: str
    state: DeliveryState
    attempts: int
    due_at: datetime | None
    created_at: datetime
    body: str
    status: int | None
    error: str | None
    attempted_at: datetime | None

    @property
    def id(self) -> str:
        """What commands call it."""
        return f"{self.endpoint_id}-{self.event_id}"

    @property
    def is_test(self) -> bool:
        """Whether it is an example that `webhook send-test` has sent."""
        return self.message.startswith(TEST_PREFIX)


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One attempt of a delivery. `status` is that of the answer, None where there was none; `error` says why it failed."""

    number: int
    started_at: datetime
    duration_ms: int
    status: int | None
    error: str
    answer: str


class Reply(msgspec.Struct, frozen=True):
    """How one attempt ended. `status`: None without an answer. `error`: empty where there was one. `text`: its beginning.

    `retry_after_s`: after how long the endpoint wants to be sent to again, where it has said so.
    """

    status: int | None
    error: str
    text: str
    duration_ms: int
    retry_after_s: float | None = None

    @property
    def taken(self) -> bool:
        """Whether the endpoint has taken the message."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether the endpoint wants nothing any more."""
        return self.status == 410

    @property
    def why(self) -> str:
        """Why it failed, in a few words; empty where it did not."""
        if self.taken:
            return ""
        if self.error:
            return self.error
        if self.status is not None and 300 <= self.status < 400:
            return f"answered {self.status}; redirects are not followed"
        return f"answered {self.status}"


@dataclass(frozen=True, slots=True)
class NextStep:
    """What becomes of a delivery after an attempt. `due_in_s`: when the next one follows, None: not."""

    state: DeliveryState
    due_in_s: float | None


def next_step(tries: int, reply: Reply, spread: float | None = None) -> NextStep:
    """Decide what follows from the attempt that makes `tries` of the schedule. `spread`: 0 to 1, random where None."""
    if reply.taken:
        return NextStep(DeliveryState.DELIVERED, None)
    if reply.gone or tries > len(RETRIES_S):
        return NextStep(DeliveryState.FAILED, None)
    part = random.random() if spread is None else spread  # noqa: S311 - not a secret
    wait_s = RETRIES_S[tries - 1]
    if reply.retry_after_s is not None and reply.status in (429, 503):
        wait_s = max(wait_s, min(reply.retry_after_s, LONGEST_RETRY_AFTER_S))
    return NextStep(DeliveryState.PENDING, wait_s * (1 + SPREAD * part))


def parse_retry_after(value: str, now: datetime) -> float | None:
    """The seconds of a header `Retry-After`, which has a number of them or a date; None where it is neither."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


def parse_events(given: list[str] | tuple[str, ...]) -> tuple[str, ...] | None:
    """The event types that an endpoint is to be sent; None for all. Raises InvalidInput."""
    known = [str(one) for one in EventType]
    for one in given:
        if one not in known:
            raise InvalidInput("event", f"must be one of {', '.join(known)}; not {one!r}")
    return tuple(dict.fromkeys(given)) or None


def parse_delivery_id(text: str) -> tuple[int, int] | None:
    """Endpoint and event of a delivery's id; None where the text is none."""
    endpoint, dash, event = text.partition("-")
    numbers = (endpoint, event)
    if not dash or not all(part.isascii() and part.isdigit() and len(part) <= 18 for part in numbers):
        return None
    return int(endpoint), int(event)
