"""All SQL of refills."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from telvend.database.connections import Tx, rows
from telvend.database.together import Statement, execute_together
from telvend.kit.mode import Mode
from telvend.kit.money import CURRENCIES, Money
from telvend.operator.refills.model import Refill, RefillKind
from telvend.operator.vouchers.model import serial_text
from telvend.sales.model import SaleKey
from telvend.sales.store import unique_reference, wanted_rows

_COLUMNS: Final = """r.id, r.reference, r.reseller_id, r.dialect, r.mode, r.transaction_id, r.fingerprint, r.kind, r.subscriber_id,
    r.msisdn, r.profile, r.amount_minor, r.currency, r.capped, r.serial, r.wallet_id, r.position, r.balance_before_minor,
    r.balance_after_minor, r.created_at, r.sent_id"""

FIND_BY_TRANSACTION: Final = f"""
    select wanted.place, {_COLUMNS}
    from json_to_recordset($1::text::json)
        as wanted(place integer, reseller_id uuid, dialect text, mode text, client_reference text)
    cross join lateral (
        select * from refill where refill.reseller_id = wanted.reseller_id and refill.dialect = wanted.dialect
            and refill.mode = wanted.mode and refill.transaction_id = wanted.client_reference
        limit 1
    ) as r
"""

INSERT: Final = """
    insert into refill (id, reference, reseller_id, dialect, mode, transaction_id, fingerprint, kind, subscriber_id, msisdn,
        profile, amount_minor, currency, capped, serial, wallet_id, position, balance_before_minor, balance_after_minor,
        sent_id, created_at)
    select id, reference, reseller_id, dialect, mode, transaction_id, fingerprint, kind, subscriber_id, msisdn,
        profile, amount_minor, currency, capped, serial, wallet_id, position, balance_before_minor, balance_after_minor,
        sent_id, $2
    from json_to_recordset($1::text::json) as new(id bigint, reference text, reseller_id uuid, dialect text, mode text,
        transaction_id text, fingerprint text, kind text, subscriber_id bigint, msisdn text, profile text,
        amount_minor bigint, currency text, capped boolean, serial bigint, wallet_id bigint, position bigint,
        balance_before_minor bigint, balance_after_minor bigint, sent_id text)
"""


class NewRefill(msgspec.Struct, gc=False):
    """A new refill, as INSERT reads it."""

    id: int
    reference: str
    reseller_id: UUID
    dialect: str
    mode: str
    transaction_id: str
    fingerprint: str
    kind: str
    subscriber_id: int
    msisdn: str
    profile: str
    amount_minor: int
    currency: str
    capped: bool
    serial: int | None
    wallet_id: int | None
    position: int | None
    balance_before_minor: int | None
    balance_after_minor: int | None
    sent_id: str | None


async def find_by_transaction(tx: Tx, wanted: Collection[SaleKey]) -> dict[SaleKey, tuple[Refill, str]]:
    """The refills that stand under these transactionIds, with their fingerprints."""
    keys = list(wanted)
    found = await tx.fetch(FIND_BY_TRANSACTION, wanted_rows(keys))
    return {keys[row["place"]]: (refill_of(row), row["fingerprint"]) for row in found}


async def insert(tx: Tx, refills: Sequence[NewRefill], now: datetime, beside: Sequence[Statement] = ()) -> None:
    """Write new refills, and with the same statement what belongs to them. Raises ReferenceTaken."""
    with unique_reference("refill_transaction"):
        await execute_together(tx, [Statement(INSERT, (rows(refills), now)), *beside])


async def by_ids(tx: Tx, ids: Sequence[int]) -> dict[int, Refill]:
    """The refills with these numbers."""
    found = await tx.fetch(f"select {_COLUMNS} from refill r where r.id = any($1::bigint[])", ids)
    return {row["id"]: refill_of(row) for row in found}


async def listed(
    tx: Tx,
    *,
    reseller_id: UUID | None,
    mode: Mode | None,
    subscribers: Collection[int] | None,
    kind: RefillKind | None,
    transaction_id: str | None,
    before: int | None,
    limit: int,
) -> list[Refill]:
    """Refills, newest first, from below number `before`. `transaction_id`: the one in force, or what was sent."""
    # Only what is asked for stands in the statement, so that the index by subscriber serves it.
    whose = "$3::bigint[] is null" if subscribers is None else "r.subscriber_id = any($3::bigint[])"
    found = await tx.fetch(
        f"""
        select {_COLUMNS} from refill r
        where {whose} and ($1::uuid is null or r.reseller_id = $1) and ($2::text is null or r.mode = $2)
          and ($4::text is null or r.kind = $4) and r.id < $5
          and ($7::text is null or r.transaction_id = $7 or r.sent_id = $7)
        order by r.id desc limit $6
        """,
        reseller_id, mode, subscribers, kind, before if before is not None else 2**62, limit, transaction_id,
    )  # fmt: skip
    return [refill_of(row) for row in found]


async def subscriber_of(tx: Tx, refill_id: int) -> int:
    """The number of the subscriber who was refilled."""
    return int(await tx.fetchval("select subscriber_id from refill where id = $1", refill_id))


def refill_of(row: Any) -> Refill:
    """The refill in a row of `_COLUMNS`."""
    currency = CURRENCIES[row["currency"]]
    paid = row["wallet_id"] is not None
    return Refill(
        id=row["id"],
        reference=row["reference"],
        # asyncpg's own class compares equal, but hashes and pickles by other means than the standard one.
        reseller_id=UUID(bytes=row["reseller_id"].bytes),
        dialect=row["dialect"],
        mode=Mode(row["mode"]),
        transaction_id=row["transaction_id"],
        kind=RefillKind(row["kind"]),
        msisdn=row["msisdn"],
        profile=row["profile"],
        amount=Money(row["amount_minor"], currency),
        capped=row["capped"],
        serial=None if row["serial"] is None else serial_text(row["serial"]),
        wallet_id=row["wallet_id"],
        position=row["position"],
        before=Money(row["balance_before_minor"], currency) if paid else None,
        after=Money(row["balance_after_minor"], currency) if paid else None,
        created_at=row["created_at"],
        sent_id=row["sent_id"],
    )
