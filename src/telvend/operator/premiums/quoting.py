"""Answering requests for premiums: those that came together are decided in one transaction, in plain Python, and stored.

A partner's transactionId is looked up after the quotes that are named have been locked: of two that race with the same
transactionId and the same quote, the second finds the answer of the first instead of a quote that is used.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from telvend.database.batch import AfterLostCommit, BatchTransaction, DecidedBatch, NumberBlock
from telvend.database.connections import Database, Tx, clock
from telvend.errors import InvalidInput, NotFound, ReferenceReused, TelvendError
from telvend.kit.ids import number_in, reference_of
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of
from telvend.ledger import store as ledger_store
from telvend.operator.premiums import store
from telvend.operator.premiums.model import (
    Loyalty,
    NoMobileMoney,
    Premium,
    PremiumRequest,
    QuoteRefused,
    Rate,
    calculate,
    share,
)
from telvend.operator.premiums.store import PremiumTaken, Stored, Transaction
from telvend.operator.subscribers.momo.store import Party, parties_of

PREFIX: Final = "PRM"
_NUMBERS_AT_A_TIME: Final = 500


class Rates:
    """The rates in force, as they were when they were last read."""

    def __init__(self, rates: Sequence[Rate] = ()) -> None:
        self._rates = {
            (rate.product, rate.transaction_type, rate.floor.currency.code): rate for rate in rates if rate.active
        }
        self._products = {product for product, _, _ in self._rates}

    def knows(self, product: str) -> bool:
        return product in self._products

    def of(self, product: str, transaction_type: str, currency: str) -> Rate | None:
        return self._rates.get((product, transaction_type, currency))


class Quoting:
    """`answer_all` is what the lane calls: the batch transaction of premiums. It is never called twice at once.

    `rates` gives the rates in force; `loyalty_readable` says of an MSISDN whether its loyalty can be read.
    """

    def __init__(self, database: Database, rates: Callable[[], Rates], loyalty_readable: Callable[[str], bool]) -> None:
        self._rates = rates
        self._loyalty_readable = loyalty_readable
        self._numbers = NumberBlock(store.next_numbers, _NUMBERS_AT_A_TIME)
        self._salt: bytes | None = None
        self._ours: set[int] = set()
        self._batch: BatchTransaction[PremiumRequest, Premium] = BatchTransaction(
            database,
            self._decide,
            supplies={self._numbers: len},
            again=(PremiumTaken,),  # Now that it is there, it is found.
        )

    async def close(self) -> None:
        await self._batch.close()

    async def answer_all(self, requests: list[PremiumRequest]) -> Sequence[Premium | Exception]:
        """One transaction for all of them. Raises Busy when the database is away and nothing was written."""
        self._ours.clear()
        return await self._batch.run(requests)

    async def _decide(self, tx: Tx, requests: list[PremiumRequest]) -> DecidedBatch[Premium]:
        if self._salt is None:
            self._salt = await ledger_store.installation_salt(tx)
        named = {number for request in requests if (number := quote_number(request.quote)) is not None}
        quotes = await store.lock_quotes(tx, sorted(named)) if named else {}
        transactions = {_transaction(request) for request in requests if request.transaction_id}
        known = await store.find(tx, transactions) if transactions else {}
        people = sorted({(str(r.mode), who) for r in requests for who in (r.sender, r.receiver)})
        parties = await parties_of(tx, people)
        decisions = _Decisions(await clock(tx), self._rates(), quotes, known, parties, self._loyalty_readable)
        for request in requests:
            decisions.answers.append(decisions.weigh(request, self._ours, self._numbers, self._salt))
        await decisions.write(tx)
        # What an earlier try has written, if its COMMIT was lost, is no repeat.
        self._ours |= {made.id for made in decisions.made}
        # After a lost COMMIT the quotes and transactionIds tell, also while the server is still at it: the next try waits
        # for them.
        return DecidedBatch(decisions.answers, AfterLostCommit.DECIDE_AGAIN, wrote=bool(decisions.made))


class _Decisions:
    """What one transaction is about to write, and what each caller will be told."""

    def __init__(
        self,
        now: datetime,
        rates: Rates,
        quotes: dict[int, Stored],
        known: dict[Transaction, Stored],
        parties: dict[tuple[str, str], Party],
        loyalty_readable: Callable[[str], bool],
    ) -> None:
        self._now = now
        self._rates = rates
        self._quotes = quotes
        self._known = known
        self._parties = parties
        self._loyalty_readable = loyalty_readable
        self.made: list[Stored] = []
        self.used: list[tuple[int, int]] = []
        self.answers: list[Premium | Exception] = []

    async def write(self, tx: Tx) -> None:
        """Write what was decided. Raises PremiumTaken."""
        if self.made:
            await store.insert(tx, self.made)
        if self.used:
            await store.mark_used(tx, self.used)

    def weigh(self, request: PremiumRequest, ours: set[int], numbers: NumberBlock, salt: bytes) -> Premium | Exception:
        """Decide one request: a known transactionId first, then who and what, then the quote or the rate.

        `ours` are the answers that this very call has written before its connection broke: no repeats.
        """
        before = self._known.get(_transaction(request)) if request.transaction_id else None
        if before is not None:
            if before.fingerprint != request.fingerprint:
                return ReferenceReused(request.transaction_id)
            return _told(before, request, replayed=before.id not in ours)
        try:
            made = self._new(request, numbers.peek(), salt)
        except TelvendError as error:
            return error
        numbers.take()
        self.made.append(made)
        if request.transaction_id:
            self._known[_transaction(request)] = made
        return _told(made, request, replayed=False)

    def _new(self, request: PremiumRequest, number: int, salt: bytes) -> Stored:
        quote = None if request.quote is None else self._quote(request)
        if quote is None and not self._rates.knows(request.product):
            raise NotFound("Product")
        sender = self._parties.get((str(request.mode), request.sender))
        if sender is None:
            raise NotFound("Sender")
        if (str(request.mode), request.receiver) not in self._parties:
            raise NotFound("Receiver")
        if request.amount.currency.code != sender.currency:
            raise InvalidInput("amount.unit", f"must be {sender.currency}, the sender's currency")
        if quote is None:
            terms = self._terms(request, sender)
        else:
            # What was promised stands, whatever has become of the rate; and no longer than it was promised for, or a
            # chain of quotes would keep an old price for ever.
            terms = (quote.premium_minor, quote.loyalty_generated_minor, quote.message, quote.expires_at)
            quote.used_by = number
            self.used.append((quote.id, number))
        premium_minor, generated_minor, message, expires_at = terms
        readable = self._loyalty_readable(request.sender)
        return Stored(
            id=number,
            reference=reference_of(PREFIX, number, salt),
            reseller_id=request.reseller_id,
            mode=str(request.mode),
            transaction_id=request.transaction_id or None,
            fingerprint=request.fingerprint,
            product=request.product,
            transaction_type=request.transaction_type,
            sender=request.sender,
            receiver=request.receiver,
            amount_minor=request.amount.minor,
            currency=request.amount.currency.code,
            premium_minor=premium_minor,
            loyalty_generated_minor=generated_minor,
            loyalty_balance_minor=sender.loyalty_minor + generated_minor if readable else None,
            message=message,
            created_at=self._now,
            expires_at=expires_at,
        )

    def _terms(self, request: PremiumRequest, sender: Party) -> tuple[int, int, str, datetime]:
        """By the rate: premium and points in minor units, its message, until when they are promised."""
        rate = self._rates.of(request.product, request.transaction_type, sender.currency)
        if rate is None:
            raise InvalidInput("transactionType", f"is none that {request.product} has a rate for in {sender.currency}")
        if request.sender == request.receiver and not rate.to_oneself:
            raise InvalidInput("receivingCustomerId", "must be another than the sender")
        if rate.momo_only and not sender.has_momo:
            raise NoMobileMoney
        return (
            calculate(rate, request.amount).minor,
            share(request.amount, rate.loyalty_basis_points).minor,
            rate.message,
            self._now + timedelta(seconds=rate.quote_valid_s),
        )

    def _quote(self, request: PremiumRequest) -> Stored:
        """The quote that the request names, to be used by it. Raises QuoteRefused."""
        quote = self._quotes.get(quote_number(request.quote) or 0)
        if (
            quote is None
            or quote.reference != request.quote
            or (quote.reseller_id, quote.mode) != (request.reseller_id, str(request.mode))
        ):
            raise QuoteRefused("is not a quote of yours")
        if quote.used_by is not None:
            raise QuoteRefused("was used before")
        if quote.expires_at <= self._now:
            raise QuoteRefused("has expired")
        if (quote.product, quote.transaction_type) != (request.product, request.transaction_type):
            raise QuoteRefused("was given for another product or transactionType")
        if (quote.sender, quote.receiver) != (request.sender, request.receiver):
            raise QuoteRefused("was given for other parties")
        if (quote.amount_minor, quote.currency) != (request.amount.minor, request.amount.currency.code):
            raise QuoteRefused("was given for another amount")
        return quote


def quote_number(reference: str | None) -> int | None:
    """The number inside a reference of a quote; None where the text is none."""
    if reference is None or not reference.startswith(f"{PREFIX}-"):
        return None
    return number_in(reference)


def _transaction(request: PremiumRequest) -> Transaction:
    return (request.reseller_id, str(request.mode), request.transaction_id)


def premium_of(stored: Stored) -> Premium:
    """A stored answer for somebody who does not repeat its request; what it does not keep of that is None."""
    request = PremiumRequest(
        stored.reseller_id,
        Mode(stored.mode),
        stored.transaction_id or "",
        stored.product,
        stored.transaction_type,
        stored.sender,
        stored.receiver,
        Money(stored.amount_minor, currency_of(stored.currency)),
    )
    return _told(stored, request, replayed=True)


def _told(stored: Stored, request: PremiumRequest, *, replayed: bool) -> Premium:
    currency = currency_of(stored.currency)
    loyalty = None
    if stored.loyalty_balance_minor is not None:
        loyalty = Loyalty(
            Money(stored.loyalty_generated_minor, currency),
            Money(0, currency),
            Money(stored.loyalty_balance_minor, currency),
        )
    return Premium(
        stored.reference,
        request,
        Money(stored.premium_minor, currency),
        loyalty,
        stored.message,
        stored.expires_at,
        replayed,
    )
