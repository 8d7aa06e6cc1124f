"""A whole shop that is restarted with other settings between the steps of a story, as somebody does who goes live.

Prices: a NIN record 100.00; airtime of MTN its face value. What stands outside is replaced: Prembly finds everybody, and
`vt` is a real provider that delivers everything.
"""

import re
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from telvend.audit.service import audit_books
from telvend.authorities.contract import AuthorityTraits as AuthorityTraits
from telvend.authorities.contract import Found, Record
from telvend.bootstrap import Shop, open_shop, vendors
from telvend.config import Settings, SimulatorSettings
from telvend.errors import InvalidInput, SalesHalted, TelvendError
from telvend.funding.model import Funding
from telvend.gateways.checkout import Decision
from telvend.gateways.contract import Method
from telvend.identity.model import VerificationKind, VerificationRequest
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret
from telvend.ledger.model import AccountKind
from telvend.orders.model import Order
from telvend.providers.contract import Delivered, Delivery, Outcome, ProviderTraits
from telvend.resellers.model import Caller
from telvend.upkeep.preparation import prepare_database
from tests.scenario.story_table import Verbs, do, require_same, steps_of

EMAIL: Final = "ada@example.com"
NUMBER: Final = "+2348031234567"


class FakePrembly:
    """A real authority, as far as its traits say, that asks nobody."""

    name = "prembly"
    traits = AuthorityTraits()

    async def nin(self, _: Secret) -> Found:
        return Found(Record(first_name="Real"))

    bvn = nin

    async def close(self) -> None:
        """Nothing is held."""


class RealProvider:
    """A provider that does not pretend, as far as its traits say. `delivered` is what it was asked for."""

    name = "vt"
    traits = ProviderTraits(settles_after_s=0)

    def __init__(self) -> None:
        self.delivered: list[str] = []

    async def deliver(self, delivery: Delivery) -> Outcome:
        self.delivered.append(delivery.reference)
        return Delivered("VT-1")

    async def requery(self, _: Delivery) -> Outcome:
        return Delivered("VT-1")

    async def close(self) -> None:
        """Nothing is held."""


# What the operator sets: settings, and whether `vt` is there.
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "pretending": {},
    "a live simulator": {"own_network": False, "simulators": {"simulator": SimulatorSettings(live=True)}},
    "a key of Prembly": {"prembly_api_key": Secret("key")},
    "a real provider": {"own_network": False, "vt": True},
    "a live key of Paystack": {"paystack_secret_key": Secret("sk_live_x")},
    "a live key of Paystack and no network": {"paystack_secret_key": Secret("sk_live_x"), "own_network": False},
}


