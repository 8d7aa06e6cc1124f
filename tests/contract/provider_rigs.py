"""The registry of providers that `test_provider.py` runs over. To add one: write a rig, and a line in `RIGS`.

A rig is a provider together with its far side (a book, a fake server) that can be put into each `Situation`. One that a
far side can never be in is declared in `CANNOT`, with the reason; the suite then does without it, and says so.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from telvend.config import ProviderSettings
from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.kit.money import GHS, NGN, Money
from telvend.kit.numbering import national_form
from telvend.kit.secret import Secret
from telvend.operator.entitlements.service import Entitlements
from telvend.operator.provisioning.model import DeliveryAnswer, NetworkDelivery
from telvend.operator.provisioning.service import Provisioning
from telvend.providers.connectors import connect
from telvend.providers.contract import Delivery, Provider
from telvend.providers.described import examples
from telvend.providers.own_network.client import OwnNetwork
from telvend.providers.simulator.book import Book, MemoryBook
from telvend.providers.simulator.client import Simulator
from telvend.providers.simulator.store import PostgresBook
from tests.clocks import FakeClock
from tests.contract.situations import Situation
from tests.described_doubles import EasyAccessDouble, MobilesixDouble, TelitabDouble, WazodataDouble
from tests.madapi_double import MadapiDouble
from tests.vendor_doubles import SETTLES_S, NetpluseDouble, NetworkDataSubDouble, VendorDouble, VTpassDouble
from tests.world_doubles import DTOneDouble, ReloadlyDouble

EXAMPLES: Final = Path(examples.__file__).parent


class Rig(Protocol):
    """A provider and its far side."""

    provider: Provider
    forgets_refusals: bool
    """Whether a purchase that was refused at once leaves no trace at the far side, so that it is never heard of afterwards."""

    def delivery(self, situation: Situation) -> Delivery:
        """A new delivery, under a new reference, with which the far side does what the situation says."""

    async def let_settle(self) -> None:
        """Let so much time pass that what was accepted is settled."""

    async def hold(self) -> Callable[[], Awaitable[None]]:
        """From now on the far side takes its time. Call what is returned to let time pass, until all is answered."""

    async def delivered(self, delivery: Delivery) -> int:
        """How often the far side has delivered it, from its own book."""

    async def close(self) -> None: ...


class SimulatorRig:
    """The simulator over either of its books."""

    forgets_refusals = False

    _ENDINGS: Final = {
        Situation.DELIVERS: "0001",
        Situation.DELIVERS_LATER: "0002",
        Situation.REFUSES_LATER: "0003",
        Situation.REFUSES: "0004",
        Situation.REFUSES_ELSEWHERE: "0005",
        Situation.DELIVERS_THEN_SILENCE: "0006",
        Situation.SILENCE: "0007",
        Situation.DELIVERS_THEN_GARBAGE: "0008",
        Situation.GARBAGE: "0011",
        Situation.DELIVERS_THEN_SERVER_ERROR: "0012",
        Situation.SERVER_ERROR: "0013",
        Situation.UNDOCUMENTED: "0014",
        Situation.NO_CONNECTION: "0010",
    }
    _numbers = itertools.count(1)

    def __init__(self, book: Book, database: Database | None = None) -> None:
        self.book = book
        self.clock = FakeClock()
        # A name of its own, since the book outlives the rig and a reference may come again in another test run.
        self.name = f"simulator-{id(self)}-{next(self._numbers)}"
        self.provider: Provider = Simulator(self.name, book, self.clock)
        self._database = database

    def delivery(self, situation: Situation) -> Delivery:
        return self.numbered(self._ENDINGS[situation])

    def numbered(self, ending: str) -> Delivery:
        """A delivery to a number that ends so."""
        return delivery_to(f"+23324123{ending}", f"NPAPI-{next(self._numbers)}-7kq2xd-1")

    async def let_settle(self) -> None:
        self.clock.pass_time(3)

    async def hold(self) -> Callable[[], Awaitable[None]]:
        self.clock.hurry = False

        async def go_on() -> None:
            self.clock.hurry = True
            self.clock.pass_time(60)

        return go_on

    async def delivered(self, delivery: Delivery) -> int:
        lines = await self.book.page(reference=delivery.reference, provider=self.name)
        return sum(line.deliveries for line in lines)

    async def close(self) -> None:
        await self.provider.close()
        await self.book.close()
        if self._database is not None:
            await self._database.close()


class OwnNetworkRig:
    """Our own network over a database, with what can go wrong on the way to it: it is busy, before or after it has given.

    Its book is what subscribers were given.
    """

    forgets_refusals = False

    BARRED: Final = "+233241239999"
    _numbers = itertools.count(1)

    def __init__(self, database: Database) -> None:
        self.database = database
        entitlements = Entitlements(database)
        self.network = Provisioning(database)
        self.network.start()
        self.provider: Provider = OwnNetwork(self, entitlements)
        self._situations: dict[str, Situation] = {}
        self._open = asyncio.Event()
        self._open.set()
        # The database outlives the rig, and so do references.
        self._name = f"NPAPI-{time.time_ns()}"

    async def bar(self) -> None:
        async with self.database.connection() as tx:
            await tx.execute(
                "insert into subscriber (mode, msisdn, country, currency, status, tariff_plan, usable_until, reachable_until)"
                " values ('live', $1, 'GH', 'GHS', 'Suspended', 'Prepaid', 'infinity', 'infinity') on conflict do nothing",
                self.BARRED,
            )

    # What the provider calls -------------------------------------------------------------------------------------------

    async def deliver_all(self, deliveries: Sequence[NetworkDelivery]) -> Sequence[DeliveryAnswer | Exception]:
        return await asyncio.gather(*map(self._deliver, deliveries), return_exceptions=True)  # type: ignore[return-value]

    async def _deliver(self, delivery: NetworkDelivery) -> DeliveryAnswer:
        situation = self._situations[delivery.reference]
        await self._open.wait()
        if situation is Situation.SILENCE:
            raise Busy
        answer = await self.network.deliver(delivery)
        if situation is Situation.DELIVERS_THEN_SILENCE:
            raise Busy
        return answer

    async def requery(self, reference: str) -> DeliveryAnswer:
        return await self.network.requery(reference)

    # What the suite calls ----------------------------------------------------------------------------------------------

    def delivery(self, situation: Situation) -> Delivery:
        number = next(self._numbers)
        subscriber = self.BARRED if situation is Situation.REFUSES else f"+2332412{number % 50:05}"
        delivery = delivery_to(subscriber, f"{self._name}-{number}-1")
        self._situations[delivery.reference] = situation
        return delivery

    async def let_settle(self) -> None:
        """What it does it does at once."""

    async def hold(self) -> Callable[[], Awaitable[None]]:
        self._open.clear()

        async def go_on() -> None:
            self._open.set()

        return go_on

    async def delivered(self, delivery: Delivery) -> int:
        async with self.database.connection() as tx:
            counted = "select count(*) from bucket_posting where cause = $1"
            return int(await tx.fetchval(counted, delivery.reference))

    async def close(self) -> None:
        await self.network.close()
        await self.database.close()


class VendorRig:
    """A connector over a double of its vendor in the network's place."""

    forgets_refusals = True

    _numbers = itertools.count(1)

    def __init__(
        self,
        double: VendorDouble,
        settings: ProviderSettings,
        make: Callable[[str, str], Delivery],
        settles_s: float = SETTLES_S,
    ) -> None:
        self.double = double
        self._settles_s = settles_s
        self.provider: Provider = connect("upstream", settings, double.clock, transport=double.transport)
        self._make = make

    def delivery(self, situation: Situation) -> Delivery:
        number = next(self._numbers)
        now = self.double.clock.now()
        reference = self.provider.traits.reference(f"AT-{number}", 1, now)
        delivery = replace(self._make(f"{number:05}", reference), started_at=now)
        self.double.situations[national_form(delivery.subscriber)] = situation
        return delivery

    async def let_settle(self) -> None:
        self.double.clock.pass_time(self._settles_s)

    async def hold(self) -> Callable[[], Awaitable[None]]:
        self.double.open.clear()

        async def go_on() -> None:
            self.double.open.set()

        return go_on

    async def delivered(self, delivery: Delivery) -> int:
        return self.double.delivered(national_form(delivery.subscriber))

    async def close(self) -> None:
        await self.provider.close()


