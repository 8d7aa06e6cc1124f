"""An invariant: what must hold of the tables at any moment, and a statement that lists what breaks it.

Each room states its own in `invariants.py`, as a tuple `INVARIANTS`; `audit/` runs them all.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invariant:
    """`rule` is the sentence that the report prints. `sql` selects one text column: a sentence for each thing that breaks it,
    a few examples being enough.
    """

    rule: str
    sql: str
