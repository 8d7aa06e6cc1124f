"""All SQL of play money in live wallets."""

import os
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from telvend.database.connections import Tx, rows
from telvend.funding.play_money.model import PlayFunding, PlayWallet
from telvend.kit.money import Money, currency_of


class VoidRow(msgspec.Struct, frozen=True, gc=False):
    """A void, as it is written."""

    id: int
    reference: str
    funding_id: int
    wallet_id: int
    taken_minor: int
    spent_minor: int
    position: int | None
    balance_after_minor: int


async def fundings(tx: Tx, funding_id: int | None = None) -> list[PlayFunding]:
    """Fundings with play money that was not voided, or this one of them, by wallet and then the oldest first."""
    found = await tx.fetch(
        "select p.id, p.reference, p.wallet_id, p.gateway, p.currency, p.outstanding_minor, r.email"
        " from play_money p join reseller r on r.id = p.reseller_id"
        " where $1::bigint is null or p.id = $1 order by p.wallet_id, p.id",
        funding_id,
    )
    return [
        PlayFunding(
            row["id"],
            row["reference"],
            row["wallet_id"],
            row["email"],
            row["gateway"],
            Money(row["outstanding_minor"], currency_of(row["currency"])),
        )
        for row in found
    ]


async def wallets(tx: Tx) -> list[PlayWallet]:
    """Live wallets with play money, the reseller's e-mail address first."""
    found = await tx.fetch(
        "select r.email, p.currency, sum(p.outstanding_minor)::bigint as outstanding, w.balance_minor"
        " from play_money p join reseller r on r.id = p.reseller_id join wallet w on w.account_id = p.wallet_id"
        " group by r.email, p.currency, w.balance_minor order by r.email, p.currency"
    )
    return [
        PlayWallet(
            row["email"],
            Money(row["outstanding"], currency_of(row["currency"])),
            Money(row["balance_minor"], currency_of(row["currency"])),
        )
        for row in found
    ]


async def pretended(tx: Tx, funding_id: int) -> bool:
    """Whether the gateway of a completed funding pretended."""
    return bool(
        await tx.fetchval("select coalesce(pretended, gateway = 'sandbox') from funding where id = $1", funding_id)
    )


# Taken while play money is put into a live wallet, shared; and alone by a process that says that it is real.
_TAKING: Final = 0x504C4159


# A process that has said nothing for so long was killed.
_FRESH: Final = "seen_at > clock_timestamp() - interval '20 seconds'"


async def say_real(tx: Tx, process: UUID, node: str, vendors: str, *, delivers: bool) -> None:
    """Say that something real is connected to this process. When it is committed, nothing more is put into live wallets."""
    await tx.execute("select pg_advisory_xact_lock($1)", _TAKING)
    await tx.execute("delete from real_process where seen_at < clock_timestamp() - interval '1 day'")
    await tx.execute(
        "insert into real_process (process, node, pid, vendors, delivers) values ($1, $2, $3, $4, $5)"
        " on conflict (process) do update set seen_at = clock_timestamp()",
        process, node, os.getpid(), vendors, delivers,
    )  # fmt: skip


async def take_back_real(tx: Tx, processes: Sequence[UUID]) -> None:
    if processes:
        await tx.execute("delete from real_process where process = any($1::uuid[])", processes)


async def real_of(tx: Tx, node: str) -> list[tuple[UUID, int]]:
    """The processes of this node that say so, with their numbers there."""
    found = await tx.fetch("select process, pid from real_process where node = $1", node)
    return [(row["process"], row["pid"]) for row in found]


async def delivering_elsewhere(tx: Tx) -> str | None:
    """Where live orders go to a real provider, and what else is real there; None where nowhere."""
    found: str | None = await tx.fetchval(
        f"select node || ': ' || vendors from real_process where delivers and {_FRESH} limit 1"
    )
    return found


async def real_elsewhere(tx: Tx) -> str | None:
    """Where something real is connected, and what; None when play money may be put into a live wallet until `tx` ends."""
    await tx.execute("select pg_advisory_xact_lock_shared($1)", _TAKING)
    found: str | None = await tx.fetchval(f"select node || ': ' || vendors from real_process where {_FRESH} limit 1")
    return found


async def in_flight(tx: Tx, wallet_ids: Sequence[int]) -> dict[int, int]:
    """What sales that are not final hold of each of these wallets, in minor units; those with none are left out."""
    found = await tx.fetch(
        "select w.account_id, sum(s.price_minor)::bigint as minor from wallet w join sale s on s.reseller_id = w.reseller_id"
        " and s.currency = w.currency and s.mode = w.mode"
        " where s.open and w.account_id = any($1::bigint[]) group by w.account_id",
        wallet_ids,
    )
    return {row["account_id"]: row["minor"] for row in found}


async def write(tx: Tx, voids: Sequence[VoidRow], reason: str, by_whom: str) -> None:
    await tx.execute(
        "insert into funding_void (id, reference, funding_id, wallet_id, taken_minor, spent_minor, position,"
        " balance_after_minor, reason, by_whom) select id, reference, funding_id, wallet_id, taken_minor, spent_minor,"
        " position, balance_after_minor, $2, $3 from json_to_recordset($1::text::json) as new(id bigint, reference text,"
        " funding_id bigint, wallet_id bigint, taken_minor bigint, spent_minor bigint, position bigint,"
        " balance_after_minor bigint)",
        rows(voids), reason, by_whom,
    )  # fmt: skip


async def voids_of(tx: Tx, funding_id: int) -> list[Any]:
    """The voids of a funding, oldest first: reference, taken_minor, spent_minor, reason, by_whom, created_at."""
    found: list[Any] = await tx.fetch(
        "select reference, taken_minor, spent_minor, reason, by_whom, created_at from funding_void"
        " where funding_id = $1 order by id",
        funding_id,
    )
    return found
