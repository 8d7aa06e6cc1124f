"""Receiving callbacks, and bringing questions forward by them.

    callbacks = Callbacks(database, {"vt": CallingProvider(form, secret)}, clock)
    acknowledgement = await callbacks.receive("vt", secret_of_path, headers, body)     # None: 404
    await callbacks.look(settle)                  # every second, in processes that deliver

A callback is a rumour. It is committed, answered, and looked at afterwards: where an attempt is open under its reference, or was
decided by a person, the provider is asked now instead of later. It changes no state of an attempt, and moves no money.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.fulfilment.late import store as late_store
from telvend.fulfilment.model import CalledBack, Effect, Item
from telvend.kit import log
from telvend.kit.clock import Clock
from telvend.kit.secret import Secret, random_text
from telvend.providers.upstream import CallbackForm, CallbackSignature
from telvend.upstreams.callbacks import store
from telvend.upstreams.callbacks.metrics import count_callback
from telvend.upstreams.callbacks.model import Result, is_from, is_signed, reference_in

EVERY_S: Final = 1.0
"""How often a process that delivers looks for callbacks."""

PAUSE_S: Final = 60.0
"""An attempt is asked about at most once in so long because of callbacks."""

MOST_USED: Final = 20
"""So many questions about an attempt are brought forward; later callbacks change nothing."""

PER_SECOND: Final = 50.0
_BURST: Final = 200.0
"""How many callbacks of a provider a process takes: so many a second, and so many at once."""

_AT_A_TIME: Final = 200
_KEPT_S: Final = 7 * 86_400.0
_FORGET_EVERY_S: Final = 3_600.0

_log = log.get(__name__)

Settle = Callable[[Sequence[Item]], Awaitable[Sequence[Effect | Exception]]]


@dataclass(frozen=True, slots=True)
class CallingProvider:
    """A provider that calls back: how, and with which secret."""

    form: CallbackForm
    secret: Secret


class Callbacks:
    """See the head of this file. `callers` are the providers with a `callback_secret`."""

    def __init__(self, database: Database, callers: Mapping[str, CallingProvider], clock: Clock) -> None:
        self._database = database
        self._callers = callers
        self._clock = clock
        # For an unknown provider a secret is compared as well, so that the response time does not reveal which ones exist.
        self._nobody = CallingProvider(CallbackForm((), {}), Secret(random_text(32)))
        self._no_signature = CallbackSignature("x-signature", "x-timestamp")
        self._left = {name: (_BURST, clock.monotonic()) for name in callers}
        self._forgets_at = clock.monotonic()

    @property
    def callers(self) -> Mapping[str, CallingProvider]:
        return self._callers

    async def receive(
        self, name: str, path_secret: str | None, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, Any] | None:
        """Store a callback, and return the body that its vendor expects; None where the response is to be a 404.

        Raises Busy where it was not stored, so that it is sent again.
        """
        caller = self._callers.get(name, self._nobody)
        signature = caller.form.signature
        by_path = is_from(path_secret or "", caller.secret)
        by_signature = is_signed(signature or self._no_signature, caller.secret, headers, body, self._clock.now())
        genuine = by_path if signature is None else by_signature and path_secret is None
        if name not in self._callers or not genuine:
            return None
        reference = reference_in(caller.form, body)
        if reference is None:
            return None
        if not reference:
            count_callback(name, Result.WITHOUT_REFERENCE)
            return caller.form.acknowledgement
        stored = self._has_room(name)
        if stored:
            async with self._database.connection() as tx:
                stored = await store.receive(tx, name, reference)
        count_callback(name, Result.TAKEN if stored else Result.FULL)
        if not stored:
            raise Busy
        return caller.form.acknowledgement

    def _has_room(self, name: str) -> bool:
        """Count one callback against what the provider may send."""
        now = self._clock.monotonic()
        left, then = self._left[name]
        left = min(_BURST, left + (now - then) * PER_SECOND)
        self._left[name] = (left - 1 if left >= 1 else left, now)
        return left >= 1

    async def look(self, settle: Settle) -> int:
        """Look at the callbacks that wait, and have their attempts asked about. Returns how many were brought forward. Raises Busy."""
        await self._forget_old()
        async with self._database.transaction() as tx:
            taken = await store.take(tx, PAUSE_S, _AT_A_TIME)
            if not taken:
                return 0
            names = [row["provider"] for row in taken], [row["reference"] for row in taken]
            found = {(row["provider"], row["reference"]): row for row in await store.find(tx, *names)}
            others = [
                row for row in taken if (row["provider"], row["reference"]) not in found and row["used"] <= MOST_USED
            ]
            # In this transaction: a decided attempt may have no later requery that would make up for one that was lost.
            decided, late = await late_store.bring_forward(
                tx, [row["provider"] for row in others], [row["reference"] for row in others]
            )
            gone = [row for row in others if (row["provider"], row["reference"]) not in decided]
            if gone:
                await store.forget(tx, [row["provider"] for row in gone], [row["reference"] for row in gone])
        # Where the process ends here, the requery runs at its scheduled time.
        for row in gone:
            count_callback(row["provider"], Result.UNKNOWN)
        for provider, reference in decided:
            count_callback(provider, Result.BROUGHT_FORWARD if (provider, reference) in late else Result.NOTHING)
        asked = [row for row in taken if (row["provider"], row["reference"]) in found and row["used"] <= MOST_USED]
        if not asked:
            return len(late)
        # Once for an attempt that was called about under both references.
        attempts = {
            (known["order_id"], known["number"]): row["provider"]
            for row in asked
            for known in [found[row["provider"], row["reference"]]]
        }
        effects = await settle([CalledBack(order_id, number) for order_id, number in attempts])
        forward = len(late)
        for provider, effect in zip(attempts.values(), effects, strict=True):
            if isinstance(effect, Exception):
                _log.error("callback_not_weighed", provider=provider, exc_info=effect)
                continue
            brought = effect is Effect.REQUERY_LATER
            forward += brought
            count_callback(provider, Result.BROUGHT_FORWARD if brought else Result.NOTHING)
        return forward

    async def _forget_old(self) -> None:
        if self._clock.monotonic() < self._forgets_at:
            return
        async with self._database.connection() as tx:
            await store.forget_old(tx, _KEPT_S)
        self._forgets_at = self._clock.monotonic() + _FORGET_EVERY_S
