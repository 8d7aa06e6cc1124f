"""The ledger's verbs: accounts, and what they hold.

Transfers are written in the caller's transaction, with a journal: see `wallets/journal.py`.
"""

import asyncio
from uuid import UUID

from telvend.database.connections import Database, Tx, increment_revision
from telvend.kit.mode import Mode
from telvend.kit.money import Currency, Money, currency_of
from telvend.ledger import store
from telvend.ledger.model import AccountKind, AccountTotal, Entry, TransferKind


class Ledger:
    """Accounts, transfers and holds of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Accounts of the house never change once they exist; a few dozen at most.
        self._opening = asyncio.Lock()
        self._house: dict[tuple[AccountKind, str, str, Mode], int] = {}

    async def house(self, kind: AccountKind, currency: Currency, mode: Mode, owner: str = "") -> int:
        """The account of the house of this kind, made when first asked for. Remembered: costs nothing after that."""
        known = self.known_house(kind, currency, mode, owner)
        if known is not None:
            return known
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

    async def house_of(self, tx: Tx, kind: AccountKind, currency: Currency, mode: Mode, owner: str = "") -> int:
        """The same, inside a transaction that holds locks: an account that exists is looked up in `tx`.

        `house` takes a second connection, and transactions that wait for these locks may hold every connection: a deadlock.
        """
        found = self.known_house(kind, currency, mode, owner)
        if found is None:
            found = await store.find_account(tx, kind, owner, currency.code, mode)
            if found is None:
                return await self.house(kind, currency, mode, owner)
            self._house[kind, owner, currency.code, mode] = found
        return found

    def known_house(self, kind: AccountKind, currency: Currency, mode: Mode, owner: str = "") -> int | None:
        """The same, where it is remembered already; without waiting."""
        return self._house.get((kind, owner, currency.code, mode))

    async def open_wallet(self, tx: Tx, reseller_id: UUID, currency: Currency, mode: Mode) -> int:
        """The reseller's wallet in this currency and mode, opened if there is none. Answers its account's id."""
        wallet_id = await store.open_account(tx, AccountKind.WALLET, str(reseller_id), currency.code, mode)
        if await store.open_wallet(tx, wallet_id, reseller_id, currency.code, mode):
            await increment_revision(tx, "keys")  # What processes remember of a caller includes the wallets.
        return wallet_id

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
