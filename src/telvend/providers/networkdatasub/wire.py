"""What networkdatasub says, and what it means.

Source: the networkdatasub API document (Beta v1.0, June 2025). Every answer has `success`. A purchase is answered when it is
delivered (`completed`); a Telvend answers `pending` where that takes long. The document knows no reference of the caller's; a
Telvend takes `reference`, as a key, and finds a transaction by it. Examples: tests/wire/networkdatasub/, those of the document
itself, and tests/wire/networkdatasub-upstream/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from telvend.catalog.model import parse_size, parse_validity
from telvend.kit.money import NGN, Money
from telvend.kit.phone import NotAMobileNumber, parse_mobile
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
from telvend.providers.upstream import BalanceUnavailable, LineStatus, StatementLine

COUNTRY: Final = "NG"
NETWORKS: Final = frozenset((COUNTRY, network) for network in ("mtn", "airtel", "glo", "9mobile"))

SMALLEST_AIRTIME: Final = Money(50_00, NGN)
LARGEST_AIRTIME: Final = Money(50_000_00, NGN)
"""Source: "Purchase Airtime", `amount`."""

REQUERY_AFTER_S: Final = 5.0

SETTLES_AFTER_S: Final = 120.0
"""How long a request may be under way before a Telvend that does not know its reference is believed."""

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_INSUFFICIENT: Final = "insufficient wallet balance"
_FAILED_TO_PURCHASE: Final = "failed to purchase"


class Status(StrEnum):
    """The closed list of `status`. Any other word is `Unknown`."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Plan:
    """A line of `/data-plans`. `validity_days` is None for a plan that does not expire."""

    id: int
    size: str
    type: str
    validity_days: int | None
    amount: Money | None


# Requests ---------------------------------------------------------------------------------------------------------------


def airtime_form(delivery: Delivery, phone: str, *, keyed: bool) -> bytes | Refused:
    """The body of `/airtime/purchase`; Refused for an amount that is not sold."""
    amount = delivery.face_value
    if amount.currency != NGN or not SMALLEST_AIRTIME.minor <= amount.minor <= LARGEST_AIRTIME.minor:
        return Refused(
            Reason.NOT_SOLD, f"airtime is sold here from {SMALLEST_AIRTIME} to {LARGEST_AIRTIME}, not {amount}"
        )
    if delivery.provider_code and delivery.provider_code.casefold() != delivery.network:
        return Refused(Reason.NOT_SOLD, f"{delivery.provider_code!r} is not this provider's code of {delivery.network}")
    return _form({"network": delivery.network, "phone": phone, "amount": amount.number}, delivery, keyed=keyed)


def data_form(delivery: Delivery, phone: str, plan: int | str, *, keyed: bool) -> bytes:
    """The body of `/data/purchase`."""
    return _form({"network": delivery.network, "plan_id": plan, "phone": phone}, delivery, keyed=keyed)


def _form(form: dict[str, Any], delivery: Delivery, *, keyed: bool) -> bytes:
    return _ENCODER.encode(form | {"reference": delivery.reference} if keyed else form)


def plan_id_of(code: str) -> int | None:
    """The id that the operator's `--code` is; None where it is none."""
    return int(code) if code.isascii() and code.isdigit() and 0 < len(code) < 10 and int(code) else None


# Plans ------------------------------------------------------------------------------------------------------------------


def plans_of(reply: ProviderReply) -> tuple[Plan, ...] | None:
    """What `/data-plans` lists; None where it cannot be read. A plan that cannot be read is left out."""
    body = json_object(reply)
    lines = at(body, "data") if reply.http_status == 200 and at(body, "success") is True else None
    if not isinstance(lines, list):
        return None
    plans = []
    for line in lines:
        number, code, validity = at(line, "id"), at(line, "code"), at(line, "validity")
        if type(number) is int and number > 0 and isinstance(code, str) and isinstance(validity, str):
            try:
                size, days = parse_size(code), parse_validity(validity)
            except ValueError:
                continue
            plans.append(Plan(number, size, str(at(line, "type") or ""), days, money_of(at(line, "amount"), NGN)))
    return tuple(plans)


def plan_of(delivery: Delivery, plans: Sequence[Plan]) -> Plan | Refused:
    """The plan that was sold, by size, validity and type; Refused where there is none or more than one."""
    found = [
        plan
        for plan in plans
        if plan.size == size_of(delivery.size)
        and plan.validity_days == delivery.validity_days
        and (not delivery.type or plan.type.casefold() == delivery.type.casefold())
    ]
    if len(found) == 1:
        return found[0]
    days = f"{delivery.validity_days} days" if delivery.validity_days else "without end"
    sold = " ".join(filter(None, (delivery.network, delivery.type, delivery.size, days)))
    what = "no plan" if not found else f"{len(found)} plans ({', '.join(str(plan.id) for plan in found)})"
    return Refused(
        Reason.NOT_SOLD,
        f"this provider has {what} for {sold}; `telvend product offer {delivery.product} … --code ID` names one",
    )


