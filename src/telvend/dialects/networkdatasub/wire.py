"""What networkdatasub's clients see: the envelope, bodies, status words, error texts.

Source: the networkdatasub API document (Beta v1.0, June 2025); the examples under tests/wire/networkdatasub/ are its own.
Every answer has `success`; most have `message` and `data`. Amounts are strings with two decimals in /wallet, /transactions
and `wallet_balance`, exact numbers elsewhere, as the document prints them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from telvend import errors
from telvend.authorities.contract import VerificationKind as IdentityKind
from telvend.catalog.model import CatalogueSnapshot, Network, Product
from telvend.dialects.contract import Header, Request, Response, nearest_row
from telvend.errors import InsufficientBalance, InvalidFields, InvalidInput, TelvendError
from telvend.funding.model import Funding
from telvend.identity.model import Opened, Price, VerificationResult
from telvend.identity.model import VerificationState as CheckState
from telvend.kit.money import NGN, Money
from telvend.kit.numbering import national_form
from telvend.orders.model import Attempt, AttemptState, Order, OrderState, Placement
from telvend.resellers.model import Profile
from telvend.wallets.model import Summary, Transaction, TransactionStatus

PENDING_MESSAGE: Final = "The order was accepted and is still being delivered; ask for the transaction later"


class Envelope(msgspec.Struct, omit_defaults=True):
    """Every answer. `errors` maps a field to sentences about it."""

    success: bool
    message: str | msgspec.UnsetType = msgspec.UNSET
    data: Any = msgspec.UNSET
    errors: dict[str, list[str]] | msgspec.UnsetType = msgspec.UNSET


def ok(data: Any, message: str | None = None, *headers: tuple[bytes, bytes]) -> Response:
    return Response(200, Envelope(True, msgspec.UNSET if message is None else message, data), headers)


def refused(status: int, message: str, data: Any = msgspec.UNSET) -> Response:
    return Response(status, Envelope(False, message, data))


# Money and time ---------------------------------------------------------------------------------------------------------


def number(money: Money) -> Decimal | int:
    """An exact JSON number; whole amounts without decimals, as the document prints `100`."""
    return money.number


def stamp(moment: datetime | None) -> str | None:
    """UTC with six decimals and `Z`."""
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


# User and profile -------------------------------------------------------------------------------------------------------


def user(profile: Profile, balance: Money) -> dict[str, Any]:
    return {
        "id": profile.number,
        "name": profile.name,
        "email": profile.email,
        "phone": _national(profile.phone),
        "wallet": {"balance": balance.decimal},
    }


def profile_body(profile: Profile, balance: Money, last_funded: datetime | None, avatar: str) -> dict[str, Any]:
    return {
        "id": profile.number,
        "name": profile.name,
        "email": profile.email,
        "phone": _national(profile.phone),
        "avatar": avatar,
        "address": profile.address,
        "gender": profile.gender,
        "date_of_birth": None if profile.date_of_birth is None else profile.date_of_birth.isoformat(),
        "is_verified": profile.email_verified and profile.phone_verified,
        "verification_status": {
            "email": profile.email_verified,
            "phone": profile.phone_verified,
            "id": profile.id_verified,
        },
        "wallet": {
            "balance": balance.decimal,
            "currency": balance.currency.code,
            "last_funded": stamp(last_funded),
        },
        "joined_at": stamp(profile.created_at),
    }


def _national(phone: str) -> str:
    return national_form(phone) if phone.startswith("+234") else phone


# Catalogue --------------------------------------------------------------------------------------------------------------


def network_line(network: Network, base: str) -> dict[str, Any]:
    return {
        "id": network.id,
        "name": network.name,
        "code": network.code,
        "logo": f"{base}/logos/{network.country.lower()}-{network.code.lower()}.svg",
        "status": "active" if network.on_sale else "inactive",
    }


def data_types(catalogue: CatalogueSnapshot, network: Network) -> list[str]:
    """The data types that are on sale, in the order of the document: SME first."""
    sold = {plan.type for plan in catalogue.plans(network.country, network.code) if plan.type}
    return sorted(sold, key=lambda name: (_TYPE_ORDER.get(name, 9), name))


_TYPE_ORDER: Final = {"SME": 0, "Direct": 1, "Corporate": 2, "Gifting": 3}


def network_details(catalogue: CatalogueSnapshot, network: Network, base: str) -> dict[str, Any]:
    return network_line(network, base) | {
        "provider_codes": dict(catalogue.provider_codes(network.id)),
        "data_types": data_types(catalogue, network),
        "supports_airtime": catalogue.airtime(network.country, network.code) is not None,
        "supports_data": bool(catalogue.plans(network.country, network.code)),
        "created_at": stamp(network.created_at),
        "updated_at": stamp(network.updated_at),
    }


def plan(product: Product) -> dict[str, Any]:
    validity = product.validity.lower()
    return {
        "id": product.id,
        "network_id": product.network_id,
        "name": f"{product.size} ({product.validity})",
        "code": product.size,
        "amount": number(product.price),
        "validity": validity,
        "type": product.type,
        "description": f"{product.size} data valid for {validity}",
    }


def all_plans(found: Sequence[tuple[Network, Product]]) -> dict[str, Any]:
    """Of `/data/all-plans`, which the document does not print: everything on one page.

    A plan has the fields that the service's clients read there, and beside them those of `/data-plans` whose names are free.
    `id`, `plan_id` and `api_info.api_plan_id` are one number, so that it does not matter which of them a client buys by.
    """
    total = sum(plan.price.minor for _, plan in found)
    average = Money(total // len(found) if found else 0, NGN)
    return {
        "plans": [_listed_plan(network, item) for network, item in found],
        "pagination": {
            "current_page": 1,
            "per_page": len(found),
            "total": len(found),
            "total_pages": 1,
            "has_next_page": False,
            "has_prev_page": False,
        },
        "summary": {
            "total_plans": len(found),
            "active_plans": len(found),
            "networks_count": len({network.id for network, _ in found}),
            "average_price": number(average),
        },
    }


def _listed_plan(network: Network, product: Product) -> dict[str, Any]:
    return plan(product) | {
        "plan_id": str(product.id),
        "network": {"id": network.id, "name": network.name, "code": network.code},
        "plan_name": f"{product.size} ({product.validity})",
        "data_size": product.size,
        "price": {
            "amount": number(product.price),
            "formatted": f"₦{product.price.decimal:,.2f}",
            "currency": product.currency.code,
        },
        "validity": {"days": product.validity_days, "formatted": product.validity.lower()},
        "type": {"name": product.type, "code": product.type.lower()},
        "status": {"code": "active", "name": "Active", "is_active": True},
        "api_info": {"api_plan_id": str(product.id)},
    }


# Purchases --------------------------------------------------------------------------------------------------------------

_STATUS: Final = {OrderState.DELIVERED: "completed", OrderState.FAILED: "failed"}


def purchase_answer(placement: Placement, order: Order, balance: Money, what: str) -> Response:
    """The order as it stands after waiting: completed, still pending, or refused with the money back."""
    body = {
        "transaction": {
            "id": order.id,
            "reference": order.reference,
            "amount": number(order.face),
            "status": _STATUS.get(order.state, "pending"),
            "created_at": stamp(order.created_at),
        },
        "new_balance": balance.decimal,
    }
    headers = ((b"idempotent-replayed", b"true"),) if placement.replayed else ()
    if order.state is OrderState.DELIVERED:
        return ok(body, f"{what} purchased successfully", *headers)
    if order.state is OrderState.FAILED:
        answer = refused(
            400, f"Failed to purchase {what.lower()}: the provider refused it; your wallet was refunded", body
        )
        answer.headers = headers
        return answer
    return ok(body | {"status": "pending"}, PENDING_MESSAGE, *headers)


# Wallet and transactions ------------------------------------------------------------------------------------------------


def wallet_balance(wallet_id: int, user_id: int, balance: Money, last_funded: datetime | None) -> dict[str, Any]:
    return {
        "wallet_id": wallet_id,
        "user_id": user_id,
        "balance": balance.text,
        "currency": balance.currency.code,
        "last_funded": stamp(last_funded),
        "status": "active",
    }


def wallet_summary(wallet_id: int, summary: Summary, recent: list[Transaction]) -> dict[str, Any]:
    return {
        "wallet": {
            "id": wallet_id,
            "balance": summary.balance.text,
            "currency": summary.balance.currency.code,
            "status": "active",
        },
        "stats": {
            "total_inflow": summary.inflow.text,
            "total_outflow": summary.outflow.text,
            "transactions_count": summary.count,
            "last_transaction_date": stamp(summary.last_at),
        },
        "recent_transactions": [_line(transaction) for transaction in recent],
    }


def _line(transaction: Transaction) -> dict[str, Any]:
    return {
        "id": transaction.id,
        "type": "credit" if transaction.credit else "debit",
        "amount": transaction.amount.text,
        "reference": transaction.reference,
        "description": transaction.description,
        "status": transaction.status,
        "created_at": stamp(transaction.created_at),
    }


def transaction_row(transaction: Transaction, user_id: int) -> dict[str, Any]:
    line = _line(transaction)
    created = line.pop("created_at")
    return {"id": line.pop("id"), "user_id": user_id, **line, "meta": meta(transaction), "created_at": created}


def transaction_details(transaction: Transaction, user_id: int, more: Mapping[str, Any]) -> dict[str, Any]:
    row = transaction_row(transaction, user_id)
    created, shown = row.pop("created_at"), row.pop("meta")
    return row | {
        "balance_before": transaction.before.text,
        "balance_after": transaction.after.text,
        "meta": shown | dict(more),
        "created_at": created,
        "updated_at": stamp(transaction.updated_at),
    }


def delivery(attempt: Attempt | None, plan: Product | None) -> dict[str, Any]:
    """What the provider said last of a sale, and how long its bundle lasts.

    `code` is what became of it, in the terms of HTTP, whatever the provider's own codes are: 200 delivered, 400 not
    delivered, 202 not known yet. What is left of a bundle no provider tells us.
    """
    response = None
    if attempt is not None:
        response = {"code": _CODES.get(attempt.state, 202), "message": attempt.text, "bundle_remaining": None}
    return {
        "validity": None if plan is None else plan.validity.lower(),
        "provider_reference": None if attempt is None else attempt.provider_reference or attempt.reference,
        "provider_response": response,
    }


_CODES: Final = {AttemptState.DELIVERED: 200, AttemptState.REFUSED: 400, AttemptState.NOT_SENT: 400}


def meta(transaction: Transaction) -> dict[str, Any]:
    """What is particular to a sale or a funding. A verification shows no number here."""
    facts = transaction.facts
    if transaction.service in ("data", "airtime"):
        return {
            "phone": _national(facts["subscriber"]),
            "network": facts["network"],
            "plan": facts["size"] if transaction.service == "data" else None,
            "service_type": transaction.service,
        }
    shown = {name: value for name, value in facts.items() if isinstance(value, str | None)}
    return shown | {"service_type": transaction.service}


def paginated(rows: list[Any], total: int, page: int, per_page: int, path: str, query: str) -> dict[str, Any]:
    """Laravel's length-aware paginator, with the fields that the document prints. `query` is what every link keeps."""
    last = max(1, -(-total // per_page))
    link = f"{path}?{query}&page=" if query else f"{path}?page="
    first = (page - 1) * per_page + 1
    return {
        "current_page": page,
        "data": rows,
        "first_page_url": f"{link}1",
        "from": first if rows else None,
        "last_page": last,
        "last_page_url": f"{link}{last}",
        "next_page_url": f"{link}{page + 1}" if page < last else None,
        "path": path,
        "per_page": per_page,
        "prev_page_url": f"{link}{page - 1}" if page > 1 else None,
        "to": first + len(rows) - 1 if rows else None,
        "total": total,
    }


# Funding ----------------------------------------------------------------------------------------------------------------


def funding(started: Funding) -> dict[str, Any]:
    return {
        "reference": started.reference,
        "amount": started.amount.text,
        "status": "pending",
        "payment_url": started.payment_url,
        "expires_at": stamp(started.expires_at),
    }


# Verification -----------------------------------------------------------------------------------------------------------

AUTHORITY_BY_PROVIDER: Final = {"idpass": "prembly", "mobilsix": "dojah"}
"""The document's names of its providers, and the authorities that stand in their places."""


def price(line: Price) -> dict[str, Any]:
    return {
        "id": line.id,
        "card_type": line.card_type,
        "price": number(line.price),
        "is_active": line.active,
        "description": line.description,
    }


def details(kind: IdentityKind, opened: Opened | VerificationResult) -> dict[str, Any]:
    """What the document prints of a record: dates of a NIN as `01 Jan 1990`, of a BVN as `1990-01-01`."""
    record = opened.record
    if record is None:
        return {}
    born = record.date_of_birth
    if kind is IdentityKind.BVN:
        return {
            "bvn": opened.number.reveal(),
            "firstName": record.first_name,
            "lastName": record.last_name,
            "middleName": record.middle_name,
            "dateOfBirth": born.isoformat() if born else None,
            "phoneNumber": record.mobile,
            "gender": str(record.gender),
            "email": record.email,
            "image": record.photo,
        }
    issued = record.issue_date or opened.verification.created_at.date()
    return {
        "firstName": record.first_name,
        "middleName": record.middle_name,
        "lastName": record.last_name,
        "dateOfBirth": f"{born:%d %b %Y}" if born else None,
        "gender": str(record.gender),
        "issueDate": f"{issued:%d %b %Y}",
        "photo": record.photo,
        "address": record.address,
        "state": record.state,
        "lga": record.lga,
        "town": record.town,
        "mobile": record.mobile,
        "nin": opened.number.reveal(),
        "signature": record.signature,
    }


def checked_answer(kind: IdentityKind, checked: VerificationResult, provider: str | None) -> Response:
    """Verified and paid; or not on record, blocked, or without an answer, and nothing paid."""
    check, name = checked.verification, kind.upper()
    headers: tuple[Header, ...] = ((b"idempotent-replayed", b"true"),) if checked.replayed else ()
    if check.state is CheckState.VERIFIED:
        body = {
            "verification_id": check.id,
            "transaction_id": check.reference,
            "reference": check.reference,
            "amount": number(check.price),
            **({"provider": provider} if kind is IdentityKind.BVN else {}),
            "details": details(kind, checked),
            "wallet_balance": check.after.text,
        }
        return ok(body, f"{name} verification completed successfully", *headers)
    if check.state is CheckState.NOT_ON_RECORD:
        answer = refused(404, f"The {name} is not on record. You were not charged.")
    elif check.state is CheckState.BLOCKED:
        answer = refused(400, f"The {name} is blocked. You were not charged.")
    else:
        answer = refused(503, f"The {name} authority does not answer. You were not charged; try again later.")
        headers += ((b"retry-after", str(checked.retry_after_s or 30).encode()),)
    answer.headers = headers
    return answer


def verification_row(kind: IdentityKind, opened: Opened, user_id: int) -> dict[str, Any]:
    check = opened.verification
    return {
        "id": check.id,
        "user_id": user_id,
        f"{kind}_number": opened.number.reveal(),
        "transaction_id": check.reference,
        "status": "verified",
        "card_type": check.card_type,
        "price": number(check.price),
        "expires_at": stamp(check.expires_at),
        "created_at": stamp(check.created_at),
        "updated_at": stamp(check.updated_at),
    }


STATUSES: Final = {
    "pending": TransactionStatus.PENDING,
    "completed": TransactionStatus.COMPLETED,
    "failed": TransactionStatus.FAILED,
}


# Errors -----------------------------------------------------------------------------------------------------------------

ERROR_TABLE: Final[dict[type[TelvendError], int]] = {
    errors.TelvendError: 500,
    errors.InvalidInput: 422,
    errors.InvalidFields: 422,
    errors.HostNotValid: 400,
    errors.BodyNotReadable: 400,
    errors.MediaTypeNotRead: 400,
    errors.BodyTooLarge: 413,
    errors.NotAuthenticated: 401,
    errors.NotPermitted: 401,
    errors.NotFound: 404,
    errors.UnknownPath: 404,
    errors.MethodNotAllowed: 405,
    errors.ReferenceReused: 409,
    errors.TooManyRequests: 429,
    errors.InsufficientBalance: 400,
    errors.ProductUnavailable: 400,
    errors.AlreadyExists: 409,
    errors.Busy: 503,
    errors.SalesHalted: 503,
    errors.InvariantBroken: 500,
}
"""Source: "Common Error Codes" of the document; 405, 409, 413 and 503 are HTTP's own."""


TOO_LITTLE_MONEY: Final[dict[str, str]] = {
    "/airtime/purchase": "Failed to purchase airtime: Insufficient wallet balance",
    "/data/purchase": "Failed to purchase data: Insufficient wallet balance",
    "/verification/nin": "Insufficient wallet balance. Please fund your wallet to continue.",
    "/verification/bvn": "Insufficient wallet balance. Please fund your wallet to continue.",
}
"""The message of InsufficientBalance, by the route that was asked for. Source: the error example of each endpoint."""


def error_answer(error: TelvendError, request: Request | None = None) -> Response:
    """Any error in networkdatasub's shape. What went wrong inside us is not told."""
    status: int = nearest_row(ERROR_TABLE, error)
    if isinstance(error, errors.NotAuthenticated):
        return refused(401, "Unauthenticated.")
    if isinstance(error, InsufficientBalance):
        route = "" if request is None else request.route
        return insufficient(TOO_LITTLE_MONEY.get(route, "Insufficient wallet balance"), error)
    if status == 422 and isinstance(error, InvalidInput):
        problems = error.problems if isinstance(error, InvalidFields) else {error.field: error.problem}
        sentences = {name: [f"The {name} {problem}."] for name, problem in problems.items()}
        return Response(422, Envelope(False, next(iter(sentences.values()))[0], errors=sentences))
    if type(error) is errors.ProductUnavailable:
        return refused(400, f"This is not on sale for {error.network} right now.")
    if status == 500:
        return refused(500, "Something went wrong on our end. A purchase with a reference is safe to repeat.")
    return refused(status, str(error))


def insufficient(message: str, error: InsufficientBalance) -> Response:
    """Too little money: what is needed and what is there."""
    data = {"required_amount": number(error.required), "current_balance": number(error.available)}
    return refused(400, message, data)
