"""The ledger's verbs. It counts; it knows no orders.

Writing is done in two steps inside somebody's transaction: `begin` locks wallets and gives a journal, `write` puts down
what the journal gathered. What stands between is plain Python that cannot fail half-way.
"""

import asyncio
from collections.abc import Iterable, Sequence
from uuid import UUID

from telvend.database.connections import TRANSIENT, Database, Dedicated, Tx, bump
from telvend.database.lane import Lane
from telvend.errors import InvalidInput, NotFound, ReferenceReused
from telvend.kit.mode import Mode
from telvend.kit.money import Currency, Money, currency_of
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.ledger import store
from telvend.ledger.model import (
    AccountKind,
    AccountTotal,
    Entry,
    Journal,
    StatementLine,
    TransactionKind,
    TransferKind,
    WalletBalance,
)


class Ledger:
    """Accounts, transfers and holds of one database."""

    def __init__(
        self,
        database: Database,
        *,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        self._database = database
        self._reading = Dedicated(database)
        self.reads: Lane[int, int] = Lane("balance reads", self._read_balances, runtime=runtime)
        # Accounts of the house never change once they exist; a few dozen at most.
        self._opening = asyncio.Lock()
        self._house: dict[tuple[AccountKind, str, str, Mode], int] = {}

    def start(self) -> None:
        """Begin to answer `balance`; from inside the event loop."""
        self.reads.start()

    async def close(self) -> None:
        await self.reads.close()
        await self._reading.close()

    async def house(self, kind: AccountKind, currency: Currency, mode: Mode, owner: str = "") -> int:
        """The account of the house of this kind, made when first asked for. Remembered: costs nothing after that."""
        key = (kind, owner, currency.code, mode)
        # The first of many that come together asks; the others find its answer.
        async with self._opening:
            found = self._house.get(key)
            if found is None:
                # In a transaction of its own: remembered numbers must not belong to one that is rolled back.
                async with self._database.transaction() as tx:
                    found = await store.open_account(tx, kind, owner, currency.code, mode)
                self._house[key] = found
        return found

    def known_house(self, kind: AccountKind, currency: Currency, mode: Mode, owner: str = "") -> int | None:
        """The same, where it is remembered already; without waiting."""
        return self._house.get((kind, owner, currency.code, mode))

    async def open_wallet(self, tx: Tx, reseller_id: UUID, currency: Currency, mode: Mode) -> int:
        """The reseller's wallet in this currency and mode, opened if there is none. Answers its account's id."""
        wallet_id = await store.open_account(tx, AccountKind.WALLET, str(reseller_id), currency.code, mode)
        if await store.open_wallet(tx, wallet_id, reseller_id, currency.code, mode):
            await bump(tx, "keys")  # What processes remember of a caller includes the wallets.
        return wallet_id

    async def begin(self, tx: Tx, wallet_ids: Iterable[int]) -> Journal:
        """Lock these wallets, in id order, and open a journal on them."""
        ordered = sorted(set(wallet_ids))
        wallets, now = await store.lock_wallets(tx, ordered) if ordered else ({}, None)
        return Journal(wallets, at=now)

    async def write(self, tx: Tx, journal: Journal) -> None:
        """Write down what the journal gathered. Seen by others when `tx` commits."""
        await store.write_journal(tx, journal)

    async def credit(self, reseller_id: UUID, amount: Money, mode: Mode, reference: str) -> Money:
        """Put money into a reseller's wallet, once for each reference; opens the wallet if there is none.

        Answers the balance. The same reference and amount again credits nothing. Raises InvalidInput,
        and ReferenceReused for another amount.
        """
        if amount.minor <= 0:
            raise InvalidInput("amount", "must be greater than zero")
        if not 1 <= len(reference) <= 128 or not reference.isprintable():
            raise InvalidInput("reference", "must be 1 to 128 printable characters")
        funding = await self.house(AccountKind.FUNDING, amount.currency, mode)
        async with self._database.transaction() as tx:
            wallet_id = await self.open_wallet(tx, reseller_id, amount.currency, mode)
            journal = await self.begin(tx, [wallet_id])
            before = await store.credit_of(tx, wallet_id, reference)
            if before is not None:
                if before != amount.minor:
                    raise ReferenceReused(reference)
                return Money(journal.wallets[wallet_id].balance_minor, amount.currency)
            (cause,) = await store.next_causes(tx, 1)
            balance = journal.credit(cause, wallet_id, funding, amount)
            position = journal.enter(wallet_id, TransactionKind.CREDIT, cause, credit=True)
            await store.write_credit(tx, cause, wallet_id, reference, amount.minor, position)
            await self.write(tx, journal)
        return balance

    async def balance(self, wallet_id: int) -> int:
        """What can be spent from a wallet now, in minor units, from the database. Raises NotFound, Busy.

        Questions that come together are answered together; needs `start`.
        """
        return await self.reads.submit(wallet_id)

    async def _read_balances(self, wallet_ids: list[int]) -> Sequence[int | Exception]:
        try:
            found = await store.balances(await self._reading.get(), list(set(wallet_ids)))
        except TRANSIENT as error:
            self._reading.drop()
            raise self._reading.busy(error) from error
        return [found[wallet_id] if wallet_id in found else NotFound("The wallet") for wallet_id in wallet_ids]

    async def wallets(self, reseller_id: UUID) -> list[WalletBalance]:
        """Every wallet of a reseller with what can be spent from it."""
        async with self._database.connection() as tx:
            rows = await store.wallets_of(tx, reseller_id)
        return [
            WalletBalance(
                row["account_id"],
                reseller_id,
                Mode(row["mode"]),
                Money(row["balance_minor"], currency_of(row["currency"])),
                row["sequence"],
            )
            for row in rows
        ]

    async def statement(
        self, reseller_id: UUID, currency: Currency, mode: Mode, *, before: int | None = None, limit: int = 50
    ) -> list[StatementLine]:
        """The wallet's transfers, newest first; `before` is the sequence to go on from. Raises NotFound."""
        async with self._database.connection() as tx:
            wallet_id = await store.wallet_of(tx, reseller_id, currency.code, mode)
            if wallet_id is None:
                raise NotFound(f"A {mode} wallet in {currency}")
            rows = await store.statement(tx, wallet_id, before, limit)
        return [
            StatementLine(
                row["wallet_sequence"],
                TransferKind(row["kind"]),
                row["cause"],
                Money(row["amount_minor"] if row["incoming"] else -row["amount_minor"], currency),
                Money(row["wallet_balance_minor"], currency),
                row["created_at"],
            )
            for row in rows
        ]

    async def entries(self, cause: int) -> list[Entry]:
        """Every transfer of one order or credit, in the order in which they happened."""
        async with self._database.connection() as tx:
            rows = await store.entries(tx, cause)
        return [
            Entry(
                TransferKind(row["kind"]),
                _account_name(row["debit_kind"], row["debit_owner"]),
                _account_name(row["credit_kind"], row["credit_owner"]),
                Money(row["amount_minor"], currency_of(row["currency"])),
                row["created_at"],
            )
            for row in rows
        ]

    async def totals(self) -> list[AccountTotal]:
        """What every account holds, summed from the transfers. Reads them all."""
        async with self._database.connection() as tx:
            rows = await store.totals(tx)
        return [
            AccountTotal(
                AccountKind(row["kind"]),
                row["owner"],
                Mode(row["mode"]),
                Money(row["minor"], currency_of(row["currency"])),
            )
            for row in rows
        ]


def _account_name(kind: str, owner: str) -> str:
    return f"provider {owner}" if kind == AccountKind.PROVIDER else kind.replace("_", " ")
