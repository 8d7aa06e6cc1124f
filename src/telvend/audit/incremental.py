"""An audit from a checkpoint: verify the rows that have changed since, together with the rows that they must agree with.

It reports no findings. It either holds or has a doubt; after a doubt a full audit runs, and its report counts. A false alarm costs
time only. The steps:

1. Collect the keys of all rows written since the checkpoint, in every table that an invariant reads. Of a table larger than
   `PAGES` pages, read the newest pages and a section of the others; the next audit reads the next section (`Lap`).
2. Count the rows of insert-only tables from before the checkpoint: none may be missing or changed.
3. Read the notes that triggers write of deleted rows. Rows that Telvend itself deletes are verified; any other is a doubt.
4. Find each wallet's new transfers and list lines by index, on whatever page they are stored.
5. Run each invariant over the rows that belong to those keys (`Scope`).

An invariant that reads a table without such a selection (in a new room) runs over all rows, each time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg

from telvend.audit import invariants as parts
from telvend.audit import store
from telvend.audit.checkpoint import Checkpoint
from telvend.audit.invariants import Changes, Lap, Window
from telvend.database.connections import Tx
from telvend.database.invariants import Invariant, Scope

# Tables from which Telvend itself deletes rows: the failed mark of a funding that is paid late, and purged identity records.
_OURS: Final = frozenset(("wallet_failed", "identity_sealed"))
PAGES: Final = 65_536
"""The most pages of a table that one audit reads, besides new ones: half a gigabyte, about half a second from memory."""
_MANY: Final = 250_000
"""With more changed causes than this, and than a quarter of all orders, a full audit is not slower."""


@dataclass(slots=True)
class Outcome:
    """The result of an audit from a checkpoint, with the counts and laps for the next checkpoint.

    `doubt`: why a full audit is needed, or None.
    """

    doubt: str | None = None
    transfers: int = 0
    orders: int = 0
    below: dict[str, int] = field(default_factory=dict)
    laps: dict[str, Lap] = field(default_factory=dict)

    @property
    def oldest_at(self) -> datetime | None:
        """The start of the period in which every page of every table has been read; None if all were read now."""
        return min((lap.last_at for lap in self.laps.values() if lap.page), default=None)


async def first_laps(tx: Tx, at: datetime) -> tuple[dict[str, int], dict[str, Lap]]:
    """Return, for the checkpoint of a full audit, the row counts below the horizon and a new lap for each table."""
    horizon = (await store.moment(tx)).horizon
    below, laps = {}, {}
    for watched in parts.WATCHED:
        pages = await parts.pages_of(tx, watched.name)
        laps[watched.name] = Lap(pages, 0, horizon, at, horizon, at)
        if watched.insert_only and pages <= PAGES:
            below[watched.name] = (await parts.changes(tx, watched.without_keys(), horizon, horizon)).below_next
    return below, laps


async def verify_since(
    tx: Tx,
    checkpoint: Checkpoint,
    invariants: Sequence[Invariant],
    *,
    at: datetime | None = None,
    pages: int = PAGES,
    progress: Callable[[int, int, str, int], None] | None = None,
) -> Outcome:
    """Verify what has changed since the checkpoint. `tx` must be a repeatable-read transaction that may write temporary tables.

    `pages`: the most pages of a table that are read, besides those that were added. `at`: the time of the audit. `progress`: see
    audit/service.py.
    """
    outcome = Outcome()
    moment = await store.moment(tx)
    found: dict[str, Changes] = {}
    for watched in parts.WATCHED:
        lap, size = checkpoint.laps[watched.name], await parts.pages_of(tx, watched.name)
        if size > pages:
            # The newest pages contain new rows; a section of the others is searched for rows that were changed by hand.
            seen = await parts.changes(
                tx, watched, checkpoint.moment.horizon, moment.horizon, Window(max(lap.pages - 1, 0))
            )
            seen.add(await parts.changes(tx, watched, lap.last_horizon, moment.horizon, Window(lap.page, pages)))
            read = pages
        else:
            seen = await parts.changes(tx, watched, checkpoint.moment.horizon, moment.horizon)
            read = size
            if watched.insert_only:
                outcome.below[watched.name] = seen.below_next
                if seen.below != checkpoint.below.get(watched.name, seen.below):
                    outcome.doubt = f"rows of {watched.name} from before the checkpoint were changed or removed"
                    return outcome
        found[watched.name] = seen
        outcome.laps[watched.name] = lap.next(size, read, moment.horizon, at or checkpoint.at)
    outcome.transfers, outcome.orders = await parts.count_rows(tx, "transfer"), await parts.count_rows(tx, "orders")
    removed = await parts.removals(tx, checkpoint.moment.horizon)
    written = moment.last_note - checkpoint.moment.last_note
    if await parts.notes_after(tx, checkpoint.moment.last_note) < written:
        # A note that is being written now, or was rolled back, also leaves a gap in the sequence: a false alarm.
        outcome.doubt = "notes of removed rows are missing"
    elif others := sorted({source for source, key in removed if key is None or source not in _OURS}):
        outcome.doubt = f"rows were removed from {', '.join(others)}"
    elif lost := await parts.lost_wallets(tx, checkpoint.wallets):
        outcome.doubt = f"the wallet {lost[0]} is not what it was"
    if outcome.doubt is not None:
        return outcome
    try:
        kept = [(source, key) for source, key in removed if key is not None]
        causes = await parts.store_keys(tx, found, kept, checkpoint.wallets)
        if causes > _MANY and causes > outcome.orders / 4:
            outcome.doubt = f"{causes} causes have changed"
            return outcome
        number = 0
        for scope in Scope:
            mine = [one for one in invariants if _scope_of(one) is scope]
            async with parts.part_of(tx, scope):
                for invariant in mine:
                    number += 1
                    if progress is not None:
                        progress(number, len(invariants), invariant.rule, outcome.transfers)
                    if await parts.breaks(tx, invariant.sql):
                        outcome.doubt = f"what has changed since the checkpoint breaks: {invariant.rule}"
                        return outcome
    except asyncpg.InsufficientPrivilegeError:
        outcome.doubt = "this role may make no temporary tables"
    return outcome


def _scope_of(invariant: Invariant) -> Scope:
    return invariant.scope if parts.covers(invariant.scope, invariant.sql) else Scope.EVERYTHING
