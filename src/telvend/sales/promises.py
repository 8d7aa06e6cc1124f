"""Looks again, while the shop serves, whether the database keeps what it promised when the connection began.

Settings of a running server can be changed: `alter system set fsync = off` needs no new connection.
"""

import time
from typing import Final

from telvend.database.connections import Tx
from telvend.database.session import broken_promise
from telvend.kit.log import get
from telvend.sales.gate import SalesGate

CAUSE: Final = "promises"
_EVERY_S: Final = 5.0

_log = get(__name__)


class Promises:
    """`broken` is what does not hold, in one sentence; nothing is sold then."""

    def __init__(self, gate: SalesGate, *, every_s: float = _EVERY_S) -> None:
        self._gate = gate
        self._every_s = every_s
        self._looked_at = float("-inf")
        self.broken: str | None = None

    async def check(self, tx: Tx) -> None:
        """Look, at most every few seconds. Raises what the database raises."""
        if time.monotonic() - self._looked_at < self._every_s:
            return
        broken = await broken_promise(tx)
        self._looked_at = time.monotonic()
        if broken == self.broken:
            return
        self.broken = broken
        if broken is None:
            self._gate.open(CAUSE)
            _log.warning("database_keeps_its_promises_again")
        else:
            self._gate.close(CAUSE, broken)
            _log.critical("database_breaks_its_promises", why=broken)
