"""The verbs on subscribers: add, find and change them, give and use what they have, deliver to them, read their plans.

    subscribers = Subscribers(database, offering, clock)
    subscribers.start()       # in a server: lanes and the sweeper; a command does without

A subscriber is one row for each mode. `msisdn` is in E.164 everywhere.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

from telvend.database.connections import Database, Tx
from telvend.errors import AlreadyExists, InvalidInput, NotFound
from telvend.kit.clock import Clock
from telvend.kit.mode import Mode
from telvend.kit.money import Currency
from telvend.kit.phone import NotAMobileNumber, region_of
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.kit.secret import Secret, digest, random_text
from telvend.operator.entitlements.model import Fault, FaultyPart
from telvend.operator.entitlements.service import Offering
from telvend.operator.plans import store as reading_store
from telvend.operator.plans.model import Plans, PlansWanted
from telvend.operator.plans.service import Reading, in_order, momo_of
from telvend.operator.plans.store import PostingLine
from telvend.operator.provisioning.service import (
    Answer,
    Delivering,
    DeliveryState,
    NetworkDelivery,
    Refusal,
    fingerprint_of,
)
from telvend.operator.subscribers import store
from telvend.operator.subscribers.account import MAXIMUM
from telvend.operator.subscribers.model import (
    Billing,
    Bucket,
    Grant,
    Kind,
    MaximumCredit,
    MomoAccount,
    MomoChange,
    Reservation,
    Status,
    Subscriber,
    SubscriberBarred,
    line_of,
    mind_text,
)
from telvend.operator.usage import store as using_store
from telvend.operator.usage.jobs import Sweeper
from telvend.operator.usage.service import Adjust, Capture, Consume, Done, Release, Reserve, Using, mind_reference

MOST_SHOWN: Final = 1000
"""How many buckets people are shown of one subscriber."""

LONGEST_HOLD_S: Final = 7 * 24 * 3600
_LONGEST_DAYS: Final = 3650
_AUTHORIZATION_LENGTH: Final = 32


class Subscribers:
    """See the head of this file."""

    def __init__(
        self,
        database: Database,
        offering: Offering,
        clock: Clock,
        *,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        self._database = database
        self._offering = offering
        self._delivering = Delivering(database, runtime=runtime)
        self._using = Using(database, runtime=runtime)
        self._reading = Reading(database, lambda: offering.snapshot, runtime=runtime)
        self.sweeper = Sweeper(database, clock, runtime=runtime)

    def start(self) -> None:
        """Begin to serve and to sweep; from inside the event loop."""
        self._delivering.start()
        self._using.start()
        self._reading.start()
        self.sweeper.start()

    async def close(self) -> None:
        """Serve who is waiting, take nobody else, end."""
        await self.sweeper.close()
        await self._reading.close()
        await self._using.close()
        await self._delivering.close()

    # Who there is -----------------------------------------------------------------------------------------------------

    async def add(
        self,
        msisdn: str,
        *,
        tariff_plan: str,
        currency: Currency,
        billing: Billing = Billing.PREPAID,
        status: Status = Status.ACTIVE,
        language: str = "1",
        usable_days: int = store.NEW_USABLE_DAYS,
        reachable_days: int = store.NEW_REACHABLE_DAYS,
    ) -> Subscriber:
        """Add a subscriber, in both modes, with nothing yet. Answers the live one. Raises InvalidInput, AlreadyExists."""
        mind_text("tariff plan", tariff_plan)
        mind_text("language", language)
        if not 0 <= usable_days <= reachable_days <= _LONGEST_DAYS:
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
                usable_days=usable_days,
                reachable_days=reachable_days,
            )
            if len(made) < len(Mode):
                raise AlreadyExists(f"The subscriber {msisdn}")
        return next(subscriber for subscriber in made if subscriber.mode is Mode.LIVE)

    async def find(self, mode: Mode, msisdn: str) -> Subscriber:
        """The subscriber of this number. Raises NotFound."""
        async with self._database.connection() as tx:
            return await _existing(tx, mode, msisdn)

    async def listed(
        self,
        mode: Mode,
        *,
        status: Status | None = None,
        currency: Currency | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[Subscriber]:
        """Subscribers in the order in which they came, those after the id `after`."""
        async with self._database.connection() as tx:
            return await store.listed(
                tx, mode, status=status, currency=currency.code if currency else None, after=after, limit=limit
            )

    async def change(
        self,
        msisdn: str,
        *,
        mode: Mode | None = None,
        status: Status | None = None,
        billing: Billing | None = None,
        tariff_plan: str | None = None,
        language: str | None = None,
        usable_until: datetime | None = None,
        reachable_until: datetime | None = None,
    ) -> list[Subscriber]:
        """Change what is not None, in one mode or (None) in both. Answers the subscriber in these modes.

        Raises InvalidInput, NotFound.
        """
        for field, text in (("tariff plan", tariff_plan), ("language", language)):
            if text is not None:
                mind_text(field, text)
        async with self._database.transaction() as tx:
            modes = list(Mode) if mode is None else [mode]
            ids = await store.find_ids(tx, [(one, msisdn) for one in modes])
            found, _ = await store.lock_subscribers(tx, ids.values())
            if not found:
                raise NotFound("Subscriber")
            for subscriber in found.values():
                subscriber.status = status or subscriber.status
                subscriber.billing = billing or subscriber.billing
                subscriber.tariff_plan = tariff_plan or subscriber.tariff_plan
                subscriber.language = language or subscriber.language
                subscriber.usable_until = usable_until or subscriber.usable_until
                subscriber.reachable_until = reachable_until or subscriber.reachable_until
                if subscriber.reachable_until < subscriber.usable_until:
                    raise InvalidInput("dates", "must let the subscriber be refilled at least as long as spend")
            await store.write_subscribers(tx, list(found.values()))
        return list(found.values())

    async def migrate(self, mode: Mode, msisdn: str, tariff_plan: str) -> Subscriber:
        """Put a subscriber on another tariff plan; the same again changes nothing. Raises InvalidInput, NotFound,
        SubscriberBarred."""
        mind_text("tariff plan", tariff_plan)
        async with self._database.transaction() as tx:
            subscriber = await _existing(tx, mode, msisdn, lock=True)
            if subscriber.status is not Status.ACTIVE:
                raise SubscriberBarred(subscriber.status)
            if subscriber.tariff_plan != tariff_plan:
                subscriber.tariff_plan = tariff_plan
                await store.write_subscribers(tx, [subscriber])
        return subscriber

    # Lines ------------------------------------------------------------------------------------------------------------

    async def add_line(self, msisdn: str, line: str) -> str:
        """Give a subscriber another line, in both modes; the same again changes nothing. Answers how it is spelt.

        Raises InvalidInput, NotFound, AlreadyExists (somebody else's).
        """
        line = line_of(line)
        async with self._database.transaction() as tx:
            for mode in Mode:
                subscriber = await _existing(tx, mode, msisdn)
                if await store.insert_line(tx, mode, line, subscriber.id) != subscriber.id:
                    raise AlreadyExists(f"The line {line} of another subscriber")
        return line

    async def lines(self, mode: Mode, msisdn: str) -> list[str]:
        """The subscriber's other lines. Raises NotFound."""
        async with self._database.connection() as tx:
            return await store.lines_of(tx, (await _existing(tx, mode, msisdn)).id)

    # Mobile money -----------------------------------------------------------------------------------------------------

    async def momo(self, mode: Mode, msisdn: str, change: MomoChange, *, renew: bool = False) -> Secret | None:
        """Give a subscriber mobile money, or change what it is.

        Answers what partners send as `x-authorization`, this once: when the account is new, or to be given another one.
        Raises InvalidInput, NotFound.
        """
        columns = {
            (name if name == "blocked" else f"{name}_minor"): value
            for name, value in asdict(change).items()
            if value is not None and name != "balance"
        }
        for name, value in asdict(change).items():
            if value is not None and not 0 <= value <= MAXIMUM:
                raise InvalidInput(name.replace("_", " "), "must not be negative, and less than can be counted")
        authorization = Secret(random_text(_AUTHORIZATION_LENGTH))
        sealed = digest(authorization.reveal())
        async with self._database.transaction() as tx:
            subscriber = await _existing(tx, mode, msisdn)
            subscribers, now = await store.lock_subscribers(tx, [subscriber.id])
            if now is None:
                raise NotFound("Subscriber")
            made = await store.insert_momo(tx, subscriber.id, sealed)
            if renew and not made:
                columns["authorization_digest"] = sealed
            if columns:
                await store.change_momo(tx, subscriber.id, columns)
            await self._set_momo_balance(tx, subscribers, now, subscriber.id, change.balance)
        return authorization if made or renew else None

    async def _set_momo_balance(
        self, tx: Tx, subscribers: dict[int, Subscriber], now: datetime, subscriber_id: int, balance: int | None
    ) -> None:
        numbers = store.bucket_numbers()
        await numbers.provide(tx, 1)
        accounts = await store.load_accounts(tx, subscribers, now, numbers)
        account = accounts[subscriber_id]
        bucket = await store.momo_bucket(tx, subscriber_id)
        if bucket is None:
            bucket = account.open_momo()
        else:
            account.buckets.append(bucket)
        if balance is not None:
            account.adjust(bucket, balance, "mobile money")
        await store.write_accounts(tx, accounts.values())

    async def momo_state(self, mode: Mode, msisdn: str) -> MomoAccount | None:
        """The subscriber's mobile money, None for who has none. Raises NotFound."""
        async with self._database.connection() as tx:
            await _existing(tx, mode, msisdn)
            (row,) = await reading_store.read_momo(tx, [{"place": 0, "mode": mode, "msisdn": msisdn}])
        return momo_of(row)

    async def set_momo_blocked(self, mode: Mode, msisdn: str, blocked: bool) -> None:
        """Block a subscriber's mobile money, or let it go again. Raises NotFound, also for who has none."""
        async with self._database.transaction() as tx:
            subscriber = await _existing(tx, mode, msisdn)
            if not await store.change_momo(tx, subscriber.id, {"blocked": blocked}):
                raise NotFound("Mobile money of this subscriber")

    # What they have ---------------------------------------------------------------------------------------------------

    async def grant(self, mode: Mode, msisdn: str, grants: Sequence[Grant], reference: str) -> bool:
        """Give something by hand, once for each reference of the subscriber. Returns whether it had been given before.

        Raises InvalidInput, NotFound, SubscriberBarred, MaximumCredit, ReferenceReused, Busy.
        """
        mind_reference(reference)
        subscriber = await self.find(mode, msisdn)
        await self._mind_lines(subscriber, {grant.line for grant in grants})
        answer = await self.deliver(
            NetworkDelivery(
                reference=f"grant {mode} {msisdn} {reference}",
                msisdn=msisdn,
                country=subscriber.country,
                currency=subscriber.currency,
                grants=tuple(grants),
                mode=mode,
                creates=False,
                fingerprint=fingerprint_of(grants),
                forgets=True,
            )
        )
        if answer.state is DeliveryState.DELIVERED:
            return answer.replayed
        if answer.reason is Refusal.FULL:
            raise MaximumCredit
        raise SubscriberBarred((await self.find(mode, msisdn)).status)

    async def consume(
        self, mode: Mode, msisdn: str, kind: Kind, amount: int, reference: str, *, line: str = ""
    ) -> Done:
        """Use so much, from the buckets in their order, once for each reference of the subscriber; all of it or nothing.

        Raises InvalidInput, NotFound, SubscriberBarred, NotEnough, ReferenceReused, Busy.
        """
        mind_reference(reference)
        return await self._using.lane.serve(Consume(mode, msisdn, reference, kind, amount, line))

    async def reserve(
        self, mode: Mode, msisdn: str, kind: Kind, amount: int, reference: str, hold_s: float, *, line: str = ""
    ) -> Done:
        """Keep so much for `hold_s` seconds, once for each reference of the subscriber; then it goes back by itself.

        Raises what `consume` raises.
        """
        mind_reference(reference)
        if not 1 <= hold_s <= LONGEST_HOLD_S:
            raise InvalidInput("time", f"must be from 1 to {LONGEST_HOLD_S} seconds")
        return await self._using.lane.serve(Reserve(mode, msisdn, reference, kind, amount, hold_s, line))

    async def capture(
        self, mode: Mode, msisdn: str, reference: str, amount: int | None = None, kind: Kind | None = None
    ) -> Done:
        """Use what is reserved, or (`amount`, which is of `kind`) a part of it; the rest goes back.

        Raises NotFound, InvalidInput (it has ended, is less, or of another kind), Busy.
        """
        return await self._using.lane.serve(Capture(mode, msisdn, reference, amount, kind))

    async def release(self, mode: Mode, msisdn: str, reference: str) -> Done:
        """Give back what is reserved. Raises NotFound, InvalidInput (it was used), Busy."""
        return await self._using.lane.serve(Release(mode, msisdn, reference))

    async def adjust(self, mode: Mode, msisdn: str, bucket_id: int, kind: Kind, balance: int, reason: str) -> Done:
        """Make a bucket of this kind hold so much. Raises InvalidInput, NotFound, Busy."""
        mind_reference(reason)
        return await self._using.lane.serve(Adjust(mode, msisdn, reason, bucket_id, kind, balance))

    async def buckets(self, mode: Mode, msisdn: str) -> tuple[tuple[Bucket, ...], datetime]:
        """The open buckets of every line and kind: main account first, then by kind and in the order of use; and the
        moment for which that is so. Of more than MOST_SHOWN the oldest. Raises NotFound."""
        async with self._database.connection() as tx:
            subscriber = await _existing(tx, mode, msisdn)
            now = await reading_store.clock(tx)
            return in_order(await reading_store.open_buckets(tx, subscriber.id, MOST_SHOWN), now), now

    async def reservations(self, mode: Mode, msisdn: str) -> list[Reservation]:
        """What is kept for sessions that are under way, oldest first. Raises NotFound."""
        async with self._database.connection() as tx:
            return await using_store.held_reservations(tx, (await _existing(tx, mode, msisdn)).id)

    async def postings(
        self, mode: Mode, msisdn: str, *, closed: bool = False, offset: int = 0, limit: int = 50
    ) -> list[PostingLine]:
        """Every change of what a subscriber has, newest first; `closed`: of what is used up, too. Raises NotFound."""
        async with self._database.connection() as tx:
            subscriber = await _existing(tx, mode, msisdn)
            return await reading_store.postings_of(tx, subscriber.id, closed=closed, offset=offset, limit=limit)

    async def postings_of_bucket(
        self, mode: Mode, msisdn: str, bucket_id: int, *, before: int | None = None, limit: int = 50
    ) -> list[PostingLine]:
        """Every change of one bucket, newest first, from below number `before`. Raises NotFound."""
        async with self._database.connection() as tx:
            subscriber = await _existing(tx, mode, msisdn)
            return await reading_store.postings_of_bucket(tx, subscriber.id, bucket_id, before or 2**31 - 1, limit)

    async def _mind_lines(self, subscriber: Subscriber, lines: set[str]) -> None:
        if lines - {""}:
            known = await self.lines(subscriber.mode, subscriber.msisdn)
            if not lines - {""} <= set(known):
                raise NotFound("Line")

    # For others -------------------------------------------------------------------------------------------------------

    async def plans(self, wanted: PlansWanted) -> Plans:
        """What a subscriber has, for partners. Needs `start`.

        Raises NotFound (no such subscriber or line), NotPermitted (mobile money without a right proof), Busy (no part
        could be read).
        """
        return await self._reading.plans(wanted)

    async def deliver(self, delivery: NetworkDelivery) -> Answer:
        """Give what the shop has sold, exactly once for each reference. Raises ReferenceReused, and Busy: then nobody
        knows, and `ask` tells."""
        return await self._delivering.deliver(delivery)

    async def ask(self, reference: str) -> Answer:
        """What became of a delivery; one that nobody has heard of is closed now, and never takes place. Raises Busy."""
        return await self._delivering.ask(reference)

    async def fault(self, msisdn: str, part: FaultyPart, how: Fault | None) -> None:
        """Make a part of a subscriber's plans fail, in both modes, or (None) work again. Raises NotFound."""
        await self.find(Mode.LIVE, msisdn)
        await self._offering.set_fault(msisdn, part, how)


async def _existing(tx: Tx, mode: Mode, msisdn: str, *, lock: bool = False) -> Subscriber:
    found = await store.find_subscriber(tx, mode, msisdn, lock=lock)
    if found is None:
        raise NotFound("Subscriber")
    return found
