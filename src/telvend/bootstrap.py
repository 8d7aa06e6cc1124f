"""Puts the rooms together. The only file that knows concrete providers and dialects.

async with open_shop(settings, url) as shop:            what a command line program needs
    ...
async with open_shop(settings, url) as shop:            what a server needs
    app = serving(shop, limiter, metrics)
"""

import importlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from telvend import __version__
from telvend.authorities.contract import Authority
from telvend.authorities.dojah.client import NAME as DOJAH
from telvend.authorities.dojah.client import Dojah
from telvend.authorities.personas import Personas
from telvend.authorities.prembly.client import NAME as PREMBLY
from telvend.authorities.prembly.client import Prembly
from telvend.catalog.service import TOPIC as CATALOGUE
from telvend.catalog.service import Catalogue, install_builtin
from telvend.config import Settings, SettingsRefused
from telvend.connected import Connected
from telvend.corrections import failpoints as correction_points
from telvend.corrections.service import Corrections
from telvend.database import migrations
from telvend.database.connections import Database, Tx
from telvend.database.outage import AWAY
from telvend.database.watch import Watch
from telvend.dialects import madapi, netpluse, networkdatasub
from telvend.errors import Busy
from telvend.fulfilment import Ears, Fulfilment, Policy, PostgresFulfilmentStore, Review
from telvend.fulfilment import failpoints as fulfilment_points
from telvend.fulfilment.routing import Router, Rule
from telvend.funding import failpoints as funding_points
from telvend.funding.asking import Asking, Gateways
from telvend.funding.jobs import FundingWorker
from telvend.funding.play_money.guard import TOPIC as PLAY_MONEY
from telvend.funding.play_money.guard import PlayMoneyGuard
from telvend.funding.play_money.real_process import RealProcess
from telvend.funding.play_money.voiding import PlayMoney
from telvend.funding.service import Fundings
from telvend.gateways.contract import Gateway
from telvend.gateways.paystack.client import Paystack
from telvend.gateways.sandbox.client import Sandbox
from telvend.identity import failpoints as identity_points
from telvend.identity.custody import Custody
from telvend.identity.service import Identity
from telvend.kit import failpoints, metrics
from telvend.kit.clock import Clock, SystemClock
from telvend.kit.fresh import Fresh
from telvend.kit.keyfile import KeyMissing
from telvend.kit.log import get
from telvend.kit.phone import use_prefixes
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.ledger.service import Ledger
from telvend.operator.entitlements.model import FaultyPart
from telvend.operator.entitlements.service import TOPIC as NETWORK
from telvend.operator.entitlements.service import Offering
from telvend.operator.plans.service import Reading
from telvend.operator.premiums.service import Premiums
from telvend.operator.provisioning.service import Delivering
from telvend.operator.refills import failpoints as refill_points
from telvend.operator.refills.service import Refills
from telvend.operator.subscribers import failpoints as subscriber_points
from telvend.operator.subscribers.momo.service import MobileMoney
from telvend.operator.subscribers.service import Subscribers
from telvend.operator.usage.service import Using
from telvend.operator.vouchers.pins import PinKeys
from telvend.operator.vouchers.service import Vouchers
from telvend.orders import failpoints as order_points
from telvend.orders.service import Orders
from telvend.providers.contract import Provider
from telvend.providers.own_network.client import NAME as OWN_NETWORK
from telvend.providers.own_network.client import OwnNetwork
from telvend.providers.simulator.client import Simulator
from telvend.providers.simulator.store import PostgresBook
from telvend.resellers.keyring import TOPIC as KEYS
from telvend.resellers.model import KeyForm
from telvend.resellers.service import Resellers
from telvend.sales.continuity.service import Continuity
from telvend.sales.gate import SalesGate
from telvend.sales.model import KindsByDialect
from telvend.sales.promises import Promises
from telvend.services import Services
from telvend.wallets.service import Transactions

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from telvend.dialects.contract import Dialect
    from telvend.dialects.dispatch import Dispatch


