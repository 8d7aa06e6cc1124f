"""One call to a provider for an order in flight, and the word that comes of it.

No transaction is open. Whatever a provider does, exceptions and silence included, becomes an outcome.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from telvend.errors import Busy, InvariantBroken
from telvend.fulfilment.in_flight import AttemptAges, InFlightOrder
from telvend.fulfilment.model import (
    AttemptSnapshot,
    ClaimedOrder,
    Deliver,
    FulfilmentPolicy,
    ProviderReport,
    Requery,
    SentAttempt,
)
from telvend.fulfilment.places import Places
from telvend.fulfilment.ports import Observer
from telvend.fulfilment.routing import Assignment, Router
from telvend.kit import log, tracing
from telvend.kit.clock import Clock
from telvend.kit.failpoints import hit_async
from telvend.orders.model import AttemptState, Order
from telvend.providers.contract import (
    Accepted,
    Delivered,
    DeliversTogether,
    Delivery,
    NotSent,
    Outcome,
    Provider,
    Refused,
    Unknown,
)

_log = log.get(__name__)

_OUTCOMES: Final = (Delivered, Accepted, Refused, NotSent, Unknown)

# Attempts that a worker knows it never sent are said to be so; the provider is not blamed.
_NEVER_SENT: Final = "never sent: {}"


Said = TypeVar("Said")

CountRivals = Callable[[int, int], Awaitable[int]]
"""Counts the other attempts like one: see `FulfilmentStore.rivals`."""
RecordResend = Callable[[int, int], Awaitable[int | None]]
"""Counts one more resend of an attempt: see `FulfilmentStore.resend`."""


class OwnDatabaseAway(Exception):
    """The provider's book is in our database, which is away: nobody has said anything."""


