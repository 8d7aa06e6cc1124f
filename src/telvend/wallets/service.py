"""The verbs of wallets: what can be spent, the list of transactions by pages, the statement, the wallet in numbers."""

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from telvend.database.connections import Database, DedicatedConnection, Tx
from telvend.database.lane import Lane
from telvend.errors import Busy, NotFound
from telvend.kit.ids import number_in
from telvend.kit.mode import Mode
from telvend.kit.money import Currency, Money, currency_of
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.ledger import store as ledger_store
from telvend.ledger.model import TransferKind
from telvend.wallets import paging, store, walking
from telvend.wallets.entries import kind_of
from telvend.wallets.model import (
    Filter,
    Listed,
    ListFilter,
    Overview,
    Page,
    RecentRecipient,
    StatementLine,
    Summary,
    Transaction,
    TransactionKind,
    TransactionStatus,
    WalletBalance,
)
from telvend.wallets.walking import transactions_of

LONGEST_REFERENCE = 128


class Wallets:
    """Balances and statements of the wallets of one shop."""

    def __init__(self, database: Database, *, runtime: Runtime = NO_RUNTIME) -> None:
        self._database = database
        self._reading = DedicatedConnection(database)
        self.reads: Lane[int, int] = Lane("balance reads", self._read_balances, runtime=runtime)

    def start(self) -> None:
        """Begin to answer `balance`; from inside the event loop."""
        self.reads.start()

    async def close(self) -> None:
        await self.reads.close()
        await self._reading.close()

    async def balance(self, wallet_id: int) -> int:
        """Return what can be spent from a wallet now, in minor units, from the database. Raises NotFound, Busy.

        Questions that come together are answered together; needs `start`.
        """
        return await self.reads.submit(wallet_id)

    async def balance_or(self, wallet_id: int, known_minor: int) -> int:
        """Return what `balance` returns, or `known_minor` while the database is busy.

        For answers after money has moved, where an error would be read as a failed sale. Raises NotFound.
        """
        try:
            return await self.balance(wallet_id)
        except Busy:
            return known_minor

    async def _read_balances(self, wallet_ids: list[int]) -> Sequence[int | Exception]:
        async with self._reading.reading() as tx:
            found = await store.balances(tx, list(set(wallet_ids)))
        return [found[wallet_id] if wallet_id in found else NotFound("The wallet") for wallet_id in wallet_ids]

    async def of_reseller(self, reseller_id: UUID) -> list[WalletBalance]:
        """Return every wallet of a reseller with what can be spent from it. Raises Busy."""
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

    async def owners(self, wallet_ids: Collection[int]) -> dict[int, UUID]:
        """Return whose wallets these are. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.owners(tx, wallet_ids)

    async def statement(
        self, reseller_id: UUID, currency: Currency, mode: Mode, *, before: int | None = None, limit: int = 50
    ) -> list[StatementLine]:
        """Return the wallet's transfers, newest first; `before` is the sequence to go on from. Raises NotFound, Busy."""
        async with self._database.connection() as tx:
            wallet_id = await ledger_store.wallet_of(tx, reseller_id, currency.code, mode)
            if wallet_id is None:
                raise NotFound(f"A {mode} wallet in {currency}")
            rows = await ledger_store.statement(tx, wallet_id, before, limit)
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
            entries = await store.entries(tx, wallet_id, positions) if positions else []
            return Page(await transactions_of(tx, entries, currency), total)

    async def listed(
        self,
        wallets: Mapping[int, Currency],
        wanted: ListFilter,
        *,
        older: Mapping[int, int] | None = None,
        limit: int = 50,
    ) -> Listed:
        """Return a part of the list over these wallets, newest first; `older` is that of the part before. Raises Busy.

        However long the list is, and however seldom what is wanted: so much is looked at and no more. Where that was not enough,
        the part says how far back it has looked, and its `older` goes on from there.
        """
        async with self._database.snapshot() as tx:
            return await walking.part(tx, wallets, wanted, older, limit)

    async def recent_recipients(
        self, wallets: Mapping[int, Currency], *, among: int = 100, limit: int = 10
    ) -> list[RecentRecipient]:
        """Return whom these wallets have bought for last, each once, out of the last `among` lines of each. Raises Busy."""
        async with self._database.connection() as tx:
            return await walking.recent_recipients(tx, wallets, among, limit)

    async def find_among(self, wallets: Mapping[int, Currency], reference: str) -> Transaction | None:
        """Return the transaction of one of these wallets with this reference; None where there is none. Raises Busy.

        The first of the wallets goes first: a credit by hand may be called anything, also in several of them.
        """
        number = number_in(reference)
        if len(reference) > LONGEST_REFERENCE or not reference.isprintable() or not wallets:
            return None
        async with self._database.connection() as tx:
            for looked_up in (
                [] if number is None else await store.entries_of(tx, wallets, number),
                # Also what looks like one of ours.
                await store.entries_of_credit(tx, wallets, reference),
            ):
                for wallet_id, currency in wallets.items():
                    mine = [entry for entry in looked_up if entry["wallet_id"] == wallet_id]
                    for found in await transactions_of(tx, mine, currency):
                        if found.reference == reference:
                            return found
        return None

    async def overview(self, wallet_id: int, currency: Currency, bounds: Sequence[datetime] = ()) -> Overview:
        """Return a wallet at a glance, with what was spent between each two of `bounds`, which ascend.

        The cost grows with the logarithm of the wallet's transfers and with the credits of the time. Raises NotFound, Busy.
        """
        async with self._database.snapshot() as tx:
            row = await store.wallet(tx, wallet_id)
            if row is None:
                raise NotFound("The wallet")
            held = 0
            if pending := await store.pending_positions(tx, wallet_id):
                held = sum(
                    entry["amount_minor"]
                    for entry in await store.entries(tx, wallet_id, pending)
                    if not entry["credit"]
                )
            spent = await _spent(tx, wallet_id, row["transactions"], bounds) if len(bounds) > 1 else []
        return Overview(
            Money(row["balance_minor"], currency),
            Money(held, currency),
            [Money(minor, currency) for minor in spent],
            row["transactions"],
        )

    async def find(self, wallet_id: int, currency: Currency, reference: str) -> Transaction:
        """The transaction of this wallet with this reference. Raises NotFound, Busy."""
        found = await self.look_up(wallet_id, currency, reference)
        if found is None:
            raise NotFound("Transaction")
        return found

    async def look_up(self, wallet_id: int, currency: Currency, reference: str) -> Transaction | None:
        """Return the transaction of this wallet with this reference, None where there is none. Raises Busy."""
        return await self.find_among({wallet_id: currency}, reference)

    async def references(self, numbers: Sequence[int]) -> dict[int, str]:
        """What the owners of wallets call these orders, credits, fundings and all else, by their numbers. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.references(tx, numbers)


_PAID_WITHIN: Final = timedelta(days=3)
"""A funding that is paid later than so long after its beginning is not looked for."""


async def _spent(tx: Tx, wallet_id: int, last: int, bounds: Sequence[datetime]) -> list[int]:
    """What left a wallet between each two moments: what came in, less what the balance has grown by."""
    _, sequence = await store.sequence_of(tx, wallet_id)
    ends = await store.last_sequences_before(tx, wallet_id, sequence, bounds)
    balances = await store.balances_after(tx, wallet_id, ends)
    came_in = [0] * (len(bounds) - 1)
    first = await store.first_position_from(tx, wallet_id, last, bounds[0] - _PAID_WITHIN)
    for entry in await _credits_from(tx, wallet_id, first, last):
        at = entry["created_at"] if kind_of(entry) is TransactionKind.CREDIT else entry["updated_at"]
        day = bisect_right(bounds, at) - 1
        if 0 <= day < len(came_in):
            came_in[day] += entry["amount_minor"]
    return [max(0, came_in[day] - (balances[ends[day + 1]] - balances[ends[day]])) for day in range(len(came_in))]


async def _credits_from(tx: Tx, wallet_id: int, first: int, last: int) -> list[Any]:
    """The completed credits and fundings from a position on. Refunds are none: they undo what was spent."""
    blocks = await store.blocks_with_credits(tx, wallet_id, first, last)
    size = 1 << store.BLOCK_BITS
    ranges = [(max(first, block * size), min(last, block * size + size - 1)) for block in blocks]
    if not ranges:
        return []
    wanted = Filter(credit=True, status=TransactionStatus.COMPLETED)
    positions = await store.members(tx, wallet_id, wanted, ranges)
    came_in = (TransactionKind.CREDIT, TransactionKind.FUNDING)
    return [
        entry
        for entry in await store.entries(tx, wallet_id, positions)
        if kind_of(entry) in came_in and entry["status"] == TransactionStatus.COMPLETED
    ]
