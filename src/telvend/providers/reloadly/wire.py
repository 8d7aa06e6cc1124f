"""What Reloadly says of airtime, and what it means.

Products are operators. One with `denominationType` RANGE takes any amount between two, one with FIXED those that it lists; amounts
are in the currency of the account, or in the recipient's with `useLocalAmount`, where the operator `supportsLocalAmounts`. A
bundle is a fixed amount of an operator of its own (`data` or `bundle`), and is told from others by the amount's description.

A top-up has a `status`; REFUNDED is how a failed delivery usually ends. `customIdentifier` is our reference; it must not be used
twice, but what a repeated one is answered is not printed, and so it counts as no key.

Source: Reloadly's API reference ("Airtime"), its OpenAPI description and the Java SDK, as of 2026. Examples: tests/wire/reloadly/.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from telvend.kit.money import Currency, Money, foreign_currency, plain_number
from telvend.kit.secret import Secret
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
from telvend.providers.oauth import Token, credentials_refused, granted_token
from telvend.providers.operator_names import is_network
from telvend.providers.over_http import ProviderReply
from telvend.providers.pages import TransactionPage
from telvend.providers.reading import at, json_object, json_objects, number_of, reference_of, rounded_money_of, size_of
from telvend.providers.upstream import BalanceUnavailable, CallbackForm, CallbackSignature, LineStatus, StatementLine

ACCEPT: Final = "application/com.reloadly.topups-v1+json"

REPEAT_GUARD_S: Final = 120.0
"""PHONE_RECENTLY_RECHARGED: the same number within two minutes."""

SETTLES_AFTER_S: Final = 3600.0
"""How old an attempt must be before an empty report of transactions is believed: an hour. It is a report, not the book of
top-ups: nobody prints how long a top-up may take to stand in it, and one that is bought again under another reference is
delivered twice."""

REQUERY_AFTER_S: Final = 5.0

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_SIGNIFICANT_DIGITS: Final = 9


CALLBACK: Final = CallbackForm(
    # By version the top-up stands in `data` or in its `transaction`.
    references=tuple(
        (*place, name)
        for place in (("data", "transaction"), ("data",))
        for name in ("customIdentifier", "transactionId")
    ),
    acknowledgement={"status": "ok"},
    signature=CallbackSignature("x-reloadly-signature", "x-reloadly-request-timestamp"),
)
"""Signed with the webhook's secret: hex HMAC-SHA256 of the raw body, a colon and the time. Source: "Webhooks", and two independent
implementations, which agree; example: tests/wire/reloadly/airtime-transaction-status.json."""


class Status(StrEnum):
    """The closed list of a top-up's statuses. Any other word is `Unknown`."""

    PROCESSING = "PROCESSING"
    """The hold stays: our float was charged, the operator has not answered."""
    SUCCESSFUL = "SUCCESSFUL"
    """The recipient has it."""
    REFUNDED = "REFUNDED"
    """It could not be delivered, and our float was given back."""
    FAILED = "FAILED"
    """It could not be delivered."""


class ErrorCode(StrEnum):
    """The documented values of `errorCode`."""

    COUNTRY_NOT_SUPPORTED = "COUNTRY_NOT_SUPPORTED"
    OPERATOR_UNAVAILABLE = "OPERATOR_UNAVAILABLE_OR_CURRENTLY_INACTIVE"
    OPERATOR_NOT_IN_SERVICE = "OPERATOR_NOT_IN_SERVICE"
    OPERATOR_NOT_DETECTED = "COULD_NOT_AUTO_DETECT_OPERATOR"
    AMOUNT_OF_OPERATOR = "INVALID_AMOUNT_FOR_OPERATOR"
    AMOUNT = "INVALID_AMOUNT"
    RECIPIENT_PHONE = "INVALID_RECIPIENT_PHONE"
    SENDER_PHONE = "INVALID_SENDER_PHONE"
    PHONE_NUMBER = "INVALID_PHONE_NUMBER"
    RECENTLY_RECHARGED = "PHONE_RECENTLY_RECHARGED"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    DAILY_AMOUNT_REACHED = "MAX_DAILY_TRANSACTION_AMOUNT_REACHED"
    DAILY_COUNT_REACHED = "MAX_DAILY_TRANSACTION_COUNT_REACHED"
    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    INACTIVE_ACCOUNT = "INACTIVE_ACCOUNT"
    INVALID_TOKEN = "INVALID_TOKEN"  # noqa: S105 (a word of theirs, no secret)
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    TOPUP_FAILED = "TOPUP_TRANSACTION_FAILED"
    NOT_AT_THE_MOMENT = "TRANSACTION_CANNOT_BE_PROCESSED_AT_THE_MOMENT"


