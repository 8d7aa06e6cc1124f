"""Whether the books hold: the invariants of every room, looked at in one snapshot of the database."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from telvend.corrections import invariants as corrections
from telvend.database.connections import Database, Tx
from telvend.database.invariants import Invariant
from telvend.funding import invariants as funding
from telvend.funding.play_money import invariants as play_money
from telvend.identity import invariants as identity
from telvend.ledger import invariants as ledger
from telvend.ledger.store import count_transfers
from telvend.operator.provisioning import invariants as provisioning
from telvend.operator.refills import invariants as refills
from telvend.operator.subscribers import invariants as subscribers
from telvend.operator.usage import invariants as usage
from telvend.operator.vouchers import invariants as vouchers
from telvend.orders import invariants as orders
from telvend.orders.store import count_orders
from telvend.sales import invariants as sales
from telvend.wallets import invariants as wallets

# In the order in which `telvend ledger check` has always printed them.
_INVARIANTS: Final = (
    *ledger.INVARIANTS,
    *wallets.INVARIANTS,
    *sales.INVARIANTS,
    *funding.CREDITS,
    *orders.INVARIANTS,
    *funding.INVARIANTS,
    *play_money.INVARIANTS,
    *corrections.INVARIANTS,
    *identity.INVARIANTS,
    *refills.INVARIANTS,
    *vouchers.INVARIANTS,
    *subscribers.INVARIANTS,
    *provisioning.INVARIANTS,
    *usage.INVARIANTS,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that breaks an invariant, in one sentence with the numbers."""

    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the audit says. `rules` is everything that was looked at, `findings` what does not hold."""

    rules: tuple[str, ...]
    findings: tuple[Finding, ...]
    transfers: int
    orders: int

    @property
    def ok(self) -> bool:
        return not self.findings


async def audit_books(database: Database) -> Report:
    """Recompute everything from the transfers. May run while the shop sells: it sees one moment. Raises Busy."""
    async with database.snapshot() as tx:
        return Report(
            tuple(invariant.rule for invariant in _INVARIANTS),
            tuple(await findings_of(tx, _INVARIANTS)),
            await count_transfers(tx),
            await count_orders(tx),
        )


async def findings_of(tx: Tx, invariants: Iterable[Invariant]) -> list[Finding]:
    """Return what breaks these invariants; empty where all of them hold."""
    return [Finding(invariant.rule, row[0]) for invariant in invariants for row in await tx.fetch(invariant.sql)]
