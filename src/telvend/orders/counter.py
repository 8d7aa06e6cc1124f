"""Selling by hand: any product of the catalogue by its code, for a reseller, from that reseller's wallet.

The command `order place` sells so, and so do the pages. The references of each are a namespace of their own (`Caller.api`), beside
those of the APIs.
"""

from dataclasses import dataclass
from typing import Final

from telvend.catalog.billers import BillerProduct, biller_products
from telvend.catalog.kinds import kind_of
from telvend.catalog.model import Airtime, Product
from telvend.catalog.service import Catalogue
from telvend.errors import InvalidFields, InvalidInput, NotFound, ProductUnavailable
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.kit.text import require_text
from telvend.orders.model import LONGEST_REFERENCE, Placement
from telvend.orders.service import Orders, Wanted
from telvend.resellers.model import Caller

COUNTER_PREFIX: Final = "CTR"
PORTAL_PREFIX: Final = "WEB"
"""What our references begin with: of sales by command, and of purchases on a page."""


Sellable = Product | Airtime | BillerProduct


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is bought: `recipient` as its kind stores it, `amount` as it was given, or the price of what has one."""

    product: Sellable
    recipient: str
    amount: Money


class PriceChanged(InvalidInput):
    """What is bought costs `now`, and was agreed at `agreed`. Nothing was bought."""

    def __init__(self, agreed: Money, now: Money) -> None:
        self.agreed = agreed
        self.now = now
        super().__init__("price", f"has changed from {agreed} to {now}")


class CounterSales:
    """Sells by product code. `Orders` has to be started before `place`, `buy` and `buy_at`. `prefix` begins our references."""

    def __init__(self, orders: Orders, catalogue: Catalogue, prefix: str = COUNTER_PREFIX) -> None:
        self._orders = orders
        self._catalogue = catalogue
        self._prefix = prefix

    async def place(
        self, caller: Caller, *, code: str, recipient: str, amount: str | None, client_reference: str
    ) -> Placement:
        """Buy the product with this code for `recipient`, in any spelling that its kind reads.

        `amount` is text such as `1000` or `4.5`: needed for what is sold by amount, and only there. The same request under the
        same reference answers with its order as it stands.
        Raises NotFound (no such product, no wallet in its currency), InvalidInput, ProductUnavailable, ReferenceReused,
        InsufficientBalance, Busy.
        """
        require_text("reference", client_reference, LONGEST_REFERENCE)
        item = self.item(caller.mode, code=code, recipient=recipient, amount=amount)
        return await self.buy(caller, self.wanted(caller, item), client_reference)

    async def buy(self, caller: Caller, wanted: Wanted, client_reference: str) -> Placement:
        """Buy what `wanted` has returned. Raises what `place` raises of what is not known before."""
        return await self._orders.buy(caller, wanted, client_reference, self._prefix)

    async def buy_at(self, caller: Caller, item: Item, price: Money, client_reference: str) -> Placement:
        """Buy an item at the price that was agreed. A known reference answers with its order, whatever it costs now.

        Raises PriceChanged where a new order would cost anything else, and what `place` raises.
        """
        wanted = self.wanted(caller, item)
        if wanted.quote is not None and wanted.quote.price != price:
            key = (caller.reseller_id, caller.api, caller.mode, client_reference)
            if not await self._orders.under([key]):
                raise PriceChanged(price, wanted.quote.price)
        return await self.buy(caller, wanted, client_reference)

    def item(self, mode: Mode, *, code: str, recipient: str, amount: str | None) -> Item:
        """Read what is to be bought. Raises NotFound (no such product), and InvalidFields with everything that is wrong."""
        snapshot = self._catalogue.snapshot
        product = snapshot.product_by_code(code) or snapshot.airtime_by_code(code) or biller_products().get(code)
        if product is None:
            raise NotFound("Product")
        problems: dict[str, str] = {}
        if isinstance(product, BillerProduct) and mode is not Mode.TEST:
            problems["mode"] = f"must be test: {product.code} is not sold live yet"
        try:
            worth = _amount(product, amount)
        except ValueError as error:
            problems["amount"] = str(error)
        kind = "airtime" if isinstance(product, Airtime) else product.kind
        try:
            parsed = kind_of(kind).recipient.parse(recipient, product.country)
        except ValueError as error:
            problems["to"] = str(error)
        if problems:
            raise InvalidFields(problems)
        return Item(product, parsed, worth)

    def wanted(self, caller: Caller, item: Item) -> Wanted:
        """Say what buying an item asks for, with its price now for this caller. Raises ProductUnavailable."""
        product = item.product
        if isinstance(product, BillerProduct):
            return self._orders.of_biller_wanted(caller, product, item.amount, item.recipient)
        network = self._catalogue.snapshot.network(product.country, product.network)
        if network is None:
            raise ProductUnavailable(product.network, product.code)
        if isinstance(product, Product):
            return self._orders.plan_wanted(network, product, item.recipient)
        return self._orders.airtime_wanted(caller, network, item.amount, item.recipient)


def _amount(product: Sellable, text: str | None) -> Money:
    """What is sold by amount is worth its text, anything else its price. Raises ValueError with a sentence."""
    if isinstance(product, Product) or (isinstance(product, BillerProduct) and product.price is not None):
        price = product.price if isinstance(product, Product) else product.minimum
        if text is not None:
            raise ValueError(f"is for what is sold by amount; {product.code} costs {price}")
        return price
    minimum, maximum = product.minimum, product.maximum
    if text is None:
        raise ValueError(f"is needed: from {minimum} to {maximum}")
    amount = Money.parse(text, minimum.currency)
    if not minimum.minor <= amount.minor <= maximum.minor:
        raise ValueError(f"must be from {minimum} to {maximum}")
    return amount
