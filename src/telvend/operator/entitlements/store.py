"""All SQL of what a product or a refill turns into."""

from collections.abc import Sequence
from typing import Any

from telvend.database.connections import Tx
from telvend.operator.entitlements.model import Bonus, Bundle, Fault, FaultyPart, RefillProfile
from telvend.operator.subscribers.balances.model import BucketKind


async def bundles(tx: Tx) -> dict[str, Bundle]:
    """Every bundle by its code."""
    parts: dict[str, list[tuple[BucketKind, int]]] = {}
    for row in await tx.fetch("select code, kind, amount from network_bundle_part order by code, kind"):
        parts.setdefault(row["code"], []).append((BucketKind(row["kind"]), row["amount"]))
    rows = await tx.fetch("select code, name, validity_days, first_use, priority from network_bundle order by code")
    return {
        row["code"]: Bundle(
            row["code"],
            row["name"],
            row["validity_days"],
            row["first_use"],
            row["priority"],
            tuple(parts.get(row["code"], ())),
        )
        for row in rows
    }


async def write_bundle(tx: Tx, bundle: Bundle) -> None:
    """Add a bundle; one whose code exists becomes what is given here."""
    await tx.execute(
        "insert into network_bundle (code, name, validity_days, first_use, priority) values ($1, $2, $3, $4, $5)"
        " on conflict (code) do update set name = excluded.name, validity_days = excluded.validity_days,"
        " first_use = excluded.first_use, priority = excluded.priority",
        bundle.code, bundle.name, bundle.validity_days, bundle.first_use, bundle.priority,
    )  # fmt: skip
    await tx.execute("delete from network_bundle_part where code = $1", bundle.code)
    await tx.execute(
        "insert into network_bundle_part (code, kind, amount) select $1, * from unnest($2::text[], $3::bigint[])",
        bundle.code,
        [kind for kind, _ in bundle.parts],
        [amount for _, amount in bundle.parts],
    )


async def delete_bundle(tx: Tx, code: str) -> bool:
    """Whether there was one."""
    return bool(await tx.fetchval("delete from network_bundle where code = $1 returning true", code))


async def profiles(tx: Tx) -> dict[str, RefillProfile]:
    """Every refill profile by its id."""
    bonuses: dict[str, list[Bonus]] = {}
    for row in await tx.fetch(
        "select profile, kind, from_minor, flat, per_unit, validity_days from refill_bonus"
        " order by profile, kind, from_minor"
    ):
        bonuses.setdefault(row["profile"], []).append(
            Bonus(BucketKind(row["kind"]), row["from_minor"], row["flat"], row["per_unit"], row["validity_days"])
        )
    rows = await tx.fetch(
        "select id, description, main_basis_points, usable_days, reachable_days, active from refill_profile order by id"
    )
    return {row["id"]: _profile(row, bonuses.get(row["id"], ())) for row in rows}


def _profile(row: Any, bonuses: Sequence[Bonus]) -> RefillProfile:
    return RefillProfile(
        row["id"],
        row["description"],
        row["main_basis_points"],
        row["usable_days"],
        row["reachable_days"],
        row["active"],
        tuple(bonuses),
    )


async def write_profile(tx: Tx, profile: RefillProfile) -> None:
    """Add a refill profile; one whose id exists becomes what is given here."""
    await tx.execute(
        "insert into refill_profile (id, description, main_basis_points, usable_days, reachable_days, active)"
        " values ($1, $2, $3, $4, $5, $6)"
        " on conflict (id) do update set description = excluded.description,"
        " main_basis_points = excluded.main_basis_points, usable_days = excluded.usable_days,"
        " reachable_days = excluded.reachable_days, active = excluded.active",
        profile.id, profile.description, profile.main_basis_points, profile.active_days, profile.grace_days,
        profile.active,
    )  # fmt: skip
    await tx.execute("delete from refill_bonus where profile = $1", profile.id)
    for bonus in profile.bonuses:
        await tx.execute(
            "insert into refill_bonus (profile, kind, from_minor, flat, per_unit, validity_days)"
            " values ($1, $2, $3, $4, $5, $6)",
            profile.id, bonus.kind, bonus.from_minor, bonus.flat, bonus.per_unit, bonus.validity_days,
        )  # fmt: skip


async def faults(tx: Tx) -> dict[tuple[str, FaultyPart], Fault]:
    """Every fault by MSISDN and part."""
    rows = await tx.fetch("select msisdn, part, how from network_fault order by msisdn, part")
    return {(row["msisdn"], FaultyPart(row["part"])): Fault(row["how"]) for row in rows}


async def write_fault(tx: Tx, msisdn: str, part: FaultyPart, how: Fault | None) -> None:
    """Make a part of a subscriber fail, or (None) work again."""
    if how is None:
        await tx.execute("delete from network_fault where msisdn = $1 and part = $2", msisdn, part)
    else:
        await tx.execute(
            "insert into network_fault (msisdn, part, how) values ($1, $2, $3)"
            " on conflict (msisdn, part) do update set how = excluded.how",
            msisdn, part, how,
        )  # fmt: skip
