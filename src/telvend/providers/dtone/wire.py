"""What DT One DVS says, and what it means.

A transaction is created, and delivers nothing until it is confirmed; until then it can be cancelled. Its `status` has a `class`, by
which DT One tells integrators to branch, and a `message` with the detail. Fields may be added without notice, and so only those that
decide are looked at. `external_id` is our reference, at most 40 characters, and can be used once; the transaction's `id` is
theirs. Errors are a list of `code` and `message`.

Source: the DVS API reference and its OpenAPI description (1.14), as of 2026. Examples: tests/wire/dtone/.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final

import msgspec

from telvend.kit.money import Currency, Money, foreign_currency
from telvend.providers.contract import (
    Accepted,
    Delivered,
    Delivery,
    NotSent,
    Outcome,
    Reason,
    Refused,
    Unknown,
    plain_reference,
)
from telvend.providers.operator_names import is_network
from telvend.providers.over_http import ProviderReply
from telvend.providers.pages import TransactionPage
from telvend.providers.reading import at, json_object, json_objects, number_of, reference_of, rounded_money_of, size_of
from telvend.providers.upstream import BalanceUnavailable, CallbackForm, LineStatus, StatementLine

CALLBACK: Final = CallbackForm(references=(("external_id",), ("id",)), acknowledgement={"status": "ok"})
"""Unsigned: the transaction itself, posted to the `callback_url` that came with its creation, when it has ended. Source: "Callback"."""

ISO3: Final = {"GH": "GHA", "NG": "NGA", "SZ": "SWZ", "UG": "UGA", "ZA": "ZAF"}
"""Our markets as DT One calls countries."""

SETTLES_AFTER_S: Final = 300.0
"""How old an attempt must be before "no such transaction" is believed: five minutes. A creation that arrives later still delivers
nothing, since nobody confirms it; what has been confirmed was created before, within the time-out, and DT One prints the look-up
by `external_id` for exactly this case."""

REQUERY_AFTER_S: Final = 5.0
PER_PAGE: Final = 100
MOST_PAGES: Final = 30

_LONGEST_REFERENCE: Final = 40
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_SIGNIFICANT_DIGITS: Final = 9


class StatusClass(IntEnum):
    """The closed list of `status.class.id`. Any other number is `Unknown`."""

    CREATED = 1
    """Our float is set aside; nothing is delivered before it is confirmed."""
    CONFIRMED = 2
    """On its way to the operator."""
    REJECTED = 3
    """Refused by a rule of DT One; our float was given back."""
    CANCELLED = 4
    """Cancelled before it was confirmed; our float was given back."""
    SUBMITTED = 5
    """With the operator."""
    COMPLETED = 7
    """The recipient has it, and our float was charged."""
    REVERSED = 8
    """Taken back by DT One's staff after it was completed; our float was given back."""
    DECLINED = 9
    """Refused by the operator; our float was given back."""


REASON_BY_DETAIL: Final = {
    "INVALID-CREDIT-PARTY": Reason.BAD_NUMBER,
    "BARRED-CREDIT-PARTY": Reason.BARRED,
    "INELIGIBLE-CREDIT-PARTY": Reason.REFUSED,
    "INVALID-DEBIT-PARTY": Reason.NOT_ALLOWED,
    "BARRED-DEBIT-PARTY": Reason.NOT_ALLOWED,
    # What all of us together, or the recipient, or this account may buy within a time.
    "LIMITATIONS-ON-OPERATOR-AMOUNT": Reason.OUT_OF_STOCK,
    "LIMITATIONS-ON-OPERATOR-QUANTITY": Reason.OUT_OF_STOCK,
    "LIMITATIONS-ON-CREDIT-PARTY-AMOUNT": Reason.REFUSED,
    "LIMITATIONS-ON-CREDIT-PARTY-QUANTITY": Reason.REFUSED,
    "LIMITATIONS-ON-CUSTOMER-AMOUNT": Reason.NOT_ALLOWED,
    "LIMITATIONS-ON-CUSTOMER-QUANTITY": Reason.NOT_ALLOWED,
    "DUPLICATED-TRANSACTION": Reason.TOO_SOON,
    "OPERATOR-CURRENTLY-UNAVAILABLE": Reason.DOWN,
    "INSUFFICIENT-BALANCE": Reason.NO_FLOAT,
}
"""What follows REJECTED- or DECLINED- in `status.message`. Any other detail is a plain no: the class decides that it is one."""


