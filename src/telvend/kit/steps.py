"""Going through rows by time, in steps that hold no more rows than one statement should read."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

Count = Callable[[datetime, datetime], Awaitable[int]]
"""Count the rows between two moments, no further than one more than a step may hold."""


async def narrowed(
    since: datetime, horizon: datetime, step_s: float, count: Count, *, most: int, shortest_s: float
) -> tuple[datetime, float, int]:
    """Return where a step from `since` ends, how long it is in seconds, and how many rows it has: at most `most` of them.

    It ends at `horizon` at the latest, and is a quarter as long each time until it fits, but no shorter than `shortest_s`: after
    quiet weeks the step is long, and the next day may be a busy one.
    """
    until = min(since + timedelta(seconds=step_s), horizon)
    rows = await count(since, until)
    while step_s > shortest_s and rows > most:
        step_s = max(shortest_s, step_s / 4)
        until = min(since + timedelta(seconds=step_s), horizon)
        rows = await count(since, until)
    return until, step_s, rows
