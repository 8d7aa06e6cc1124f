"""Who may try a PIN now: the rules of the lock-out, without a database.

Wrong PINs in a row are counted for the subscriber, the partner and the source that they came from:

    subscriber   5 in a row    the balance that is to be loaded
    partner     50 in a row    a reseller, in one mode
    source      50 in a row    an address with the name of the system behind it

Who reaches the limit is locked: for 30 s the first time, twice as long each time after, 24 h at most. While one of the three
is locked nothing is looked up and nothing is counted. A right PIN clears all three; what is counted is forgotten after 24
hours in which nothing happened.

A source knows which partner sent how many of its wrong PINs. When a partner is locked, his are taken off: he is stopped, and
his neighbours behind the same proxy are not. Several partners who guess together do lock the source.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Final

import msgspec

from telvend.subscribers.vouchers.model import LockedOut


class Guarded(StrEnum):
    """For whom wrong PINs are counted."""

    SUBSCRIBER = "subscriber"
    PARTNER = "partner"
    SOURCE = "source"


LIMITS: Final = {Guarded.SUBSCRIBER: 5, Guarded.PARTNER: 50, Guarded.SOURCE: 50}
FIRST_DELAY: Final = timedelta(seconds=30)
LONGEST_DELAY: Final = timedelta(hours=24)
FORGOTTEN_AFTER: Final = timedelta(hours=24)

_MOST_DOUBLINGS: Final = 20


def delay(strikes: int) -> timedelta:
    """How long the lock lasts at this strike, counted from 1."""
    return min(FIRST_DELAY * (1 << min(strikes - 1, _MOST_DOUBLINGS)), LONGEST_DELAY)


class Guard(msgspec.Struct):
    """What is counted for one subject. `shares`: of a source, how many of its wrong PINs each partner sent."""

    kind: Guarded
    subject: str
    wrong: int = 0
    strikes: int = 0
    locked_until: datetime | None = None
    last_at: datetime | None = None
    shares: dict[str, int] = msgspec.field(default_factory=dict)
    changed: bool = False

    @property
    def clear(self) -> bool:
        """Whether there is nothing to remember."""
        return not self.wrong and not self.strikes and self.locked_until is None

    def locked_for(self, now: datetime) -> timedelta:
        """How much longer; nothing where it is not locked."""
        return max(self.locked_until - now, timedelta()) if self.locked_until is not None else timedelta()

    def tries_left(self) -> int:
        """How many wrong PINs until the next lock."""
        return LIMITS[self.kind] - self.wrong

    def count(self, now: datetime) -> bool:
        """One more wrong PIN. Answers whether that has locked it."""
        self.forget_if_quiet(now)
        self.wrong += 1
        self.last_at = now
        self.changed = True
        return self._lock_at_limit(now)

    def count_from(self, partner: str, now: datetime, *, partner_locked: bool) -> bool:
        """The same for a source: one more of this partner's, or, since he is locked now, none of his any more."""
        self.forget_if_quiet(now)
        if partner_locked:
            self.shares.pop(partner, None)
        else:
            self.shares[partner] = self.shares.get(partner, 0) + 1
        self.wrong = sum(self.shares.values())
        self.last_at = now
        self.changed = True
        return self._lock_at_limit(now)

    def reset(self) -> None:
        """A right PIN: everything is forgotten."""
        if not self.clear:
            self.wrong = self.strikes = 0
            self.locked_until = None
            self.shares = {}
            self.changed = True

    def forget_if_quiet(self, now: datetime) -> None:
        """Forget what happened too long ago: counted from the last wrong PIN, or from the end of the lock."""
        quiet_since = max((at for at in (self.last_at, self.locked_until) if at is not None), default=now)
        if now - quiet_since >= FORGOTTEN_AFTER:
            self.reset()

    def _lock_at_limit(self, now: datetime) -> bool:
        if self.wrong < LIMITS[self.kind]:
            return False
        self.strikes += 1
        self.wrong = 0
        self.shares = {}
        self.locked_until = now + delay(self.strikes)
        return True


class Guards(msgspec.Struct, frozen=True):
    """The three that one PIN is tried under."""

    subscriber: Guard
    partner: Guard
    source: Guard

    def __iter__(self) -> Iterator[Guard]:
        return iter((self.subscriber, self.partner, self.source))

    def mind(self, now: datetime) -> None:
        """Raises LockedOut while any of the three is locked."""
        longest = max(guard.locked_for(now) for guard in self)
        if longest > timedelta():
            raise LockedOut(ceil(longest.total_seconds()))

    def wrong(self, now: datetime) -> tuple[Guard, ...]:
        """Count a wrong PIN for all three. Answers those whom it has locked."""
        subscriber_locked = self.subscriber.count(now)
        partner_locked = self.partner.count(now)
        source_locked = self.source.count_from(self.partner.subject, now, partner_locked=partner_locked)
        return tuple(
            guard
            for guard, locked in zip(self, (subscriber_locked, partner_locked, source_locked), strict=True)
            if locked
        )

    def right(self) -> None:
        """A right PIN clears all three."""
        for guard in self:
            guard.reset()
