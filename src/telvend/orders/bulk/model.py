"""A list of purchases as a job: its states, its lines, and how far it is. No database.

    CHECKED ──> BUYING ──> DONE
                 │  ^
                 v  │
                STOPPED          by its owner, or because it cannot go on: the wallet is empty, the account is suspended

Only a list without a mistake is kept. Buying starts when its owner says so; what was stopped can be gone on with.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from telvend.catalog.sheet import Problem
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.orders.list_sales import WalletTotal
from telvend.orders.model import OrderState

MOST_BYTES: Final = 1024 * 1024
MOST_LINES: Final = 5_000
"""A list is checked while its owner waits: a second for so many lines."""
MOST_CHECKED: Final = 10
"""So many lists that were checked and not bought are kept of a reseller; the oldest make room."""


class ListState(StrEnum):
    """Where a list stands."""

    CHECKED = "checked"
    """Nothing was bought."""
    BUYING = "buying"
    """A worker buys its lines."""
    STOPPED = "stopped"
    """Some lines may be bought; nothing more is."""
    DONE = "done"
    """Every line is bought, or refused."""


class LineState(StrEnum):
    """What has become of a line."""

    WAITING = "waiting"
    """Not tried yet, or to be tried again."""
    BOUGHT = "bought"
    """It has its order, which says the rest."""
    REFUSED = "refused"
    """Not bought: nothing was taken."""


@dataclass(frozen=True, slots=True)
class BulkList:
    """A list. `code` stands in its address; `reason` says why it was stopped; `claims` counts how often it was taken up."""

    id: int
    code: str
    reseller_id: UUID
    mode: Mode
    name: str
    by_whom: str
    state: ListState
    reason: str
    lines: int
    claims: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class BulkLine:
    """A line as it was checked, and its order where it has one. `line` counts from 1, the header's."""

    line: int
    product: str
    amount: str
    recipient: str
    note: str
    reference: str
    price: Money
    state: LineState
    error: str
    order: str | None = None
    order_state: OrderState | None = None

    @property
    def standing(self) -> str:
        """What has become of it, in a word or two."""
        if self.state is not LineState.BOUGHT:
            return "waiting" if self.state is LineState.WAITING else "not bought"
        if self.order_state is OrderState.DELIVERED:
            return "delivered"
        return "failed" if self.order_state is OrderState.FAILED else "on its way"


@dataclass(frozen=True, slots=True)
class Progress:
    """How many lines of a list stand how. Those that are bought are delivered, failed (the money is back) or on their way."""

    waiting: int
    refused: int
    delivered: int
    failed: int
    on_their_way: int

    @property
    def bought(self) -> int:
        return self.delivered + self.failed + self.on_their_way

    @property
    def lines(self) -> int:
        return self.waiting + self.refused + self.bought

    @property
    def settled(self) -> bool:
        """Whether nothing changes any more by itself once buying has ended."""
        return not self.on_their_way

    @property
    def percent(self) -> int:
        """How much of the list is decided."""
        return 100 * (self.lines - self.waiting) // self.lines if self.lines else 100


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check has found: the list that is kept, or everything that is wrong with it.

    `repeats` are lines that ask for what another line asks for; they are wrong unless its owner says that they are meant.
    """

    kept: BulkList | None
    problems: tuple[Problem, ...] = ()
    repeats: tuple[Problem, ...] = ()
    totals: tuple[WalletTotal, ...] = ()