REASON_BY_CODE: Final[Mapping[str, Reason]] = {
    ErrorCode.COUNTRY_NOT_SUPPORTED: Reason.NOT_SOLD,
    ErrorCode.OPERATOR_UNAVAILABLE: Reason.DOWN,
    ErrorCode.OPERATOR_NOT_IN_SERVICE: Reason.DOWN,
    # That they cannot tell whose number it is does not make it a bad one; somebody else may know.
    ErrorCode.OPERATOR_NOT_DETECTED: Reason.NOT_SOLD,
    ErrorCode.AMOUNT_OF_OPERATOR: Reason.NOT_SOLD,
    ErrorCode.AMOUNT: Reason.NOT_SOLD,
    ErrorCode.RECIPIENT_PHONE: Reason.BAD_NUMBER,
    # No sender is sent: the account demands one.
    ErrorCode.SENDER_PHONE: Reason.NOT_ALLOWED,
    ErrorCode.PHONE_NUMBER: Reason.BAD_NUMBER,
    ErrorCode.RECENTLY_RECHARGED: Reason.TOO_SOON,
    ErrorCode.INSUFFICIENT_BALANCE: Reason.NO_FLOAT,
    ErrorCode.DAILY_AMOUNT_REACHED: Reason.NOT_ALLOWED,
    ErrorCode.DAILY_COUNT_REACHED: Reason.NOT_ALLOWED,
    ErrorCode.ACCOUNT_NOT_FOUND: Reason.NOT_ALLOWED,
    ErrorCode.INACTIVE_ACCOUNT: Reason.NOT_ALLOWED,
    ErrorCode.INVALID_TOKEN: Reason.NOT_ALLOWED,
    ErrorCode.TOKEN_EXPIRED: Reason.NOT_ALLOWED,
    ErrorCode.INVALID_CREDENTIALS: Reason.NOT_ALLOWED,
    ErrorCode.TOPUP_FAILED: Reason.REFUSED,
    ErrorCode.NOT_AT_THE_MOMENT: Reason.DOWN,
}
"""What each `errorCode` of a refused top-up means."""


def _reason(code: Any) -> Reason | None:
    return REASON_BY_CODE.get(code) if isinstance(code, str) else None


# Tokens -------------------------------------------------------------------------------------------------------------------


def token_form(client_id: Secret, client_secret: Secret, audience: str) -> bytes:
    """The body of the request for a token."""
    return _ENCODER.encode(
        {
            "client_id": client_id.reveal(),
            "client_secret": client_secret.reveal(),
            "grant_type": "client_credentials",
            "audience": audience,
        }
    )


def token_of(reply: ProviderReply) -> Token | Refused | None:
    """What an answer to the request for a token means."""
    body = json_object(reply)
    if reply.http_status in (401, 403) or (reply.http_status == 400 and _reason(at(body, "errorCode")) is not None):
        code = at(body, "errorCode")
        return credentials_refused(f"{code} {at(body, 'message')}" if isinstance(code, str) else reply.excerpt)
    return granted_token(reply, body)


def is_token_ended(reply: ProviderReply) -> bool:
    """Whether a call was refused because its token is not valid any more."""
    return reply.http_status == 401 and at(json_object(reply), "errorCode") in (
        ErrorCode.INVALID_TOKEN,
        ErrorCode.TOKEN_EXPIRED,
    )


# Operators ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Amounts:
    """The amounts that an operator takes in one currency: from `least` to `most`, or one of `fixed`, each with its description."""

    currency: str
    local: bool
    least: Decimal | None
    most: Decimal | None
    fixed: Mapping[Decimal, str]

    def takes(self, amount: Decimal, *, is_range: bool) -> bool:
        if not is_range:
            return amount in self.fixed
        return self.least is not None and self.most is not None and self.least <= amount <= self.most


@dataclass(frozen=True, slots=True)
class Operator:
    """What is sold under one `operatorId`. `amounts`: in the account's currency, and in the recipient's where it takes such."""

    id: int
    name: str
    country: str
    sells_bundles: bool
    sells_pins: bool
    is_range: bool
    amounts: tuple[Amounts, ...]


