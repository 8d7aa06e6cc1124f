"""The verbs of corrections: take a credit back, refund a delivered order."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from telvend.approvals.gate import SecondPerson
from telvend.approvals.model import Act, ActKind, Confirmation, Proposal, WaitsForSecondPerson
from telvend.corrections import store
from telvend.corrections.model import (
    DEBIT_PREFIX,
    REFUND_PREFIX,
    Refund,
    Refunded,
    require_reference,
)
from telvend.database.connections import Database
from telvend.errors import InvalidInput, NotFound, ReferenceReused
from telvend.fulfilment.provisional.service import ProvisionalCredits
from telvend.kit.failpoints import hit_async
from telvend.kit.ids import reference_of
from telvend.kit.mode import Mode
from telvend.kit.money import Currency, Money
from telvend.kit.text import require_reason
from telvend.ledger import store as ledger_store
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.orders import store as order_store
from telvend.orders.events import order_event
from telvend.orders.model import OrderState
from telvend.wallets.journal import WalletJournal
from telvend.wallets.model import TransactionKind
from telvend.webhooks.model import EventType
from telvend.webhooks.outbox import Outbox


class Corrections:
    """Debits and refunds of one shop."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        second_person: SecondPerson | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self._outbox = outbox or Outbox()
        self._database = database
        self._ledger = ledger
        self._second_person = second_person or SecondPerson()
        self._credits = ProvisionalCredits(database, ledger)

    async def debit(
        self,
        reseller_id: UUID,
        amount: Money,
        mode: Mode,
        reference: str,
        *,
        reason: str,
        by_whom: str,
        stated: bool = True,
    ) -> Money:
        """Take back what was credited to a wallet by mistake, once for each reference. Returns the balance.

        References of debits are a name space of their own in each wallet, so that a debit may bear the reference of the
        credit that it takes back. The same reference and amount again debits nothing. `stated`: whether `by_whom` is what a
        person has said, which a proposal needs. Raises InvalidInput, NotFound (no such wallet), ReferenceReused for another
        amount, InsufficientBalance, WaitsForSecondPerson where the debit has become a proposal, Busy.
        """
        if amount.minor <= 0:
            raise InvalidInput("amount", "must be greater than zero")
        require_reference(reference)
        reason, by_whom = require_reason(reason, by_whom)
        async with self._database.connection() as tx:
            wallet_id = await ledger_store.wallet_of(tx, reseller_id, amount.currency.code, mode)
            if wallet_id is None:
                raise NotFound(f"A {mode} wallet in {amount.currency}")
        act = Act(ActKind.DEBIT, wallet_id, reference, amount, mode, reason)
        return await self._debit(act, by_whom, by_whom if stated else None, None)

    async def debited(self, reseller_id: UUID, currency: Currency, mode: Mode, reference: str) -> Money | None:
        """What was debited from a reseller's wallet under a reference; None where nothing was. Raises Busy."""
        async with self._database.connection() as tx:
            wallet_id = await ledger_store.wallet_of(tx, reseller_id, currency.code, mode)
            found = None if wallet_id is None else await store.debit_under(tx, wallet_id, reference)
        return None if found is None else Money(found.amount_minor, currency)

    async def perform_debit(self, proposal: Proposal, confirmation: Confirmation) -> None:
        """Make the debit that was proposed, as a second person has confirmed.

        Raises InvalidInput (the reference was used meanwhile, or the proposal cannot be confirmed), InsufficientBalance, Busy.
        """
        act = Act(
            ActKind.DEBIT, proposal.wallet_id, proposal.reference, proposal.amount, proposal.mode, proposal.reason
        )
        await self._debit(act, proposal.proposed_by, None, confirmation)

    async def _debit(self, act: Act, by_whom: str, proposer: str | None, confirmation: Confirmation | None) -> Money:
        """Debit once. With `confirmation`, a debit that was made already is an error."""
        wallet_id, reference, amount = act.wallet_id, act.reference, act.amount
        funding = await self._ledger.house(AccountKind.FUNDING, amount.currency, act.mode)
        async with self._database.transaction() as tx:
            salt = await ledger_store.installation_salt(tx)
            journal = await WalletJournal.begin(tx, [wallet_id])
            before = await store.debit_under(tx, wallet_id, reference)
            if before is not None:
                if confirmation is not None:
                    debited = Money(before.amount_minor, amount.currency)
                    raise InvalidInput("", f"{debited} was debited under {reference} meanwhile; nothing has moved.")
                if before.amount_minor != amount.minor:
                    raise ReferenceReused(reference)
                return Money(journal.wallets[wallet_id].balance_minor, amount.currency)
            (cause,) = await ledger_store.next_causes(tx, 1)
            balance = journal.debit(cause, wallet_id, funding, amount)
            waiting = await self._second_person.admit(tx, act, cause, by_whom=proposer, confirmation=confirmation)
            if waiting is None:
                position = journal.enter(wallet_id, TransactionKind.DEBIT, cause, credit=False)
                ours = reference_of(DEBIT_PREFIX, cause, salt)
                await store.write_debit(
                    tx, cause, ours, wallet_id, reference, amount.minor, position, act.reason, by_whom
                )
                await journal.write(tx)
                await self._outbox.notice_balances(tx, journal)
                await hit_async("correction.before_commit")
        if waiting is not None:
            await hit_async("approval.proposed")
            raise WaitsForSecondPerson(waiting)
        await hit_async("correction.after_commit")
        return balance

    async def refund(self, order_id: int, *, reason: str, by_whom: str) -> Refunded:
        """Give the price of a delivered order back to its wallet, once. Later calls return the first refund.

        The order stays delivered, and what was entered for it stays: the house bears the loss. Raises InvalidInput (not
        delivered), NotFound, WaitsForSecondPerson where the refund has become a proposal, Busy.
        """
        reason, by_whom = require_reason(reason, by_whom)
        return await self._refund(order_id, reason, by_whom, None)

    async def perform_refund(self, proposal: Proposal, confirmation: Confirmation) -> None:
        """Make the refund that was proposed, as a second person has confirmed.

        Raises InvalidInput (refunded meanwhile, or the proposal cannot be confirmed), NotFound, Busy.
        """
        await self._refund(proposal.order_id or 0, proposal.reason, proposal.proposed_by, confirmation)

    async def _refund(self, order_id: int, reason: str, by_whom: str, confirmation: Confirmation | None) -> Refunded:
        """Refund once. With `confirmation`, a refund that was made already is an error."""
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
        credit = await self._credits.of_order(order.id)
        if credit is not None:
            raise InvalidInput(
                "",
                f"{order.reference} has been given back already: its wallet has kept the provisional credit"
                f" {credit.our_reference}.",
            )
        currency = order.price.currency
        loss = await self._ledger.house(AccountKind.LOSS, currency, order.mode)
        async with self._database.transaction() as tx:
            salt = await ledger_store.installation_salt(tx)
            journal = await WalletJournal.begin(tx, [order.wallet_id])
            before = await store.refund_of(tx, order.id)
            if before is not None:
                if confirmation is not None:
                    raise InvalidInput("", f"{order.reference} was refunded meanwhile; nothing has moved.")
                balance = Money(journal.wallets[order.wallet_id].balance_minor, currency)
                return Refunded(before, Money(before.amount_minor, currency), balance, again=True)
            (cause,) = await ledger_store.next_causes(tx, 1)
            act = Act(ActKind.REFUND, order.wallet_id, order.reference, order.price, order.mode, reason, order.id)
            waiting = await self._second_person.admit(tx, act, cause, by_whom=by_whom, confirmation=confirmation)
            if waiting is None:
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
                if self._outbox.hears(order.wallet_id):
                    told = order_event(order, EventType.ORDER_REFUNDED, refund_reference=refund.our_reference)
                    await self._outbox.write(tx, [told])
                await hit_async("correction.before_commit")
        if waiting is not None:
            await hit_async("approval.proposed")
            raise WaitsForSecondPerson(waiting)
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
