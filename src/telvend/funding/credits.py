"""Money that the operator puts into a wallet by hand."""

from uuid import UUID

from telvend.database.connections import Database
from telvend.errors import InvalidInput, ReferenceReused
from telvend.funding import store
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.kit.text import require_text
from telvend.ledger import store as ledger_store
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.wallets.journal import WalletJournal
from telvend.wallets.model import TransactionKind


class Credits:
    """Credits by hand of one shop."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def add(self, reseller_id: UUID, amount: Money, mode: Mode, reference: str) -> Money:
        """Put money into a reseller's wallet, once for each reference; opens the wallet if there is none.

        Returns the balance. The same reference and amount again credits nothing. Raises InvalidInput,
        and ReferenceReused for another amount.
        """
        if amount.minor <= 0:
            raise InvalidInput("amount", "must be greater than zero")
        require_text("reference", reference, 128)
        funding = await self._ledger.house(AccountKind.FUNDING, amount.currency, mode)
        async with self._database.transaction() as tx:
            wallet_id = await self._ledger.open_wallet(tx, reseller_id, amount.currency, mode)
            journal = await WalletJournal.begin(tx, [wallet_id])
            before = await store.credit_of(tx, wallet_id, reference)
            if before is not None:
                if before != amount.minor:
                    raise ReferenceReused(reference)
                return Money(journal.wallets[wallet_id].balance_minor, amount.currency)
            (cause,) = await ledger_store.next_causes(tx, 1)
            balance = journal.credit(cause, wallet_id, funding, amount)
            position = journal.enter(wallet_id, TransactionKind.CREDIT, cause, credit=True)
            await store.write_credit(tx, cause, wallet_id, reference, amount.minor, position)
            await journal.write(tx)
        return balance