def delivery_to(subscriber: str, reference: str) -> Delivery:
    """One gigabyte for a number."""
    return Delivery(
        reference=reference,
        kind="data",
        country="GH",
        network="MTN",
        product="GH-MTN-1GB-30D",
        size="1GB",
        validity_days=30,
        subscriber=subscriber,
        face_value=Money(450, GHS),
        cost=Money(390, GHS),
    )


async def simulator_in_memory(database_url: str) -> SimulatorRig:
    return SimulatorRig(MemoryBook())


async def simulator_in_postgres(database_url: str) -> SimulatorRig:
    database = await Database.open(database_url, pool_size=2)
    return SimulatorRig(PostgresBook(database), database)


async def own_network(database_url: str) -> OwnNetworkRig:
    rig = OwnNetworkRig(await Database.open(database_url, pool_size=2))
    await rig.bar()
    return rig


async def netpluse(database_url: str) -> VendorRig:
    settings = ProviderSettings(connector="netpluse", api_key=Secret(NetpluseDouble.KEY))
    return VendorRig(NetpluseDouble(), settings, lambda ending, reference: delivery_to(f"+2332412{ending}", reference))


def delivery_in_nigeria(subscriber: str, reference: str, kind: str = "data") -> Delivery:
    """One gigabyte of MTN, or airtime for NGN 300."""
    return Delivery(
        reference=reference,
        kind=kind,
        country="NG",
        network="mtn",
        product="NG-MTN-SME-1GB-30D" if kind == "data" else "NG-MTN-AIRTIME",
        size="1GB" if kind == "data" else "300.00",
        validity_days=30 if kind == "data" else None,
        subscriber=subscriber,
        face_value=Money(300_00, NGN),
        cost=Money(285_00, NGN),
        type="SME" if kind == "data" else "",
    )


