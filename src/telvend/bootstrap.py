"""Puts the rooms together, starts everything and closes everything. The only file that knows concrete providers and dialects.

    async with open_for_command(settings, url) as shop:      what a command asks for; nothing runs
    async with open_shop(settings, url) as shop:             everything; nothing runs
    async with work(settings, url) as shop:                  a process that delivers orders
    async with serve(settings, url, listen) as (shop, http): a process that answers HTTP, and may deliver

A new connector gets its line in `providers/connectors.py`; another provider, an authority, a gateway or a dialect in
`_providers`, `_authorities`, `_gateways` or `APIS`.

Each component is imported where it is made, so that a command imports the few rooms that it works with. A process that
runs has made everything before it begins (`Shop.complete`).
"""

import asyncio
import importlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar, cast

from telvend import __version__
from telvend.approvals import failpoints as approval_points
from telvend.authorities import dojah, prembly
from telvend.config import OWN_NETWORK, Settings, SettingsRefused
from telvend.corrections import failpoints as correction_points
from telvend.dialects import madapi, netpluse, networkdatasub
from telvend.errors import Busy
from telvend.fulfilment import failpoints as fulfilment_points
from telvend.funding import failpoints as funding_points
from telvend.identity import failpoints as identity_points
from telvend.kit import failpoints
from telvend.kit.lifecycle import Lifecycle
from telvend.kit.phone import use_prefixes
from telvend.kit.secret import Secret
from telvend.operator.refills import failpoints as refill_points
from telvend.operator.subscribers import failpoints as subscriber_points
from telvend.orders import failpoints as order_points
from telvend.orders.bulk import failpoints as bulk_points
from telvend.people import failpoints as people_points
from telvend.upkeep.backup import failpoints as backup_points
from telvend.upkeep.moving import failpoints as move_points
from telvend.webhooks import failpoints as webhook_points

if TYPE_CHECKING:
    from types import ModuleType

    from starlette.types import ASGIApp

    from telvend.approvals.gate import SecondPerson
    from telvend.approvals.service import Approvals
    from telvend.authorities.contract import Authority
    from telvend.authorities.personas import Personas
    from telvend.catalog.pauses.service import NetworkPauses
    from telvend.catalog.service import Catalogue
    from telvend.connected import Connected
    from telvend.corrections.service import Corrections
    from telvend.database.connections import Database, Tx
    from telvend.database.watch import Watch
    from telvend.desk.attention import Attention
    from telvend.desk.order_file import OrderFiles
    from telvend.desk.service import Desk
    from telvend.dialects.contract import Dialect
    from telvend.dialects.dispatch import Dispatch
    from telvend.fulfilment.model import FulfilmentPolicy
    from telvend.fulfilment.network_health import NetworkHealth
    from telvend.fulfilment.payloads import PayloadWorker
    from telvend.fulfilment.postgres import PostgresFulfilmentStore
    from telvend.fulfilment.provisional.service import ProvisionalCredits
    from telvend.fulfilment.recent.service import NetworkConditions
    from telvend.fulfilment.review import Review
    from telvend.fulfilment.routing import Router
    from telvend.fulfilment.trials.service import Trials
    from telvend.fulfilment.worker import Fulfilment
    from telvend.funding.credits.service import Credits
    from telvend.funding.jobs import FundingWorker
    from telvend.funding.play_money.guard import PlayMoneyGuard
    from telvend.funding.play_money.real_process import RealProcess
    from telvend.funding.play_money.voiding import PlayMoney
    from telvend.funding.service import Fundings
    from telvend.funding.verification import Gateways, PaymentVerification
    from telvend.gateways.contract import Gateway
    from telvend.gateways.sandbox.client import Sandbox
    from telvend.identity.service import Identity
    from telvend.kit.allowance import Allowance
    from telvend.kit.clock import Clock
    from telvend.kit.lifecycle import Closes
    from telvend.kit.periodic import PeriodicTask
    from telvend.kit.runtime import Runtime
    from telvend.ledger.service import Ledger
    from telvend.operator.entitlements.service import Entitlements
    from telvend.operator.plans.service import PlanReader
    from telvend.operator.premiums.service import Premiums
    from telvend.operator.provisioning.service import Provisioning
    from telvend.operator.refills.service import Refills
    from telvend.operator.subscribers.momo.service import MobileMoney
    from telvend.operator.subscribers.service import Subscribers
    from telvend.operator.usage.service import Usage
    from telvend.operator.vouchers.pins import PinKeys
    from telvend.operator.vouchers.service import Vouchers
    from telvend.orders.beneficiaries.service import Beneficiaries
    from telvend.orders.bulk.service import BulkLists
    from telvend.orders.bulk.worker import BulkBuyer
    from telvend.orders.counter import CounterSales
    from telvend.orders.list_sales import ListSales
    from telvend.orders.overview.service import OrdersOverview
    from telvend.orders.payloads.service import Payloads
    from telvend.orders.receipt_links.service import ReceiptLinks
    from telvend.orders.records import OrderRecords
    from telvend.orders.search.service import OrderSearch
    from telvend.orders.service import Orders
    from telvend.people.keys import PeopleKeys
    from telvend.people.mail.notices import Notices
    from telvend.people.mail.outbox import MailOutbox
    from telvend.people.mail.sender import EmailSender
    from telvend.people.mail.transport import Transport
    from telvend.people.service import People
    from telvend.providers.contract import Provider
    from telvend.providers.simulator.store import PostgresBook
    from telvend.providers.upstream import Upstream
    from telvend.reports.service import Reports
    from telvend.reports.summaries.service import DaySummaries
    from telvend.resellers.keyforms import KeyForm
    from telvend.resellers.service import Resellers
    from telvend.sales.continuity.service import Continuity
    from telvend.sales.gate import SalesGate
    from telvend.sales.promises import Promises
    from telvend.services import Services
    from telvend.upkeep.findings import Finding
    from telvend.upstreams.callbacks.service import Callbacks
    from telvend.upstreams.monitor import UpstreamMonitor
    from telvend.upstreams.reconciliation.service import Reconciliations
    from telvend.upstreams.service import Upstreams
    from telvend.wallets.service import Transactions, Wallets
    from telvend.web.portal.test_mode import MagicNumber, Situation
    from telvend.web.server import HttpServer
    from telvend.webhooks.dispatch import WebhookDispatch
    from telvend.webhooks.keys import WebhookKeys
    from telvend.webhooks.listening import Listening
    from telvend.webhooks.outbox import Outbox
    from telvend.webhooks.service import Webhooks


C = TypeVar("C", bound="Closes")

HEALTH_KEPT_FOR_S = 0.2
"""For so long what `/healthz` found is told again: asking it often does not mean asking the database often."""

BOOK_FOLDER = "book"
"""Where the processes of a node keep what they remember of the book, below the data directory."""

_LOOK_AGAIN_S: Final = 0.1

TOTALS_FRESH_S = 60.0
"""For so long the trial balance of the console is not summed again: it reads every transfer."""

PAYLOADS_EVERY_S = 2.0
"""The interval at which tokens and PINs that providers still owe are looked for."""