@dataclass(frozen=True, slots=True)
class TopUp:
    """What to ask for."""

    operator: int
    amount: Decimal
    local: bool


def operators_of(reply: ProviderReply) -> tuple[Operator, ...] | None:
    """The operators of a country; None where the answer is none. Those that cannot be read are left out: they are not sold."""
    rows = json_objects(reply) if reply.http_status == 200 else None
    return None if rows is None else tuple(found for row in rows if (found := _operator(row)) is not None)


def operator_of(reply: ProviderReply) -> Operator | None:
    """The operator of an answer about one; None where it cannot be read."""
    body = json_object(reply) if reply.http_status == 200 else None
    return None if body is None else _operator(body)


def _operator(row: Mapping[str, Any]) -> Operator | None:
    number, name, country = row.get("operatorId"), row.get("name"), at(row, "country", "isoName")
    denomination = row.get("denominationType")
    sender, destination = row.get("senderCurrencyCode"), row.get("destinationCurrencyCode")
    if not (isinstance(number, int) and not isinstance(number, bool) and number > 0):
        return None
    if not all(isinstance(text, str) for text in (name, country, sender, destination)):
        return None
    if denomination not in ("RANGE", "FIXED"):
        return None
    amounts = [_amounts(row, str(sender), local=False)]
    if row.get("supportsLocalAmounts") is True and sender != destination:
        amounts.append(_amounts(row, str(destination), local=True))
    return Operator(
        number,
        str(name),
        str(country),
        any(row.get(key) is True for key in ("data", "bundle", "comboProduct")),
        row.get("pin") is True,
        denomination == "RANGE",
        tuple(amounts),
    )


def _amounts(row: Mapping[str, Any], currency: str, *, local: bool) -> Amounts:
    word = "localFixedAmounts" if local else "fixedAmounts"
    listed, described = row.get(word), row.get(f"{word}Descriptions")
    texts = {
        amount: text
        for key, text in (described.items() if isinstance(described, Mapping) else ())
        if (amount := number_of(key)) is not None and isinstance(text, str)
    }
    fixed = [number_of(one) for one in listed] if isinstance(listed, list) else []
    return Amounts(
        currency,
        local,
        number_of(row.get("localMinAmount" if local else "minAmount")),
        number_of(row.get("localMaxAmount" if local else "maxAmount")),
        {amount: texts.get(amount, "") for amount in fixed if amount is not None},
    )


def code_of(delivery: Delivery) -> tuple[int, Decimal | None] | Refused | None:
    """Read `OPERATOR` or, of a bundle, `OPERATOR/AMOUNT`; None where the product has no code."""
    if not delivery.provider_code:
        return None
    match = _CODE.fullmatch(delivery.provider_code)
    amount = None if match is None or match[2] is None else number_of(match[2])
    if match is None or (match[2] is not None and (amount is None or delivery.kind != "data")):
        return _not_sold(
            delivery, f"{delivery.provider_code!r} is not the id of an operator, nor of a bundle the id and its amount"
        )
    return int(match[1]), amount


_CODE: Final = re.compile(r"([1-9][0-9]{0,8})(?:/([0-9]{1,9}(?:\.[0-9]{1,6})?))?", re.ASCII)


def operator_by_name(delivery: Delivery, operators: Sequence[Operator]) -> Operator | Refused:
    """The operator of the country that sells airtime of the network; Refused where it is not certain."""
    found = [
        one
        for one in operators
        if not one.sells_bundles
        and not one.sells_pins
        and one.country == delivery.country
        and is_network(one.name, delivery.country, delivery.network)
    ]
    if len(found) == 1:
        return found[0]
    which = ", ".join(f"{one.id} {one.name}" for one in found)
    what = f"{len(found)} operators ({which})" if found else "no operator"
    return _not_sold(delivery, f"it has {what} for airtime of {delivery.country}/{delivery.network}")


def top_up_of(delivery: Delivery, operator: Operator) -> TopUp | Refused:
    """What to ask for, so that the recipient gets what was sold; Refused where the operator does not take that."""
    if operator.country != delivery.country:
        return _not_sold(delivery, f"the operator {operator.id}, {operator.name}, is in {operator.country}")
    if operator.sells_pins or operator.sells_bundles != (delivery.kind == "data"):
        return _not_sold(delivery, f"the operator {operator.id}, {operator.name}, does not sell {delivery.kind}")
    return _bundle(delivery, operator) if delivery.kind == "data" else _airtime(delivery, operator)


