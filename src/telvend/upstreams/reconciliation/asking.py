"""Requery each attempt of a day, for a provider without a list of transactions. Purchases we have no attempt for are not found."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from telvend.fulfilment.trials.model import believed
from telvend.kit import log
from telvend.kit.clock import Clock
from telvend.orders.model import AttemptState
from telvend.providers.contract import Accepted, Delivered, Delivery, NotSent, Outcome, Provider, Refused, Unknown
from telvend.providers.upstream import LineStatus, StatementLine
from telvend.upstreams.reconciliation.model import KnownAttempt

_AT_ONCE: Final = 8
"""Questions at a time, so that those of orders have their place."""

_log = log.get(__name__)

CountRivals = Callable[[int, int], Awaitable[int]]
"""Count the attempts that a provider could take for this one, of an order's number and the attempt's."""


async def asked(
    provider: Provider, attempts: Sequence[KnownAttempt], clock: Clock, count_rivals: CountRivals
) -> AsyncIterator[StatementLine]:
    """Ask about each attempt. One that the provider has never heard of has no line."""
    traits = provider.traits
    pause_s = 0.0 if traits.rate_per_s is None else 1 / traits.rate_per_s
    at_once = max(1, min(_AT_ONCE, traits.concurrency, len(attempts) or 1))
    left = iter(attempts)
    lines: asyncio.Queue[StatementLine | None] = asyncio.Queue()
    next_at = clock.monotonic()

    async def ask_some() -> None:
        nonlocal next_at
        for attempt in left:
            wait_s, next_at = next_at - clock.monotonic(), max(next_at, clock.monotonic()) + pause_s
            if wait_s > 0:
                await clock.sleep(wait_s)
            line = _line_of(attempt, await _outcome_of(provider, attempt, count_rivals))
            if line is not None:
                lines.put_nowait(line)

    async def ask_all() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(ask_some())
        finally:
            lines.put_nowait(None)

    asking = asyncio.create_task(ask_all())
    try:
        while (line := await lines.get()) is not None:
            yield line
        await asking
    finally:
        asking.cancel()


async def _outcome_of(provider: Provider, attempt: KnownAttempt, count_rivals: CountRivals) -> Outcome:
    traits = provider.traits
    if attempt.state is AttemptState.STARTED and attempt.age_s <= traits.timeout_s:
        # A requery may close what is not finished, and this is being sent just now.
        return Accepted(None, None, "being sent")
    rivals = None
    if traits.requery_needs_rivals and attempt.order_id is not None:
        rivals = await count_rivals(attempt.order_id, attempt.number)
    try:
        async with asyncio.timeout(traits.timeout_s):
            outcome = await provider.requery(_delivery_of(attempt, rivals))
    except TimeoutError:
        return Unknown("no answer in time")
    except Exception as error:
        _log.exception("provider_raised", provider=provider.name, verb="reconcile")
        return Unknown(f"the connector raised {type(error).__name__}")
    if attempt.state in (AttemptState.REFUSED, AttemptState.NOT_SENT):
        return outcome  # "Never heard of it" is no news of what has ended without a delivery, however young it is.
    return believed(outcome, attempt.age_s, traits.settles_after_s)


def _line_of(attempt: KnownAttempt, outcome: Outcome) -> StatementLine | None:
    """What an answer says, as a line of a statement."""
    match outcome:
        case Delivered():
            return StatementLine(
                LineStatus.DELIVERED, attempt.reference, outcome.provider_reference or "", charged=outcome.cost
            )
        case Accepted():
            return StatementLine(
                LineStatus.PENDING, attempt.reference, outcome.provider_reference or "", word=outcome.text
            )
        case Refused():
            return StatementLine(LineStatus.FAILED, attempt.reference, word=outcome.text)
        case NotSent():
            return None
        case Unknown():
            return StatementLine(LineStatus.UNKNOWN, attempt.reference, word=outcome.text)


def _delivery_of(attempt: KnownAttempt, rivals: int | None) -> Delivery:
    return Delivery(
        reference=attempt.reference,
        kind=attempt.kind,
        country=attempt.country,
        network=attempt.network,
        product=attempt.product,
        size=attempt.size,
        validity_days=attempt.validity_days,
        subscriber=attempt.subscriber,
        face_value=attempt.face,
        cost=attempt.cost,
        type=attempt.type,
        provider_code=attempt.provider_code,
        started_at=attempt.started_at,
        provider_reference=attempt.provider_reference,
        rivals=rivals,
    )
