"""What the tests of funding start from: a reseller with an empty wallet, and gateways that say what the test wants."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec

from telvend.audit.service import audit_books
from telvend.bootstrap import APIS
from telvend.database.connections import Database
from telvend.funding import store
from telvend.funding.jobs import FundingWorker
from telvend.funding.model import Funding
from telvend.funding.service import Fundings
from telvend.funding.verification import Gateways, PaymentVerification
from telvend.gateways.contract import (
    Beginning,
    Forged,
    Gateway,
    GatewayTraits,
    Method,
    Notice,
    Paid,
    Pending,
    Start,
    Started,
    Word,
)
from telvend.gateways.sandbox.client import Sandbox
from telvend.kit.clock import SystemClock
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Currency, Money
from telvend.ledger.service import Ledger
from telvend.resellers.model import Caller
from telvend.resellers.service import Resellers
from telvend.wallets.service import Wallets
from tests.store.purchases import customer

BASE_URL = "https://shop.example"
AMOUNT = Money(500000, NGN)


class ScriptedGateway:
    """A gateway that begins every payment and verifies it as `words` says; what is not there is `Pending`.

    A notice is signed by a header `signed: yes`; its body is JSON with `reference` and, where there is one, `concern`.
    """

    def __init__(self, name: str = "told", *, live: bool = True, test: bool = True) -> None:
        self.name = name
        self.traits = GatewayTraits(live_mode=live, test_mode=test, timeout_s=1)
        self.words: dict[str, Word | Exception] = {}
        self.beginning: Beginning | Exception | None = None
        self.started: list[Start] = []
        self.asked: list[str] = []

    async def start(self, payment: Start) -> Beginning:
        self.started.append(payment)
        if isinstance(self.beginning, Exception):
            raise self.beginning
        return self.beginning or Started(f"https://told.example/{payment.reference}", f"T-{payment.reference}")

    async def verify(self, reference: str) -> Word:
        self.asked.append(reference)
        word = self.words.get(reference, Pending())
        if isinstance(word, Exception):
            raise word
        return word

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Notice | Forged:
        if headers.get("signed") != "yes":
            return Forged("not signed")
        notice = msgspec.json.decode(body)
        return Notice(notice.get("reference"), "told", notice.get("concern"), {"reference": notice.get("reference")})

    async def close(self) -> None: ...


def notice_about(reference: str | None, **more: Any) -> tuple[dict[str, str], bytes]:
    """A signed notice of `ScriptedGateway`."""
    return {"signed": "yes"}, msgspec.json.encode({"reference": reference, **more})


def paid(funding: Funding, **changes: Any) -> Paid:
    """The word for a payment of exactly what was asked for, changed as the test wants."""
    fitting = {
        "amount_minor": funding.amount.minor,
        "currency": funding.amount.currency.code,
        "test": funding.test,
        "owner": str(funding.reseller_id),
        "gateway_reference": f"PAY-{funding.id}",
        "channel": "card",
    }
    return Paid(**(fitting | changes))


@dataclass
class FundingShop:
    """A shop that takes money in: a reseller, and everything that funds its wallets."""

    database: Database
    ledger: Ledger
    caller: Caller
    gateways: Gateways
    verification: PaymentVerification
    fundings: Fundings
    worker: FundingWorker
    gateway: ScriptedGateway
    sandbox: Sandbox | None = field(default=None)

    async def start(
        self, amount: Money = AMOUNT, *, redirect_url: str | None = None, caller: Caller | None = None
    ) -> Funding:
        return await self.fundings.start(caller or self.caller, amount, Method.CARD, redirect_url, base_url=BASE_URL)

    async def now(self, funding: Funding) -> Funding:
        """The funding as it stands."""
        async with self.database.connection() as tx:
            found = await store.find(tx, funding.id)
        assert found is not None
        return found

    async def balance(self, currency: Currency = NGN) -> int:
        return await self.value(
            "select balance_minor from wallet where account_id = $1", self.caller.wallets[currency.code]
        )

    async def value(self, statement: str, *values: Any) -> Any:
        async with self.database.connection() as tx:
            return await tx.fetchval(statement, *values)

    async def execute(self, statement: str, *values: Any) -> None:
        async with self.database.connection() as tx:
            await tx.execute(statement, *values)

    async def pass_time(self, funding: Funding, time: timedelta) -> None:
        """Make this funding so much older."""
        await self.execute(
            "update funding set created_at = created_at - $2::interval, expires_at = expires_at - $2::interval,"
            " asked_at = asked_at - $2::interval, due_at = due_at - $2::interval where id = $1",
            funding.id, time,
        )  # fmt: skip

    async def check_books(self) -> None:
        assert (await audit_books(self.database)).findings == ()


@asynccontextmanager
async def funding_shop(
    database: Database, *, mode: Mode = Mode.LIVE, others: tuple[Gateway, ...] = (), sandbox: bool = False
) -> AsyncIterator[FundingShop]:
    """A new reseller, with `ScriptedGateway` as the preferred gateway, or with the sandbox alone."""
    ama = await customer(database)
    gateway = ScriptedGateway()
    box = await Sandbox.open(database) if sandbox else None
    gateways = Gateways([box] if box else [gateway, *others])
    verification = PaymentVerification(database, ama.ledger, gateways)
    worker = FundingWorker(database, verification, SystemClock(), poll_s=0.05)
    fundings = Fundings(database, ama.ledger, gateways, verification, on_notice=worker.wake)
    made = FundingShop(
        database,
        ama.ledger,
        await caller_of(ama.database, ama.reseller_id, mode),
        gateways,
        verification,
        fundings,
        worker,
        gateway,
        box,
    )
    try:
        yield made
    finally:
        await worker.drain(1)


async def caller_of(database: Database, reseller_id: Any, mode: Mode = Mode.LIVE) -> Caller:
    """A caller with the reseller's wallets in this mode."""
    wallets = {
        found.balance.currency.code: found.wallet_id
        for found in await Wallets(database).of_reseller(reseller_id)
        if found.mode is mode
    }
    key_id = uuid4()
    return Caller(reseller_id, 1, key_id, key_id.bytes, "networkdatasub", mode, 60, 30, wallets)


async def another(database: Database, ledger: Ledger, email: str) -> Caller:
    """A second reseller's caller."""
    reseller = await Resellers(database, ledger, APIS).add(email, "Kofi", "0241234568")
    return await caller_of(database, reseller.id)