KEY_USES_EVERY_S = 60.0
"""The interval at which it is written when keys were used last."""

PROVISIONAL_EVERY_S = 60.0
"""The interval at which orders are looked for whose outcome is unknown for too long."""

AUTHORITIES = (prembly.NAME, dojah.NAME)
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
        approval_points,
        webhook_points,
        bulk_points,
        people_points,
        backup_points,
        move_points,
    )
    for name, sentence in room.FAILPOINTS.items()
}
"""Every failpoint, and what has happened when it is reached."""

# On import, so that no process of a server starts with a name in TELVEND_FAILPOINTS that does not exist.
failpoints.know(FAILPOINTS)


class Shop:
    """Everything of one shop in one process. A component is imported, made and registered in `life` when first asked for.

    They close in the reverse order in which they were made: callers before what answers them.
    """

    sandbox: "Sandbox"
    """Made by `complete`, since it reads its key; and so is what stands on it: `payable`, `verification`, `fundings`."""

    def __init__(
        self,
        life: Lifecycle,
        settings: Settings,
        database: "Database",
        continuity: "Continuity",
        gate: "SalesGate",
        runtime: "Runtime",
        *,
        serves: bool,
    ) -> None:
        from telvend.kit.clock import SystemClock
        from telvend.sales.model import KindsByDialect

        self.settings = settings
        self.database = database
        self.continuity = continuity
        self.gate = gate
        self.kinds: KindsByDialect = KindsByDialect()
        self.clock: Clock = SystemClock()
        self._life = life
        self._runtime = runtime
        self._serves = serves
        self._data_dir = Path(settings.data_dir)

    async def complete(self) -> None:
        """Make every component that is not made yet, in the order in which they start. Raises SettingsRefused, Busy."""
        from telvend.gateways.sandbox.client import Sandbox

        if hasattr(self, "sandbox"):
            return
        # The ledger, wallets, what is sold, who buys.
        _ = (self.ledger, self.wallets, self.catalogue, self.resellers, self.people)
        # The operator's side.
        _ = (self.entitlements, self.provisioning, self.plans, self.usage, self.vouchers, self.refills, self.premiums)
        # Providers, authorities and gateways, and what follows from which of them are real.
        live = self.connected.takes_play_money
        self.sandbox = self._life.opened(await Sandbox.open(self.database, live=live))
        # The watch loads what other processes change. What was made before it may still call somebody real when it is
        # closed: until then the watch keeps saying that this process is real.
        _ = (self.real_process, self.watch)
        # Sales, money coming in, deliveries.
        _ = (
            self.orders,
            self.identity,
            self.funding_worker,
            self.fundings,
            self.fulfilment,
            self.review,
            self.services,
        )

    # The ledger, wallets, what is sold, who buys -------------------------------------------------------------------------

    @cached_property
    def ledger(self) -> "Ledger":
        from telvend.ledger.service import Ledger

        return Ledger(self.database)

    @cached_property
    def wallets(self) -> "Wallets":
        from telvend.wallets.service import Wallets

        return self._life.runs(Wallets(self.database, runtime=self._runtime))

    @cached_property
    def transactions(self) -> "Transactions":
        from telvend.wallets.service import Transactions

        return Transactions(self.database)

    @cached_property
    def catalogue(self) -> "Catalogue":
        from telvend.catalog.service import Catalogue

        return Catalogue(self.database)

    @cached_property
    def pauses(self) -> "NetworkPauses":
        from telvend.catalog.pauses.model import PausePolicy
        from telvend.catalog.pauses.service import NetworkPauses

        settings = self.settings
        policy = PausePolicy(
            after_s=settings.pause_network_after_minutes * 60.0,
            attempts=settings.pause_network_min_attempts,
            retry_s=settings.pause_network_retry_minutes * 60.0,
            retry_sales=settings.pause_network_retry_sales,
        )
        return NetworkPauses(self.database, policy)

    @cached_property
    def resellers(self) -> "Resellers":
        from telvend.resellers.service import Resellers

        return Resellers(self.database, self.ledger, APIS, self.clock)

    @cached_property
    def key_uses(self) -> "PeriodicTask":
        """Writes when keys were used last. Made where this process serves."""
        from telvend.kit.periodic import PeriodicTask

        resellers = self.resellers
        self._life.push_async_callback(resellers.write_last_uses)
        return self._life.runs(
            PeriodicTask("key uses", resellers.write_uses, self.clock, every_s=KEY_USES_EVERY_S, runtime=self._runtime)
        )

    # People and sessions --------------------------------------------------------------------------------------------------------

    @cached_property
    def people_keys(self) -> "PeopleKeys":
        from telvend.people.keys import PeopleKeys

        return PeopleKeys(self.database, self._data_dir, self.settings.people_key)

    @cached_property
    def mail(self) -> "MailOutbox":
        """The outbox of e-mails."""
        from telvend.people.mail.outbox import MailOutbox

        return MailOutbox(self.database, self.people_keys, self.clock)

    @cached_property
    def people(self) -> "People":
        from telvend.people.model import SignUp
        from telvend.people.service import People, PeoplePolicy

        settings = self.settings
        policy = PeoplePolicy(SignUp(settings.signup), settings.verify_email, settings.timezone)
        return self._life.opened(
            People(self.database, self.resellers, self.people_keys, self.mail, policy, clock=self.clock)
        )

    @cached_property
    def notices(self) -> "Notices":
        """Sends resellers e-mails about paused endpoints and low wallets."""
        from telvend.people.mail.notices import Notices

        return Notices(self.database, self.mail)

    @property
    def base_url(self) -> str:
        """Where pages of this shop are reached, for links that are not the answer to a request."""
        from telvend.upkeep.served_at import served_at

        return served_at(self.settings)

    @property
    def console_url(self) -> str:
        """Where the console is reached."""
        from telvend.upkeep.served_at import console_at

        return console_at(self.settings) or self.base_url

    @cached_property
    def email_sender(self) -> "EmailSender":
        """Made where this process runs, with tasks that send, that look for what is to be told, and that remove what is old."""
        from telvend.kit.periodic import PeriodicTask
        from telvend.people.mail import notices
        from telvend.people.mail.sender import EVERY_S, EmailRetention, EmailSender, sender_of

        transport = _mail_transport(self.settings)
        sender = EmailSender(
            self.database,
            self.people_keys,
            self.clock,
            transport,
            base_url=lambda: self.base_url,
            sender=sender_of(self.settings.mail_from, self.settings.public_url),
        )
        retention = EmailRetention(self.database, self.clock, transport)
        for name, work, every_s in (
            ("sending e-mails", sender.work, EVERY_S),
            ("looking for low wallets", self.notices.look_for_low_wallets, notices.EVERY_S),
            ("removing old e-mails", retention.look, EmailRetention.EVERY_S),
            ("removing ended sessions", self.people.clean, EmailRetention.EVERY_S),
        ):
            self._life.runs(PeriodicTask(name, work, self.clock, every_s=every_s, runtime=self._runtime))
        return sender

    # The operator's side -------------------------------------------------------------------------------------------------

    @cached_property
    def subscribers(self) -> "Subscribers":
        from telvend.operator.subscribers.service import Subscribers

        return Subscribers(self.database)

    @cached_property
    def mobile_money(self) -> "MobileMoney":
        from telvend.operator.subscribers.momo.service import MobileMoney

        return MobileMoney(self.database)

    @cached_property
    def entitlements(self) -> "Entitlements":
        from telvend.operator.entitlements.service import Entitlements

        return Entitlements(self.database)

    @cached_property
    def provisioning(self) -> "Provisioning":
        from telvend.operator.provisioning.service import Provisioning

        return self._life.runs(Provisioning(self.database, runtime=self._runtime))

    @cached_property
    def plans(self) -> "PlanReader":
        from telvend.operator.plans.service import PlanReader

        offering = self.entitlements
        return self._life.runs(PlanReader(self.database, lambda: offering.snapshot, runtime=self._runtime))

    @cached_property
    def usage(self) -> "Usage":
        from telvend.operator.usage.service import Usage

        return self._life.runs(Usage(self.database, self.clock, runtime=self._runtime))

    @cached_property
    def pin_keys(self) -> "PinKeys":
        from telvend.operator.vouchers.pins import PinKeys

        return PinKeys(self.database, self._data_dir, self.settings.voucher_key)

    @cached_property
    def vouchers(self) -> "Vouchers":
        from telvend.operator.vouchers.service import Vouchers

        return self._life.runs(Vouchers(self.database, self.pin_keys, clock=self.clock, runtime=self._runtime))

    @cached_property
    def refills(self) -> "Refills":
        from telvend.operator.refills.service import Refills

        return self._life.runs(
            Refills(
                self.database,
                self.ledger,
                self.entitlements,
                self.pin_keys,
                runtime=self._runtime,
                gate=self.gate,
                kinds=self.kinds,
                outbox=self.outbox,
            )
        )

    @cached_property
    def premiums(self) -> "Premiums":
        from telvend.operator.entitlements.model import FaultyPart
        from telvend.operator.premiums.service import Premiums

        offering = self.entitlements
        return self._life.runs(
            Premiums(
                self.database,
                self.clock,
                retention_days=self.settings.premium_retention_days,
                loyalty_readable=lambda msisdn: offering.snapshot.fault(msisdn, FaultyPart.LOYALTY) is None,
                runtime=self._runtime,
            )
        )

    # Providers, authorities and gateways, and what follows from which of them are real ------------------------------------

    @cached_property
    def book(self) -> "PostgresBook":
        from telvend.providers.simulator.store import PostgresBook

        return self._life.opened(PostgresBook(self.database, runtime=self._runtime))

    @cached_property
    def providers(self) -> "list[Provider]":
        return self._opened(_providers(self.settings, self.book, self.clock, self.provisioning, self.entitlements))

    @property
    def provider_names(self) -> tuple[str, ...]:
        """The providers that the settings name, whether or not these can be used."""
        settings = self.settings
        own = [OWN_NETWORK] if settings.own_network else []
        return (*settings.providers, *settings.simulators, *own)

    @cached_property
    def upstreams(self) -> "Upstreams":
        """The providers as the operator sees them."""
        from telvend.upstreams.service import Upstreams

        return Upstreams(self.database)

    @cached_property
    def callbacks(self) -> "Callbacks":
        """What upstreams post; of those with a `callback_secret`."""
        from telvend.upstreams.callbacks.service import Callbacks, CallingProvider

        callers = {}
        for upstream in self.connected_upstreams:
            secret = self.settings.providers[upstream.name].callback_secret
            if secret is not None and upstream.callback is not None:
                callers[upstream.name] = CallingProvider(upstream.callback, secret)
        return Callbacks(self.database, callers, self.clock)

    @cached_property
    def callback_requeries(self) -> "PeriodicTask | None":
        """Brings questions forward where this process delivers; None where no upstream calls back."""
        from telvend.kit.periodic import PeriodicTask
        from telvend.upstreams.callbacks.service import EVERY_S

        if not self.callbacks.callers:
            return None
        look = partial(self.callbacks.look, self.jobs.settle)
        return self._life.runs(PeriodicTask("callbacks", look, self.clock, every_s=EVERY_S, runtime=self._runtime))

    @property
    def connected_upstreams(self) -> "list[Upstream]":
        """The providers of the settings' tables."""
        tables = self.settings.providers
        return cast("list[Upstream]", [provider for provider in self.providers if provider.name in tables])

    @cached_property
    def reconciliations(self) -> "Reconciliations":
        from zoneinfo import ZoneInfo

        from telvend.upstreams.reconciliation.service import Reconciliations

        return Reconciliations(self.database, ZoneInfo(self.settings.timezone))

    @cached_property
    def personas(self) -> "Personas":
        """They answer wherever no authority is asked."""
        from telvend.authorities.personas import Personas

        return self._life.opened(Personas(self.clock))

    @cached_property
    def authorities(self) -> "dict[str, Authority]":
        authorities = _authorities(self.settings)
        self._opened([*authorities.values()])
        return authorities

    @cached_property
    def gateways(self) -> "list[Gateway]":
        """Every gateway beside the sandbox."""
        return self._opened(_gateways(self.settings))

    def _opened(self, vendors: "list[C]") -> "list[C]":
        for vendor in vendors:
            self._life.opened(vendor)
        return vendors

    @cached_property
    def connected(self) -> "Connected":
        return _connected(self.providers, [self.personas, *self.authorities.values()], self.gateways)

    @cached_property
    def play_money(self) -> "PlayMoney":
        from telvend.funding.play_money.voiding import PlayMoney

        return PlayMoney(self.database, self.ledger, self.outbox)

    @cached_property
    def play_money_guard(self) -> "PlayMoneyGuard":
        from telvend.funding.play_money.guard import PlayMoneyGuard

        return PlayMoneyGuard(self.connected, self.gate)

    @cached_property
    def promises(self) -> "Promises":
        from telvend.sales.promises import Promises

        return Promises(self.gate)

    @cached_property
    def real_process(self) -> "RealProcess":
        from telvend.funding.play_money.real_process import RealProcess

        real_process = RealProcess(self.connected, self.gate, socket.gethostname(), self.clock)
        self._life.push_async_callback(real_process.close, self.database)
        return real_process

    @cached_property
    def watch(self) -> "Watch":
        """Loads what other processes change."""
        from telvend.catalog.service import TOPIC as CATALOGUE
        from telvend.database.watch import Watch
        from telvend.funding.play_money.guard import TOPIC as PLAY_MONEY
        from telvend.operator.entitlements.service import TOPIC as NETWORK
        from telvend.resellers.keyring import TOPIC as KEYS
        from telvend.upstreams.service import TOPIC as PROVIDERS
        from telvend.webhooks.store import TOPIC as WEBHOOKS

        continuity, promises, real_process, serves = self.continuity, self.promises, self.real_process, self._serves
        resellers, offering, premiums, outbox = self.resellers, self.entitlements, self.premiums, self.outbox

        async def look(tx: "Tx") -> None:
            await continuity.check(tx)
            await promises.check(tx)
            await outbox.check(tx)
            if serves:
                await real_process.check(tx)

        async def keys_changed(_: "Tx") -> None:
            resellers.forget()

        async def network_changed(tx: "Tx") -> None:
            await offering.load(tx)
            await premiums.load(tx)

        upstreams, router = self.upstreams, self.router

        async def providers_switched(tx: "Tx") -> None:
            await upstreams.load(tx, router)

        changed = {
            PROVIDERS: providers_switched,
            KEYS: keys_changed,
            CATALOGUE: self.catalogue.load,
            NETWORK: network_changed,
            PLAY_MONEY: self.play_money_guard.load,
            WEBHOOKS: outbox.load,
        }

        def looked(at: float) -> None:
            resellers.refreshed(at)
            outbox.looked(at)

        return self._life.runs(Watch(self.database, self.clock, changed, looked, each=look))

    # Sales, money coming in, deliveries ----------------------------------------------------------------------------------

    @cached_property
    def outbox(self) -> "Outbox":
        """What writes the events that resellers are told of, for every room that changes something."""
        from telvend.webhooks.outbox import Outbox

        return Outbox(self.clock)

    @cached_property
    def webhooks(self) -> "Webhooks":
        from telvend.webhooks.service import Webhooks

        return Webhooks(
            self.database,
            self.webhook_keys,
            self.outbox,
            allow_private=self.settings.webhook_allow_private,
            clock=self.clock,
        )

    @cached_property
    def listening(self) -> "Listening":
        """The sessions of developers who look on at webhooks."""
        from telvend.webhooks.listening import Listening

        return Listening(self.database, self.webhook_keys, clock=self.clock)

    @cached_property
    def webhook_keys(self) -> "WebhookKeys":
        from telvend.webhooks.keys import WebhookKeys

        return WebhookKeys(self.database, self._data_dir, self.settings.webhook_key)

    @cached_property
    def webhook_dispatch(self) -> "WebhookDispatch":
        """Made where this process runs."""
        from telvend.webhooks.client import WebhookClient
        from telvend.webhooks.dispatch import WebhookDispatch
        from telvend.webhooks.retention import WebhookRetention

        orders, allow_private = self.orders, self.settings.webhook_allow_private
        self._life.runs(WebhookRetention(self.database, self.clock, self._runtime))
        dispatch = self._life.starts(
            WebhookDispatch(
                self.database,
                self.webhook_keys,
                self.outbox,
                WebhookClient(allow_private=allow_private),
                self.clock,
                allow_private=allow_private,
                pressure=lambda: orders.lane.load,
                runtime=self._runtime,
                on_stopped=self.notices.endpoints_stopped,
            )
        )
        self._life.push_async_callback(dispatch.drain, self.settings.drain_s)
        return dispatch

    @cached_property
    def orders(self) -> "Orders":
        from telvend.orders.model import COUNTER, PORTAL
        from telvend.orders.service import Orders
        from telvend.sales.model import SaleKind

        self.kinds.declare(COUNTER, {SaleKind.ORDER})
        self.kinds.declare(PORTAL, {SaleKind.ORDER})
        return self._life.runs(
            Orders(
                self.database,
                self.ledger,
                self.catalogue,
                runtime=self._runtime,
                maximum_waiting=self.settings.lane_waiting,
                gate=self.gate,
                kinds=self.kinds,
                pauses=self.pauses,
                outbox=self.outbox,
            )
        )

    @cached_property
    def order_records(self) -> "OrderRecords":
        from telvend.orders.model import COUNTER, PORTAL
        from telvend.orders.records import OrderRecords

        return OrderRecords(self.database, self.ledger, apis=[*(keys.api for keys in APIS), COUNTER, PORTAL])

    @cached_property
    def order_search(self) -> "OrderSearch":
        from telvend.orders.search.service import OrderSearch

        return OrderSearch(self.database, lambda: self.orders.lane.load if "orders" in self.__dict__ else 0)

    @cached_property
    def order_indexing(self) -> "PeriodicTask":
        """Made where this process runs."""
        from telvend.kit.periodic import PeriodicTask
        from telvend.orders.search.service import EVERY_S

        work = self.order_search.work
        return self._life.runs(PeriodicTask("order index", work, self.clock, every_s=EVERY_S, runtime=self._runtime))

    @cached_property
    def day_summaries(self) -> "DaySummaries":
        from zoneinfo import ZoneInfo

        from telvend.reports.summaries.service import DaySummaries

        def pressure() -> int:
            return self.orders.lane.load if "orders" in self.__dict__ else 0

        return DaySummaries(self.database, ZoneInfo(self.settings.timezone), pressure)

    @cached_property
    def day_counting(self) -> "PeriodicTask":
        """Made where this process runs."""
        from telvend.kit.periodic import PeriodicTask
        from telvend.reports.summaries.service import EVERY_S

        work = self.day_summaries.work
        return self._life.runs(
            PeriodicTask("days of reports", work, self.clock, every_s=EVERY_S, runtime=self._runtime)
        )

    @cached_property
    def orders_overview(self) -> "OrdersOverview":
        from zoneinfo import ZoneInfo

        from telvend.orders.overview.service import OrdersOverview

        return self._life.opened(OrdersOverview(self.database, ZoneInfo(self.settings.timezone)))

    @cached_property
    def order_files(self) -> "OrderFiles":
        from telvend.desk.order_file import OrderFiles

        return OrderFiles(self.order_records, self.corrections, self.provisional, self.approvals, self.ledger)

    @cached_property
    def attention(self) -> "Attention":
        from telvend.desk.attention import Attention
        from telvend.upkeep.doctor import SHOP, look
        from telvend.upkeep.examined import Examined

        async def findings() -> "list[Finding]":
            return await look(SHOP, Examined(self.settings, self.database, self.connected, self.continuity.halted))

        return self._life.opened(
            Attention(
                self.orders_overview,
                self.approvals,
                self.fundings,
                self.upstreams,
                providers=self.provider_names,
                findings=findings,
            )
        )

    @cached_property
    def desk(self) -> "Desk":
        """The services that the console calls. The shop must be complete."""
        from zoneinfo import ZoneInfo

        from telvend.audit.service import Audit
        from telvend.desk.search import Search
        from telvend.desk.service import Desk
        from telvend.kit.stale import Stale

        return Desk(
            settings=self.settings,
            zone=ZoneInfo(self.settings.timezone),
            provider_names=self.provider_names,
            people=self.people,
            overview=self.orders_overview,
            attention=self.attention,
            search=Search(self.order_search, self.fundings, self.resellers, self.vouchers, self.subscribers),
            orders=self.order_records,
            order_search=self.order_search,
            order_files=self.order_files,
            review=self.review,
            provisional=self.provisional,
            approvals=self.approvals,
            second_person=self.second_person,
            credits=self.credits,
            corrections=self.corrections,
            fundings=self.fundings,
            play_money=self.play_money,
            wallets=self.wallets,
            totals=self._life.opened(Stale(self.reports.totals, TOTALS_FRESH_S)),
            reports=self.reports,
            audit=Audit(self.database, self._data_dir).run,
            reconciliations=self.reconciliations,
            resellers=self.resellers,
            catalogue=self.catalogue,
            pauses=self.pauses,
            upstreams=self.upstreams,
            webhooks=self.webhooks,
            vouchers=self.vouchers,
            subscribers=self.subscribers,
        )

    @cached_property
    def counter(self) -> "CounterSales":
        """Sales by hand."""
        from telvend.orders.counter import CounterSales

        return CounterSales(self.orders, self.catalogue)

    @cached_property
    def list_sales(self) -> "ListSales":
        """Sales of whole lists by hand."""
        from telvend.orders.list_sales import AT_ONCE, ListSales

        return ListSales(
            self.orders,
            self.counter,
            self.resellers,
            self.wallets,
            self.watch.look,
            at_once=min(AT_ONCE, self.settings.lane_waiting),
        )

    @cached_property
    def portal_sales(self) -> "CounterSales":
        """Purchases that a person makes on a page."""
        from telvend.orders.counter import PORTAL_PREFIX, CounterSales

        return CounterSales(self.orders, self.catalogue, PORTAL_PREFIX)

    @cached_property
    def bulk_lists(self) -> "BulkLists":
        """Lists that are uploaded on a page."""
        from telvend.orders.bulk.service import BulkLists
        from telvend.orders.list_sales import ListSales
        from telvend.orders.model import PORTAL

        orders, sales, resellers, wallets, look = (
            self.orders,
            self.portal_sales,
            self.resellers,
            self.wallets,
            self.watch.look,
        )

        def checking() -> ListSales:
            return ListSales(orders, sales, resellers, wallets, look, api=PORTAL, repeated_within=None)

        return BulkLists(self.database, checking, resellers, wallets)

    @cached_property
    def bulk_buyer(self) -> "BulkBuyer":
        from telvend.orders.bulk.worker import BulkBuyer

        return BulkBuyer(self.database, self.orders, self.portal_sales, self.resellers)

    @cached_property
    def bulk_purchases(self) -> "PeriodicTask":
        """Made where this process delivers."""
        from telvend.kit.periodic import PeriodicTask
        from telvend.orders.bulk.worker import EVERY_S

        work = self.bulk_buyer.work
        return self._life.runs(PeriodicTask("bulk lists", work, self.clock, every_s=EVERY_S, runtime=self._runtime))

    @cached_property
    def beneficiaries(self) -> "Beneficiaries":
        from telvend.orders.beneficiaries.service import Beneficiaries

        return Beneficiaries(self.database)

    @cached_property
    def receipt_links(self) -> "ReceiptLinks":
        from telvend.orders.receipt_links.service import ReceiptLinks

        return ReceiptLinks(self.database)

    @cached_property
    def payloads(self) -> "Payloads":
        from telvend.orders.payloads.keys import PayloadKeys
        from telvend.orders.payloads.service import Payloads

        return Payloads(self.database, PayloadKeys(self.database, self._data_dir, self.settings.payload_key))

    @cached_property
    def identity(self) -> "Identity":
        from telvend.identity.custody import Custody
        from telvend.identity.model import PAGE
        from telvend.identity.service import Identity
        from telvend.sales.model import SaleKind

        self.kinds.declare(PAGE, {SaleKind.VERIFICATION})
        return self._life.runs(
            Identity(
                self.database,
                self.ledger,
                Custody(self.database, self._data_dir, self.settings.identity_master_key),
                self.personas,
                self.authorities,
                clock=self.clock,
                runtime=self._runtime,
                gate=self.gate,
                kinds=self.kinds,
                outbox=self.outbox,
            )
        )

    @cached_property
    def credits(self) -> "Credits":
        from telvend.funding.credits.service import Credits

        return Credits(self.database, self.ledger, self.second_person)

    @cached_property
    def corrections(self) -> "Corrections":
        from telvend.corrections.service import Corrections

        return Corrections(self.database, self.ledger, self.second_person, self.outbox)

    @cached_property
    def second_person(self) -> "SecondPerson":
        """What every act on money by hand passes."""
        from datetime import timedelta

        from telvend.approvals.gate import SecondPerson
        from telvend.approvals.model import Limits
        from telvend.kit.limits import read_limits

        above = self.settings.second_person_above
        limits = Limits(read_limits(above) if above else {})
        return SecondPerson(limits, lasts=timedelta(days=self.settings.second_person_days))

    @cached_property
    def approvals(self) -> "Approvals":
        from telvend.approvals.model import ActKind
        from telvend.approvals.service import Approvals

        return Approvals(
            self.database,
            {
                ActKind.CREDIT: lambda: self.credits.perform,
                ActKind.DEBIT: lambda: self.corrections.perform_debit,
                ActKind.REFUND: lambda: self.corrections.perform_refund,
                ActKind.DELIVERED: lambda: self.review.perform,
                ActKind.FAILED: lambda: self.review.perform,
            },
        )

    @cached_property
    def provisional(self) -> "ProvisionalCredits":
        from telvend.fulfilment.provisional.service import ProvisionalCredits

        return ProvisionalCredits(self.database, self.ledger)

    @cached_property
    def provisional_rule(self) -> "PeriodicTask":
        """Made where this process delivers and the setting asks for it."""
        from telvend.fulfilment.provisional.service import ProvisionalRule
        from telvend.kit.mode import Mode
        from telvend.kit.periodic import PeriodicTask

        continuity, real_process, gate = self.continuity, self.real_process, self.gate
        rule = ProvisionalRule(
            self.provisional,
            self.clock,
            self.settings.provisional_credit_after_hours * 3600,
            held=lambda: continuity.holds_deliveries or real_process.yields or gate.halts(Mode.LIVE),
        )
        return self._life.runs(
            PeriodicTask(
                "provisional credits", rule.work, self.clock, every_s=PROVISIONAL_EVERY_S, runtime=self._runtime
            )
        )

    @cached_property
    def reports(self) -> "Reports":
        from zoneinfo import ZoneInfo

        from telvend.reports.service import Reports

        return Reports(self.database, ZoneInfo(self.settings.timezone))

    @cached_property
    def payable(self) -> "Gateways":
        from telvend.funding.verification import Gateways

        return Gateways([*self.gateways, self.sandbox], idle=self.connected.idle_gateways)

    @cached_property
    def verification(self) -> "PaymentVerification":
        from telvend.funding.verification import PaymentVerification

        return PaymentVerification(self.database, self.ledger, self.payable, self.outbox)

    @cached_property
    def funding_worker(self) -> "FundingWorker":
        from telvend.funding.jobs import FundingWorker

        worker = self._life.starts(FundingWorker(self.database, self.verification, self.clock, runtime=self._runtime))
        self._life.push_async_callback(worker.drain, self.settings.drain_s)
        return worker

    @cached_property
    def fundings(self) -> "Fundings":
        from telvend.funding.service import Fundings

        return Fundings(
            self.database,
            self.ledger,
            self.payable,
            self.verification,
            expires_after_s=self.settings.funding_expires_s,
            on_notice=self.funding_worker.wake,
            outbox=self.outbox,
        )

    @cached_property
    def router(self) -> "Router":
        return _router(self.settings, self.providers, self.clock, self.play_money_guard.refuses_live)

    @cached_property
    def policy(self) -> "FulfilmentPolicy":
        from telvend.fulfilment.model import FulfilmentPolicy

        settings = self.settings
        return FulfilmentPolicy(
            unreached_for_s=settings.unreached_orders_wait_s, steered=frozenset({*settings.simulators, OWN_NETWORK})
        )

    @cached_property
    def jobs(self) -> "PostgresFulfilmentStore":
        from telvend.fulfilment.postgres import PostgresFulfilmentStore

        doubts = self.continuity.doubts
        return self._life.opened(
            PostgresFulfilmentStore(
                self.database,
                self.ledger,
                self.policy,
                doubts=doubts,
                payloads=self.payloads,
                second_person=self.second_person,
                outbox=self.outbox,
            )
        )

    @cached_property
    def fulfilment(self) -> "Fulfilment":
        """Started, and drained, only where this process delivers."""
        from telvend.fulfilment.metrics import Counted
        from telvend.fulfilment.worker import Fulfilment

        catalogue, orders, continuity, real_process = self.catalogue, self.orders, self.continuity, self.real_process
        router = self.router
        return Fulfilment(
            self.jobs,
            router,
            self.clock,
            policy=self.policy,
            offers=lambda product_id: catalogue.snapshot.offers(product_id),
            observer=Counted(self.network_health),
            pressure=lambda: orders.lane.load,
            held=lambda: continuity.holds_deliveries or real_process.yields,
            runtime=self._runtime,
            concurrency=self.settings.fulfilment_concurrency,
        )

    @cached_property
    def network_health(self) -> "NetworkHealth":
        from telvend.fulfilment.network_health import NetworkHealth

        catalogue = self.catalogue
        return NetworkHealth(self.pauses, lambda: catalogue.snapshot, self.clock)

    @cached_property
    def network_conditions(self) -> "NetworkConditions":
        from telvend.fulfilment.recent.service import NetworkConditions

        catalogue = self.catalogue
        return NetworkConditions(self.database, lambda: catalogue.snapshot)

    @cached_property
    def network_reports(self) -> "PeriodicTask":
        """Made where this process delivers."""
        from telvend.fulfilment.network_health import EVERY_S
        from telvend.kit.periodic import PeriodicTask

        report = self.network_health.report
        return self._life.runs(
            PeriodicTask("network health", report, self.clock, every_s=EVERY_S, runtime=self._runtime)
        )

    @cached_property
    def payload_worker(self) -> "PayloadWorker":
        from telvend.fulfilment.payloads import PayloadWorker

        return PayloadWorker(self.database, self.router, self.payloads)

    @cached_property
    def payload_requeries(self) -> "PeriodicTask":
        """Made where this process delivers."""
        from telvend.kit.periodic import PeriodicTask

        work, every_s = self.payload_worker.work_off, PAYLOADS_EVERY_S
        return self._life.runs(
            PeriodicTask("payload requeries", work, self.clock, every_s=every_s, runtime=self._runtime)
        )

    @cached_property
    def upstream_monitor(self) -> "UpstreamMonitor":
        """Made where this process delivers, with a task that reports and one for each upstream that is asked for its float."""
        from telvend.kit.periodic import PeriodicTask
        from telvend.upstreams.monitor import EVERY_S, UpstreamMonitor

        tables = self.settings.providers
        upstreams = self.connected_upstreams
        monitor = UpstreamMonitor(
            self.database,
            self.router,
            upstreams,
            {name: table.low_float for name, table in tables.items()},
            process=f"{socket.gethostname()}:{os.getpid()}",
        )
        self._life.push_async_callback(monitor.close)
        work = {"provider reports": monitor.report}
        work |= {f"float of {upstream.name}": partial(monitor.look_at, upstream.name) for upstream in upstreams}
        for name, look in work.items():
            self._life.runs(PeriodicTask(name, look, self.clock, every_s=EVERY_S, runtime=self._runtime))
        return monitor

    @cached_property
    def trials(self) -> "Trials":
        """Deliveries by hand."""
        from telvend.fulfilment.trials.service import Trials

        return Trials(self.database)

    @cached_property
    def review(self) -> "Review":
        from telvend.fulfilment.review import Review

        return Review(self.jobs)

    @cached_property
    def services(self) -> "Services":
        """What dialects and pages speak to; of a complete shop."""
        from telvend.services import Services

        return Services(
            catalogue=self.catalogue,
            resellers=self.resellers,
            people=self.people,
            orders=self.orders,
            order_records=self.order_records,
            portal_sales=self.portal_sales,
            bulk_lists=self.bulk_lists,
            beneficiaries=self.beneficiaries,
            receipt_links=self.receipt_links,
            payloads=self.payloads,
            corrections=self.corrections,
            identity=self.identity,
            network_conditions=self.network_conditions,
            wallets=self.wallets,
            transactions=self.transactions,
            credits=self.credits,
            approvals=self.approvals,
            provisional=self.provisional,
            fundings=self.fundings,
            upstreams=self.upstreams,
            webhooks=self.webhooks,
            subscribers=self.subscribers,
            mobile_money=self.mobile_money,
            entitlements=self.entitlements,
            plans=self.plans,
            refills=self.refills,
            premiums=self.premiums,
            public_url=self.settings.public_url,
            delivery_wait_s=self.settings.delivery_wait_s,
            creates_subscribers=self.settings.own_network_creates_subscribers,
            home_country=self.settings.madapi_home_country,
        )

    async def unready(self) -> str | None:
        """Why this process cannot serve now, in one sentence; None when it can."""
        from telvend.database.outage import AWAY

        if not self.watch.runs:
            try:
                await self.watch.look()
            except Busy:
                return AWAY
        elif not self.watch.answers:
            return AWAY
        return self.continuity.halted or self.promises.broken or self.database.outage.reason


