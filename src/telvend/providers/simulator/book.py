"""The simulator's own book of what it delivered: the rules, and a book in memory. `store.py` keeps it in PostgreSQL.

The book is the witness of the tests that kill things, so it knows nothing of the shop and forgives nothing:

- What a reference became first, it stays. A second delivery under it is *not* recognised as a repeat: it delivers
  again and is counted (`deliveries` is 2), so that buying twice after a crash can be seen.
- A question about a reference that the book has never heard of closes it. "Never heard of it" can then be believed at
  once: a delivery that was still on its way finds the reference closed, delivers nothing and is counted as `late`.
- Both are one write, decided by which comes first, on the unique key (reference, provider). A delivery is written at
  the moment it takes place, so whoever is killed before has delivered nothing, and a question that arrives while the
  simulator still takes its second closes the reference.
- What was accepted turns into what it becomes when it is written to (asked about, mostly) after its time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from telvend.kit.money import Money
from telvend.providers.contract import Delivery, Reason


class BookState(StrEnum):
    """What became of a reference."""

    DELIVERED = "delivered"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    CLOSED = "closed"
    """Asked about before it arrived; it never will."""


class BookUnavailable(Exception):
    """The book could not be written or read. Whether a write took place is not known."""


@dataclass(frozen=True, slots=True)
class Line:
    """One reference in the book. `requests` counts the deliveries that were taken, `late` those that came after closing.

    While `state` is accepted, `becomes` is what it turns into at `settles_at`. `reason` belongs to a refusal.
    """

    id: int
    provider: str
    reference: str
    subscriber: str
    country: str
    network: str
    product: str
    size: str
    cost: Money
    state: BookState
    becomes: BookState | None
    settles_at: datetime | None
    reason: Reason | None
    requests: int
    late: int
    first_at: datetime
    last_at: datetime

    @property
    def deliveries(self) -> int:
        """How many times the subscriber got it."""
        return self.requests if self.state is BookState.DELIVERED else 0


@dataclass(frozen=True, slots=True)
class Twice:
    """An order that was delivered more than once: under one reference, several, or by several providers."""

    order: str
    deliveries: int


def delivering(
    provider: str,
    delivery: Delivery,
    at: datetime,
    state: BookState,
    *,
    becomes: BookState | None = None,
    after_s: float = 0.0,
    reason: Reason | None = None,
) -> Line:
    """What a delivery writes if its reference is new: it is `state`, and `becomes` something else `after_s` later."""
    return Line(
        id=0,
        provider=provider,
        reference=delivery.reference,
        subscriber=delivery.subscriber,
        country=delivery.country,
        network=delivery.network,
        product=delivery.product,
        size=delivery.size,
        cost=delivery.cost,
        state=state,
        becomes=becomes,
        settles_at=None if becomes is None else at + timedelta(seconds=after_s),
        reason=reason,
        requests=1,
        late=0,
        first_at=at,
        last_at=at,
    )


def asking(provider: str, delivery: Delivery, at: datetime) -> Line:
    """What a question writes if its reference is new: it is closed, and nothing was taken."""
    return replace(delivering(provider, delivery, at, BookState.CLOSED), requests=0)


def after_writing(known: Line, new: Line) -> Line:
    """What a known line is after `new` was written over it. The statement in `store.py` says the same in SQL."""
    closed = known.state is BookState.CLOSED
    due = known.becomes is not None and known.settles_at is not None and known.settles_at <= new.last_at
    return replace(
        known,
        requests=known.requests + (0 if closed else new.requests),
        late=known.late + (new.requests if closed else 0),
        state=known.becomes if due and known.becomes is not None else known.state,
        becomes=None if due else known.becomes,
        settles_at=None if due else known.settles_at,
        last_at=new.last_at,
    )


def order_of(reference: str) -> str:
    """The order's part of an attempt's reference, `<order reference>-<attempt number>`."""
    order, dash, number = reference.rpartition("-")
    return order if dash and number.isascii() and number.isdigit() else reference


class Book(Protocol):
    """Where the simulator writes what it does. Several simulators may share one."""

    async def write(self, line: Line) -> Line:
        """Write a line, durably, and answer what its reference is now. Raises BookUnavailable."""

    async def page(
        self,
        *,
        subscriber: str | None = None,
        reference: str | None = None,
        provider: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[Line]:
        """The newest lines first. `reference` is an attempt's, or an order's for all its attempts; `before` is the id
        of the last line of the page before. Raises BookUnavailable."""

    async def delivered_twice(self, limit: int = 100) -> Sequence[Twice]:
        """The orders that were delivered more than once. There should be none. Raises BookUnavailable."""

    async def deliveries(self) -> int:
        """How many deliveries took place, repeated ones included. Raises BookUnavailable."""

    async def close(self) -> None:
        """Finish what is being written, and give connections back."""


class MemoryBook:
    """A book that is forgotten when the process ends; for unit tests and simulations. The rules are the same."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], Line] = {}

    async def write(self, line: Line) -> Line:
        key = (line.reference, line.provider)
        known = self._lines.get(key)
        kept = replace(line, id=len(self._lines) + 1) if known is None else after_writing(known, line)
        self._lines[key] = kept
        return kept

    async def page(
        self,
        *,
        subscriber: str | None = None,
        reference: str | None = None,
        provider: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[Line]:
        found = [
            line
            for line in self._lines.values()
            if (subscriber is None or line.subscriber == subscriber)
            and (reference is None or reference in (line.reference, order_of(line.reference)))
            and (provider is None or line.provider == provider)
            and (before is None or line.id < before)
        ]
        return sorted(found, key=lambda line: -line.id)[:limit]

    async def delivered_twice(self, limit: int = 100) -> Sequence[Twice]:
        counted: dict[str, int] = {}
        for line in self._lines.values():
            order = order_of(line.reference)
            counted[order] = counted.get(order, 0) + line.deliveries
        return [Twice(order, deliveries) for order, deliveries in sorted(counted.items()) if deliveries > 1][:limit]

    async def deliveries(self) -> int:
        return sum(line.deliveries for line in self._lines.values())

    async def close(self) -> None:
        """Nothing is held."""
