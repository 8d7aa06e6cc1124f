"""Which positions of a wallet belong on a page of a filter, and how many there are in all. Arithmetic; the SQL is in `store.py`.

For each block of 1,024 positions the database keeps how many transactions brought money in and how many have failed. That
and the few that are open say how many of a block any filter wants, without a row of the list. So a page is found by
adding up blocks from the newest on, and only the rows of the one or two blocks in which the page stands are read. At ten
million transactions there are ten thousand blocks, whatever the transactions are.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from telvend.database.connections import Tx
from telvend.wallets import store
from telvend.wallets.model import Filter, TransactionStatus

_BLOCK: Final = 1 << store.BLOCK_BITS


class _Piece(NamedTuple):
    """The positions of one block that may be on a page, and how many of them the filter wants."""

    low: int
    high: int
    wanted: int


async def positions(
    tx: Tx, wallet_id: int, low: int, high: int, last: int, wanted: Filter, *, limit: int, offset: int
) -> tuple[list[int], int]:
    """The positions between `low` and `high` that stand on a page, the highest first, and how many the filter wants there.

    `last` is the wallet's last position. Dates are in `low` and `high` already.
    """
    if wanted.status is None and wanted.credit is None:
        first = high - offset
        return list(range(first, max(low, first - limit + 1) - 1, -1)), high - low + 1
    opened: Collection[int] = ()
    if wanted.status in (TransactionStatus.PENDING, TransactionStatus.COMPLETED):
        opened = {at for at in await store.pending_positions(tx, wallet_id) if low <= at <= high}
        if wanted.credit is not None:
            came_in = set(await store.credits_among(tx, wallet_id, opened))
            opened = came_in if wanted.credit else opened - came_in
    if wanted.status is TransactionStatus.PENDING:
        return sorted(opened, reverse=True)[offset : offset + limit], len(opened)
    pieces = await _pieces(tx, wallet_id, low, high, last, wanted, opened)
    on_page, before = _standing_in(pieces, limit, offset)
    found = await store.members(tx, wallet_id, wanted, [(piece.low, piece.high) for piece in on_page])
    listed = sorted((at for at in found if at not in opened), reverse=True)
    return listed[offset - before :][:limit], sum(piece.wanted for piece in pieces)


async def _pieces(
    tx: Tx, wallet_id: int, low: int, high: int, last: int, wanted: Filter, opened: Collection[int]
) -> list[_Piece]:
    """The blocks between two positions, the highest first. Those at the ends may be cut, and are then counted by their rows."""
    counts = await store.blocks(tx, wallet_id, low // _BLOCK, high // _BLOCK)
    open_in = Counter(at // _BLOCK for at in opened)
    pieces = []
    for block in range(high // _BLOCK, low // _BLOCK - 1, -1):
        first, end = max(1, block * _BLOCK), min(last, block * _BLOCK + _BLOCK - 1)
        if first < low or end > high:
            cut = (max(first, low), min(end, high))
            members = await store.members(tx, wallet_id, wanted, [cut])
            pieces.append(_Piece(*cut, sum(at not in opened for at in members)))
        else:
            size = _size(wanted, end - first + 1, *counts.get(block, (0, 0, 0)))
            pieces.append(_Piece(first, end, size - open_in[block]))
    return pieces


def _size(wanted: Filter, everything: int, credits_: int, failed: int, failed_credits: int) -> int:
    """How many of a block a filter wants, open ones included."""
    if wanted.credit is None:
        of_kind, failed_of_kind = everything, failed
    elif wanted.credit:
        of_kind, failed_of_kind = credits_, failed_credits
    else:
        of_kind, failed_of_kind = everything - credits_, failed - failed_credits
    match wanted.status:
        case TransactionStatus.FAILED:
            return failed_of_kind
        case TransactionStatus.COMPLETED:
            return of_kind - failed_of_kind
        case _:
            return of_kind


def _standing_in(pieces: Sequence[_Piece], limit: int, offset: int) -> tuple[list[_Piece], int]:
    """The pieces in which a page stands, those without a part in it left out; and how many are wanted in those above them."""
    on_page: list[_Piece] = []
    above = before = 0
    for piece in pieces:
        if above >= offset + limit:
            break
        if piece.wanted and above + piece.wanted > offset:
            if not on_page:
                before = above
            on_page.append(piece)
        above += piece.wanted
    return on_page, before