@asynccontextmanager
async def open_for_command(settings: Settings, url: str) -> AsyncIterator[Shop]:
    """The shop in the database at `url` as it is. A component is made when it is first asked for.

    Raises DatabaseRefused, and SchemaRefused where this version cannot work with the schema.
    """
    from telvend.kit.runtime import NO_RUNTIME
    from telvend.upkeep.preparation import enter_database

    async with Lifecycle() as life:
        yield await _open(life, settings, url, NO_RUNTIME, serves=False, enter=enter_database)


@asynccontextmanager
async def open_shop(settings: Settings, url: str, *, serves: bool = False) -> AsyncIterator[Shop]:
    """The whole shop in the database at `url`, whose schema is in place. Nothing of it runs.

    `serves`: this process takes over what ended ones of this node remembered of the book.
    """
    from telvend.kit.runtime import NO_RUNTIME

    async with Lifecycle() as life:
        shop = await _open(life, settings, url, NO_RUNTIME, serves=serves)
        await shop.complete()
        yield shop


@asynccontextmanager
async def work(settings: Settings, url: str, *, fulfilment: bool = True) -> AsyncIterator[Shop]:
    """A shop whose lanes, watch and later work run, and its deliveries where `fulfilment`. Closing it drains them."""
    async with Lifecycle() as life:
        _trace(life, settings)
        yield await _run(life, settings, url, fulfilment=fulfilment)


