"""Named places where a test may make the process die, wait or fail.

`hit("lane.after_write")` stands at such a place and does nothing (about 50 ns) unless the environment variable
TELVEND_FAILPOINTS arms it when the process starts:

    TELVEND_FAILPOINTS="lane.after_write=kill;attempt.after_send=kill@3;lane.after_locks=sleep:0.5;settle.before_commit=error"

`kill` ends the process with SIGKILL, as a power cut would; `sleep:S` waits S seconds; `error` raises FailpointError.
With `@N` that happens the Nth time only, without it every time; each process counts for itself. A name or an action
that nobody knows is an error at start, so that a misspelt test does not pass.
"""

import asyncio
import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import Literal

VARIABLE = "TELVEND_FAILPOINTS"

FAILPOINTS = {
    "lane.before_begin": "A batch of orders has been taken from the queue; no transaction has begun.",
    "lane.after_locks": "The wallets of the batch are locked; nothing has been written.",
    "lane.after_write": "Orders, transfers and wallets are written; the transaction is not committed.",
    "lane.after_commit": "The batch is durable; nobody has been answered.",
    "attempt.before_write": "An order is claimed; no attempt is recorded and the provider knows nothing.",
    "attempt.after_write": "The attempt is durable; the provider has not been called.",
    "attempt.after_send": "The request has gone to the provider; its answer has not been read.",
    "attempt.after_answer": "The provider has answered; the outcome has not been handed on.",
    "settle.before_commit": "Outcomes and their transfers are written; the transaction is not committed.",
    "settle.after_commit": "The outcomes are durable; their claims have not been given back.",
    "identity.after_hold": "The price of an identity check is held; the authority has not been asked.",
    "identity.after_answer": "The authority has answered; nothing of it is written.",
    "identity.before_commit": "What the answer means is written; the transaction is not committed.",
    "identity.after_commit": "An identity check is durable; its caller has not been answered.",
    "purge.after_rows": "A batch of purged checks is durable; no key has been destroyed.",
    "purge.after_days": "Nothing is wrapped for the purged days any more; what stays of them is not wrapped anew.",
    "purge.before_keys": "The database says that keys are to be destroyed; no node has done it.",
    "subscribers.after_locks": "The subscribers of a batch are locked; nothing has been written.",
    "subscribers.before_commit": "What subscribers get or use is written; the transaction is not committed.",
    "subscribers.after_commit": "What subscribers get or use is durable; nobody has been answered.",
    "refill.after_locks": "Everything that a batch of refills touches is locked; nothing has been written.",
    "refill.before_commit": "Refills, vouchers, buckets, transfers and wallets are written; the transaction is not committed.",
    "refill.after_commit": "The batch of refills is durable; nobody has been answered.",
    "funding.before_start": "A funding is durable; the gateway knows nothing of it.",
    "funding.after_start": "The gateway has begun a payment; its address is not written.",
    "funding.after_notice": "A gateway's notice is durable; the gateway has not been answered.",
    "funding.before_credit": "The gateway has said that a funding was paid; nothing is written.",
    "funding.before_commit": "What follows from a gateway's word is written; the transaction is not committed.",
    "funding.after_commit": "What follows from a gateway's word is durable; nobody has been told.",
    "correction.before_commit": "A debit or a refund is written; the transaction is not committed.",
    "correction.after_commit": "A debit or a refund is durable; nobody has been told.",
}


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


def hit(name: str) -> None:
    """Pass the failpoint `name` in code that blocks anyway; `sleep` blocks the thread."""
    if _armed:
        time.sleep(_pass(name))


async def hit_async(name: str) -> None:
    """Pass the failpoint `name` in a coroutine; `sleep` lets other tasks run."""
    if _armed and (sleep_s := _pass(name)):
        await asyncio.sleep(sleep_s)


def armed() -> list[str]:
    """The names that are armed in this process, for a warning at start."""
    return sorted(_armed)


def arm(specification: str) -> None:
    """Arm what `specification` says, in the language above, and disarm everything else. Raises FailpointsMisspelt."""
    points: dict[str, _Armed] = {}
    for part in filter(None, (part.strip() for part in specification.split(";"))):
        name, _, action = part.partition("=")
        if name not in FAILPOINTS:
            raise FailpointsMisspelt(f"{VARIABLE}: there is no failpoint {name!r}; there are {', '.join(FAILPOINTS)}.")
        points[name] = _read_action(part, action)
    _armed.clear()
    _armed.update(points)


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
        if name not in FAILPOINTS:
            raise FailpointsMisspelt(f"There is no failpoint {name!r}.")
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
