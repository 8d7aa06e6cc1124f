"""What to do next with an order that a worker has just claimed, without database, clock or network.

An attempt that is open is asked about, whoever left it behind; only when none is open may another begin.

    step = next_step(claim, policy)
    if isinstance(step, FindProvider):
        step = with_choice(claim, step, choice_of_the_router, costs)
    step = with_doubt(claim, step, held=...)
"""

from collections.abc import Mapping
from typing import Final

from telvend.catalog.model import NO_OFFERS, ProductOffers
from telvend.fulfilment.model import (
    MAY_BE_LOST,
    Abandon,
    AttemptSnapshot,
    ClaimedOrder,
    Deliver,
    Escalate,
    FindProvider,
    FulfilmentPolicy,
    Presume,
    Requery,
    Reschedule,
    Step,
    clean,
    spread,
)
from telvend.fulfilment.routing import Assignment, Choice, RetryLater
from telvend.kit.money import Money
from telvend.orders.model import AttemptState, OrderState

# How soon an order is looked at again that may not be given to a provider now.
_HELD_S: Final = 2.0


def next_step(claim: ClaimedOrder, policy: FulfilmentPolicy) -> Step | FindProvider:
    """Return what to do with an order that has just been claimed; `with_choice` makes a step of FindProvider."""
    number = 0
    open_attempts: list[AttemptSnapshot] = []
    refused: set[str] = set()
    missed: list[AttemptSnapshot] = []
    too_soon = 0
    for attempt in claim.attempts:
        number = max(number, attempt.number)
        match attempt.state:
            case AttemptState.DELIVERED:
                return Escalate(f"attempt {attempt.number} was delivered, and the order was not settled by it")
            case AttemptState.REFUSED if attempt.again:
                too_soon += 1
            case AttemptState.REFUSED if not attempt.elsewhere:
                return Abandon(attempt.text)
            case AttemptState.REFUSED:
                refused.add(attempt.provider)
            case AttemptState.NOT_SENT:
                missed.append(attempt)
            case _:
                open_attempts.append(attempt)
    if len(open_attempts) > 1:
        return Escalate(f"{len(open_attempts)} attempts are open at once")
    if open_attempts:
        return Requery(open_attempts[0])
    if too_soon >= policy.maximum_too_soon:
        return Escalate(f"{too_soon} attempts were refused because the number was served a moment ago")
    if policy.gives_up(missed) or (
        len(missed) >= policy.maximum_not_sent
        and (claim.now - missed[0].started_at).total_seconds() >= policy.unreached_for_s
    ):
        return Abandon(f"{len(missed)} attempts did not reach a provider")
    # Elsewhere first; where nobody else has a place, the provider that was not reached may be tried again.
    excluded = (frozenset(refused.union(attempt.provider for attempt in missed)),)
    return FindProvider(number + 1, (*excluded, frozenset(refused)) if missed else excluded)


def with_choice(
    claim: ClaimedOrder,
    find: FindProvider,
    choice: Choice,
    costs: Mapping[str, int | None],
    offers: ProductOffers = NO_OFFERS,
) -> Step:
    """Return the step that follows from the router's choice.

    `costs` is what each provider takes, in minor units; one that is missing takes what the order expects. `offers` says what
    providers call the product.
    """
    match choice:
        case Assignment():
            name = choice.provider.name
            minor = costs.get(name)
            cost = claim.cost if minor is None else Money(minor, claim.cost.currency)
            reference = choice.provider.traits.reference(claim.reference, find.number, claim.now)
            return Deliver(choice, find.number, reference, cost, offers.codes.get(name, ""), offers.type)
        case RetryLater():
            state = OrderState.WAITING if claim.attempts else OrderState.ACCEPTED
            return Reschedule(max(0.05, choice.after_s * (1 + spread(claim.id, find.number - 1))), state, choice.why)
        case _:
            return Abandon(choice.why)


def with_doubt(claim: ClaimedOrder, step: Step, *, held: bool) -> Step:
    """What to do instead where the book may have lost an attempt of the order, or where nothing may be sent now (`held`).

    An attempt that is there is asked about as ever. Where a first one would be made at a provider it is asked about
    instead; nothing is delivered and no hold is given back by the book's word alone.
    """
    if not isinstance(step, Deliver | Abandon):
        return step
    if held:
        state = OrderState.WAITING if claim.attempts else OrderState.ACCEPTED
        return Reschedule(_HELD_S, state, "sales are halted, or the database server has just changed")
    if not claim.doubtful:
        return step
    if isinstance(step, Deliver):
        name = step.chosen.provider.name
        if name not in {attempt.provider for attempt in claim.attempts}:
            return Presume(name, step.number, step.reference, step.cost, MAY_BE_LOST, step.provider_code, step.type)
        return Escalate(MAY_BE_LOST)
    return Escalate(f"{MAY_BE_LOST} It would have failed: {clean(step.why)}")
