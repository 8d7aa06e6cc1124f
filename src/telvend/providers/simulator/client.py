"""How the pretended upstream is called: the smallest complete provider. Copy its shape to write another.

A client translates what happens on the way; `wire.py` translates what was said. Three things can happen on the way:

    the connection was refused      nothing can have arrived             NotSent
    nothing came back in time       it may have arrived                  Unknown
    an answer                       whatever `wire.outcome_of` reads in it
"""

from telvend.catalog.kinds import KINDS
from telvend.kit.clock import Clock
from telvend.providers.contract import Delivery, NotSent, Outcome, ProviderTraits, Unknown
from telvend.providers.simulator.book import Book, BookUnavailable
from telvend.providers.simulator.table import LONGEST_S
from telvend.providers.simulator.upstream import PretendedUpstream
from telvend.providers.simulator.wire import outcome_of


class Simulator:
    """A provider that pretends. `table.py` says which number does what; with `steered=False` all are delivered at once.

    Several may stand side by side under different names, and share a book. `live` says whether it delivers live
    orders too, or only those of test keys. `timeout_s` is how long it stays patient
    with an upstream that says nothing.
    """

    def __init__(
        self,
        name: str,
        book: Book,
        clock: Clock,
        *,
        live: bool = True,
        steered: bool = True,
        timeout_s: float = 3.0,
        concurrency: int = 600,
    ) -> None:
        self._name = name
        self._upstream = PretendedUpstream(name, book, clock, steered=steered, patience_s=timeout_s)
        # The upstream closes a reference when it is asked about one that it does not know, so that its word can be
        # believed at once: settles_after_s is 0. Its slowest answers keep the line open, longer than timeout_s.
        self._traits = ProviderTraits(
            timeout_s=timeout_s + LONGEST_S + 2,
            settles_after_s=0,
            concurrency=concurrency,
            test_mode=True,
            live_mode=live,
            pretends=True,
            kinds=frozenset(KINDS),
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def traits(self) -> ProviderTraits:
        return self._traits

    async def deliver(self, delivery: Delivery) -> Outcome:
        try:
            reply = await self._upstream.deliver(delivery)
        except ConnectionRefusedError:
            return NotSent("connection refused")
        except TimeoutError:
            return Unknown("timed out")
        except BookUnavailable:
            return Unknown("its book is out of reach", ours=True)
        return outcome_of(reply)

    async def requery(self, delivery: Delivery) -> Outcome:
        try:
            reply = await self._upstream.requery(delivery)
        except (ConnectionRefusedError, TimeoutError):
            # It is the question that did not arrive: this says nothing of the delivery.
            return Unknown("could not be asked")
        except BookUnavailable:
            return Unknown("its book is out of reach", ours=True)
        return outcome_of(reply)

    async def close(self) -> None:
        """Nothing to give back: the book belongs to whoever opened it."""
