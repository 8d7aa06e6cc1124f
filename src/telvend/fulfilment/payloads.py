"""Asking providers for what a delivery carries back and was missing when it was delivered.

The order is delivered and its money has moved: nothing here buys, refunds or changes it. The provider is asked until it tells, on
the schedule of `requery_delay_s`.

    worker = PayloadWorker(database, router, payloads)
    await worker.work_off()         # everything that is due now; bootstrap calls it every few seconds
"""

import asyncio
from typing import Any, Final

from telvend.catalog.kinds import Payload, kind_of
from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.fulfilment.calls import delivery_of
from telvend.fulfilment.model import SentAttempt
from telvend.fulfilment.routing import Router
from telvend.kit import log
from telvend.kit.money import Money
from telvend.orders import store as order_store
from telvend.orders.model import Order
from telvend.orders.payloads import store
from telvend.orders.payloads.service import Payloads, requery_delay_s
from telvend.orders.payloads.store import MissingPayload
from telvend.providers.contract import Delivered

_AT_ONCE: Final = 16
_LONGEST_CALL_S: Final = 60.0
_LEASE_S: Final = 3 * _LONGEST_CALL_S

_log = log.get(__name__)


class PayloadWorker:
    """Asks for the payloads that are due. Any number may run, in any number of processes."""

    def __init__(self, database: Database, router: Router, payloads: Payloads) -> None:
        self._database = database
        self._router = router
        self._payloads = payloads

    async def work_off(self) -> int:
        """Ask for everything that is due now. Returns how many there were. Raises Busy."""
        count = 0
        while True:
            async with self._database.connection() as tx:
                await store.correct_jumped_clock(tx)
                due = await store.claim(tx, _AT_ONCE, _LEASE_S)
            await asyncio.gather(*(self._ask_safely(missing) for missing in due))
            count += len(due)
            if len(due) < _AT_ONCE:
                return count

    async def _ask_safely(self, missing: MissingPayload) -> None:
        """Ask. One that cannot be asked for by a bug keeps nobody from the others: it is due again when its lease ends."""
        try:
            await self._ask(missing)
        except Busy:
            raise
        except Exception:
            _log.exception("payload_not_asked_for", order=missing.order_id)

    async def _ask(self, missing: MissingPayload) -> None:
        async with self._database.connection() as tx:
            order = (await order_store.find_by_id(tx, [missing.order_id]))[missing.order_id]
            attempts = {row["number"]: row for row in await order_store.attempts_of(tx, missing.order_id)}
        payload = await self._told(order, attempts[missing.attempt])
        sealed = await self._payloads.seal(order.id, missing.attempt, payload)
        async with self._database.connection() as tx:
            if sealed.sealed is None:
                await store.requery_again(tx, order.id, requery_delay_s(missing.asked))
            else:
                await store.write(tx, [sealed], 0.0)
                recipient = kind_of(order.kind).recipient.masked(order.subscriber)
                _log.info("payload_arrived", order=order.id, recipient=recipient, asked=missing.asked)

    async def _told(self, order: Order, attempt: Any) -> Payload | None:
        """What the provider tells now; None where it tells nothing that can be read."""
        provider = self._router.provider(attempt["provider"])
        form = kind_of(order.kind).payload
        if provider is None or form is None:
            return None
        cost = Money(attempt["cost_minor"], order.price.currency)
        sent = SentAttempt(attempt["reference"], cost, attempt["started_at"], attempt["provider_code"], attempt["type"])
        delivery = delivery_of(order, sent)
        try:
            async with asyncio.timeout(min(provider.traits.timeout_s, _LONGEST_CALL_S)):
                outcome = await provider.requery(delivery)
        except TimeoutError:
            return None
        except Exception:
            _log.exception("provider_raised", provider=provider.name, verb="ask", order=order.id)
            return None
        if not isinstance(outcome, Delivered) or outcome.payload is None:
            return None
        try:
            return Payload(form.parse(outcome.payload.reveal()))
        except ValueError as error:
            _log.error("payload_not_read", provider=provider.name, order=order.id, why=str(error))
            return None
