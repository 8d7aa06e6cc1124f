"""How many calls are in flight at each provider, deliveries and requeries together, and who may begin another.

The router counts deliveries alone. A provider's `concurrency` limits both, so they are counted here as well.

    with places.reserve() as reserved:          # everything reserved is released when the block raises
        choice = reserved.delivery(wanted)
"""

from collections import Counter
from types import TracebackType
from typing import Final

from telvend.fulfilment.routing import Assignment, Choice, RetryLater, Router, RoutingRequest
from telvend.kit.clock import Clock

FULL_S: Final = 1.0
"""When orders come back that found their provider full. There is a backlog then, and each round through it costs writes."""

_LOOK_PAST_FULL_S: Final = 1.0
_LOOK_PAST_FULL: Final = 8
# How long the providers' own limits are remembered.
_LOOK_AT_PROVIDERS_S: Final = 5.0


class Places:
    """The places at the providers of one process."""

    def __init__(self, router: Router, clock: Clock) -> None:
        self._router = router
        self._clock = clock
        self._in_flight: Counter[str] = Counter()
        self._concurrencies: dict[str, int] = {}
        self._look_at_providers_at = 0.0
        self._look_past_full_at = 0.0

    @property
    def in_flight(self) -> Counter[str]:
        """The calls that are in flight or about to begin, by provider."""
        return +self._in_flight

    def room(self) -> int:
        """Return how many orders may be claimed before every provider is full."""
        now = self._clock.monotonic()
        if now >= self._look_at_providers_at:
            self._look_at_providers_at = now + _LOOK_AT_PROVIDERS_S
            self._concurrencies = {health.provider: health.concurrency for health in self._router.snapshot()}
        room = sum(max(0, limit - self._in_flight[name]) for name, limit in self._concurrencies.items())
        if room == 0 and now >= self._look_past_full_at:
            # Orders that nobody serves, or whose provider is no longer set up, must not wait behind a full one for ever.
            self._look_past_full_at = now + _LOOK_PAST_FULL_S
            room = _LOOK_PAST_FULL
        return room

    def reserve(self) -> "Reserved":
        """Begin to reserve places for the orders of one claim."""
        return Reserved(self)

    def take_delivery(self, wanted: RoutingRequest) -> Choice:
        """Choose a provider. A `Chosen` holds a place until `released`, or until its call has ended."""
        choice = self._router.choose(wanted)
        if not isinstance(choice, Assignment):
            return choice
        name = choice.provider.name
        if self._in_flight[name] >= choice.provider.traits.concurrency:
            # The router counts deliveries; with the requeries that are in flight there is no place left.
            self._router.release(choice)
            return RetryLater(FULL_S, full(name))
        self._in_flight[name] += 1
        return choice

    def take_requery(self, name: str) -> bool:
        """Take a place for a requery; False where the provider is full, or takes no more calls in this second.

        One that is not set up here is never full.
        """
        provider = self._router.provider(name)
        if provider is not None and self._in_flight[name] >= provider.traits.concurrency:
            return False
        if not self._router.may_requery(name):
            return False
        self._in_flight[name] += 1
        return True

    def release(self, place: Assignment | str) -> None:
        """Give a place back that was not used: a delivery's, or that of a requery at the provider of this name."""
        if isinstance(place, Assignment):
            self._in_flight[place.provider.name] -= 1
            self._router.release(place)
        else:
            self._in_flight[place] -= 1

    def ended(self, name: str) -> None:
        """Count a call as ended."""
        self._in_flight[name] -= 1


class Reserved:
    """The places that were taken for the orders of one claim; released when the block raises, so that it did not commit."""

    __slots__ = ("_places", "_taken")

    def __init__(self, places: Places) -> None:
        self._places = places
        self._taken: list[Assignment | str] = []

    def __enter__(self) -> "Reserved":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.release_all()

    def release_all(self) -> None:
        """Give every place back."""
        for place in self._taken:
            self._places.release(place)
        self._taken.clear()

    def delivery(self, wanted: RoutingRequest) -> Choice:
        """Choose a provider and reserve the place."""
        choice = self._places.take_delivery(wanted)
        if isinstance(choice, Assignment):
            self._taken.append(choice)
        return choice

    def requery(self, name: str) -> bool:
        """Reserve a place for a requery; False where the provider is full."""
        taken = self._places.take_requery(name)
        if taken:
            self._taken.append(name)
        return taken

    def release(self, chosen: Assignment) -> None:
        """Give one place back: nothing is delivered after all."""
        self._taken.remove(chosen)
        self._places.release(chosen)


def full(name: str) -> str:
    """Why an order waits for a provider, for the operator."""
    return f"{name} has as many calls in flight as it takes"
