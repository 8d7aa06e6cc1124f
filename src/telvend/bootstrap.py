"""Puts the rooms together, starts everything and closes everything. The only file that knows concrete providers and dialects.

    async with open_shop(settings, url) as shop:             what a command needs; nothing runs
    async with work(settings, url) as shop:                  a process that delivers orders
    async with serve(settings, url, listen) as (shop, http): a process that answers HTTP, and may deliver

A new provider, authority, gateway or dialect gets its line in `_providers`, `_authorities`, `_gateways` or `APIS`.
"""

import asyncio
import importlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from telvend import __version__
from telvend.authorities.contract import Authority
from telvend.authorities.dojah.client import NAME as DOJAH
from telvend.authorities.dojah.client import Dojah
from telvend.authorities.personas import Personas
from telvend.authorities.prembly.client import NAME as PREMBLY
from telvend.authorities.prembly.client import Prembly
from telvend.catalog.service import TOPIC as CATALOGUE
from telvend.catalog.service import Catalogue
from telvend.config import Settings, SettingsRefused
from telvend.connected import Connected
from telvend.corrections import failpoints as correction_points
from telvend.corrections.service import Corrections
from telvend.database.connections import Database, Tx
from telvend.database.outage import AWAY
from telvend.database.watch import Watch
from telvend.dialects import madapi, netpluse, networkdatasub
from telvend.errors import Busy
from telvend.fulfilment import Ears, Fulfilment, Policy, PostgresFulfilmentStore, Review
from telvend.fulfilment import failpoints as fulfilment_points
from telvend.fulfilment.metrics import provider_answered
from telvend.fulfilment.routing import Router, Rule
from telvend.funding import failpoints as funding_points
from telvend.funding.asking import Asking, Gateways
from telvend.funding.credits import Credits
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
from telvend.kit.lifecycle import Closes, Lifecycle
from telvend.kit.phone import use_prefixes
from telvend.kit.runtime import NO_RUNTIME, Runtime, runtime_of_server
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
from telvend.sales.continuity.metrics import BOOK_BEHIND
from telvend.sales.continuity.service import Continuity
from telvend.sales.gate import SalesGate
from telvend.sales.model import KindsByDialect
from telvend.sales.promises import Promises
from telvend.services import Services
from telvend.wallets.service import Transactions, Wallets

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from telvend.dialects.contract import Dialect
    from telvend.dialects.dispatch import Dispatch
    from telvend.kit.allowance import Allowance
    from telvend.web.server import HttpServer


HEALTH_KEPT_FOR_S = 0.2
"""For so long what `/healthz` found is told again: asking it often does not mean asking the database often."""

BOOK_FOLDER = "book"
"""Where the processes of a node keep what they remember of the book, below the data directory."""

_LOOK_AGAIN_S: Final = 0.1

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
async def open_shop(settings: Settings, url: str, *, serves: bool = False) -> AsyncIterator[Shop]:
    """The shop in the database at `url`, whose schema is in place. Nothing of it runs.

    `serves`: this process takes over what ended ones of this node remembered of the book.
    """
    async with Lifecycle() as life:
        yield await _assemble(life, settings, url, NO_RUNTIME, serves=serves)


@asynccontextmanager
async def work(settings: Settings, url: str, *, fulfilment: bool = True) -> AsyncIterator[Shop]:
    """A shop whose lanes, watch and later work run, and its deliveries where `fulfilment`. Closing it drains them."""
    async with Lifecycle() as life:
        yield await _run(life, settings, url, fulfilment=fulfilment)


@asynccontextmanager
async def serve(
    settings: Settings, url: str, listen: Callable[[], list[socket.socket]]
) -> "AsyncIterator[tuple[Shop, HttpServer]]":
    """A shop that runs, and answers HTTP on what `listen` gives; it is asked when the shop runs.

    Closing it answers the requests in hand, then drains the shop.
    """
    from telvend.web.connections import raise_file_limit
    from telvend.web.server import HttpServer

    run_dir = Path(settings.data_dir) / "run"
    if settings.workers > 1:
        metrics.prepare(run_dir / "metrics")
    # After the database was started, which is left with the limit that it was given.
    open_files = raise_file_limit()
    async with Lifecycle() as life:
        shop = await _run(life, settings, url, fulfilment=settings.fulfilment)
        app, metrics_app = applications(life, shop, run_dir)
        http = life.runs(HttpServer(settings, listen(), app, metrics_app, open_files))
        life.start()
        yield shop, http


