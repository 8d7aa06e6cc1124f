"""The rules of one subscriber's balances, without a database: give, use, keep for later, let expire.

An `Account` is a subscriber whose row this transaction has locked, with open buckets. Every verb checks first and then
changes buckets and gathers postings; `store.py` writes what has changed. One that raises leaves everything as it was.

The order in which buckets are used is total, so that the same history always gives the same balances:

    eligible          of the kind and line, begun (or beginning with its first use), not over, with something free
    priority          the lower first
    soonest expiry    one that never expires last; one that begins with its first use as if it began now
    oldest            by the moment it was given
    id

Source of the words and of the order: docs/explain/balances.md.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from telvend.errors import InvalidInput, InvariantBroken
from telvend.operator.subscribers.balances.model import (
    Bucket,
    BucketKind,
    Grant,
    MaximumCredit,
    NotEnough,
    Posting,
    PostingKind,
    Reservation,
    ReservationPart,
    ReservationState,
)
from telvend.operator.subscribers.model import Subscriber, SubscriberBarred, SubscriberStatus

MAXIMUM: Final = 10**15
"""The most that a bucket holds, in its unit. It leaves room for sums in 64 bits."""

LONGEST_USABLE: Final = timedelta(days=365)
LONGEST_REACHABLE: Final = timedelta(days=545)
"""How far ahead of now refills move the two clocks at most."""

_KINDS: Final = {kind: place for place, kind in enumerate(BucketKind)}
_NEVER: Final = datetime.max.replace(tzinfo=UTC)

MAIN_ACCOUNT: Final = "Main account"
MOBILE_MONEY: Final = "Mobile money"


@dataclass(slots=True)
class Account:
    """A locked subscriber with open buckets: all that the verbs to come may touch (store.py says which are loaded).

    `next_id` gives the number of a new bucket; `now` is the database's clock.
    """

    subscriber: Subscriber
    buckets: list[Bucket]
    now: datetime
    next_id: Callable[[], int]
    postings: list[Posting] = field(default_factory=list)

    @property
    def touched(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.postings) or self.subscriber.changed or any(bucket.changed for bucket in self.buckets)

    def written(self) -> None:
        """Everything up to here stands in the database."""
        self.postings = []
        self.subscriber.changed = False
        for bucket in self.buckets:
            bucket.changed = bucket.new = False

    # Giving -----------------------------------------------------------------------------------------------------------

    def require_status(self) -> None:
        """Raises SubscriberBarred where nothing may be changed: by status, or because the number has been given up."""
        if self.subscriber.status is not SubscriberStatus.ACTIVE:
            raise SubscriberBarred(self.subscriber.status)
        if self.subscriber.grace_until <= self.now:
            raise SubscriberBarred("out of reach: the time to refill is over")

    def give(self, grants: Iterable[Grant], kind: PostingKind, cause: str) -> None:
        """Give all of it, or nothing: the main account grows, everything else gets a bucket of its own.

        Raises SubscriberBarred, MaximumCredit.
        """
        self.require_status()
        wanted = list(grants)
        more = sum(grant.amount for grant in wanted if grant.main)
        main = self.main if more else None
        if any(grant.amount > MAXIMUM for grant in wanted) or more + (main.balance if main else 0) > MAXIMUM:
            raise MaximumCredit
        for grant in wanted:
            bucket = self.main if grant.main else None
            if bucket is None:
                bucket = self._new(grant)
            self._post(bucket, kind, grant.amount, cause)

    @property
    def main(self) -> Bucket | None:
        """The main account; a subscriber who was never refilled has none yet."""
        return next((bucket for bucket in self.buckets if bucket.main), None)

    def _new(self, grant: Grant) -> Bucket:
        starts_at = None if grant.first_use else self.now
        bucket = Bucket(
            id=self.next_id(),
            kind=grant.kind,
            name=MAIN_ACCOUNT if grant.main else grant.name,
            balance=0,
            line=grant.line,
            main=grant.main,
            # Many products make the main account grow; it came from none of them.
            product="" if grant.main else grant.product,
            priority=grant.priority,
            validity_days=grant.validity_days,
            starts_at=starts_at,
            expires_at=_end(starts_at, grant.validity_days),
            created_at=self.now,
            new=True,
        )
        self.buckets.append(bucket)
        return bucket

    def open_momo(self) -> Bucket:
        """The bucket of mobile money, empty. There must be none yet."""
        bucket = self._new(Grant(BucketKind.MOMO, 0, MOBILE_MONEY))
        bucket.changed = True
        return bucket

    def move_clocks(self, active_days: int, grace_days: int) -> bool:
        """Move both clocks ahead by so many days from now or from where they stand, if that is later.

        Answers whether days were dropped because they did not fit under the maximum.
        """
        subscriber = self.subscriber
        usable, capped_usable = _ahead(subscriber.active_until, self.now, active_days, LONGEST_USABLE)
        reachable, capped_reachable = _ahead(subscriber.grace_until, self.now, grace_days, LONGEST_REACHABLE)
        if (usable, reachable) != (subscriber.active_until, subscriber.grace_until):
            subscriber.active_until, subscriber.grace_until = usable, max(usable, reachable)
            subscriber.changed = True
        return capped_usable or capped_reachable

    # Using ------------------------------------------------------------------------------------------------------------

    def eligible(self, kind: BucketKind, line: str = "") -> list[Bucket]:
        """The buckets that may be used for `kind`, in the order in which they are."""
        found = [
            bucket
            for bucket in self.buckets
            if bucket.kind is kind and bucket.line == line and _eligible(bucket, self.now)
        ]
        return sorted(found, key=lambda bucket: rank(bucket, self.now))

    def consume(self, kind: BucketKind, amount: int, cause: str, *, line: str = "") -> list[Posting]:
        """Use `amount`, all of it or nothing. Answers what was taken from which bucket.

        Raises InvalidInput, SubscriberBarred, NotEnough.
        """
        taken = self._choose(kind, amount, line)
        first = len(self.postings)
        for bucket, part in taken:
            self._begin(bucket)
            self._post(bucket, PostingKind.CONSUME, -part, cause)
        return self.postings[first:]

    def reserve(self, kind: BucketKind, amount: int, *, line: str = "") -> list[ReservationPart]:
        """Keep `amount` for later, all of it or nothing: what is kept nobody else can use.

        Raises InvalidInput, SubscriberBarred, NotEnough.
        """
        parts = []
        for place, (bucket, part) in enumerate(self._choose(kind, amount, line), 1):
            self._begin(bucket)
            bucket.reserved += part
            bucket.changed = True
            parts.append(ReservationPart(place, bucket.id, part))
        return parts

    def capture(self, reservation: Reservation, amount: int, cause: str) -> None:
        """Use `amount` of what a reservation keeps; the rest goes back. The reservation has ended then.

        Raises InvalidInput (it has ended, or keeps less).
        """
        self._require_held(reservation)
        if not 0 < amount <= reservation.amount:
            raise InvalidInput("amount", f"must be from 1 to {reservation.amount}")
        left = amount
        for part in sorted(reservation.parts, key=lambda part: part.place):
            bucket = self._bucket(part.bucket_id)
            used = min(left, part.amount)
            bucket.reserved -= part.amount
            bucket.changed = True
            if used:
                self._post(bucket, PostingKind.CAPTURE, -used, cause)
            left -= used
        reservation.captured = amount
        _ended(reservation, ReservationState.CAPTURED)
        self.expire()

    def release(self, reservation: Reservation, state: ReservationState = ReservationState.RELEASED) -> None:
        """Give back what a reservation keeps. Raises InvalidInput (it has ended)."""
        self._require_held(reservation)
        for part in reservation.parts:
            bucket = self._bucket(part.bucket_id)
            bucket.reserved -= part.amount
            bucket.changed = True
        _ended(reservation, state)
        self.expire()

    def expire(self) -> None:
        """Take away what was not used in time. What is reserved stays until its reservation has ended."""
        for bucket in self.buckets:
            if bucket.open and bucket.over(self.now):
                if bucket.free:
                    self._post(bucket, PostingKind.EXPIRE, -bucket.free, "expired")
                elif not bucket.balance:
                    bucket.open, bucket.changed = False, True

    def adjust(self, bucket: Bucket, balance: int, cause: str) -> None:
        """Make a bucket hold `balance`, as an operator says. Raises InvalidInput (reserved, or too much)."""
        if not bucket.reserved <= balance <= MAXIMUM:
            raise InvalidInput("balance", f"must be from {bucket.reserved} to {MAXIMUM}")
        if balance != bucket.balance:
            self._post(bucket, PostingKind.ADJUST, balance - bucket.balance, cause)

    def _choose(self, kind: BucketKind, amount: int, line: str) -> list[tuple[Bucket, int]]:
        if amount <= 0:
            raise InvalidInput("amount", "must be more than nothing")
        self.require_status()
        if self.subscriber.active_until <= self.now:
            raise SubscriberBarred("out of time: a refill is needed before anything can be used")
        found = self.eligible(kind, line)
        available = sum(bucket.free for bucket in found)
        if available < amount:
            raise NotEnough(kind, amount, available)
        taken = []
        for bucket in found:
            part = min(amount, bucket.free)
            taken.append((bucket, part))
            amount -= part
            if not amount:
                break
        return taken

    def _begin(self, bucket: Bucket) -> None:
        """A bucket that begins with its first use begins now."""
        if bucket.starts_at is None:
            bucket.starts_at = self.now
            bucket.expires_at = _end(self.now, bucket.validity_days)
            bucket.changed = True

    def _post(self, bucket: Bucket, kind: PostingKind, change: int, cause: str) -> None:
        bucket.balance += change
        if not bucket.reserved <= bucket.balance <= MAXIMUM:
            raise InvariantBroken(f"bucket {bucket.id} would hold {bucket.balance}, {bucket.reserved} of it reserved")
        bucket.postings += 1
        bucket.changed = True
        bucket.open = bucket.balance > 0 or bucket.main or bucket.kind is BucketKind.MOMO
        self.postings.append(Posting(bucket.id, bucket.postings, kind, change, bucket.balance, cause))

    def _bucket(self, bucket_id: int) -> Bucket:
        found = next((bucket for bucket in self.buckets if bucket.id == bucket_id), None)
        if found is None:
            raise InvariantBroken(f"bucket {bucket_id} keeps a reservation and is not open")
        return found

    def _require_held(self, reservation: Reservation) -> None:
        if reservation.state is not ReservationState.HELD:
            raise InvalidInput("reference", f"names a reservation that is {reservation.state}")


def rank(bucket: Bucket, now: datetime) -> tuple[int, datetime, datetime, int]:
    """The place of a bucket in the order of use: the head of this file, from the priority on."""
    ends_at = bucket.expires_at
    if bucket.starts_at is None:
        ends_at = _end(now, bucket.validity_days)
    return (bucket.priority, ends_at or _NEVER, bucket.created_at or now, bucket.id)


def why(bucket: Bucket, after: Bucket | None, now: datetime) -> str:
    """Why a bucket stands where it does in the order of use, as it follows from the one before it."""
    if after is None:
        return "the first"
    if bucket.priority != after.priority:
        return f"priority {bucket.priority} comes after {after.priority}"
    if rank(bucket, now)[1] != rank(after, now)[1]:
        return "ends later" if rank(bucket, now)[1] != _NEVER else "never ends"
    if bucket.created_at != after.created_at:
        return "given later"
    return "the same, with a higher number"


def explained(buckets: Sequence[Bucket], now: datetime) -> dict[int, tuple[int | None, str]]:
    """For each bucket its place in the order of use of its kind and line, and why it has that; None: it is not used now."""
    found: dict[int, tuple[int | None, str]] = {bucket.id: (None, _why_not(bucket, now)) for bucket in buckets}
    lines: dict[tuple[BucketKind, str], list[Bucket]] = {}
    for bucket in buckets:
        if _eligible(bucket, now):
            lines.setdefault((bucket.kind, bucket.line), []).append(bucket)
    for of_kind in lines.values():
        before: Bucket | None = None
        for place, bucket in enumerate(sorted(of_kind, key=lambda bucket: rank(bucket, now)), 1):
            found[bucket.id] = (place, why(bucket, before, now))
            before = bucket
    return found


def in_order(buckets: Iterable[Bucket], now: datetime) -> tuple[Bucket, ...]:
    """Main account first, then by kind, then what can be used in the order of use, then what begins later."""
    return tuple(
        sorted(
            buckets,
            key=lambda bucket: (
                not bucket.main,
                _KINDS[bucket.kind],
                bucket.starts_at is not None and bucket.starts_at > now,
                rank(bucket, now),
            ),
        )
    )


def _eligible(bucket: Bucket, now: datetime) -> bool:
    return bucket.free > 0 and (bucket.active(now) or (bucket.starts_at is None and bucket.open))


def _why_not(bucket: Bucket, now: datetime) -> str:
    if bucket.over(now):
        return "over"
    if bucket.starts_at is not None and bucket.starts_at > now:
        return f"begins {bucket.starts_at:%F %T}"
    return "all of it is reserved" if bucket.balance else "empty"


def _ended(reservation: Reservation, state: ReservationState) -> None:
    reservation.state = state
    reservation.due_at = None


def _end(starts_at: datetime | None, validity_days: int | None) -> datetime | None:
    if starts_at is None or validity_days is None:
        return None
    return starts_at + timedelta(days=validity_days)


def _ahead(clock: datetime, now: datetime, days: int, longest: timedelta) -> tuple[datetime, bool]:
    """The clock after a refill of so many days, and whether some of them did not fit. It never goes back."""
    wanted = max(clock, now + timedelta(days=days))
    most = max(clock, now + longest)
    return min(wanted, most), wanted > most