@asynccontextmanager
async def serve(
    settings: Settings, url: str, listen: Callable[[], list[socket.socket]]
) -> "AsyncIterator[tuple[Shop, HttpServer]]":
    """A shop that runs and answers HTTP on the sockets that `listen` returns, which is called once the shop runs.

    Closing it answers the requests in hand, then drains the shop.
    """
    from telvend.kit import metrics
    from telvend.web.connections import raise_file_limit
    from telvend.web.server import HttpServer

    run_dir = Path(settings.data_dir) / "run"
    if settings.workers > 1:
        metrics.prepare(run_dir / "metrics")
    # After the database was started, which is left with the limit that it was given.
    open_files = raise_file_limit()
    async with Lifecycle() as life:
        _trace(life, settings)
        shop = await _run(life, settings, url, fulfilment=settings.fulfilment)
        app, by_port = applications(life, shop, run_dir)
        http = life.runs(HttpServer(settings, listen(), app, by_port, open_files))
        life.start()
        yield shop, http


def _trace(life: Lifecycle, settings: Settings) -> None:
    """Trace sales where the settings say so, until everything else is closed. Raises SettingsRefused."""
    if not settings.otlp_endpoint:
        return
    from telvend.kit import tracing

    try:
        tracing.start(settings.otlp_endpoint, __version__)
    except tracing.TracingMissing as error:
        raise SettingsRefused(str(error)) from error
    life.callback(tracing.stop)


