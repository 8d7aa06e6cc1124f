"""Everything of one shop in one process: each component, and what it is made of.

Each component is imported where it is made, so that a command imports the few rooms that it works with.
"""

import os
import socket
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from telvend.bootstrap import vendors
from telvend.bootstrap.registry import APIS
from telvend.config import OWN_NETWORK, Settings
from telvend.errors import Busy
from telvend.kit.lifecycle import Lifecycle

if TYPE_CHECKING:
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
    from telvend.desk.jobs.model import JobKind
    from telvend.desk.jobs.worker import JobWorker
    from telvend.desk.order_file import OrderFiles
    from telvend.desk.service import Desk
    from telvend.fulfilment.model import FulfilmentPolicy
    from telvend.fulfilment.network_health import NetworkHealth
    from telvend.fulfilment.payloads import PayloadWorker
    from telvend.fulfilment.postgres import PostgresFulfilmentStore
    from telvend.fulfilment.provisional.service import ProvisionalCredits
    from telvend.fulfilment.recent.service import NetworkConditions
    from telvend.fulfilment.retention.jobs import AttemptRetention
    from telvend.fulfilment.review import Review
    from telvend.fulfilment.routing import Router
    from telvend.fulfilment.trials.service import Trials
    from telvend.fulfilment.worker import Fulfilment
    from telvend.funding.claims.service import Claims
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
    from telvend.orders.receipt_prices.service import ReceiptPrices
    from telvend.orders.records import OrderRecords
    from telvend.orders.search.service import OrderSearch
    from telvend.orders.service import Orders
    from telvend.people.keys import PeopleKeys
    from telvend.people.mail.notices import Notices
    from telvend.people.mail.outbox import MailOutbox
    from telvend.people.mail.sender import EmailSender
    from telvend.people.service import People
    from telvend.providers.contract import Provider
    from telvend.providers.simulator.store import PostgresBook
    from telvend.providers.upstream import Upstream
    from telvend.reports.ranking.service import RankedReports
    from telvend.reports.service import Reports
    from telvend.reports.summaries.service import DaySummaries
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
    from telvend.webhooks.dispatch import WebhookDispatch
    from telvend.webhooks.keys import WebhookKeys
    from telvend.webhooks.listening import Listening
    from telvend.webhooks.outbox import Outbox
    from telvend.webhooks.service import Webhooks


C = TypeVar("C", bound="Closes")


TOTALS_FRESH_S = 60.0
"""For so long the trial balance of the console is not summed again: it reads every transfer."""

PAYLOADS_EVERY_S = 2.0
LATE_EVERY_S = 2.0
"""The interval at which tokens and PINs that providers still owe are looked for."""

KEY_USES_EVERY_S = 60.0
"""The interval at which it is written when keys were used last."""

PROVISIONAL_EVERY_S = 60.0
"""The interval at which orders are looked for whose outcome is unknown for too long."""


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

        transport = vendors.mail_transport(self.settings)
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
        return self._opened(
            vendors.providers_of(self.settings, self.book, self.clock, self.provisioning, self.entitlements)
        )

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
        authorities = vendors.authorities_of(self.settings)
        self._opened([*authorities.values()])
        return authorities

    @cached_property
    def gateways(self) -> "list[Gateway]":
        """Every gateway beside the sandbox."""
        return self._opened(vendors.gateways_of(self.settings))

    def _opened(self, vendors: "list[C]") -> "list[C]":
        for vendor in vendors:
            self._life.opened(vendor)
        return vendors

    @cached_property
    def connected(self) -> "Connected":
        return vendors.connected_of(self.providers, [self.personas, *self.authorities.values()], self.gateways)

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
                self.claims,
                self.upstreams,
                providers=self.provider_names,
                findings=findings,
            )
        )

    @cached_property
    def desk(self) -> "Desk":
        """The services that the console calls. The shop must be complete."""
        from zoneinfo import ZoneInfo

        from telvend.desk.jobs.service import Jobs
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
            claims=self.claims,
            play_money=self.play_money,
            wallets=self.wallets,
            totals=self._life.opened(Stale(self.reports.totals, TOTALS_FRESH_S)),
            reports=self.reports,
            ranked_reports=self.ranked_reports,
            jobs=Jobs(self.database),
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
    def job_workers(self) -> "dict[JobKind, JobWorker]":
        """What does the jobs that are started in the console, one for each kind."""
        from telvend.audit.service import Audit
        from telvend.desk.jobs.model import JobKind
        from telvend.desk.jobs.work import adding_up, auditing, closing
        from telvend.desk.jobs.worker import JobWorker

        work = {
            JobKind.FIGURES: adding_up(self.reports),
            JobKind.CLOSE: closing(self.reports),
            JobKind.AUDIT: auditing(Audit(self.database, self._data_dir).run),
        }
        return {kind: JobWorker(self.database, kind, of_kind) for kind, of_kind in work.items()}

    @cached_property
    def console_jobs(self) -> "list[PeriodicTask]":
        """Made where this process runs."""
        from telvend.desk.jobs.worker import EVERY_S
        from telvend.kit.periodic import PeriodicTask

        return [
            self._life.runs(
                PeriodicTask(f"console jobs: {kind}", one.work_off, self.clock, every_s=EVERY_S, runtime=self._runtime)
            )
            for kind, one in self.job_workers.items()
        ]

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
    def receipt_prices(self) -> "ReceiptPrices":
        from telvend.orders.receipt_prices.service import ReceiptPrices

        return ReceiptPrices(self.database)

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
                ActKind.PROVISIONAL_CREDIT: lambda: self.provisional.perform,
            },
        )

    @cached_property
    def provisional(self) -> "ProvisionalCredits":
        from telvend.fulfilment.provisional.service import ProvisionalCredits

        return ProvisionalCredits(self.database, self.ledger, self.second_person)

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
    def ranked_reports(self) -> "RankedReports":
        from zoneinfo import ZoneInfo

        from telvend.reports.ranking.service import RankedReports

        return RankedReports(self.database, ZoneInfo(self.settings.timezone), self.reports)

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
    def claims(self) -> "Claims":
        """Payments that resellers claim; of a complete shop."""
        from telvend.funding.claims.service import Claims

        return Claims(self.database, self.payable, self.verification, self.fundings, self.credits)

    @cached_property
    def router(self) -> "Router":
        return vendors.router_of(self.settings, self.providers, self.clock, self.play_money_guard.refuses_live)

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
    def late_requeries(self) -> "PeriodicTask":
        """Made where this process delivers."""
        from telvend.fulfilment.late.worker import LateRequeries
        from telvend.kit.periodic import PeriodicTask

        work = LateRequeries(self.database, self.router, self.jobs).work_off
        return self._life.runs(
            PeriodicTask("late requeries", work, self.clock, every_s=LATE_EVERY_S, runtime=self._runtime)
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
    def attempt_retention(self) -> "AttemptRetention":
        """Made where this process delivers."""
        from telvend.fulfilment.retention.jobs import AttemptRetention

        return self._life.runs(
            AttemptRetention(
                self.database,
                self.clock,
                self.settings.attempt_retention_days,
                pressure=lambda: self.orders.lane.load if "orders" in self.__dict__ else 0,
                runtime=self._runtime,
            )
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
            receipt_prices=self.receipt_prices,
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
            claims=self.claims,
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
