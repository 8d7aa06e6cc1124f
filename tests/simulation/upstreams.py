"""Faulty providers, each with a book of its own that tells what its subscribers really have.

The far side (`Upstream`) goes on whatever happens to the worker that called: what is on its way arrives. The client
half (`Client`) belongs to one worker and dies with it. A provider here may lose, delay, repeat, garble and forget, but
what it says definitely is true: the shop stands on the contract, and the contract says that much.

Where the reference is an idempotency key, a request under a known one is answered from the book. A refusal may leave the
reference free there: it is true of its own request, and another one under the same reference that arrives later delivers.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from telvend.kit.money import Money
from telvend.providers.contract import (
    Accepted,
    Delivered,
    Delivery,
    NotSent,
    Outcome,
    ProviderTraits,
    Reason,
    Refused,
    Unknown,
)

Chaos = Callable[[str], Awaitable[None]]


_REASONS = (Reason.REFUSED, Reason.BAD_NUMBER, Reason.NO_FLOAT, Reason.NOT_SOLD, Reason.TOO_SOON, Reason.DOWN)


class Fate(Enum):
    """What becomes of a reference at the far side."""

    DELIVERED = auto()
    REFUSED = auto()
    PENDING = auto()
    CLOSED = auto()


@dataclass(slots=True)
class Entry:
    """One reference. Questions do not find it before `visible_at`: the far side's index lags behind its deliveries."""

    fate: Fate
    reason: Reason = Reason.REFUSED
    visible_at: float = 0.0


class Upstream:
    """The far side. `faults` is the chance, in percent, that a call goes wrong; the world sets it to 0 in the end."""

    def __init__(
        self,
        name: str,
        dice: random.Random,
        traits: ProviderTraits,
        latest_arrival_s: float,
        check: Callable[[int], None],
    ) -> None:
        self.name = name
        self.traits = traits
        self.faults = 0
        self.refusals = 0
        self.sick = False
        self.book: dict[str, Entry] = {}
        self.deliveries: Counter[int] = Counter()
        self.on_the_way: Counter[int] = Counter()
        self.sent_at: dict[str, float] = {}
        self.sent: Counter[str] = Counter()
        # Requests that were refused without a record, by reference and number of the request.
        self.turned_away: dict[tuple[str, int], Reason] = {}
        self._dice = dice
        self._latest_arrival_s = latest_arrival_s
        self._check = check

    def send(self, reference: str) -> float:
        """A delivery leaves the worker. Answers when it is dealt with, in seconds; infinity when it is lost."""
        order_id = order_of(reference)
        self.sent[reference] += 1
        if self._happens(12):
            return float("inf")
        transit_s = self._dice.uniform(0.01, 0.3)
        if self._happens(10):
            transit_s = self._dice.uniform(0.3, self._latest_arrival_s)
        self.on_the_way[order_id] += 1
        self.sent_at[reference] = asyncio.get_running_loop().time()
        asyncio.get_running_loop().call_later(transit_s, self._arrive, reference, order_id, self.sent[reference])
        return transit_s

    def _arrive(self, reference: str, order_id: int, request: int) -> None:
        known = self.book.get(reference)
        if known is not None and known.fate is not Fate.CLOSED and not self.traits.reference_is_key:
            # No key: the same reference once more is another sale.
            self.deliveries[order_id] += 1
        elif known is None:
            roll = self._dice.randrange(100)
            refusals, pending = self.refusals, 15
            if roll < refusals:
                reason = self._dice.choice(_REASONS)
                if self.traits.reference_is_key and self._dice.random() < 0.5:
                    self.turned_away[reference, request] = reason
                else:
                    self._enter(reference, Entry(Fate.REFUSED, reason))
            elif roll < refusals + pending:
                self._enter(reference, Entry(Fate.PENDING))
                fate = self._dice.choice([Fate.DELIVERED, Fate.DELIVERED, Fate.REFUSED, Fate.PENDING])
                if fate is not Fate.PENDING:
                    # Until then it counts as on its way: somebody may yet get it.
                    self.on_the_way[order_id] += 1
                    after_s = self._dice.choice([0.1, 1, 5, 20])
                    asyncio.get_running_loop().call_later(after_s, self._turn, reference, order_id, fate)
            else:
                self._deliver(reference, order_id)
        self.on_the_way[order_id] -= 1
        self._check(order_id)

    def _enter(self, reference: str, entry: Entry) -> None:
        if self.traits.settles_after_s and self._happens(20):
            # Its promise is only for afterwards.
            entry.visible_at = self.sent_at[reference] + self._latest_arrival_s
        self.book[reference] = entry

    def _deliver(self, reference: str, order_id: int) -> None:
        self._enter(reference, Entry(Fate.DELIVERED))
        self.deliveries[order_id] += 1

    def _turn(self, reference: str, order_id: int, fate: Fate) -> None:
        entry = self.book[reference]
        entry.fate = fate
        if fate is Fate.DELIVERED:
            self.deliveries[order_id] += 1
        self.on_the_way[order_id] -= 1
        self._check(order_id)

    def truth(self, reference: str, cost: Money, *, asked: bool, request: int = 0) -> Outcome:
        """What the book says. A question about what it does not know closes it, where the provider does that."""
        if request and (reason := self.turned_away.get((reference, request))) is not None:
            return Refused(reason)
        entry = self.book.get(reference)
        if entry is None or (asked and asyncio.get_running_loop().time() < entry.visible_at):
            if self.traits.settles_after_s == 0 and entry is None:
                self.book[reference] = Entry(Fate.CLOSED)
            return NotSent("never heard of it")
        match entry.fate:
            case Fate.DELIVERED:
                return Delivered("ref", cost if self._dice.random() < 0.5 else None)
            case Fate.REFUSED:
                return Refused(entry.reason)
            case Fate.PENDING:
                return Accepted("ref", self._dice.choice([None, None, 0.5, 3.0, -1.0, float("nan"), 1e9]))
            case Fate.CLOSED:
                return NotSent("closed")

    def goes_wrong(self) -> bool:
        return self.sick or self._happens(25)

    def _happens(self, percent: int) -> bool:
        """Whether a fault of this weight strikes."""
        return self._dice.randrange(10000) < percent * self.faults


