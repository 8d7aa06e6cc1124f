"""A trial: what was sent to which provider, and what became of it."""

from datetime import datetime
from typing import Final

import msgspec

from telvend.kit.money import Money
from telvend.orders.model import AttemptState
from telvend.providers.contract import Accepted, Delivered, Delivery, NotSent, Outcome, Refused, Unknown

STATES: Final = {
    Delivered: AttemptState.DELIVERED,
    Accepted: AttemptState.ACCEPTED,
    Refused: AttemptState.REFUSED,
    NotSent: AttemptState.NOT_SENT,
    Unknown: AttemptState.UNKNOWN,
}


class Trial(msgspec.Struct, frozen=True):
    """One delivery by hand. `charged` is what the provider says that it took; None where it says nothing."""

    id: int
    provider: str
    delivery: Delivery
    state: AttemptState
    asked: int
    text: str
    provider_reference: str | None
    charged: Money | None
    by_whom: str
    started_at: datetime
    finished_at: datetime | None
    age_s: float
    """How old it was when it was read, by the database's clock."""

    @property
    def reference(self) -> str:
        """What the provider knows it by."""
        return self.delivery.reference


def believed(outcome: Outcome, age_s: float, settles_after_s: float) -> Outcome:
    """Return what may be believed of the answer to a question: "never heard of it" counts only after a time."""
    if isinstance(outcome, NotSent) and age_s < settles_after_s:
        return Unknown(f"{outcome.text}; it may still be on its way, for {settles_after_s - age_s:.0f} s more")
    return outcome
