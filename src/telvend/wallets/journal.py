"""The journal of one transaction that also adds lines to wallets' lists.

Every movement of a wallet's money belongs to a line of its list, so nearly all code uses this journal and not the ledger's:
`begin`, decide in plain Python that cannot fail half-way, `write`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import msgspec

from telvend.database.connections import Tx
from telvend.database.together import Statement, execute_together
from telvend.ledger import store as ledger_store
from telvend.ledger.model import Journal
from telvend.wallets import store
from telvend.wallets.model import TransactionKind


class NewLine(msgspec.Struct, frozen=True, gc=False):
    """A new line of a wallet's list. `id` is the number of the order, credit, funding or whatever else `kind` says."""

    wallet_id: int
    position: int
    kind: str
    id: int
    credit: bool


class FailedLine(msgspec.Struct, frozen=True, gc=False):
    """A line whose transaction came to nothing."""

    wallet_id: int
    position: int
    credit: bool


@dataclass(slots=True)
class WalletJournal(Journal):
    """Transfers, and the lines of wallets' lists that belong to them."""

    entered: list[NewLine] = field(default_factory=list)
    failed: list[FailedLine] = field(default_factory=list)

    @classmethod
    async def begin(cls, tx: Tx, wallet_ids: Iterable[int]) -> Self:
        """Lock these wallets, in id order, and open a journal on them."""
        ordered = sorted(set(wallet_ids))
        wallets, now = await ledger_store.lock_wallets(tx, ordered) if ordered else ({}, None)
        return cls(wallets, at=now)

    def enter(self, wallet_id: int, kind: TransactionKind, id: int, *, credit: bool) -> int:  # noqa: A002
        """Add a line to the wallet's list; `credit`: money comes in. Returns its position."""
        wallet = self.wallets[wallet_id]
        wallet.transactions += 1
        wallet.changed = True
        self.entered.append(NewLine(wallet_id, wallet.transactions, kind, id, credit))
        return wallet.transactions

    def fail(self, wallet_id: int, position: int, *, credit: bool) -> None:
        """Mark a line as failed: its transaction came to nothing."""
        self.failed.append(FailedLine(wallet_id, position, credit))

    async def write(self, tx: Tx) -> None:
        """Write what was gathered: transfers, balances, lines. Seen by others when `tx` commits."""
        await execute_together(tx, self.statements(tx))

    def statements(self, tx: Tx) -> list[Statement]:
        """Return what `write` writes, to be written in `tx` together with something else."""
        statements = ledger_store.transfers_of(tx, self)
        if self.entered:
            statements.append(store.lines_of(self.entered, self.at))
        if self.failed:
            statements.append(store.failed_of(self.failed))
        return statements