class ProviderCalls:
    """Makes the calls of one worker. After `stop` nothing new is sent; providers are still asked.

    `record_resend` is the store's; `held` answers whether nothing may be sent now.
    """

    def __init__(
        self,
        router: Router,
        places: Places,
        ages: AttemptAges,
        clock: Clock,
        policy: FulfilmentPolicy,
        observer: Observer,
        *,
        count_rivals: CountRivals,
        record_resend: RecordResend,
        held: Callable[[], bool],
    ) -> None:
        self._router = router
        self._places = places
        self._ages = ages
        self._clock = clock
        self._policy = policy
        self._observer = observer
        self._count_rivals = count_rivals
        self._record_resend = record_resend
        self._held = held
        self._stopping = False

    def stop(self) -> None:
        """Send nothing new from now on."""
        self._stopping = True

    async def make(self, order: InFlightOrder) -> ProviderReport:
        """Make the call that the order's step demands. Its place is given back. Raises OwnDatabaseAway."""
        step = order.step
        if isinstance(step, Deliver):
            outcome = await self._deliver(order, step)
            return self._report(
                order, outcome, 0.0, 0.0, name=step.chosen.provider.name, number=step.number, asked=False
            )
        if isinstance(step, Requery):
            return await self._requery(order, step.attempt)
        raise InvariantBroken(f"order {order.claim.id} needs no call")

    async def make_all(
        self, provider: DeliversTogether, orders: Sequence[InFlightOrder]
    ) -> "list[ProviderReport | None]":
        """Deliver all of these with one call of a provider that stands in this process, each with a place at it.

        None in the place of an order of which nobody has said anything, since our own database is away (OwnDatabaseAway). Places
        are given back.
        """
        name = provider.name
        outcomes: list[Outcome] = []
        started = self._clock.monotonic()
        sent = [order for order in orders if self._may_send(order)]
        said: Sequence[Outcome] = [Unknown("the worker was stopped")] * len(sent)
        try:
            if sent:
                said = await self._call_all(provider, sent)
        finally:
            duration_s = self._clock.monotonic() - started
            heard = dict(zip(map(id, sent), said, strict=True))
            for order in orders:
                chosen = _chosen(order)
                outcome = heard.get(id(order))
                if outcome is None:
                    self._places.release(chosen)
                    outcome = self._not_sent()
                else:
                    self._places.ended(name)
                    if isinstance(outcome, Unknown) and outcome.ours:
                        self._router.release(chosen)
                    else:
                        self._record(chosen, outcome, duration_s)
                outcomes.append(outcome)
        return [
            None
            if isinstance(outcome, Unknown) and outcome.ours
            else self._report(order, outcome, 0.0, 0.0, name=name, number=order.number, asked=False)
            for order, outcome in zip(orders, outcomes, strict=True)
        ]

    async def _call_all(self, provider: DeliversTogether, orders: Sequence[InFlightOrder]) -> Sequence[Outcome]:
        """`_call` for many deliveries. Answers an outcome for each."""
        name, timeout_s = provider.name, provider.traits.timeout_s
        deliveries = [delivery_of(order.claim, _sent(order)) for order in orders]
        started = self._clock.monotonic()
        for order in orders:
            order.call_ends_at = started + timeout_s

        async def deliver_all() -> Sequence[Any]:
            for _ in orders:
                await hit_async("attempt.after_write")
            async with asyncio.timeout(timeout_s):
                outcomes = await provider.deliver_all(deliveries)
            for _ in orders:
                await hit_async("attempt.after_send")
                await hit_async("attempt.after_answer")
            if len(outcomes) != len(orders):
                raise InvariantBroken(f"{name} got {len(orders)} deliveries and answered {len(outcomes)}")
            return outcomes

        said = await _said(deliver_all(), timeout_s, provider=name, verb="deliver", orders=len(orders))
        outcomes = [said] * len(orders) if isinstance(said, Unknown) else said
        duration_s = self._clock.monotonic() - started
        answers: list[Outcome] = []
        for order, outcome in zip(orders, outcomes, strict=True):
            order.call_ends_at = None
            outcome = _outcome(outcome, name, "deliver", order.claim.id)
            self._observer.called(name, "deliver", type(outcome).__name__.lower(), duration_s)
            if not (isinstance(outcome, Unknown) and outcome.ours):
                self._observer.heard(order.claim, name, outcome, None, 0.0)
            answers.append(outcome)
        return answers

    def abandoned(self, order: InFlightOrder) -> ProviderReport:
        """What is said of a call that does not end."""
        outcome = Unknown("no answer, and the call does not end")
        return self._report(
            order, outcome, 0.0, 0.0, name="", number=order.number, asked=isinstance(order.step, Requery)
        )

    def _report(
        self,
        order: InFlightOrder,
        outcome: Outcome,
        age_s: float,
        settles_after_s: float,
        *,
        name: str,
        number: int,
        asked: bool,
        resent: int = 0,
        to_resend: bool = False,
    ) -> ProviderReport:
        holds = not order.abandoned and self._clock.monotonic() < order.deadline
        schedule_age_s = self._ages.likely_s(order)
        provider = self._router.provider(name)
        claim, step = order.claim, order.step
        begun = (claim, step) if isinstance(step, Deliver) and number == 1 and not claim.attempts else None
        return ProviderReport(
            claim.id,
            claim.wallet_id,
            number,
            outcome,
            asked,
            age_s,
            settles_after_s,
            holds,
            schedule_age_s,
            resent,
            to_resend,
            0.0 if provider is None else provider.traits.repeat_guard_s,
            begun,
        )

    async def _deliver(self, order: InFlightOrder, step: Deliver) -> Outcome:
        chosen = step.chosen
        if not self._may_send(order):
            self._places.release(chosen)
            return self._not_sent()
        started = self._clock.monotonic()
        outcome: Outcome = Unknown("the worker was stopped")
        try:
            outcome = await self._call(order, chosen.provider, "deliver", _sent(order))
        except OwnDatabaseAway:
            # Not the provider's failure: its breaker stays as it is.
            self._router.release(chosen)
            raise
        finally:
            self._places.ended(chosen.provider.name)
            self._record(chosen, outcome, self._clock.monotonic() - started)
        return outcome

    def _not_sent(self) -> Outcome:
        """What is said of an attempt that was not made: somebody else may have the order by now. Nothing will be sent."""
        why = "the worker is stopping" if self._stopping else "the lease was about to end"
        return NotSent(_NEVER_SENT.format(why))

    def _record(self, chosen: Assignment, outcome: Outcome, duration_s: float) -> None:
        """Tell the router, and whoever looks after its breakers, what became of a delivery."""
        change = self._router.record(chosen, outcome, duration_s)
        if change is not None:
            self._observer.breaker(change.provider, change.after)
            tell = _log.error if change.ours_to_mend else _log.warning
            tell("breaker_moved", provider=change.provider, before=change.before, after=change.after, why=change.why)

    async def _requery(self, order: InFlightOrder, attempt: AttemptSnapshot) -> ProviderReport:
        """Ask about the attempt; send it again where it never arrived and its reference is an idempotency key."""
        # Before the question is put. The database's clock says nothing here: it may have jumped since the attempt was made.
        age_s = self._ages.least_s(order.claim.id, attempt.number)
        settles_after_s, resent, to_resend = 0.0, attempt.resent, False
        outcome: Outcome
        try:
            provider = self._router.provider(attempt.provider)
            if provider is None:
                outcome = Unknown(f"{attempt.provider} is not set up here and cannot be asked")
            else:
                settles_after_s = provider.traits.settles_after_s
                rivals = await self._rivals(order, provider, attempt)
                sent = attempt.sent(order.claim.price.currency)
                outcome = await self._call(order, provider, "ask", sent, rivals)
                if isinstance(outcome, NotSent):
                    count = await self._recorded_resend(order, provider, attempt)
                    if count is not None:
                        if count != attempt.resent + 1:
                            age_s = 0.0  # Another worker has sent it meanwhile.
                        resent, to_resend = count, True
                        outcome = await self._resend(order, provider, attempt, count)
        finally:
            self._places.ended(attempt.provider)
        return self._report(
            order,
            outcome,
            age_s,
            settles_after_s,
            name=attempt.provider,
            number=attempt.number,
            asked=True,
            resent=resent,
            to_resend=to_resend,
        )

    async def _recorded_resend(self, order: InFlightOrder, provider: Provider, attempt: AttemptSnapshot) -> int | None:
        """Record that the attempt is about to be sent again; None where it must not be.

        Not where its reference is no key; not one that was accepted, since a provider that has forgotten it has forgotten the
        key too; not one of an order whose attempts the database may have lost: one of those may have had another reference.
        """
        if (
            not _sends_again(provider)
            or attempt.state is AttemptState.ACCEPTED
            or attempt.resent >= self._policy.maximum_resends
            or order.claim.doubtful
            or not self._router.may_resend(provider.name)
            or self._held()
            or not self._may_send(order)
            or not self._router.may_requery(provider.name)
        ):
            return None
        try:
            count = await self._record_resend(order.claim.id, attempt.number)
        except Busy:
            return None
        if count is None or not self._may_send(order):
            return None
        self._ages.sent_again(order.claim.id, attempt.number, count)
        return count

    async def _resend(self, order: InFlightOrder, provider: Provider, attempt: AttemptSnapshot, count: int) -> Outcome:
        _log.info("attempt_sent_again", provider=provider.name, order=order.claim.id, attempt=attempt.number)
        outcome = await self._call(order, provider, "resend", attempt.sent(order.claim.price.currency))
        if isinstance(outcome, Refused | NotSent):
            self._ages.answered(order.claim.id, attempt.number, count)
        return outcome

    def _may_send(self, order: InFlightOrder) -> bool:
        return not self._stopping and self._clock.monotonic() <= order.deadline - self._policy.lease_margin_s

    async def _rivals(self, order: InFlightOrder, provider: Provider, attempt: AttemptSnapshot) -> int | None:
        """How many other attempts its provider could take for this one; None where that is not asked, or not known now."""
        if not provider.traits.requery_needs_rivals:
            return None
        try:
            return await self._count_rivals(order.claim.id, attempt.number)
        except Busy:
            return None

    async def _call(
        self, order: InFlightOrder, provider: Provider, verb: str, sent: SentAttempt, rivals: int | None = None
    ) -> Outcome:
        """One call with its time-out. Whatever is not an outcome, exceptions included, is Unknown.

        Raises OwnDatabaseAway.
        """
        claim = order.claim
        delivery = replace(delivery_of(claim, sent), rivals=rivals)
        timeout_s = provider.traits.timeout_s
        started = self._clock.monotonic()
        order.call_ends_at = started + timeout_s
        span = tracing.begin_call(order.span, {"provider": provider.name, "operation": verb}) if tracing.on else None
        outcome: Outcome | None = None

        async def call() -> Outcome:
            if verb == "deliver":
                await hit_async("attempt.after_write")
            elif verb == "resend":
                await hit_async("resend.after_write")
            async with asyncio.timeout(timeout_s):
                said = await (provider.requery(delivery) if verb == "ask" else provider.deliver(delivery))
            if verb == "deliver":
                await hit_async("attempt.after_send")
                await hit_async("attempt.after_answer")
            elif verb == "resend":
                await hit_async("resend.after_send")
            return _outcome(said, provider.name, verb, claim.id)

        try:
            outcome = await _said(call(), timeout_s, provider=provider.name, verb=verb, order=claim.id)
        finally:
            if span is not None:
                failed = outcome is None or isinstance(outcome, Unknown)
                tracing.end(span, failed=failed, outcome=type(outcome).__name__.lower())
        order.call_ends_at = None
        self._observer.called(provider.name, verb, type(outcome).__name__.lower(), self._clock.monotonic() - started)
        if isinstance(outcome, Unknown) and outcome.ours:
            raise OwnDatabaseAway
        if verb == "deliver":
            self._observer.heard(claim, provider.name, outcome, None, 0.0)
        elif isinstance(order.step, Requery):
            age_s = self._ages.likely_s(order) or 0.0
            self._observer.heard(claim, provider.name, outcome, order.step.attempt.state, age_s)
        return outcome


