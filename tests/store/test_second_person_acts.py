"""Every act that moves money by hand passes the gate for a second person: one walk over all of them.

What moves money is found in the source: each place that enters a transfer stands in PLACES, with the act of a person behind it, or
why there is none. A new place fails here until somebody says which it is.
"""

import ast
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

import telvend
from telvend.approvals.gate import SecondPerson
from telvend.approvals.model import ActKind, Limits, WaitsForSecondPerson
from telvend.approvals.service import Approvals
from telvend.corrections.service import Corrections
from telvend.database.connections import Database
from telvend.fulfilment.model import FulfilmentPolicy
from telvend.fulfilment.postgres import PostgresFulfilmentStore
from telvend.fulfilment.provisional.service import ProvisionalCredits
from telvend.fulfilment.review import Review
from telvend.funding.credits.service import Credits
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.ledger.model import Journal
from telvend.orders.model import Placement
from telvend.orders.placement import OrderPlacement
from tests.store.purchases import customer

PLACES: Final[dict[str, tuple[ActKind, ...] | str]] = {
    "corrections/service.py: debit": (ActKind.DEBIT,),
    "corrections/service.py: refund": (ActKind.REFUND,),
    "funding/credits/service.py: credit": (ActKind.CREDIT,),
    "fulfilment/provisional/service.py: credit_provisionally": (ActKind.PROVISIONAL_CREDIT,),
    "fulfilment/settlement.py: post": (ActKind.DELIVERED,),
    "fulfilment/settlement.py: release": (ActKind.FAILED,),
    "fulfilment/settlement.py: enter_late_cost": "what a provider says; between accounts of the house",
    "fulfilment/settlement.py: enter_late_return": "what a provider says; between accounts of the house",
    "fulfilment/provisional/ending.py: reverse_credit": "follows from how the order has ended",
    "fulfilment/provisional/ending.py: write_off_credit": "follows from how the order has ended",
    "funding/verification.py: credit": "what the gateway answers",
    "funding/play_money/voiding.py: void": "takes play money out, which never waits and buys nothing real",
    "funding/play_money/voiding.py: write_off": "takes play money out, which never waits and buys nothing real",
    "sales/kind.py: hold": "a sale",
    "identity/verification.py: post": "what the authority answers",
    "identity/verification.py: release": "what the authority answers",
    "operator/refills/decisions.py: pay": "a sale",
}


def test_every_place_that_moves_money_is_an_act_that_waits_or_says_why_not() -> None:
    moving = {name for name in vars(Journal) if not name.startswith("_") and callable(getattr(Journal, name))}
    moving.discard("changed_wallets")
    root = Path(telvend.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name("journal") | ast.Attribute(attr="journal"), attr=name)):
                    if name in moving:
                        found.add(f"{path.relative_to(root).as_posix()}: {name}")
    assert found == set(PLACES)
    acts = {kind for kinds in PLACES.values() if not isinstance(kinds, str) for kind in kinds}
    assert acts == set(ActKind)


async def test_each_act_waits_moves_nothing_and_is_done_once_by_another_person(database: Database) -> None:
    ama = await customer(database, ghs_minor=5_000)
    gate, ledger = SecondPerson(Limits({"GHS": 0})), ama.ledger
    giving, corrections = Credits(database, ledger, gate), Corrections(database, ledger, gate)
    jobs = PostgresFulfilmentStore(database, ledger, FulfilmentPolicy(), second_person=gate)
    review, lending, placement = Review(jobs), ProvisionalCredits(database, ledger, gate), OrderPlacement(database)
    approvals = Approvals(
        database,
        {
            ActKind.CREDIT: lambda: giving.perform,
            ActKind.DEBIT: lambda: corrections.perform_debit,
            ActKind.REFUND: lambda: corrections.perform_refund,
            ActKind.DELIVERED: lambda: review.perform,
            ActKind.FAILED: lambda: review.perform,
            ActKind.PROVISIONAL_CREDIT: lambda: lending.perform,
        },
    )

    async def order(state: str) -> int:
        (placed,) = await placement.place_all([ama.wants(None)])
        assert isinstance(placed, Placement)
        async with database.connection() as tx:
            await tx.execute(
                "insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at)"
                " values ($1, 1, 'vt', $2, 'unknown', 390, now())",
                placed.order.id, f"{placed.order.reference}-1",
            )  # fmt: skip
            await tx.execute(
                "update orders set state = 'review', attempts = 1, due_at = null where id = $1", placed.order.id
            )
        if state == "delivered":
            settling = PostgresFulfilmentStore(database, ledger, FulfilmentPolicy())
            await Review(settling).resolve(placed.order.id, delivered=True, text="seen")
            await settling.close()
        return placed.order.id

    open_orders = [await order("review") for _ in range(3)]
    done = await order("delivered")
    who: dict[str, Any] = {"reason": "x", "by_whom": "Esi"}
    five = Money(500, GHS)
    acts: dict[ActKind, tuple[int, Callable[[], Awaitable[object]]]] = {
        ActKind.CREDIT: (500, lambda: giving.add(ama.reseller_id, five, Mode.LIVE, "r", by_whom="Esi")),
        ActKind.DEBIT: (-500, lambda: corrections.debit(ama.reseller_id, five, Mode.LIVE, "r", **who)),
        ActKind.REFUND: (450, lambda: corrections.refund(done, **who)),
        ActKind.DELIVERED: (0, lambda: review.resolve(open_orders[0], delivered=True, text="x", by_whom="Esi")),
        ActKind.FAILED: (450, lambda: review.resolve(open_orders[1], delivered=False, text="x", by_whom="Esi")),
        ActKind.PROVISIONAL_CREDIT: (450, lambda: lending.give(open_orders[2], **who)),
    }
    assert set(acts) == set(ActKind)

    async def transfers() -> int:
        async with database.connection() as tx:
            return int(await tx.fetchval("select count(*) from transfer"))

    balance = await ama.balance()
    for kind, (change, act) in acts.items():
        before = await transfers()
        with pytest.raises(WaitsForSecondPerson) as waits:
            await act()
        proposal = waits.value.proposal
        assert (proposal.kind, await transfers(), await ama.balance()) == (kind, before, balance)
        assert not (await approvals.confirm(proposal.id, "Kofi")).again
        balance += change
        assert (await ama.balance(), (await approvals.confirm(proposal.id, "Yaw")).again) == (balance, True), kind
    await jobs.close()
    await placement.close()
    await ama.check_books()
