"""All SQL of proposals."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from telvend.approvals.model import Act, ActKind, Confirmation, Proposal, ProposalState, name_key
from telvend.database.connections import Tx
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of

_FROM: Final = (
    " from (select p.*, e.ended_by, e.ended_at, e.reason as end_reason, e.cause, coalesce(e.state, case"
    " when p.expires_at <= statement_timestamp() then 'expired' else 'waiting' end) as state"
    " from proposal p left join proposal_end e on e.proposal_id = p.id) as p"
)
_PROPOSAL: Final = (
    "select id, kind, wallet_id, order_id, reference, amount_minor, currency, mode, reason, proposed_by, proposed_at,"
    f" expires_at, state, ended_by, ended_at, end_reason, cause{_FROM}"
)


async def find(tx: Tx, proposal_id: int) -> Proposal | None:
    """The proposal with this number."""
    row = await tx.fetchrow(f"{_PROPOSAL} where id = $1", proposal_id)
    return _proposal_of(row) if row else None


async def lock(tx: Tx, proposal_id: int) -> Proposal | None:
    """Lock a proposal until `tx` ends, so that it ends once; then read it."""
    await tx.execute("select from proposal where id = $1 for update", proposal_id)
    return await find(tx, proposal_id)


async def waiting(tx: Tx, act: Act) -> Proposal | None:
    """The proposal that waits for the same thing as `act`. Its wallet or order must be locked."""
    row = await tx.fetchrow(
        f"{_PROPOSAL} where wallet_id = $1 and reference = $2 and kind = any($3::text[]) and state = 'waiting'"
        " order by id desc limit 1",
        act.wallet_id, act.reference, list(act.kind.exclusive),
    )  # fmt: skip
    return _proposal_of(row) if row else None


async def listed(
    tx: Tx, states: Sequence[ProposalState], wallet_ids: Sequence[int] | None, before: int | None, limit: int
) -> list[Proposal]:
    """Proposals, newest first, from below number `before`."""
    found = await tx.fetch(
        f"{_PROPOSAL} where state = any($1::text[]) and ($2::bigint[] is null or wallet_id = any($2)) and id < $3"
        " order by id desc limit $4",
        list(states), wallet_ids, 2**62 if before is None else before, limit,
    )  # fmt: skip
    return [_proposal_of(row) for row in found]


async def of_order(tx: Tx, order_id: int) -> list[Proposal]:
    """Every proposal about an order, oldest first."""
    return [_proposal_of(row) for row in await tx.fetch(f"{_PROPOSAL} where order_id = $1 order by id", order_id)]


async def by_cause(tx: Tx, causes: Sequence[int]) -> dict[int, Proposal]:
    """The confirmed proposals whose deeds have these causes."""
    found = await tx.fetch(f"{_PROPOSAL} where cause = any($1::bigint[])", causes)
    return {row["cause"]: _proposal_of(row) for row in found}


async def alone_minor(tx: Tx, act: Act, within: timedelta) -> int:
    """What one person has moved on the wallet of `act` alone, with acts that count with it."""
    return int(
        await tx.fetchval(
            "select coalesce(sum(amount_minor), 0)::bigint from lone_act"
            " where wallet_id = $1 and kind = any($2::text[]) and done_at > clock_timestamp() - $3::interval",
            act.wallet_id, list(act.kind.added), within,
        )
    )  # fmt: skip


async def write_alone(tx: Tx, act: Act, cause: int) -> None:
    """Note that one person has done `act` alone."""
    await tx.execute(
        "insert into lone_act (cause, kind, wallet_id, amount_minor, done_at) values ($1, $2, $3, $4, clock_timestamp())",
        cause, act.kind, act.wallet_id, act.amount.minor,
    )  # fmt: skip


async def write(tx: Tx, act: Act, proposed_by: str, lasts: timedelta) -> int:
    """Write a proposal down. Return its number."""
    return int(
        await tx.fetchval(
            "insert into proposal (kind, wallet_id, order_id, reference, amount_minor, currency, mode, reason, proposed_by, who,"
            " proposed_at, expires_at) select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now, now + $11::interval"
            " from (select clock_timestamp() as now) as clock returning id",
            act.kind, act.wallet_id, act.order_id, act.reference, act.amount.minor, act.amount.currency.code, act.mode,
            act.reason, proposed_by, name_key(proposed_by), lasts,
        )
    )  # fmt: skip


async def write_end(
    tx: Tx, end: Confirmation, state: ProposalState, *, reason: str = "", cause: int | None = None
) -> None:
    """Write down how a proposal ended. It must be locked."""
    await tx.execute(
        "insert into proposal_end (proposal_id, state, ended_by, who, reason, cause, ended_at)"
        " values ($1, $2, $3, $4, $5, $6, clock_timestamp())",
        end.proposal_id, state, end.by_whom, name_key(end.by_whom), reason, cause,
    )  # fmt: skip


def _proposal_of(row: Any) -> Proposal:
    return Proposal(
        id=row["id"],
        kind=ActKind(row["kind"]),
        wallet_id=row["wallet_id"],
        order_id=row["order_id"],
        reference=row["reference"],
        amount=Money(row["amount_minor"], currency_of(row["currency"])),
        mode=Mode(row["mode"]),
        reason=row["reason"],
        proposed_by=row["proposed_by"],
        proposed_at=row["proposed_at"],
        expires_at=row["expires_at"],
        state=ProposalState(row["state"]),
        ended_by=row["ended_by"],
        ended_at=row["ended_at"],
        end_reason=row["end_reason"],
        cause=row["cause"],
    )
