"""What identity does by itself, in every process that serves.

Giving up checks that nobody has an answer for: their process died between the hold and the answer. Any number of processes
may do this at once; each check is locked, and looked at again, before its hold is released.

Destroying this node's copies of keys that a purge, on whichever node, has made useless.
"""

from typing import Final

from telvend.database.connections import Database
from telvend.identity import store
from telvend.identity.custody import Custody
from telvend.identity.vault import VaultRefused
from telvend.identity.verification import VerificationSale
from telvend.kit.clock import Clock
from telvend.kit.log import LogLimit, get
from telvend.kit.periodic import PeriodicTask
from telvend.kit.runtime import NO_RUNTIME, Runtime

LOOK_EVERY_S: Final = 1.0
FORGET_EVERY_S: Final = 2.0
_AT_ONCE: Final = 100
_CORRECT_CLOCK_S: Final = 10.0

_log = get(__name__)


class StaleVerificationReaper(PeriodicTask):
    """Looks once a second, after `start`."""

    def __init__(
        self,
        database: Database,
        checking: VerificationSale,
        clock: Clock,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        super().__init__("giving identity checks up", self.look, clock, every_s=LOOK_EVERY_S, runtime=runtime)
        self._database = database
        self._checking = checking
        self._correct_clock_at = 0.0

    async def look(self) -> int:
        """Give up what is due now. Returns how many there were. Raises Busy."""
        async with self._database.connection() as tx:
            if (now := self._clock.monotonic()) >= self._correct_clock_at:
                self._correct_clock_at = now + _CORRECT_CLOCK_S
                await store.correct_jumped_clock(tx)
            due = await store.due(tx, _AT_ONCE)
        given_up = 0
        for verification_id, wallet_id in due:
            if await self._checking.give_up(verification_id, wallet_id):
                given_up += 1
                _log.warning("identity_check_given_up", check=verification_id)
        return given_up


class KeyRetention(PeriodicTask):
    """Looks every two seconds, after `start`."""

    def __init__(self, custody: Custody, clock: Clock, runtime: Runtime = NO_RUNTIME) -> None:
        super().__init__("destroying purged keys", self.look, clock, every_s=FORGET_EVERY_S, runtime=runtime)
        self._custody = custody
        self._complaints = LogLimit()

    async def look(self) -> None:
        """Destroy what is to be destroyed. A file that cannot be changed is told in the log. Raises Busy."""
        try:
            await self._custody.forget_days()
        except VaultRefused as error:
            self._complaints.write(_log.critical, "identity_keys_not_destroyed", why=str(error))