class ErrorCode(IntEnum):
    """The documented values of `errors[].code`."""

    BAD_REQUEST = 1000400
    UNAUTHORIZED = 1000401
    RESOURCE_NOT_FOUND = 1000404
    TOO_MANY_REQUESTS = 1000429
    PRODUCT_NOT_IN_ACCOUNT = 1003001
    AMOUNT_OUT_OF_RANGE = 1003002
    UNIT_INVALID = 1003003
    BENEFITS_NOT_DEFINED = 1003101
    PROMOTION_NOT_FOUND = 1003201
    CAMPAIGN_NOT_FOUND = 1003301
    CREDIT_PARTY_INVALID = 1005003
    SERVICE_NOT_FOUND = 1005004
    COUNTRY_NOT_FOUND = 1005005
    OPERATOR_NOT_FOUND = 1005006
    SENDER_INVALID = 1005503
    INSUFFICIENT_BALANCE = 1006001
    DEBIT_PARTY_INVALID = 1006003
    NO_BALANCE_ACCOUNT = 1006009
    BENEFICIARY_INVALID = 1006503
    EXTERNAL_ID_USED = 1007001
    ALREADY_CONFIRMED = 1007002
    TOO_LATE_TO_CONFIRM = 1007004
    ALREADY_CANCELLED = 1007005
    TOO_LATE_TO_CANCEL = 1007007
    NOT_SUPPORTED = 1007500
    TRANSACTION_NOT_FOUND = 1008004
    SERVER = 1009001
    RETRY_LATER = 1009503


REASON_BY_CODE: Final = {
    ErrorCode.BAD_REQUEST: Reason.NOT_SOLD,
    ErrorCode.UNAUTHORIZED: Reason.NOT_ALLOWED,
    ErrorCode.RESOURCE_NOT_FOUND: Reason.NOT_SOLD,
    ErrorCode.PRODUCT_NOT_IN_ACCOUNT: Reason.NOT_SOLD,
    ErrorCode.AMOUNT_OUT_OF_RANGE: Reason.NOT_SOLD,
    ErrorCode.UNIT_INVALID: Reason.NOT_SOLD,
    ErrorCode.CREDIT_PARTY_INVALID: Reason.BAD_NUMBER,
    ErrorCode.SERVICE_NOT_FOUND: Reason.NOT_SOLD,
    ErrorCode.COUNTRY_NOT_FOUND: Reason.NOT_SOLD,
    ErrorCode.OPERATOR_NOT_FOUND: Reason.NOT_SOLD,
    # No sender, beneficiary or debit party is sent: the product needs one.
    ErrorCode.SENDER_INVALID: Reason.NOT_SOLD,
    ErrorCode.DEBIT_PARTY_INVALID: Reason.NOT_SOLD,
    ErrorCode.BENEFICIARY_INVALID: Reason.NOT_SOLD,
    ErrorCode.INSUFFICIENT_BALANCE: Reason.NO_FLOAT,
    ErrorCode.NO_BALANCE_ACCOUNT: Reason.NOT_ALLOWED,
    ErrorCode.NOT_SUPPORTED: Reason.NOT_SOLD,
}
"""The listed failures of a creation.

All others are no outcome of it: 1007001 (an earlier creation exists: a requery finds it), the errors of confirming, cancelling and
reading (1007002, 1007004, 1007005, 1007007, 1008004), those of other calls (1003101, 1003201, 1003301), and 1009001 and 1009503,
which come with 5xx. 1000429 is `NotSent`."""


