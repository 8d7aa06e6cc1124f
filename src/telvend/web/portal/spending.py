"""What the pages of money share: the visitor's wallets, the visitor as a caller, names of what is sold."""

from telvend.catalog.kinds import kind_of
from telvend.catalog.model import CatalogueSnapshot
from telvend.errors import InvalidInput, NotFound
from telvend.kit.money import Currency, Money
from telvend.kit.numbering import shown_number
from telvend.orders.model import PORTAL, Order
from telvend.orders.receipt_prices.service import require_price
from telvend.people.model import Visitor
from telvend.resellers.model import Caller
from telvend.services import Services
from telvend.wallets.model import TransactionKind, WalletBalance
from telvend.web.shell import Form


async def wallets_of(services: Services, visitor: Visitor) -> list[WalletBalance]:
    """The visitor's wallets in the mode that the portal stands in. Raises Busy."""
    found = await services.wallets.of_reseller(visitor.reseller_id)
    return [wallet for wallet in found if wallet.mode is visitor.mode]


async def every_wallet(services: Services, visitor: Visitor) -> dict[int, Currency]:
    """The visitor's wallets of both modes, with their currencies. Raises Busy."""
    found = await services.wallets.of_reseller(visitor.reseller_id)
    return {wallet.wallet_id: wallet.balance.currency for wallet in found}


async def caller_of(services: Services, visitor: Visitor) -> Caller:
    """The visitor as a caller whose references stand below the portal's name. Raises NotPermitted (suspended), Busy."""
    return await services.resellers.caller_of(visitor.reseller_id, PORTAL, visitor.mode)


async def order_of(services: Services, visitor: Visitor, reference: str) -> Order:
    """The visitor's order with this reference, ours or the caller's own. Raises NotFound, also for somebody else's, and Busy."""
    order = await services.order_records.named(reference, visitor.reseller_id)
    if order.reseller_id != visitor.reseller_id:
        raise NotFound("Order")
    return order


def network_name(snapshot: CatalogueSnapshot, country: str, code: str) -> str:
    """What a network is called; its code where the catalogue has it no longer."""
    network = snapshot.network(country, code)
    return network.name if network is not None else code


def what_of(snapshot: CatalogueSnapshot, order: Order) -> str:
    """What an order is for: "MTN 1GB", "MTN airtime"."""
    name = network_name(snapshot, order.country, order.network)
    if order.kind == "data":
        return f"{name} {order.size}"
    return f"{name} {kind_of(order.kind).title.lower()}"


def customer_price_of(form: Form, currency: Currency) -> Money | None:
    """What was typed as the price that the customer has paid; None where nothing was, or with an error of the field."""
    text = form.text("customer_price").replace(",", "")
    if not text:
        return None
    try:
        return require_price(Money.parse(text, currency), currency.code)
    except ValueError as error:
        form.error("customer_price", f"The price {error}.")
    except InvalidInput as error:
        form.error("customer_price", f"The price {error.problem}.")
    return None


def shown_recipient(recipient: str) -> str:
    """A recipient as people read it: a mobile number in groups, anything else as it is."""
    return shown_number(recipient) if recipient.startswith("+") else recipient


KIND_NAMES = {
    TransactionKind.ORDER: "Purchase",
    TransactionKind.REFILL: "Airtime refill",
    TransactionKind.FUNDING: "Top-up",
    TransactionKind.CREDIT: "Credit",
    TransactionKind.VERIFICATION: "Identity check",
    TransactionKind.VOID: "Play money taken back",
    TransactionKind.DEBIT: "Correction",
    TransactionKind.REFUND: "Refund",
    TransactionKind.PROVISIONAL_CREDIT: "Provisional credit",
    TransactionKind.REVERSAL: "Provisional credit taken back",
}
"""What a page calls the kinds of transactions."""
