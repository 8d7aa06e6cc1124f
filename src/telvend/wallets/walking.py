"""One list over several wallets: the newest of each, merged by time, and never more looked at than one page may cost.

Positions have no gaps, so a stretch of a wallet's list is so many positions, whatever stands there. A filter that wants one line in
a thousand is given up after a stretch; the part says how far back it has looked, and the next one goes on from there.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from telvend.database.connections import Tx
from telvend.kit.money import Currency
from telvend.ledger import store as ledger_store
from telvend.wallets import store
from telvend.wallets.entries import transaction_of
from telvend.wallets.model import (
    Listed,
    ListFilter,
    RecentRecipient,
    Transaction,
    TransactionKind,
    TransactionStatus,
)

STRETCH: Final = 20_000
"""How many positions of a wallet are looked at for one part: some ten milliseconds."""
STRETCH_OF_RARE: Final = 200_000
"""The same where an index has only those that are neither purchases nor refills."""
STRETCH_OF_ENTRIES: Final = 1_000
"""The same where what stands behind each line is read."""


class _Found(NamedTuple):
    """What was found in one wallet: positions, the highest first. Looking ended at `lowest`; the list goes down to `end`."""

    positions: list[int]
    lowest: int
    end: int

    @property
    def given_up(self) -> bool:
        return self.lowest > self.end


async def part(
    tx: Tx, wallets: Mapping[int, Currency], wanted: ListFilter, older: Mapping[int, int] | None, limit: int
) -> Listed:
    """Return one part of the list; `older` is the position in each wallet from which on everything was seen."""
    found: dict[int, _Found] = {}
    heads: dict[int, list[Transaction]] = {}
    floors: dict[int, datetime] = {}
    for wallet_id, currency in wallets.items():
        # One more than is shown, so that it is known whether there is more.
        looked = await _look(tx, wallet_id, wanted, None if older is None else older.get(wallet_id, 0), limit + 1)
        if looked is None:
            continue
        found[wallet_id] = looked
        entries = await store.entries(tx, wallet_id, looked.positions) if looked.positions else []
        heads[wallet_id] = await transactions_of(tx, entries, currency)
        if looked.given_up:
            floors[wallet_id] = await store.time_at(tx, wallet_id, looked.lowest)
    shown: list[Transaction] = []
    taken = dict.fromkeys(found, 0)
    while len(shown) < limit:
        ahead = [wallet_id for wallet_id, count in taken.items() if count < len(heads[wallet_id])]
        if not ahead:
            break
        newest = max(ahead, key=lambda wallet_id: heads[wallet_id][taken[wallet_id]].created_at)
        head = heads[newest][taken[newest]]
        # Where looking was given up, something newer than this may be further back.
        if any(head.created_at < at for wallet_id, at in floors.items() if wallet_id not in ahead):
            break
        shown.append(head)
        taken[newest] += 1
    rest = {}
    for wallet_id, one in found.items():
        if taken[wallet_id] < len(one.positions):
            rest[wallet_id] = one.positions[taken[wallet_id]] + 1
        elif one.given_up:
            rest[wallet_id] = one.lowest
    given_up = [at for wallet_id, at in floors.items() if taken[wallet_id] == len(heads[wallet_id])]
    return Listed(shown, rest or None, max(given_up) if given_up and len(shown) < limit else None)


async def _look(tx: Tx, wallet_id: int, wanted: ListFilter, below: int | None, limit: int) -> _Found | None:
    """Look for what is wanted in one wallet, from below a position; None where there is nothing to look at."""
    row = await store.wallet(tx, wallet_id)
    last = row["transactions"] if row is not None else 0
    low = 1 if wanted.start is None else await store.first_position_from(tx, wallet_id, last, wanted.start)
    high = last if wanted.end is None else await store.first_position_from(tx, wallet_id, last, wanted.end) - 1
    if below is not None:
        high = min(high, below - 1)
    if high < low:
        return None
    opened: Collection[int] = ()
    if wanted.status in (TransactionStatus.PENDING, TransactionStatus.COMPLETED):
        opened = await store.pending_positions(tx, wallet_id)
    stretch = _stretch(wanted)
    lowest = low if stretch is None else max(low, high - stretch + 1)
    return _Found(await store.walk(tx, wallet_id, wanted, lowest, high, limit, opened), lowest, low)


def _stretch(wanted: ListFilter) -> int | None:
    """How many positions to look at; None where an index leads from one wanted line to the next."""
    if wanted.status is TransactionStatus.PENDING:
        return None
    if wanted.reads_entries:
        return STRETCH_OF_ENTRIES
    if wanted.kinds is None:
        return None if wanted.status is not TransactionStatus.COMPLETED else STRETCH
    return STRETCH_OF_RARE if wanted.are_rare and wanted.status is None else STRETCH


async def recent_recipients(tx: Tx, wallets: Mapping[int, Currency], among: int, limit: int) -> list[RecentRecipient]:
    """Return whom the wallets have bought airtime and bundles for last, each number once."""
    found: list[RecentRecipient] = []
    for wallet_id, currency in wallets.items():
        row = await store.wallet(tx, wallet_id)
        last = row["transactions"] if row is not None else 0
        entries = await store.entries(tx, wallet_id, list(range(max(1, last - among + 1), last + 1)))
        for entry in entries:
            sale = transaction_of(entry, currency, 0, 0)
            if sale.kind is TransactionKind.ORDER and sale.service in ("data", "airtime"):
                facts = sale.facts
                number, network, size = facts["subscriber"], facts["network"], facts["size"]
                found.append(RecentRecipient(number, sale.service, network, size, facts["product_id"], sale.created_at))
    found.sort(key=lambda one: one.at, reverse=True)
    newest: dict[str, RecentRecipient] = {}
    for one in found:
        newest.setdefault(one.number, one)
    return list(newest.values())[:limit]


async def transactions_of(tx: Tx, entries: Sequence[Any], currency: Currency) -> list[Transaction]:
    """Read rows of `store.entries`, with the balances around those that have none of their own."""
    unsaid = [entry["id"] for entry in entries if entry["before_minor"] is None]
    balances = await ledger_store.first_balances(tx, unsaid) if unsaid else {}
    return [transaction_of(entry, currency, *balances.get(entry["id"], (0, 0))) for entry in entries]