HEALTH_KEPT_FOR_S = 0.2
"""For so long what `/healthz` found is told again: asking it often does not mean asking the database often."""

_log = get(__name__)

AUTHORITIES = (PREMBLY, DOJAH)
"""The real authorities that there are, configured or not."""

APIS = (netpluse.KEYS, networkdatasub.KEYS, madapi.KEYS)
"""The public APIs, each by the name and form of its keys. A new dialect gets its line here; its `routes.py` has `dialect`."""

FAILPOINTS = {
    name: sentence
    for room in (
        order_points,
        fulfilment_points,
        identity_points,
        subscriber_points,
        refill_points,
        funding_points,
        correction_points,
    )
    for name, sentence in room.FAILPOINTS.items()
}
"""Every failpoint, and what has happened when it is reached."""

# On import, so that no process of a server starts with a name in TELVEND_FAILPOINTS that does not exist.
failpoints.know(FAILPOINTS)


@dataclass(slots=True)
class Shop:
    """Everything of one shop in one process."""

    settings: Settings
    database: Database
    services: Services
    router: Router
    book: PostgresBook
    fulfilment: Fulfilment
    review: Review
    watch: Watch
    clock: Clock
    sandbox: Sandbox
    funding_worker: FundingWorker
    gate: SalesGate
    kinds: KindsByDialect
    continuity: Continuity
    connected: Connected
    play_money: PlayMoney
    promises: Promises

    async def unready(self) -> str | None:
        """Why this process cannot serve now, in one sentence; None when it can."""
        if not self.watch.runs:
            try:
                await self.watch.look()
            except Busy:
                return AWAY
        elif not self.watch.answers:
            return AWAY
        return self.continuity.halted or self.promises.broken or self.database.outage.reason


