"""What Netpluse says, and what it means.

Source: the Netpluse API document ("Getting Started", 2026). A purchase is answered at once with the status `processing`, and
`/order-status/{reference}` says the rest; a Telvend finds an order there by the caller's reference as well. Where the document
says of a repeated reference both "returns the original order" and "409 within 1 minute", a 409 that shows the order is read
like the order, and one that does not means nothing. Examples: tests/wire/netpluse/, those of the document itself, and
tests/wire/netpluse-upstream/.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from telvend.catalog.model import parse_validity
from telvend.kit.money import GHS, Money
from telvend.providers.contract import (
    Accepted,
    Delivered,
    Delivery,
    NotSent,
    Outcome,
    Reason,
    Refused,
    Unknown,
)
from telvend.providers.over_http import ProviderReply
from telvend.providers.reading import at, json_object, money_of, reference_of, size_of
from telvend.providers.upstream import BalanceUnavailable

COUNTRY: Final = "GH"
NETWORKS: Final = frozenset({(COUNTRY, "MTN"), (COUNTRY, "Telecel"), (COUNTRY, "AirtelTigo")})

REQUERY_AFTER_S: Final = 4.0
""""Typically moves to completed within ~4 seconds." Source: "POST /api/v1/purchase"."""

PURCHASES_PER_S: Final = 0.5
"""30 purchases a minute. Source: "Rate Limits"."""

SETTLES_AFTER_S: Final = 120.0
"""How long a request may be under way before another Telvend's "Order reference does not exist" is believed."""

VENDOR_SETTLES_AFTER_S: Final = 86_400.0
"""The same at Netpluse itself. Its document says that a reference is a key, but not that `/order-status` finds an order by it: so
the order is sent again under the same reference, and its "does not exist" alone makes no new one."""


class Status(StrEnum):
    """The closed list of `status`. Any other word is `Unknown`."""

    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Package:
    """A line of `/packages`: the size as Netpluse spells it, and how many days it lasts (None: it does not expire).

    `price` is None where it cannot be read.
    """

    network: str
    capacity: str
    validity_days: int | None
    price: Money | None = None


def form_of(delivery: Delivery, phone: str) -> dict[str, str]:
    """The body of a purchase."""
    return {
        "network": delivery.network,
        "phoneNumber": phone,
        "capacity": capacity_of(delivery),
        "reference": delivery.reference,
    }


def capacity_of(delivery: Delivery) -> str:
    """What Netpluse calls the size: the operator's word, else ours."""
    return delivery.provider_code or delivery.size


def outcome_of(reply: ProviderReply) -> Outcome:
    """What an answer to a purchase means."""
    status, body = reply.http_status, json_object(reply)
    if body is None:
        return Unknown(f"no answer of Netpluse: {reply.excerpt}")
    if status == 200 or (status == 409 and "status" in body):
        return _bought(reply, body)
    error = body.get("error")
    if not isinstance(error, str) or not error:
        return Unknown(f"undocumented: {reply.excerpt}")
    match status:
        case 400:
            return Refused(_reason_of_400(error), error)
        case 401:
            return Refused(Reason.NOT_ALLOWED, error)
        case 402:
            return Refused(Reason.NO_FLOAT, error)
        case 429:
            return NotSent(f"too many requests: {error}")
        case _:
            # 409: the order under this reference is not shown. 404 is documented for questions only. 500: unexpected.
            return Unknown(f"HTTP {status}: {error}")


def order_in(reply: ProviderReply) -> str | None:
    """Their reference of the order that an answer shows; None where it shows none."""
    return reference_of(at(json_object(reply), "reference"))


def _bought(reply: ProviderReply, body: Mapping[str, Any]) -> Outcome:
    reference = reference_of(body.get("reference"))
    price = money_of(body.get("price"), GHS)
    if reference is None or price is None:
        return Unknown(f"an order without its reference or price: {reply.excerpt}")
    match body.get("status"):
        case Status.COMPLETED:
            return Delivered(reference, price)
        case Status.PROCESSING:
            return Accepted(reference, REQUERY_AFTER_S, cost=price)
        case Status.FAILED:
            return Refused(Reason.REFUSED, f"{reference} failed")
        case _:
            return Unknown(f"undocumented status: {reply.excerpt}")


