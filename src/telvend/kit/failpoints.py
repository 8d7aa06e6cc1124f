"""Named places where a test may make the process die, wait or fail.

`hit("lane.after_write")` stands at such a place and does nothing (about 50 ns) unless the environment variable
TELVEND_FAILPOINTS arms it when the process starts:

    TELVEND_FAILPOINTS="lane.after_write=kill;attempt.after_send=kill@3;lane.after_locks=sleep:0.5;settle.before_commit=error"

`kill` ends the process with SIGKILL, as a power cut would; `sleep:S` waits S seconds; `error` raises FailpointError.
With `@N` that happens the Nth time only, without it every time; each process counts for itself.

Each room lists its own failpoints in `failpoints.py`, and bootstrap hands all of them to `know`. An action that does not
exist, and a name that no room has, are errors at start, so that a misspelt test does not pass.
"""

import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

VARIABLE = "TELVEND_FAILPOINTS"


class FailpointError(Exception):
    """What an armed failpoint with the action `error` raises."""


class FailpointsMisspelt(ValueError):
    """TELVEND_FAILPOINTS names a failpoint or an action that does not exist."""


@dataclass(slots=True)
class _Armed:
    action: Literal["kill", "sleep", "error"]
    sleep_s: float
    only_time: int | None
    times: int = 0


_armed: dict[str, _Armed] = {}
_known: Mapping[str, str] | None = None


def hit(name: str) -> None:
    """Pass the failpoint `name` in code that blocks anyway; `sleep` blocks the thread."""
    if _armed:
        time.sleep(_pass(name))


async def hit_async(name: str) -> None:
    """Pass the failpoint `name` in a coroutine; `sleep` lets other tasks run."""
    if _armed and (sleep_s := _pass(name)):
        import asyncio

        await asyncio.sleep(sleep_s)


def armed() -> list[str]:
    """The names that are armed in this process, for a warning at start."""
    return sorted(_armed)


def know(points: Mapping[str, str]) -> None:
    """Set which failpoints there are, each with its sentence. Raises FailpointsMisspelt where another is armed."""
    global _known
    _known = points
    for name in _armed:
        require_known(name)


def arm(specification: str) -> None:
    """Arm what `specification` says, in the language above, and disarm everything else.

    Raises FailpointsMisspelt; for a name that does not exist only once `know` was called.
    """
    points: dict[str, _Armed] = {}
    for part in filter(None, (part.strip() for part in specification.split(";"))):
        name, _, action = part.partition("=")
        require_known(name)
        points[name] = _read_action(part, action)
    _armed.clear()
    _armed.update(points)


def require_known(name: str) -> None:
    """Raise FailpointsMisspelt for a name that no room has. Before `know` was called every name passes."""
    if _known is not None and name not in _known:
        raise FailpointsMisspelt(f"{VARIABLE}: there is no failpoint {name!r}; there are {', '.join(_known)}.")


def _read_action(part: str, text: str) -> _Armed:
    action, at, count = text.partition("@")
    kind, _, seconds = action.partition(":")
    try:
        only_time = int(count) if at else None
        if only_time is not None and only_time < 1:
            raise ValueError(count)
        if kind == "sleep" and 0 <= (sleep_s := float(seconds)) < threading.TIMEOUT_MAX:
            return _Armed("sleep", sleep_s, only_time)
        if action == "kill":
            return _Armed("kill", 0.0, only_time)
        if action == "error":
            return _Armed("error", 0.0, only_time)
    except ValueError:
        pass
    raise FailpointsMisspelt(
        f"{VARIABLE}: {part!r} is not NAME=kill, NAME=sleep:SECONDS or NAME=error, with @N or not."
    )


def _pass(name: str) -> float:
    """Count the hit and do what is armed; return the seconds that the caller is to sleep."""
    point = _armed.get(name)
    if point is None:
        require_known(name)
        return 0.0
    point.times += 1
    if point.only_time is not None and point.times != point.only_time:
        return 0.0
    if point.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if point.action == "error":
        raise FailpointError(name)
    return point.sleep_s


# At import, so that no process of a server, however it was started, can forget to.
arm(os.environ.get(VARIABLE, ""))
