"""The verbs of pauses: a person's, those of sales on trial, and the judge's.

Locks are taken in one order: the catalogue's revision, then streaks, then pauses. `record` locks streaks alone, `take` and
`give_back` one pause alone.
"""

from collections.abc import Mapping
from typing import Final

from telvend.catalog.model import Network
from telvend.catalog.pauses import store
from telvend.catalog.pauses.metrics import STEPS
from telvend.catalog.pauses.model import (
    BY_ITSELF,
    JudgedNetwork,
    NetworkPause,
    PastPause,
    PausePolicy,
    Step,
    StepKind,
    Streak,
    TrialTicket,
    judge,
)
from telvend.catalog.service import TOPIC, network_named
from telvend.catalog.store import networks, networks_called
from telvend.database.connections import Database, Tx, clock, increment_revision
from telvend.errors import Busy, NotFound
from telvend.kit import log
from telvend.kit.text import require_reason

_log = log.get(__name__)

_SHORTEST_GAP_S: Final = 300.0
"""Failures further apart than this, or than the policy's `after_s` where that is longer, make no streak.

It is longer than a breaker rests: while one is open, its probes are all that is attempted.
"""


class NetworkPauses:
    """Pauses of one shop's networks. Every process learns of a change with the catalogue."""

    def __init__(self, database: Database, policy: PausePolicy | None = None) -> None:
        self._database = database
        self.policy = policy or PausePolicy()

    # A person ------------------------------------------------------------------------------------------------------------

    async def pause(self, word: str, *, reason: str, by_whom: str, country: str | None = None) -> Network:
        """Pause a network until somebody resumes it. An automatic pause becomes this person's; a person's gets a new reason.

        Orders that were placed go on. Raises NotFound, and InvalidInput, also where several countries have a network of this
        code and none is named.
        """
        reason, by_whom = require_reason(reason, by_whom)
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            network = await network_named(tx, word, country)
            before = await store.pause_of(tx, network.id)
            if before is not None:
                if (before.automatic, before.reason, before.by_whom) == (False, reason, by_whom):
                    return network
                await store.end_pause(tx, before.id, by_whom=by_whom, reason="paused with another reason")
            await store.insert_pause(tx, network.id, automatic=False, reason=reason, by_whom=by_whom, retry_s=None)
            (after,) = await networks_called(tx, network.code, network.country)
        return after

    async def resume(
        self, word: str, *, reason: str, by_whom: str, country: str | None = None
    ) -> tuple[Network, NetworkPause | None]:
        """End the pause of a network, whoever began it, and forget its failures. Return the network and the pause that ended.

        None for a network that was not paused. Raises NotFound, InvalidInput.
        """
        reason, by_whom = require_reason(reason, by_whom)
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            network = await network_named(tx, word, country)
            await store.clear_streak(tx, network.id)
            pause = await store.pause_of(tx, network.id)
            if pause is not None:
                await store.end_pause(tx, pause.id, by_whom=by_whom, reason=reason)
            (after,) = await networks_called(tx, network.code, network.country)
        return after, pause

    async def history(
        self, word: str | None = None, country: str | None = None, *, before: int | None = None, limit: int = 50
    ) -> list[PastPause]:
        """Pauses, newest first, of the network of this code in one country or in all, or of every network.

        Raises NotFound for a network that does not exist.
        """
        async with self._database.connection() as tx:
            ids = None
            if word is not None or country is not None:
                found = [
                    network
                    for network in await networks(tx)
                    if (word is None or network.code.casefold() == word.strip().casefold())
                    and (country is None or network.country == country.strip().upper())
                ]
                if not found:
                    raise NotFound("Network")
                ids = [network.id for network in found]
            return await store.past_pauses(tx, ids, before, limit)

    # Sales on trial ------------------------------------------------------------------------------------------------------

    async def take(self, network_id: int) -> TrialTicket | None:
        """Return leave for one live sale of a network on trial; None where the trial has no more. Raises Busy."""
        async with self._database.transaction() as tx:
            taken = await store.take_ticket(tx, network_id)
        if taken is None:
            return None
        ticket, left = taken
        if left == 0:
            await self._tell()
        return ticket

    async def give_back(self, ticket: TrialTicket) -> None:
        """Give leave back that no sale was made with. While the database is away it is lost: the next trial has more."""
        try:
            async with self._database.transaction() as tx:
                left = await store.give_back_ticket(tx, ticket)
            if left == 1:
                await self._tell()
        except Busy:
            _log.warning("trial_sale_not_given_back", pause=ticket.pause_id)

    async def _tell(self) -> None:
        # In a transaction of its own: the order of locks is the revision first.
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)

    # The judge -----------------------------------------------------------------------------------------------------------

    async def record(self, seen: Mapping[int, Streak], at: float) -> None:
        """Merge what this process has seen, by network, into the streaks of all. `at`: now, on the clock of `seen`. Raises Busy."""
        gap_s = max(self.policy.after_s, _SHORTEST_GAP_S)
        async with self._database.transaction() as tx:
            known = await store.lock_streaks(tx, seen)
            now = (await clock(tx)).timestamp()
            merged = {
                network_id: known[network_id].not_after(now).merged(streak.shifted(now - at), gap_s)
                for network_id, streak in seen.items()
                if network_id in known
            }
            await store.write_streaks(
                tx, {network_id: streak for network_id, streak in merged.items() if streak != known[network_id]}
            )

    async def judge(self) -> list[Step]:
        """Pause, try and resume networks as the streaks say. Return what was done. Any number of processes may. Raises Busy."""
        async with self._database.connection() as tx:
            if not await self._steps(tx, lock=False):
                return []
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            # Again under the lock: another process may have done it meanwhile.
            steps = await self._steps(tx, lock=True)
            for step in steps:
                await self._write(tx, step)
        for step in steps:
            _announce(step)
        return steps

    async def _steps(self, tx: Tx, *, lock: bool) -> list[Step]:
        known = await networks(tx)
        if lock:
            streaks = await store.lock_streaks(tx, [network.id for network in known])
        else:
            streaks = await store.streaks(tx)
        pauses = await store.open_pauses(tx)
        judged = [
            JudgedNetwork(
                network.id, network.country, network.code, network.active, streaks.get(network.id, Streak()),
                pauses.get(network.id),
            )
            for network in known
        ]  # fmt: skip
        return judge(judged, (await clock(tx)).timestamp(), self.policy)

    async def _write(self, tx: Tx, step: Step) -> None:
        network, pause, policy = step.network, step.network.pause, self.policy
        if pause is None:
            await store.insert_pause(
                tx, network.id, automatic=True, reason=step.reason, by_whom=BY_ITSELF, retry_s=policy.retry_s
            )
        elif step.kind is StepKind.RESUMED:
            await store.end_pause(tx, pause.id, by_whom=BY_ITSELF, reason=step.reason)
        elif step.kind is StepKind.TRIAL:
            await store.begin_trial(tx, pause.id, policy.retry_sales)
        else:
            await store.end_trial(tx, pause.id, policy.retry_s)


def _announce(step: Step) -> None:
    network = step.network
    STEPS.count(network.country, network.code, step.kind)
    tell = {StepKind.PAUSED: _log.error, StepKind.RESUMED: _log.warning}.get(step.kind, _log.info)
    tell(f"network_{step.kind}", country=network.country, network=network.code, why=step.reason)
