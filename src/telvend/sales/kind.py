"""A kind of sale: how it begins, which is the same for all kinds. Its room decides what it sells and how it ends.

sale = KindOfSale(SaleKind.ORDER, gate, kinds)
...                                                             in a transaction, with the wallets locked:
references = await sale.look_up(tx, keys, store.find_by_client_reference)
before = references.repeated(key, fingerprint, mode)            the sale to answer with; None for a new one
held = sale.open(journal, numbers, prefix, wallet_id, in_flight, price)
references.add(key, fingerprint, order)
sale.remember(tx, held.number, held.reference, now)
"""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import Final, TypeVar

from telvend.database.batch import NumberBlock
from telvend.database.connections import Tx
from telvend.database.facts import Fact, FactKind, remember
from telvend.errors import InsufficientBalance, InvariantBroken, NotFound
from telvend.kit.ids import reference_of
from telvend.kit.money import Money
from telvend.ledger import store as ledger_store
from telvend.sales import store
from telvend.sales.gate import SalesGate
from telvend.sales.model import HeldSale, KindsByDialect, SaleKey, SaleKind
from telvend.sales.replay import References
from telvend.wallets.journal import WalletJournal
from telvend.wallets.model import TransactionKind

NUMBERS_AT_A_TIME: Final = 1024
"""How many numbers a lane takes ahead."""

Sale = TypeVar("Sale")

Find = Callable[[Tx, Collection[SaleKey]], Awaitable[dict[SaleKey, tuple[Sale, str]]]]
"""Return the room's own sales that hold these references, with their fingerprints."""


def sale_numbers(ahead: int = 1) -> NumberBlock:
    """Numbers for sales of every kind, `ahead` at a time."""
    return NumberBlock(ledger_store.next_causes, ahead)


class KindOfSale:
    """See the head of this file. `gate` and `kinds` are the process's; without them sales are open, and every reference is
    looked for in every kind."""

    def __init__(self, kind: SaleKind, gate: SalesGate | None = None, kinds: KindsByDialect | None = None) -> None:
        self.kind = kind
        self._gate = gate or SalesGate()
        self._kinds = kinds or KindsByDialect()
        self._listed_as = TransactionKind(kind)
        self._fact = FactKind[kind.name]
        self._salt: bytes | None = None

    async def look_up(self, tx: Tx, keys: Collection[SaleKey], find: Find[Sale]) -> References[Sale]:
        """Return the sales that hold these references, of this kind and of any other.

        The wallets must be locked before: a statement that begins after the locks sees what their previous holders committed; one
        that began earlier does not. Raises InvariantBroken where a dialect sells what it has not declared.
        """
        if self._salt is None:
            self._salt = await ledger_store.installation_salt(tx)
        alone = self._kinds.selling_only(self.kind)
        shared = [key for key in keys if key[1] not in alone]
        for dialect in {key[1] for key in shared}:
            self._kinds.require_declared(dialect, self.kind)
        if shared:
            await store.lock_references(tx, shared)
        held = await find(tx, keys) if keys else {}
        taken = await store.taken_by_others(tx, self.kind, shared) if shared else set()
        return References(held, taken, self._gate)

    def reference(self, prefix: str, number: int) -> str:
        """Return our reference of sale `number`."""
        if self._salt is None:
            raise InvariantBroken("a sale begins before its reference was looked up")
        return reference_of(prefix, number, self._salt)

    def require_funds(self, journal: WalletJournal, wallet_id: int, price: Money) -> None:
        """Raise NotFound where there is no such wallet, InsufficientBalance where it has less than `price`."""
        wallet = journal.wallets.get(wallet_id)
        if wallet is None:
            raise NotFound("The wallet")
        if wallet.balance_minor < price.minor:
            raise InsufficientBalance(price, Money(wallet.balance_minor, price.currency))

    def hold(
        self, journal: WalletJournal, number: int, wallet_id: int, in_flight: int, price: Money
    ) -> tuple[Money, int]:
        """Hold the price of sale `number`, and enter it in the wallet's list.

        Returns what the wallet can still spend, and the position in the list. Raises InsufficientBalance.
        """
        after = journal.hold(number, wallet_id, in_flight, price)
        return after, journal.enter(wallet_id, self._listed_as, number, credit=False)

    def open(
        self, journal: WalletJournal, numbers: NumberBlock, prefix: str, wallet_id: int, in_flight: int, price: Money
    ) -> HeldSale:
        """Begin a sale: take a number, hold the price, enter it in the wallet's list.

        Raises NotFound (no such wallet) and InsufficientBalance; then nothing has changed, and no number was taken.
        """
        if wallet_id not in journal.wallets:
            raise NotFound("The wallet")
        number = numbers.peek()
        after, position = self.hold(journal, number, wallet_id, in_flight, price)
        numbers.take()
        return HeldSale(number, self.reference(prefix, number), position, after)

    def remember(self, tx: Tx, number: int, reference: str, at: datetime, *, final: bool = False) -> None:
        """Have the node remember this sale when `tx` commits; `final`: also that it has an outcome."""
        remember(tx, Fact(self._fact, number, at=at, final=final, reference=reference))