async def _run(life: Lifecycle, settings: Settings, url: str, *, fulfilment: bool) -> Shop:
    """Open the whole shop, wait until the database answers, load what is kept in memory, and start the shop."""
    from telvend.kit import metrics
    from telvend.kit.runtime import runtime_of_server
    from telvend.sales.continuity.metrics import SALES_HALTED

    shop = await _open(life, settings, url, runtime_of_server(), serves=True)
    await shop.complete()
    while True:
        try:
            await shop.watch.look()
            break
        except Busy:
            await asyncio.sleep(_LOOK_AGAIN_S)  # The database is just coming back.
    metrics.pool("shop", shop.database.size, shop.database.in_use)
    SALES_HALTED.set(shop.continuity.halted is not None)
    _ = (shop.webhook_dispatch, shop.email_sender, shop.key_uses, shop.order_indexing, shop.day_counting)
    if fulfilment:
        shop.orders.on_placed = shop.fulfilment.wake
        _ = (shop.payload_requeries, shop.network_reports, shop.upstream_monitor, shop.callback_requeries)
        _ = shop.bulk_purchases
        if settings.provisional_credit_after_hours:
            _ = shop.provisional_rule
        life.push_async_callback(shop.fulfilment.drain, settings.drain_s)
        life.starts(shop.fulfilment)
    life.start()
    return shop