def reference(order_reference: str, number: int, started_at: datetime) -> str:
    """Return the `external_id` of an attempt: as everywhere, and where that is too long its beginning and a digest of it."""
    plain = plain_reference(order_reference, number, started_at)
    if len(plain) <= _LONGEST_REFERENCE:
        return plain
    digest = hashlib.sha256(plain.encode()).hexdigest()[:20]
    return f"{plain[: _LONGEST_REFERENCE - len(digest) - 1]}-{digest}"


# Products -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Product:
    """A recharge. `unit` is the currency of what arrives; `least`, `most` and `step` are of a ranged one, `amount` of a fixed one.

    `data_mb` is how much data it brings where it brings data and nothing else; `validity_days` how long that lasts. `needs` names
    what a transaction would have to carry beside the recipient's number.
    """

    id: int
    name: str
    operator: str
    country: str
    is_ranged: bool
    by_destination: bool
    unit: str
    least: Decimal | None
    most: Decimal | None
    step: Decimal | None
    amount: Decimal | None
    data_mb: Decimal | None
    brings_credit: bool
    validity_days: int | None
    needs: str


_RECHARGES: Final = {"FIXED_VALUE_RECHARGE": False, "RANGED_VALUE_RECHARGE": True}


def product_of(reply: ProviderReply) -> Product | None:
    """The product of an answer about one; None where it cannot be read, or is no recharge."""
    body = json_object(reply) if reply.http_status == 200 else None
    return None if body is None else _product(body)


def products_of(reply: ProviderReply) -> tuple[Product, ...] | None:
    """The products of one page; None where the answer is none. Those that cannot be read are left out: they are not sold."""
    rows = json_objects(reply) if reply.http_status == 200 else None
    return None if rows is None else tuple(found for row in rows if (found := _product(row)) is not None)


def pages_of(reply: ProviderReply) -> int | None:
    """How many pages there are; None where that is not said."""
    return _number(reply.headers.get("x-total-pages", ""))


def _product(row: Mapping[str, Any]) -> Product | None:
    number, name, kind = row.get("id"), row.get("name"), row.get("type")
    operator, country = at(row, "operator", "name"), at(row, "operator", "country", "iso_code")
    destination = row.get("destination")
    unit, amount = at(destination, "unit"), at(destination, "amount")
    if not (isinstance(number, int) and not isinstance(number, bool) and number > 0):
        return None
    if not all(isinstance(text, str) for text in (name, operator, country, unit, kind)) or kind not in _RECHARGES:
        return None
    is_ranged = _RECHARGES[str(kind)]
    is_money = at(destination, "unit_type") == "CURRENCY"
    modes = row.get("accepted_calculation_modes")
    return Product(
        number,
        str(name),
        str(operator),
        str(country),
        is_ranged,
        isinstance(modes, list) and "DESTINATION_AMOUNT" in modes,
        str(unit) if is_money else "",
        number_of(at(amount, "min")) if is_ranged else None,
        number_of(at(amount, "max")) if is_ranged else None,
        number_of(at(amount, "increment")) if is_ranged else None,
        None if is_ranged else number_of(amount),
        _data_mb(row),
        _brings_credit(row),
        _days(row.get("validity")),
        _needs(row),
    )


