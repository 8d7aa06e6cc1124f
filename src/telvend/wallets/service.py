"""The list of a wallet's transactions: pages, details, and the wallet in numbers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from telvend.corrections import store as correction_store
from telvend.corrections.model import Debit, Refund
from telvend.database.connections import Database, Tx
from telvend.errors import NotFound
from telvend.funding import store as funding_store
from telvend.funding.model import Funding, FundingState
from telvend.funding.play_money import store as play_money_store
from telvend.gateways.contract import Method
from telvend.identity import store as identity_store
from telvend.identity.model import State as CheckState
from telvend.identity.model import Verification
from telvend.kit.ids import number_in
from telvend.kit.money import Currency, Money
from telvend.ledger.model import TransactionKind
from telvend.operator.refills import store as refill_store
from telvend.operator.refills.model import Refill
from telvend.orders import store as orders
from telvend.orders.model import Order, State
from telvend.wallets import paging, store
from telvend.wallets.model import Filter, Page, Status, Summary, Transaction

_STATUS = {State.DELIVERED: Status.COMPLETED, State.FAILED: Status.FAILED}

_FUNDING_STATUS = {
    FundingState.PENDING: Status.PENDING,
    FundingState.COMPLETED: Status.COMPLETED,
    FundingState.FAILED: Status.FAILED,
    FundingState.EXPIRED: Status.FAILED,
}

_CHECK_STATUS = {
    CheckState.ASKING: Status.PENDING,
    CheckState.VERIFIED: Status.COMPLETED,
    CheckState.NOT_ON_RECORD: Status.FAILED,
    CheckState.BLOCKED: Status.FAILED,
    CheckState.UNAVAILABLE: Status.FAILED,
}

LONGEST_REFERENCE = 128


class Transactions:
    """Transactions of the wallets of one shop."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def summary(self, wallet_id: int, currency: Currency) -> Summary:
        """The wallet in numbers. Raises NotFound, Busy."""
        async with self._database.connection() as tx:
            row = await store.wallet(tx, wallet_id)
        if row is None:
            raise NotFound("The wallet")
        return Summary(
            Money(row["balance_minor"], currency),
            Money(row["funded_minor"], currency),
            Money(row["funded_minor"] - row["balance_minor"], currency),
            row["transactions"],
            row["last_at"],
            row["last_funded_at"],
        )

    async def page(self, wallet_id: int, currency: Currency, wanted: Filter, *, limit: int, offset: int) -> Page:
        """One page, newest first. All of it is read in one moment, so that the total fits the page. Raises Busy."""
        async with self._database.snapshot() as tx:
            row = await store.wallet(tx, wallet_id)
            last = row["transactions"] if row is not None else 0
            low = 1 if wanted.start is None else await store.first_position_from(tx, wallet_id, last, wanted.start)
            high = last if wanted.end is None else await store.first_position_from(tx, wallet_id, last, wanted.end) - 1
            if low > high:
                return Page([], 0)
            positions, total = await paging.positions(
                tx, wallet_id, low, high, last, wanted, limit=limit, offset=offset
            )
            return Page(await self._read(tx, wallet_id, currency, positions), total)

    async def find(self, wallet_id: int, currency: Currency, reference: str) -> Transaction:
        """The transaction of this wallet with this reference. Raises NotFound, Busy."""
        number = number_in(reference)
        if len(reference) > LONGEST_REFERENCE or not reference.isprintable():
            raise NotFound("Transaction")
        async with self._database.connection() as tx:
            entries = [] if number is None else [await store.entry_of(tx, wallet_id, number)]
            # A credit by hand may be called anything, also what looks like one of ours.
            entries.append(await store.entry_of_credit(tx, wallet_id, reference))
            for found in await self._transactions(tx, [entry for entry in entries if entry is not None], currency):
                if found.reference == reference:
                    return found
        raise NotFound("Transaction")

    async def references(self, ids: Sequence[int]) -> dict[int, str]:
        """What these orders, credits, fundings and verifications are called, by their numbers. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.references(tx, ids)

    async def corrections(self, ids: Sequence[int]) -> dict[int, Any]:
        """Those of these causes that are debits or refunds: reference, reason and by_whom. Raises Busy."""
        async with self._database.connection() as tx:
            return await correction_store.notes_by_id(tx, ids)

    async def _read(self, tx: Tx, wallet_id: int, currency: Currency, positions: Sequence[int]) -> list[Transaction]:
        if not positions:
            return []
        return await self._transactions(tx, await store.entries(tx, wallet_id, positions), currency)

    async def _transactions(self, tx: Tx, entries: Sequence[Any], currency: Currency) -> list[Transaction]:
        by_kind: dict[str, list[int]] = {}
        for entry in entries:
            by_kind.setdefault(_kind(entry["kind"]), []).append(entry["id"])
        balances = await store.balances_after(tx, [entry["id"] for entry in entries])
        sold = await orders.find_by_id(tx, by_kind.get(TransactionKind.ORDER, []))
        credits_ = await store.credits_by_id(tx, by_kind.get(TransactionKind.CREDIT, []))
        funded = await funding_store.by_ids(tx, by_kind.get(TransactionKind.FUNDING, []))
        checked = await identity_store.by_ids(tx, by_kind.get(TransactionKind.VERIFICATION, []))
        refilled = await refill_store.by_ids(tx, by_kind.get(TransactionKind.REFILL, []))
        voided = await play_money_store.by_ids(tx, by_kind.get(TransactionKind.VOID, []))
        debited = await correction_store.debits_by_id(tx, by_kind.get(TransactionKind.DEBIT, []))
        refunded = await correction_store.refunds_by_id(tx, by_kind.get(TransactionKind.REFUND, []))
        found = []
        for entry in entries:
            before, after = balances.get(entry["id"], (0, 0))
            match _kind(entry["kind"]):
                case TransactionKind.ORDER:
                    found.append(_of_order(sold[entry["id"]], before, after))
                case TransactionKind.FUNDING:
                    found.append(_of_funding(funded[entry["id"]]))
                case TransactionKind.VERIFICATION:
                    found.append(_of_verification(checked[entry["id"]]))
                case TransactionKind.REFILL:
                    found.append(_of_refill(refilled[entry["id"]], before, after))
                case TransactionKind.VOID:
                    found.append(_of_void(voided[entry["id"]], currency))
                case TransactionKind.DEBIT:
                    found.append(_of_debit(debited[entry["id"]], before, after, currency))
                case TransactionKind.REFUND:
                    found.append(_of_refund(refunded[entry["id"]], before, after, currency))
                case _:
                    found.append(_of_credit(credits_[entry["id"]], before, after, currency, entry["created_at"]))
        return found


def _kind(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _of_order(order: Order, before: int, after: int) -> Transaction:
    currency = order.price.currency
    status = _STATUS.get(order.state, Status.PENDING)
    what = f"{order.size}" if order.kind == "data" else f"{order.face}"
    return Transaction(
        id=order.id,
        reference=order.reference,
        kind=TransactionKind.ORDER,
        credit=False,
        amount=order.price,
        status=status,
        before=Money(before, currency),
        after=Money(before if status is Status.FAILED else after, currency),
        service=order.kind,
        description=f"{order.network.upper()} {order.kind.capitalize()} Purchase - {what}",
        created_at=order.created_at,
        updated_at=order.updated_at,
        facts={
            "subscriber": order.subscriber,
            "network": order.network,
            "size": order.size,
            "product_id": order.product_id,
            "face": order.face,
        },
    )


def _of_funding(funding: Funding) -> Transaction:
    status = _FUNDING_STATUS[funding.state]
    words = {Method.CARD: "Card", Method.BANK_TRANSFER: "Bank Transfer", Method.USSD: "USSD"}
    return Transaction(
        id=funding.id,
        reference=funding.reference,
        kind=TransactionKind.FUNDING,
        credit=True,
        amount=funding.amount,
        status=status,
        before=funding.balance_before,
        after=funding.balance_after,
        service="funding",
        description=f"Wallet funding via {words[funding.method]}",
        created_at=funding.created_at,
        updated_at=funding.updated_at,
        facts={
            "payment_method": str(funding.method),
            "bank_name": funding.bank or None,
            "payment_reference": funding.gateway_reference,
        },
    )


def _of_verification(check: Verification) -> Transaction:
    """Nothing of it is out of the safe: no number and no name."""
    return Transaction(
        id=check.id,
        reference=check.reference,
        kind=TransactionKind.VERIFICATION,
        credit=False,
        amount=check.price,
        status=_CHECK_STATUS[check.state],
        before=check.before,
        after=check.after,
        service=str(check.kind),
        description=f"{check.kind.upper()} Verification - {check.card_type}",
        created_at=check.created_at,
        updated_at=check.updated_at,
        facts={"card_type": check.card_type},
    )


def _of_refill(refill: Refill, before: int, after: int) -> Transaction:
    """A refill knows no network of the catalogue: it went to a subscriber of our own."""
    return Transaction(
        id=refill.id,
        reference=refill.reference,
        kind=TransactionKind.REFILL,
        credit=False,
        amount=refill.amount,
        status=Status.COMPLETED,
        before=Money(before, refill.amount.currency),
        after=Money(after, refill.amount.currency),
        service="airtime",
        description=f"Airtime Refill - {refill.amount}",
        created_at=refill.created_at,
        updated_at=refill.created_at,
        facts={"subscriber": refill.msisdn, "network": "", "size": refill.amount.text, "face": refill.amount},
    )


def _of_void(row: Any, currency: Currency) -> Transaction:
    """Play money that was taken out. `service` is that of the funding which it takes back."""
    taken, after = Money(row["taken_minor"], currency), Money(row["balance_after_minor"], currency)
    return Transaction(
        id=row["id"],
        reference=row["reference"],
        kind=TransactionKind.VOID,
        credit=False,
        amount=taken,
        status=Status.COMPLETED,
        before=after + taken,
        after=after,
        service="funding",
        description=f"Play money taken back - {row['funding']}",
        created_at=row["created_at"],
        updated_at=row["created_at"],
        facts={"funding_reference": row["funding"]},
    )


def _of_debit(debit: Debit, before: int, after: int, currency: Currency) -> Transaction:
    """A credit that was taken back. The reason and the name are the operator's, and not shown to the owner."""
    return Transaction(
        id=debit.id,
        reference=debit.our_reference,
        kind=TransactionKind.DEBIT,
        credit=False,
        amount=Money(debit.amount_minor, currency),
        status=Status.COMPLETED,
        before=Money(before, currency),
        after=Money(after, currency),
        service="funding",
        description="Wallet credit taken back",
        created_at=debit.created_at,
        updated_at=debit.created_at,
        facts={"payment_reference": debit.reference},
    )


def _of_refund(refund: Refund, before: int, after: int, currency: Currency) -> Transaction:
    """The price of a delivered order that came back. The order's own line stays completed, as it was delivered."""
    return Transaction(
        id=refund.id,
        reference=refund.our_reference,
        kind=TransactionKind.REFUND,
        credit=True,
        amount=Money(refund.amount_minor, currency),
        status=Status.COMPLETED,
        before=Money(before, currency),
        after=Money(after, currency),
        service="refund",
        description=f"Refund - {refund.order}",
        created_at=refund.created_at,
        updated_at=refund.created_at,
        facts={"order_reference": refund.order},
    )


def _of_credit(row: Any, before: int, after: int, currency: Currency, at: datetime) -> Transaction:
    return Transaction(
        id=row["id"],
        reference=row["reference"],
        kind=TransactionKind.CREDIT,
        credit=True,
        amount=Money(row["amount_minor"], currency),
        status=Status.COMPLETED,
        before=Money(before, currency),
        after=Money(after, currency),
        service="funding",
        description="Wallet funding via Bank Transfer",
        created_at=at,
        updated_at=at,
        facts={"payment_method": "bank_transfer", "bank_name": None, "payment_reference": row["reference"]},
    )
