"""The twin of the fulfilment's store, in memory: the same claims, leases, settlements and money, in plain dictionaries.

It keeps a small double-entry ledger of its own. `problems` says what does not hold: the simulation asks after every
transaction. The contract test runs over this twin and over PostgreSQL.
"""

import copy
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from telvend.database.connections import Tx
from telvend.errors import InvariantBroken
from telvend.fulfilment.model import (
    AttemptSnapshot,
    ClaimedOrder,
    Deliver,
    Effect,
    Escalate,
    FulfilmentPolicy,
    Item,
    LockedOrder,
    Presume,
    Reschedule,
    Step,
)
from telvend.fulfilment.ports import ClaimTransaction
from telvend.fulfilment.weighing import may_release, weigh
from telvend.kit.clock import Clock
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.ledger.model import Journal, TransferKind, Wallet
from telvend.orders.model import AttemptState, OrderState

WALLET, IN_FLIGHT, MARGIN, LOSS, FUNDING, WRITE_OFF = 1, 2, 3, 4, 5, 6


@dataclass(slots=True)
class Row:
    """An order as its table has it."""

    id: int
    reference: str
    price: Money
    cost: Money
    due_at: datetime | None
    updated_at: datetime
    mode: Mode = Mode.LIVE
    state: OrderState = OrderState.ACCEPTED
    attempts: list[AttemptSnapshot] = field(default_factory=list)
    count: int = 0
    balance_after_minor: int = 0
    notes: list[str] = field(default_factory=list)


class _Claim:
    """A claim whose steps are kept until it commits."""

    def __init__(self, orders: Sequence[ClaimedOrder]) -> None:
        self.orders = orders
        self.steps: Sequence[Step] = []

    async def write(self, steps: Sequence[Step]) -> None:
        self.steps = steps


