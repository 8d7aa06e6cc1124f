"""What the pretended upstream says, and what it means: bodies, statuses, amount format, reasons.

Its manual fits here. Every answer is HTTP 200 with a JSON object:

    {"status": "DELIVERED", "id": "SIM-7", "cost": "3.90", "currency": "GHS", "text": "Delivered"}
    {"status": "DELIVERED", "id": "SIM-11", …, "secrets": [{"kind": "credit", "digits": "0263…", "units": "16.6"}]}
    {"status": "ACCEPTED", "id": "SIM-8", "text": "Accepted"}
    {"status": "REFUSED", "id": "SIM-9", "reason": "NO_SUCH_NUMBER", "text": "…"}
    {"status": "CLOSED", "id": "SIM-10", "text": "…"}      not known when it was asked about, and not taken any more

`secrets` stands where the product carries something back, in the fields of its kind; it is missing while there is none yet.
Amounts are text with all the decimals of the currency. Fields may be added without notice, so unknown ones are ignored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from telvend.catalog.kinds import Payload
from telvend.kit.money import Money, currency_of
from telvend.providers.contract import Accepted, Delivered, NotSent, Outcome, Reason, Refused, Unknown


class Status(StrEnum):
    """The closed list of statuses. Any other word is `Unknown`."""

    DELIVERED = "DELIVERED"
    ACCEPTED = "ACCEPTED"
    REFUSED = "REFUSED"
    CLOSED = "CLOSED"


REASON_BY_CODE: Final = {
    "NO_SUCH_NUMBER": Reason.BAD_NUMBER,
    "NUMBER_BARRED": Reason.BARRED,
    "PRODUCT_NOT_SOLD": Reason.NOT_SOLD,
    "FLOAT_EMPTY": Reason.NO_FLOAT,
}
"""The closed list of refusals. A code that is not here may mean anything, so it is `Unknown`."""


class Body(msgspec.Struct, omit_defaults=True):
    """The answer to a delivery and to a question."""

    status: str
    id: str | None = None
    reason: str | None = None
    cost: str | None = None
    currency: str | None = None
    text: str = ""
    secrets: list[dict[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it comes off the wire."""

    http_status: int
    body: bytes


def _delivered(body: Body) -> Outcome:
    cost = None if body.cost is None else Money.parse(body.cost, currency_of(body.currency or ""))
    payload = None if body.secrets is None else Payload(body.secrets)
    return Delivered(provider_reference=body.id, cost=cost, text=body.text, payload=payload)


def _accepted(body: Body) -> Outcome:
    return Accepted(provider_reference=body.id, text=body.text)


def _refused(body: Body) -> Outcome:
    reason = REASON_BY_CODE.get(body.reason or "")
    if reason is None:
        return Unknown(f"refused with an undocumented reason: {body.reason!r}")
    return Refused(reason, body.text)


def _closed(body: Body) -> Outcome:
    return NotSent(body.text)


OUTCOME_BY_STATUS: Final[dict[Status, Callable[[Body], Outcome]]] = {
    Status.DELIVERED: _delivered,
    Status.ACCEPTED: _accepted,
    Status.REFUSED: _refused,
    Status.CLOSED: _closed,
}


def outcome_of(reply: Reply) -> Outcome:
    """What an answer means. Whatever is not explicitly one of the documented answers is `Unknown`, with its text."""
    if reply.http_status != 200:
        return Unknown(f"HTTP {reply.http_status}: {_excerpt(reply.body)}")
    try:
        body = msgspec.json.decode(reply.body, type=Body)
        status = Status(body.status)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Unknown(f"not an answer: {_excerpt(reply.body)}")
    except ValueError:
        return Unknown(f"undocumented status: {_excerpt(reply.body)}")
    try:
        return OUTCOME_BY_STATUS[status](body)
    except ValueError as problem:
        return Unknown(f"an amount that cannot be read, {problem}: {_excerpt(reply.body)}")


def _excerpt(body: bytes) -> str:
    """The beginning of an answer, for the operator."""
    return ascii(body[:120].decode("utf-8", "replace"))
