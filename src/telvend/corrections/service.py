"""The verbs of corrections: take a credit back, refund a delivered order."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from telvend.corrections import store
from telvend.corrections.model import (
    DEBIT_PREFIX,
    REFUND_PREFIX,
    Refund,
    Refunded,
    require_reason,
    require_reference,
)
from telvend.database.connections import Database
from telvend.errors import InvalidInput, NotFound, ReferenceReused
from telvend.kit.failpoints import hit_async
from telvend.kit.ids import reference_of
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.ledger import store as ledger_store
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.orders import store as order_store
from telvend.orders.model import OrderState
from telvend.wallets.journal import WalletJournal
from telvend.wallets.model import TransactionKind


class Corrections:
    """Debits and refunds of one shop."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def debit(
        self, reseller_id: UUID, amount: Money, mode: Mode, reference: str, *, reason: str, by_whom: str
    ) -> Money:
        """Take back what was credited to a wallet by mistake, once for each reference. Returns the balance.

        References of debits are a name space of their own in each wallet, so that a debit may bear the reference of the
        credit that it takes back. The same reference and amount again debits nothing. Raises InvalidInput, NotFound (no
        such wallet), ReferenceReused for another amount, InsufficientBalance, Busy.
        """
        if amount.minor <= 0:
            raise InvalidInput("amount", "must be greater than zero")
        require_reference(reference)
        reason, by_whom = require_reason(reason, by_whom)
        funding = await self._ledger.house(AccountKind.FUNDING, amount.currency, mode)
        async with self._database.transaction() as tx:
            wallet_id = await ledger_store.wallet_of(tx, reseller_id, amount.currency.code, mode)
            if wallet_id is None:
                raise NotFound(f"A {mode} wallet in {amount.currency}")
            salt = await ledger_store.installation_salt(tx)
            journal = await WalletJournal.begin(tx, [wallet_id])
            before = await store.debit_under(tx, wallet_id, reference)
            if before is not None:
                if before.amount_minor != amount.minor:
                    raise ReferenceReused(reference)
                return Money(journal.wallets[wallet_id].balance_minor, amount.currency)
            (cause,) = await ledger_store.next_causes(tx, 1)
            balance = journal.debit(cause, wallet_id, funding, amount)
            position = journal.enter(wallet_id, TransactionKind.DEBIT, cause, credit=False)
            ours = reference_of(DEBIT_PREFIX, cause, salt)
            await store.write_debit(tx, cause, ours, wallet_id, reference, amount.minor, position, reason, by_whom)
            await journal.write(tx)
            await hit_async("correction.before_commit")
        await hit_async("correction.after_commit")
        return balance

    async def refund(self, order_id: int, *, reason: str, by_whom: str) -> Refunded:
        """Give the price of a delivered order back to its wallet, once. Later calls return the first refund.

        The order stays delivered, and what was entered for it stays: the house bears the loss. Raises InvalidInput (not
        delivered), NotFound, Busy.
        """
        reason, by_whom = require_reason(reason, by_whom)
        async with self._database.connection() as tx:
            order = (await order_store.find_by_id(tx, [order_id])).get(order_id)
        if order is None:
            raise NotFound("Order")
        if order.state is OrderState.FAILED:
            raise InvalidInput("", f"{order.reference} has failed: the wallet has its money back already.")
        if order.state is not OrderState.DELIVERED:
            raise InvalidInput(
                "",
                f"{order.reference} is {order.state}: its money is held."
                f" When it has not arrived: telvend order resolve {order.reference} --failed",
            )
        # From here the order does not change any more.
        currency = order.price.currency
        loss = await self._ledger.house(AccountKind.LOSS, currency, order.mode)
        async with self._database.transaction() as tx:
            salt = await ledger_store.installation_salt(tx)
            journal = await WalletJournal.begin(tx, [order.wallet_id])
            before = await store.refund_of(tx, order.id)
            if before is not None:
                balance = Money(journal.wallets[order.wallet_id].balance_minor, currency)
                return Refunded(before, Money(before.amount_minor, currency), balance, again=True)
            (cause,) = await ledger_store.next_causes(tx, 1)
            balance = journal.refund(cause, order.wallet_id, loss, order.price)
            position = journal.enter(order.wallet_id, TransactionKind.REFUND, cause, credit=True)
            refund = await store.write_refund(
                tx,
                cause,
                reference_of(REFUND_PREFIX, cause, salt),
                order.id,
                order.wallet_id,
                order.price.minor,
                position,
                reason,
                by_whom,
            )
            await journal.write(tx)
            await hit_async("correction.before_commit")
        await hit_async("correction.after_commit")
        return Refunded(refund, order.price, balance, again=False)

    async def refund_of(self, order_id: int) -> Refund | None:
        """The refund of an order, if it was refunded. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.refund_of(tx, order_id)

    async def notes(self, numbers: Sequence[int]) -> dict[int, Any]:
        """Return reference, reason and by_whom of those of these causes that are debits or refunds. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.notes_by_id(tx, numbers)
