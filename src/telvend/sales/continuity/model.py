"""What a node remembers of the book, and what follows when the book does not have it. No database, no files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from telvend.database.facts import Fact, FactKind
from telvend.database.session import Server

COMMAND = "telvend shop release --reason T --by WHO"


class Memory(msgspec.Struct, omit_defaults=True):
    """What one process remembers, as it stands in its file.

    `releases` are those that the book had when it was last found complete, `checked_at` is when that was, by the database's
    clock.
    """

    shop: UUID | None = None
    server: Server = Server()
    releases: list[UUID] = []
    facts: list[Fact] = []
    checked_at: datetime | None = None


class ShopRelease(msgspec.Struct, frozen=True):
    """Somebody has decided that sales go on with the book as it is."""

    id: UUID
    released_at: datetime


class Halt(msgspec.Struct, frozen=True):
    """Sales are halted on every node: the book was found to lack something, or somebody has said so.

    `released_by` and `reason` are empty while they are.
    """

    number: int
    node: str
    why: str
    detected_at: datetime
    released_at: datetime | None = None
    released_by: str = ""
    reason: str = ""


class BookRestore(msgspec.Struct, frozen=True):
    """The book was restored from a backup, and is not released yet. What was delivered after `known_until` is not in it."""

    backup: str
    known_until: datetime
    restored_at: datetime


@dataclass(frozen=True, slots=True)
class BookStanding:
    """What the book says of itself. `halts` are the open ones; `doubted_before` is when it last was found to lack something."""

    shop: UUID
    now: datetime
    releases: Sequence[ShopRelease] = ()
    halts: Sequence[Halt] = ()
    doubted_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows for one memory. `missing`: sentences on what the book lacks; empty when sales may go on.

    `forgiven`: what it lacks, and somebody has released since.
    """

    missing: Sequence[str] = ()
    forgiven: Sequence[Fact] = field(default=())


def judge(memory: Memory, standing: BookStanding, absent: Sequence[Fact]) -> Judgement:
    """Compare a memory with the book. `absent` are its facts that the book does not have.

    A release that the memory does not know was made after it was last complete, and forgives what it lacks. One that it
    knows does not, and has to be there.
    """
    known = set(memory.releases)
    there = {release.id for release in standing.releases}
    other_shop = memory.shop is not None and memory.shop != standing.shop and bool(memory.facts or memory.releases)
    new = [release for release in standing.releases if release.id not in known]
    if other_shop and memory.checked_at is not None:
        # The other shop's own old releases say nothing of this memory.
        new = [release for release in new if release.released_at > memory.checked_at]
    if new:
        return Judgement(forgiven=absent)
    missing = []
    if other_shop:
        missing.append(f"this node remembers the shop {memory.shop}, and the database holds the shop {standing.shop}")
    # People know orders; a transfer says little to them.
    absent = sorted(absent, key=lambda fact: list(FactKind).index(fact.kind))
    missing += [f"{fact.text} of {fact.at:%Y-%m-%d %H:%M:%S} UTC" if fact.at else fact.text for fact in absent]
    missing += [f"the release {release}" for release in memory.releases if release not in there]
    return Judgement(missing=missing)


def sentence(why: str, node: str) -> str:
    """Why nothing is sold, for start-up, readiness, the log and the doctor."""
    return f"Nothing is sold: {why} (node {node}). `{COMMAND}` lets sales go on."


def gone_back(missing: Sequence[str]) -> str:
    """Why, where the book lacks something."""
    return f"the database has gone back and lacks {summary(missing)}"


def went_back(backup: str, known_until: datetime) -> str:
    """The reason, for a book that was restored."""
    return (
        f"the database was restored from {backup}, and what was sold after {known_until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC is"
        " not in it; `telvend shop status` says which providers have to be reconciled first"
    )


def replaced(found: Server, before: Server) -> str:
    """The reason, for a primary that was replaced by a later one."""
    return (
        f"the database is a primary that was replaced: its timeline is {found.timeline}, and this node has seen"
        f" {before.timeline}; sales of the time since are not in it"
    )


def summary(missing: Sequence[str], most: int = 3) -> str:
    """The first few, as one text."""
    more = f", and {len(missing) - most} more" if len(missing) > most else ""
    return "; ".join(missing[:most]) + more
