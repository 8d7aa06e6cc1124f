"""An invariant: what must hold of the tables at any moment, and a statement that lists what breaks it.

Each room states its own in `invariants.py`, as a tuple `INVARIANTS`; `audit/` runs them all.
"""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """Which part of its tables an invariant has to see again when rows have changed, so that it is found broken if it is.

    audit/invariants.py fills each: the statement of the invariant runs over that part under the same names.
    """

    EVERYTHING = "everything"
    """All rows, each time. For tables that do not grow with sales, and for an invariant that cannot be divided."""
    SALE = "sale"
    """All rows of the causes (orders, credits, fundings, …) of which one row has changed."""
    WALLET = "wallet"
    """Each wallet, with what came after the checkpoint; one transfer and one line stand for everything before."""
    BLOCK = "block"
    """The blocks of wallets' lists in which a line has changed."""
    BUCKET = "bucket"
    """The buckets that have changed, with their new postings; one posting stands for everything before."""
    GIVEN = "given"
    """New postings, and what they were made for in the same transaction."""
    RESERVED = "reserved"
    """What is reserved now, and the reservations and buckets that have changed."""
    BATCH = "batch"
    """The batches of which a voucher has changed, with all their vouchers."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """`rule` is the sentence that the report prints. `sql` selects one text column: a sentence for each thing that breaks it,
    a few examples being enough. `scope` lets an audit take up from a checkpoint.
    """

    rule: str
    sql: str
    scope: Scope = Scope.EVERYTHING
