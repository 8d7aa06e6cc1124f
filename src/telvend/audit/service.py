"""Whether the books hold: verify the invariants of every room in one snapshot of the database.

await audit_books(database)                     recompute everything
await Audit(database, data_dir).run()           continue from the last checkpoint, or recompute everything if there is none
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from telvend.approvals import invariants as approvals
from telvend.audit import invariants as parts
from telvend.audit import store
from telvend.audit.checkpoint import Checkpoint, CheckpointKeeper, Unusable
from telvend.audit.incremental import first_laps, verify_since
from telvend.audit.model import SEAL_RULE, Report, Violation
from telvend.corrections import invariants as corrections
from telvend.database.connections import Database, Tx
from telvend.database.invariants import Invariant
from telvend.fulfilment import invariants as fulfilment
from telvend.funding import invariants as funding
from telvend.funding.claims import invariants as claims
from telvend.funding.play_money import invariants as play_money
from telvend.identity import invariants as identity
from telvend.kit.keyfile import KeyRefused
from telvend.ledger import invariants as ledger
from telvend.operator.provisioning import invariants as provisioning
from telvend.operator.refills import invariants as refills
from telvend.operator.subscribers import invariants as subscribers
from telvend.operator.usage import invariants as usage
from telvend.operator.vouchers import invariants as vouchers
from telvend.orders import invariants as orders
from telvend.sales import invariants as sales
from telvend.wallets import invariants as wallets

# In the order in which `telvend ledger check` has always printed them.
INVARIANTS: Final = (
    *ledger.INVARIANTS,
    *wallets.INVARIANTS,
    *sales.INVARIANTS,
    *funding.CREDITS,
    *orders.INVARIANTS,
    *funding.INVARIANTS,
    *claims.INVARIANTS,
    *play_money.INVARIANTS,
    *corrections.INVARIANTS,
    *approvals.INVARIANTS,
    *fulfilment.INVARIANTS,
    *identity.INVARIANTS,
    *refills.INVARIANTS,
    *vouchers.INVARIANTS,
    *subscribers.INVARIANTS,
    *provisioning.INVARIANTS,
    *usage.INVARIANTS,
)
_RULES: Final = tuple(invariant.rule for invariant in INVARIANTS)

Progress = Callable[[int, int, str, int], None]
"""Called before each invariant: its number, how many there are, its rule, and the number of transfers."""


async def audit_books(database: Database) -> Report:
    """Recompute everything from the transfers, in one snapshot: it may run while the shop sells. Raises Busy."""
    async with database.snapshot() as tx:
        return await _recompute(tx)


async def findings_of(tx: Tx, invariants: Iterable[Invariant]) -> list[Violation]:
    """Return the violations of these invariants; empty if all of them hold."""
    return [
        Violation(invariant.rule, row[0])
        for invariant in invariants
        for row in await tx.fetch(invariant.sql, timeout=parts.PATIENCE_S)
    ]


class Audit:
    """Audits that continue from the last checkpoint, which is sealed with a key in the data directory."""

    def __init__(self, database: Database, data_dir: Path) -> None:
        self._database = database
        self._keeper = CheckpointKeeper(data_dir)

    async def run(self, *, full: bool = False, progress: Progress | None = None) -> Report:
        """Verify what has changed since the checkpoint. Recompute everything if `full`, if there is no usable checkpoint, and if
        something may be wrong.

        Writes a checkpoint if nothing was found, else deletes the old one, and notes that it was run. Raises Busy.
        """
        now = datetime.now(UTC)
        began = time.monotonic()
        async with self._database.snapshot(scratch=True) as tx:
            taken = await self._keeper.read(tx)
            if isinstance(taken, Unusable):
                why = taken.why
            elif full:
                why = "it was asked for"
            else:
                outcome = await verify_since(tx, taken, INVARIANTS, at=now, progress=progress)
                if outcome.doubt is None:
                    following = await _checkpoint(tx, now, taken.everything_at, outcome.below, outcome.laps)
                    report = Report(
                        _RULES,
                        (),
                        outcome.transfers,
                        outcome.orders,
                        since=taken.at,
                        everything_at=taken.everything_at,
                        oldest_at=outcome.oldest_at,
                    )
                why = outcome.doubt or ""
        if why:
            # In a new snapshot: in the first one temporary tables may hide the real ones.
            async with self._database.snapshot() as tx:
                report = await _recompute(tx, progress)
                following = await _checkpoint(tx, now, now, *await first_laps(tx, now))
            report = replace(report, why=why, everything_at=now if report.ok else None)
            if isinstance(taken, Unusable) and taken.broken:
                text = "The checkpoint was changed after the audit had sealed it, with 1 key of this data directory."
                report = replace(
                    report, rules=(*report.rules, SEAL_RULE), findings=(*report.findings, Violation(SEAL_RULE, text))
                )
        sound = all(finding.rule == SEAL_RULE for finding in report.findings)
        # Without a writable data directory there is no checkpoint, and the next audit is a full one.
        with suppress(KeyRefused):
            async with self._database.transaction() as tx:
                await (self._keeper.write(tx, following) if sound else self._keeper.remove(tx))
        async with self._database.transaction() as tx:
            await store.write_run(
                tx,
                took_s=time.monotonic() - began,
                whole=report.since is None,
                transfers=report.transfers,
                findings=len(report.findings),
            )
        return report


async def _recompute(tx: Tx, progress: Progress | None = None) -> Report:
    transfers, orders = await parts.count_rows(tx, "transfer"), await parts.count_rows(tx, "orders")
    findings: list[Violation] = []
    for at, invariant in enumerate(INVARIANTS, 1):
        if progress is not None:
            progress(at, len(INVARIANTS), invariant.rule, transfers)
        findings += await findings_of(tx, (invariant,))
    return Report(_RULES, tuple(findings), transfers, orders)


async def _checkpoint(
    tx: Tx, at: datetime, everything_at: datetime, below: dict[str, int], laps: dict[str, parts.Lap]
) -> Checkpoint:
    """Return the checkpoint for the next audit. Only valid if the audit in `tx` found nothing."""
    return Checkpoint(
        at=at,
        everything_at=everything_at,
        origin=await store.origin(tx, parts.GUARDED),
        moment=await store.moment(tx),
        below=below,
        laps=laps,
        wallets=await parts.wallets(tx),
    )
