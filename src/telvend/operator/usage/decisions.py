"""What one transaction of the usage lane knows, decides and writes. The rules of balances are `balances/account.py`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from telvend.database.connections import Tx
from telvend.errors import InvalidInput, NotFound, ReferenceReused, TelvendError
from telvend.kit.mode import Mode
from telvend.operator.subscribers.balances.account import Account
from telvend.operator.subscribers.balances.model import Bucket, BucketKind, NotEnough, Reservation, ReservationState
from telvend.operator.subscribers.balances.store import BucketUse, bucket_numbers, load_accounts, write_accounts
from telvend.operator.subscribers.model import Subscriber, SubscriberBarred
from telvend.operator.subscribers.momo import store as momo_store
from telvend.operator.usage import store
from telvend.operator.usage.model import Adjust, Capture, Consume, Done, Release, Request, Reserve, Taken
from telvend.operator.usage.store import Consumption


class NotAllLoaded(Exception):
    """Somebody has more buckets than were loaded, and they are needed."""


@dataclass(slots=True)
class Decisions:
    """What one transaction knows and is about to do.

    `cut`: subscribers of whom not everything may be loaded; `blocked`: those whose mobile money may not be used.
    """

    subscribers: dict[tuple[Mode, str], Subscriber]
    now: datetime
    accounts: dict[int, Account]
    consumed: dict[tuple[int, str], Consumption]
    reservations: dict[tuple[int, str], Reservation]
    cut: set[int]
    blocked: set[int]
    new: list[Consumption] = field(default_factory=list)
    changed: dict[tuple[int, str], Reservation] = field(default_factory=dict)

    @classmethod
    async def load(
        cls,
        tx: Tx,
        requests: list[Request],
        subscribers: dict[tuple[Mode, str], Subscriber],
        now: datetime,
        most: int | None,
    ) -> "Decisions":
        """What these need; at most `most` buckets of each kind. Raises NotAllLoaded."""
        here = [(request, found) for request in requests if (found := subscribers.get((request.mode, request.msisdn)))]
        consumed = [(found.id, request.reference) for request, found in here if isinstance(request, Consume)]
        reserved = [
            (found.id, request.reference) for request, found in here if isinstance(request, Reserve | Capture | Release)
        ]
        by_id = {subscriber.id: subscriber for subscriber in subscribers.values()}
        overdue = await store.overdue_reservations(tx, by_id, now)
        named = await store.find_reservations(tx, dict.fromkeys(reserved)) if reserved else []
        reservations = {(item.subscriber_id, item.reference): item for item in [*named, *overdue]}
        wanted = {part.bucket_id for item in reservations.values() if _held(item) for part in item.parts}
        wanted |= {request.bucket_id for request, _ in here if isinstance(request, Adjust)}
        uses = {
            BucketUse(found.id, request.kind, request.line)
            for request, found in here
            if isinstance(request, Consume | Reserve)
        }
        momo = {use.subscriber_id for use in uses if use.kind is BucketKind.MOMO}
        accounts = await load_accounts(tx, by_id, now, bucket_numbers(), uses=uses, buckets=wanted, most=most)
        decisions = cls(
            subscribers,
            now,
            accounts,
            await store.find_consumptions(tx, dict.fromkeys(consumed)) if consumed else {},
            reservations,
            {key for key, account in accounts.items() if most is not None and len(account.buckets) >= most},
            await momo_store.blocked(tx, momo) if momo else set(),
        )
        # What goes back to a bucket that is loaded anyway would be used before buckets that are not and come first.
        if any(item.subscriber_id in decisions.cut for item in reservations.values() if _held(item)):
            raise NotAllLoaded
        for item in overdue:
            decisions.let_go(item, ReservationState.EXPIRED)
        return decisions

    def answer(self, request: Request) -> Done | Exception:
        """Decide one request. Raises NotAllLoaded."""
        subscriber = self.subscribers.get((request.mode, request.msisdn))
        if subscriber is None:
            return NotFound("Subscriber")
        try:
            match request:
                case Consume():
                    return self._consume(request, subscriber)
                case Reserve():
                    return self._reserve(request, subscriber)
                case Capture():
                    return self._capture(request, subscriber)
                case Release():
                    return self._release(request, subscriber)
                case Adjust():
                    return self._adjust(request, subscriber)
        except NotEnough as error:
            if subscriber.id in self.cut:
                raise NotAllLoaded from error
            return error
        except TelvendError as error:
            return error

    def _consume(self, request: Consume, subscriber: Subscriber) -> Done:
        known = self.consumed.get((subscriber.id, request.reference))
        if known is not None:
            _require_same(request.reference, (known.kind, known.amount), request)
            return Done(subscriber, replayed=True)
        self._require_not_blocked(request)
        account = self.accounts[subscriber.id]
        postings = account.consume(request.kind, request.amount, request.reference, line=request.line)
        consumption = Consumption(subscriber.id, request.reference, request.kind, request.amount)
        self.consumed[subscriber.id, request.reference] = consumption
        self.new.append(consumption)
        return Done(subscriber, _named(account, [(posting.bucket_id, -posting.change) for posting in postings]))

    def _reserve(self, request: Reserve, subscriber: Subscriber) -> Done:
        key = (subscriber.id, request.reference)
        account = self.accounts[subscriber.id]
        known = self.reservations.get(key)
        if known is not None:
            _require_same(request.reference, (known.kind, known.amount), request)
            return Done(subscriber, reservation=known, replayed=True)
        self._require_not_blocked(request)
        parts = account.reserve(request.kind, request.amount, line=request.line)
        made = Reservation(
            id=0,
            subscriber_id=subscriber.id,
            reference=request.reference,
            kind=request.kind,
            amount=request.amount,
            captured=0,
            state=ReservationState.HELD,
            due_at=self.now + timedelta(seconds=request.hold_s),
            parts=parts,
        )
        self.reservations[key] = self.changed[key] = made
        return Done(subscriber, _named(account, [(part.bucket_id, part.amount) for part in parts]), made)

    def _capture(self, request: Capture, subscriber: Subscriber) -> Done:
        found = self._reservation(request.reference, subscriber)
        amount = found.amount if request.amount is None else request.amount
        if request.kind not in (None, found.kind):
            raise InvalidInput("amount", f"must be of {found.kind}, as what was reserved")
        if found.state is ReservationState.CAPTURED and found.captured == amount:
            return Done(subscriber, reservation=found, replayed=True)
        account = self.accounts[subscriber.id]
        first = len(account.postings)
        account.capture(found, amount, request.reference)
        self.changed[subscriber.id, request.reference] = found
        taken = [
            (posting.bucket_id, -posting.change) for posting in account.postings[first:] if posting.kind == "capture"
        ]
        return Done(subscriber, _named(account, taken), found)

    def _release(self, request: Release, subscriber: Subscriber) -> Done:
        found = self._reservation(request.reference, subscriber)
        if found.state in (ReservationState.RELEASED, ReservationState.EXPIRED):
            return Done(subscriber, reservation=found, replayed=True)
        self.let_go(found, ReservationState.RELEASED)
        return Done(subscriber, reservation=found)

    def _adjust(self, request: Adjust, subscriber: Subscriber) -> Done:
        account = self.accounts[subscriber.id]
        bucket = next((bucket for bucket in account.buckets if bucket.id == request.bucket_id), None)
        if bucket is None:
            raise NotFound("Bucket")
        if bucket.kind is not request.kind:
            raise InvalidInput("balance", f"must be of {bucket.kind}, as the bucket")
        before = bucket.balance
        account.adjust(bucket, request.balance, request.reference)
        return Done(subscriber, (Taken(bucket.id, bucket.name, before - bucket.balance),))

    def _require_not_blocked(self, request: Consume | Reserve) -> None:
        """Raises SubscriberBarred; the subscriber's status is the first reason that is named."""
        subscriber_id = self.subscribers[request.mode, request.msisdn].id
        if request.kind is BucketKind.MOMO and subscriber_id in self.blocked:
            self.accounts[subscriber_id].require_status()
            raise SubscriberBarred("blocked for mobile money")

    def _reservation(self, reference: str, subscriber: Subscriber) -> Reservation:
        """The reservation; one whose deadline has passed has gone back. Raises NotFound."""
        found = self.reservations.get((subscriber.id, reference))
        if found is None:
            raise NotFound("Reservation")
        if _held(found) and found.due_at is not None and found.due_at <= self.now:
            self.let_go(found, ReservationState.EXPIRED)
        return found

    def let_go(self, reservation: Reservation, state: ReservationState) -> None:
        """Give back what a reservation keeps."""
        self.accounts[reservation.subscriber_id].release(reservation, state)
        self.changed[reservation.subscriber_id, reservation.reference] = reservation

    async def write(self, tx: Tx) -> None:
        """Write down what was decided."""
        await write_accounts(tx, self.accounts.values())
        if self.new:
            await store.write_consumptions(tx, self.new, self.now)
        if self.changed:
            await store.write_reservations(tx, list(self.changed.values()), self.now)


def _held(reservation: Reservation) -> bool:
    return reservation.state is ReservationState.HELD


def _require_same(reference: str, known: tuple[str, int], request: Consume | Reserve) -> None:
    if known != (request.kind, request.amount):
        raise ReferenceReused(reference)


def _named(account: Account, taken: Iterable[tuple[int, int]]) -> tuple[Taken, ...]:
    buckets: dict[int, Bucket] = {bucket.id: bucket for bucket in account.buckets}
    return tuple(Taken(bucket_id, buckets[bucket_id].name, amount) for bucket_id, amount in taken)
