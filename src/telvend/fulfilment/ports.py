"""What the fulfilment needs from outside: a store for its rows, and ears for its metrics.

`postgres.py` keeps the rows in PostgreSQL; the simulation has a twin in memory, and one contract test runs over both.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from telvend.database.connections import Tx
from telvend.fulfilment.model import ClaimedOrder, Deliver, Effect, Item, Step
from telvend.orders.model import AttemptState
from telvend.providers.contract import Outcome


class ClaimTransaction(Protocol):
    """The orders that were claimed, in a transaction that is still open."""

    orders: Sequence[ClaimedOrder]
    """Locked until the end of the block; nothing where nothing was due."""

    async def write(self, steps: Sequence[Step]) -> None:
        """Write down what was decided, a step for each order: a new attempt is written, a parked order gets its time.

        The others stay claimed.
        """


class FulfilmentStore(Protocol):
    """Orders and attempts, as workers change them. Every method is one transaction.

    Raises Busy when the database is away. Then nobody knows whether the transaction took place, so that whoever calls
    `settle` again must expect that its items were weighed before; `weighing.weigh` does.
    """

    def claim(self, limit: int, lease_s: float) -> AbstractAsyncContextManager[ClaimTransaction]:
        """Claim up to `limit` due orders, oldest first, for `lease_s`.

            async with store.claim(limit, lease_s) as claim:
                await claim.write([step_for(order) for order in claim.orders])

        Commits at the end of the block. What the block raises undoes the claim; so does a block that writes no steps for the
        orders, with InvariantBroken.
        """

    def doubts(self, moment: datetime) -> bool:
        """Return whether an order of this moment may have had attempts that the database has lost."""

    async def write_taken(self, tx: Tx, claims: Sequence[ClaimedOrder], steps: Sequence[Deliver]) -> None:
        """Write the first attempts of orders that `tx` places."""

    async def settle(self, items: Sequence[Item]) -> Sequence[Effect | Exception]:
        """Weigh the items in their order and write what follows, money included. Answers what became of each."""

    async def rivals(self, order_id: int, number: int) -> int:
        """Count the other attempts at the same provider, a day before or after, for the same recipient, that may be in its list.

        One that was refused may be: a list shows what has failed as well, and says that of the wrong attempt.

        Asked only where the provider cannot tell them apart (`ProviderTraits.requery_needs_rivals`).
        """

    async def resend(self, order_id: int, number: int) -> int | None:
        """Count one more resend of an open attempt, before it is made. Returns how many that are now; None where it is not open."""

    async def renew(self, order_ids: Collection[int], lease_s: float) -> set[int]:
        """Keep the leases of these orders for `lease_s` more. Returns those that were still held."""

    async def correct_jumped_clock(self, longest_lease_s: float) -> int:
        """Correct the due times of open orders that were set by a clock that has jumped. Return how many.

        An order that is claimed or fresh, and due later than `longest_lease_s` from now, is due now.
        """

    async def hand_back(self, order_ids: Collection[int]) -> None:
        """Make these orders due now, where they are still leased."""


class Observer:
    """Who wants to hear what happens, for metrics. These ears are deaf; override what is needed."""

    def called(self, provider: str, verb: str, outcome: str, duration_s: float) -> None:
        """A provider was called: `verb` is deliver, ask or resend, `outcome` the name of the outcome's class in lower case."""

    def heard(
        self, claim: ClaimedOrder, provider: str, outcome: Outcome, before: AttemptState | None, age_s: float
    ) -> None:
        """A provider has spoken of an attempt. `before` is the state that the attempt had when it was asked about, None for a
        delivery; `age_s` how old it is, as well as that is known."""

    def claimed(self, count: int) -> None:
        """A batch of due orders was claimed."""

    def contradicted(self, order_id: int) -> None:
        """A provider contradicted what was settled before: somebody should look."""

    def breaker(self, provider: str, state: str) -> None:
        """The breaker of a provider moved."""
