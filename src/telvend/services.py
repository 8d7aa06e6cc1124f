"""What dialects and pages speak to: the services of one shop, and the settings that shape their answers."""

from dataclasses import dataclass

from telvend.approvals.service import Approvals
from telvend.catalog.service import Catalogue
from telvend.corrections.service import Corrections
from telvend.fulfilment.provisional.service import ProvisionalCredits
from telvend.fulfilment.recent.service import NetworkConditions
from telvend.funding.claims.service import Claims
from telvend.funding.credits.service import Credits
from telvend.funding.service import Fundings
from telvend.identity.service import Identity
from telvend.operator.entitlements.service import Entitlements
from telvend.operator.plans.service import PlanReader
from telvend.operator.premiums.service import Premiums
from telvend.operator.refills.service import Refills
from telvend.operator.subscribers.momo.service import MobileMoney
from telvend.operator.subscribers.service import Subscribers
from telvend.orders.beneficiaries.service import Beneficiaries
from telvend.orders.bulk.service import BulkLists
from telvend.orders.counter import CounterSales
from telvend.orders.payloads.service import Payloads
from telvend.orders.receipt_links.service import ReceiptLinks
from telvend.orders.receipt_prices.service import ReceiptPrices
from telvend.orders.records import OrderRecords
from telvend.orders.service import Orders
from telvend.people.service import People
from telvend.resellers.service import Resellers
from telvend.upstreams.service import Upstreams
from telvend.wallets.service import Transactions, Wallets
from telvend.webhooks.service import Webhooks


@dataclass(frozen=True, slots=True)
class Services:
    """What a shop can do. Assembled by bootstrap/shop.py."""

    # What is sold, who buys, and the sales.
    catalogue: Catalogue
    resellers: Resellers
    people: People
    orders: Orders
    order_records: OrderRecords
    portal_sales: CounterSales
    bulk_lists: BulkLists
    beneficiaries: Beneficiaries
    receipt_links: ReceiptLinks
    receipt_prices: ReceiptPrices
    payloads: Payloads
    identity: Identity
    network_conditions: NetworkConditions
    # Money.
    wallets: Wallets
    transactions: Transactions
    credits: Credits
    approvals: Approvals
    corrections: Corrections
    provisional: ProvisionalCredits
    fundings: Fundings
    claims: Claims
    upstreams: Upstreams
    webhooks: Webhooks
    # The operator's side: one service for each room.
    subscribers: Subscribers
    mobile_money: MobileMoney
    entitlements: Entitlements
    plans: PlanReader
    refills: Refills
    premiums: Premiums
    # Settings that those who speak need.
    public_url: str
    """How clients reach this server; empty: as the request says."""
    delivery_wait_s: float
    """How long an answer that shows the delivery waits for it."""
    creates_subscribers: bool
    """Whether a number that the network does not know may become a subscriber of it."""
    home_country: str
    """Whose national numbers are read as such where a dialect has no market of its own; empty: nobody's in particular."""