@asynccontextmanager
async def open_shop(
    settings: Settings,
    url: str,
    *,
    runtime: Runtime = NO_RUNTIME,
    serves: bool = False,
) -> AsyncIterator[Shop]:
    """The shop in the database at `url`, whose schema is in place. Nothing runs yet; closing it stops what does.

    `serves`: this process takes over what ended ones of this node remembered of the book.
    """
    use_prefixes(settings.number_prefixes)
    clock = SystemClock()
    gate, kinds = SalesGate(), KindsByDialect()
    database = await Database.open(url, pool_size=settings.pool_size, serves=serves)
    try:
        continuity = await _continuity(settings, database, gate, serves)
        ledger = Ledger(database, runtime=runtime)
        catalogue = Catalogue(database)
        resellers = Resellers(database, ledger, APIS, clock)
        orders = Orders(
            database,
            ledger,
            catalogue,
            apis=[keys.api for keys in APIS],
            runtime=runtime,
            maximum_waiting=settings.lane_waiting,
            gate=gate,
            kinds=kinds,
        )
        authorities = _authorities(settings)
        offering = Offering(database)
        provisioning = Delivering(database, runtime=runtime)
        usage = Using(database, clock, runtime=runtime)
        plans = Reading(database, lambda: offering.snapshot, runtime=runtime)
        book = PostgresBook(database, runtime=runtime)
        providers = _providers(settings, book, clock, provisioning, offering)
        real_gateways = _real_gateways(settings)
        connected = _connected(providers, authorities, real_gateways)
        play_money = PlayMoney(database, ledger)
        play_money_guard = PlayMoneyGuard(connected, gate)
        real_process = RealProcess(connected, gate, socket.gethostname(), clock)
        sandbox = await Sandbox.open(database, live=connected.takes_play_money)
        gateways = Gateways([*real_gateways, sandbox], idle=connected.idle_gateways)
        asking = Asking(database, ledger, gateways)
        funding_worker = FundingWorker(database, asking, clock, runtime=runtime)
        fundings = Fundings(
            database,
            ledger,
            gateways,
            asking,
            expires_after_s=settings.funding_expires_s,
            on_notice=funding_worker.wake,
        )
        custody = Custody(database, Path(settings.data_dir), settings.identity_master_key)
        identity = Identity(
            database,
            ledger,
            custody,
            Personas(clock),
            authorities,
            clock=clock,
            runtime=runtime,
            gate=gate,
            kinds=kinds,
        )
        pin_keys = PinKeys(database, Path(settings.data_dir), settings.voucher_key)
        vouchers = Vouchers(database, pin_keys, clock=clock, runtime=runtime)
        refills = Refills(database, ledger, offering, pin_keys, runtime=runtime, gate=gate, kinds=kinds)
        premiums = Premiums(
            database,
            clock,
            retention_days=settings.premium_retention_days,
            loyalty_readable=lambda msisdn: offering.snapshot.fault(msisdn, FaultyPart.LOYALTY) is None,
            runtime=runtime,
        )
        services = Services(
            catalogue=catalogue,
            resellers=resellers,
            orders=orders,
            identity=identity,
            ledger=ledger,
            transactions=Transactions(database),
            corrections=Corrections(database, ledger),
            fundings=fundings,
            subscribers=Subscribers(database),
            mobile_money=MobileMoney(database),
            entitlements=offering,
            provisioning=provisioning,
            usage=usage,
            plans=plans,
            vouchers=vouchers,
            refills=refills,
            premiums=premiums,
            public_url=settings.public_url,
            delivery_wait_s=settings.delivery_wait_s,
            creates_subscribers=settings.own_network_creates_subscribers,
            home_country=settings.madapi_home_country,
        )
        router = _router(settings, providers, clock, play_money_guard.refuses_live)
        policy = Policy()
        jobs = PostgresFulfilmentStore(database, ledger, policy, doubts=continuity.doubts)
        fulfilment = Fulfilment(
            jobs,
            router,
            clock,
            policy=policy,
            costs=lambda product_id: catalogue.snapshot.costs(product_id),
            ears=_Counted(),
            pressure=lambda: orders.lane.load,
            held=lambda: continuity.holds_deliveries or real_process.yields,
            runtime=runtime,
            concurrency=settings.fulfilment_concurrency,
        )

        promises = Promises(gate)

        async def look(tx: Tx) -> None:
            await continuity.check(tx)
            await promises.check(tx)
            if serves:
                await real_process.check(tx)

        async def keys_changed(_: Tx) -> None:
            resellers.forget()

        async def network_changed(tx: Tx) -> None:
            await offering.load(tx)
            await premiums.load(tx)

        watch = Watch(
            database,
            clock,
            {
                KEYS: keys_changed,
                CATALOGUE: catalogue.load,
                NETWORK: network_changed,
                PLAY_MONEY: play_money_guard.load,
            },
            resellers.refreshed,
            each=look,
        )
        shop = Shop(
            settings,
            database,
            services,
            router,
            book,
            fulfilment,
            Review(jobs),
            watch,
            clock,
            sandbox,
            funding_worker,
            gate,
            kinds,
            continuity,
            connected,
            play_money,
            promises,
        )
        try:
            yield shop
        finally:
            await watch.close()
            await real_process.close(database)
            for provider in providers:
                await provider.close()
            await gateways.close()
            await jobs.close()
            await usage.close()
            await plans.close()
            await provisioning.close()
            await refills.close()
            await book.close()
            continuity.save()
    finally:
        await database.close()


BOOK_FOLDER = "book"
"""Where the processes of a node keep what they remember of the book, below the data directory."""


async def _continuity(settings: Settings, database: Database, gate: SalesGate, serves: bool) -> Continuity:
    """Open the node's memory of the book and compare it with the database. From here on every commit is remembered."""
    continuity = Continuity(
        gate,
        Path(settings.data_dir) / BOOK_FOLDER,
        socket.gethostname(),
        on_halted=metrics.book_behind if serves else None,
    )
    async with database.connection() as tx:
        await continuity.open(tx, take_over=serves)
    database.on_commit, database.on_connected = continuity.committed, continuity.connected
    return continuity


