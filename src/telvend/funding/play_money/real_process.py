"""Says in the database that something real is connected to this process, and heeds what others say, for as long as it serves.

Processes of one shop may have different settings, for a moment while it goes live or for longer by mistake.

    play money       one that pretends takes none into live wallets while another is real: it could buy there what is real, in
                     the moment until that one has heard of it, and would halt its sales (asking.py)
    live orders      one that pretends sells and delivers none while another delivers for real: its resellers pay for that
"""

from typing import Final
from uuid import uuid4

from telvend.connected import Connected
from telvend.database.connections import Database, Tx
from telvend.errors import Busy
from telvend.funding.play_money import store
from telvend.kit import log
from telvend.kit.clock import Clock
from telvend.kit.mode import Mode
from telvend.kit.processes import is_running
from telvend.sales.gate import SalesGate

CAUSE: Final = "another process is real"

_EVERY_S: Final = 5.0

_log = log.get(__name__)


class RealProcess:
    """See the head of this file. `yields`: live orders are left to others."""

    def __init__(self, connected: Connected, gate: SalesGate, node: str, clock: Clock) -> None:
        self._vendors = ", ".join(vendor.name for vendor in connected.real)
        self._delivers = connected.delivers_real
        self._gate = gate
        self._node = node
        self._clock = clock
        self._process = uuid4()
        self._said_at: float | None = None
        self.yields = False

    async def check(self, tx: Tx) -> None:
        """Say it, at most every few seconds, and look. Call it before play money is looked for. Raises what the database raises."""
        if self._said_at is None:
            await self._forget_killed(tx)
        now = self._clock.monotonic()
        if self._said_at is None or now - self._said_at >= _EVERY_S:
            if self._vendors:
                async with tx.transaction():
                    await store.say_real(tx, self._process, self._node, self._vendors, delivers=self._delivers)
            self._said_at = now
        if not self._delivers:
            self._heed(await store.delivering_elsewhere(tx))

    def _heed(self, elsewhere: str | None) -> None:
        if elsewhere is not None:
            text = (
                f"Live orders are delivered for real elsewhere in this shop ({elsewhere}), and would only pretend here."
            )
            self._gate.close(CAUSE, text, modes={Mode.LIVE})
            if not self.yields:
                _log.error("live_sales_halted", why=CAUSE, elsewhere=elsewhere)
        elif self.yields:
            self._gate.open(CAUSE)
            _log.warning("live_sales_released", why=CAUSE)
        self.yields = elsewhere is not None

    async def _forget_killed(self, tx: Tx) -> None:
        """Forget the processes of this node that could not take back what they said."""
        killed = [process for process, pid in await store.real_of(tx, self._node) if not is_running(pid)]
        await store.take_back_real(tx, killed)

    async def close(self, database: Database) -> None:
        """Take it back. Where the database is away, others forget it after a while."""
        if self._said_at is None or not self._vendors:
            return
        try:
            async with database.transaction() as tx:
                await store.take_back_real(tx, [self._process])
        except Busy:
            pass
