"""Two people at one terminal, for the stories of `stage.py`: what Esi and Kofi may do alone, and what waits for the other one."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from telvend.approvals.gate import SecondPerson
from telvend.approvals.model import ActKind, Limits, WaitsForSecondPerson
from telvend.approvals.service import Approvals
from telvend.corrections.service import Corrections
from telvend.database.connections import Database
from telvend.errors import InsufficientBalance, InvalidInput
from telvend.fulfilment.review import Review
from telvend.funding.credits.service import Credits
from telvend.kit.mode import Mode
from telvend.kit.money import Currency, Money
from telvend.ledger.service import Ledger
from telvend.orders.model import Order
from tests.scenario.story_table import Verbs

WHO = "(Esi|Kofi)"


class ApprovalStage:
    """`concerns` tells whose wallet it is, its currency, and the order that was placed last."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        second_person: SecondPerson,
        review: Review,
        concerns: Callable[[], tuple[UUID, Currency, Order | None]],
    ) -> None:
        self._second_person = second_person
        self._concerns = concerns
        self._review = review
        self._credits = Credits(database, ledger, second_person)
        self._corrections = Corrections(database, ledger, second_person)
        self._approvals = Approvals(
            database,
            {
                ActKind.CREDIT: lambda: self._credits.perform,
                ActKind.DEBIT: lambda: self._corrections.perform_debit,
                ActKind.REFUND: lambda: self._corrections.perform_refund,
                ActKind.DELIVERED: lambda: review.perform,
                ActKind.FAILED: lambda: review.perform,
            },
        )

    def verbs(self) -> Verbs:
        return [
            (r"above ([\d.,]+) two people decide", self._limit),
            (r"one person decides everything", self._no_limit),
            (rf"{WHO} credits ([\d.,]+) as (\w+)", self._credit),
            (rf"{WHO} debits ([\d.,]+) as (\w+)", self._debit),
            (rf"{WHO} refunds it", self._refund),
            (rf"{WHO} says (delivered|failed)", self._resolve),
            (rf"{WHO} confirms", self._confirm),
            (rf"{WHO} may not confirm", self._may_not_confirm),
            (rf"{WHO} rejects it", self._reject),
        ]

    def columns(self) -> dict[str, Callable[[], Awaitable[str]]]:
        return {"waiting": self._waiting}

    async def _waiting(self) -> str:
        waiting = await self._approvals.listed()
        return f"{Money(sum(one.amount.minor for one in waiting), self._concerns()[1]).decimal:,.2f}"

    def _money(self, amount: str) -> Money:
        return Money.parse(amount.replace(",", ""), self._concerns()[1])

    def _order(self) -> Order:
        order = self._concerns()[2]
        assert order is not None
        return order

    async def _limit(self, amount: str) -> None:
        money = self._money(amount)
        self._second_person.limits = Limits({money.currency.code: money.minor})

    async def _no_limit(self) -> None:
        self._second_person.limits = Limits({})

    async def _credit(self, who: str, amount: str, reference: str) -> None:
        await _done_or_waiting(
            self._credits.add(self._concerns()[0], self._money(amount), Mode.LIVE, reference, by_whom=who)
        )

    async def _debit(self, who: str, amount: str, reference: str) -> None:
        await _done_or_waiting(
            self._corrections.debit(
                self._concerns()[0], self._money(amount), Mode.LIVE, reference, reason="mistyped", by_whom=who
            )
        )

    async def _refund(self, who: str) -> None:
        await _done_or_waiting(self._corrections.refund(self._order().id, reason="wrong number", by_whom=who))

    async def _resolve(self, who: str, word: str) -> None:
        await _done_or_waiting(
            self._review.resolve(self._order().reference, delivered=word == "delivered", text="telephoned", by_whom=who)
        )

    async def _confirm(self, who: str) -> None:
        (proposal,) = await self._approvals.listed(limit=1)
        assert not (await self._approvals.confirm(proposal.id, who)).again

    async def _may_not_confirm(self, who: str) -> None:
        (proposal,) = await self._approvals.listed(limit=1)
        with pytest.raises((InvalidInput, InsufficientBalance)):
            await self._approvals.confirm(proposal.id, who)

    async def _reject(self, who: str) -> None:
        (proposal,) = await self._approvals.listed(limit=1)
        await self._approvals.reject(proposal.id, who, "not agreed")


async def _done_or_waiting(act: Awaitable[object]) -> None:
    try:
        await act
    except WaitsForSecondPerson:
        return