def _connected(providers: list[Provider], authorities: dict[str, Authority], gateways: list[Gateway]) -> Connected:
    try:
        # The personas answer wherever no authority is asked.
        return Connected.of(providers, [Personas(), *authorities.values()], gateways)
    except ValueError as error:
        raise SettingsRefused(f"These providers cannot stand side by side: {error}.") from None


def _real_gateways(settings: Settings) -> list[Gateway]:
    """Every gateway of this shop beside the sandbox, the preferred one first."""
    real: list[Gateway] = []
    for name, key in (("paystack", settings.paystack_secret_key), ("paystack-test", settings.paystack_test_secret_key)):
        if key is not None:
            real.append(Paystack(name, key))
    return real


def _authorities(settings: Settings) -> dict[str, Authority]:
    """The real authorities of this shop, by their names."""
    authorities: dict[str, Authority] = {}
    if settings.prembly_api_key is not None:
        authorities[PREMBLY] = Prembly(api_key=settings.prembly_api_key, app_id=settings.prembly_app_id)
    if settings.dojah_secret_key is not None:
        authorities[DOJAH] = Dojah(secret_key=settings.dojah_secret_key, app_id=settings.dojah_app_id)
    return authorities


def _providers(
    settings: Settings, book: PostgresBook, clock: Clock, provisioning: Delivering, offering: Offering
) -> list[Provider]:
    """Every provider of this shop. A new one gets its line here."""
    providers: list[Provider] = [
        Simulator(
            name,
            book,
            clock,
            live=chosen.live,
            steered=chosen.steered,
            timeout_s=chosen.timeout_s,
            concurrency=settings.fulfilment_concurrency,
        )
        for name, chosen in settings.simulators.items()
    ]
    if settings.own_network:
        providers.append(
            OwnNetwork(
                provisioning,
                offering,
                creates_subscribers=settings.own_network_creates_subscribers,
                concurrency=settings.fulfilment_concurrency,
            )
        )
    return providers


def _router(
    settings: Settings, providers: list[Provider], clock: Clock, refuses_live: Callable[[], str | None]
) -> Router:
    # What a steered simulator does is decided by the number, and says nothing of the next one: no breaker.
    rules = {name: Rule(priority=chosen.priority, breaker=False) for name, chosen in settings.simulators.items()}
    if settings.own_network:
        # Whoever else was set up for live orders was set up on purpose, and goes first. It fails only where the database
        # does, and then nothing can be claimed for anybody: a breaker would only make it come back later.
        rules[OWN_NETWORK] = Rule(priority=1000, breaker=False)
    try:
        return Router(providers, clock, rules=rules, refuses_live=refuses_live)
    except ValueError as error:
        raise SettingsRefused(f"These providers cannot stand side by side: {error}.") from None


def load_modules() -> None:
    """Import what serving needs, and commands do not. It takes a second, for which a starting database need not wait."""
    importlib.import_module("uvicorn")
    for name in (
        "dialects.openapi",
        "dialects.postman",
        "dialects.dispatch",
        "dialects.serving",
        "web.checkout",
        "web.notices",
        "web.pages",
    ):
        importlib.import_module(f"telvend.{name}")
    for keys in APIS:
        _routes_of(keys)


def _routes_of(keys: KeyForm) -> ModuleType:
    """Import the routes of a dialect. They need the web framework, which commands do not."""
    return importlib.import_module(f"telvend.dialects.{keys.api}.routes")


def application(shop: Shop, run_dir: Path) -> "Dispatch":
    """The ASGI application of a serving process. What the processes of a node share is kept in `run_dir`."""
    return applications(shop, run_dir)[0]


