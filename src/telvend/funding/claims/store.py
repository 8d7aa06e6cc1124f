"""All SQL of claims."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from telvend.database.connections import Tx
from telvend.funding.claims.model import Claim, ClaimState
from telvend.funding.model import Funding
from telvend.kit.money import Money, currency_of

CLAIMED_ONCE: Final = "funding_claim_once"
"""The constraint that is violated where a reseller claims the same again."""
PAID_ONCE: Final = "funding_claim_paid_once"
"""The constraint that is violated where a payment was credited to another claim."""

_COLUMNS: Final = (
    "id, reseller_id, gateway, reference, amount_minor, currency, note, by_whom, state, made_at, paid_minor, gateway_reference,"
    " funding, proposal_id, answer, settled_by, settled_at"
)


def _claim(row: Any) -> Claim:
    currency = currency_of(row["currency"])
    return Claim(
        row["id"], UUID(bytes=row["reseller_id"].bytes), row["gateway"], row["reference"], Money(row["amount_minor"], currency),
        row["note"], row["by_whom"], ClaimState(row["state"]), row["made_at"],
        None if row["paid_minor"] is None else Money(row["paid_minor"], currency), row["gateway_reference"], row["funding"],
        row["proposal_id"], row["answer"], row["settled_by"], row["settled_at"],
    )  # fmt: skip


async def insert(
    tx: Tx, reseller_id: UUID, gateway: str, reference: str, amount: Money, note: str, by_whom: str
) -> Claim:
    """Raises UniqueViolationError (CLAIMED_ONCE)."""
    row = await tx.fetchrow(
        "insert into funding_claim (reseller_id, gateway, reference, amount_minor, currency, note, by_whom)"
        f" values ($1, $2, $3, $4, $5, $6, $7) returning {_COLUMNS}",
        reseller_id, gateway, reference, amount.minor, amount.currency.code, note, by_whom,
    )  # fmt: skip
    return _claim(row)


async def open_of(tx: Tx, reseller_id: UUID) -> int:
    """How many claims of a reseller are not settled."""
    return int(
        await tx.fetchval(
            "select count(*) from funding_claim where reseller_id = $1 and state in ('open', 'waiting')", reseller_id
        )
    )


async def find(tx: Tx, claim_id: int) -> Claim | None:
    row = await tx.fetchrow(f"select {_COLUMNS} from funding_claim where id = $1", claim_id)
    return None if row is None else _claim(row)


async def listed(
    tx: Tx, reseller_id: UUID | None, states: Sequence[ClaimState], before: int | None, limit: int
) -> list[Claim]:
    """Claims in these states, newest first."""
    found = await tx.fetch(
        f"select {_COLUMNS} from funding_claim where ($1::uuid is null or reseller_id = $1) and state = any($2::text[])"
        " and id < $3 order by id desc limit $4",
        reseller_id, list(states), 2**62 if before is None else before, limit,
    )  # fmt: skip
    return [_claim(row) for row in found]


async def unsettled(tx: Tx, limit: int) -> list[Claim]:
    """Claims that are not settled, oldest first."""
    found = await tx.fetch(
        f"select {_COLUMNS} from funding_claim where state in ('open', 'waiting') order by id limit $1", limit
    )
    return [_claim(row) for row in found]


async def rivals(tx: Tx, claim: Claim) -> list[Claim]:
    """Other claims of the same payment, by anybody."""
    found = await tx.fetch(
        f"select {_COLUMNS} from funding_claim where reference = $1 and gateway = $2 and id <> $3 order by id limit 20",
        claim.reference, claim.gateway, claim.id,
    )  # fmt: skip
    return [_claim(row) for row in found]


# Settling: each returns False where somebody else was first ----------------------------------------------------------------


async def credit(tx: Tx, claim_id: int, paid: Money, gateway_reference: str, cause: int, by_whom: str) -> bool:
    """An open claim has its credit, with this number, in this transaction. Raises UniqueViolationError (PAID_ONCE)."""
    return await _changed(
        tx,
        "update funding_claim set state = 'credited', paid_minor = $2, gateway_reference = $3, cause = $4, settled_by = $5,"
        " settled_at = now() where id = $1 and state = 'open' returning id",
        claim_id, paid.minor, gateway_reference, cause, by_whom,
    )  # fmt: skip


async def propose(tx: Tx, claim_id: int, paid: Money, gateway_reference: str, proposal_id: int, by_whom: str) -> bool:
    """The credit of an open claim waits for a second person. Raises UniqueViolationError (PAID_ONCE)."""
    return await _changed(
        tx,
        "update funding_claim set state = 'waiting', paid_minor = $2, gateway_reference = $3, proposal_id = $4, settled_by = $5"
        " where id = $1 and state = 'open' returning id",
        claim_id, paid.minor, gateway_reference, proposal_id, by_whom,
    )  # fmt: skip


async def credit_by_funding(tx: Tx, claim_id: int, funding: Funding, by_whom: str) -> bool:
    """An open claim was a funding of ours, which is credited."""
    return await _changed(
        tx,
        "update funding_claim set state = 'credited', funding = $2, cause = $3, settled_by = $4, settled_at = now()"
        " where id = $1 and state = 'open' returning id",
        claim_id, funding.reference, funding.id, by_whom,
    )  # fmt: skip


async def refuse(tx: Tx, claim_id: int, answer: str, by_whom: str) -> bool:
    return await _changed(
        tx,
        "update funding_claim set state = 'refused', answer = $2, settled_by = $3, settled_at = now()"
        " where id = $1 and state = 'open' returning id",
        claim_id, answer, by_whom,
    )  # fmt: skip


async def confirmed(tx: Tx, claim: Claim, cause: int) -> None:
    """The proposal of a waiting claim was confirmed, and its credit stands in the ledger under this number."""
    await tx.execute(
        "update funding_claim set state = 'credited', cause = $3, settled_at = now()"
        " where id = $1 and state = 'waiting' and proposal_id = $2",
        claim.id, claim.proposal_id, cause,
    )  # fmt: skip


async def reopened(tx: Tx, claim: Claim) -> None:
    """The proposal of a waiting claim has ended without its credit."""
    await tx.execute(
        "update funding_claim set state = 'open', paid_minor = null, gateway_reference = null, proposal_id = null,"
        " settled_by = null where id = $1 and state = 'waiting' and proposal_id = $2",
        claim.id, claim.proposal_id,
    )  # fmt: skip


async def _changed(tx: Tx, statement: str, *values: object) -> bool:
    return await tx.fetchval(statement, *values) is not None
