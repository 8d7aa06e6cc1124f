"""One search over everything that people read out: a number, anybody's reference, a reseller, a voucher's serial."""

from typing import Final

from telvend.desk.model import Hit, Kind
from telvend.errors import InvalidInput, NotFound
from telvend.funding.service import Fundings
from telvend.kit.ids import number_in
from telvend.kit.mode import Mode
from telvend.kit.phone import NotAMobileNumber, parse_mobile_of_any_market
from telvend.operator.subscribers.service import Subscribers
from telvend.operator.vouchers.service import Vouchers
from telvend.orders.model import Order
from telvend.orders.search.service import OrderSearch
from telvend.resellers.service import Resellers

LONGEST: Final = 128
SHOWN: Final = 20
"""So many things of each kind are shown."""


class Search:
    """The search of one shop."""

    def __init__(
        self,
        orders: OrderSearch,
        fundings: Fundings,
        resellers: Resellers,
        vouchers: Vouchers,
        subscribers: Subscribers,
    ) -> None:
        self._orders = orders
        self._fundings = fundings
        self._resellers = resellers
        self._vouchers = vouchers
        self._subscribers = subscribers

    async def find(self, text: str) -> list[Hit]:
        """Return everything that may be meant by `text`, at most SHOWN of each kind. Raises InvalidInput, Busy."""
        text = " ".join(text.split())
        if not text:
            return []
        if len(text) > LONGEST or not text.isprintable():
            raise InvalidInput("q", f"must be at most {LONGEST} printable characters")
        try:
            number = parse_mobile_of_any_market(text)
        except NotAMobileNumber:
            number = None
        parts = [
            self._named(text),
            self._funding(text),
            self._reseller(text),
            self._voucher(text),
            *([] if number is None else [self._of_number(number), self._subscriber(number)]),
        ]
        found: list[Hit] = []
        for part in parts:
            found += [hit for hit in await part if hit not in found]
        return found

    async def _named(self, text: str) -> list[Hit]:
        return [_order(order) for order in await self._orders.named(text, limit=SHOWN)]

    async def _of_number(self, number: str) -> list[Hit]:
        return [_order(order) for order in await self._orders.of_number(number, limit=SHOWN)]

    async def _funding(self, text: str) -> list[Hit]:
        parts = text.split("-")
        spelled = f"{parts[0].upper()}-{parts[1]}-{parts[2].lower()}" if len(parts) == 3 else text
        if number_in(spelled) is None:
            return []
        try:
            funding = (await self._fundings.history(spelled)).funding
        except NotFound:
            return []
        return [
            Hit(
                Kind.FUNDING,
                funding.reference,
                funding.reference,
                f"{funding.amount} by {funding.method}",
                funding.state,
            )
        ]

    async def _reseller(self, text: str) -> list[Hit]:
        if len(text) < 2 and not text.isdigit():
            return []
        return [
            Hit(
                Kind.RESELLER, str(one.number), one.name, f"{one.email}, {one.phone}",
                "suspended" if one.suspended_at is not None else "",
            )
            for one in await self._resellers.search(text, limit=SHOWN)
        ]  # fmt: skip

    async def _voucher(self, text: str) -> list[Hit]:
        try:
            voucher = await self._vouchers.find(text.replace(" ", "").replace("-", ""))
        except NotFound:
            return []
        return [Hit(Kind.VOUCHER, voucher.serial, voucher.serial, "Voucher", voucher.state)]

    async def _subscriber(self, number: str) -> list[Hit]:
        try:
            subscriber = await self._subscribers.find(Mode.LIVE, number)
        except NotFound:
            return []
        return [
            Hit(
                Kind.SUBSCRIBER,
                subscriber.msisdn,
                subscriber.msisdn,
                "Subscriber of our own network",
                subscriber.status,
            )
        ]


def _order(order: Order) -> Hit:
    text = f"{order.network} {order.size or order.kind} for {order.subscriber}, {order.price}"
    return Hit(Kind.ORDER, order.reference, order.reference, text, order.state)
