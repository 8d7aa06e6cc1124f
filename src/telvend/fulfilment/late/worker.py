"""Asking providers again about attempts that a person has decided.

The order is final, and nothing here buys or gives money back: an answer against the decision is entered as a late report, once, by
the settlement. Asked are the attempts of `late_requery`: on the schedule of LATE_REQUERY_DELAYS_S after the decision, when the
provider calls back, and when a person asks.

    worker = LateRequeries(database, router, jobs)
    await worker.work_off()         # everything that is due now; bootstrap calls it every few seconds
"""

from typing import Final

from telvend.database.connections import Database
from telvend.fulfilment.asking import answer_of, ask_all_due
from telvend.fulfilment.late import store
from telvend.fulfilment.late.store import LateRequery
from telvend.fulfilment.model import AttemptSnapshot, LateAnswer
from telvend.fulfilment.ports import FulfilmentStore
from telvend.fulfilment.routing import Router
from telvend.fulfilment.weighing import LATE_REQUERY_DELAYS_S
from telvend.kit.failpoints import hit_async
from telvend.orders.model import Order
from telvend.providers.contract import Delivered, NotSent, Outcome, Refused, Unknown

_AT_ONCE: Final = 8


class LateRequeries:
    """Asks what is due. Any number may run, in any number of processes."""

    def __init__(self, database: Database, router: Router, jobs: FulfilmentStore) -> None:
        self._database = database
        self._router = router
        self._jobs = jobs

    async def work_off(self) -> int:
        """Ask about everything that is due now. Returns how many there were. Raises Busy."""
        return await ask_all_due(self._database, store, self._ask, at_once=_AT_ONCE, on_bug="late_requery_failed")

    async def _ask(self, due: LateRequery, order: Order, attempt: AttemptSnapshot) -> None:
        outcome = await self._answer(order, attempt)
        # "Never heard of it" is no news of what may be long forgotten, unless the far side has closed the reference.
        definite = isinstance(outcome, Delivered | Refused) or (isinstance(outcome, NotSent) and outcome.closed)
        if definite:
            await hit_async("late.before_settle")
            (effect,) = await self._jobs.settle([LateAnswer(due.order_id, due.attempt, outcome)])
            if isinstance(effect, Exception):
                raise effect
        over = definite or due.asked >= len(LATE_REQUERY_DELAYS_S)
        async with self._database.connection() as tx:
            await store.requery_again(tx, due.id, None if over else LATE_REQUERY_DELAYS_S[due.asked])

    async def _answer(self, order: Order, attempt: AttemptSnapshot) -> Outcome:
        provider = self._router.provider(attempt.provider)
        if provider is None or not self._router.may_requery(provider.name):
            return Unknown("it cannot be asked now")
        rivals = await self._jobs.rivals(order.id, attempt.number) if provider.traits.requery_needs_rivals else None
        return await answer_of(provider, order, attempt, rivals)
