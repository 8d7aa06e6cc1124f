"""A provisional credit: what it is, when it may be given, and how old an order's doubt is. No database.

The order stays as it is: its hold is in flight, its provider is asked, and no API shows it as anything but pending. When it ends,
so does the credit, in the same transaction:

    open          the outcome of the order is unknown; the house has lent its price to the wallet
    reversed      the order has failed: the hold went back to the wallet, and the credit back to the house
    written_off   the order was delivered: the hold is posted as ever, the wallet keeps the credit, and the house bears it
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from telvend.kit.clock import Clock
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.orders.model import AttemptState, OrderState

CREDIT_PREFIX: Final = "PROV"
REVERSAL_PREFIX: Final = "REV"
"""Our references of credits and reversals begin with them: PROV-4711-7kq2xd, REV-4712-k3xn0p."""


class CreditState(StrEnum):
    """How a provisional credit stands, as the head of this file says."""

    OPEN = "open"
    REVERSED = "reversed"
    WRITTEN_OFF = "written_off"


@dataclass(frozen=True, slots=True)
class ProvisionalCredit:
    """A provisional credit; `order` is our reference of its order, `order_state` the state of that."""

    id: int
    our_reference: str
    order_id: int
    order: str
    order_state: OrderState
    wallet_id: int
    amount: Money
    position: int
    reason: str
    by_whom: str
    state: CreditState
    created_at: datetime


@dataclass(frozen=True, slots=True)
class EnteredReport:
    """What a provider said of an attempt after a person had decided otherwise, as it was entered. `order` is our reference."""

    id: int
    order: str
    order_state: OrderState
    attempt: int
    provider: str
    delivered: bool
    amount: Money
    text: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Given:
    """The result of giving a credit. `again`: the order had one before, and nothing has moved now."""

    credit: ProvisionalCredit
    balance: Money
    again: bool


@dataclass(frozen=True, slots=True)
class OpenCredits:
    """The open credits of one currency."""

    count: int
    amount: Money


@dataclass(frozen=True, slots=True)
class CreditableOrder:
    """An order as the decision about a credit sees it, locked. `holds_play_money`: its wallet does."""

    id: int
    reference: str
    wallet_id: int
    mode: Mode
    price: Money
    state: OrderState
    attempts: tuple[AttemptState, ...]
    credited: bool
    holds_play_money: bool


def refusal_of(order: CreditableOrder) -> str | None:
    """Why this order gets no provisional credit; None where its outcome is unknown."""
    if order.mode is not Mode.LIVE:
        return "is an order of play money"
    if order.holds_play_money:
        return "was paid from a wallet that holds play money"
    if order.state is OrderState.FAILED:
        return "has failed: the wallet has its money back already"
    if order.state is OrderState.DELIVERED:
        return f"is delivered; when its price is to go back all the same: telvend order refund {order.reference}"
    if order.state not in (OrderState.WAITING, OrderState.REVIEW):
        return "is with a provider right now; try again when it is waiting or in review"
    if AttemptState.DELIVERED in order.attempts:
        return f"was delivered, says a provider; decide it: telvend order resolve {order.reference} --delivered or --failed"
    if not order.attempts or (order.state is OrderState.WAITING and not any(state.open for state in order.attempts)):
        return "waits for a provider: nobody has delivered it, so that its outcome is not unknown"
    return None


class UnknownAges:
    """For how long the outcome of orders has been unknown, as far as no jump of the database's clock is believed.

    The age by that clock is noted at every look. Of all looks the one that makes an order the youngest counts, and the time since
    is counted by this process's monotonic clock. An order has no age before it has been watched for `watch_s`: a clock that is ahead
    is usually corrected within minutes.
    """

    def __init__(self, clock: Clock, watch_s: float) -> None:
        self._clock = clock
        self._watch_s = watch_s
        # When it was first seen, and the least that its age was ahead of our clock.
        self._seen: dict[int, tuple[float, float]] = {}

    def note(self, order_id: int, age_s: float) -> float | None:
        """Note the age by the database's clock. Return the age that is believed; None while the order is new here."""
        now = self._clock.monotonic()
        first, ahead = self._seen.get(order_id, (now, age_s - now))
        ahead = min(ahead, age_s - now)
        self._seen[order_id] = (first, ahead)
        return now + ahead if now - first >= self._watch_s else None

    def keep(self, order_ids: Collection[int]) -> None:
        """Forget all other orders."""
        self._seen = {order_id: seen for order_id, seen in self._seen.items() if order_id in order_ids}
