"""All SQL of named numbers."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from telvend.database.connections import Tx


@dataclass(frozen=True, slots=True)
class Beneficiary:
    """A number in E.164 and what its reseller calls it."""

    id: int
    number: str
    name: str
    created_at: datetime


async def count(tx: Tx, reseller_id: UUID) -> int:
    """How many named numbers a reseller has. Waits for whoever is adding one: the reseller's row is locked."""
    await tx.execute("select from reseller where id = $1 for no key update", reseller_id)
    return int(await tx.fetchval("select count(*) from beneficiary where reseller_id = $1", reseller_id))


async def knows(tx: Tx, reseller_id: UUID, number: str) -> bool:
    """Whether a reseller has named this number."""
    return bool(
        await tx.fetchval("select true from beneficiary where reseller_id = $1 and number = $2", reseller_id, number)
    )


async def write(tx: Tx, reseller_id: UUID, number: str, name: str) -> None:
    """Name a number, or give it another name."""
    await tx.execute(
        "insert into beneficiary (reseller_id, number, name) values ($1, $2, $3)"
        " on conflict (reseller_id, number) do update set name = excluded.name",
        reseller_id, number, name,
    )  # fmt: skip


async def remove(tx: Tx, reseller_id: UUID, beneficiary_id: int) -> bool:
    """Forget a named number; False where the reseller has none of this id."""
    return bool(
        await tx.fetchval(
            "delete from beneficiary where reseller_id = $1 and id = $2 returning true", reseller_id, beneficiary_id
        )
    )


async def listed(tx: Tx, reseller_id: UUID, limit: int) -> list[Beneficiary]:
    """The named numbers of a reseller, by name."""
    rows = await tx.fetch(
        "select id, number, name, created_at from beneficiary where reseller_id = $1 order by lower(name), id limit $2",
        reseller_id, limit,
    )  # fmt: skip
    return [Beneficiary(*row) for row in rows]
