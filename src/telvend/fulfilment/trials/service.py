"""Deliver by hand, and requery it. A trial is stored before anything is sent.

    trial = await trials.begin(provider, delivery, by)      committed: from here on it can be asked about
    trial = await trials.deliver(provider, trial)           one request, never two
    trial = await trials.requery(provider, trial)           as often as one likes

A process that is killed in between leaves a trial that is `started`. It can be requeried, and is not sent again.
"""

from collections.abc import Sequence
from dataclasses import replace

from telvend.catalog.kinds import kind_of
from telvend.database.connections import Database, transaction_time
from telvend.errors import InvalidInput, NotFound
from telvend.fulfilment.asking import heard
from telvend.fulfilment.trials import store
from telvend.fulfilment.trials.model import Trial, believed
from telvend.kit.secret import random_text
from telvend.providers.contract import Delivery, Outcome, Provider


class Trials:
    """The verbs on trials."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, provider: Provider, delivery: Delivery, by_whom: str) -> Trial:
        """Write a trial down, under a reference of its own. `delivery` is what is to be sent; its reference is replaced.

        Raises InvalidInput for a kind whose delivery carries a token or PIN: that is kept beside an order alone.
        """
        if kind_of(delivery.kind).payload is not None:
            raise InvalidInput(
                "product", "carries a token or PIN, which is kept with an order alone; place one instead"
            )
        async with self._database.transaction() as tx:
            at = await transaction_time(tx)
            reference = provider.traits.reference(f"TRY-{random_text(8).lower()}", 1, at)
            made = replace(delivery, reference=reference, started_at=at)
            return await store.insert(tx, provider.name, made, by_whom)

    async def deliver(self, provider: Provider, trial: Trial) -> Trial:
        """Send a trial that has just begun, and note what was said. Raises Busy; the trial then stays `started`."""
        outcome = await heard(provider, provider.deliver(trial.delivery), "trial")
        return await self._note(trial, outcome, asked=False)

    async def requery(self, provider: Provider, trial: Trial) -> Trial:
        """Ask what became of a trial, and note it. One that is settled is returned as it is. Raises Busy."""
        if not trial.state.open:
            return trial
        outcome = await heard(provider, provider.requery(trial.delivery), "trial")
        return await self._note(trial, believed(outcome, trial.age_s, provider.traits.settles_after_s), asked=True)

    async def find(self, reference: str) -> Trial:
        """The trial with this reference. Raises NotFound."""
        async with self._database.connection() as tx:
            found = await store.find(tx, reference)
        if found is None:
            raise NotFound("Trial")
        return found

    async def page(self, provider: str | None, *, before: int | None, limit: int) -> Sequence[Trial]:
        """Trials, newest first."""
        async with self._database.connection() as tx:
            return await store.page(tx, provider, before, limit)

    async def _note(self, trial: Trial, outcome: Outcome, *, asked: bool) -> Trial:
        async with self._database.transaction() as tx:
            return await store.write_outcome(tx, trial.id, outcome, asked=asked)