def applications(shop: Shop, run_dir: Path) -> "tuple[Dispatch, ASGIApp]":
    """The ASGI application of a serving process, and the one of its `metrics_port`."""
    # Only a server needs the web framework; a command starts faster without it.
    from telvend.dialects import openapi, postman, serving
    from telvend.dialects.dispatch import Dispatch, Served
    from telvend.kit.allowance import Allowance, NodeAllowance, SharedAllowance
    from telvend.web.checkout import BASE, checkout
    from telvend.web.measurements import measurements, metrics_only
    from telvend.web.notices import notices
    from telvend.web.pages import pages

    run_dir.mkdir(mode=0o700, exist_ok=True)
    shared = SharedAllowance(run_dir / "allowance")
    limiter: Allowance = NodeAllowance(shared)
    if shop.settings.redis_url is not None:
        from telvend.kit.allowance_redis import RedisAllowance

        try:
            limiter = RedisAllowance.at(shop.settings.redis_url.reveal(), shared)
        except ValueError:  # Its text repeats parts of the address, which may be those of a password.
            raise SettingsRefused(
                "TELVEND_REDIS_URL is not the address of a Redis: redis://[:password@]host[:port][/number]."
            ) from None
    dialects: list[Dialect] = [_routes_of(keys).dialect(shop.settings) for keys in APIS]
    for dialect in dialects:
        shop.kinds.declare(dialect.name, dialect.sells)
    apps: dict[str, Served] = {
        mount: app
        for dialect in dialects
        for app in [serving.DialectApp(dialect, shop.services, limiter)]
        for mount in dialect.mounts or (dialect.base_path,)
    }
    apps[BASE] = checkout(shop.services.fundings, shop.sandbox)
    apps["/gateways"] = notices(shop.services.fundings)
    documents = {
        "openapi": {d.name: partial(openapi.with_address, openapi.document(d, __version__)) for d in dialects},
        "postman": {d.name: partial(postman.with_address, postman.collection(d, __version__)) for d in dialects},
    }

    measure = measurements(shop.services, shop.database)
    main = Dispatch(
        apps,
        pages(
            shop.services.resellers,
            shop.settings.public_url,
            documents,
            measure,
            Fresh(shop.unready, HEALTH_KEPT_FOR_S),
            metrics_public=shop.settings.metrics_public,
        ),
    )
    return main, metrics_only(measure)


class _Counted(Ears):
    """Tells the metrics what the fulfilment hears."""

    def called(self, provider: str, verb: str, outcome: str, duration_s: float) -> None:
        metrics.provider_answered(provider, f"{verb} {outcome}", duration_s)


async def require_keys(settings: Settings, database: Database) -> None:
    """Refuse keys that are no keys, and keys of the settings that are not those of this database.

    A key file that is missing is told in the log only: the shop sells what needs no key. Raises KeyRefused.
    """
    folder = Path(settings.data_dir)
    for what, keys in (
        ("identity master key", Custody(database, folder, settings.identity_master_key)),
        ("voucher key", PinKeys(database, folder, settings.voucher_key)),
    ):
        try:
            await keys.check()
        except KeyMissing as error:
            if keys.from_settings:
                raise
            _log.critical("key_missing", what=what, why=str(error))


async def prepare_database(database: Database, say: Callable[[str], None]) -> None:
    """Bring the schema to this version and fill an empty catalogue.

    Only for who may do that: `telvend serve`, `demo` and `upgrade`. Raises DatabaseRefused, SchemaRefused.
    """
    await database.check_promises(migrations.names())
    await migrations.ensure(database, say)
    async with database.transaction() as tx:
        await install_builtin(tx)


async def enter_database(database: Database) -> None:
    """Make sure that this version can work with the database as it is. Raises DatabaseRefused, SchemaRefused."""
    await database.check_promises(migrations.names())
    await migrations.require(database)
    async with database.transaction() as tx:
        await install_builtin(tx)  # The catalogue is missing where preparing the database was interrupted.
