"""Asking providers again about attempts that a person has decided.

The order is final, and nothing here buys or gives money back: an answer against the decision is entered as a late report, once, by
the settlement. Asked are the attempts of `late_requery`: on the schedule of LATE_REQUERY_DELAYS_S after the decision, when the
provider calls back, and when a person asks.

    worker = LateRequeries(database, router, jobs)
    await worker.work_off()         # everything that is due now; bootstrap calls it every few seconds
"""

import asyncio
from dataclasses import replace
from typing import Any, Final

from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.fulfilment.calls import delivery_of
from telvend.fulfilment.late import store
from telvend.fulfilment.late.store import LateRequery
from telvend.fulfilment.model import LateAnswer, SentAttempt
from telvend.fulfilment.ports import FulfilmentStore
from telvend.fulfilment.routing import Router
from telvend.fulfilment.weighing import LATE_REQUERY_DELAYS_S
from telvend.kit import log
from telvend.kit.failpoints import hit_async
from telvend.kit.money import Money
from telvend.orders import store as order_store
from telvend.orders.model import Order
from telvend.providers.contract import Delivered, NotSent, Outcome, Provider, Refused, Unknown

_AT_ONCE: Final = 8
_LONGEST_CALL_S: Final = 60.0
_LEASE_S: Final = 3 * _LONGEST_CALL_S

_log = log.get(__name__)


class LateRequeries:
    """Asks what is due. Any number may run, in any number of processes."""

    def __init__(self, database: Database, router: Router, jobs: FulfilmentStore) -> None:
        self._database = database
        self._router = router
        self._jobs = jobs

    async def work_off(self) -> int:
        """Ask about everything that is due now. Returns how many there were. Raises Busy."""
        count = 0
        while True:
            async with self._database.connection() as tx:
                await store.correct_jumped_clock(tx)
                due = await store.claim(tx, _AT_ONCE, _LEASE_S)
            await asyncio.gather(*(self._ask_safely(one) for one in due))
            count += len(due)
            if len(due) < _AT_ONCE:
                return count

    async def _ask_safely(self, due: LateRequery) -> None:
        """Ask. One that a bug keeps from being asked keeps nobody from the others: it is due again when its lease ends."""
        try:
            await self._ask(due)
        except Busy:
            raise
        except Exception:
            _log.exception("late_requery_failed", order=due.order_id, attempt=due.attempt)

    async def _ask(self, due: LateRequery) -> None:
        async with self._database.connection() as tx:
            order = (await order_store.find_by_id(tx, [due.order_id]))[due.order_id]
            attempts = {row["number"]: row for row in await order_store.attempts_of(tx, due.order_id)}
        outcome = await self._answer(order, attempts[due.attempt])
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

    async def _answer(self, order: Order, attempt: Any) -> Outcome:
        """What the provider answers; Unknown where it gives no answer."""
        provider = self._router.provider(attempt["provider"])
        if provider is None or not self._router.may_requery(provider.name):
            return Unknown("it cannot be asked now")
        sent = SentAttempt(
            attempt["reference"],
            Money(attempt["cost_minor"], order.price.currency),
            attempt["started_at"],
            attempt["provider_code"],
            attempt["type"],
            attempt["provider_reference"] or "",
        )
        delivery = replace(delivery_of(order, sent), rivals=await self._rivals(provider, order.id, attempt["number"]))
        try:
            async with asyncio.timeout(min(provider.traits.timeout_s, _LONGEST_CALL_S)):
                return await provider.requery(delivery)
        except TimeoutError:
            return Unknown("no answer in time")
        except Exception as error:
            _log.exception("provider_raised", provider=provider.name, verb="ask", order=order.id)
            return Unknown(f"{type(error).__name__}: {error}")

    async def _rivals(self, provider: Provider, order_id: int, number: int) -> int | None:
        return await self._jobs.rivals(order_id, number) if provider.traits.requery_needs_rivals else None
