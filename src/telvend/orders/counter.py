"""Selling by hand: any product of the catalogue by its code, for a reseller, from that reseller's wallet.

The command `order place` sells so. Its references are a namespace of their own, beside those of the APIs.
"""

from typing import Final

from telvend.catalog.billers import BillerProduct, biller_products
from telvend.catalog.kinds import kind_of
from telvend.catalog.model import Airtime, Product
from telvend.catalog.service import Catalogue
from telvend.errors import InvalidInput, NotFound, ProductUnavailable
from telvend.kit.mode import Mode
from telvend.kit.money import Currency, Money
from telvend.kit.text import require_text
from telvend.orders.model import Placement
from telvend.orders.service import LONGEST_REFERENCE, Orders
from telvend.resellers.model import Caller

COUNTER: Final = "counter"
"""The name below which references of sales by hand stand, where an API has its own."""

_PREFIX: Final = "CTR"


class CounterSales:
    """Sells by product code. `Orders` has to be started."""

    def __init__(self, orders: Orders, catalogue: Catalogue) -> None:
        self._orders = orders
        self._catalogue = catalogue

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
        match self._product(code):
            case Product() as plan:
                network = self._catalogue.snapshot.network(plan.country, plan.network)
                if network is None:
                    raise ProductUnavailable(plan.network, plan.code)
                _require_no_amount(amount, plan.code, plan.price)
                return await self._orders.buy_plan(
                    caller,
                    network=network,
                    plan=plan,
                    subscriber=_recipient(plan.kind, recipient, plan.country),
                    client_reference=client_reference,
                    prefix=_PREFIX,
                )
            case Airtime() as airtime:
                network = self._catalogue.snapshot.network(airtime.country, airtime.network)
                if network is None:
                    raise ProductUnavailable(airtime.network, airtime.code)
                return await self._orders.buy_airtime(
                    caller,
                    network=network,
                    amount=_amount(amount, airtime.minimum, airtime.maximum),
                    subscriber=_recipient("airtime", recipient, airtime.country),
                    client_reference=client_reference,
                    prefix=_PREFIX,
                )
            case BillerProduct() as product:
                if caller.mode is not Mode.TEST:
                    raise InvalidInput("mode", f"must be test: {product.code} is not sold live yet")
                if product.price is not None:
                    _require_no_amount(amount, product.code, product.price)
                return await self._orders.buy_of_biller(
                    caller,
                    product=product,
                    amount=product.price or _amount(amount, product.minimum, product.maximum),
                    recipient=_recipient(product.kind, recipient, product.country),
                    client_reference=client_reference,
                    prefix=_PREFIX,
                )

    def _product(self, code: str) -> Product | Airtime | BillerProduct:
        """What is sold under a code, on sale or not. Raises NotFound."""
        snapshot = self._catalogue.snapshot
        found = snapshot.product_by_code(code) or snapshot.airtime_by_code(code) or biller_products().get(code)
        if found is None:
            raise NotFound("Product")
        return found


def _recipient(kind: str, text: str, country: str) -> str:
    try:
        return kind_of(kind).recipient.parse(text, country)
    except ValueError as error:
        raise InvalidInput("to", str(error)) from None


def _require_no_amount(amount: str | None, code: str, price: Money) -> None:
    if amount is not None:
        raise InvalidInput("amount", f"is for what is sold by amount; {code} costs {price}")


def _amount(text: str | None, minimum: Money, maximum: Money) -> Money:
    currency: Currency = minimum.currency
    if text is None:
        raise InvalidInput("amount", f"is needed: from {minimum} to {maximum}")
    try:
        amount = Money.parse(text, currency)
    except ValueError as error:
        raise InvalidInput("amount", str(error)) from None
    if not minimum.minor <= amount.minor <= maximum.minor:
        raise InvalidInput("amount", f"must be from {minimum} to {maximum}")
    return amount
