"""Who may try a PIN now: the rules of the lock-out, without a database.

Wrong PINs in a row are counted for the subscriber, the partner at the source that they came from, and the source:

    subscriber   5 in a row    the balance that is to be loaded
    partner     50 in a row    a reseller in one mode, at one source
    source      50 in a row    a client's address, whoever sends from it

A subscriber or a partner who reaches the limit is locked: for 30 s the first time, twice as long each time after, 24 h at most.
While one of the two is locked nothing is looked up and nothing is counted. A right PIN clears all three; what is counted is
forgotten after 24 hours in which nothing happened.

A source is never locked: it may be a proxy that all partners share. Whenever it reaches the limit an alarm is raised, and the
count begins again.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Final

import msgspec

from telvend.operator.vouchers.model import LockedOut


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
    """What is counted for one subject. `strikes`: how often the limit was reached since the last right PIN."""

    kind: Guarded
    subject: str
    wrong: int = 0
    strikes: int = 0
    locked_until: datetime | None = None
    last_at: datetime | None = None
    changed: bool = False

    @property
    def clear(self) -> bool:
        """Whether there is nothing to remember."""
        return not self.wrong and not self.strikes and self.locked_until is None

    @property
    def locks(self) -> bool:
        """Whether it is locked at its limit. A source is not, also where the version before had locked it."""
        return self.kind is not Guarded.SOURCE

    def locked_for(self, now: datetime) -> timedelta:
        """How much longer; nothing where it is not locked."""
        if self.locked_until is None or not self.locks:
            return timedelta()
        return max(self.locked_until - now, timedelta())

    def tries_left(self) -> int:
        """How many wrong PINs until the limit."""
        return max(LIMITS[self.kind] - self.wrong, 0)

    def count(self, now: datetime) -> bool:
        """Count one more wrong PIN. Returns whether the limit is reached."""
        self.forget_if_quiet(now)
        self.wrong += 1
        self.last_at = now
        self.changed = True
        if self.wrong < LIMITS[self.kind]:
            return False
        self.strikes += 1
        self.wrong = 0
        self.locked_until = now + delay(self.strikes) if self.locks else None
        return True

    def reset(self) -> None:
        """A right PIN: everything is forgotten."""
        if not self.clear:
            self.wrong = self.strikes = 0
            self.locked_until = None
            self.changed = True

    def forget_if_quiet(self, now: datetime) -> None:
        """Forget what happened too long ago: counted from the last wrong PIN, or from the end of the lock."""
        quiet_since = max((at for at in (self.last_at, self.locked_until) if at is not None), default=now)
        if now - quiet_since >= FORGOTTEN_AFTER:
            self.reset()


class Guards(msgspec.Struct, frozen=True):
    """The three that one PIN is tried under."""

    subscriber: Guard
    partner: Guard
    source: Guard

    def __iter__(self) -> Iterator[Guard]:
        return iter((self.subscriber, self.partner, self.source))

    def mind(self, now: datetime) -> None:
        """Raises LockedOut while subscriber or partner is locked."""
        longest = max(guard.locked_for(now) for guard in self)
        if longest > timedelta():
            raise LockedOut(ceil(longest.total_seconds()))

    def wrong(self, now: datetime) -> tuple[Guard, ...]:
        """Count a wrong PIN for all three. Returns those that it has brought to their limit."""
        return tuple(guard for guard in self if guard.count(now))

    def right(self) -> None:
        """A right PIN clears all three."""
        for guard in self:
            guard.reset()