async def _run(life: Lifecycle, settings: Settings, url: str, *, fulfilment: bool) -> Shop:
    """Open the shop and start it, once the database has answered one look: what is remembered is loaded then."""
    shop = await _assemble(life, settings, url, runtime_of_server(), serves=True)
    while True:
        try:
            await shop.watch.look()
            break
        except Busy:
            await asyncio.sleep(_LOOK_AGAIN_S)  # The database is just coming back.
    metrics.pool("shop", shop.database.size, shop.database.in_use)
    BOOK_BEHIND.set(shop.continuity.halted is not None)
    if fulfilment:
        shop.services.orders.on_placed = shop.fulfilment.wake
        life.push_async_callback(shop.fulfilment.drain, settings.drain_s)
        life.starts(shop.fulfilment)
    life.start()
    return shop


async def _assemble(life: Lifecycle, settings: Settings, url: str, runtime: Runtime, *, serves: bool) -> Shop:
    """Make every component, in the order in which they start. They close in the reverse one: callers first."""
    use_prefixes(settings.number_prefixes)
    clock = SystemClock()
    data_dir = Path(settings.data_dir)
    node = socket.gethostname()
    gate, kinds = SalesGate(), KindsByDialect()

    # The database, and the node's memory of the book: from here on every commit is remembered.
    database = life.opened(await Database.open(url, pool_size=settings.pool_size, serves=serves))
    on_halted = BOOK_BEHIND.set if serves else None
    continuity = Continuity(gate, data_dir / BOOK_FOLDER, node, on_halted=on_halted, clock=clock, runtime=runtime)
    async with database.connection() as tx:
        await continuity.open(tx, take_over=serves)
    database.on_commit, database.on_connected = continuity.committed, continuity.connected
    life.runs(continuity)

    # The ledger, wallets, what is sold, who buys.
    ledger = Ledger(database)
    wallets = life.runs(Wallets(database, runtime=runtime))
    catalogue = Catalogue(database)
    resellers = Resellers(database, ledger, APIS, clock)

    # The operator's side.
    offering = Offering(database)
    provisioning = life.runs(Delivering(database, runtime=runtime))
    plans = life.runs(Reading(database, lambda: offering.snapshot, runtime=runtime))
    usage = life.runs(Using(database, clock, runtime=runtime))
    pin_keys = PinKeys(database, data_dir, settings.voucher_key)
    vouchers = life.runs(Vouchers(database, pin_keys, clock=clock, runtime=runtime))
    refills = life.runs(Refills(database, ledger, offering, pin_keys, runtime=runtime, gate=gate, kinds=kinds))
    premiums = life.runs(
        Premiums(
            database,
            clock,
            retention_days=settings.premium_retention_days,
            loyalty_readable=lambda msisdn: offering.snapshot.fault(msisdn, FaultyPart.LOYALTY) is None,
            runtime=runtime,
        )
    )

    # Providers, authorities and gateways, and what follows from which of them are real.
    book = life.opened(PostgresBook(database, runtime=runtime))
    providers = _providers(settings, book, clock, provisioning, offering)
    personas, authorities, gateways = Personas(clock), _authorities(settings), _gateways(settings)
    vendors: list[Closes] = [*providers, personas, *authorities.values(), *gateways]
    for vendor in vendors:
        life.opened(vendor)
    # The personas answer wherever no authority is asked.
    connected = _connected(providers, [personas, *authorities.values()], gateways)
    sandbox = life.opened(await Sandbox.open(database, live=connected.takes_play_money))
    play_money = PlayMoney(database, ledger)
    play_money_guard = PlayMoneyGuard(connected, gate)
    promises = Promises(gate)
    real_process = RealProcess(connected, gate, node, clock)
    life.push_async_callback(real_process.close, database)

    # The watch loads what other processes change. Below stands what may still call somebody real when it is closed: until
    # then the watch keeps saying that this process is real.
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

    changed = {
        KEYS: keys_changed,
        CATALOGUE: catalogue.load,
        NETWORK: network_changed,
        PLAY_MONEY: play_money_guard.load,
    }
    watch = life.runs(Watch(database, clock, changed, resellers.refreshed, each=look))

    # Sales, money coming in, deliveries.
    orders = life.runs(
        Orders(
            database,
            ledger,
            catalogue,
            apis=[keys.api for keys in APIS],
            runtime=runtime,
            maximum_waiting=settings.lane_waiting,
            gate=gate,
            kinds=kinds,
        )
    )
    custody = Custody(database, data_dir, settings.identity_master_key)
    identity = life.runs(
        Identity(database, ledger, custody, personas, authorities, clock=clock, runtime=runtime, gate=gate, kinds=kinds)
    )
    payable = Gateways([*gateways, sandbox], idle=connected.idle_gateways)
    asking = Asking(database, ledger, payable)
    funding_worker = life.starts(FundingWorker(database, asking, clock, runtime=runtime))
    life.push_async_callback(funding_worker.drain, settings.drain_s)
    fundings = Fundings(
        database,
        ledger,
        payable,
        asking,
        expires_after_s=settings.funding_expires_s,
        on_notice=funding_worker.wake,
    )
    router = _router(settings, providers, clock, play_money_guard.refuses_live)
    policy = Policy()
    jobs = life.opened(PostgresFulfilmentStore(database, ledger, policy, doubts=continuity.doubts))
    # Started, and drained, only where this process delivers.
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

    services = Services(
        catalogue=catalogue,
        resellers=resellers,
        orders=orders,
        identity=identity,
        ledger=ledger,
        wallets=wallets,
        transactions=Transactions(database),
        credits=Credits(database, ledger),
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
    return Shop(
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


def _connected(providers: list[Provider], authorities: list[Authority], gateways: list[Gateway]) -> Connected:
    try:
        return Connected.of(providers, authorities, gateways)
    except ValueError as error:
        raise SettingsRefused(f"These providers cannot stand side by side: {error}.") from None


def _gateways(settings: Settings) -> list[Gateway]:
    """Every gateway of this shop beside the sandbox, the preferred one first."""
    keys = {"paystack": settings.paystack_secret_key, "paystack-test": settings.paystack_test_secret_key}
    return [Paystack(name, key) for name, key in keys.items() if key is not None]


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
    for name in (
        "dialects.openapi",
        "dialects.postman",
        "dialects.dispatch",
        "dialects.serving",
        "web.checkout",
        "web.notices",
        "web.pages",
        "web.server",
    ):
        importlib.import_module(f"telvend.{name}")
    for keys in APIS:
        _routes_of(keys)


def _routes_of(keys: KeyForm) -> ModuleType:
    """Import the routes of a dialect. They need the web framework, which commands do not."""
    return importlib.import_module(f"telvend.dialects.{keys.api}.routes")


def _limiter(life: Lifecycle, settings: Settings, run_dir: Path) -> "Allowance":
    """What the requests of keys are counted with: on this node, or on all of them with Redis."""
    from telvend.kit.allowance import NodeAllowance, SharedAllowance

    shared = SharedAllowance(run_dir / "allowance")
    life.callback(shared.close)
    if settings.redis_url is None:
        return NodeAllowance(shared)
    from telvend.kit.allowance_redis import RedisAllowance

    try:
        return life.opened(RedisAllowance.at(settings.redis_url.reveal(), shared))
    except ValueError:  # Its text repeats parts of the address, which may be those of a password.
        raise SettingsRefused(
            "TELVEND_REDIS_URL is not the address of a Redis: redis://[:password@]host[:port][/number]."
        ) from None


def applications(life: Lifecycle, shop: Shop, run_dir: Path) -> "tuple[Dispatch, ASGIApp]":
    """The ASGI application of a serving process, and the one of its `metrics_port`.

    What the processes of a node share is kept in `run_dir`.
    """
    # Only a server needs the web framework; a command starts faster without it.
    from telvend.dialects import openapi, postman, serving
    from telvend.dialects.dispatch import Dispatch, Served
    from telvend.web.checkout import BASE, checkout
    from telvend.web.measurements import measurements, metrics_only
    from telvend.web.notices import notices
    from telvend.web.pages import pages

    dialects: list[Dialect] = [_routes_of(keys).dialect(shop.settings) for keys in APIS]
    for dialect in dialects:
        shop.kinds.declare(dialect.name, dialect.sells)
    run_dir.mkdir(mode=0o700, exist_ok=True)
    limiter = _limiter(life, shop.settings, run_dir)
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
        provider_answered(provider, f"{verb} {outcome}", duration_s)