async def _open(
    life: Lifecycle,
    settings: Settings,
    url: str,
    runtime: "Runtime",
    *,
    serves: bool,
    enter: "Callable[[Database], Awaitable[None]] | None" = None,
) -> Shop:
    """Open the database, and the node's memory of the book: from here on every commit is remembered.

    `enter` looks at the database before anything of the shop is read.
    """
    from telvend.database.connections import Database
    from telvend.sales.continuity.service import Continuity
    from telvend.sales.gate import SalesGate

    use_prefixes(settings.number_prefixes)
    database = life.opened(await Database.open(url, pool_size=settings.pool_size, serves=serves))
    if enter is not None:
        await enter(database)
    gate = SalesGate()
    on_halted = None
    if serves:
        from telvend.sales.continuity.metrics import SALES_HALTED

        on_halted = SALES_HALTED.set
    folder = Path(settings.data_dir) / BOOK_FOLDER
    continuity = Continuity(gate, folder, socket.gethostname(), on_halted=on_halted, runtime=runtime)
    async with database.connection() as tx:
        await continuity.open(tx, take_over=serves)
    database.on_commit, database.on_connected = continuity.committed, continuity.connected
    return Shop(life, settings, database, life.runs(continuity), gate, runtime, serves=serves)


def _connected(providers: "list[Provider]", authorities: "list[Authority]", gateways: "list[Gateway]") -> "Connected":
    from telvend.connected import Connected

    with _side_by_side():
        return Connected.of(providers, authorities, gateways)


