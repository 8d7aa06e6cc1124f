"""The figures of days, kept up by a periodic task: what reports would otherwise add up anew for whoever asks.

A sale writes nothing for it. The task follows half a minute behind the ledger; a report adds what is younger to what is counted, in
one moment of the database, so that it is always exact. Days are forgotten when their month is closed, whose figures are sealed.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from telvend.database.connections import Database, Tx
from telvend.kit.steps import narrowed
from telvend.kit.zones import midnight
from telvend.orders.search.store import horizon as committed_before
from telvend.reports import store as report_store
from telvend.reports.model import ClosedMonth
from telvend.reports.summaries import store

EVERY_S: Final = 5.0
"""The interval at which the task looks for transfers that are not counted."""

YOUNGEST_S: Final = 30.0
"""Younger transfers are not counted yet."""

MOST: Final = 30_000
"""Transfers that one step counts."""

_WORK_S: Final = 0.5
_SHORTEST_STEP_S, _LONGEST_STEP_S = 1.0, 86400.0
_QUIET: Final = timedelta(hours=1)
"""How far the progress may stay behind while nothing moves: a shop that rests does not write."""
_BUSY_FROM: Final = 16
"""Purchases that wait in this process, from which on counting is put off."""


class DaySummaries:
    """Counts the days of one shop, which are those of `zone`. `pressure`: how many purchases wait in this process."""

    def __init__(
        self, database: Database, zone: ZoneInfo, pressure: Callable[[], int] = lambda: 0, *, most: int = MOST
    ) -> None:
        self._database = database
        self._zone = zone
        self._pressure = pressure
        self._most = most
        self._forgotten = -1  # So many months were closed when their days were removed last.

    async def work(self) -> int:
        """Count what can be counted now, for about half a second. Returns how many transfers. Raises Busy.

        One process of the shop at a time: to the others there is nothing to do.
        """
        began, counted = time.monotonic(), 0
        horizon: datetime | None = None
        while time.monotonic() - began < _WORK_S and self._pressure() < _BUSY_FROM:
            async with self._database.transaction() as tx:
                progress = await store.take(tx)
                if progress is None:
                    return counted
                # Read under the lock, and once: it moves on with the time, and would be followed for the whole half second.
                horizon = horizon or await committed_before(tx, YOUNGEST_S)
                closed = await report_store.closed_months(tx)
                since, step_s = progress.counted.until, progress.step_s
                if since is None or progress.counted.zone != str(self._zone):
                    await store.forget(tx)
                    since = await store.beginning(tx)
                elif closed and self._forgotten != len(closed):
                    for one in closed:
                        await store.forget(tx, one.month.first, one.month.next)
                self._forgotten = len(closed)
                found, until, step_s = await self._step(tx, since, horizon, step_s, closed)
                counted += found
                if until > since and (found or until < horizon or until - since > _QUIET):
                    await store.write_progress(tx, until, str(self._zone), step_s)
                if until >= horizon:
                    return counted
        return counted

    async def _step(
        self, tx: Tx, since: datetime, horizon: datetime, step_s: float, closed: Sequence[ClosedMonth]
    ) -> tuple[int, datetime, float]:
        """Count from a moment on. Returns how many transfers, until when, and how many seconds the next step takes."""
        if since >= horizon:
            return 0, since, step_s
        for one in closed:
            if one.begins_at <= since < one.ends_at:
                return 0, min(one.ends_at, horizon), step_s
        day = since.astimezone(self._zone).date()
        ends = [horizon, midnight(day + timedelta(days=1), self._zone)]
        ends += [one.begins_at for one in closed if one.begins_at > since]
        moved = partial(store.moved_between, tx, most=self._most)
        until, step_s, there = await narrowed(
            since, min(ends), step_s, moved, most=self._most, shortest_s=_SHORTEST_STEP_S
        )
        if there:
            await store.count(tx, day, since, until)
        if there < self._most // 2:
            step_s = min(_LONGEST_STEP_S, step_s * 2)
        return there, until, step_s
