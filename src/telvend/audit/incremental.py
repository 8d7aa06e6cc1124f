"""An audit from a checkpoint: what has changed since is seen again, with everything that it has to agree with.

It does not say what is wrong, but that something may be: then everything is recomputed, and the report is that one's. So nothing
here has to word a finding, and a doubt that turns out to be none costs time only. In order:

1. The keys of all rows that are not older than the checkpoint are collected, in every table that an invariant reads. Of a table
   of more than `PAGES` pages, its newest pages and a part of the others are read, the next part the next time (`Lap`).
2. Rows of insert-only tables that are older than the checkpoint are counted: none may be gone or changed.
3. Rows that were removed are noted by triggers. What Telvend itself removes is seen again, any other is a doubt.
4. What has come into each wallet since is found by its index, wherever it is stored.
5. Each invariant runs over the part of the tables that belongs to those keys (`Scope`).

An invariant of which a table has no such part (a new room's) runs over everything, each time.
"""

from collections.abc import Sequence
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

# Telvend removes these itself: the mark of a funding that came after all, and what was known of a purged identity check.
_OURS: Final = frozenset(("wallet_failed", "identity_sealed"))
PAGES: Final = 65_536
"""How many pages of a table are read at most, beside new ones: half a gigabyte, in about as many seconds from memory."""
_MANY: Final = 250_000
"""Beyond so many changed causes, and a quarter of all orders, to recompute everything is not slower."""


@dataclass(slots=True)
class Outcome:
    """What an audit from a checkpoint has found, and what the next checkpoint says.

    `doubt`: why everything has to be recomputed, or None.
    """

    doubt: str | None = None
    transfers: int = 0
    orders: int = 0
    below: dict[str, int] = field(default_factory=dict)
    laps: dict[str, Lap] = field(default_factory=dict)

    @property
    def oldest_at(self) -> datetime | None:
        """Since when every page of every table has been read; None where all were read now."""
        return min((lap.last_at for lap in self.laps.values() if lap.page), default=None)


async def first_laps(tx: Tx, at: datetime) -> tuple[dict[str, int], dict[str, Lap]]:
    """What the checkpoint of a full audit says of each table: how many rows are older than the horizon, and a new round."""
    horizon = (await store.moment(tx)).horizon
    below, laps = {}, {}
    for watched in parts.WATCHED:
        pages = await parts.pages_of(tx, watched.name)
        laps[watched.name] = Lap(pages, 0, horizon, at, horizon, at)
        if watched.insert_only and pages <= PAGES:
            below[watched.name] = (await parts.changes(tx, watched.without_keys(), horizon, horizon)).below_next
    return below, laps


async def verify_since(
    tx: Tx, checkpoint: Checkpoint, invariants: Sequence[Invariant], *, at: datetime | None = None, pages: int = PAGES
) -> Outcome:
    """Verify what has changed since the checkpoint. `tx` may make temporary tables, and sees one moment.

    `pages`: how many pages of a table are read at most, apart from those that it has grown by. `at`: the time of the audit.
    """
    outcome = Outcome()
    moment = await store.moment(tx)
    found: dict[str, Changes] = {}
    for watched in parts.WATCHED:
        lap, size = checkpoint.laps[watched.name], await parts.pages_of(tx, watched.name)
        if size > pages:
            # The newest pages for what is new, and a part of the others for what was changed behind everybody's back.
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
        # Or one is being written now, or was undone.
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
        for scope in Scope:
            mine = [one for one in invariants if _scope_of(one) is scope]
            async with parts.part_of(tx, scope):
                for invariant in mine:
                    if await parts.breaks(tx, invariant.sql):
                        outcome.doubt = f"what has changed since the checkpoint breaks: {invariant.rule}"
                        return outcome
    except asyncpg.InsufficientPrivilegeError:
        outcome.doubt = "this role may make no temporary tables"
    return outcome


def _scope_of(invariant: Invariant) -> Scope:
    return invariant.scope if parts.covers(invariant.scope, invariant.sql) else Scope.EVERYTHING
