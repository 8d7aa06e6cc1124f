"""The keys that this process has seen lately, so that a request is recognised without the database.

A token (what OAuth gives for a key and its secret) is remembered in the same way, and no longer than it lasts.

What is remembered is trusted only while somebody watches the revision of the keys: the watcher calls `forget` when it
has moved and `refreshed` each time it has looked. When nobody has looked for `TRUSTED_S` seconds every request is
checked with the database, so that a revoked key is refused within a second whatever happens to the watcher.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from telvend.errors import NotAuthenticated
from telvend.kit.clock import Clock
from telvend.kit.turnstile import Turnstile
from telvend.resellers.keyforms import KeyForms
from telvend.resellers.model import Caller

TOPIC: Final = "keys"
"""The revision that counts the changes of keys, and of the wallets that a caller has."""

TRUSTED_S: Final = 0.8
REFUSED_S: Final = 1.0
_MOST_REFUSED: Final = 4096
_MOST_TOKENS: Final = 65536
# Anybody can send what looks like a key and is none, each time another. They get half of the pool, so that those whose key is
# known never wait long for theirs. After `forget` every key is looked up again, hence so many places to wait.
_LOOKED_UP_AT_ONCE: Final = 2
_MOST_WAITING: Final = 2048

_NOBODY: Final[tuple[Caller | None, float]] = (None, 0.0)


class Keyring:
    """Remembers whose key a text is. `ask` looks it up in the database; None for an unknown or revoked one."""

    def __init__(self, ask: Callable[[str], Awaitable[Caller | None]], forms: KeyForms, clock: Clock) -> None:
        self._ask = ask
        self._forms = forms
        self._monotonic = clock.monotonic
        self._looked_at = float("-inf")
        self._generation = 0
        # By the text and not by its digest: hashing would cost as much again as the rest of the look-up.
        self._callers: dict[str, Caller] = {}
        self._tokens: OrderedDict[str, tuple[Caller, float]] = OrderedDict()  # With the monotonic time of their end.
        self._refused_at: OrderedDict[str, float] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Caller | None]] = {}
        self._used: dict[bytes, float] = {}
        self._turnstile = Turnstile(_LOOKED_UP_AT_ONCE, _MOST_WAITING)

    def cached(self, api: str, key_text: str) -> Caller | None:
        """Whose key this is, if that is remembered and may be trusted. None says nothing about the key."""
        caller = self._callers.get(key_text) or self._of_token(key_text)
        if caller is None or caller.api != api:
            return None
        now = self._monotonic()
        if now - self._looked_at > TRUSTED_S:
            return None
        self._used[caller.key_bytes] = now
        return caller

    def take_uses(self) -> dict[bytes, float]:
        """Return which keys were used since the last call, each with the monotonic time of its last use."""
        used, self._used = self._used, {}
        return used

    def put_back_uses(self, used: dict[bytes, float]) -> None:
        """Keep uses that could not be written for the next `take_uses`."""
        self._used = used | self._used

    def _of_token(self, text: str) -> Caller | None:
        caller, ends_at = self._tokens.get(text, _NOBODY)
        if caller is not None and ends_at <= self._monotonic():
            del self._tokens[text]
            return None
        return caller

    async def authenticate(self, api: str, key_text: str) -> Caller:
        """Whose key this is, from memory or else from the database. Raises NotAuthenticated, Busy."""
        caller = self.cached(api, key_text)
        if caller is not None:
            return caller
        if not self._forms.fits(api, key_text) or self._refused_lately(key_text):
            raise NotAuthenticated
        # Requests with one key that come together ask once: after `forget` all of them come at the same moment.
        asking = self._asking.get(key_text)
        if asking is None:
            asking = asyncio.ensure_future(self._look_up(key_text, self._generation))
            self._asking[key_text] = asking
        # Shielded: the others still want the answer when this request is given up.
        caller = await asyncio.shield(asking)
        if caller is None or caller.api != api:
            raise NotAuthenticated
        self._used[caller.key_bytes] = self._monotonic()
        return caller

    def forget(self) -> None:
        """Forget everything, and do not remember what was asked before now: it may be as old as that."""
        self._generation += 1
        self._callers.clear()
        self._tokens.clear()
        self._refused_at.clear()
        self._asking.clear()

    def refreshed(self, at: float) -> None:
        """The revision was looked at, and `forget` was called if it had moved. `at`: monotonic, before looking."""
        self._looked_at = at

    async def _look_up(self, key_text: str, generation: int) -> Caller | None:
        try:
            async with self._turnstile:
                asked_at = self._monotonic()
                caller = await self._ask(key_text)
        finally:
            if generation == self._generation:
                self._asking.pop(key_text, None)
        if generation == self._generation:
            if caller is not None and caller.expires_in_s is not None:
                self._tokens[key_text] = (caller, asked_at + caller.expires_in_s)
                if len(self._tokens) > _MOST_TOKENS:
                    self._tokens.popitem(last=False)
            elif caller is not None:
                self._callers[key_text] = caller
            else:
                self._callers.pop(key_text, None)
                self._tokens.pop(key_text, None)
                self._refused_at[key_text] = self._monotonic()
                if len(self._refused_at) > _MOST_REFUSED:
                    self._refused_at.popitem(last=False)
        return caller

    def _refused_lately(self, key_text: str) -> bool:
        at = self._refused_at.get(key_text)
        return at is not None and self._monotonic() - at < REFUSED_S
