"""The ledger's words: accounts, transfers, and the journal in which one transaction's transfers are weighed.

One transfer moves one positive amount from one account (debit) to another (credit); an unbalanced movement cannot be
written down. The accounts:

    wallet     a reseller's spendable money in one currency and mode; the only one that stores a balance
    in_flight  money held for orders that are not final; its sum is the sum of those orders
    provider   what a provider has earned from us
    margin     what is left for the house
    loss       what the house adds: when it sells below cost, or refunds a delivered order
    funding    where wallet credits come from
    provisional_credit
               what the house has lent to wallets for orders whose outcome is unknown; negative
    write_off  what the house has given up: provisional credits of orders that were delivered after all, and what
               providers charge, or give back, against the decision of a person

The database shows transfers as numbers of `TransferKind`; a cause (an order, a credit) has at most one of each kind.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

import msgspec

from telvend.errors import InsufficientBalance, InvariantBroken
from telvend.kit.mode import Mode
from telvend.kit.money import Money


class AccountKind(StrEnum):
    """The kinds of accounts, as the head of this file says."""

    WALLET = "wallet"
    IN_FLIGHT = "in_flight"
    PROVIDER = "provider"
    MARGIN = "margin"
    LOSS = "loss"
    FUNDING = "funding"
    PROVISIONAL_CREDIT = "provisional_credit"
    WRITE_OFF = "write_off"


class TransferKind(IntEnum):
    """Why money moved. The numbers stand in the database and never change."""

    HOLD = 1
    """wallet → in_flight: an order was accepted."""
    RELEASE = 2
    """in_flight → wallet: the order has definitely failed."""
    COST = 3
    """in_flight → provider: the order was delivered; the provider's part."""
    MARGIN = 4
    """in_flight → margin: the order was delivered; the rest."""
    LOSS = 5
    """loss → provider: the order was sold below cost; the house pays the difference."""
    CREDIT = 6
    """funding → wallet: money came in."""
    VOID = 7
    """wallet → funding: play money was taken out of a live wallet."""
    WRITE_OFF = 8
    """loss → funding: play money that a live wallet had spent; what it bought was entered as income."""
    DEBIT = 9
    """wallet → funding: a credit by mistake was taken back."""
    REFUND = 10
    """loss → wallet: the price of a delivered order was given back."""
    PROVISIONAL_CREDIT = 11
    """provisional_credit → wallet: the outcome of an order is unknown for long; the house lends its price to the wallet."""
    REVERSAL = 12
    """wallet → provisional_credit: the order has failed, and the release has given the wallet its price."""
    CREDIT_WRITE_OFF = 13
    """write_off → provisional_credit: the order was delivered; the wallet keeps the credit."""
    LATE_COST = 14
    """write_off → provider: it says that it has delivered what a person had decided to be failed."""
    LATE_RETURN = 15
    """provider → write_off: it says that it has not delivered what a person had decided to be delivered."""


class Wallet(msgspec.Struct):
    """A wallet whose row this transaction has locked.

    `sequence` is that of its last transfer; `funded_minor` is all that ever came in. `transactions` is the last position of the
    wallet's list, which `wallets/` counts up: it stands in this row because the row is locked and written with every sale.
    """

    id: int
    balance_minor: int
    sequence: int
    transactions: int = 0
    funded_minor: int = 0
    changed: bool = False


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """One movement of money, as it is written: from account `debit` to account `credit`, for `cause`.

    One that touches a wallet carries its place in the wallet's statement and the balance after it.
    """

    cause: int
    kind: int
    debit: int
    credit: int
    amount_minor: int
    wallet_id: int | None
    wallet_sequence: int | None
    wallet_balance_minor: int | None


