"""Netpluse's story: look around, buy a bundle, see what became of it, repeat it, and get some things wrong."""

from decimal import Decimal
from typing import Final

from telvend.dialects.examples import Holds, Less, OneOf, Parameter, Pattern, Step, Variable

ABOUT: Final = (
    "Data bundles of Ghana from a wallet in GHS. Keys begin with `np_live_`, or with `np_test_` for play money, and are sent"
    " in the header `x-api-key`. Amounts are exact numbers in whole GHS."
)

VARIABLES: Final = (
    Variable("network", "MTN", "Whose bundle is bought: MTN, Telecel or AirtelTigo."),
    Variable("capacity", "1GB", "Its size, as /packages prints it."),
    Variable("phoneNumber", "0241230000", "Who gets it: a mobile number of Ghana."),
    Variable("reference", "ORDER-1001", "Your own name for the purchase; the story makes a new one.", from_story=True),
    Variable("owner", "7d8f2c1e-3b60-4a53-9d1a-50c6d2a7e901", "Whose key it is.", from_story=True),
    Variable("balance", "25.00", "What could be spent before the purchase.", from_story=True),
    Variable("orderReference", "NPAPI-4711-7kq2xd", "The order that was made.", from_story=True),
    Variable("price", "4.50", "What it cost.", from_story=True),
    Variable("balanceAfter", "20.50", "What could be spent after it.", from_story=True),
)

REFERENCE: Final = Parameter("reference", "Ours (`NPAPI-…`) or your own.", "path")

_PURCHASE: Final = {
    "network": "{{network}}",
    "phoneNumber": "{{phoneNumber}}",
    "capacity": "{{capacity}}",
    "reference": "{{reference}}",
}
_STATUS: Final = {
    "reference": "{{orderReference}}",
    "network": "{{network}}",
    "capacity": "{{capacity}}",
    "status": "completed",
    "createdAt": "2026-11-24T09:30:12.345Z",
}
_STATUSES: Final = OneOf(("processing", "completed"))

STORY: Final = (
    Step(
        "Is the key good?",
        "GET /ping",
        "Says whether the key is valid, and whose it is.",
        "Look around",
        answer={"ok": True, "owner": "{{owner}}"},
        expects={"ok": True, "owner": Pattern("^[0-9a-f-]{36}$")},
        keeps={"owner": "owner"},
    ),
    Step(
        "What can be spent",
        "GET /balance",
        "The wallet's balance in GHS. What is held for orders that are not final is not in it.",
        "Look around",
        answer={"balance": Decimal("25.00"), "currency": "GHS"},
        expects={"currency": "GHS"},
        keeps={"balance": "balance"},
    ),
    Step(
        "What is on sale",
        "GET /packages",
        "What is on sale now, cheapest first within each network. `capacity` is what a purchase takes.",
        "Look around",
        answer={"packages": [{"network": "MTN", "capacity": "1GB", "price": Decimal("4.50"), "validity": "30 Days"}]},
        expects={"packages": Holds({"network": "{{network}}", "capacity": "{{capacity}}"})},
    ),
    Step(
        "Buy a bundle",
        "POST /purchase",
        "Buys a bundle for a phone number. The answer comes as soon as the order is stored and its price held; delivery"
        " follows. `reference` is your own name for it, 1 to 64 characters, and makes it safe to send the request again.",
        "Buy",
        body=_PURCHASE,
        makes={"reference": "story-{{$guid}}"},
        answer={
            "reference": "{{orderReference}}",
            "status": "processing",
            "price": Decimal("4.50"),
            "balance": Decimal("20.50"),
        },
        expects={
            "status": "processing",
            "reference": Pattern("^NPAPI-[0-9]+-[0-9a-z]{6}$"),
            "balance": Less("balance", "price"),
        },
        keeps={"orderReference": "reference", "price": "price", "balanceAfter": "balance"},
    ),
    Step(
        "What became of it",
        "GET /order-status/{reference}",
        "The status of an order, by our reference or by your own: processing, completed, or failed, and then the money is"
        " back.",
        "Buy",
        path={"reference": "{{orderReference}}"},
        answer=_STATUS,
        expects={
            "reference": "{{orderReference}}",
            "network": "{{network}}",
            "capacity": "{{capacity}}",
            "status": _STATUSES,
            "createdAt": Pattern("^[0-9-]{10}T[0-9:]{8}\\.[0-9]{3}Z$"),
        },
    ),
    Step(
        "The same by your own reference",
        "GET /order-status/{reference}",
        "What you called the order finds it too.",
        "Buy",
        path={"reference": "{{reference}}"},
        answer=_STATUS,
        expects={"reference": "{{orderReference}}", "status": _STATUSES},
    ),
    Step(
        "The same purchase again",
        "POST /purchase",
        "Within a minute it is 409 and carries the original order; later it is 200 with that order. Nothing is taken again.",
        "Buy",
        409,
        body=_PURCHASE,
        answer={
            "error": "Duplicate order: this reference was used less than a minute ago.",
            "reference": "{{orderReference}}",
            "status": "processing",
            "price": Decimal("4.50"),
            "balance": Decimal("20.50"),
        },
        expects={
            "reference": "{{orderReference}}",
            "price": "{{#price}}",
            "balance": "{{#balanceAfter}}",
            "status": _STATUSES,
        },
    ),
    Step(
        "Nothing was taken for the repeat",
        "GET /balance",
        "The balance is what it was after the first purchase.",
        "Buy",
        answer={"balance": Decimal("20.50"), "currency": "GHS"},
        expects={"balance": "{{#balanceAfter}}"},
    ),
    Step(
        "Another purchase under the same reference",
        "POST /purchase",
        "A reference stands for one thing: another number, network or capacity is 409 at any age.",
        "Get it wrong",
        409,
        body=_PURCHASE | {"phoneNumber": "0241230001"},
        expects={"error": Pattern("reference")},
    ),
    Step(
        "A network that does not exist",
        "POST /purchase",
        "A request that cannot be is refused whatever the balance, and leaves no order behind.",
        "Get it wrong",
        400,
        body={"network": "Nobody", "phoneNumber": "{{phoneNumber}}", "capacity": "{{capacity}}"},
        answer={"error": "network: must be one of MTN, Telecel, AirtelTigo"},
        expects={"error": Pattern("^network: ")},
    ),
    Step(
        "An order that does not exist",
        "GET /order-status/{reference}",
        "Somebody else's order is not found either.",
        "Get it wrong",
        404,
        path={"reference": "NPAPI-1-000000"},
        answer={"error": "Order not found."},
        expects={"error": "Order not found."},
    ),
    Step(
        "Without a key",
        "GET /ping",
        "No key, an unknown key and a revoked one are not told apart.",
        "Get it wrong",
        401,
        keyless=True,
        answer={"error": "Missing, invalid or revoked API key."},
        expects={"error": Pattern("key")},
    ),
)
