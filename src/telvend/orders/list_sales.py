"""Selling a list: every row is checked before anything is sold, then many are placed at once, each exactly once.

    selling = ListSales(shop.orders, shop.counter, shop.resellers, shop.wallets, shop.watch.look)
    checked = await selling.check(read_rows(text), name="staff.csv", email=None, mode=Mode.LIVE)
    stopped = await selling.sell(checked.sales, Mode.LIVE, stop)       # the reason why it ended early, if it did
    async for part in selling.orders_of(checked.sales, Mode.LIVE): ...

What makes it exactly once is the reference of each row, which the placement of orders looks up under the lock of the wallet:
however often a list is sold, by however many at once, and wherever that was interrupted, a row has one order.
"""

import asyncio
import math
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from telvend.catalog.model import Airtime, Network, Product
from telvend.catalog.pauses.model import banner
from telvend.catalog.sheet import Problem
from telvend.errors import (
    Busy,
    InsufficientBalance,
    InvalidFields,
    InvalidInput,
    InvariantBroken,
    NotFound,
    NotPermitted,
    ProductUnavailable,
    SalesHalted,
    TelvendError,
)
from telvend.kit.log import get
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.kit.text import require_text
from telvend.orders.counter import CounterSales, Item
from telvend.orders.model import COUNTER, LONGEST_REFERENCE, Order, OrderState, Placement
from telvend.orders.purchase_list import (
    SHORTENED,
    DerivedReferences,
    PurchaseRow,
    amount_problem,
    is_shortened,
    number_problem,
)
from telvend.orders.service import Orders
from telvend.orders.store import RepeatKey
from telvend.resellers.model import Caller
from telvend.resellers.service import Resellers
from telvend.sales.model import SaleKey
from telvend.wallets.service import Wallets

REPEATED_WITHIN: Final = timedelta(hours=24)

AT_ONCE: Final = 512
"""So many purchases are in flight, in two parts: two batches of the lane, of which one gathers while the other is committed."""
_PARTS: Final = 2
_READ_AT_ONCE: Final = 1000
_LOOK_EVERY_S: Final = 1.0
_CALLERS_EVERY_S: Final = 5.0
_PATIENCE_S: Final = 120.0
"""How long a service that is busy is asked again."""
_LONGEST_DELAY_S: Final = 15.0

T = TypeVar("T")

_log = get(__name__)


class ListedSale(msgspec.Struct, gc=False):
    """A row that was checked. `there`: it has its order already. `error` says why it was not sold.

    `waits`: its network was paused when it was looked at last. The other rows are sold, and this one by a run after the pause.
    """

    row: PurchaseRow
    reseller_id: UUID
    email: str
    wallet_id: int
    reference: str
    recipient: str
    price: Money
    there: bool = False
    error: str = ""
    waits: bool = False


@dataclass(slots=True)
class WalletTotal:
    """What a list costs one wallet: `count` rows that are not sold yet, and `there` that are; `balance` is what it can spend."""

    email: str
    price: Money
    balance: Money
    count: int = 0
    there: int = 0

    @property
    def short(self) -> Money | None:
        """What is missing in the wallet."""
        missing = self.price.minor - self.balance.minor
        return Money(missing, self.price.currency) if missing > 0 else None


@dataclass(slots=True)
class CheckedList:
    """What a check has found. Only a list without problems may be sold.

    `repeats`: rows without a reference of their own that ask for what another row asks for, or for what was sold by hand within
    REPEATED_WITHIN.
    """

    sales: list[ListedSale] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    repeats: list[Problem] = field(default_factory=list)
    totals: list[WalletTotal] = field(default_factory=list)

    @property
    def there(self) -> int:
        return sum(total.there for total in self.totals)

    @property
    def pauses(self) -> dict[str, int]:
        """How many rows wait because of each pause, in words."""
        return dict(Counter(sale.error for sale in self.sales if sale.waits))


