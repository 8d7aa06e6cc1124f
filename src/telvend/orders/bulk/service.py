"""The verbs of lists for their owners: check one, have it bought, stop it, look how far it is.

The buying itself is later work: `worker.py`.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final
from uuid import UUID

from telvend.catalog.sheet import Problem
from telvend.database.connections import Database
from telvend.errors import Busy, InvalidInput, NotFound
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of
from telvend.kit.secret import random_text
from telvend.orders.bulk import store
from telvend.orders.bulk.model import (
    MOST_BYTES,
    MOST_CHECKED,
    MOST_LINES,
    BulkLine,
    BulkList,
    Checked,
    ListState,
    Progress,
)
from telvend.orders.bulk.store import NewLine
from telvend.orders.list_sales import CheckedList, ListSales, WalletTotal
from telvend.orders.purchase_list import PurchaseRow, read_rows, text_of
from telvend.resellers.service import Resellers
from telvend.wallets.service import Wallets

_CODE_LETTERS: Final = 20
_LONGEST_NAME: Final = 100


class BulkLists:
    """The lists of every reseller of one shop. `checking` makes what checks one list, with references of the portal: it remembers
    callers, and must not outlive the check."""

    def __init__(
        self, database: Database, checking: Callable[[], ListSales], resellers: Resellers, wallets: Wallets
    ) -> None:
        self._database = database
        self._checking = checking
        self._resellers = resellers
        self._wallets = wallets

    async def check(
        self, reseller_id: UUID, mode: Mode, *, name: str, data: bytes, by_whom: str, repeats: bool = False
    ) -> Checked:
        """Check every line of a list, and keep it where nothing is wrong. Nothing is bought.

        `repeats`: lines that ask for the same are meant. Raises InvalidInput for what cannot be read, and Busy.
        """
        if len(data) > MOST_BYTES:
            raise InvalidInput("csv", f"is larger than {MOST_BYTES // 1024} KB; split it")
        if not data.strip():
            raise InvalidInput("csv", "is empty")
        text = text_of(data)
        email = (await self._resellers.emails([reseller_id]))[reseller_id]
        code = random_text(_CODE_LETTERS)
        checked = await self._checking().check(_bounded(read_rows(text)), name=code, email=email, mode=mode)
        if any(sale.reseller_id != reseller_id for sale in checked.sales):
            raise Busy  # The address has become somebody else's a moment ago.
        totals = tuple(checked.totals)
        if checked.problems or (checked.repeats and not repeats):
            return Checked(None, tuple(checked.problems), tuple(checked.repeats), totals)
        async with self._database.transaction() as tx:
            kept = await store.insert(
                tx, code, reseller_id, mode, _shown_name(name), by_whom, _lines_of(checked), MOST_CHECKED
            )
        return Checked(kept, totals=totals)

    async def start(self, reseller_id: UUID, code: str) -> bool:
        """Have a list bought, or gone on with; its refused lines are tried again. False where it is being bought or is done.

        Raises NotFound, also for somebody else's, and Busy.
        """
        found = await self.find(reseller_id, code)
        async with self._database.transaction() as tx:
            return await store.start(tx, found.id)

    async def stop(self, reseller_id: UUID, code: str) -> bool:
        """Stop a list; what is on its way to be bought is finished. False where it is not being bought. Raises NotFound, Busy."""
        found = await self.find(reseller_id, code)
        async with self._database.transaction() as tx:
            return await store.stop(tx, found.id, "You have stopped it.")

    async def discard(self, reseller_id: UUID, code: str) -> None:
        """Remove a list that was only checked. Raises NotFound, InvalidInput for any other, and Busy."""
        found = await self.find(reseller_id, code)
        async with self._database.transaction() as tx:
            if not await store.discard(tx, found.id):
                raise InvalidInput("", "It was begun, and stays as a record of what was bought.")

    async def find(self, reseller_id: UUID, code: str) -> BulkList:
        """Return a list of this reseller. Raises NotFound, also for somebody else's, and Busy."""
        found = None
        if code.isascii() and code.isalnum() and len(code) == _CODE_LETTERS:
            async with self._database.connection() as tx:
                found = await store.find(tx, reseller_id, code)
        if found is None:
            raise NotFound("List")
        return found

    async def listed(
        self, reseller_id: UUID, mode: Mode, *, before: int | None = None, limit: int = 20
    ) -> list[BulkList]:
        """Return the lists of a reseller, newest first; `before` is the number of the last one seen. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.listed(tx, reseller_id, mode, before, limit)

    async def progress(self, bulk_list: BulkList) -> Progress:
        """Return how many lines stand how. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.progress(tx, bulk_list.id)

    async def lines(self, bulk_list: BulkList, *, after: int = 0, limit: int = 500) -> list[BulkLine]:
        """Return lines with what has become of them; `after` is the last line seen. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.lines(tx, bulk_list.id, after, limit)

    async def to_pay(self, bulk_list: BulkList) -> list[WalletTotal]:
        """Return what the lines that wait cost each wallet, and what that can spend now. Raises Busy."""
        async with self._database.connection() as tx:
            rows = await store.waiting_totals(tx, bulk_list.id)
        balances = {
            wallet.wallet_id: wallet.balance for wallet in await self._wallets.of_reseller(bulk_list.reseller_id)
        }
        return [
            WalletTotal(
                "", Money(row["minor"], currency_of(row["currency"])), balances[row["wallet_id"]], count=row["count"]
            )
            for row in rows
        ]


def may_start(bulk_list: BulkList, progress: Progress) -> bool:
    """Whether a list can be bought, or gone on with."""
    if bulk_list.state is ListState.CHECKED:
        return True
    return bulk_list.state is ListState.STOPPED and progress.waiting + progress.refused > 0


def _bounded(rows: Iterator[PurchaseRow | Problem]) -> Iterator[PurchaseRow | Problem]:
    """The rows of a list of one reseller: no more than may be, and none that another wallet is to pay for."""
    for row in islice(rows, MOST_LINES):
        if isinstance(row, PurchaseRow) and row.email:
            yield Problem(row.line, "email", "is not read here: your own wallet pays; leave the column out")
        else:
            yield row
    beyond = next(rows, None)
    if beyond is not None:
        yield Problem(beyond.line, "", f"is beyond the {MOST_LINES:,} lines that one list may have; split it")


def _lines_of(checked: CheckedList) -> list[NewLine]:
    return [
        NewLine(
            sale.row.line,
            sale.row.product,
            sale.row.amount,
            sale.recipient,
            sale.row.note[:200],
            sale.reference,
            sale.wallet_id,
            sale.price.minor,
            sale.price.currency.code,
        )
        for sale in checked.sales
    ]


def _shown_name(name: str) -> str:
    """A file name as it can be shown: one line of text."""
    name = name.replace("\\", "/").rpartition("/")[2].strip()
    return "".join(letter for letter in name if letter.isprintable())[:_LONGEST_NAME] or "list.csv"
