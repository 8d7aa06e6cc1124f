"""A debit takes back what was credited by mistake; a refund gives the price of a delivered order back. No database.

Both are entries of their own with a reason and a name, each happens once, and neither changes what was entered before.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from telvend.kit.money import Money
from telvend.kit.text import require_text

DEBIT_PREFIX: Final = "DEBIT"
REFUND_PREFIX: Final = "REFUND"
"""Our references of debits and refunds begin with them: DEBIT-4711-7kq2xd."""

_LONGEST_REFERENCE: Final = 128


@dataclass(frozen=True, slots=True)
class Debit:
    """A debit of a wallet. `reference` is the operator's, `our_reference` what the owner of the wallet sees."""

    id: int
    our_reference: str
    wallet_id: int
    reference: str
    amount_minor: int
    position: int
    reason: str
    by_whom: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Refund:
    """The refund of an order; `order` is our reference of it."""

    id: int
    our_reference: str
    order_id: int
    order: str
    wallet_id: int
    amount_minor: int
    position: int
    reason: str
    by_whom: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Refunded:
    """The result of a refund. `again`: the order had been refunded before, and nothing has moved now."""

    refund: Refund
    amount: Money
    balance: Money
    again: bool


def require_reference(text: str) -> None:
    """Raise InvalidInput for a text that cannot be the operator's reference of a debit."""
    require_text("reference", text, _LONGEST_REFERENCE)