async def _said(call: Coroutine[Any, Any, Said], timeout_s: float, **facts: object) -> Said | Unknown:
    """Return the result of a call, or Unknown when it times out or raises. The call sets the time-out; `facts` go to the log."""
    try:
        return await call
    except TimeoutError:
        return Unknown(f"no answer within {timeout_s:g} s")
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return Unknown("the provider's client was cancelled")
    except Exception as error:
        _log.exception("provider_raised", **facts)
        return Unknown(f"{type(error).__name__}: {error}")


def _outcome(said: object, provider: str, verb: str, order_id: int) -> Outcome:
    """Return a provider's answer if it is an outcome, else Unknown."""
    if isinstance(said, _OUTCOMES):
        return said
    _log.error("provider_answered_no_outcome", provider=provider, verb=verb, order=order_id)
    return Unknown(f"not an outcome: {said!r}")


def _chosen(order: InFlightOrder) -> Assignment:
    """The place of an order that is to be delivered. Raises InvariantBroken for another one."""
    if not isinstance(order.step, Deliver):
        raise InvariantBroken(f"order {order.claim.id} is not to be delivered")
    return order.step.chosen


def _sent(order: InFlightOrder) -> SentAttempt:
    """What the provider of an order that is to be delivered is sent. Raises InvariantBroken for another one."""
    step = order.step
    if not isinstance(step, Deliver):
        raise InvariantBroken(f"order {order.claim.id} is not to be delivered")
    return SentAttempt(step.reference, step.cost, order.claim.now, step.provider_code, step.type)


def _sends_again(provider: Provider) -> bool:
    """Whether a repeated request under a known reference never delivers twice there."""
    return provider.traits.reference_is_key


def delivery_of(order: ClaimedOrder | Order, sent: SentAttempt) -> Delivery:
    """Return what a provider is sent for one attempt: the order as it was sold, under the attempt's reference."""
    return Delivery(
        reference=sent.reference,
        kind=order.kind,
        country=order.country,
        network=order.network,
        product=order.product,
        size=order.size,
        validity_days=order.validity_days,
        subscriber=order.subscriber,
        face_value=order.face,
        cost=sent.cost,
        type=sent.type,
        provider_code=sent.provider_code,
        started_at=sent.started_at,
        provider_reference=sent.provider_reference,
    )