# Answers to a purchase --------------------------------------------------------------------------------------------------


def outcome_of(delivery: Delivery, reply: ProviderReply) -> Outcome:
    """What an answer to a purchase means."""
    status, body = reply.http_status, json_object(reply)
    if body is None:
        return Unknown(f"no answer of networkdatasub: {reply.excerpt}")
    success, message = body.get("success"), body.get("message")
    if status == 200 and success is True:
        return _bought(delivery, reply, body)
    if success is not False or not isinstance(message, str):
        return Unknown(f"undocumented: {reply.excerpt}")
    match status:
        case 400:
            return _refused(reply, body, message)
        case 401:
            return Refused(Reason.NOT_ALLOWED, message)
        case 404:
            return Refused(Reason.NOT_SOLD, message)
        case 422:
            return _invalid(reply, body.get("errors"), message)
        case 429:
            return NotSent(f"too many requests: {message}")
        case _:
            # 409: another purchase has this reference. 500: something went wrong on their end.
            return Unknown(f"HTTP {status}: {message}")


def _bought(delivery: Delivery, reply: ProviderReply, body: Mapping[str, Any]) -> Outcome:
    transaction = at(body, "data", "transaction")
    reference = reference_of(at(transaction, "reference"))
    amount = money_of(at(transaction, "amount"), NGN)
    if reference is None or amount is None:
        return Unknown(f"a purchase without its reference or amount: {reply.excerpt}")
    if delivery.kind == "airtime" and amount != delivery.face_value:
        return Unknown(f"a purchase of another amount: {reply.excerpt}")
    match at(transaction, "status"):
        case Status.COMPLETED:
            return Delivered(reference, amount)
        case Status.PENDING:
            return Accepted(reference, REQUERY_AFTER_S, cost=amount)
        case _:
            return Unknown(f"undocumented status: {reply.excerpt}")


def _refused(reply: ProviderReply, body: Mapping[str, Any], message: str) -> Outcome:
    """400: too little money, or the purchase has failed, or the request cannot be served.

    "Failed to purchase …:" stands before whatever the network behind them has said, a time-out too, so that it means nothing by
    itself.
    """
    data, words = body.get("data"), message.casefold()
    if at(data, "transaction", "status") == Status.FAILED and reference_of(at(data, "transaction", "reference")):
        return Refused(Reason.REFUSED, message)
    needed, there = money_of(at(data, "required_amount"), NGN), money_of(at(data, "current_balance"), NGN)
    if _INSUFFICIENT in words and needed is not None and there is not None:
        return Refused(Reason.NO_FLOAT, message)
    if data is None and not words.startswith(_FAILED_TO_PURCHASE):
        return Refused(Reason.NOT_SOLD, message)
    return Unknown(f"undocumented: {reply.excerpt}")


_REASON_BY_FIELD: Final = {"phone": Reason.BAD_NUMBER, "network": Reason.NOT_SOLD, "plan_id": Reason.NOT_SOLD}


def _invalid(reply: ProviderReply, errors: Any, message: str) -> Outcome:
    if not isinstance(errors, dict) or not errors:
        return Unknown(f"undocumented: {reply.excerpt}")
    for field, reason in _REASON_BY_FIELD.items():
        if field in errors:
            return Refused(reason, message)
    return Refused(Reason.NOT_SOLD if "amount" in errors else Reason.REFUSED, message)


# Answers to a question --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transaction:
    """One of our account's debits for airtime or data, as the list and the details show it."""

    id: int
    reference: str
    status: str
    amount: Money
    phone: str
    network: str
    plan: str
    service: str
    created_at: datetime

    def is_of(self, delivery: Delivery) -> bool:
        """Whether it is of this recipient, network and kind, and of this size where it is data."""
        return (
            self.phone == delivery.subscriber
            and self.network.casefold() == delivery.network.casefold()
            and self.service == delivery.kind
            and (delivery.kind != "data" or size_of(self.plan) == size_of(delivery.size))
        )

    @property
    def outcome(self) -> Outcome:
        match self.status:
            case Status.COMPLETED:
                return Delivered(self.reference, self.amount)
            case Status.PENDING:
                return Accepted(self.reference, REQUERY_AFTER_S, cost=self.amount)
            case Status.FAILED:
                return Refused(Reason.REFUSED, f"{self.reference} failed")
            case _:
                return Unknown(f"undocumented status {self.status[:40]!r}")

    @property
    def line(self) -> StatementLine:
        """The transaction for a statement. The list knows no reference of the caller's."""
        return StatementLine(
            _LINE_STATUS.get(self.status, LineStatus.UNKNOWN),
            provider_reference=self.reference,
            at=self.created_at,
            charged=self.amount,
            subscriber=self.phone,
            product=f"{self.network} {self.plan if self.service == 'data' else 'airtime'}",
            word=self.status[:40],
        )


