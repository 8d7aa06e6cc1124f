"""An invariant: a rule that must hold in every snapshot of the tables, and a statement that lists its violations.

Each room states its own in `invariants.py`, as a tuple `INVARIANTS`; `audit/` runs them all.
"""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """Which rows of its tables an invariant must read, in an audit from a checkpoint, to detect every violation by changed rows.

    audit/invariants.py selects these rows of each table; the statement of the invariant runs over them under the same names.
    """

    EVERYTHING = "everything"
    """All rows, each time. For tables that do not grow with sales, and for an invariant that cannot be divided."""
    SALE = "sale"
    """All rows of the causes (orders, credits, fundings, …) of which one row has changed."""
    WALLET = "wallet"
    """Each wallet with what came after the checkpoint; two transfers and one line replace everything before."""
    BLOCK = "block"
    """The blocks of wallets' lists in which a line has changed."""
    BUCKET = "bucket"
    """The buckets that have changed, with their new postings; one posting replaces everything before."""
    GIVEN = "given"
    """New postings, and the refills, deliveries, consumptions and reservations that changed with them."""
    RESERVED = "reserved"
    """The reservations that are held, and the reservations and buckets that have changed."""
    BATCH = "batch"
    """The batches in which a voucher has changed, with all their vouchers."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """`rule` is the sentence that the report prints. `sql` selects one text column: a sentence for each violation; a few examples
    are enough. `scope` lets an audit continue from a checkpoint.
    """

    rule: str
    sql: str
    scope: Scope = Scope.EVERYTHING