class Client:
    """What a worker holds of a provider."""

    def __init__(self, upstream: Upstream, dice: random.Random, chaos: Chaos) -> None:
        self._upstream = upstream
        self._dice = dice
        self._chaos = chaos

    @property
    def name(self) -> str:
        return self._upstream.name

    @property
    def traits(self) -> ProviderTraits:
        return self._upstream.traits

    async def deliver(self, delivery: Delivery) -> Outcome:
        await self._chaos("die")
        if self._upstream.sick and self._dice.random() < 0.5:
            return NotSent("connection refused")
        done_s = self._upstream.send(delivery.reference)
        request = self._upstream.sent[delivery.reference]
        await self._chaos("die")
        if done_s == float("inf") or self._upstream.goes_wrong():
            return await self._nonsense()
        await asyncio.sleep(done_s + 0.01)
        return await self._answer(delivery, request=request)

    async def requery(self, delivery: Delivery) -> Outcome:
        await self._chaos("die or stall")
        await asyncio.sleep(self._dice.uniform(0.01, 0.2))
        if self._upstream.goes_wrong():
            return await self._nonsense()
        return await self._answer(delivery)

    async def close(self) -> None:
        pass

    async def _answer(self, delivery: Delivery, *, request: int = 0) -> Outcome:
        """The answer to a question, or to this `request` to deliver."""
        truth = self._upstream.truth(delivery.reference, delivery.cost, asked=not request, request=request)
        if request and isinstance(truth, NotSent):
            # The reference was closed while the delivery was on its way: the far side has refused to take it.
            return truth
        # The answer travels back, perhaps past the time-out, perhaps past the lease.
        if self._upstream.goes_wrong():
            await asyncio.sleep(self._dice.uniform(0, 1.2 * self.traits.timeout_s))
        await self._chaos("die or stall")
        return truth

    async def _nonsense(self) -> Any:
        """An answer that says nothing about what was done."""
        match self._dice.randrange(6):
            case 0:
                await asyncio.sleep(1e6)
            case 1:
                return "<html>502</html>"
            case 2:
                return None
            case 3:
                raise ConnectionResetError("reset by peer")
            case 4:
                raise ValueError("cannot be parsed")
        return Unknown("HTTP 500")


def order_of(reference: str) -> int:
    """NPAPI-7-abcdef-2 belongs to order 7."""
    return int(reference.split("-")[1])