@contextmanager
def _side_by_side() -> Iterator[None]:
    """Refuse the settings where what is made of them says, by a ValueError, that two providers do not go together."""
    try:
        yield
    except ValueError as error:
        advice = "What pretends is taken out by own_network = false, and by live = false of a simulator"
        raise SettingsRefused(f"These providers cannot stand side by side: {error}. {advice}.") from None


def _gateways(settings: Settings) -> "list[Gateway]":
    """Every gateway of this shop beside the sandbox, the preferred one first."""
    keys = {"paystack": settings.paystack_secret_key, "paystack-test": settings.paystack_test_secret_key}
    gateways: list[Gateway] = []
    for name, key in keys.items():
        if key is not None:
            from telvend.gateways.paystack.client import Paystack

            gateways.append(Paystack(name, key))
    return gateways


def _authorities(settings: Settings) -> "dict[str, Authority]":
    """The real authorities of this shop, by their names."""
    authorities: dict[str, Authority] = {}
    if settings.prembly_api_key is not None:
        from telvend.authorities.prembly.client import Prembly

        authorities[prembly.NAME] = Prembly(api_key=settings.prembly_api_key, app_id=settings.prembly_app_id)
    if settings.dojah_secret_key is not None:
        from telvend.authorities.dojah.client import Dojah

        authorities[dojah.NAME] = Dojah(secret_key=settings.dojah_secret_key, app_id=settings.dojah_app_id)
    return authorities


