"""The list of a wallet's transactions: pages, details, and the wallet in numbers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from telvend.errors import NotFound
from telvend.kit.db import Database, Tx
from telvend.kit.ids import number_in
from telvend.kit.money import Currency, Money
from telvend.ledger.model import TransactionKind
from telvend.orders import store as orders
from telvend.orders.model import Order, State
from telvend.transactions import store
from telvend.transactions.model import Filter, Page, Status, Summary, Transaction

_STATUS = {State.DELIVERED: Status.COMPLETED, State.FAILED: Status.FAILED}

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
            positions, total = await self._positions(tx, wallet_id, low, high, wanted, limit, offset)
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

    async def _positions(
        self, tx: Tx, wallet_id: int, low: int, high: int, wanted: Filter, limit: int, offset: int
    ) -> tuple[list[int], int]:
        opened: list[int] = []
        if wanted.status in (Status.PENDING, Status.COMPLETED):
            opened = await store.pending_positions(tx, wallet_id)
        where = (wallet_id, low, high, opened)
        listed = _LISTED.get((wanted.status, wanted.credit))
        if listed is not None:
            total = await store.count(tx, listed, *where)
            return await store.page_of(tx, listed, *where, limit=limit, offset=offset), total
        left_out = _LEFT_OUT[wanted.status, wanted.credit]
        if left_out is None:
            first = high - offset
            return list(range(first, max(low, first - limit + 1) - 1, -1)), high - low + 1
        total = high - low + 1 - await store.count(tx, left_out, *where)
        return await store.page_without(tx, left_out, *where, limit=limit, offset=offset), total

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
        found = []
        for entry in entries:
            before, after = balances.get(entry["id"], (0, 0))
            if _kind(entry["kind"]) == TransactionKind.ORDER:
                found.append(_of_order(sold[entry["id"]], before, after))
            else:
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


# The sets that are listed as they are: the few. By status and direction (True: money came in).
_LISTED = {
    (Status.FAILED, None): store.FAILED,
    (Status.FAILED, True): store.FAILED_CREDITS,
    (Status.FAILED, False): store.FAILED_DEBITS,
    (Status.PENDING, None): store.OPEN,
    (Status.PENDING, True): store.OPEN_CREDITS,
    (Status.PENDING, False): store.OPEN_DEBITS,
    (None, True): store.CREDITS,
    (Status.COMPLETED, True): store.COMPLETED_CREDITS,
}

# The many are everything but these.
_LEFT_OUT = {
    (None, None): None,
    (None, False): store.CREDITS,
    (Status.COMPLETED, None): f"({store.FAILED}) union ({store.OPEN})",
    (Status.COMPLETED, False): f"({store.CREDITS}) union ({store.FAILED}) union ({store.OPEN})",
}
