"""A subscriber, what the subscriber has, and a refill, for the tests of the MADAPI dialect."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from telvend.catalog.model import CatalogueSnapshot, Network, Product
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Currency, Money
from telvend.operator.refills.model import Refill, Refilled, RefillKind
from telvend.operator.subscribers.balances.model import Bucket, BucketKind
from telvend.operator.subscribers.model import Billing, Subscriber, SubscriberStatus
from telvend.operator.subscribers.momo.model import MomoAccount
from telvend.orders.model import Order, OrderState

NOW = datetime(2026, 11, 22, 9, 14, 5, 310_000, UTC)
DAY = timedelta(days=1)
MB = 1024 * 1024
SUBSCRIBER = Subscriber(
    id=1,
    mode=Mode.LIVE,
    msisdn="+2348031234567",
    country="NG",
    currency=NGN,
    billing=Billing.PREPAID,
    status=SubscriberStatus.ACTIVE,
    tariff_plan="PulsePlus",
    language="1",
    active_until=datetime(2027, 2, 18, 23, 59, 59, tzinfo=UTC),
    grace_until=datetime(2027, 5, 19, 23, 59, 59, tzinfo=UTC),
    created_at=datetime(2021, 3, 9, 8, tzinfo=UTC),
)
MAIN = Bucket(1, BucketKind.MONEY, "Main account", 125050, main=True, starts_at=NOW - DAY)
WEEKEND = Bucket(2, BucketKind.DATA, "Weekend 2GB", 768 * MB, starts_at=NOW - DAY, expires_at=NOW + 2 * DAY)
MONTHLY = Bucket(3, BucketKind.DATA, "Monthly 1GB", 1024 * MB, starts_at=NOW - DAY, expires_at=NOW + 28 * DAY)
UNUSED = Bucket(4, BucketKind.DATA, "Monthly 1GB", 1024 * MB, validity_days=30)
MOMO = MomoAccount(
    balance=1840000,
    reserved=20000,
    positive=50000,
    negative=100000,
    loyalty_generated=1200,
    loyalty_consumed=0,
    loyalty_balance=8700,
    overdraft_balance=0,
    overdraft_limit=500000,
    overdraft_fee=2500,
    overdraft_interest=0,
    blocked=False,
    authorization_digest=b"",
)


def refilled(minor: int, *, capped: bool = False, replayed: bool = False, currency: Currency = NGN) -> Refilled:
    refill = Refill(
        id=1,
        reference="REF-1-abcdef",
        reseller_id=UUID(int=1),
        dialect="madapi",
        mode=Mode.LIVE,
        transaction_id="TX-000017",
        kind=RefillKind.VOUCHER,
        msisdn="+2348031234567",
        profile="DB00",
        amount=Money(minor, currency),
        capped=capped,
        serial="1000000001",
        wallet_id=None,
        position=None,
        before=None,
        after=None,
        created_at=NOW,
    )
    return Refilled(refill, replayed)


MTN = Network(5, "NG", "mtn", "MTN", active=True)


def bundle(number: int, code: str, days: int | None, *, active: bool = True) -> Product:
    return Product(
        code,
        "NG",
        "mtn",
        "data",
        "SME",
        "1GB",
        days,
        Money(30000, NGN),
        Money(28500, NGN),
        active,
        id=number,
        network_id=5,
    )


SOLD = bundle(1, "NG-MTN-SME-1GB-30D", 30)
CATALOGUE = CatalogueSnapshot.of(
    1,
    [MTN],
    [SOLD, bundle(2, "DAY", 1), bundle(3, "WEEK", 7), bundle(4, "EVER", None), bundle(5, "OFF", 30, active=False)],
)


def order(state: OrderState = OrderState.DELIVERED, *, transaction_id: str = "TX-00001", number: int = 4711) -> Order:
    return Order(
        id=number,
        reference=f"SUB-{number}-7kq2xd",
        reseller_id=UUID(int=1),
        dialect="madapi",
        mode=Mode.TEST,
        client_reference=transaction_id,
        fingerprint="",
        wallet_id=7,
        position=1,
        kind="data",
        country="NG",
        network="mtn",
        product_id=1,
        product=SOLD.code,
        size="1GB",
        validity_days=30,
        subscriber="+2348031234567",
        face=Money(30000, NGN),
        price=Money(30000, NGN),
        cost=Money(28500, NGN),
        state=state,
        balance_after=Money(470000, NGN),
        created_at=NOW,
        updated_at=NOW,
    )