def _airtime(delivery: Delivery, operator: Operator) -> TopUp | Refused:
    wanted, currency = delivery.face_value.decimal, delivery.face_value.currency.code
    in_currency = [amounts for amounts in operator.amounts if amounts.currency == currency]
    for amounts in in_currency:
        if amounts.takes(wanted, is_range=operator.is_range):
            return TopUp(operator.id, wanted, amounts.local)
    if not in_currency:
        taken = ", ".join(amounts.currency for amounts in operator.amounts)
        return _not_sold(delivery, f"the operator {operator.id}, {operator.name}, takes amounts in {taken} only")
    return _not_sold(
        delivery,
        f"the operator {operator.id}, {operator.name}, does not take {delivery.face_value}: {_taken(operator)}",
    )


def _taken(operator: Operator) -> str:
    if operator.is_range:
        return "; ".join(f"{one.currency} {one.least} to {one.most}" for one in operator.amounts)
    return "; ".join(
        f"{one.currency} {', '.join(map(str, list(one.fixed)[:20])) or 'none'}" for one in operator.amounts
    )


def _bundle(delivery: Delivery, operator: Operator) -> TopUp | Refused:
    if operator.is_range:
        return _not_sold(delivery, f"the operator {operator.id}, {operator.name}, has no bundles of fixed amounts")
    code = code_of(delivery)
    if isinstance(code, Refused):
        return code
    named = None if code is None else code[1]
    found = [
        TopUp(operator.id, amount, amounts.local)
        for amounts in operator.amounts
        for amount, description in amounts.fixed.items()
        if (amount == named if named is not None else _describes(description, delivery))
    ]
    # One bundle has an amount in each currency: then the recipient's counts, which does not move with the rate.
    local = [one for one in found if one.local]
    of_one_currency = found if named is not None else local or found
    if len(of_one_currency) == 1:
        return of_one_currency[0]
    what = f"{len(of_one_currency)} such amounts" if of_one_currency else "no such amount"
    wanted = f"the amount {named}" if named is not None else f"a bundle of {delivery.size}"
    return _not_sold(
        delivery, f"the operator {operator.id}, {operator.name}, has {what} for {wanted}: {_taken(operator)}"
    )


_SIZES: Final = re.compile(r"(?<![0-9.,])([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*([KMGT]B)(?![A-Z])", re.ASCII | re.IGNORECASE)
_DAYS: Final = re.compile(r"(?<![0-9.,])([0-9]{1,4})[\s-]*(day|hour|week|month)", re.ASCII | re.IGNORECASE)


def _describes(description: str, delivery: Delivery) -> bool:
    """Whether a description names one size, and that is ours; and no other validity than ours."""
    sizes = {size_of("".join(match)) for match in _SIZES.findall(description)}
    days = {int(count) if unit.lower() == "day" else -1 for count, unit in _DAYS.findall(description)}
    return sizes == {size_of(delivery.size)} and days <= {delivery.validity_days}


def _not_sold(delivery: Delivery, why: str) -> Refused:
    return Refused(
        Reason.NOT_SOLD, f"{why}; `telvend product offer {delivery.product} … --code OPERATOR` names another"
    )


def operators_refused(reply: ProviderReply | None) -> Refused | NotSent:
    """What becomes of a purchase whose operator cannot be read. Nothing was sent."""
    if reply is None:
        return NotSent("the operators cannot be read: no answer")
    reason = _reason(at(json_object(reply), "errorCode"))
    if reply.http_status in (401, 403):
        return Refused(Reason.NOT_ALLOWED, f"the operators cannot be read: {reply.excerpt}")
    if reply.http_status == 404 or (reply.http_status == 400 and reason is not None):
        return Refused(Reason.NOT_SOLD, f"no such operator, or country: {reply.excerpt}")
    return NotSent(f"the operators cannot be read: {reply.excerpt}")


# Top-ups ------------------------------------------------------------------------------------------------------------------


