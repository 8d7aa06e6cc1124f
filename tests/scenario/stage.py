"""Tells money stories: a table of steps with the balances between them is played on a real database.

    step                        wallet   in flight   provider   margin   order
    fund 50.00                   50.00        0.00       0.00     0.00
    place 1GB                    45.50        4.50       0.00     0.00   delivering
    first says nothing           45.50        4.50       0.00     0.00   waiting

Each step is done (its verb is in `Stage`, in `funding_stage.py` or in `verification_stage.py`), then every column is read from the
database. A call to a provider or an authority waits until a step says how it is answered. Time passes when a step needs it to.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from telvend.approvals.gate import SecondPerson
from telvend.audit.service import audit_books
from telvend.bootstrap import APIS
from telvend.catalog.model import Network
from telvend.catalog.service import Catalogue, install_builtin
from telvend.database.connections import Database
from telvend.fulfilment.model import FulfilmentPolicy
from telvend.fulfilment.postgres import PostgresFulfilmentStore
from telvend.fulfilment.review import Review
from telvend.fulfilment.routing import Router, Rule
from telvend.fulfilment.worker import Fulfilment
from telvend.funding.credits.service import Credits
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Currency, Money
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.orders.model import Order, Placement
from telvend.orders.records import OrderRecords
from telvend.orders.service import Orders
from telvend.providers.contract import (
    Accepted,
    Delivered,
    Delivery,
    NotSent,
    Outcome,
    ProviderTraits,
    Reason,
    Refused,
    Unknown,
)
from telvend.resellers.model import Caller
from telvend.resellers.service import Resellers
from telvend.wallets.service import Wallets
from tests.clocks import FakeClock
from tests.scenario.approval_stage import ApprovalStage
from tests.scenario.funding_stage import GATEWAY, FundingStage
from tests.scenario.story_table import Verbs, do, require_same, steps_of
from tests.scenario.verification_stage import AUTHORITY, VerificationStage
from tests.scenario.webhook_stage import WebhookStage

PATIENCE_S: Final = 10.0
# Two questions and then a person, so that a story about review fits on a page.
POLICY: Final = FulfilmentPolicy(requery_delays_s=(5, 15))

# Where a story may play: its money, its network as requests name it, the API of its keys, and the bundle whose price changes.
PLACES: Final = {
    "GH": (GHS, "MTN", "netpluse", "GH-MTN-1GB-30D"),
    "NG": (NGN, "mtn", "networkdatasub", "NG-MTN-SME-1GB-30D"),
}

WORDS: Final[dict[str, Outcome]] = {
    "delivers": Delivered("A-1"),
    "delivered": Delivered("A-1"),
    "accepts": Accepted("A-1"),
    "on its way": Accepted("A-1"),
    "refuses": Refused(Reason.BARRED, "barred"),
    "refused": Refused(Reason.BARRED, "barred"),
    "refuses, try elsewhere": Refused(Reason.NO_FLOAT, "no float"),
    "says nothing": Unknown("timed out"),
    "nothing": Unknown("timed out"),
    "is not reached": NotSent("connection refused"),
    "never heard of it": NotSent("unknown reference"),
}


class Scripted:
    """A provider whose calls wait for the story."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.traits = ProviderTraits(timeout_s=30, settles_after_s=0, test_mode=True)
        self.calls: asyncio.Queue[tuple[str, Delivery, asyncio.Future[Outcome]]] = asyncio.Queue()

    async def deliver(self, delivery: Delivery) -> Outcome:
        return await self._call("deliver", delivery)

    async def requery(self, delivery: Delivery) -> Outcome:
        return await self._call("ask", delivery)

    async def _call(self, verb: str, delivery: Delivery) -> Outcome:
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        await self.calls.put((verb, delivery, answer))
        return await answer

    async def close(self) -> None:
        """Nothing is held."""


