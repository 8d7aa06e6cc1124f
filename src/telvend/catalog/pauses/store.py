"""All SQL of pauses and streaks."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from telvend.catalog.pauses.model import NetworkPause, PastPause, Streak, TrialTicket
from telvend.database.connections import Tx

_PAUSE: Final = """
    select id, network_id, automatic, reason, by_whom, paused_at, retry_at, trial, trial_left from network_pause
    where ended_at is null
"""

_STREAK: Final = """
    select network_id, failures, extract(epoch from failing_since)::float8 as since,
        extract(epoch from last_failed_at)::float8 as last, why, extract(epoch from delivered_at)::float8 as delivered
    from network_streak
"""


async def open_pauses(tx: Tx) -> dict[int, NetworkPause]:
    """The pauses that have not ended, by network."""
    return {row["network_id"]: NetworkPause(**row) for row in await tx.fetch(_PAUSE)}


async def pause_of(tx: Tx, network_id: int) -> NetworkPause | None:
    """The pause of this network, locked until the end of `tx`."""
    row = await tx.fetchrow(f"{_PAUSE} and network_id = $1 for update", network_id)
    return NetworkPause(**row) if row else None


async def insert_pause(
    tx: Tx, network_id: int, *, automatic: bool, reason: str, by_whom: str, retry_s: float | None
) -> bool:
    """Pause a network. False where it is paused already."""
    made = await tx.fetchval(
        "insert into network_pause (network_id, automatic, reason, by_whom, retry_at)"
        " values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))"
        " on conflict (network_id) where ended_at is null do nothing returning true",
        network_id, automatic, reason, by_whom, retry_s,
    )  # fmt: skip
    return bool(made)


async def end_pause(tx: Tx, pause_id: int, *, by_whom: str, reason: str) -> None:
    await tx.execute(
        "update network_pause set ended_at = clock_timestamp(), ended_by = $2, end_reason = $3, retry_at = null,"
        " trial_left = 0 where id = $1 and ended_at is null",
        pause_id, by_whom, reason,
    )  # fmt: skip


async def begin_trial(tx: Tx, pause_id: int, sales: int) -> None:
    """Let `sales` sales through."""
    await tx.execute(
        "update network_pause set trial = trial + 1, trial_left = $2, retry_at = null"
        " where id = $1 and ended_at is null and trial_left = 0",
        pause_id, sales,
    )  # fmt: skip


async def end_trial(tx: Tx, pause_id: int, retry_s: float) -> None:
    """Say when the next trial begins, where this one has no sales left."""
    await tx.execute(
        "update network_pause set retry_at = clock_timestamp() + make_interval(secs => $2)"
        " where id = $1 and ended_at is null and trial_left = 0 and retry_at is null",
        pause_id, retry_s,
    )  # fmt: skip


async def take_ticket(tx: Tx, network_id: int) -> tuple[TrialTicket, int] | None:
    """Take one of the trial's sales. Return it and how many are left; None where there are none."""
    row = await tx.fetchrow(
        "update network_pause set trial_left = trial_left - 1"
        " where network_id = $1 and ended_at is null and trial_left > 0 returning id, trial, trial_left",
        network_id,
    )
    return (TrialTicket(row["id"], row["trial"]), row["trial_left"]) if row else None


async def give_back_ticket(tx: Tx, ticket: TrialTicket) -> int:
    """Give a sale back to its trial. Return how many there are then; 0 where the trial or the pause has ended."""
    left = await tx.fetchval(
        "update network_pause set trial_left = trial_left + 1"
        " where id = $1 and trial = $2 and ended_at is null and retry_at is null returning trial_left",
        ticket.pause_id, ticket.trial,
    )  # fmt: skip
    return int(left or 0)


async def streaks(tx: Tx) -> dict[int, Streak]:
    """The streak of each network that has one."""
    return {row["network_id"]: _streak(row) for row in await tx.fetch(_STREAK)}


async def lock_streaks(tx: Tx, network_ids: Collection[int]) -> dict[int, Streak]:
    """The streaks of these networks, empty where there was none, locked until the end of `tx` in the order of their ids."""
    await tx.execute(
        "insert into network_streak (network_id) select id from unnest($1::integer[]) as wanted(id) order by id"
        " on conflict do nothing",
        sorted(network_ids),
    )
    found = await tx.fetch(
        f"{_STREAK} where network_id = any($1::integer[]) order by network_id for update", list(network_ids)
    )
    return {row["network_id"]: _streak(row) for row in found}


async def write_streaks(tx: Tx, changed: Mapping[int, Streak]) -> None:
    for network_id, streak in sorted(changed.items()):
        failing = streak.failures > 0
        await tx.execute(
            "update network_streak set failures = $2, failing_since = to_timestamp($3::float8),"
            " last_failed_at = to_timestamp($4::float8), why = $5, delivered_at = to_timestamp($6::float8)"
            " where network_id = $1",
            network_id, streak.failures, streak.since if failing else None, streak.last if failing else None, streak.why,
            streak.delivered,
        )  # fmt: skip


async def clear_streak(tx: Tx, network_id: int) -> None:
    """Forget the failures of a network."""
    await tx.execute(
        "update network_streak set failures = 0, failing_since = null, last_failed_at = null, why = ''"
        " where network_id = $1",
        network_id,
    )


async def past_pauses(tx: Tx, network_ids: Sequence[int] | None, before: int | None, limit: int) -> list[PastPause]:
    """Pauses of these networks, or of all, newest first; those before the number `before`."""
    rows = await tx.fetch(
        "select p.id, n.country, n.code as network, p.automatic, p.reason, p.by_whom, p.paused_at, p.trial, p.ended_at,"
        " p.ended_by, p.end_reason from network_pause p join network n on n.id = p.network_id"
        " where ($1::integer[] is null or p.network_id = any($1)) and ($2::bigint is null or p.id < $2)"
        " order by p.id desc limit $3",
        network_ids, before, limit,
    )  # fmt: skip
    return [PastPause(**row) for row in rows]


def _streak(row: Any) -> Streak:
    return Streak(row["failures"], row["since"] or 0.0, row["last"] or 0.0, row["why"], row["delivered"])