async def networkdatasub(database_url: str) -> VendorRig:
    """The printed contract: no reference of ours, so that the list of transactions is all there is after a lost answer."""
    settings = ProviderSettings(connector="networkdatasub", api_key=Secret(NetworkDataSubDouble.KEY))

    def make(ending: str, reference: str) -> Delivery:
        return replace(delivery_in_nigeria(f"+23480312{ending}", reference), rivals=0)

    # By then no later purchase can be taken for the one that is looked for.
    return VendorRig(NetworkDataSubDouble(), settings, make, settles_s=600)


async def networkdatasub_with_reference(database_url: str) -> VendorRig:
    key = Secret(NetworkDataSubDouble.KEY)
    settings = ProviderSettings(
        connector="networkdatasub", api_key=key, caller_reference=True, base_url="https://shop.example.com/api"
    )
    return VendorRig(
        NetworkDataSubDouble(),
        settings,
        lambda ending, reference: delivery_in_nigeria(f"+23480312{ending}", reference, "airtime"),
    )


async def vtpass(database_url: str) -> VendorRig:
    settings = ProviderSettings(
        connector="vtpass",
        api_key=Secret(VTpassDouble.API_KEY),
        public_key=Secret(VTpassDouble.PUBLIC_KEY),
        secret_key=Secret(VTpassDouble.SECRET_KEY),
    )
    return VendorRig(
        VTpassDouble(),
        settings,
        lambda ending, reference: delivery_in_nigeria(f"+23480312{ending}", reference, "airtime"),
    )


def _described(name: str, **keys: str) -> ProviderSettings:
    return ProviderSettings(
        connector="http", file=str(EXAMPLES / f"{name}.toml"), **{k: Secret(v) for k, v in keys.items()}
    )


async def wazodata(database_url: str) -> VendorRig:
    return VendorRig(
        WazodataDouble(),
        _described("wazodata", api_key=WazodataDouble.KEY),
        lambda ending, reference: delivery_in_nigeria(f"+23480312{ending}", reference),
    )


async def mobilesix(database_url: str) -> VendorRig:
    return VendorRig(
        MobilesixDouble(),
        _described("mobilesix", api_key=MobilesixDouble.KEY, api_secret=MobilesixDouble.SECRET),
        lambda ending, reference: delivery_in_nigeria(f"+23480312{ending}", reference, "airtime"),
    )