class Stage:
    """A shop with one reseller and two providers, `first` and `second`, in Ghana or Nigeria (`country`: GH, NG).

    In Nigeria it takes money in through a gateway too, and sells identity checks; `data_dir` keeps their master key.
    """

    def __init__(self, database: Database, data_dir: Path, country: str = "GH") -> None:
        self._country = country
        self._currency, self._network, self._api, self._bundle = PLACES[country]
        self._database = database
        self._clock = FakeClock(hurry=False)
        self._ledger = Ledger(database)
        self._catalogue = Catalogue(database)
        self._resellers = Resellers(database, self._ledger, APIS, self._clock)
        self._orders = Orders(database, self._ledger, self._catalogue)
        self._records = OrderRecords(database, self._ledger, apis=[keys.api for keys in APIS])
        self._providers = {name: Scripted(name) for name in ("first", "second")}
        self._second_person = SecondPerson()
        self._jobs = PostgresFulfilmentStore(database, self._ledger, POLICY, second_person=self._second_person)
        self._review = Review(self._jobs)
        self._approvals = ApprovalStage(database, self._ledger, self._second_person, self._review, self._wallet_of)
        self._placed: Placement | None = None
        self._last_purchase: Callable[[], Awaitable[Placement]] | None = None
        self._fundings = FundingStage(database, self._ledger, lambda: self._caller(Mode.LIVE))
        self._verifications = VerificationStage(database, self._ledger, data_dir, lambda: self._caller(Mode.LIVE))
        self.webhooks = WebhookStage(database, data_dir, lambda: (self._reseller.id, self._currency))
        self._count = 0
        self._dead: list[Fulfilment] = []
        self._verbs: Verbs = [
            (r"fund ([\d.,]+)", lambda amount: self._fund(amount, Mode.LIVE)),
            (r"fund ([\d.,]+) to play with", lambda amount: self._fund(amount, Mode.TEST)),
            (r"place (\w+)", lambda size: self._place(size, Mode.LIVE)),
            (r"place (\w+) as a test", lambda size: self._place(size, Mode.TEST)),
            (r"same reference again", self._place_again),
            (
                r"(first|second) (delivers|accepts|refuses(?:, try elsewhere)?|says nothing|is not reached)",
                self._deliver,
            ),
            (r"ask (first|second): (delivered|refused|on its way|nothing|never heard of it)", self._ask),
            (r"a person says (delivered|failed)", self._resolve),
            (r"the worker dies, another one begins", self._replace_worker),
            (r"1GB now sells for ([\d.]+)", self._reprice),
            (r"place ([\d.,]+) of airtime", self._place_airtime),
            (r"([\d.]+) % off airtime", self._discount),
            *self._fundings.verbs(),
            *self._verifications.verbs(),
            *self._approvals.verbs(),
            *self.webhooks.verbs(),
        ]

    async def open(self) -> None:
        async with self._database.transaction() as tx:
            await install_builtin(tx)
            await self._catalogue.load(tx)
        self._reseller = await self._resellers.add("ama@example.com", "Ama", "+233241234567")
        self._orders.start()
        self._begin_work()

    async def close(self) -> None:
        await self._fulfilment.drain(0)
        for worker in self._dead:
            await worker._lane.close()
        await self._fundings.close()
        await self._verifications.close()
        await self._orders.close()
        await self._jobs.close()

    def _begin_work(self) -> None:
        rules = {"first": Rule(priority=1, breaker=False), "second": Rule(priority=2, breaker=False)}
        router = Router(self._providers.values(), self._clock, rules=rules)
        self._fulfilment = Fulfilment(self._jobs, router, self._clock, policy=POLICY, poll_s=0.02)
        self._orders.on_placed = self._fulfilment.wake
        self._fulfilment.start()

    # Telling ---------------------------------------------------------------------------------------------------------

    async def tell(self, story: str) -> None:
        """Play a story. Raises AssertionError with the table as it really went."""
        head, rows = steps_of(story)
        columns = head[1:]
        went = [head]
        for step, *expected in rows:
            await do(self._verbs, step)
            went.append([step, *await self._until(columns, expected)])
        require_same(went, [head, *rows])
        # Nothing is still under way that would change the last line.
        await asyncio.sleep(0.05)
        assert await self._read(columns) == went[-1][1:]
        assert all(provider.calls.empty() for provider in self._providers.values()), "a call that nobody answered"
        assert self._verifications.is_idle, "a check that nobody answered"
        report = await audit_books(self._database)
        assert report.ok, report.findings

    async def _until(self, columns: list[str], expected: list[str]) -> list[str]:
        """The columns, as soon as they are what is expected or else when patience ends."""
        ends = time.monotonic() + PATIENCE_S / 5
        while (found := await self._read(columns)) != expected and time.monotonic() < ends:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return found

    async def _read(self, columns: list[str]) -> list[str]:
        owned = (AccountKind.PROVIDER, AccountKind.FUNDING)
        totals = {
            (total.kind, total.owner if total.kind in owned else "", total.mode): total.total.minor
            for total in await self._ledger.totals()
            if total.total.currency == self._currency
        }
        kinds = {
            "wallet": (AccountKind.WALLET, ""),
            "in flight": (AccountKind.IN_FLIGHT, ""),
            "first": (AccountKind.PROVIDER, "first"),
            "second": (AccountKind.PROVIDER, "second"),
            AUTHORITY: (AccountKind.PROVIDER, AUTHORITY),
            GATEWAY: (AccountKind.FUNDING, GATEWAY),
            "margin": (AccountKind.MARGIN, ""),
            "loss": (AccountKind.LOSS, ""),
        }
        words = {
            "order": self._state,
            **self._fundings.columns(),
            **self._verifications.columns(),
            **self._approvals.columns(),
            **self.webhooks.columns(),
        }
        found = []
        for column in columns:
            if column in words:
                found.append(await words[column]())
                continue
            mode = Mode.TEST if column.startswith("play ") else Mode.LIVE
            kind, owner = kinds[column.removeprefix("play ")]
            found.append(f"{Money(totals.get((kind, owner, mode), 0), self._currency).decimal:,.2f}")
        return found

    async def _state(self) -> str:
        if self._placed is None:
            return ""
        return (await self._records.history(self._placed.order.reference)).order.state

    def _wallet_of(self) -> tuple[UUID, Currency, Order | None]:
        """Whose wallet it is, its currency, and the order that was placed last."""
        return self._reseller.id, self._currency, None if self._placed is None else self._placed.order

    # Verbs -------------------------------------------------------------------------------------------------------------

    async def _fund(self, amount: str, mode: Mode) -> None:
        self._count += 1
        money = self._money(amount)
        await Credits(self._database, self._ledger).add(self._reseller.id, money, mode, f"funding {self._count}")

    async def _place(self, size: str, mode: Mode) -> None:
        self._count += 1
        await self._place_first(partial(self._buy, mode, size, f"purchase {self._count}"))

    async def _place_airtime(self, amount: str) -> None:
        self._count += 1
        await self._place_first(partial(self._buy_airtime, self._money(amount), f"purchase {self._count}"))

    async def _place_first(self, purchase: Callable[[], Awaitable[Placement]]) -> None:
        self._last_purchase = purchase
        self._placed = await purchase()
        assert not self._placed.replayed

    async def _place_again(self) -> None:
        assert self._last_purchase is not None
        assert self._placed is not None
        again = await self._last_purchase()
        assert again.replayed
        assert again.order.reference == self._placed.order.reference

    async def _buy(self, mode: Mode, size: str, reference: str) -> Placement:
        return await self._orders.buy_bundle(
            await self._caller(mode),
            network=self._sold_network(),
            size=size,
            subscriber="+233241234567",
            client_reference=reference,
            prefix="NPAPI",
        )

    async def _buy_airtime(self, amount: Money, reference: str) -> Placement:
        return await self._orders.buy_airtime(
            await self._caller(Mode.LIVE),
            network=self._sold_network(),
            amount=amount,
            subscriber="+2348031234567",
            client_reference=reference,
            prefix="AIR",
        )

    def _sold_network(self) -> Network:
        network = self._catalogue.snapshot.network(self._country, self._network)
        assert isinstance(network, Network)
        return network

    def _money(self, amount: str) -> Money:
        return Money.parse(amount.replace(",", ""), self._currency)

    async def _caller(self, mode: Mode) -> Caller:
        key, _, _ = await self._resellers.add_key(self._reseller.email, self._api, mode)
        wallets = {
            wallet.balance.currency.code: wallet.wallet_id
            for wallet in await Wallets(self._database).of_reseller(self._reseller.id)
            if wallet.mode is mode
        }
        return Caller(self._reseller.id, self._reseller.number, key.id, key.id.bytes, self._api, mode, 60, 30, wallets)

    async def _deliver(self, provider: str, word: str) -> None:
        await self._answer("deliver", provider, WORDS[word])

    async def _ask(self, provider: str, word: str) -> None:
        await self._answer("ask", provider, WORDS[word])

    async def _answer(self, verb: str, name: str, outcome: Outcome) -> None:
        """Wait for the call, letting time pass for orders that wait for their next moment, and answer it."""
        provider = self._providers[name]
        ends = time.monotonic() + PATIENCE_S
        while provider.calls.empty():
            assert time.monotonic() < ends, f"nobody has called {name} to {verb}"
            await self._let_time_pass("state = 'waiting'")
            await asyncio.sleep(0.02)
        called, _, answer = provider.calls.get_nowait()
        assert called == verb
        answer.set_result(outcome)

    async def _let_time_pass(self, condition: str) -> None:
        async with self._database.connection() as tx:
            await tx.execute(f"update orders set due_at = now() where due_at > now() and {condition}")
        self._fulfilment.wake()

    async def _resolve(self, word: str) -> None:
        assert self._placed is not None
        await self._review.resolve(
            self._placed.order.reference, delivered=word == "delivered", text="telephoned the provider"
        )

    async def _replace_worker(self) -> None:
        """As kill -9 does it: the call is cut off, its attempt stays open, the lease runs out."""
        for provider in self._providers.values():
            while not provider.calls.empty():
                provider.calls.get_nowait()
        tasks: list[Any] = [*self._fulfilment._tasks, *(order.task for order in self._fulfilment._in_flight)]
        for task in filter(None, tasks):
            task.cancel()
        await asyncio.sleep(0.01)
        self._dead.append(self._fulfilment)
        self._begin_work()
        await self._let_time_pass("state = 'delivering'")

    async def _reprice(self, price: str) -> None:
        await self._catalogue.change_price(self._bundle, price=price, allow_loss=True)
        async with self._database.connection() as tx:
            await self._catalogue.load(tx)

    async def _discount(self, percent: str) -> None:
        await self._catalogue.set_discount(self._reseller.id, self._country, self._network, percent, allow_loss=True)
        async with self._database.connection() as tx:
            await self._catalogue.load(tx)
