"""What each event holds, field by field, with an example: for the reference, the OpenAPI documents and test messages.

A test holds the fields against the events that the rooms write.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import msgspec

from telvend.kit.mode import Mode
from telvend.webhooks.model import Event, EventType, time_of
from telvend.webhooks.signing import signed_headers

AT: Final = datetime(2026, 11, 28, 22, 57, 1, 123000, tzinfo=UTC)
"""When the events of the examples have happened."""

EXAMPLE_ID: Final = "msg_2f6a1c9be04d75830c6e41d9"
"""The `webhook-id` of the examples."""

EXAMPLE_SECRET: Final = b"an example, the secret of nobody"
"""What the examples are signed with."""

HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "webhook-id": "Names the event, also when it is sent again: leave out what was seen before by it.",
        "webhook-timestamp": "When this attempt was made, in seconds since 1970.",
        "webhook-signature": "`v1,` and the base64 of HMAC-SHA256 over id, timestamp and body, with dots between them; two of"
        " them, with a blank between, for a day after a rotation.",
    }
)
"""The headers of every message, and what they are."""


@dataclass(frozen=True, slots=True)
class EventField:
    """A field of `data`. `values`: the only ones it has. `or_null`: it may be null. `always`: every message has it."""

    about: str
    example: str
    values: tuple[str, ...] = ()
    or_null: bool = False
    always: bool = True


_CREATED: Final = EventField("When it was placed or begun: UTC with milliseconds.", "2026-11-28T22:57:00.321Z")
_CURRENCY: Final = EventField("Of all amounts: ISO 4217.", "GHS")


def _sale(status: str) -> dict[str, EventField]:
    refills = status == "completed"
    return {
        "reference": EventField("Telvend's reference, as the API answers with it.", "NPAPI-4711-7kq2xd"),
        "client_reference": EventField("The caller's own reference; null where it has sent none.", "shop-17", (), True),
        "status": EventField("What has become of the sale.", status, (status,)),
        "kind": EventField(
            "The kind of product: `airtime`, `data`, `refill` and so on; new kinds may be added.", "data"
        ),
        "network": EventField("The network, or the biller. Not in a refill.", "MTN", always=not refills),
        "product": EventField("The code of the product; of a refill, its profile.", "GH-MTN-1GB-30D"),
        "size": EventField("The size of a bundle, else empty. Not in a refill.", "1GB", always=not refills),
        "recipient": EventField("The number that was sold to: E.164 for telephones.", "+233241234567"),
        "amount": EventField("What the recipient gets in money's worth, as a text with all decimals.", "4.50"),
        "price": EventField(
            "What the wallet pays" + ("; null where a voucher has paid." if refills else "."), "4.50", (), refills
        ),
        "currency": _CURRENCY,
        "created_at": _CREATED,
    }


def _funding(status: str) -> dict[str, EventField]:
    return {
        "reference": EventField("Telvend's reference of the funding.", "FND-1042-9xk3ra"),
        "client_reference": EventField("Always null: fundings have no reference of the caller's.", "", (), True),
        "status": EventField("What has become of the payment.", status, (status,)),
        "amount": EventField("What was to be paid, as a text with all decimals.", "50.00"),
        "currency": _CURRENCY,
        "payment_method": EventField("How the payer was to pay.", "bank_transfer", ("card", "bank_transfer", "ussd")),
        "created_at": _CREATED,
    }


FIELDS: Final[Mapping[EventType, Mapping[str, EventField]]] = MappingProxyType(
    {
        EventType.ORDER_COMPLETED: _sale("completed"),
        EventType.ORDER_FAILED: _sale("failed"),
        EventType.ORDER_REVIEW: _sale("review"),
        EventType.ORDER_REFUNDED: _sale("refunded")
        | {"refund_reference": EventField("Telvend's reference of the refund.", "REFUND-88-4pq7tz")},
        EventType.FUNDING_COMPLETED: _funding("completed"),
        EventType.FUNDING_FAILED: _funding("failed"),
        EventType.VERIFICATION_COMPLETED: {
            "reference": EventField("Telvend's reference of the check.", "NVA-311-c8w2me"),
            "client_reference": EventField(
                "The caller's own reference; null where it has sent none.", "check-9", (), True
            ),
            "status": EventField(
                "The outcome; only `verified` is charged.",
                "verified",
                ("verified", "not_on_record", "blocked", "unavailable"),
            ),
            "kind": EventField("What was checked.", "nin", ("nin", "bvn")),
            "card_type": EventField("What the caller has asked for.", "standard"),
            "charged": EventField("What the wallet has paid: `0.00` unless it is verified.", "150.00"),
            "currency": EventField("Of the amount: ISO 4217.", "NGN"),
            "created_at": _CREATED,
        },
        EventType.WALLET_LOW: {
            "currency": EventField("Of the wallet, and of both amounts: ISO 4217.", "GHS"),
            "balance": EventField("What is left, as a text with all decimals.", "48.20"),
            "threshold": EventField("The balance below which the owner is told.", "50.00"),
        },
    }
)
"""The fields of `data` behind `mode`, in their order."""

SUMMARIES: Final[Mapping[EventType, str]] = MappingProxyType(
    {
        EventType.ORDER_COMPLETED: "A sale was delivered, or a refill has taken place: its price is captured.",
        EventType.ORDER_FAILED: "A sale was definitely not delivered: its price is back in the wallet.",
        EventType.ORDER_REVIEW: "Nobody knows whether a sale was delivered, and a person looks: its price stays held.",
        EventType.ORDER_REFUNDED: "The price of a delivered sale was given back.",
        EventType.FUNDING_COMPLETED: "A payment through a gateway is in the wallet, also one that comes after a failure.",
        EventType.FUNDING_FAILED: "A payment was declined, could not be begun, or did not come in time.",
        EventType.VERIFICATION_COMPLETED: "An identity check has its outcome; the status says which.",
        EventType.WALLET_LOW: "A wallet has fallen below the threshold that was set for it.",
    }
)


def example_data(kind: EventType) -> dict[str, Any]:
    """The example of an event's `data`, without `mode`."""
    return {name: field.example or None for name, field in FIELDS[kind].items()}


