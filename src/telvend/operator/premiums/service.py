"""The verbs of premiums: answer a partner, make a quote, keep the rates."""

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from telvend.database.connections import Database, Tx, increment_revision
from telvend.database.lane import Lane
from telvend.errors import InvalidInput, NotFound
from telvend.kit.clock import Clock
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.operator.entitlements.service import TOPIC
from telvend.operator.premiums import store
from telvend.operator.premiums.jobs import QuoteRetention
from telvend.operator.premiums.model import Premium, PremiumRequest, QuoteRefused, Rate
from telvend.operator.premiums.quoting import Quoting, Rates, premium_of, quote_number
from telvend.operator.subscribers.momo.store import parties_of

LONGEST_QUOTE_S: Final = 90 * 86_400
"""No answer is forgotten while it can be used as a quote."""

_LARGEST_PERCENT: Final = 100
_PRODUCT: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_TYPE: Final = re.compile(r"[A-Z0-9_]{1,32}", re.ASCII)
_PERCENT: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,2})?", re.ASCII)
_NOT_PRODUCTS: Final = frozenset({"refill", "fri", "provision"})
"""Fixed words of the address, which can never be asked for as products."""


class Premiums:
    """Premiums of one shop. `load` the rates and `start` it inside the event loop before asking.

    `loyalty_readable` says of an MSISDN whether its loyalty can be read now; where it cannot, the answer has none.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        retention_days: int = 365,
        loyalty_readable: Callable[[str], bool] = lambda _: True,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        self._database = database
        self._rates = Rates()
        self._answering = Quoting(database, lambda: self._rates, loyalty_readable)
        self.forgetting = QuoteRetention(database, clock, retention_days, runtime)
        self.lane: Lane[PremiumRequest, Premium] = Lane("premiums", self._answering.answer_all, runtime=runtime)

    def start(self) -> None:
        self.lane.start()
        self.forgetting.start()

    async def close(self) -> None:
        """Answer who is waiting, then give the connection back."""
        await self.forgetting.close()
        await self.lane.close()
        await self._answering.close()

    async def load(self, tx: Tx) -> None:
        """Take the rates as they are now."""
        self._rates = Rates(await store.rates(tx))

    # Asking -----------------------------------------------------------------------------------------------------------

    async def premium(self, request: PremiumRequest) -> Premium:
        """What the cover costs. No money moves.

        The same request under the same transactionId gives the same answer, whatever has changed since. Where the request
        names a quote, what was quoted is the answer, and the quote is used up.

        Raises InvalidInput, ReferenceReused, NotFound (sender, receiver, product), NoMobileMoney, QuoteRefused, Busy.
        """
        if request.amount.minor <= 0:
            raise InvalidInput("amount.value", "must be greater than zero")
        return await self.lane.submit(request)

    async def quote(
        self,
        reseller_id: UUID,
        mode: Mode,
        *,
        product: str,
        transaction_type: str,
        sender: str,
        receiver: str,
        amount: str,
    ) -> Premium:
        """Make a quote for a reseller to use. `amount` is text such as `4.50`, in the sender's currency.

        Raises what `premium` raises.
        """
        async with self._database.connection() as tx:
            await self.load(tx)
            party = (await parties_of(tx, [(str(mode), sender)])).get((str(mode), sender))
        if party is None:
            raise NotFound("Sender")
        request = PremiumRequest(
            reseller_id=reseller_id,
            mode=mode,
            transaction_id="",
            product=product,
            transaction_type=transaction_type,
            sender=sender,
            receiver=receiver,
            amount=_amount("amount", amount, party.currency),
        )
        return await self.premium(request)

    async def quoted(self, reseller_id: UUID, mode: Mode, reference: str) -> Premium:
        """What was answered under this reference of the reseller's, used or not. Raises QuoteRefused."""
        number = quote_number(reference)
        found = None
        if number is not None:
            async with self._database.connection() as tx:
                found = await store.quote_of(tx, number)
        if found is None or (found.reference, found.reseller_id, found.mode) != (reference, reseller_id, str(mode)):
            raise QuoteRefused("is not a quote of yours")
        return premium_of(found)

    def knows(self, product: str) -> bool:
        """Whether there is a rate for this product."""
        return self._rates.knows(product)

    # Rates ------------------------------------------------------------------------------------------------------------

    async def rates(self, *, product: str | None = None, currency: str | None = None) -> list[Rate]:
        """The rates, in force or not, by product, transaction type and currency."""
        async with self._database.connection() as tx:
            found = await store.rates(tx)
        code = None if currency is None else currency.upper()
        return [
            rate
            for rate in found
            if product in (None, rate.product) and (code is None or rate.floor.currency.code == code)
        ]

    async def set_rate(
        self,
        product: str,
        transaction_type: str,
        currency: str,
        *,
        percent: str | None = None,
        floor: str | None = None,
        cap: str | None = None,
        loyalty_percent: str | None = None,
        quote_valid_s: int | None = None,
        to_oneself: bool | None = None,
        momo_only: bool | None = None,
        message: str | None = None,
        active: bool | None = None,
    ) -> Rate:
        """Make a rate, or change what is given of one. Quotes that were given keep what they say.

        `percent` and `loyalty_percent` are text with at most two decimals, `floor` and `cap` amounts such as `4.50`; an
        empty `cap` means none. Raises InvalidInput.
        """
        if not _PRODUCT.fullmatch(product) or product.lower() in _NOT_PRODUCTS:
            raise InvalidInput("product", "must be 1 to 64 letters, digits, underscores, dots and dashes")
        if not _TYPE.fullmatch(transaction_type):
            raise InvalidInput("type", "must be 1 to 32 capital letters, digits and underscores, such as TRANSFER")
        if quote_valid_s is not None and not 1 <= quote_valid_s <= LONGEST_QUOTE_S:
            raise InvalidInput("valid", f"must be from 1 to {LONGEST_QUOTE_S} seconds")
        nothing = _amount("currency", "0", currency)
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            rate = await store.rate_of(tx, product, transaction_type, nothing.currency.code)
            if rate is None:
                if percent is None:
                    raise InvalidInput("percent", "is needed for a new rate")
                rate = Rate(product, transaction_type, 0, nothing, None, 0, 900, False, False, "", True)
            given: dict[str, Any] = {
                "basis_points": None if percent is None else _basis_points("percent", percent),
                "floor": None if floor is None else _amount("floor", floor, currency),
                "loyalty_basis_points": (
                    None if loyalty_percent is None else _basis_points("loyalty-percent", loyalty_percent)
                ),
                "quote_valid_s": quote_valid_s,
                "to_oneself": to_oneself,
                "momo_only": momo_only,
                "message": message,
                "active": active,
            }
            rate = replace(rate, **{name: value for name, value in given.items() if value is not None})
            if cap is not None:
                rate = replace(rate, cap=_amount("cap", cap, currency) if cap else None)
            if rate.cap is not None and rate.cap.minor < rate.floor.minor:
                raise InvalidInput("cap", f"must not be less than the floor, {rate.floor}")
            await store.write_rate(tx, rate)
        return rate


def _amount(field: str, text: str, currency: str) -> Money:
    try:
        known = currency_of(currency)
    except ValueError as error:
        raise InvalidInput("currency", str(error)) from None
    try:
        return Money.parse(text.strip(), known)
    except ValueError as error:
        raise InvalidInput(field, str(error)) from None


def _basis_points(field: str, percent: str) -> int:
    if not _PERCENT.fullmatch(percent) or Decimal(percent) > _LARGEST_PERCENT:
        raise InvalidInput(field, f"must be from 0 to {_LARGEST_PERCENT}, with at most two decimals")
    return int(Decimal(percent) * 100)