def _mail_transport(settings: Settings) -> "Transport":
    """How e-mails leave: by the mail server of the settings; else they are kept, beside an embedded database as files too."""
    from telvend.people.mail.transport import FOLDER, KeptHere, MailServer

    if not settings.smtp_host:
        return KeptHere(Path(settings.data_dir) / FOLDER if settings.database_url is None else None)
    password = settings.smtp_password
    if password is None and settings.smtp_password_file:
        try:
            password = Secret(Path(settings.smtp_password_file).read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsRefused(
                f"smtp_password_file: {settings.smtp_password_file} cannot be read: {type(error).__name__}."
            ) from None
    return MailServer(settings.smtp_host, settings.smtp_port, settings.smtp_tls, settings.smtp_user, password)


def _providers(
    settings: Settings, book: "PostgresBook", clock: "Clock", provisioning: "Provisioning", offering: "Entitlements"
) -> "list[Provider]":
    """Every provider of this shop. A new one gets its line here."""
    from telvend.providers.own_network.client import OwnNetwork
    from telvend.providers.simulator.client import Simulator

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
    providers += _upstreams(settings, clock)
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


def _upstreams(settings: Settings, clock: "Clock") -> "list[Upstream]":
    """Every upstream of the settings. Raises SettingsRefused with all that is wrong with all of them."""
    if not settings.providers:
        return []
    from telvend.providers.connectors import connect
    from telvend.providers.upstream import ConnectorRefused, callback_path

    upstreams: list[Upstream] = []
    problems: list[str] = []
    for name, chosen in settings.providers.items():
        try:
            upstream = connect(name, chosen, clock)
        except ConnectorRefused as refused:
            problems += [f"providers.{name}: {problem}" for problem in refused.problems]
            continue
        upstreams.append(upstream)
        form, secret = upstream.callback, chosen.callback_secret
        if form is not None and secret is not None and settings.public_url:
            path = callback_path(name, secret.reveal() if form.signature is None else None)
            upstream.calls_back_at(settings.public_url.rstrip("/") + path, secret)
    if problems:
        raise SettingsRefused(f"{'; '.join(problems)}. `telvend provider check NAME` looks at one alone.")
    return upstreams


def _router(
    settings: Settings, providers: "list[Provider]", clock: "Clock", refuses_live: Callable[[], str | None]
) -> "Router":
    from telvend.fulfilment.routing import Router, Rule

    rules = {name: Rule(priority=chosen.priority) for name, chosen in settings.providers.items()}
    # What a steered simulator does is decided by the number, and says nothing of the next one: no breaker.
    rules |= {name: Rule(priority=chosen.priority, breaker=False) for name, chosen in settings.simulators.items()}
    if settings.own_network:
        # Whoever else was set up for live orders was set up on purpose, and goes first. It fails only where the database
        # does, and then nothing can be claimed for anybody: a breaker would only make it come back later.
        rules[OWN_NETWORK] = Rule(priority=1000, breaker=False)
    with _side_by_side():
        return Router(providers, clock, rules=rules, refuses_live=refuses_live, processes=settings.workers)


_LOADED_TO_SERVE: Final = (
    "services",
    "connected",
    "database.watch",
    "sales.promises",
    "sales.continuity.metrics",
    "sales.continuity.service",
    "kit.numbering",
    "authorities.personas",
    "gateways.sandbox.client",
    "providers.own_network.client",
    "providers.simulator.client",
    "funding.jobs",
    "funding.play_money.guard",
    "funding.play_money.real_process",
    "funding.play_money.voiding",
    "upkeep.backup.metrics",
    "upstreams.callbacks.service",
    "upstreams.monitor",
    "fulfilment.metrics",
    "people.mail.sender",
    "people.service",
    "fulfilment.network_health",
    "fulfilment.payloads",
    "fulfilment.provisional.service",
    "fulfilment.review",
    "fulfilment.routing",
    "fulfilment.worker",
    "orders.bulk.service",
    "orders.bulk.worker",
    "orders.beneficiaries.service",
    "orders.payloads.service",
    "orders.receipt_links.service",
    "corrections.service",
    "dialects.openapi",
    "dialects.pages",
    "dialects.postman",
    "dialects.dispatch",
    "dialects.serving",
    "kit.allowance",
    "web.callbacks",
    "web.checkout",
    "web.connections",
    "web.console.site",
    "web.measurements",
    "web.notices",
    "web.pages",
    "web.portal.site",
    "web.server",
    "webhooks.dispatch",
    "webhooks.retention",
    "webhooks.service",
)


def load_modules() -> None:
    """Import what serving needs, so that no request waits for it. It takes a second, in which a database may start."""
    for name in _LOADED_TO_SERVE:
        importlib.import_module(f"telvend.{name}")
    for keys in APIS:
        _routes_of(keys)


def _routes_of(keys: "KeyForm") -> "ModuleType":
    """Import the routes of a dialect, and with them the web framework."""
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


def _magic_numbers() -> "list[MagicNumber]":
    """The simulator's own table, in words of the portal."""
    from telvend.providers.contract import Delivered, Unknown
    from telvend.providers.simulator.table import ORDINARY, TABLE
    from telvend.web.portal.test_mode import MagicNumber

    def end(settled: type[object]) -> str:
        if settled is Delivered:
            return "Delivered"
        return "A person looks at it" if settled is Unknown else "Failed, the money comes back"

    return [MagicNumber(row.ending, row.sentence, end(row.settled)) for row in (*TABLE, ORDINARY)]


def _situations() -> "list[Situation]":
    """The personas' own table."""
    from telvend.authorities.personas import SITUATIONS
    from telvend.web.portal.test_mode import Situation

    return [Situation(ending, happens) for ending, happens in SITUATIONS]


def applications(life: Lifecycle, shop: Shop, run_dir: Path) -> "tuple[Dispatch, Mapping[int, ASGIApp]]":
    """The ASGI application of a serving process, and those that have a port of their own.

    What the processes of a node share is kept in `run_dir`.
    """
    from telvend.dialects import openapi, postman, serving
    from telvend.dialects.dispatch import Dispatch, Served
    from telvend.dialects.pages import ApiPages
    from telvend.kit.fresh import Fresh
    from telvend.providers.upstream import CALLBACKS
    from telvend.web.callbacks import callbacks
    from telvend.web.checkout import BASE, checkout
    from telvend.web.console.site import BASE as CONSOLE
    from telvend.web.console.site import console_site
    from telvend.web.measurements import measurements, metrics_only
    from telvend.web.notices import notices
    from telvend.web.pages import pages
    from telvend.web.portal.site import Api, ForDevelopers, portal
    from telvend.web.shell import Assets, Templates
    from telvend.web.shell.site import FrontDoor

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
    assets = Assets()
    templates = Templates(assets)
    apps[BASE] = checkout(shop.services.fundings, shop.sandbox, templates)
    apps["/gateways"] = notices(shop.services.fundings)
    apps[CALLBACKS] = callbacks(shop.callbacks)
    documents = {
        "openapi": {d.name: partial(openapi.with_address, openapi.document(d, __version__)) for d in dialects},
        "postman": {d.name: partial(postman.with_address, postman.collection(d, __version__)) for d in dialects},
    }

    openapi_documents = {name: write("") for name, write in documents["openapi"].items()}
    developers = ForDevelopers(
        ApiPages(dialects, openapi_documents, shop.services, limiter), _magic_numbers(), _situations(), limiter
    )
    apis = [Api.of(name, made["info"]) for name, made in openapi_documents.items()]
    # Half of the connections are left to the APIs, whatever browsers ask for.
    at_once = max(1, shop.settings.pool_size // 2)
    measure = measurements(shop.services, shop.database, Path(shop.settings.data_dir))
    console = console_site(templates, assets, shop.desk, at_once=at_once)
    by_port: dict[int, ASGIApp] = {}
    if shop.settings.console_port:
        by_port[shop.settings.console_port] = Dispatch({}, console)
    else:
        apps[CONSOLE] = console
    if shop.settings.metrics_port:
        by_port[shop.settings.metrics_port] = metrics_only(measure)
    main = Dispatch(
        apps,
        FrontDoor(
            portal(templates, assets, shop.services, apis, developers, shop.clock, at_once=at_once),
            pages(
                shop.services.resellers,
                shop.settings.public_url,
                documents,
                measure,
                Fresh(shop.unready, HEALTH_KEPT_FOR_S),
                metrics_public=shop.settings.metrics_public,
            ),
        ),
    )
    return main, by_port