def _reason_of_400(error: str) -> Reason:
    """400 is "unknown package or invalid network" and "invalid input"; only the sentence tells a bad number from them."""
    words = error.casefold()
    if "phone" in words:
        return Reason.BAD_NUMBER
    return Reason.NOT_SOLD


def requery_outcome_of(delivery: Delivery, reply: ProviderReply) -> Outcome:
    """What an answer to `/order-status` means. `NotSent`: "Order reference does not exist"."""
    status, body = reply.http_status, json_object(reply)
    if body is None:
        return Unknown(f"no answer of Netpluse: {reply.excerpt}")
    if status == 404 and isinstance(body.get("error"), str):
        return NotSent(f"no such order: {body['error']}")
    if status != 200:
        return Unknown(f"could not be asked: {reply.excerpt}")
    reference = reference_of(body.get("reference"))
    if reference is None or not _is_ours(delivery, body, reference):
        return Unknown(f"the status of another order: {reply.excerpt}")
    match body.get("status"):
        case Status.COMPLETED:
            return Delivered(reference)
        case Status.PROCESSING:
            return Accepted(reference, REQUERY_AFTER_S)
        case Status.FAILED:
            return Refused(Reason.REFUSED, f"{reference} failed")
        case _:
            return Unknown(f"undocumented status: {reply.excerpt}")


def _is_ours(delivery: Delivery, body: Mapping[str, Any], reference: str) -> bool:
    network, capacity = body.get("network"), body.get("capacity")
    return (
        isinstance(network, str)
        and network.casefold() == delivery.network.casefold()
        and isinstance(capacity, str)
        and size_of(capacity) == size_of(capacity_of(delivery))
        and (not delivery.provider_reference or reference in (delivery.provider_reference, delivery.reference))
    )


def balance_of(reply: ProviderReply) -> Money | BalanceUnavailable:
    """What an answer to `/balance` means."""
    body = json_object(reply)
    if reply.http_status == 401:
        return BalanceUnavailable("HTTP 401: the API key is not accepted", not_allowed=True)
    balance = money_of(at(body, "balance"), GHS) if reply.http_status == 200 and at(body, "currency") == "GHS" else None
    return balance if balance is not None else BalanceUnavailable(f"no balance in GHS: {reply.excerpt}")


def packages_of(reply: ProviderReply) -> tuple[Package, ...] | None:
    """What `/packages` lists; None where it cannot be read. A line that cannot be read is left out."""
    lines = at(json_object(reply), "packages") if reply.http_status == 200 else None
    if not isinstance(lines, list):
        return None
    found = []
    for line in lines:
        network, capacity, validity = at(line, "network"), at(line, "capacity"), at(line, "validity")
        if isinstance(network, str) and isinstance(capacity, str) and isinstance(validity, str):
            try:
                found.append(Package(network, capacity, parse_validity(validity), money_of(at(line, "price"), GHS)))
            except ValueError:
                continue
    return tuple(found)


def price_of(delivery: Delivery, packages: tuple[Package, ...]) -> Money | None:
    """What a bundle costs by the list; None where that has it not, or at two prices."""
    wanted = size_of(capacity_of(delivery))
    prices = {
        package.price
        for package in packages
        if package.network.casefold() == delivery.network.casefold() and size_of(package.capacity) == wanted
    }
    return prices.pop() if len(prices) == 1 else None


def refusal_of(delivery: Delivery, packages: tuple[Package, ...]) -> Refused | None:
    """Why the bundle that was sold cannot be bought by its size: Netpluse sells this size with another validity only.

    A size that is not listed is left to Netpluse itself to refuse.
    """
    wanted = size_of(delivery.size)
    listed = [
        package.validity_days
        for package in packages
        if package.network.casefold() == delivery.network.casefold() and size_of(package.capacity) == wanted
    ]
    if not listed or delivery.validity_days in listed:
        return None
    lasting = ", ".join("without end" if days is None else f"{days} days" for days in listed)
    return Refused(
        Reason.NOT_SOLD,
        f"{delivery.network} {delivery.size} lasts {lasting} at Netpluse, and was sold for"
        f" {delivery.validity_days or 'no end of'} days; `telvend product offer {delivery.product} … --code` overrules this",
    )