@dataclass(slots=True)
class Journal:
    """The transfers of one transaction, decided in memory against locked wallets, then written with one statement.

    `at` is the database's clock, read after the wallets are locked: the time of everything that is entered. A later lock on a
    wallet reads a later time, so positions in its list are in the order of time.

    Every method that takes from a wallet raises InsufficientBalance and leaves the journal as it was.
    """

    wallets: dict[int, Wallet]
    transfers: list[Transfer] = field(default_factory=list)
    at: datetime | None = None

    def hold(self, cause: int, wallet_id: int, in_flight: int, amount: Money) -> Money:
        """Reserve `amount` for order `cause`. Returns the spendable balance that is left.

        Raises InsufficientBalance.
        """
        wallet = self.wallets[wallet_id]
        return self._on_wallet(cause, TransferKind.HOLD, wallet, wallet_id, in_flight, amount, -amount.minor)

    def release(self, cause: int, wallet_id: int, in_flight: int, amount: Money) -> Money:
        """Give a hold back. Returns the spendable balance after it."""
        wallet = self.wallets[wallet_id]
        return self._on_wallet(cause, TransferKind.RELEASE, wallet, in_flight, wallet_id, amount, amount.minor)

    def credit(self, cause: int, wallet_id: int, funding: int, amount: Money) -> Money:
        """Put money into a wallet. Returns the spendable balance after it."""
        wallet = self.wallets[wallet_id]
        wallet.funded_minor += amount.minor
        return self._on_wallet(cause, TransferKind.CREDIT, wallet, funding, wallet_id, amount, amount.minor)

    def void(self, cause: int, wallet_id: int, funding: int, amount: Money) -> Money:
        """Take play money out of a wallet that has it. Returns the spendable balance after it.

        Raises InsufficientBalance.
        """
        wallet = self.wallets[wallet_id]
        return self._on_wallet(cause, TransferKind.VOID, wallet, wallet_id, funding, amount, -amount.minor)

    def write_off(self, cause: int, loss: int, funding: int, amount: Money) -> None:
        """Enter play money that was spent as the house's loss."""
        self._in_house(cause, TransferKind.WRITE_OFF, loss, funding, amount.minor)

    def debit(self, cause: int, wallet_id: int, funding: int, amount: Money) -> Money:
        """Take back what was credited by mistake. Returns the spendable balance after it.

        Raises InsufficientBalance.
        """
        wallet = self.wallets[wallet_id]
        return self._on_wallet(cause, TransferKind.DEBIT, wallet, wallet_id, funding, amount, -amount.minor)

    def refund(self, cause: int, wallet_id: int, loss: int, amount: Money) -> Money:
        """Give the price of a delivered order back, at the cost of the house. Returns the spendable balance after it."""
        wallet = self.wallets[wallet_id]
        return self._on_wallet(cause, TransferKind.REFUND, wallet, loss, wallet_id, amount, amount.minor)

    def credit_provisionally(self, cause: int, wallet_id: int, provisional: int, amount: Money) -> Money:
        """Lend the price of an order to its wallet. Returns the spendable balance after it."""
        wallet = self.wallets[wallet_id]
        return self._on_wallet(
            cause, TransferKind.PROVISIONAL_CREDIT, wallet, provisional, wallet_id, amount, amount.minor
        )

    def reverse_credit(self, cause: int, wallet_id: int, provisional: int, amount: Money) -> Money:
        """Take a provisional credit back, after the release of its order. Returns the spendable balance after it.

        Raises InsufficientBalance.
        """
        wallet = self.wallets[wallet_id]
        return self._on_wallet(cause, TransferKind.REVERSAL, wallet, wallet_id, provisional, amount, -amount.minor)

    def write_off_credit(self, cause: int, write_off: int, provisional: int, amount: Money) -> None:
        """Leave a provisional credit to its wallet, at the cost of the house."""
        self._in_house(cause, TransferKind.CREDIT_WRITE_OFF, write_off, provisional, amount.minor)

    def enter_late_cost(self, cause: int, write_off: int, provider: int, cost: Money) -> None:
        """Enter what a provider takes for an order that has failed."""
        self._in_house(cause, TransferKind.LATE_COST, write_off, provider, cost.minor)

    def enter_late_return(self, cause: int, provider: int, write_off: int, cost: Money) -> None:
        """Enter that a provider does not take what was posted for an order."""
        self._in_house(cause, TransferKind.LATE_RETURN, provider, write_off, cost.minor)

    def post(
        self, cause: int, in_flight: int, provider: int, margin: int, loss: int, price: Money, cost: Money
    ) -> None:
        """Post a hold: the provider's cost, and the margin. A sale below cost adds a transfer loss → provider."""
        if price.currency != cost.currency:
            raise InvariantBroken(f"order {cause} was priced in {price.currency} and costs {cost.currency}")
        from_hold = min(price.minor, cost.minor)
        if from_hold:
            self._in_house(cause, TransferKind.COST, in_flight, provider, from_hold)
        if price.minor > cost.minor:
            self._in_house(cause, TransferKind.MARGIN, in_flight, margin, price.minor - cost.minor)
        elif cost.minor > price.minor:
            self._in_house(cause, TransferKind.LOSS, loss, provider, cost.minor - price.minor)

    def pay(self, cause: int, in_flight: int, provider: int, price: Money) -> None:
        """Post a hold whose whole price is the provider's."""
        self._in_house(cause, TransferKind.COST, in_flight, provider, price.minor)

    def changed_wallets(self) -> list[Wallet]:
        """The wallets that have to be written, in id order."""
        return [self.wallets[key] for key in sorted(self.wallets) if self.wallets[key].changed]

    def _on_wallet(
        self, cause: int, kind: TransferKind, wallet: Wallet, debit: int, credit: int, amount: Money, change: int
    ) -> Money:
        """Enter a transfer that changes a wallet by `change`. Raises InsufficientBalance."""
        if change < 0 and wallet.balance_minor < amount.minor:
            raise InsufficientBalance(amount, Money(wallet.balance_minor, amount.currency))
        wallet.balance_minor += change
        wallet.sequence += 1
        wallet.changed = True
        self.transfers.append(
            Transfer(cause, kind, debit, credit, amount.minor, wallet.id, wallet.sequence, wallet.balance_minor)
        )
        return Money(wallet.balance_minor, amount.currency)

    def _in_house(self, cause: int, kind: TransferKind, debit: int, credit: int, amount_minor: int) -> None:
        self.transfers.append(Transfer(cause, kind, debit, credit, amount_minor, None, None, None))


@dataclass(frozen=True, slots=True)
class Entry:
    """One transfer between two named accounts (`in_flight`, `provider simulator`), as `telvend order show` prints it."""

    kind: TransferKind
    debit: str
    credit: str
    amount: Money
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AccountTotal:
    """What one account holds; `owner` is a provider's name, a reseller's id, or empty."""

    kind: AccountKind
    owner: str
    mode: Mode
    total: Money