async def telitab(database_url: str) -> VendorRig:
    return VendorRig(
        TelitabDouble(),
        _described("telitab", client_id=TelitabDouble.USER, client_secret=TelitabDouble.PASSWORD),
        lambda ending, reference: delivery_in_nigeria(f"+23480312{ending}", reference),
    )


async def easyaccess(database_url: str) -> VendorRig:
    return VendorRig(
        EasyAccessDouble(),
        _described("easyaccess", api_key=EasyAccessDouble.KEY),
        lambda ending, reference: replace(delivery_in_nigeria(f"+23480312{ending}", reference), provider_code="51"),
    )


async def reloadly(database_url: str) -> VendorRig:
    settings = ProviderSettings(
        connector="reloadly",
        client_id=Secret(ReloadlyDouble.CLIENT_ID),
        client_secret=Secret(ReloadlyDouble.CLIENT_SECRET),
    )
    return VendorRig(
        ReloadlyDouble(),
        settings,
        lambda ending, reference: delivery_in_nigeria(f"+23480312{ending}", reference, "airtime"),
    )


async def dtone(database_url: str) -> VendorRig:
    settings = ProviderSettings(
        connector="dtone", api_key=Secret(DTOneDouble.API_KEY), api_secret=Secret(DTOneDouble.API_SECRET)
    )
    return VendorRig(
        DTOneDouble(),
        settings,
        lambda ending, reference: delivery_in_nigeria(f"+23480312{ending}", reference, "airtime"),
    )


MADAPI: Final = ProviderSettings(
    connector="madapi", client_id=Secret(MadapiDouble.CLIENT_ID), client_secret=Secret(MadapiDouble.CLIENT_SECRET)
)


async def madapi(database_url: str) -> VendorRig:
    return VendorRig(
        MadapiDouble(), MADAPI, lambda ending, reference: delivery_in_nigeria(f"+23480312{ending}", reference)
    )


async def madapi_at_a_telvend(database_url: str) -> VendorRig:
    return VendorRig(
        MadapiDouble(telvend=True),
        MADAPI,
        lambda ending, reference: delivery_in_nigeria(f"+23480312{ending}", reference, "airtime"),
    )


RIGS: Final[dict[str, Callable[[str], Awaitable[Rig]]]] = {
    "simulator, book in memory": simulator_in_memory,
    "simulator, book in PostgreSQL": simulator_in_postgres,
    "own network": own_network,
    "netpluse": netpluse,
    "networkdatasub": networkdatasub,
    "networkdatasub, with our reference": networkdatasub_with_reference,
    "vtpass": vtpass,
    "reloadly": reloadly,
    "dtone": dtone,
    "madapi, subscriptions": madapi,
    "madapi, refills at another Telvend": madapi_at_a_telvend,
    "http, wazodata": wazodata,
    "http, mobilesix": mobilesix,
    "http, telitab": telitab,
    "http, easyaccess": easyaccess,
}
"""Every provider, by a name for people. A rig is opened with the address of a database that has the schema."""

_NO_LINE: Final = "nothing is put into bytes, and mypy sees that every answer has a meaning"
_AT_ONCE: Final = "it gives in one transaction, or not at all"

CANNOT: Final[dict[str, dict[Situation, str]]] = {
    "own network": {
        Situation.DELIVERS_LATER: _AT_ONCE,
        Situation.REFUSES_LATER: _AT_ONCE,
        Situation.REFUSES_ELSEWHERE: "it serves every network and every size, and keeps no account of ours that could be empty",
        Situation.DELIVERS_THEN_GARBAGE: _NO_LINE,
        Situation.GARBAGE: _NO_LINE,
        Situation.DELIVERS_THEN_SERVER_ERROR: _NO_LINE,
        Situation.SERVER_ERROR: _NO_LINE,
        Situation.UNDOCUMENTED: _NO_LINE,
        Situation.NO_CONNECTION: "it is in this process",
    },
    "madapi, refills at another Telvend": {
        Situation.DELIVERS_LATER: _AT_ONCE,
        Situation.REFUSES_LATER: _AT_ONCE,
    },
}
"""The situations that the far side of a rig can never be in, by the rig's name, and why."""

PLAYED: Final = [(name, situation) for name in RIGS for situation in Situation if situation not in CANNOT.get(name, {})]
"""Every rig with every situation that its far side can be in."""
