"""What the tests of reports start from: a shop whose sales, credits and corrections happen at moments that a test names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from telvend.audit.service import audit_books
from telvend.corrections.service import Corrections
from telvend.database.connections import Database
from telvend.fulfilment.model import FulfilmentPolicy, ProviderReport
from telvend.fulfilment.postgres import PostgresFulfilmentStore
from telvend.fulfilment.provisional.service import ProvisionalCredits
from telvend.fulfilment.review import Review
from telvend.funding.credits.service import Credits
from telvend.kit.mode import Mode
from telvend.kit.money import Currency, Money
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.orders.model import Order, Placement
from telvend.orders.placement import OrderPlacement
from telvend.providers.contract import Delivered, Reason, Refused
from tests.store.purchases import Customer, customer

_MOVE = "update transfer set created_at = $1 where created_at > now() - interval '1 day'"
_MOVE_ORDERS = "update orders set updated_at = $1 where updated_at > now() - interval '1 day'"
_MOVE_BEGINNINGS = "update orders set created_at = $1 where created_at > now() - interval '1 day'"


@dataclass(slots=True)
class Books:
    """A shop with one customer. What has just happened is moved to the moment that a step names."""

    database: Database
    ama: Customer
    ledger: Ledger
    placement: OrderPlacement
    _credits: int = 0

    @classmethod
    async def open(cls, database: Database) -> "Books":
        return cls(database, await customer(database), Ledger(database), OrderPlacement(database))

    async def close(self) -> None:
        await self.placement.close()

    async def happened(self, at: datetime) -> None:
        """Move what was written in this test's own time to a moment of the past."""
        async with self.database.transaction() as tx:
            await tx.execute("set local session_replication_role = replica")
            for statement in (_MOVE, _MOVE_ORDERS, _MOVE_BEGINNINGS):
                await tx.execute(statement, at)

    async def damage(self, statement: str) -> None:
        """Run a statement that no trigger refuses."""
        async with self.database.transaction() as tx:
            await tx.execute("set local session_replication_role = replica")
            await tx.execute(statement)

    async def fund(self, at: datetime, amount: Money, mode: Mode = Mode.LIVE) -> None:
        self._credits += 1
        await Credits(self.database, self.ledger).add(self.ama.reseller_id, amount, mode, f"credit {self._credits}")
        await self.happened(at)

    async def place(self, at: datetime, currency: Currency, **changes: Any) -> Order:
        answer = (await self.placement.place_all([self.ama.wants(None, currency, **changes)]))[0]
        assert isinstance(answer, Placement), answer
        await self.happened(at)
        return answer.order

    async def _ask(self, order: Order, provider: str, cost_minor: int) -> None:
        """Give the order its attempt, unless it has one."""
        async with self.database.connection() as tx:
            await tx.execute(
                "insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at)"
                " values ($1, 1, $2, $3, 'unknown', $4, now()) on conflict do nothing",
                order.id, provider, f"{order.reference}-1", cost_minor,
            )  # fmt: skip
            await tx.execute("update orders set state = 'review', due_at = null, attempts = 1 where id = $1", order.id)

    @asynccontextmanager
    async def _jobs(self) -> AsyncIterator[PostgresFulfilmentStore]:
        jobs = PostgresFulfilmentStore(self.database, self.ledger, FulfilmentPolicy())
        try:
            yield jobs
        finally:
            await jobs.close()

    async def end(self, at: datetime, order: Order, *, delivered: bool, provider: str, cost_minor: int) -> None:
        await self._ask(order, provider, cost_minor)
        async with self._jobs() as jobs:
            await Review(jobs).resolve(order.reference, delivered=delivered, text="seen it")
        await self.happened(at)

    async def sell(
        self, at: datetime, currency: Currency, *, delivered: bool = True, provider: str = "vt", cost_minor: int = 390, **changes: Any
    ) -> Order:  # fmt: skip
        order = await self.place(at, currency, **changes)
        await self.end(at, order, delivered=delivered, provider=provider, cost_minor=cost_minor)
        return order

    async def refund(self, at: datetime, order: Order) -> None:
        await Corrections(self.database, self.ledger).refund(order.id, reason="never came", by_whom="Esi")
        await self.happened(at)

    async def lend(self, at: datetime, order: Order, provider: str, cost_minor: int) -> None:
        """Give a provisional credit to an order that was just placed."""
        await self._ask(order, provider, cost_minor)
        await ProvisionalCredits(self.database, self.ledger).give(order.id, reason="never came", by_whom="Esi")
        await self.happened(at)

    async def contradict(self, at: datetime, order: Order, *, delivered: bool) -> None:
        """A provider says of a decided order that a person was wrong, or that it was right."""
        outcome = Delivered() if delivered else Refused(Reason.BARRED)
        async with self._jobs() as jobs:
            await jobs.settle([ProviderReport(order.id, order.wallet_id, 1, outcome, True, 1e6, 0.0, True)])
        await self.happened(at)

    async def debit(self, at: datetime, amount: Money) -> None:
        self._credits += 1
        await Corrections(self.database, self.ledger).debit(
            self.ama.reseller_id, amount, Mode.LIVE, f"debit {self._credits}", reason="typed twice", by_whom="Esi"
        )
        await self.happened(at)

    async def changes(self, begins_at: datetime, ends_at: datetime) -> dict[tuple[AccountKind, str, str], int]:
        """How accounts changed in a span, by kind, owner and currency, straight from the transfers."""
        found: dict[tuple[AccountKind, str, str], int] = {}
        async with self.database.connection() as tx:
            rows = await tx.fetch(
                "select a.kind, a.owner, a.currency, sum(case when t.credit = a.id then t.amount_minor else -t.amount_minor end)"
                " as minor from account a join transfer t on a.id in (t.debit, t.credit)"
                " where a.mode = 'live' and t.created_at >= $1 and t.created_at < $2 group by 1, 2, 3",
                begins_at, ends_at,
            )  # fmt: skip
        for row in rows:
            found[AccountKind(row["kind"]), row["owner"], row["currency"]] = int(row["minor"])
        return found

    async def check(self) -> None:
        report = await audit_books(self.database)
        assert report.ok, report.findings


def moment(text: str, zone: str = "UTC") -> datetime:
    """A moment that is written in a zone's time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