def form_of(delivery: Delivery, top_up: TopUp | None) -> bytes:
    """The body of `topups`; for a preview without operators, None, it says where the rest comes from."""
    what: dict[str, Any]
    if top_up is None:
        what = {"operatorId": "the id of the operator, from /operators", "amount": "an amount that it takes"}
    else:
        what = {
            "operatorId": top_up.operator,
            "amount": plain_number(top_up.amount),
            "useLocalAmount": top_up.local,
        }
    return _ENCODER.encode(
        what
        | {
            "customIdentifier": delivery.reference,
            "recipientPhone": {"countryCode": delivery.country, "number": delivery.subscriber.removeprefix("+")},
        }
    )


def outcome_of(delivery: Delivery, reply: ProviderReply) -> Outcome:
    """What an answer to `topups` means."""
    body = json_object(reply)
    if body is None or reply.http_status >= 500 or 300 <= reply.http_status < 400:
        return Unknown(f"no answer of Reloadly: {reply.excerpt}")
    if reply.http_status == 200:
        return _transaction(delivery, reply, body)
    code, message = body.get("errorCode"), body.get("message")
    reason = _reason(code)
    if reason is None or reply.http_status < 400 or not isinstance(message, str):
        return Unknown(f"undocumented: {reply.excerpt}")
    return Refused(reason, f"{code} {message}")


def requery_outcome_of(delivery: Delivery, reply: ProviderReply) -> Outcome:
    """What an answer to `/topups/{id}/status` means, or one to the report of transactions with our `customIdentifier`."""
    body = json_object(reply)
    if body is None or reply.http_status != 200:
        return Unknown(f"no answer about a top-up: {reply.excerpt}")
    if delivery.provider_reference:
        # The reference prints the top-up inside `transaction`, the description the top-up itself.
        inside = body.get("transaction") if "transaction" in body else body
        if inside is None:
            return _without_details(delivery, reply, body)
        if not isinstance(inside, Mapping) or body.get("status") != inside.get("status"):
            return Unknown(f"a status that contradicts itself: {reply.excerpt}")
        return _transaction(delivery, reply, inside)
    rows = body.get("content")
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        return Unknown(f"no report of transactions: {reply.excerpt}")
    ours = [row for row in rows if row.get("customIdentifier") == delivery.reference]
    if not rows and body.get("totalElements", 0) == 0:
        return NotSent("not in the report of transactions")
    if len(ours) != 1 or len(rows) != 1:
        return Unknown(
            f"a report that is not about our top-up alone: {len(rows)} transactions, {len(ours)} of them ours"
        )
    return _transaction(delivery, reply, ours[0])


def _without_details(delivery: Delivery, reply: ProviderReply, body: Mapping[str, Any]) -> Outcome:
    """The status of a top-up that was asked about by its id, which is all there is to it."""
    match body.get("status"):
        case Status.PROCESSING:
            return Accepted(delivery.provider_reference, REQUERY_AFTER_S, "PROCESSING")
        case Status.FAILED | Status.REFUNDED as status:
            code = body.get("code")
            return Refused(
                _reason(code) or Reason.REFUSED, f"{status} {code or ''} {body.get('message') or ''}".rstrip()
            )
        case _:
            return Unknown(f"a status without its top-up: {reply.excerpt}")


def _transaction(delivery: Delivery, reply: ProviderReply, body: Mapping[str, Any]) -> Outcome:
    theirs = reference_of(body.get("transactionId"))
    if theirs is None or not _is_ours(delivery, body, theirs):
        return Unknown(f"a top-up that is not ours: {reply.excerpt}")
    match body.get("status"):
        case Status.SUCCESSFUL:
            return Delivered(theirs, _cost(delivery, body))
        case Status.PROCESSING:
            return Accepted(theirs, REQUERY_AFTER_S, "PROCESSING")
        case Status.FAILED | Status.REFUNDED as status:
            return Refused(Reason.REFUSED, f"the top-up {theirs} was {status}")
        case _:
            return Unknown(f"undocumented status: {reply.excerpt}")


def _is_ours(delivery: Delivery, body: Mapping[str, Any], theirs: str) -> bool:
    if body.get("customIdentifier") != delivery.reference or delivery.provider_reference not in ("", theirs):
        return False
    phone = body.get("recipientPhone")
    digits = re.sub(r"\D", "", str(phone)) if phone is not None else ""
    if digits and digits[-_SIGNIFICANT_DIGITS:] != delivery.subscriber[-_SIGNIFICANT_DIGITS:]:
        return False
    return body.get("countryCode") in (None, delivery.country)