def example(kind: EventType) -> dict[str, Any]:
    """The example of an event's whole body."""
    return {"type": str(kind), "timestamp": time_of(AT), "data": {"mode": str(Mode.LIVE), **example_data(kind)}}


def example_body(kind: EventType) -> bytes:
    """The same as it is sent."""
    return msgspec.json.encode(example(kind))


EXAMPLE_HEADERS: Final = MappingProxyType(
    signed_headers(EXAMPLE_ID, int(AT.timestamp()), example_body(EventType.ORDER_COMPLETED), [EXAMPLE_SECRET])
)
"""The headers of the example of `order.completed`."""


def example_event(kind: EventType, reseller_id: UUID) -> Event:
    """The event of a test message: in test mode, marked as an example, of nothing that exists."""
    return Event(kind, reseller_id, Mode.TEST, {"example": True, **example_data(kind)})


def body_schema(kind: EventType) -> dict[str, Any]:
    """The JSON Schema of an event's body."""
    fields = FIELDS[kind]
    properties: dict[str, Any] = {
        "mode": {
            "type": "string",
            "enum": [str(one) for one in Mode],
            "description": "`test` for what was done with a test key, and for test messages.",
        },
        "example": {
            "type": "boolean",
            "description": "`true` in a test message that the operator has sent by hand. Other messages do not have it.",
        },
    }
    for name, field in fields.items():
        # A type list: of `anyOf` with null, client generators make a type of its own.
        properties[name] = {
            "type": ["string", "null"] if field.or_null else "string",
            "description": field.about,
            **({"enum": list(field.values)} if field.values else {}),
        }
    name_of_type = "".join(word.capitalize() for word in kind.split(".")) + "Event"
    return {
        "title": name_of_type,
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"type": "string", "enum": [str(kind)]},
            "timestamp": {
                "type": "string",
                "format": "date-time",
                "description": "When it has happened: UTC with milliseconds.",
            },
            "data": {
                "title": f"{name_of_type}Data",
                "type": "object",
                "required": ["mode", *(name for name, field in fields.items() if field.always)],
                "properties": properties,
            },
        },
    }
