"""Notices that the database has gone back to an earlier state, and halts sales until somebody releases them.

    continuity = Continuity(gate, folder, node)
    database.on_commit, database.on_connected = continuity.committed, continuity.connected
    await continuity.check(tx)       # at the start, and a few times a second
    continuity.start()               # a server: write the file once a second
    await continuity.close()         # write it a last time

What a process has committed it remembers as facts, in memory and in a file. A book that does not have one of them has lost
acknowledged sales: by a fail-over to a standby that was behind, or a restore. Then the gate is closed, the halt is written
into the book for all nodes to see, and nothing is sold until `release`. Each new connection is checked before anybody uses
it, since a fail-over ends connections; a restore into the live database leaves them, and the look that comes several times
a second finds it. Nothing is asked for a sale.

docs/explain/fail-over.md has the whole story.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg

from telvend.database.connections import CONNECTION_LOSS, Database, Tx
from telvend.database.facts import Fact
from telvend.database.session import DatabaseRefused, Server, server_of
from telvend.errors import InvalidInput
from telvend.kit.clock import Clock, SystemClock
from telvend.kit.log import get
from telvend.kit.periodic import PeriodicTask
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.sales.continuity import files, store
from telvend.sales.continuity.model import (
    BookRestore,
    BookStanding,
    Halt,
    Judgement,
    Memory,
    gone_back,
    judge,
    replaced,
    sentence,
    summary,
    went_back,
)
from telvend.sales.gate import SalesGate

CAUSE: Final = "book"
"""The cause under which the gate is closed."""

SAVE_EVERY_S: Final = 1.0
_SAY_AGAIN_S: Final = 60.0
# After a fail-over other nodes may be about to find that the book lacks what they remember.
_OTHERS_MAY_SPEAK_S: Final = 3.0
# What is remembered between two looks; they come four times a second.
_MOST_PENDING: Final = 4096
_MOST_OLDER: Final = 64
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_EVERYTHING: Final = datetime.max.replace(tzinfo=UTC)


class Continuity:
    """See the head of this file. One of a process."""

    def __init__(
        self,
        gate: SalesGate,
        folder: Path,
        node: str,
        *,
        on_halted: Callable[[bool], None] | None = None,
        clock: Clock | None = None,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        self._gate = gate
        self._folder = folder
        self._node = node
        self._on_halted = on_halted
        self._memory = Memory()
        # Committed since the last look: all of them are looked for, or a sale on a book that has just gone back would cover
        # the one that is lost.
        self._pending: list[Fact] = []
        self._latest: dict[tuple[str, bool], Fact] = {}
        # From files that this process has taken over, and what the book was found to lack.
        self._older: list[Fact] = []
        self._missing: list[Fact] = []
        self._halted: str | None = None
        self._said_at = 0.0
        self._doubted_before: datetime | None = None
        self._hold_until = 0.0
        self._changed = False
        self._taken_over: list[Path] = []
        self._serves = True
        self._checking = asyncio.Lock()
        self._saving = PeriodicTask(
            "memory of the book", self._save_again, clock or SystemClock(), every_s=SAVE_EVERY_S, runtime=runtime
        )

    # What others ask ----------------------------------------------------------------------------------------------------

    @property
    def halted(self) -> str | None:
        """Why nothing is sold, in one sentence; None when the book is complete or released."""
        return self._halted

    @property
    def holds_deliveries(self) -> bool:
        """Whether no provider may be given anything new: sales are halted, or the server has just changed."""
        return self._halted is not None or time.monotonic() < self._hold_until

    def doubts(self, created_at: datetime) -> bool:
        """Whether an order of this moment may have been delivered by an attempt that the book has lost."""
        return self._doubted_before is not None and created_at <= self._doubted_before

    # What others tell ---------------------------------------------------------------------------------------------------

    def committed(self, facts: Collection[Fact]) -> None:
        """Remember what was committed. Costs an append."""
        self._pending.extend(facts)
        self._changed = True
        if len(self._pending) > _MOST_PENDING:
            del self._pending[: len(self._pending) - _MOST_PENDING]

    async def connected(self, tx: Tx) -> None:
        """Check the server of a new connection before it is used: after a fail-over it may be another one.

        Raises DatabaseRefused for a primary that was replaced by one that this node has seen.
        """
        found, before = await server_of(tx), self._memory.server
        if found.was_replaced_by(before):
            raise DatabaseRefused(f"{replaced(found, before).capitalize()}.")
        if found != before and found != Server():
            if before != Server():
                _log.warning(
                    "database_server_changed",
                    system=found.system,
                    timeline=found.timeline,
                    system_before=before.system,
                    timeline_before=before.timeline,
                )
                self._hold_until = time.monotonic() + _OTHERS_MAY_SPEAK_S
            self._memory.server = found
        await self.check(tx)

    # Looking ------------------------------------------------------------------------------------------------------------

    async def open(self, tx: Tx, *, take_over: bool = False) -> None:
        """Read the node's memories and look whether the book has what they say.

        `take_over`: write this process's own file now, which takes the place of those of processes that have ended. A command
        does so only when it has committed something.
        """
        self._serves = take_over
        found = await self._memories(tx)
        for memory in found.values():
            self._older += [fact for fact in memory.facts if fact not in self._older]
        if found:
            newest = max(found.values(), key=lambda memory: memory.checked_at or _NEVER)
            common = set.intersection(*(set(memory.releases) for memory in found.values()))
            self._memory = Memory(
                shop=newest.shop,
                server=newest.server,
                releases=[release for release in newest.releases if release in common],
                checked_at=newest.checked_at,
            )
        await self._forgive_each(tx, found)
        await self._halt_on_replaced(tx)
        await self.connected(tx)
        self._taken_over = list(found)
        # A command has nothing of its own to remember until it has committed something, and leaves no file behind.
        self._changed = take_over
        self.save()

    async def _memories(self, tx: Tx) -> dict[Path, Memory]:
        """What this node remembers of the shop in the database."""
        try:
            shop = (await store.standing(tx)).shop
        except asyncpg.UndefinedTableError:
            return {}
        if self._serves and (others := files.other_shops(self._folder, shop)):
            _log.warning("other_shops_remembered", folder=str(self._folder), shop=str(shop), shops=others)
        return files.read_all(self._folder, shop)

    async def _forgive_each(self, tx: Tx, found: dict[Path, Memory]) -> None:
        """Drop what is missing from single files that a release has forgiven: each knew other releases."""
        if len(found) < 2:
            return
        try:
            standing = await store.standing(tx)
            for memory in found.values():
                absent = await store.missing(tx, memory.facts)
                gone = judge(memory, standing, absent).forgiven
                self._older = [fact for fact in self._older if fact not in gone]
        except asyncpg.UndefinedTableError:
            return

    async def _halt_on_replaced(self, tx: Tx) -> None:
        """At the start: halt sales on a primary that was replaced, until a person says that it is the one.

        Raises DatabaseRefused if the halt cannot be written, as on a primary that has lost its synchronous standby.
        """
        found, before = await server_of(tx), self._memory.server
        if not found.was_replaced_by(before):
            return
        why = replaced(found, before)
        try:
            async with tx.transaction():
                await store.halt(tx, self._node, why)
        except (*CONNECTION_LOSS, asyncpg.PostgresError) as error:
            raise DatabaseRefused(f"{why.capitalize()}.") from error
        # From here on the halt is stored in the book itself.
        self._memory.server = found

    async def check(self, tx: Tx) -> None:
        """Look once. Raises what the database raises; then nothing has changed."""
        async with self._checking:
            pending = list(self._pending)
            facts = [*self._missing, *self._older, *self._latest.values(), *pending]
            memory = Memory(
                self._memory.shop, self._memory.server, self._memory.releases, facts, self._memory.checked_at
            )
            try:
                standing = await store.standing(tx)
                absent = await store.missing(tx, facts)
            except asyncpg.UndefinedTableError:
                # No schema yet, or no schema any more.
                if facts:
                    self._say_halted("the tables of this shop are gone", self._node)
                return
            judgement = judge(memory, standing, absent)
            if judgement.missing:
                standing = await self._halt(tx, standing, judgement)
            self._learn(standing, judgement, absent, pending)
            self._decide(standing, judgement)

    async def _halt(self, tx: Tx, standing: BookStanding, judgement: Judgement) -> BookStanding:
        # Closed before anything is waited for.
        why = gone_back(judgement.missing)
        self._say_halted(why, self._node)
        try:
            async with tx.transaction():
                await store.halt(tx, self._node, why)
            return await store.standing(tx)
        except (*CONNECTION_LOSS, asyncpg.PostgresError) as error:
            # The other nodes are not told yet; the next look tries again.
            _log.error("halt_not_written", why=type(error).__name__)
            return standing

    def _learn(
        self, standing: BookStanding, judgement: Judgement, absent: Sequence[Fact], pending: Sequence[Fact]
    ) -> None:
        if judgement.forgiven:
            _log.warning("missing_sales_released", missing=summary([fact.text for fact in judgement.forgiven]))
        lacks = set(absent)
        self._missing = list(absent) if judgement.missing else []
        self._older = [fact for fact in self._older if fact not in lacks]
        self._latest = {key: fact for key, fact in self._latest.items() if fact not in lacks}
        for fact in pending:
            if fact not in lacks:
                self._latest[fact.kind, fact.final] = fact
        del self._pending[: len(pending)]
        if not judgement.missing:
            # Whoever has the newest has the older ones.
            self._older = sorted(self._older, key=lambda fact: fact.at or _NEVER)[-_MOST_OLDER:]
            known = [release.id for release in standing.releases]
            if self._memory.shop is not None and (known, standing.shop) != (self._memory.releases, self._memory.shop):
                self._changed = True
            self._memory.releases, self._memory.shop = known, standing.shop
            self._memory.checked_at = standing.now

    def _decide(self, standing: BookStanding, judgement: Judgement) -> None:
        self._doubted_before = standing.doubted_before
        if judgement.missing:
            self._doubted_before = _EVERYTHING
        elif standing.halts:
            first = standing.halts[0]
            self._say_halted(first.why, first.node, loud=self._serves)
        elif self._halted is not None:
            self._halted = None
            self._gate.open(CAUSE)
            if self._on_halted is not None:
                self._on_halted(False)
            if self._serves:
                _log.warning("sales_go_on", why="the database has everything, or what it lacks was released")

    def _say_halted(self, why: str, node: str, *, loud: bool = True) -> None:
        text = sentence(why, node)
        self._gate.close(CAUSE, text)
        self._doubted_before = _EVERYTHING
        now = time.monotonic()
        if self._halted is None and self._on_halted is not None:
            self._on_halted(True)
        # What stands in the book already a command need not log again.
        if loud and (self._halted is None or now - self._said_at > _SAY_AGAIN_S):
            self._said_at = now
            _log.critical("sales_halted", why=why, found_by=node)
        self._halted = text

    # The file -----------------------------------------------------------------------------------------------------------

    def save(self) -> bool:
        """Write the file, where anything has changed. Whether what is remembered stands in it."""
        # Where there is no data directory a command makes none: nobody would read it.
        shop = self._memory.shop
        if not self._changed or shop is None or not (self._serves or self._folder.parent.is_dir()):
            return True
        newest = dict(self._latest)
        for fact in self._pending:
            newest[fact.kind, fact.final] = fact
        facts = list(dict.fromkeys([*self._missing, *self._older, *newest.values()]))
        memory = Memory(shop, self._memory.server, self._memory.releases, facts, self._memory.checked_at)
        saved = files.write(self._folder, shop, memory)
        self._changed = not saved
        if saved and self._taken_over:
            files.remove_ended(self._taken_over)
            self._taken_over = []
        return saved

    def start(self) -> None:
        """Write the file once a second from now on; from inside the event loop."""
        self._saving.start()

    async def close(self) -> None:
        """Write the file a last time."""
        await self._saving.close()
        self.save()

    async def _save_again(self) -> None:
        self.save()

    # Releasing ----------------------------------------------------------------------------------------------------------

    async def release(self, database: Database, *, by: str, reason: str) -> list[Halt]:
        """Let sales go on with the book as it is, on every node. Returns the halts that end; none where nothing is halted.

        Raises InvalidInput, Busy.
        """
        _validate(by=by, reason=reason)
        async with database.connection() as tx:
            await self.check(tx)
            if self._halted is None:
                return []
            async with tx.transaction():
                ended = await store.release(tx, by.strip(), reason.strip())
            await self.check(tx)
        return ended

    async def halt(self, database: Database, *, by: str, reason: str) -> None:
        """Halt sales on every node, until somebody releases them. Raises InvalidInput, Busy."""
        _validate(by=by, reason=reason)
        async with database.connection() as tx:
            async with tx.transaction():
                await store.halt(tx, self._node, f"{reason.strip()}; said by {by.strip()}")
            await self.check(tx)

    async def restored(self, database: Database, *, backup: str, known_until: datetime) -> None:
        """Halt sales on a book that was restored: what was sold after `known_until` is not in it. Raises Busy."""
        async with database.connection() as tx:
            async with tx.transaction():
                await store.restored(tx, self._node, went_back(backup, known_until), backup, known_until)
            await self.check(tx)

    async def restores(self, database: Database) -> list[BookRestore]:
        """The restores that nobody has released yet. Raises Busy."""
        async with database.connection() as tx:
            return await store.restores(tx)

    async def history(self, database: Database, limit: int = 50) -> list[Halt]:
        """The halts that there were, newest first. Raises Busy."""
        async with database.connection() as tx:
            return await store.halts(tx, limit)


def _validate(**texts: str) -> None:
    for name, text in texts.items():
        if not text.strip() or len(text) > 500 or not text.isprintable():
            raise InvalidInput(name, "must be 1 to 500 printable characters")


_log = get(__name__)