def _benefits(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = row.get("benefits")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _data_mb(row: Mapping[str, Any]) -> Decimal | None:
    benefits = _benefits(row)
    if len(benefits) != 1 or benefits[0].get("type") != "DATA":
        return None
    amount, factor = number_of(at(benefits[0], "amount", "base")), _MB.get(str(benefits[0].get("unit")).upper())
    return None if amount is None or factor is None else amount * factor


def _brings_credit(row: Mapping[str, Any]) -> bool:
    return {str(one.get("type")) for one in _benefits(row)} == {"CREDITS"} or at(
        row, "service", "subservice", "name"
    ) == "Airtime"


_MB: Final = {"KB": Decimal("0.001"), "MB": Decimal(1), "GB": Decimal(1000), "TB": Decimal(1000000)}


def _days(validity: Any) -> int | None:
    days = {"DAY": 1, "WEEK": 7}.get(str(at(validity, "unit")))
    quantity = number_of(at(validity, "quantity"))
    if at(validity, "unit") == "HOUR" and quantity is not None and quantity % 24 == 0:
        return int(quantity / 24)
    return None if days is None or quantity is None or quantity != int(quantity) else days * int(quantity)


def _needs(row: Mapping[str, Any]) -> str:
    """What a transaction would have to carry that is not known here; a field lists the sets of which one will do."""
    for party in ("debit_party_identifier", "sender", "beneficiary", "statement_identifier", "additional_identifier"):
        if not _does(row.get(f"required_{party}_fields"), ()):
            return party
    return "" if _does(row.get("required_credit_party_identifier_fields"), ("mobile_number",)) else "account number"


def _does(sets: Any, ours: tuple[str, ...]) -> bool:
    if sets is None or sets == []:
        return True
    return isinstance(sets, list) and any(isinstance(one, list) and set(map(str, one)) <= set(ours) for one in sets)


def product_id_of(delivery: Delivery) -> int | Refused | None:
    """Read the product's code at this provider; None where it has none."""
    if not delivery.provider_code:
        return None
    if re.fullmatch(r"[1-9][0-9]{0,9}", delivery.provider_code, re.ASCII) is None:
        return Refused(Reason.NOT_SOLD, f"{delivery.provider_code!r} is not the id of a product of DT One")
    return int(delivery.provider_code)


def product_for(delivery: Delivery, products: Sequence[Product]) -> Product | Refused:
    """The product that brings what was sold; Refused where it is not certain."""
    found = [
        one
        for one in products
        if one.country == ISO3.get(delivery.country)
        and is_network(one.operator, delivery.country, delivery.network)
        and _brings(delivery, one)
    ]
    if len(found) > 1:
        # Airtime of an exact amount is the same as the amount of a range; what is made for it comes first.
        found = [one for one in found if not one.is_ranged] or found
    if len(found) == 1:
        return found[0]
    which = ", ".join(f"{one.id} {one.name}" for one in found[:10])
    what = f"{len(found)} products ({which})" if found else "no product"
    sold = f"{delivery.country}/{delivery.network} {delivery.kind} {delivery.size}"
    return Refused(
        Reason.NOT_SOLD,
        f"DT One has {what} for {sold}; `telvend product offer {delivery.product} … --code ID` names one",
    )


def _brings(delivery: Delivery, product: Product) -> bool:
    if delivery.kind == "airtime":
        return product.brings_credit and not isinstance(amount_of(delivery, product), Refused)
    wanted = _SIZE.fullmatch(size_of(delivery.size))
    if product.is_ranged or product.needs or wanted is None or product.data_mb is None:
        return False
    factor = _MB[wanted[2]]
    # A thousand and 1024 are both called kilo.
    binary = {"KB": 1 / Decimal(1024), "MB": Decimal(1), "GB": Decimal(1024), "TB": Decimal(1024 * 1024)}[wanted[2]]
    sizes = {Decimal(wanted[1]) * factor, Decimal(wanted[1]) * binary}
    return product.data_mb in sizes and product.validity_days == delivery.validity_days


_SIZE: Final = re.compile(r"([0-9.]+)([KMGT]B)", re.ASCII)


def amount_of(delivery: Delivery, product: Product) -> Money | Refused | None:
    """The amount to name, of a ranged product; None for a fixed one. Refused where the recipient would not get what was sold."""
    if product.country != ISO3.get(delivery.country):
        return Refused(Reason.NOT_SOLD, f"the product {product.id}, {product.name}, is of {product.country}")
    if product.needs:
        return Refused(Reason.NOT_SOLD, f"the product {product.id}, {product.name}, needs more: {product.needs}")
    what = f"the product {product.id}, {product.name},"
    if delivery.kind == "data":
        if product.is_ranged:
            return Refused(Reason.NOT_SOLD, f"{what} is airtime of any amount, not a bundle")
        return None
    face = delivery.face_value
    wanted, unit = face.decimal, face.currency.code
    if product.unit != unit:
        return Refused(Reason.NOT_SOLD, f"{what} brings {product.unit or 'no money'}, not {unit}")
    if not product.is_ranged:
        if product.amount != wanted:
            return Refused(Reason.NOT_SOLD, f"{what} brings {unit} {product.amount}, not {face}")
        return None
    if not product.by_destination:
        return Refused(Reason.NOT_SOLD, f"{what} does not take the amount that arrives")
    least, most = product.least, product.most
    if least is None or most is None or not least <= wanted <= most:
        return Refused(Reason.NOT_SOLD, f"{what} brings {unit} {least} to {most}, not {face}")
    if product.step and wanted % product.step:
        return Refused(Reason.NOT_SOLD, f"{what} brings multiples of {unit} {product.step}, not {face}")
    return face


def products_refused(reply: ProviderReply | None) -> Refused | NotSent:
    """What becomes of a purchase whose product cannot be read. Nothing was sent."""
    if reply is None:
        return NotSent("the products cannot be read: no answer")
    codes = _errors(reply)
    if reply.http_status == 401:
        return Refused(Reason.NOT_ALLOWED, f"the products cannot be read: {reply.excerpt}")
    if reply.http_status in (400, 404) and codes and all(code in REASON_BY_CODE for code in codes):
        return Refused(REASON_BY_CODE[ErrorCode(codes[0])], f"the product cannot be read: {reply.excerpt}")
    return NotSent(f"the products cannot be read: {reply.excerpt}")


# Transactions -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Created:
    """A transaction that was created and not confirmed: it delivers nothing unless somebody confirms it."""

    id: str


def form_of(delivery: Delivery, product: int | str, amount: Money | None, callback_url: str = "") -> bytes:
    """The body of a creation. It is confirmed by a second request."""
    form: dict[str, Any] = {
        "external_id": delivery.reference,
        "product_id": product,
        "auto_confirm": False,
        "credit_party_identifier": {"mobile_number": delivery.subscriber},
    }
    if amount is not None:
        form["calculation_mode"] = "DESTINATION_AMOUNT"
        form["destination"] = {
            "unit_type": "CURRENCY",
            "unit": amount.currency.code,
            "amount": amount.number,
        }
    if callback_url:
        form["callback_url"] = callback_url
    return _ENCODER.encode(form)


def created_of(delivery: Delivery, reply: ProviderReply) -> Created | Outcome:
    """What an answer to a creation means."""
    if reply.http_status == 429:
        return NotSent(f"too many requests: {reply.excerpt}")
    if 200 <= reply.http_status < 300:
        return _transaction(delivery, reply, json_object(reply))
    codes = _errors(reply)
    if not 400 <= reply.http_status < 500 or not codes or not all(code in REASON_BY_CODE for code in codes):
        return Unknown(f"no answer to a creation: {reply.excerpt}")
    return Refused(REASON_BY_CODE[ErrorCode(codes[0])], reply.excerpt)


def confirmed_of(delivery: Delivery, reply: ProviderReply) -> Outcome:
    """What an answer to a confirmation means."""
    if 200 <= reply.http_status < 300:
        found = _transaction(delivery, reply, json_object(reply))
        return Unknown(f"confirmed, and not: {reply.excerpt}") if isinstance(found, Created) else found
    if _is_error(reply, ErrorCode.ALREADY_CANCELLED):
        return NotSent(f"cancelled before it was confirmed: {reply.excerpt}", closed=True)
    return Unknown(f"no answer to a confirmation: {reply.excerpt}")


def requery_outcome_of(delivery: Delivery, reply: ProviderReply) -> Created | Outcome:
    """What an answer about a transaction means: one that was asked about by its id, or the list of those with our reference."""
    if delivery.provider_reference:
        found = json_object(reply) if reply.http_status == 200 else None
        return _transaction(delivery, reply, found)
    if reply.http_status == 404 and _is_error(reply, ErrorCode.TRANSACTION_NOT_FOUND):
        return NotSent("no transaction with our reference")
    rows = json_objects(reply) if reply.http_status == 200 else None
    if rows is None:
        return Unknown(f"no list of transactions: {reply.excerpt}")
    if not rows:
        return NotSent("no transaction with our reference")
    if len(rows) != 1:
        return Unknown(f"{len(rows)} transactions with one reference: {reply.excerpt}")
    return _transaction(delivery, reply, rows[0])


def cancelled_of(delivery: Delivery, reply: ProviderReply) -> Outcome:
    """What an answer to a cancellation means."""
    if 200 <= reply.http_status < 300:
        found = _transaction(delivery, reply, json_object(reply))
        return Unknown(f"cancelled, and not: {reply.excerpt}") if isinstance(found, Created) else found
    return Unknown(f"created, and cannot be cancelled now: {reply.excerpt}")


def _transaction(delivery: Delivery, reply: ProviderReply, body: Mapping[str, Any] | None) -> Created | Outcome:
    theirs = reference_of(at(body, "id"))
    if body is None or theirs is None or not _is_ours(delivery, body, theirs):
        return Unknown(f"a transaction that is not ours: {reply.excerpt}")
    message = at(body, "status", "message")
    status = _class_of(body)
    text = f"{theirs} {message if isinstance(message, str) else status}"
    match status:
        case StatusClass.CREATED:
            return Created(theirs)
        case StatusClass.CONFIRMED | StatusClass.SUBMITTED:
            return Accepted(theirs, REQUERY_AFTER_S, text)
        case StatusClass.COMPLETED:
            return Delivered(theirs, _cost(delivery, body), text)
        case StatusClass.REJECTED | StatusClass.DECLINED:
            detail = str(message).partition("-")[2]
            return Refused(REASON_BY_DETAIL.get(detail, Reason.REFUSED), text)
        case StatusClass.CANCELLED if not delivery.provider_reference:
            return NotSent(f"cancelled before it was confirmed: {text}", closed=True)
        case StatusClass.CANCELLED | StatusClass.REVERSED:
            return Refused(Reason.REFUSED, text)
        case _:
            return Unknown(f"undocumented status: {reply.excerpt}")


def _class_of(body: Mapping[str, Any]) -> StatusClass | None:
    number, name = at(body, "status", "class", "id"), at(body, "status", "class", "message")
    if not isinstance(number, int) or isinstance(number, bool) or number not in _CLASSES:
        return None
    found = StatusClass(number)
    return found if name in (None, found.name) else None


_CLASSES: Final = frozenset(StatusClass)


def _is_ours(delivery: Delivery, body: Mapping[str, Any], theirs: str) -> bool:
    if body.get("external_id") != delivery.reference or delivery.provider_reference not in ("", theirs):
        return False
    number = at(body, "credit_party_identifier", "mobile_number")
    if number is not None and str(number)[-_SIGNIFICANT_DIGITS:] != delivery.subscriber[-_SIGNIFICANT_DIGITS:]:
        return False
    product = at(body, "product", "id")
    return not delivery.provider_code or product is None or str(product) == delivery.provider_code


def _cost(delivery: Delivery, body: Mapping[str, Any]) -> Money | None:
    """What our float has paid; None where it is kept in another currency than the catalogue's, or is not said."""
    return _taken_in(delivery.cost.currency, body)


def _taken_in(currency: Currency, body: Mapping[str, Any]) -> Money | None:
    wholesale = at(body, "prices", "wholesale")
    amount, fee = number_of(at(wholesale, "amount")), number_of(at(wholesale, "fee") or 0)
    if at(wholesale, "unit") != currency.code or amount is None or fee is None:
        return None
    return rounded_money_of(amount + fee, currency, up=True)


def _errors(reply: ProviderReply) -> list[int]:
    """The codes of an answer that is a list of documented errors; else none."""
    errors = at(json_object(reply), "errors")
    if not isinstance(errors, list):
        return []
    codes = [at(error, "code") for error in errors]
    return codes if all(type(code) is int and code in _CODES for code in codes) else []


_CODES: Final = frozenset(ErrorCode)


def _is_error(reply: ProviderReply, code: ErrorCode) -> bool:
    return 400 <= reply.http_status < 500 and _errors(reply) == [code]


# The list of transactions -------------------------------------------------------------------------------------------------

_AROUND: Final = timedelta(hours=1)
"""How far around a day is read: what began at its end is created there a moment later."""

_LINE_STATUS: Final = {
    # Nothing is delivered before it is confirmed, but our float is set aside.
    StatusClass.CREATED: LineStatus.PENDING,
    StatusClass.CONFIRMED: LineStatus.PENDING,
    StatusClass.SUBMITTED: LineStatus.PENDING,
    StatusClass.COMPLETED: LineStatus.DELIVERED,
    StatusClass.REJECTED: LineStatus.FAILED,
    StatusClass.CANCELLED: LineStatus.FAILED,
    StatusClass.REVERSED: LineStatus.FAILED,
    StatusClass.DECLINED: LineStatus.FAILED,
}


def list_query(begins_at: datetime, ends_at: datetime, page: int) -> dict[str, str]:
    """The query of a page of transactions by the time of their creation, in UTC."""
    first, last = (
        moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (begins_at - _AROUND, ends_at + _AROUND)
    )
    return {"page": str(page), "per_page": str(PER_PAGE), "from_date": first, "to_date": last}


def page_of(reply: ProviderReply) -> TransactionPage | None:
    """A page of transactions; None where the answer is none. Their number stands in the headers."""
    body = _list(reply)
    if body is None:
        return None
    lines = [line for row in body if (line := _line(row)) is not None]
    return TransactionPage(lines, len(body) - len(lines), pages_of(reply), _number(reply.headers.get("x-total", "")))


def _list(reply: ProviderReply) -> Sequence[Mapping[str, Any]] | None:
    if reply.http_status == 404 and _is_error(reply, ErrorCode.TRANSACTION_NOT_FOUND):
        return ()
    return json_objects(reply) if reply.http_status == 200 else None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _line(row: Mapping[str, Any]) -> tuple[str, StatementLine] | None:
    theirs = reference_of(row.get("id"))
    if theirs is None:
        return None
    status, message = _class_of(row), at(row, "status", "message")
    number, product = at(row, "credit_party_identifier", "mobile_number"), at(row, "product", "name")
    return theirs, StatementLine(
        LineStatus.UNKNOWN if status is None else _LINE_STATUS[status],
        reference=reference_of(row.get("external_id")) or "",
        provider_reference=theirs,
        at=_moment(row.get("creation_date")),
        charged=_charged(row),
        subscriber=number if isinstance(number, str) else "",
        product=product[:80] if isinstance(product, str) else "",
        word=message[:60] if isinstance(message, str) else "",
    )


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _charged(row: Mapping[str, Any]) -> Money | None:
    try:
        currency = foreign_currency(str(at(row, "prices", "wholesale", "unit")))
    except ValueError:
        return None
    return _taken_in(currency, row)


# The float ----------------------------------------------------------------------------------------------------------------


def balance_of(reply: ProviderReply) -> Money | BalanceUnavailable:
    """What an answer to `balances` means: what is available in the only currency that the account has money in."""
    if reply.http_status == 401:
        return BalanceUnavailable(f"the keys are not accepted: {reply.excerpt}", not_allowed=True)
    rows = json_objects(reply) if reply.http_status == 200 else None
    found = [_balance(row) for row in rows or () if row.get("unit_type") == "CURRENCY"]
    amounts = [money for money in found if money is not None]
    if not amounts or len(amounts) != len(found):
        return BalanceUnavailable(f"no balance: {reply.excerpt}")
    filled = [money for money in amounts if money.minor] or amounts[:1]
    if len(filled) > 1:
        return BalanceUnavailable(f"balances in several currencies: {', '.join(map(str, filled))}")
    return filled[0]


def _balance(row: Mapping[str, Any]) -> Money | None:
    try:
        currency = foreign_currency(str(row.get("unit")))
    except ValueError:
        return None
    return rounded_money_of(row.get("available"), currency, up=False)
