"""Read the providers' floats and report the breakers of a process that delivers.

    monitor = UpstreamMonitor(database, router, upstreams, low_floats, process="host:17")
    await monitor.report()             # every few seconds
    await monitor.look_at("vt")        # every few seconds for each: asks when it is this process's turn

Every process looks at the floats that any of them has read: a float that has grown ends the rest of a provider whose float
was empty.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.fulfilment.model import clean
from telvend.fulfilment.routing import Router
from telvend.kit import log
from telvend.kit.money import MAXIMUM_MINOR, Money
from telvend.providers.upstream import BalanceUnavailable, Upstream
from telvend.upstreams import store
from telvend.upstreams.service import REPORTS_COUNT_FOR_S, ReportedBreaker, float_of

EVERY_S: Final = 4.0
"""How often a process reports, and looks whether a float is to be asked for."""

ASKED_EVERY_S: Final = 56.0
"""How old a question must be before the next one; with `EVERY_S` it comes within a minute."""

_LONGEST_ANSWER_S: Final = 30.0
_LONGEST_WHY: Final = 200

_log = log.get(__name__)


class UpstreamMonitor:
    """See the head of this file. `low_floats` are the settings' texts: an amount in the float's currency, or empty."""

    def __init__(
        self,
        database: Database,
        router: Router,
        upstreams: Sequence[Upstream],
        low_floats: Mapping[str, str],
        *,
        process: str,
        dice: random.Random | None = None,
    ) -> None:
        self._database = database
        self._router = router
        self._upstreams = {upstream.name: upstream for upstream in upstreams}
        self._low_floats = low_floats
        self._process = process
        # Only spreads the questions of many processes; no decision hangs on it.
        self._dice = dice or random.Random()  # noqa: S311
        self._asked: set[str] = set()
        self._silent: set[str] = set()
        self._seen: dict[str, int] = {}

    async def report(self) -> None:
        """Write down how the providers are doing in this process. Raises Busy."""
        health = [
            (
                health.provider,
                health.in_flight,
                msgspec.json.encode(
                    [
                        ReportedBreaker(breaker.group, breaker.state, clean(breaker.why)[:_LONGEST_WHY])
                        for breaker in health.breakers
                    ]
                ).decode(),
            )
            for health in self._router.snapshot()
        ]
        async with self._database.transaction() as tx:
            await store.report(tx, self._process, health, 3 * REPORTS_COUNT_FOR_S)

    async def close(self) -> None:
        """Take the reports of this process back."""
        try:
            async with self._database.transaction() as tx:
                await store.end_reports(tx, self._process)
        except Busy:
            pass  # They expire by themselves.

    async def look_at(self, name: str) -> None:
        """Ask for the float of a provider when it is this process's turn, and take in what others have read. Raises Busy."""
        if name in self._silent:
            return
        try:
            await self._look_at(name)
        except Busy:
            raise
        except Exception:
            # A bug here must not end a process that sells.
            _log.exception("float_not_looked_at", provider=name)

    async def _look_at(self, name: str) -> None:
        # A process that has just started asks as well: its settings may be new.
        every_s = ASKED_EVERY_S + self._dice.uniform(-2, 2) if name in self._asked else EVERY_S
        async with self._database.transaction() as tx:
            turn = await store.claim_float(tx, name, every_s)
        if turn:
            await self._ask(self._upstreams[name])
        self._asked.add(name)
        async with self._database.connection() as tx:
            found = next((float_of(row) for row in await store.floats(tx) if row["provider"] == name), None)
        if found is not None and found.amount is not None:
            before = self._seen.get(name)
            if before is not None and found.amount.minor > before:
                self._router.float_is_back(name)
            self._seen[name] = found.amount.minor

    async def _ask(self, upstream: Upstream) -> None:
        name = upstream.name
        answer: Money | BalanceUnavailable | None
        try:
            async with asyncio.timeout(min(upstream.traits.timeout_s, _LONGEST_ANSWER_S)):
                answer = await upstream.balance()
        except TimeoutError:
            answer = BalanceUnavailable("no answer in time")
        except Exception as error:
            # A bug of the connector. Its text may hold what the vendor said.
            _log.exception("float_not_read", provider=name)
            answer = BalanceUnavailable(f"the connector raised {type(error).__name__}")
        if answer is None:
            self._silent.add(name)
            return
        if isinstance(answer, Money) and abs(answer.minor) > MAXIMUM_MINOR:
            answer = BalanceUnavailable("names an amount that cannot be")
        async with self._database.transaction() as tx:
            before = float_of(await store.lock_float(tx, name))
            if isinstance(answer, BalanceUnavailable):
                await store.write_float_error(tx, name, clean(answer.text), not_allowed=answer.not_allowed)
            else:
                limit, mistake = self._limit(name, answer)
                low = limit is not None and answer.minor < limit.minor
                await store.write_float(tx, name, answer.minor, answer.currency.code, low=low, error=mistake)
        if isinstance(answer, BalanceUnavailable):
            if not before.error:
                tell = _log.error if answer.not_allowed else _log.warning
                tell("float_unavailable", provider=name, why=clean(answer.text))
        elif low and not before.low:
            _log.error("float_is_low", provider=name, float=str(answer), low_float=str(limit))
        elif before.low and not low:
            _log.info("float_is_enough_again", provider=name, float=str(answer))

    def _limit(self, name: str, amount: Money) -> tuple[Money | None, str]:
        """The amount below which the float is low, and what is wrong with the setting."""
        text = self._low_floats.get(name, "")
        if not text:
            return None, ""
        try:
            return Money.parse(text, amount.currency), ""
        except ValueError:
            return None, f"low_float is {text!r}, which is no amount of {amount.currency}"
