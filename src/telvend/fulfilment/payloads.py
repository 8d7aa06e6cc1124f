"""Asking providers for what a delivery carries back and was missing when it was delivered.

The order is delivered and its money has moved: nothing here buys, refunds or changes it. The provider is asked until it tells, on
the schedule of `requery_delay_s`.

    worker = PayloadWorker(database, router, payloads)
    await worker.work_off()         # everything that is due now; bootstrap calls it every few seconds
"""

from typing import Final

from telvend.catalog.kinds import Payload, kind_of
from telvend.database.connections import Database
from telvend.fulfilment.asking import answer_of, ask_all_due
from telvend.fulfilment.model import AttemptSnapshot
from telvend.fulfilment.routing import Router
from telvend.kit import log
from telvend.orders.model import Order
from telvend.orders.payloads import store
from telvend.orders.payloads.service import Payloads, requery_delay_s
from telvend.orders.payloads.store import MissingPayload
from telvend.providers.contract import Delivered

_AT_ONCE: Final = 16

_log = log.get(__name__)


class PayloadWorker:
    """Asks for the payloads that are due. Any number may run, in any number of processes."""

    def __init__(self, database: Database, router: Router, payloads: Payloads) -> None:
        self._database = database
        self._router = router
        self._payloads = payloads

    async def work_off(self) -> int:
        """Ask for everything that is due now. Returns how many there were. Raises Busy."""
        return await ask_all_due(self._database, store, self._ask, at_once=_AT_ONCE, on_bug="payload_not_asked_for")

    async def _ask(self, missing: MissingPayload, order: Order, attempt: AttemptSnapshot) -> None:
        payload = await self._told(order, attempt)
        sealed = await self._payloads.seal(order.id, missing.attempt, payload)
        async with self._database.connection() as tx:
            if sealed.sealed is None:
                await store.requery_again(tx, order.id, requery_delay_s(missing.asked))
            else:
                await store.write(tx, [sealed], 0.0)
                recipient = kind_of(order.kind).recipient.masked(order.subscriber)
                _log.info("payload_arrived", order=order.id, recipient=recipient, asked=missing.asked)

    async def _told(self, order: Order, attempt: AttemptSnapshot) -> Payload | None:
        """What the provider tells now; None where it tells nothing that can be read."""
        provider = self._router.provider(attempt.provider)
        form = kind_of(order.kind).payload
        if provider is None or form is None:
            return None
        outcome = await answer_of(provider, order, attempt)
        if not isinstance(outcome, Delivered) or outcome.payload is None:
            return None
        try:
            return Payload(form.parse(outcome.payload.reveal()))
        except ValueError as error:
            _log.error("payload_not_read", provider=provider.name, order=order.id, why=str(error))
            return None
