"""All SQL of links to receipts."""

from typing import Any
from uuid import UUID

from telvend.database.connections import Tx


async def insert(tx: Tx, digest: bytes, order_id: int, reseller_id: UUID, lasts_s: float, most: int) -> bool:
    """Write a link; False where the order has `most` that work already. The caller has locked the order's links."""
    return bool(
        await tx.fetchval(
            "insert into receipt_link (digest, order_id, reseller_id, expires_at)"
            " select $1, $2, $3, now() + make_interval(secs => $4)"
            " where (select count(*) from receipt_link where order_id = $2 and revoked_at is null and expires_at > now()) < $5"
            " returning true",
            digest, order_id, reseller_id, lasts_s, most,
        )
    )  # fmt: skip


async def lock(tx: Tx, order_id: int) -> None:
    """Wait for whoever is making a link to the same order."""
    await tx.execute("select pg_advisory_xact_lock(hashtextextended('receipt_link', $1))", order_id)


async def order_of(tx: Tx, digest: bytes) -> int | None:
    """The order to whose receipt this link leads; None where it leads nowhere, or no longer."""
    found: int | None = await tx.fetchval(
        "select order_id from receipt_link where digest = $1 and revoked_at is null and expires_at > now()", digest
    )
    return found


async def revoke(tx: Tx, order_id: int, reseller_id: UUID) -> int:
    """Revoke the links to an order of a reseller; return how many worked until now."""
    found = await tx.fetch(
        "update receipt_link set revoked_at = now() where order_id = $1 and reseller_id = $2 and revoked_at is null"
        " and expires_at > now() returning 1",
        order_id, reseller_id,
    )  # fmt: skip
    return len(found)


async def working(tx: Tx, order_id: int) -> list[Any]:
    """When the links to an order that still work were made and when they end, oldest first."""
    found: list[Any] = await tx.fetch(
        "select created_at, expires_at from receipt_link where order_id = $1 and revoked_at is null and expires_at > now()"
        " order by created_at",
        order_id,
    )
    return found
