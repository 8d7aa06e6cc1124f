"""Asking a provider about attempts of orders that are final, and what it answers. Nothing here buys, refunds or changes an order.

await ask_all_due(database, store, ask, at_once=8, on_bug="late_requery_failed")     claim what is due, ask about each
outcome = await answer_of(provider, order, attempt)                                  within `ask`
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from telvend.database.connections import Database, Tx
from telvend.errors import Busy
from telvend.fulfilment import store
from telvend.fulfilment.calls import delivery_of
from telvend.fulfilment.model import AttemptSnapshot
from telvend.kit import log
from telvend.orders import store as order_store
from telvend.orders.model import Order
from telvend.providers.contract import Outcome, Provider, Unknown

_LONGEST_CALL_S: Final = 60.0
_LEASE_S: Final = 3 * _LONGEST_CALL_S

_log = log.get(__name__)


class Question(Protocol):
    """A question about an attempt, as it is claimed."""

    @property
    def order_id(self) -> int: ...

    @property
    def attempt(self) -> int: ...


Due = TypeVar("Due", bound=Question)
Due_co = TypeVar("Due_co", bound=Question, covariant=True)


class Questions(Protocol[Due_co]):
    """A store of questions that become due."""

    async def correct_jumped_clock(self, tx: Tx) -> None: ...

    async def claim(self, tx: Tx, limit: int, lease_s: float) -> Sequence[Due_co]: ...


async def ask_all_due(
    database: Database,
    questions: Questions[Due],
    ask: Callable[[Due, Order, AttemptSnapshot], Awaitable[None]],
    *,
    at_once: int,
    on_bug: str,
) -> int:
    """Ask every question that is due now, `at_once` at a time. Returns how many there were. Raises Busy.

    Where a bug keeps one from being asked the others are asked: `on_bug` is logged, and it is due again when its lease ends.
    """

    async def ask_safely(due: Due) -> None:
        try:
            async with database.connection() as tx:
                order = (await order_store.find_by_id(tx, [due.order_id]))[due.order_id]
                attempts = (await store.attempts_of(tx, [due.order_id]))[due.order_id]
            await ask(due, order, {attempt.number: attempt for attempt in attempts}[due.attempt])
        except Busy:
            raise
        except Exception:
            _log.exception(on_bug, order=due.order_id, attempt=due.attempt)

    count = 0
    while True:
        async with database.connection() as tx:
            await questions.correct_jumped_clock(tx)
            claimed = await questions.claim(tx, at_once, _LEASE_S)
        await asyncio.gather(*(ask_safely(one) for one in claimed))
        count += len(claimed)
        if len(claimed) < at_once:
            return count


async def answer_of(provider: Provider, order: Order, attempt: AttemptSnapshot, rivals: int | None = None) -> Outcome:
    """Return what the provider answers about an attempt; Unknown where it gives no answer."""
    delivery = replace(delivery_of(order, attempt.sent(order.price.currency)), rivals=rivals)
    return await heard(provider, provider.requery(delivery), "ask", longest_s=_LONGEST_CALL_S, order=order.id)


async def heard(
    provider: Provider, call: Awaitable[Outcome], verb: str, *, longest_s: float | None = None, **facts: object
) -> Outcome:
    """Return what a call of a provider says. Silence, and whatever escapes it, is Unknown; `verb` and `facts` are for the log."""
    timeout_s = provider.traits.timeout_s if longest_s is None else min(provider.traits.timeout_s, longest_s)
    try:
        async with asyncio.timeout(timeout_s):
            return await call
    except TimeoutError:
        return Unknown(f"no answer within {timeout_s:g} s")
    except Exception as error:
        _log.exception("provider_raised", provider=provider.name, verb=verb, **facts)
        return Unknown(f"{type(error).__name__}")
