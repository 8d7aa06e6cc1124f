"""The allowance of one node, as a serving process asks for it: from its event loop, and often for one key many times at once.

Requests come in crowds: what is received in one turn of the event loop is looked at in the next. So the first request of a key
in a turn counts as many ahead as came in the turn before, and they share one lock with its two system calls. What does not come
is given back at the end of the turn, milliseconds later.
"""

import asyncio

from telvend.kit.allowance import Ahead, AllowanceKind, AllowanceVerdict, SharedAllowance

_MOST_AHEAD = 256


class NodeAllowance:
    """A SharedAllowance, to be awaited. For the thread of one event loop."""

    def __init__(self, shared: SharedAllowance) -> None:
        self._shared = shared
        self._now_ms = shared.now_ms
        self._kinds = {kind: _Turn() for kind in AllowanceKind}
        self._ends_in: asyncio.AbstractEventLoop | None = None

    async def take(self, key: bytes, kind: AllowanceKind, limit: int) -> AllowanceVerdict:
        """Count one request of `key`. Raises ValueError for a limit outside of 1 to HIGHEST_LIMIT."""
        turn = self._kinds[kind]
        turn.came[key] = came = turn.came.get(key, 0) + 1
        if came == 1:
            self._end_soon()
        elif (ahead := turn.ahead.get(key)) is not None:
            before = ahead.verdict
            if ahead.left and before.limit == limit and self._now_ms() <= ahead.until_ms:
                ahead.left -= 1
                ahead.verdict = verdict = AllowanceVerdict(True, limit, before.remaining - 1, before.reset_s, 0)
                return verdict
            if ahead.left:
                self._shared.give_back(ahead)
            del turn.ahead[key]
        wanted = min(turn.came_before.get(key, 0) - came, _MOST_AHEAD)
        if wanted <= 0:
            return self._shared.take(key, kind, limit)
        verdict, ahead = self._shared.take_ahead(key, kind, limit, wanted)
        if ahead is not None:
            turn.ahead[key] = ahead
        return verdict

    def _end_soon(self) -> None:
        """Have the turn end behind the requests that wait in this one."""
        loop = asyncio.get_running_loop()
        if self._ends_in is not loop:
            self._ends_in = loop
            loop.call_soon(self._end)

    def _end(self) -> None:
        self._ends_in = None
        for turn in self._kinds.values():
            for ahead in turn.ahead.values():
                if ahead.left:
                    self._shared.give_back(ahead)
            turn.ahead.clear()
            turn.came_before, turn.came = turn.came, {}


class _Turn:
    """How many requests of each key came in this turn of the event loop and in the one before, and what is counted ahead."""

    def __init__(self) -> None:
        self.came: dict[bytes, int] = {}
        self.came_before: dict[bytes, int] = {}
        self.ahead: dict[bytes, Ahead] = {}
