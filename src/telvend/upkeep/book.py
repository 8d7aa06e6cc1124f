"""Check of the book: whether it has everything that this node remembers of it."""

from collections.abc import Sequence

from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level


async def book(shop: Examined) -> Sequence[Finding]:
    """Say whether sales are halted because the database has gone back behind what was acknowledged."""
    if shop.book_halted is None:
        return [Finding("book", Level.OK, "The database has every sale that this node remembers.")]
    advice = "Find out what is missing, then: telvend shop release --reason TEXT --by WHO"
    return [Finding("book", Level.FAILURE, shop.book_halted, advice)]
