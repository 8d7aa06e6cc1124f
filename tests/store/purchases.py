"""What the tests of placement and fulfilment start from: a reseller with money, and purchases of one bundle of 4.50."""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from telvend.audit.service import audit_books
from telvend.bootstrap import APIS
from telvend.catalog.model import Product
from telvend.database.connections import Database
from telvend.dialects.netpluse.routes import NETPLUSE
from telvend.funding.credits.service import Credits
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Currency, Money
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.orders.placement import Purchase, Quote
from telvend.resellers.service import Resellers
from telvend.sales.model import KindsByDialect
from telvend.wallets.service import Wallets

PRICE = Money(450, GHS)
PRODUCT = Product(
    code="GH-MTN-1GB-30D",
    country="GH",
    network="MTN",
    kind="data",
    type="",
    size="1GB",
    validity_days=30,
    price=PRICE,
    cost=Money(390, GHS),
    active=True,
    id=1,
    network_id=1,
)
_numbers = itertools.count(1)

KINDS = KindsByDialect()
"""What the dialect of these purchases sells, as bootstrap declares it: it stands on the unique index alone."""
KINDS.declare(NETPLUSE.name, NETPLUSE.sells)


@dataclass(frozen=True, slots=True)
class Customer:
    """A reseller with a live wallet in GHS and one in NGN, and the house's accounts of what is in flight."""

    database: Database
    ledger: Ledger
    reseller_id: Any
    wallets: dict[str, int]
    in_flight: dict[str, int]

    def wants(self, reference: str | None = None, currency: Currency = GHS, **changes: Any) -> Purchase:
        """One bundle, paid from the wallet in `currency`."""
        product = PRODUCT
        if currency is not GHS:
            product = replace(PRODUCT, price=Money(450, currency), cost=Money(390, currency))
        purchase = Purchase(
            reseller_id=self.reseller_id,
            dialect="netpluse",
            mode=Mode.LIVE,
            client_reference=reference,
            fingerprint="GH/MTN/+233241234567/1GB",
            wallet_id=self.wallets[currency.code],
            in_flight=self.in_flight[currency.code],
            country="GH",
            network="MTN",
            size="1GB",
            subscriber="+233241234567",
            quote=None if product is None else Quote.of(product),
            prefix="NPAPI",
        )
        return msgspec.structs.replace(purchase, **changes)

    async def balance(self, currency: Currency = GHS) -> int:
        return int(
            await self.value("select balance_minor from wallet where account_id = $1", self.wallets[currency.code])
        )

    async def orders(self) -> int:
        return int(await self.value("select count(*) from orders"))

    async def value(self, statement: str, *values: Any) -> Any:
        async with self.database.connection() as tx:
            return await tx.fetchval(statement, *values)

    async def check_books(self) -> None:
        report = await audit_books(self.database)
        assert report.ok, report.findings


async def customer(database: Database, *, ghs_minor: int = 0, ngn_minor: int = 0) -> Customer:
    """A new reseller with so much money."""
    ledger = Ledger(database)
    number = next(_numbers)
    reseller = await Resellers(database, ledger, APIS).add(f"ama{number}@example.com", "Ama", "0241234567")
    for minor, currency in ((ghs_minor, GHS), (ngn_minor, NGN)):
        if minor:
            await Credits(database, ledger).add(reseller.id, Money(minor, currency), Mode.LIVE, "opening")
    wallets = {
        found.balance.currency.code: found.wallet_id
        for found in await Wallets(database).of_reseller(reseller.id)
        if found.mode is Mode.LIVE
    }
    in_flight = {
        currency.code: await ledger.house(AccountKind.IN_FLIGHT, currency, Mode.LIVE) for currency in (GHS, NGN)
    }
    return Customer(database, ledger, reseller.id, wallets, in_flight)
