"""The services of one shop, bundled for those who speak: dialects and pages."""

from dataclasses import dataclass

from telvend.approvals.service import Approvals
from telvend.catalog.service import Catalogue
from telvend.corrections.service import Corrections
from telvend.fulfilment.provisional.service import ProvisionalCredits
from telvend.funding.credits import Credits
from telvend.funding.service import Fundings
from telvend.identity.service import Identity
from telvend.ledger.service import Ledger
from telvend.operator.entitlements.service import Entitlements
from telvend.operator.plans.service import PlanReader
from telvend.operator.premiums.service import Premiums
from telvend.operator.provisioning.service import Provisioning
from telvend.operator.refills.service import Refills
from telvend.operator.subscribers.momo.service import MobileMoney
from telvend.operator.subscribers.service import Subscribers
from telvend.operator.usage.service import Usage
from telvend.operator.vouchers.service import Vouchers
from telvend.orders.counter import CounterSales
from telvend.orders.payloads.service import Payloads
from telvend.orders.service import Orders
from telvend.reports.service import Reports
from telvend.resellers.service import Resellers
from telvend.upstreams.service import Upstreams
from telvend.wallets.service import Transactions, Wallets


@dataclass(frozen=True, slots=True)
class Services:
    """What a shop can do. Assembled by bootstrap.py."""

    # What is sold, who buys, and the sales.
    catalogue: Catalogue
    resellers: Resellers
    orders: Orders
    counter: CounterSales
    payloads: Payloads
    identity: Identity
    # Money.
    ledger: Ledger
    wallets: Wallets
    transactions: Transactions
    credits: Credits
    corrections: Corrections
    approvals: Approvals
    provisional: ProvisionalCredits
    fundings: Fundings
    reports: Reports
    upstreams: Upstreams
    # The operator's side: one service for each room.
    subscribers: Subscribers
    mobile_money: MobileMoney
    entitlements: Entitlements
    provisioning: Provisioning
    usage: Usage
    plans: PlanReader
    vouchers: Vouchers
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
