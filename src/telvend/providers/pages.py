"""A vendor's list of transactions, read page by page to its end: for a statement, half a list is none.

A page without an answer, or with one that is no page, is asked for again; after that the list cannot be read. Pages move while they
are read, since purchases go on: a transaction that comes twice counts once, and a list of which some may never have come is refused.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from telvend.kit.clock import Clock
from telvend.providers.over_http import ProviderReply
from telvend.providers.upstream import LineStatus, StatementLine, StatementUnavailable

if TYPE_CHECKING:
    import httpx

MOST_PAGES: Final = 2_000

_PAUSES_S: Final = (1.0, 5.0, 20.0)
"""How long after a failure a page is asked for again."""
_LONGEST_PAUSE_S: Final = 60.0
_FINAL: Final = frozenset({400, 401, 403, 404})
"""Statuses that say the same the next time."""


@dataclass(frozen=True, slots=True)
class TransactionPage:
    """One page. `lines` are those that could be read, under the vendor's id; `unread` counts the others.

    `last` is the number of pages and `total` that of transactions, where the vendor says so; without `last` a page with fewer than
    the rows that were asked for is the last one.
    """

    lines: Sequence[tuple[str, StatementLine]]
    unread: int
    last: int | None
    total: int | None


async def transactions(
    read: "Callable[[httpx.Request], Awaitable[ProviderReply | str]]",
    request_of: "Callable[[int], httpx.Request]",
    page_of: Callable[[ProviderReply], TransactionPage | None],
    clock: Clock,
    per_page: int,
) -> AsyncIterator[StatementLine]:
    """Yield every transaction once. `read` returns an answer, or why there is none; pages are numbered from 1.

    Raises StatementUnavailable where the list cannot be read to its end; lines that were yielded before then prove nothing.
    """
    seen: set[str] = set()
    unread, number = 0, 1
    first_total: int | None = None
    while True:
        page = await _page(read, request_of(number), page_of, clock, number)
        for theirs, line in page.lines:
            if theirs not in seen:
                seen.add(theirs)
                yield line
        for _ in range(page.unread):
            yield StatementLine(LineStatus.UNKNOWN, word="a transaction that cannot be read")
        unread += page.unread
        first_total = page.total if first_total is None else first_total
        if page.total is not None and page.total < (first_total or 0):
            raise StatementUnavailable("the list of transactions has become shorter while it was read; reconcile again")
        rows = len(page.lines) + page.unread
        if number >= page.last if page.last is not None else rows < per_page:
            break
        if not rows:
            raise StatementUnavailable(f"page {number} of the list of transactions is empty, and not the last one")
        number += 1
        if number > MOST_PAGES or (page.last or 0) > MOST_PAGES:
            raise StatementUnavailable(f"the list of transactions has more than {MOST_PAGES} pages of {per_page}")
    if first_total is not None and len(seen) + unread < first_total:
        raise StatementUnavailable("the list of transactions has changed while it was read; reconcile again")


async def _page(
    read: "Callable[[httpx.Request], Awaitable[ProviderReply | str]]",
    request: "httpx.Request",
    page_of: Callable[[ProviderReply], TransactionPage | None],
    clock: Clock,
    number: int,
) -> TransactionPage:
    why = ""
    for pause_s in (*_PAUSES_S, None):
        reply = await read(request)
        if isinstance(reply, ProviderReply):
            page = page_of(reply)
            if page is not None:
                return page
            why = reply.excerpt
            if reply.http_status in _FINAL:
                break
            pause_s = None if pause_s is None else max(pause_s, _retry_after_s(reply))
        else:
            why = reply
        if pause_s is not None:
            await clock.sleep(pause_s)
    raise StatementUnavailable(f"page {number} of the list of transactions cannot be read: {why}")


def _retry_after_s(reply: ProviderReply) -> float:
    text = reply.headers.get("retry-after", "")
    return min(float(text), _LONGEST_PAUSE_S) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0
