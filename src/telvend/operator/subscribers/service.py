"""The verbs on subscribers: add, find and change them, and show what they have.

A subscriber is one row for each mode. `msisdn` is in E.164 everywhere. What changes their balances is in other rooms:
`provisioning/`, `usage/`, `refills/`.
"""

from datetime import datetime
from typing import Final

from telvend.database.connections import Database, clock
from telvend.errors import AlreadyExists, InvalidInput, NotFound
from telvend.kit.mode import Mode
from telvend.kit.money import Currency
from telvend.kit.numbering import region_of
from telvend.kit.phone import NotAMobileNumber
from telvend.kit.text import require_text
from telvend.operator.subscribers import store
from telvend.operator.subscribers.balances import store as balances
from telvend.operator.subscribers.balances.account import in_order
from telvend.operator.subscribers.balances.model import Bucket
from telvend.operator.subscribers.balances.store import PostingLine
from telvend.operator.subscribers.model import (
    Billing,
    Subscriber,
    SubscriberBarred,
    SubscriberStatus,
    line_of,
)
from telvend.operator.subscribers.store import require_subscriber

MOST_SHOWN: Final = 1000
"""How many buckets people are shown of one subscriber."""

_LONGEST_DAYS: Final = 3650


class Subscribers:
    """See the head of this file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Who there is -----------------------------------------------------------------------------------------------------

    async def add(
        self,
        msisdn: str,
        *,
        tariff_plan: str,
        currency: Currency,
        billing: Billing = Billing.PREPAID,
        status: SubscriberStatus = SubscriberStatus.ACTIVE,
        language: str = "1",
        active_days: int = store.NEW_ACTIVE_DAYS,
        grace_days: int = store.NEW_GRACE_DAYS,
    ) -> Subscriber:
        """Add a subscriber, in both modes, with nothing yet. Return the live one. Raises InvalidInput, AlreadyExists."""
        require_text("tariff plan", tariff_plan)
        require_text("language", language)
        if not 0 <= active_days <= grace_days <= _LONGEST_DAYS:
            raise InvalidInput(
                "days", f"must be from 0 to {_LONGEST_DAYS}, the usable ones not more than the reachable ones"
            )
        try:
            country = region_of(msisdn)
        except NotAMobileNumber as error:
            raise InvalidInput("msisdn", str(error)) from None
        async with self._database.transaction() as tx:
            made = await store.insert_subscriber(
                tx,
                msisdn,
                country=country,
                currency=currency.code,
                billing=billing,
                status=status,
                tariff_plan=tariff_plan,
                language=language,
                active_days=active_days,
                grace_days=grace_days,
            )
            if len(made) < len(Mode):
                raise AlreadyExists(f"The subscriber {msisdn}")
        return next(subscriber for subscriber in made if subscriber.mode is Mode.LIVE)

    async def find(self, mode: Mode, msisdn: str) -> Subscriber:
        """Return the subscriber of this number. Raises NotFound."""
        async with self._database.connection() as tx:
            return await require_subscriber(tx, mode, msisdn)

    async def listed(
        self,
        mode: Mode,
        *,
        status: SubscriberStatus | None = None,
        currency: Currency | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[Subscriber]:
        """Return subscribers in the order of their ids, from above `after`."""
        async with self._database.connection() as tx:
            return await store.listed(
                tx, mode, status=status, currency=currency.code if currency else None, after=after, limit=limit
            )

    async def change(
        self,
        msisdn: str,
        *,
        mode: Mode | None = None,
        status: SubscriberStatus | None = None,
        billing: Billing | None = None,
        tariff_plan: str | None = None,
        language: str | None = None,
        active_until: datetime | None = None,
        grace_until: datetime | None = None,
    ) -> list[Subscriber]:
        """Change what is not None, in one mode or (None) in both. Return the subscriber in these modes.

        Raises InvalidInput, NotFound.
        """
        for field, text in (("tariff plan", tariff_plan), ("language", language)):
            if text is not None:
                require_text(field, text)
        async with self._database.transaction() as tx:
            modes = list(Mode) if mode is None else [mode]
            found, _ = await store.lock_by_number(tx, [(one, msisdn) for one in modes])
            if not found:
                raise NotFound("Subscriber")
            for subscriber in found.values():
                subscriber.status = status or subscriber.status
                subscriber.billing = billing or subscriber.billing
                subscriber.tariff_plan = tariff_plan or subscriber.tariff_plan
                subscriber.language = language or subscriber.language
                subscriber.active_until = active_until or subscriber.active_until
                subscriber.grace_until = grace_until or subscriber.grace_until
                if subscriber.grace_until < subscriber.active_until:
                    raise InvalidInput("dates", "must let the subscriber be refilled at least as long as spend")
            await store.write_subscribers(tx, list(found.values()))
        return list(found.values())

    async def migrate(self, mode: Mode, msisdn: str, tariff_plan: str) -> Subscriber:
        """Put a subscriber on another tariff plan; the same again changes nothing. Raises InvalidInput, NotFound,
        SubscriberBarred."""
        require_text("tariff plan", tariff_plan)
        async with self._database.transaction() as tx:
            subscriber = await require_subscriber(tx, mode, msisdn, lock=True)
            if subscriber.status is not SubscriberStatus.ACTIVE:
                raise SubscriberBarred(subscriber.status)
            if subscriber.tariff_plan != tariff_plan:
                subscriber.tariff_plan = tariff_plan
                await store.write_subscribers(tx, [subscriber])
        return subscriber

    # Lines ------------------------------------------------------------------------------------------------------------

    async def add_line(self, msisdn: str, line: str) -> str:
        """Give a subscriber another line, in both modes; the same again changes nothing. Return its one spelling.

        Raises InvalidInput, NotFound, AlreadyExists (somebody else's).
        """
        line = line_of(line)
        async with self._database.transaction() as tx:
            for mode in Mode:
                subscriber = await require_subscriber(tx, mode, msisdn)
                if await store.insert_line(tx, mode, line, subscriber.id) != subscriber.id:
                    raise AlreadyExists(f"The line {line} of another subscriber")
        return line

    async def lines(self, mode: Mode, msisdn: str) -> list[str]:
        """Return the subscriber's other lines. Raises NotFound."""
        async with self._database.connection() as tx:
            return await store.lines_of(tx, (await require_subscriber(tx, mode, msisdn)).id)

    # What they have ---------------------------------------------------------------------------------------------------

    async def buckets(self, mode: Mode, msisdn: str) -> tuple[tuple[Bucket, ...], datetime]:
        """Return the open buckets of every line and kind, and the moment of reading.

        Main account first, then by kind and in the order of use; of more than MOST_SHOWN the oldest. Raises NotFound.
        """
        async with self._database.connection() as tx:
            subscriber = await require_subscriber(tx, mode, msisdn)
            now = await clock(tx)
            return in_order(await balances.open_buckets(tx, subscriber.id, MOST_SHOWN), now), now

    async def postings(
        self, mode: Mode, msisdn: str, *, closed: bool = False, offset: int = 0, limit: int = 50
    ) -> list[PostingLine]:
        """Return the postings of a subscriber's buckets, newest first; `closed`: of used-up buckets too. Raises NotFound."""
        async with self._database.connection() as tx:
            subscriber = await require_subscriber(tx, mode, msisdn)
            return await balances.postings_of(tx, subscriber.id, closed=closed, offset=offset, limit=limit)

    async def postings_of_bucket(
        self, mode: Mode, msisdn: str, bucket_id: int, *, before: int | None = None, limit: int = 50
    ) -> list[PostingLine]:
        """Return the postings of one bucket, newest first, from below number `before`. Raises NotFound."""
        async with self._database.connection() as tx:
            subscriber = await require_subscriber(tx, mode, msisdn)
            return await balances.postings_of_bucket(tx, subscriber.id, bucket_id, before or 2**31 - 1, limit)