class MemoryStore:
    """One wallet, any number of orders. Every method is one transaction: it happens entirely or not at all."""

    def __init__(self, clock: Clock, policy: FulfilmentPolicy, funds: Money) -> None:
        self._clock = clock
        self._policy = policy
        self.orders: dict[int, Row] = {}
        self.open: dict[int, Row] = {}
        """Those that are not final: a long run asks about them all the time."""
        self.wallet = Wallet(WALLET, 0, 0)
        self.transfers: dict[tuple[int, int], tuple[int, int, int]] = {}
        self.accounts: Counter[int] = Counter()
        self._providers: dict[str, int] = {}
        self._late: set[tuple[int, int]] = set()
        journal = Journal({WALLET: self.wallet})
        journal.credit(0, WALLET, FUNDING, funds)
        self._write(journal)

    def place(self, order_id: int, price: Money, cost: Money) -> Row:
        """A sale: the hold and the order. Raises InsufficientBalance."""
        journal = Journal({WALLET: self.wallet})
        balance = journal.hold(order_id, WALLET, IN_FLIGHT, price)
        self._write(journal)
        row = Row(
            order_id,
            f"NPAPI-{order_id}-abcdef",
            price,
            cost,
            self._clock.now(),
            self._clock.now(),
            balance_after_minor=balance.minor,
        )
        self.enter(row)
        return row

    def enter(self, row: Row) -> None:
        """A new order."""
        self.orders[row.id] = self.open[row.id] = row

    @asynccontextmanager
    async def claim(self, limit: int, lease_s: float) -> AsyncIterator[ClaimTransaction]:
        now = self._clock.now()
        due = sorted(
            (row for row in self.open.values() if row.due_at is not None and row.due_at <= now),
            key=lambda row: row.due_at or now,
        )[:limit]
        claim = _Claim([self._claim_of(row, now) for row in due])
        yield claim
        if due and not claim.steps:
            raise InvariantBroken(f"{len(due)} orders were claimed and no steps written")
        for row, step in zip(due, claim.steps, strict=True):
            self._write_step(row, step, now, lease_s)

    def doubts(self, moment: datetime) -> bool:  # noqa: ARG002 - this book never goes back
        return False

    async def write_taken(self, tx: Tx, claims: Sequence[ClaimedOrder], steps: Sequence[Deliver]) -> None:  # noqa: ARG002
        """The orders are there; `due_at` of each is the end of the claim's lease."""
        for claim, step in zip(claims, steps, strict=True):
            row = self.orders[claim.id]
            self._write_step(row, step, claim.now, self._policy.lease_s)

    async def settle(self, items: Sequence[Item]) -> Sequence[Effect | Exception]:
        wallets = {WALLET: copy.copy(self.wallet)} if any(may_release(item) for item in items) else {}
        journal = Journal(wallets)
        locked_orders = {
            row.id: LockedOrder(
                row.id,
                row.reference,
                WALLET,
                row.mode,
                row.price,
                row.state,
                [copy.copy(attempt) for attempt in row.attempts],
            )
            for item in items
            if (row := self.orders.get(item.order_id)) is not None
        }
        for locked in locked_orders.values():
            for attempt in locked.attempts:
                attempt.reported = (locked.id, attempt.number) in self._late
        effects = [weigh(locked_orders.get(item.order_id), item, self._policy) for item in items]
        balances = {}
        for locked in locked_orders.values():
            if locked.releases:
                balances[locked.id] = journal.release(locked.id, WALLET, IN_FLIGHT, locked.price).minor
            elif locked.posting is not None:
                provider = self._providers.setdefault(locked.posting.provider, 10 + len(self._providers))
                journal.post(locked.id, IN_FLIGHT, provider, MARGIN, LOSS, locked.price, locked.posting.cost)
            self._enter_late_reports(locked, journal)
        self._write(journal)
        if wallets:
            self.wallet = wallets[WALLET]
        now = self._clock.now()
        for locked in locked_orders.values():
            row = self.orders[locked.id]
            if locked.changed:
                if row.state.final:
                    raise InvariantBroken(f"order {row.id} was {row.state} and becomes {locked.state}")
                row.state = locked.state
                if row.state.final:
                    del self.open[row.id]
                row.due_at = None if locked.due_in_s is None else now + timedelta(seconds=locked.due_in_s)
                row.updated_at = now
                row.balance_after_minor = balances.get(locked.id, row.balance_after_minor)
            for attempt in locked.attempts:
                attempt.changed = False
            row.attempts = locked.attempts
            row.notes += locked.notes
        return effects

    def _enter_late_reports(self, locked: LockedOrder, journal: Journal) -> None:
        for report in locked.late:
            self._late.add((locked.id, report.attempt))
            if not report.cost.minor:
                continue
            # Numbers of their own, below those of orders.
            cause, provider = -len(self._late), self._providers.setdefault(report.provider, 10 + len(self._providers))
            if report.delivered:
                journal.enter_late_cost(cause, WRITE_OFF, provider, report.cost)
            else:
                journal.enter_late_return(cause, provider, WRITE_OFF, report.cost)

    async def rivals(self, order_id: int, number: int) -> int:
        """Every order here has a recipient of its own."""
        return sum(
            attempt.number != number and attempt.state is not AttemptState.NOT_SENT
            for attempt in self.orders[order_id].attempts
        )

    async def resend(self, order_id: int, number: int) -> int | None:
        attempt = next(attempt for attempt in self.orders[order_id].attempts if attempt.number == number)
        if attempt.state not in (AttemptState.STARTED, AttemptState.UNKNOWN):
            return None
        attempt.resent += 1
        return attempt.resent

    async def renew(self, order_ids: Collection[int], lease_s: float) -> set[int]:
        now = self._clock.now()
        renewed = set()
        for order_id in order_ids:
            row = self.orders[order_id]
            if row.due_at is not None and row.due_at > now:
                row.due_at = now + timedelta(seconds=lease_s)
                renewed.add(order_id)
        return renewed

    async def correct_jumped_clock(self, longest_lease_s: float) -> int:
        now = self._clock.now()
        slack = timedelta(seconds=5)
        count = 0
        for row in self.open.values():
            if row.due_at is None or row.due_at <= now + slack:
                continue
            fresh = row.state in (OrderState.ACCEPTED, OrderState.DELIVERING)
            if fresh and row.due_at > now + timedelta(seconds=longest_lease_s):
                row.due_at = now
            elif row.updated_at > now + slack:
                row.due_at = now + max(row.due_at - row.updated_at, timedelta())
            else:
                continue
            row.updated_at = min(row.updated_at, now)
            count += 1
        return count

    async def hand_back(self, order_ids: Collection[int]) -> None:
        now = self._clock.now()
        for order_id in order_ids:
            row = self.orders[order_id]
            if row.state is OrderState.DELIVERING and row.due_at is not None and row.due_at > now:
                row.due_at = now

    def _claim_of(self, row: Row, now: datetime) -> ClaimedOrder:
        return ClaimedOrder(
            id=row.id,
            reference=row.reference,
            mode=row.mode,
            wallet_id=WALLET,
            kind="data",
            country="GH",
            network="MTN",
            product_id=1,
            product="GH-MTN-1GB-30D",
            size="1GB",
            validity_days=30,
            subscriber="+233241234567",
            face=row.price,
            price=row.price,
            cost=row.cost,
            state=row.state,
            now=now,
            attempts=[copy.copy(attempt) for attempt in row.attempts],
        )

    def _write_step(self, row: Row, step: Step, now: datetime, lease_s: float) -> None:
        row.state = OrderState.DELIVERING
        row.updated_at = now
        row.due_at = now + timedelta(seconds=lease_s)
        match step:
            case Deliver() | Presume():
                if any(attempt.number == step.number for attempt in row.attempts):
                    raise InvariantBroken(f"order {row.id} has an attempt {step.number} already")
                name = step.chosen.provider.name if isinstance(step, Deliver) else step.provider
                row.count = step.number
                row.attempts.append(
                    AttemptSnapshot(
                        step.number,
                        name,
                        step.reference,
                        AttemptState.STARTED,
                        0,
                        False,
                        step.cost.minor,
                        now,
                        provider_code=step.provider_code,
                        type=step.type,
                    )
                )
                if isinstance(step, Presume):
                    row.state = OrderState.WAITING
                    row.due_at = now
                    row.notes.append(step.why)
            case Reschedule():
                row.state = step.state
                row.due_at = now + timedelta(seconds=step.after_s)
            case Escalate():
                row.state = OrderState.REVIEW
                row.due_at = None
                row.notes.append(step.why)
            case _:
                pass

    def _write(self, journal: Journal) -> None:
        for transfer in journal.transfers:
            cause, kind, amount = transfer.cause, transfer.kind, transfer.amount_minor
            if (cause, kind) in self.transfers:
                raise InvariantBroken(f"{TransferKind(kind).name} of order {cause} is written twice")
            if amount <= 0 or transfer.debit == transfer.credit:
                raise InvariantBroken(f"{TransferKind(kind).name} of order {cause} moves {amount}")
            self.transfers[cause, kind] = (transfer.debit, transfer.credit, amount)
            self.accounts[transfer.debit] -= amount
            self.accounts[transfer.credit] += amount

    def problems(self, order_ids: Iterable[int]) -> list[str]:
        """What does not hold in the books, and between them and these orders, in sentences."""
        found = []
        held = sum(row.price.minor for row in self.open.values())
        if self.accounts[IN_FLIGHT] != held:
            found.append(f"{self.accounts[IN_FLIGHT]} in flight, open orders come to {held}")
        if self.wallet.balance_minor != self.accounts[WALLET] or self.wallet.balance_minor < 0:
            found.append(f"the wallet stores {self.wallet.balance_minor}, transfers come to {self.accounts[WALLET]}")
        if sum(self.accounts.values()):
            found.append(f"accounts add up to {sum(self.accounts.values())}")
        for row in [self.orders[order_id] for order_id in order_ids]:
            open_attempts = sum(attempt.state.open for attempt in row.attempts)
            if row.state.final is (row.id in self.open):
                found.append(f"order {row.id} is {row.state} and counted among the {len(self.open)} that are open")
            if open_attempts > (0 if row.state.final else 1):
                found.append(f"order {row.id} is {row.state} with {open_attempts} open attempts")
            if (row.due_at is None) != (row.state in (OrderState.REVIEW, OrderState.DELIVERED, OrderState.FAILED)):
                found.append(f"order {row.id} is {row.state} and due {row.due_at}")
            if row.count != len(row.attempts):
                found.append(f"order {row.id} counts {row.count} attempts and has {len(row.attempts)}")
            posted = sum(
                self.transfers[row.id, kind][2]
                for kind in (TransferKind.COST, TransferKind.MARGIN)
                if (row.id, kind) in self.transfers
            )
            released = (row.id, TransferKind.RELEASE) in self.transfers
            if posted != (row.price.minor if row.state is OrderState.DELIVERED else 0):
                found.append(f"order {row.id} is {row.state} and {posted} of {row.price.minor} are posted")
            if released != (row.state is OrderState.FAILED):
                found.append(f"order {row.id} is {row.state} and its release is {released}")
        return found
