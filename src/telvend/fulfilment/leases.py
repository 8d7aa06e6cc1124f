"""Keeps the leases of orders in flight, and corrects due times that were set by a clock that has jumped.

Both run for ever beside the worker, and end by being cancelled.
"""

from collections.abc import Callable, Collection
from typing import Final

from telvend.errors import Busy
from telvend.fulfilment.in_flight import InFlightOrder
from telvend.fulfilment.ports import FulfilmentStore
from telvend.kit import log
from telvend.kit.clock import Clock

_log = log.get(__name__)

# How long after its time-out a call is abandoned that does not even end when it is cancelled.
_DEAF_CALL_S: Final = 5.0
# How often the due times of open orders are compared with the clock, and how many leases ahead a claimed one may be due.
_CORRECT_CLOCK_S: Final = 10.0
_LEASES: Final = 4.0


async def renew_for_ever(
    store: FulfilmentStore,
    clock: Clock,
    lease_s: float,
    in_flight: Collection[InFlightOrder],
    abandon: Callable[[InFlightOrder], None],
) -> None:
    """Renew the leases of `in_flight` before they end. `abandon` gets those whose call has outlived its time-out."""
    while True:
        before = clock.monotonic()
        await clock.sleep(lease_s / 3)
        now = clock.monotonic()
        if now - before > lease_s:
            # This process was stopped, and its calls with it: their time-outs have not had a turn yet.
            continue
        held: dict[int, list[InFlightOrder]] = {}
        for order in list(in_flight):
            if order.call_ends_at is not None and now > order.call_ends_at + _DEAF_CALL_S and not order.abandoned:
                # It must have swallowed its time-out. Its order must not wait for it.
                order.abandoned = True
                _log.error("provider_ignores_its_timeout", order=order.claim.id)
                abandon(order)
            elif now < order.deadline < now + lease_s * 2 / 3:
                held.setdefault(order.claim.id, []).append(order)
        if not held:
            continue
        try:
            renewed = await store.renew(held.keys(), lease_s)
        except Busy:
            continue
        except Exception:
            _log.exception("leases_not_renewed", orders=len(held))
            continue
        for order_id in renewed:
            for order in held[order_id]:
                order.deadline = now + lease_s


async def correct_clock_for_ever(
    store: FulfilmentStore, clock: Clock, lease_s: float, wake: Callable[[], None]
) -> None:
    """Correct due times that a jumped clock has set; `wake` is called when there were some."""
    while True:
        try:
            corrected = await store.correct_jumped_clock(_LEASES * lease_s)
        except Busy:
            pass
        except Exception:
            _log.exception("jumped_clock_not_corrected")
        else:
            if corrected:
                _log.warning("database_clock_jumped", orders=corrected)
                wake()
        await clock.sleep(_CORRECT_CLOCK_S)