_LINE_STATUS: Final = {
    Status.COMPLETED.value: LineStatus.DELIVERED,
    Status.FAILED.value: LineStatus.FAILED,
    Status.PENDING.value: LineStatus.PENDING,
}


def requery_outcome_of(delivery: Delivery, reply: ProviderReply, asked: str) -> Outcome:
    """What an answer to `/transactions/{asked}` means. `NotSent`: nothing has the reference that we gave."""
    body = json_object(reply)
    if body is None:
        return Unknown(f"no answer of networkdatasub: {reply.excerpt}")
    if reply.http_status == 404 and body.get("success") is False and isinstance(body.get("message"), str):
        if asked == delivery.reference:
            return NotSent(f"no such transaction: {body['message']}")
        return Unknown(f"{asked} was there and is not found: {body['message']}")
    transaction = transaction_of(body.get("data")) if reply.http_status == 200 and body.get("success") is True else None
    if transaction is None:
        return Unknown(f"could not be asked: {reply.excerpt}")
    if not transaction.is_of(delivery) or (asked != delivery.reference and asked != transaction.reference):
        return Unknown(f"another transaction: {reply.excerpt}")
    return transaction.outcome


def transaction_of(line: Any) -> Transaction | None:
    """A debit for airtime or data; None for anything that is not wholly one."""
    if at(line, "type") != "debit":
        return None
    meta = at(line, "meta")
    number, reference = at(line, "id"), reference_of(at(line, "reference"))
    amount = money_of(at(line, "amount"), NGN)
    status, service = at(line, "status"), at(meta, "service_type")
    network, plan = at(meta, "network"), at(meta, "plan")
    try:
        phone = parse_mobile(str(at(meta, "phone")), COUNTRY)
        created_at = datetime.fromisoformat(str(at(line, "created_at")))
    except (NotAMobileNumber, ValueError):
        return None
    if type(number) is not int or reference is None or amount is None or created_at.tzinfo is None:
        return None
    if not isinstance(status, str) or not isinstance(network, str) or service not in ("data", "airtime"):
        return None
    if service == "data" and not isinstance(plan, str):
        return None
    return Transaction(number, reference, status, amount, phone, network, str(plan), service, created_at)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of `/transactions`. `unread`: how many debits it has that cannot be read, and may be anything."""

    number: int
    last: int
    total: int
    ids: frozenset[int]
    transactions: tuple[Transaction, ...]
    unread: int


def page_of(reply: ProviderReply) -> Page | None:
    """A page of the list; None where it cannot be read."""
    body = json_object(reply)
    data = at(body, "data") if reply.http_status == 200 and at(body, "success") is True else None
    number, last, total, lines = (at(data, name) for name in ("current_page", "last_page", "total", "data"))
    if type(number) is not int or type(last) is not int or type(total) is not int or not isinstance(lines, list):
        return None
    ids = frozenset(at(line, "id") for line in lines if type(at(line, "id")) is int)
    read = [transaction_of(line) for line in lines]
    unread = sum(
        found is None and at(line, "type") != "credit" and not _is_another_service(at(line, "meta", "service_type"))
        for line, found in zip(lines, read, strict=True)
    )
    # A number that is missing or there twice: some line is not what it seems.
    unread = max(unread, len(lines) - len(ids))
    return Page(number, last, total, ids, tuple(found for found in read if found is not None), unread)


def _is_another_service(service: Any) -> bool:
    return isinstance(service, str) and service.strip().casefold() not in ("", "data", "airtime")


def balance_of(reply: ProviderReply) -> Money | BalanceUnavailable:
    """What an answer to `/wallet/balance` means."""
    body = json_object(reply)
    if reply.http_status == 401:
        return BalanceUnavailable("HTTP 401: the API token is not accepted", not_allowed=True)
    data = at(body, "data") if reply.http_status == 200 and at(body, "success") is True else None
    balance = money_of(at(data, "balance"), NGN) if at(data, "currency") == "NGN" else None
    return balance if balance is not None else BalanceUnavailable(f"no balance in NGN: {reply.excerpt}")