class PlayShop:
    """See the head of this file."""

    def __init__(self, url: str, data_dir: Path, patch: pytest.MonkeyPatch) -> None:
        self._url = url
        self._data_dir = data_dir
        self._opened = AsyncExitStack()
        self.vt = RealProvider()
        self._with_vt = False
        self._funding: Funding | None = None
        self._order: Order | None = None
        self._said = ""
        own = vendors.providers_of
        patch.setattr("telvend.authorities.prembly.client.Prembly", lambda **_: FakePrembly())
        patch.setattr(vendors, "providers_of", lambda *given: own(*given) + ([self.vt] if self._with_vt else []))
        self._verbs: Verbs = [
            (r"start, (.+)", self._restart),
            (r"restart, (.+)", self._restart),
            (r"ask for ([\d.,]+)", self._ask_for),
            (r"the payer pays", self._pay),
            (r"the payer pays ([\d.,]+)", self._fund),
            (r"credit ([\d.,]+) by hand", self._credit),
            (r"buy a record", lambda: self._buy_record(real=False)),
            (r"buy a real record", lambda: self._buy_record(real=True)),
            (r"buy a record with a test key", lambda: self._buy_record(real=False, mode=Mode.TEST)),
            (r"order airtime of ([\d.,]+)", self._order_airtime),
            (r"a person says failed", self._fail_order),
            (r"deliver", self._deliver),
            (r"void all", lambda: self._void(all_play=True)),
            (r"void the funding", lambda: self._void(all_play=False)),
        ]

    shop: Shop

    async def close(self) -> None:
        await self._opened.aclose()

    async def tell(self, story: str) -> None:
        """Play a story. Raises AssertionError with how it really went."""
        head, told = steps_of(story)
        went = [head]
        for row in told:
            self._said = ""
            await do(self._verbs, row[0])
            went.append([row[0], *[await self._column(name) for name in head[1:]]])
            report = await audit_books(self.shop.database)
            assert report.ok, (row[0], report.findings)
        require_same(went, [head, *told])

    # Columns --------------------------------------------------------------------------------------------------------------

    async def _column(self, name: str) -> str:
        if name == "said":
            return self._said
        if name == "live sales":
            return "halted" if self.shop.gate.halts(Mode.LIVE) else "go on"
        if name == "order":
            return str((await self._now()).state) if self._order is not None else "-"
        kinds = {"wallet": AccountKind.WALLET, "in flight": AccountKind.IN_FLIGHT, "loss": AccountKind.LOSS}
        kind, owner = (AccountKind.FUNDING, "sandbox") if name == "sandbox" else (kinds[name], None)
        totals = await self.shop.ledger.totals()
        minor = sum(
            total.total.minor
            for total in totals
            if (total.kind, total.mode, total.total.currency) == (kind, Mode.LIVE, NGN) and owner in (None, total.owner)
        )
        return f"{minor / 100:,.2f}"

    async def _now(self) -> Order:
        assert self._order is not None
        return await self.shop.services.orders.find(await self._caller(), self._order.reference)

    # Verbs ----------------------------------------------------------------------------------------------------------------

    async def _restart(self, what: str) -> None:
        await self._opened.aclose()
        chosen = dict(SETTINGS[what])
        self._with_vt = chosen.pop("vt", False)
        self.shop = await self._opened.enter_async_context(
            open_shop(Settings(data_dir=str(self._data_dir), **chosen), self._url)
        )
        services = self.shop.services
        await prepare_database(self.shop.database, lambda _: None)
        await self.shop.watch.look()
        services.orders.start()
        self.shop.provisioning.start()
        self._opened.push_async_callback(services.orders.close)
        if not any(one.email == EMAIL for one in await services.resellers.list_resellers()):
            await services.resellers.add(EMAIL, "Ada", "08031234567")
            self._keys = {mode: (await services.resellers.add_key(EMAIL, "networkdatasub", mode))[1] for mode in Mode}
            reseller = await services.resellers.find(EMAIL)
            await services.credits.add(reseller.id, Money(100_000, NGN), Mode.TEST, "to play with")
            await self.shop.watch.look()

    async def _caller(self, mode: Mode = Mode.LIVE) -> Caller:
        return await self.shop.services.resellers.authenticate("networkdatasub", self._keys[mode].reveal())

    async def _ask_for(self, amount: str) -> None:
        money = Money.parse(amount.replace(",", ""), NGN)
        start = self.shop.services.fundings.start(
            await self._caller(), money, Method.CARD, None, base_url="http://shop"
        )
        self._funding = await self._tried(start) or self._funding

    async def _pay(self) -> None:
        """The payer presses the button at the sandbox's page, and the shop hears of it."""
        assert self._funding is not None
        token = (self._funding.payment_url or "").rpartition("/")[2]
        payment = await self.shop.sandbox.decide(token, Decision.PAY)
        assert payment is not None
        if self.shop.sandbox.refuses(payment):
            self._said = "no play money"
            return
        await self.shop.services.fundings.check(self._funding.reference)
        await self.shop.watch.look()

    async def _fund(self, amount: str) -> None:
        await self._ask_for(amount)
        await self._pay()

    async def _credit(self, amount: str) -> None:
        reseller = await self.shop.services.resellers.find(EMAIL)
        await self.shop.services.credits.add(
            reseller.id, Money.parse(amount.replace(",", ""), NGN), Mode.LIVE, f"by hand {amount}"
        )

    async def _buy_record(self, *, real: bool, mode: Mode = Mode.LIVE) -> None:
        request = VerificationRequest(
            kind=VerificationKind.NIN,
            number=Secret("70123456789"),
            card_type="standard",
            use_real_api=real,
            force_new=True,
        )
        checked = await self._tried(self.shop.services.identity.check(await self._caller(mode), request))
        if checked is not None:
            self._said = f"{checked.record.first_name}, by {checked.verification.source}" if real else "somebody"

    async def _order_airtime(self, amount: str) -> None:
        services = self.shop.services
        network = services.catalogue.snapshot.network("NG", "mtn")
        assert network is not None
        placed = await self._tried(
            services.orders.buy_airtime(
                await self._caller(),
                network=network,
                amount=Money.parse(amount.replace(",", ""), NGN),
                subscriber=NUMBER,
                client_reference=None,
                prefix="AIR",
            )
        )
        self._order = self._order if placed is None else placed.order

    async def _deliver(self) -> None:
        assert self._order is not None
        self.shop.fulfilment.start()
        await self.shop.services.orders.settled(self._order, 10)
        await self.shop.fulfilment.drain(5)

    async def _fail_order(self) -> None:
        assert self._order is not None
        async with self.shop.database.connection() as tx:
            # As after weeks without an answer of a provider that is gone.
            await tx.execute("update orders set state = 'review', due_at = null where id = $1", self._order.id)
        await self.shop.review.resolve(self._order.reference, delivered=False, text="never came")

    async def _void(self, *, all_play: bool) -> None:
        play_money = self.shop.play_money
        if all_play:
            done = self._tried(play_money.void_all("going live", "Ada's shop"))
        else:
            assert self._funding is not None
            done = self._tried(play_money.void(self._funding.reference, "going live", "Ada's shop"))
        voided: Sequence[Any] = await done or []
        left = sum(one.left.minor for one in voided)
        if not self._said:
            self._said = f"{left / 100:,.2f} left" if left else "voided" if voided else "nothing to void"
        # As the task that watches does four times a second.
        await self.shop.watch.look()

    async def _tried(self, work: Awaitable[Any]) -> Any:
        """What comes of it; None where it is refused, and how is said."""
        try:
            return await work
        except SalesHalted:
            self._said = "halted"
        except InvalidInput as error:
            self._said = re.sub(r"FND-\S+", "FND", error.problem)
        except TelvendError as error:
            self._said = type(error).__name__
        return None
