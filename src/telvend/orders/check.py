"""Whether the books hold: the ledger in itself, and the ledger against the orders, in one snapshot of the database."""

from dataclasses import dataclass

from telvend.kit.db import Database
from telvend.ledger import store as ledger_store
from telvend.ledger.model import Finding
from telvend.orders import store


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
        findings = [*await ledger_store.findings(tx), *await store.findings(tx)]
        return Report(
            (*ledger_store.checked_rules(), *store.checked_rules()),
            tuple(findings),
            await ledger_store.count_transfers(tx),
            await store.count_orders(tx),
        )
