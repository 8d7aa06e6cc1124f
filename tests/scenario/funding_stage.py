"""Fundings in a story, through one gateway called `gateway`, which answers as the steps say that the payer did.

The column `funding` is the state of the last funding; `a person` says whether somebody has to look at it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from telvend.database.connections import Database
from telvend.funding import store
from telvend.funding.jobs import FundingWorker
from telvend.funding.model import Funding
from telvend.funding.service import Fundings, Received
from telvend.funding.verification import Gateways, PaymentVerification
from telvend.gateways.contract import Declined, Method
from telvend.kit.clock import SystemClock
from telvend.kit.money import NGN, Money
from telvend.ledger.service import Ledger
from telvend.resellers.model import Caller
from tests.store.fundings import BASE_URL, ScriptedGateway, notice_about, paid

GATEWAY: Final = "gateway"

_SPANS: Final = {"a minute": timedelta(minutes=1), "an hour": timedelta(hours=1), "a day": timedelta(days=1)}


class FundingStage:
    """The steps of a story about fundings. `caller` returns who funds a wallet."""

    def __init__(self, database: Database, ledger: Ledger, caller: Callable[[], Awaitable[Caller]]) -> None:
        self._database = database
        self._caller = caller
        self._gateway = ScriptedGateway(GATEWAY)
        gateways = Gateways([self._gateway])
        verification = PaymentVerification(database, ledger, gateways)
        self._fundings = Fundings(database, ledger, gateways, verification)
        # Two processes, each with a worker of its own that works only when a step says so.
        self._workers = [FundingWorker(database, verification, SystemClock()) for _ in range(2)]
        self._funding: Funding | None = None

    def verbs(self) -> list[tuple[str, Callable[..., Awaitable[None]]]]:
        """Patterns of steps, with what each does."""
        return [
            (r"ask for ([\d.,]+)", self._ask_for),
            (r"the payer pays", self._pay),
            (r"the payer pays ([\d.,]+)", self._pay),
            (r"the payer pays in (\w+)", lambda currency: self._pay(currency=currency)),
            (r"the payer pays for somebody else", lambda: self._pay(owner="somebody else")),
            (r"the payer pays with play money", lambda: self._pay(test=True)),
            (r"the payer's bank declines", self._decline),
            (r"a notice comes", self._notices),
            (r"(\d+) copies of the notice come at once", self._notices),
            (r"a forged notice comes", self._forged_notice),
            (r"a notice of a dispute comes", self._dispute),
            (r"the payer comes back", self._return),
            (r"(a minute|an hour|a day) passes", self._pass_time),
            (r"a person has looked", self._resolve),
        ]

    def columns(self) -> dict[str, Callable[[], Awaitable[str]]]:
        """Columns that are no balances, with how each is read."""
        return {"funding": self._state, "a person": self._attention}

    async def close(self) -> None:
        for worker in self._workers:
            await worker.drain(1)

    async def _state(self) -> str:
        return "" if self._funding is None else str((await self._now()).state)

    async def _attention(self) -> str:
        return "" if self._funding is None else "must look" if (await self._now()).attention else "-"

    async def _now(self) -> Funding:
        assert self._funding is not None
        async with self._database.connection() as tx:
            found = await store.find(tx, self._funding.id)
        assert found is not None
        return found

    async def _ask_for(self, amount: str) -> None:
        money = Money.parse(amount.replace(",", ""), NGN)
        self._funding = await self._fundings.start(await self._caller(), money, Method.CARD, None, base_url=BASE_URL)

    async def _pay(self, amount: str | None = None, **differently: Any) -> None:
        """The gateway has the money, and has told nobody yet."""
        funding = await self._now()
        if amount is not None:
            differently["amount_minor"] = Money.parse(amount.replace(",", ""), NGN).minor
        self._gateway.words[funding.reference] = paid(funding, **differently)

    async def _decline(self) -> None:
        self._gateway.words[(await self._now()).reference] = Declined("The bank declined.")

    async def _notices(self, count: str = "1") -> None:
        """Each copy reaches one of two processes; both ask the gateway at once, and so does the payer who comes back."""
        headers, body = notice_about((await self._now()).reference)
        copies = (self._fundings.notice(GATEWAY, headers, body) for _ in range(int(count)))
        assert set(await asyncio.gather(*copies)) == {Received.STORED}
        coming_back = [self._return()] if int(count) > 1 else []
        await asyncio.gather(*(worker.work_off() for worker in self._workers), *coming_back)

    async def _forged_notice(self) -> None:
        _, body = notice_about((await self._now()).reference)
        asked = len(self._gateway.asked)
        assert await self._fundings.notice(GATEWAY, {"signed": "by somebody else"}, body) is Received.FORGED
        await asyncio.gather(*(worker.work_off() for worker in self._workers))
        assert len(self._gateway.asked) == asked, "a forged notice has had the gateway asked"

    async def _dispute(self) -> None:
        headers, body = notice_about((await self._now()).reference, concern="The payer disputes this payment.")
        assert await self._fundings.notice(GATEWAY, headers, body) is Received.STORED
        await asyncio.gather(*(worker.work_off() for worker in self._workers))

    async def _return(self) -> None:
        await self._fundings.returned((await self._now()).reference)

    async def _pass_time(self, span: str) -> None:
        """The funding becomes so much older, and is asked about if that makes it due."""
        async with self._database.connection() as tx:
            await tx.execute(
                "update funding set created_at = created_at - $2::interval, expires_at = expires_at - $2::interval,"
                " asked_at = asked_at - $2::interval, due_at = due_at - $2::interval where id = $1",
                (await self._now()).id, _SPANS[span],
            )  # fmt: skip
        await asyncio.gather(*(worker.work_off() for worker in self._workers))

    async def _resolve(self) -> None:
        await self._fundings.resolve((await self._now()).reference, "paid back at the gateway")
