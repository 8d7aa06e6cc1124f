"""Callbacks in the simulation: the real service over a twin of its table, with forgers and liars among those who post.

What must hold: a callback of somebody without the secret is not taken, one of the vendor is; whatever a body says, no order is
settled by it (the shop's checker sees that).
"""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from telvend.errors import Busy
from telvend.fulfilment.model import Effect, Item
from telvend.kit.secret import Secret
from telvend.providers.upstream import CallbackForm
from telvend.upstreams.callbacks import service
from telvend.upstreams.callbacks.service import CallingProvider
from tests.simulation.far_sides import CALLBACK_SECRET, Callback, FarSide, Genuine
from tests.simulation.virtual_time import OWNER

if TYPE_CHECKING:
    from tests.simulation.shop import Shop

Settle = Callable[[Sequence[Item]], Awaitable[Sequence[Effect | Exception]]]

_AGAIN_AFTER_S = 30.0
"""When a vendor posts again what was answered with an error."""
_WRONG = Secret("another-secret-of-callbacks")


@dataclass(slots=True)
class _Row:
    received_at: datetime
    waits: bool = True
    used: int = 0
    used_at: datetime | None = None


class CallbackTable:
    """The twin of the table and of `callbacks/store.py`. Each method is one statement."""

    def __init__(self, shop: "Shop") -> None:
        self._shop = shop
        self._rows: dict[tuple[str, str], _Row] = {}

    @property
    def waiting(self) -> bool:
        return any(row.waits for row in self._rows.values())

    async def receive(self, _tx: None, provider: str, reference: str) -> bool:
        now = self._shop.database_clock.now()
        row = self._rows.setdefault((provider, reference), _Row(now))
        row.waits, row.received_at = True, now
        return True

    async def take(self, _tx: None, pause_s: float, limit: int) -> list[dict[str, Any]]:
        now = self._shop.database_clock.now()
        pause = timedelta(seconds=pause_s)
        taken = []
        for (provider, reference), row in self._rows.items():
            rests = row.used_at is not None and now - pause <= row.used_at <= now + timedelta(minutes=1)
            if row.waits and not rests and len(taken) < limit:
                row.waits, row.used, row.used_at = False, row.used + 1, now
                taken.append({"provider": provider, "reference": reference, "used": row.used})
        return taken

    async def find(self, _tx: None, providers: Sequence[str], references: Sequence[str]) -> list[dict[str, Any]]:
        wanted = set(zip(providers, references, strict=True))
        return [
            {"provider": attempt.provider, "reference": text, "order_id": row.id, "number": attempt.number}
            for row in self._shop.store.open.values()
            for attempt in row.attempts
            if attempt.state.open
            for text in (attempt.reference, attempt.provider_reference)
            if text and (attempt.provider, text) in wanted
        ]

    async def forget(self, _tx: None, providers: Sequence[str], references: Sequence[str]) -> None:
        for key in zip(providers, references, strict=True):
            if not self._rows[key].waits:
                del self._rows[key]

    async def forget_old(self, _tx: None, _after_s: float) -> None:
        """A run is too short for it."""


class NothingDecided:
    """The twin of `fulfilment/late/store.py`: a person decides when a run has ended, and nothing is late news before."""

    async def bring_forward(
        self, _tx: None, _providers: Sequence[str], _references: Sequence[str]
    ) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        return set(), set()


class _Database:
    """The database as the service sees it: away, or there."""

    def __init__(self, shop: "Shop") -> None:
        self._shop = shop

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        await asyncio.sleep(0.001)
        if self._shop.database_away:
            raise Busy
        yield

    transaction = connection


class CallingBack:
    """What the vendors of a shop post to it. `settle_by` settles items through a worker of that number."""

    def __init__(self, shop: "Shop", forms: dict[str, CallbackForm]) -> None:
        self._shop = shop
        self.table = shop.callback_table
        self._forms = forms
        callers = {name: CallingProvider(form, CALLBACK_SECRET) for name, form in forms.items()}
        self._service = service.Callbacks(_Database(shop), callers, shop.clock)  # type: ignore[arg-type]
        self._looks = False

    def post(self, side: FarSide, callback: Callback) -> None:
        side.under_way += 1
        self._shop.loop.call_later(callback.after_s, self._arrive, side, callback, 3)

    def _arrive(self, side: FarSide, callback: Callback, times: int) -> None:
        task = self._shop.loop.create_task(self._receive(side, callback, times))
        self._shop.keep(task)

    async def _receive(self, side: FarSide, callback: Callback, times: int) -> None:
        form = self._forms[side.name]
        body = msgspec.json.encode(callback.body)
        secret = _WRONG if callback.by is Genuine.FORGER else CALLBACK_SECRET
        headers: dict[str, str] = {}
        path: str | None = secret.reveal()
        if form.signature is not None:
            stamp = str(int(self._shop.clock.now().timestamp()))
            made = hmac.new(secret.reveal().encode(), body + b":" + stamp.encode(), hashlib.sha256).hexdigest()
            headers, path = {form.signature.header: made, form.signature.timestamp_header: stamp}, None
        try:
            answer = await self._service.receive(side.name, path, headers, body)
        except Busy:
            if times:
                self._shop.loop.call_later(_AGAIN_AFTER_S, self._arrive, side, callback, times - 1)
            else:
                side.under_way -= 1
            return
        side.under_way -= 1
        if (answer is None) is not (callback.by is Genuine.FORGER):
            self._shop.broken.append(f"{side.name}: a callback by {callback.by.name} is answered {answer}")
        self._look_soon(0.5)

    def _look_soon(self, after_s: float) -> None:
        """In a process that delivers, every second; a worker that dies leaves it to the next one."""
        if not self._looks and self.table.waiting:
            self._looks = True
            self._shop.loop.call_later(after_s, self._look)

    def _look(self) -> None:
        self._looks = False
        if not self._shop.workers:
            self._looks = True
            self._shop.loop.call_later(1.0, self._look)
            return
        worker = self._shop.dice.choice(self._shop.workers)
        token = OWNER.set(worker.number)
        self._shop.keep(self._shop.loop.create_task(self._look_by(worker.settle)))
        OWNER.reset(token)

    async def _look_by(self, settle: Settle) -> None:
        try:
            await self._service.look(settle)
        except Busy:
            pass
        finally:
            if not self._shop.ended:
                self._look_soon(1.0)


def forms_of(sides: Collection[FarSide], form_of: Callable[[FarSide], CallbackForm | None]) -> dict[str, CallbackForm]:
    """The forms of those vendors that have a secret for callbacks."""
    found = {side.name: form_of(side) for side in sides if side.settings.callback_secret is not None}
    return {name: form for name, form in found.items() if form is not None}
