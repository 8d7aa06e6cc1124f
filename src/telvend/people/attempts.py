"""Limits on attempts to sign in, to sign up, to reset: by account and by address, for all nodes of a shop.

Each key is a bucket that fills with every attempt and drains with time. An account has one bucket for each network from which it
is tried, and one for all networks that it was never used from. So a stranger who guesses fills the second one, and its owner
still signs in from where that has worked before; from elsewhere a reset by e-mail opens the way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Final

from telvend.database.connections import Tx
from telvend.kit.clock import Clock
from telvend.kit.secret import digest
from telvend.people import store
from telvend.people.model import TooManyAttempts


@dataclass(frozen=True, slots=True)
class AttemptLimit:
    """`most` attempts at once, and another one after every `each`."""

    name: str
    most: int
    each: timedelta


SIGN_IN_OF_ADDRESS: Final = AttemptLimit("sign-in address", 30, timedelta(seconds=10))
"""Wrong sign-ins of one client address. Those that succeed are given back: many people share the address of a proxy."""
SIGN_IN_FROM_NETWORK: Final = AttemptLimit("sign-in pair", 10, timedelta(minutes=1))
"""Wrong sign-ins to one account from one network."""
SIGN_IN_FROM_ELSEWHERE: Final = AttemptLimit("sign-in account", 20, timedelta(minutes=2))
"""Wrong sign-ins to one account from all networks where it was never used."""
SIGN_UP_OF_ADDRESS: Final = AttemptLimit("sign-up address", 20, timedelta(minutes=1))
RESET_OF_ADDRESS: Final = AttemptLimit("reset address", 20, timedelta(minutes=1))
RESET_OF_ACCOUNT: Final = AttemptLimit("reset account", 3, timedelta(hours=1))
"""So few that nobody's mailbox is filled through us."""
VERIFICATION_OF_ACCOUNT: Final = AttemptLimit("verification account", 3, timedelta(minutes=10))
CODE_OF_ACCOUNT: Final = AttemptLimit("code account", 6, timedelta(minutes=1))
"""Wrong codes of a second factor, by somebody who knows the password."""
PASSWORD_OF_SESSION: Final = AttemptLimit("password session", 10, timedelta(minutes=1))
"""Wrong passwords where somebody who is signed in confirms an act."""


class Attempts:
    """Takes and gives back attempts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def take(self, tx: Tx, limit: AttemptLimit, whose: str) -> None:
        """Take one attempt. Raises TooManyAttempts; `tx` is to be rolled back then, so that what is refused fills nothing."""
        now = self._clock.now()
        next_at = await store.take_attempt(tx, _key(limit, whose), now, limit.each, limit.most)
        if next_at is not None:
            raise TooManyAttempts(max(1, ceil((next_at - now).total_seconds())))

    async def give_back(self, tx: Tx, limit: AttemptLimit, whose: str) -> None:
        """Give an attempt back that has succeeded."""
        await store.give_attempt_back(tx, _key(limit, whose), limit.each)

    async def forget(self, tx: Tx, taken: Sequence[tuple[AttemptLimit, str]]) -> None:
        """Forget what failed before it has succeeded."""
        await store.forget_attempts(tx, [_key(limit, whose) for limit, whose in taken], self._clock.now())


def _key(limit: AttemptLimit, whose: str) -> bytes:
    return digest(f"{limit.name} {whose}")
