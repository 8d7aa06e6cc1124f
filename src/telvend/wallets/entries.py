"""A line of a wallet's list from its row of the view `wallet_entry`: one mapping for every kind."""

from typing import Any, Final

import msgspec

from telvend.kit.money import Currency, Money
from telvend.wallets.model import Transaction, TransactionKind, TransactionStatus

_METHODS: Final = {"card": "Card", "bank_transfer": "Bank Transfer", "ussd": "USSD"}


def transaction_of(row: Any, currency: Currency, before_minor: int, after_minor: int) -> Transaction:
    """Read one row of `store.entries`.

    `before_minor` and `after_minor` are the balance before and after the first transfer on the wallet, for a row that has no
    balances of its own. A failed transaction has changed nothing: both are the balance before it.
    """
    kind, status = kind_of(row), TransactionStatus(row["status"])
    if row["before_minor"] is not None:
        before_minor, after_minor = row["before_minor"], row["after_minor"]
    elif status is TransactionStatus.FAILED:
        after_minor = before_minor
    service, facts = row["service"], _facts(row["facts"], currency)
    return Transaction(
        id=row["id"],
        reference=row["reference"],
        kind=kind,
        credit=row["credit"],
        amount=Money(row["amount_minor"], currency),
        status=status,
        before=Money(before_minor, currency),
        after=Money(after_minor, currency),
        service=service,
        description=_description(kind, service, facts),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        facts=facts,
    )


def kind_of(row: Any) -> TransactionKind:
    """The kind of a row of the list, which the database keeps as one byte."""
    return TransactionKind(row["kind"].decode())


def _facts(text: str, currency: Currency) -> dict[str, Any]:
    """The facts by name, in their order. `face_minor` becomes `face`, an amount; a refill's size is its face."""
    facts: dict[str, Any] = msgspec.json.decode(text)
    if "face_minor" in facts:
        face = Money(facts.pop("face_minor"), currency)
        facts = {**facts, "size": facts.get("size", face.text), "face": face}
    return facts


def _description(kind: TransactionKind, service: str, facts: dict[str, Any]) -> str:
    match kind:
        case TransactionKind.ORDER:
            what = facts["size"] if service == "data" else facts["face"]
            return f"{facts['network'].upper()} {service.replace('_', ' ').capitalize()} Purchase - {what}"
        case TransactionKind.REFILL:
            return f"Airtime Refill - {facts['face']}"
        case TransactionKind.VERIFICATION:
            return f"{service.upper()} Verification - {facts['card_type']}"
        case TransactionKind.CREDIT | TransactionKind.FUNDING:
            return f"Wallet funding via {_METHODS[facts['payment_method']]}"
        case TransactionKind.VOID:
            return f"Play money taken back - {facts['funding_reference']}"
        case TransactionKind.DEBIT:
            return "Wallet credit taken back"
        case TransactionKind.REFUND:
            return f"Refund - {facts['order_reference']}"
        case TransactionKind.PROVISIONAL_CREDIT:
            return f"Provisional credit - {facts['order_reference']}"
        case TransactionKind.REVERSAL:
            return f"Provisional credit taken back - {facts['order_reference']}"
