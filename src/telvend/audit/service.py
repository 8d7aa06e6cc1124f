"""Whether the books hold: the ledger in itself, against everything that moves money, and what subscribers have.

All in one snapshot of the database.
"""

from dataclasses import dataclass
from typing import Final

from telvend.corrections import store as correction_store
from telvend.database.connections import Database
from telvend.funding import store as funding_store
from telvend.funding.play_money import store as play_money_store
from telvend.identity import store as identity_store
from telvend.ledger import store as ledger_store
from telvend.ledger.model import Finding
from telvend.operator.refills import store as refill_store
from telvend.operator.subscribers import invariants as subscriber_invariants
from telvend.orders import store as order_store

_ROOMS: Final = (
    ledger_store,
    order_store,
    funding_store,
    play_money_store,
    correction_store,
    identity_store,
    refill_store,
    subscriber_invariants,
)


@dataclass(frozen=True, slots=True)
class Report:
    """What `telvend ledger check` says. `rules` is everything that was looked at, `findings` what does not hold."""

    rules: tuple[str, ...]
    findings: tuple[Finding, ...]
    transfers: int
    orders: int

    @property
    def ok(self) -> bool:
        return not self.findings


async def check_books(database: Database) -> Report:
    """Recompute everything from the transfers. May run while the shop sells: it sees one moment. Raises Busy."""
    async with database.snapshot() as tx:
        return Report(
            tuple(rule for room in _ROOMS for rule in room.checked_rules()),
            tuple([finding for room in _ROOMS for finding in await room.findings(tx)]),
            await ledger_store.count_transfers(tx),
            await order_store.count_orders(tx),
        )