def _cost(delivery: Delivery, body: Mapping[str, Any]) -> Money | None:
    """What our float has paid; None where it is kept in another currency than the catalogue's, or is not said."""
    return _taken_in(delivery.cost.currency, body)


def _taken_in(currency: Currency, body: Mapping[str, Any]) -> Money | None:
    info = body.get("balanceInfo")
    if at(info, "currencyCode") == currency.code and (cost := at(info, "cost")) is not None:
        return rounded_money_of(cost, currency, up=True)
    requested = number_of(body.get("requestedAmount"))
    discount = number_of(body.get("discount") if body.get("discount") is not None else 0)
    same = (body.get("requestedAmountCurrencyCode"), body.get("discountCurrencyCode", currency.code))
    if requested is None or discount is None or discount > requested or same != (currency.code, currency.code):
        return None
    return rounded_money_of(requested - discount, currency, up=True)


# The report of transactions ---------------------------------------------------------------------------------------------------

PER_PAGE: Final = 200
ZONE: Final = ZoneInfo("America/New_York")
"""Of `transactionDate`. No page names it; in the printed example, of a winter's day, it is five hours behind `updatedAt`. A line finds
its attempt by reference: the time only says to which day one belongs that we do not know."""
_AROUND: Final = timedelta(days=1)
"""How far around a day is read, so that a wrong zone leaves nothing out."""

_LINE_STATUS: Final = {
    Status.SUCCESSFUL.value: LineStatus.DELIVERED,
    Status.PROCESSING.value: LineStatus.PENDING,
    Status.REFUNDED.value: LineStatus.FAILED,
    Status.FAILED.value: LineStatus.FAILED,
}


def report_query(begins_at: datetime, ends_at: datetime, page: int) -> dict[str, str]:
    """The query of a page of the report, for this time and a day around it."""
    first, last = (
        moment.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S") for moment in (begins_at - _AROUND, ends_at + _AROUND)
    )
    return {"page": str(page), "size": str(PER_PAGE), "startDate": first, "endDate": last}


def page_of(reply: ProviderReply) -> TransactionPage | None:
    """A page of the report; None where the answer is none."""
    body = json_object(reply) if reply.http_status == 200 else None
    rows, last, total = (at(body, name) for name in ("content", "totalPages", "totalElements"))
    if not isinstance(rows, list):
        return None
    lines = [line for row in rows if (line := _line(row)) is not None]
    return TransactionPage(lines, len(rows) - len(lines), _count(last), _count(total))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _line(row: Any) -> tuple[str, StatementLine] | None:
    theirs, status = reference_of(at(row, "transactionId")), at(row, "status")
    if theirs is None or not isinstance(status, str):
        return None
    phone = re.sub(r"\D", "", str(row.get("recipientPhone") or ""))
    operator = row.get("operatorName")
    return theirs, StatementLine(
        _LINE_STATUS.get(status, LineStatus.UNKNOWN),
        reference=reference_of(row.get("customIdentifier")) or "",
        provider_reference=theirs,
        at=_moment(row.get("transactionDate")),
        charged=_charged(row),
        subscriber=f"+{phone}" if phone else "",
        product=operator[:80] if isinstance(operator, str) else "",
        word=status[:40],
    )


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=ZONE) if moment is not None and moment.tzinfo is None else moment


def _charged(row: Mapping[str, Any]) -> Money | None:
    """What our float has paid, in the currency of the account."""
    info = row.get("balanceInfo")
    said = at(info, "currencyCode") if at(info, "cost") is not None else row.get("requestedAmountCurrencyCode")
    try:
        currency = foreign_currency(str(said))
    except ValueError:
        return None
    return _taken_in(currency, row)


# The float ----------------------------------------------------------------------------------------------------------------


def balance_of(reply: ProviderReply) -> Money | BalanceUnavailable:
    """What an answer to `accounts/balance` means."""
    body = json_object(reply)
    if reply.http_status in (401, 403):
        return BalanceUnavailable(f"the credentials are not accepted: {reply.excerpt}", not_allowed=True)
    try:
        currency = foreign_currency(str(at(body, "currencyCode")))
    except ValueError:
        return BalanceUnavailable(f"no balance: {reply.excerpt}")
    money = rounded_money_of(at(body, "balance"), currency, up=False) if reply.http_status == 200 else None
    return money if money is not None else BalanceUnavailable(f"no balance: {reply.excerpt}")
