"""All SQL of premiums."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from telvend.database.connections import Tx, rows
from telvend.kit.money import Money, currency_of
from telvend.operator.premiums.model import Rate

Transaction = tuple[UUID, str, str]
"""What a request repeats under: reseller, mode, transactionId."""


class PremiumTaken(Exception):
    """Another process has just committed an answer under one of these transactionIds."""


class Stored(msgspec.Struct):
    """An answer as it is kept. `used_by` is the number of the answer that used it as its quote.

    `loyalty_balance_minor` None: it could not be read.
    """

    id: int
    reference: str
    reseller_id: UUID
    mode: str
    transaction_id: str | None
    fingerprint: str
    product: str
    transaction_type: str
    sender: str
    receiver: str
    amount_minor: int
    currency: str
    premium_minor: int
    loyalty_generated_minor: int
    loyalty_balance_minor: int | None
    message: str
    created_at: datetime
    expires_at: datetime
    used_by: int | None = None


_COLUMNS: Final = ", ".join(Stored.__struct_fields__)
_QUOTE_COLUMNS: Final = ", ".join(f"q.{name}" for name in Stored.__struct_fields__)

# A plain join would read the whole table while it is small, and go on doing so when it is large.
FIND: Final = f"""
    select {_QUOTE_COLUMNS}
    from json_to_recordset($1::text::json) as wanted(reseller_id uuid, mode text, transaction_id text)
    cross join lateral (
        select * from premium_quote q
        where q.reseller_id = wanted.reseller_id and q.mode = wanted.mode and q.transaction_id = wanted.transaction_id
        limit 1
    ) as q
"""

# In the order of the unique index: two processes that insert the same transactionIds wait for each other in one direction.
INSERT: Final = f"""
    insert into premium_quote ({_COLUMNS})
    select {_COLUMNS} from json_populate_recordset(null::premium_quote, $1::text::json)
    order by reseller_id, mode, transaction_id
    on conflict (reseller_id, mode, transaction_id) where transaction_id is not null do nothing
    returning id
"""

LOCK_QUOTES: Final = f"select {_COLUMNS} from premium_quote where id = any($1::bigint[]) order by id for update"

MARK_USED: Final = """
    update premium_quote set used_by = used.answer from unnest($1::bigint[], $2::bigint[]) as used(quote, answer)
    where id = used.quote
"""

_RATE: Final = """
    select product, transaction_type, currency, basis_points, floor_minor, cap_minor, loyalty_basis_points, quote_valid_s,
           to_oneself, momo_only, message, active
    from premium_rate
"""


# Rates ------------------------------------------------------------------------------------------------------------------


async def rates(tx: Tx) -> list[Rate]:
    """Every rate, in force or not, by product, transaction type and currency."""
    return [_rate(row) for row in await tx.fetch(f"{_RATE} order by product, transaction_type, currency")]


async def rate_of(tx: Tx, product: str, transaction_type: str, currency: str) -> Rate | None:
    """This rate, locked until the end of `tx`."""
    row = await tx.fetchrow(
        f"{_RATE} where product = $1 and transaction_type = $2 and currency = $3 for update",
        product, transaction_type, currency,
    )  # fmt: skip
    return _rate(row) if row else None


async def write_rate(tx: Tx, rate: Rate) -> None:
    """Add this rate; one for the same product, type and currency becomes it."""
    await tx.execute(
        "insert into premium_rate values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
        " on conflict (product, transaction_type, currency) do update set basis_points = excluded.basis_points,"
        " floor_minor = excluded.floor_minor, cap_minor = excluded.cap_minor,"
        " loyalty_basis_points = excluded.loyalty_basis_points, quote_valid_s = excluded.quote_valid_s,"
        " to_oneself = excluded.to_oneself, momo_only = excluded.momo_only, message = excluded.message,"
        " active = excluded.active",
        rate.product, rate.transaction_type, rate.floor.currency.code, rate.basis_points, rate.floor.minor,
        None if rate.cap is None else rate.cap.minor, rate.loyalty_basis_points, rate.quote_valid_s,
        rate.to_oneself, rate.momo_only, rate.message, rate.active,
    )  # fmt: skip


def _rate(row: Any) -> Rate:
    currency = currency_of(row["currency"])
    return Rate(
        product=row["product"],
        transaction_type=row["transaction_type"],
        basis_points=row["basis_points"],
        floor=Money(row["floor_minor"], currency),
        cap=None if row["cap_minor"] is None else Money(row["cap_minor"], currency),
        loyalty_basis_points=row["loyalty_basis_points"],
        quote_valid_s=row["quote_valid_s"],
        to_oneself=row["to_oneself"],
        momo_only=row["momo_only"],
        message=row["message"],
        active=row["active"],
    )


# Answers ----------------------------------------------------------------------------------------------------------------


async def next_numbers(tx: Tx, count: int) -> list[int]:
    """`count` fresh numbers of answers. Not part of the transaction: an unused one stays a gap."""
    return [
        row[0] for row in await tx.fetch("select nextval('premium_number') from generate_series(1, $1::int)", count)
    ]


async def lock_quotes(tx: Tx, ids: Sequence[int]) -> dict[int, Stored]:
    """Those of these answers that exist, locked in the order of their numbers until the end of `tx`."""
    found = await tx.fetch(LOCK_QUOTES, ids)
    return {row["id"]: _stored(row) for row in found}


async def find(tx: Tx, transactions: Iterable[Transaction]) -> dict[Transaction, Stored]:
    """Those of these transactionIds that were answered before."""
    wanted = [
        {"reseller_id": reseller_id, "mode": mode, "transaction_id": transaction_id}
        for reseller_id, mode, transaction_id in transactions
    ]
    stored = [_stored(row) for row in await tx.fetch(FIND, rows(wanted))]
    return {(item.reseller_id, item.mode, item.transaction_id or ""): item for item in stored}


async def quote_of(tx: Tx, number: int) -> Stored | None:
    """The answer of this number."""
    row = await tx.fetchrow(f"select {_COLUMNS} from premium_quote where id = $1", number)
    return _stored(row) if row else None


async def insert(tx: Tx, answers: Sequence[Stored]) -> None:
    """Write new answers. Raises PremiumTaken where an answer has the same transactionId already."""
    if len(await tx.fetch(INSERT, rows(answers))) != len(answers):
        raise PremiumTaken


async def mark_used(tx: Tx, used: Sequence[tuple[int, int]]) -> None:
    """Say of each (quote, answer) that the answer used the quote. The quotes are locked by this transaction."""
    await tx.execute(MARK_USED, [quote for quote, _ in used], [answer for _, answer in used])


async def forget(tx: Tx, older_than_days: int, limit: int) -> int:
    """Delete answers that are older than so many days, of the `limit` oldest. Returns how many went."""
    done: str = await tx.execute(
        "delete from premium_quote where id = any(array(select id from premium_quote order by id limit $2))"
        " and created_at < clock_timestamp() - make_interval(days => $1)",
        older_than_days, limit,
    )  # fmt: skip
    return int(done.split()[-1])


def _stored(row: Any) -> Stored:
    return Stored(*row)