class ListSales:
    """See the head of this file. `look` reads what other processes have changed: catalogue, halts.

    `api` is the name below which the references of rows stand. `repeated_within`: how far back a row is compared with what was
    sold; None: only with the other rows.
    """

    def __init__(
        self,
        orders: Orders,
        counter: CounterSales,
        resellers: Resellers,
        wallets: Wallets,
        look: Callable[[], Awaitable[None]],
        *,
        at_once: int = AT_ONCE,
        patience_s: float = _PATIENCE_S,
        api: str = COUNTER,
        repeated_within: timedelta | None = REPEATED_WITHIN,
    ) -> None:
        self._orders = orders
        self._counter = counter
        self._resellers = resellers
        self._wallets = wallets
        self._look = look
        self._at_once = at_once
        self._patience_s = patience_s
        self._api = api
        self._repeated_within = repeated_within
        self._callers: dict[str, Caller | TelvendError] = {}

    # Checking ---------------------------------------------------------------------------------------------------------

    async def check(
        self,
        rows: Iterable[PurchaseRow | Problem],
        *,
        name: str,
        email: str | None,
        mode: Mode,
        advance: Callable[[int], None] = lambda _: None,
    ) -> CheckedList:
        """Check every row, and find out which are sold already.

        `name` is what the list is called, `email` who pays for the rows that do not say it. `advance` is told how many rows more
        were read. Raises Busy.
        """
        found = CheckedList()
        reading = _Reading(found, DerivedReferences(name))
        for count, row in enumerate(rows, 1):
            if isinstance(row, Problem):
                found.problems.append(row)
            else:
                await self._check_row(row, email, mode, reading)
            if count % 200 == 0:
                advance(200)
                await asyncio.sleep(0)  # Ctrl-C is heard.
        await self._find_sold(found, reading, mode)
        await self._find_repeats(found, reading, mode)
        await self._add_up(found)
        found.problems.sort(key=lambda problem: problem.line)
        found.repeats.sort(key=lambda problem: problem.line)
        return found

    async def _check_row(self, row: PurchaseRow, default_email: str | None, mode: Mode, reading: "_Reading") -> None:
        problems: dict[str, str] = {}
        email = row.email or default_email or ""
        caller: Caller | None = None
        if not email:
            problems["email"] = "is needed: who pays"
        else:
            try:
                caller = await self._caller(email, mode)
            except TelvendError as error:
                if isinstance(error, Busy):
                    raise
                problems["email"] = f"names nobody who can buy: {error}"
        if row.reference:
            try:
                require_text("reference", row.reference, LONGEST_REFERENCE)
            except InvalidInput as error:
                problems["reference"] = error.problem
            if is_shortened(row.reference):
                problems["reference"] = SHORTENED
        item: Item | None = None
        try:
            item = self._item(row, mode)
        except NotFound:
            problems["product"] = "there is no product of this code" if row.product else "is needed"
        except InvalidFields as error:
            problems |= error.problems
        if "to" in problems:
            problems["to"] = self._recipient_problem(row, mode, problems["to"])
        if "amount" in problems:
            problems["amount"] = amount_problem(row.amount) or problems["amount"]
        if problems or caller is None or item is None:
            reading.found.problems += [Problem(row.line, name, problem) for name, problem in problems.items()]
            return
        self._list(row, email, caller, item, reading)

    def _list(self, row: PurchaseRow, email: str, caller: Caller, item: Item, reading: "_Reading") -> None:
        """List a row without problems of its own, under its reference."""
        found = reading.found
        try:
            wanted = self._counter.wanted(caller, item)
        except ProductUnavailable as error:
            found.problems.append(Problem(row.line, "product", str(error)))
            return
        currency = wanted.network.currency
        wallet_id = caller.wallets.get(currency.code)
        if wallet_id is None:
            found.problems.append(Problem(row.line, "email", f"has no wallet in {currency}"))
            return
        line, buys = row.line, (caller.reseller_id, row.product, item.recipient, item.amount.minor)
        same = reading.bought.setdefault(buys, line)
        reference = row.reference
        if not reference:
            amount = str(item.amount.minor) if row.amount else ""
            reference = reading.references.next(str(caller.reseller_id), row.product, item.recipient, amount)
            if same != line:
                reading.same_as[line] = same
        earlier = reading.lines.setdefault((caller.reseller_id, reference), line)
        if earlier != line:
            found.problems.append(Problem(line, "reference", f"stands on line {earlier} already"))
            return
        price = item.amount if wanted.quote is None else wanted.quote.price
        sale = ListedSale(row, caller.reseller_id, email, wallet_id, reference, item.recipient, price)
        if wanted.quote is None:
            is_active = isinstance(item.product, Product | Airtime) and item.product.active
            sale.error = paused_text(wanted.network) if is_active else ""
            sale.waits = bool(sale.error)
            if not sale.waits:
                reading.off_sale.add(line)
            elif isinstance(item.product, Airtime):
                sale.price = item.product.price(item.amount, caller.reseller_id)
        found.sales.append(sale)

    def _item(self, row: PurchaseRow, mode: Mode) -> Item:
        return self._counter.item(mode, code=row.product, recipient=row.to.lstrip("'"), amount=row.amount or None)

    def _recipient_problem(self, row: PurchaseRow, mode: Mode, problem: str) -> str:
        """Return the problem with a recipient, worded so that it can be corrected in a spreadsheet."""
        if not row.to:
            return "is needed"
        digits = row.to.lstrip("'")
        mangled = number_problem(digits)
        if mangled is not None:
            return mangled
        try:
            self._item(msgspec.structs.replace(row, to=f"0{digits}"), mode)
        except InvalidFields as error:
            if "to" in error.problems:
                return problem
        return "has lost its leading 0, which a spreadsheet program removes: format the column as text and put it back"

    async def _find_sold(self, found: CheckedList, reading: "_Reading", mode: Mode) -> None:
        for part in _parts(found.sales):
            standing = await self._orders.under([self._key(sale, mode) for sale in part])
            for sale in part:
                order = standing.get(self._key(sale, mode))
                if order is not None:
                    sale.there, sale.price, sale.error, sale.waits = True, order.price, "", False
                    if changed := self._changed(sale, order, mode):
                        problem = (
                            f"stands for another purchase, {order.reference}, with another {' and '.join(changed)}"
                        )
                        found.problems.append(Problem(sale.row.line, "reference", problem))
                elif sale.row.line in reading.off_sale:
                    found.problems.append(Problem(sale.row.line, "product", "is not on sale now"))

    def _changed(self, sale: ListedSale, order: Order, mode: Mode) -> list[str]:
        """The columns in which a row asks for something else than the order under its reference."""
        row = sale.row
        same = {"product": order.product == row.product, "recipient": order.subscriber == sale.recipient}
        if row.amount:
            same["amount"] = order.face == self._item(row, mode).amount
        return [name for name, is_same in same.items() if not is_same]

    async def _find_repeats(self, found: CheckedList, reading: "_Reading", mode: Mode) -> None:
        own = [sale for sale in found.sales if not sale.row.reference and not sale.there]
        wanted = []
        for sale in own:
            line = sale.row.line
            if line in reading.same_as:
                problem = f"asks for the same as line {reading.same_as[line]}"
                found.repeats.append(Problem(line, "", problem))
            else:
                face = self._item(sale.row, mode).amount
                wanted.append(
                    RepeatKey(line, sale.reseller_id, sale.row.product, sale.recipient, face.minor, sale.reference)
                )
        if wanted and self._repeated_within is not None:
            since = datetime.now(UTC) - self._repeated_within
            for line, reference in (await self._orders.sold_since(self._api, mode, wanted, since)).items():
                problem = f"asks for what was sold within the last 24 hours: {reference}"
                found.repeats.append(Problem(line, "", problem))

    async def _add_up(self, found: CheckedList) -> None:
        totals: dict[int, WalletTotal] = {}
        for sale in found.sales:
            total = totals.get(sale.wallet_id)
            if total is None:
                wallets = await self._wallets.of_reseller(sale.reseller_id)
                balance = next(wallet.balance for wallet in wallets if wallet.wallet_id == sale.wallet_id)
                total = totals[sale.wallet_id] = WalletTotal(sale.email, Money(0, balance.currency), balance)
            if sale.there:
                total.there += 1
            else:
                total.count += 1
                total.price += sale.price
        found.totals = list(totals.values())

    # Selling ----------------------------------------------------------------------------------------------------------

    async def sell(
        self,
        sales: Sequence[ListedSale],
        mode: Mode,
        stop: asyncio.Event,
        advance: Callable[[int], None] = lambda _: None,
    ) -> str | None:
        """Sell what is not sold yet, in the order of the list, until it is done or `stop` is set.

        What is not sold says why in its `error`. The first row that a wallet cannot pay ends the sales from that wallet. A busy
        service is asked again, for a while. Returns why it ended early; None where everything was tried. `advance` is told how
        many more were decided. `Orders` has to be started.
        """
        waiting = deque(sale for sale in sales if not sale.there)
        spent: dict[int, str] = {}
        retried: set[int] = set()
        patience = _Patience(self._patience_s)
        looked_at = callers_at = -math.inf
        # Two parts are in flight: the next one is prepared while the lane commits the one before.
        in_flight: deque[tuple[list[ListedSale], asyncio.Future[list[Placement | str | BaseException]]]] = deque()
        busy: Busy | None = None
        ended: str | None = None
        while in_flight or (waiting and not stop.is_set() and ended is None):
            if waiting and busy is None and ended is None and len(in_flight) < _PARTS and not stop.is_set():
                part = _taken(waiting, spent, max(1, self._at_once // _PARTS), advance)
                try:
                    if time.monotonic() - looked_at >= _LOOK_EVERY_S:
                        await self._look()
                        looked_at = time.monotonic()
                    if time.monotonic() - callers_at >= _CALLERS_EVERY_S:
                        # Read again: a reseller that was suspended meanwhile buys nothing more.
                        self._callers.clear()
                        callers_at = time.monotonic()
                    await self._learn({sale.email for sale in part}, mode)
                except Busy as error:
                    busy = error
                    waiting.extendleft(reversed(part))
                else:
                    buying = asyncio.gather(*(self._buy(sale, mode) for sale in part), return_exceptions=True)
                    in_flight.append((part, buying))
                    await asyncio.sleep(0)  # Everything is handed to the lane before the next part is prepared.
                    continue
            if in_flight:
                part, buying = in_flight.popleft()
                answers = await buying
                again: list[ListedSale] = []
                for sale, answer in zip(part, answers, strict=True):
                    if isinstance(answer, Busy) and not isinstance(answer, SalesHalted):
                        busy = answer
                        retried.add(sale.row.line)
                        again.append(sale)
                    else:
                        _note(sale, answer, spent, known=sale.row.line not in retried)
                advance(len(part) - len(again))
                if len(again) < len(part):
                    patience.begin_again()
                waiting.extendleft(reversed(again))
                ended = ended or next(
                    (str(answer) for answer in answers if isinstance(answer, SalesHalted | InvariantBroken)), None
                )
            if busy is not None and not in_flight and ended is None:
                busy = None
                if not await patience.wait(stop):
                    ended = f"The service was busy for {self._patience_s:.0f} s."
        if ended is not None:
            return _stopped(waiting, ended)
        return _stopped(waiting, "It was stopped.") if waiting else None

    async def _buy(self, sale: ListedSale, mode: Mode) -> Placement | str:
        """Buy one row at the price that it was checked for; otherwise return a sentence. Raises what CounterSales.place raises."""
        caller = await self._caller(sale.email, mode)
        wanted = self._counter.wanted(caller, self._item(sale.row, mode))
        paused = paused_text(wanted.network) if wanted.quote is None else ""
        sale.waits = bool(paused)
        if paused:
            return paused
        if wanted.quote is not None and wanted.quote.price != sale.price:
            return f"The price has changed from {sale.price} to {wanted.quote.price} since the list was checked."
        return await self._counter.buy(caller, wanted, sale.reference)

    async def _learn(self, emails: Iterable[str], mode: Mode) -> None:
        """Find these resellers, one after the other, before many rows ask for the same one at once. Raises Busy."""
        for email in emails:
            with suppress(NotFound, NotPermitted):  # The rows say so.
                await self._caller(email, mode)

    async def _caller(self, email: str, mode: Mode) -> Caller:
        """The reseller with this address, remembered. Raises NotFound, NotPermitted, Busy."""
        known = self._callers.get(email)
        if known is None:
            try:
                known = await self._resellers.caller_without_key(email, self._api, mode)
            except (NotFound, NotPermitted) as error:
                known = error
            self._callers[email] = known
        if isinstance(known, TelvendError):
            raise known
        return known

    def _key(self, sale: ListedSale, mode: Mode) -> SaleKey:
        return (sale.reseller_id, self._api, mode, sale.reference)

    # Afterwards -------------------------------------------------------------------------------------------------------

    async def orders_of(
        self, sales: Sequence[ListedSale], mode: Mode
    ) -> AsyncIterator[list[tuple[ListedSale, Order | None]]]:
        """The order of each row as it stands now, part by part; None for one that was not sold. Raises Busy after a while.

        A row has the price of its order from here on.
        """
        for part in _parts(sales):
            keys = [self._key(sale, mode) for sale in part]
            standing = await self._patiently(partial(self._orders.under, keys))
            found = [(sale, standing.get(key)) for sale, key in zip(part, keys, strict=True)]
            yield [(sale, self._of_row(sale, order, mode)) for sale, order in found]

    def _of_row(self, sale: ListedSale, order: Order | None, mode: Mode) -> Order | None:
        """The order of a row, unless another purchase has taken the reference since the check: then the row is not sold."""
        if order is None or (sale.error and self._changed(sale, order, mode)):
            return None
        sale.price = order.price
        return order

    async def until_final(
        self, pending: Iterable[int], timeout_s: float, stop: asyncio.Event, advance: Callable[[int], None]
    ) -> int:
        """Wait until these orders, by number, are final or wait for a person; return how many are not, after `timeout_s` or `stop`."""
        left = list(pending)
        ends_at = time.monotonic() + timeout_s
        while left and not stop.is_set() and time.monotonic() < ends_at:
            began = time.monotonic()
            open_still: list[int] = []
            for part in _parts(left):
                found = await self._patiently(partial(self._orders.numbered, part))
                open_still += [order.id for order in found if is_pending(order)]
            advance(len(left) - len(open_still))
            left = open_still
            if left:
                # Looking takes at most half of the time.
                pause_s = min(max(0.25, time.monotonic() - began), max(0.0, ends_at - time.monotonic()))
                await _pause(stop, pause_s)
        return len(left)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        patience = _Patience(self._patience_s)
        never = asyncio.Event()
        while True:
            try:
                return await ask()
            except Busy:
                if not await patience.wait(never):
                    raise


def is_pending(order: Order) -> bool:
    """Whether an order becomes final by itself."""
    return not order.state.final and order.state is not OrderState.REVIEW


@dataclass(slots=True)
class _Reading:
    """What a check remembers of the rows before: the lines of references, of what was asked for, of what is off sale, and of rows
    without a reference that ask for the same as one before."""

    found: CheckedList
    references: DerivedReferences
    lines: dict[tuple[UUID, str], int] = field(default_factory=dict)
    bought: dict[tuple[UUID, str, str, int], int] = field(default_factory=dict)
    off_sale: set[int] = field(default_factory=set)
    same_as: dict[int, int] = field(default_factory=dict)


class _Patience:
    """Waits longer from time to time, until nothing has come of it for `limit_s`."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self.begin_again()

    def begin_again(self) -> None:
        self._since = time.monotonic()
        self._delay_s = 0.25

    async def wait(self, stop: asyncio.Event) -> bool:
        """Wait, or until `stop` is set; return False, at once, where it was long enough."""
        if time.monotonic() - self._since >= self._limit_s:
            return False
        await _pause(stop, self._delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the retries of several
        self._delay_s = min(2 * self._delay_s, _LONGEST_DELAY_S)
        return True


async def _pause(stop: asyncio.Event, delay_s: float) -> None:
    try:
        async with asyncio.timeout(delay_s):
            await stop.wait()
    except TimeoutError:
        pass


def _taken(
    waiting: deque[ListedSale], spent: dict[int, str], count: int, advance: Callable[[int], None]
) -> list[ListedSale]:
    """Take the next rows; those of wallets that are spent are passed over, and say so."""
    part: list[ListedSale] = []
    while waiting and len(part) < count:
        sale = waiting.popleft()
        if sale.wallet_id in spent:
            sale.error, sale.waits = spent[sale.wallet_id], False
            advance(1)
        else:
            part.append(sale)
    return part


def _note(sale: ListedSale, answer: Placement | str | BaseException, spent: dict[int, str], *, known: bool) -> None:
    """Note what has become of a row. `known`: it was not tried before, so an order that is found was not placed by this run."""
    if isinstance(answer, Placement):
        sale.there, sale.error = answer.replayed and known, ""
        return
    if isinstance(answer, str):
        sale.error = answer
        return
    if isinstance(answer, InsufficientBalance):
        spent.setdefault(sale.wallet_id, f"Not tried: the wallet could not pay for line {sale.row.line}.")
    if isinstance(answer, TelvendError):
        sale.error = str(answer)
        return
    if not isinstance(answer, Exception):
        raise answer
    # What a poisoned row of a batch is answered with. Whether it was sold is looked up afterwards.
    _log.error("listed_sale_failed", line=sale.row.line, exc_info=answer)
    sale.error = f"An internal error: {type(answer).__name__}."


def paused_text(network: Network) -> str:
    """Say that a network is paused; empty where it is not, or is switched off too."""
    if not network.active or network.on_sale or network.pause is None:
        return ""
    return f"{network.code} is {banner(network.pause, _moment)}"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _stopped(waiting: Iterable[ListedSale], reason: str) -> str:
    for sale in waiting:
        sale.error, sale.waits = reason, False
    return reason


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _READ_AT_ONCE):
        yield items[start : start + _READ_AT_ONCE]
