"""All SQL that is about sales of every kind. It reads the view `sale`, and no table behind it."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from telvend.database.connections import Tx, rows
from telvend.sales.model import SaleKey, SaleKind

LOCK_REFERENCES: Final = "select pg_advisory_xact_lock(number) from unnest($1::bigint[]) as number"

# A plain join here is planned as a scan of whole tables while their statistics are young; the lateral look-up of one row
# each cannot be. tests/store/test_plans.py holds it to that.
FIND_TAKEN: Final = """
    select wanted.place from json_to_recordset($1::text::json)
        as wanted(place integer, reseller_id uuid, dialect text, mode text, client_reference text)
    cross join lateral (
        select from sale where sale.kind <> '%s' and sale.reseller_id = wanted.reseller_id and sale.dialect = wanted.dialect
            and sale.mode = wanted.mode and sale.client_reference = wanted.client_reference and sale.holds_reference
        limit 1
    ) as sold_under_it
"""


class ReferenceTaken(Exception):
    """Another transaction committed a sale under one of these references after they were looked up; this one is lost."""


@contextmanager
def unique_reference(constraint: str) -> Iterator[None]:
    """Raise ReferenceTaken where an insert violates this constraint, which makes references unique."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == constraint:
            raise ReferenceTaken from error
        raise


class _Wanted(msgspec.Struct, gc=False):
    """A key with its place among others."""

    place: int
    reseller_id: UUID
    dialect: str
    mode: str
    client_reference: str


def wanted_rows(keys: Sequence[SaleKey]) -> str:
    """Return keys as the statements that look references up read them: place, reseller_id, dialect, mode, client_reference."""
    return rows([_Wanted(place, *key) for place, key in enumerate(keys)])


async def lock_references(tx: Tx, keys: Collection[SaleKey]) -> None:
    """Wait for every other transaction that sells under one of these references, and keep further ones waiting.

    Two kinds of sale share no unique index, and two wallets of one reseller no lock. Wallets are locked before references,
    and these in one order, so that two transactions never wait for each other.
    """
    await tx.execute(LOCK_REFERENCES, sorted({_lock_number(key) for key in keys}))


def _lock_number(key: SaleKey) -> int:
    """Return the same number for the same reference on every node. Two references with one number wait for each other."""
    reseller_id, dialect, mode, reference = key
    text = f"{reseller_id}/{dialect}/{mode}/{reference}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)


async def taken_by_others(tx: Tx, kind: SaleKind, keys: Collection[SaleKey]) -> set[SaleKey]:
    """Return those of these references that a sale of another kind holds."""
    wanted = list(keys)
    found = await tx.fetch(FIND_TAKEN % kind, wanted_rows(wanted))
    return {wanted[row["place"]] for row in found}
