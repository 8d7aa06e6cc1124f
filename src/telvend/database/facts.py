"""Facts: committed rows that a process remembers, to look for them later.

    remember(tx, Fact(FactKind.ORDER, order.id, at=order.created_at))     inside the transaction
    ...                                                                   handed to `Database.on_commit` when it commits

Whoever remembers facts can notice a database that has gone back to an earlier state: it does not have them
(docs/explain/fail-over.md). A number alone is not enough, since a sequence goes back too and numbers are used again.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec


class FactKind(StrEnum):
    """The rows that are looked for. The words stand in files and in `sales/continuity/store.py`."""

    ORDER = "order"
    """`number` is the order's; `final`: it is delivered or failed."""
    ATTEMPT = "attempt"
    """`number` is the order's, `part` the attempt's; `at` is when it was started."""
    VERIFICATION = "verification"
    """`number` is the check's; `final`: it has an outcome."""
    REFILL = "refill"
    """`number` is the refill's."""
    TRANSFER = "transfer"
    """`number` is the cause, `part` the kind; `detail` has accounts, amount and place in the wallet."""


class Fact(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row that was committed. `reference` is what people call it."""

    kind: FactKind
    number: int
    part: int = 0
    at: datetime | None = None
    final: bool = False
    reference: str = ""
    detail: str = ""

    @property
    def text(self) -> str:
        """What people call it: `order NPAPI-17-abcdef`."""
        name = f"{self.kind} {self.reference or self.number}"
        if self.kind is FactKind.TRANSFER:
            name = f"transfer {self.part} of sale {self.number}"
        if self.kind is FactKind.ATTEMPT:
            name += f" ({self.part})"
        return f"outcome of {name}" if self.final else name


def remember(tx: Any, fact: Fact) -> None:
    """Remember `fact` when `tx` commits; the last one of each kind counts, since they are committed together."""
    facts = getattr(tx, "facts", None)
    if facts is not None:
        facts[fact.kind] = fact
