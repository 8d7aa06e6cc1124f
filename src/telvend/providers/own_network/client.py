"""How our own network is called: in this process, without a line that could be slow or broken in between.

the network is busy         it may have been given all the same: the answer of a commit can get lost     Unknown
a product that says nothing of what it is                     nothing was asked of the network           Refused
an answer                   whatever `wire.outcome_of` reads in it
"""

from collections.abc import Sequence
from typing import Protocol

from telvend.config import OWN_NETWORK
from telvend.errors import Busy, InvalidInput
from telvend.kit import log
from telvend.operator.entitlements.service import Entitlements
from telvend.operator.provisioning.model import DeliveryAnswer, NetworkDelivery
from telvend.providers.contract import Delivery, Outcome, ProviderTraits, Reason, Refused, Unknown
from telvend.providers.own_network.wire import NetworkRequests, outcome_of

NAME = OWN_NETWORK

_log = log.get(__name__)


class OperatorSide(Protocol):
    """What is needed here of `operator/provisioning`. A reference is delivered at most once; asking closes an unknown one."""

    async def deliver_all(self, deliveries: Sequence[NetworkDelivery]) -> Sequence[DeliveryAnswer | Exception]:
        """Deliver these. Returns the answer or the error of each, in the same order. Raises Busy: unknown until a requery."""

    async def requery(self, reference: str) -> DeliveryAnswer:
        """Raises Busy."""


class OwnNetwork:
    """Serves every network of the catalogue, for live keys only: play money makes nobody a subscriber.

    `creates_subscribers`: a number that is not known becomes a subscriber; else it is refused.
    """

    def __init__(
        self, network: OperatorSide, offering: Entitlements, *, creates_subscribers: bool = True, concurrency: int = 600
    ) -> None:
        self._network = network
        self._offering = offering
        self._creates_subscribers = creates_subscribers
        # The network closes a reference that it is asked about and does not know, so that its word can be believed at
        # once, also while a delivery that has timed out is still waiting for its turn there.
        self._traits = ProviderTraits(timeout_s=15, settles_after_s=0, concurrency=concurrency, pretends=True)

    @property
    def name(self) -> str:
        return NAME

    @property
    def traits(self) -> ProviderTraits:
        return self._traits

    async def deliver(self, delivery: Delivery) -> Outcome:
        (outcome,) = await self.deliver_all([delivery])
        return outcome

    async def deliver_all(self, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        """See DeliversTogether: all of them are one transaction of the network."""
        outcomes: list[Outcome | None] = []
        wanted: list[NetworkDelivery] = []
        requests = NetworkRequests(self._offering, creates=self._creates_subscribers)
        for delivery in deliveries:
            try:
                wanted.append(requests.of(delivery))
                outcomes.append(None)
            except InvalidInput as error:
                outcomes.append(Refused(Reason.NOT_SOLD, f"{delivery.product}: {error}"))
        answers: Sequence[DeliveryAnswer | Exception] = ()
        if wanted:
            try:
                answers = await self._network.deliver_all(wanted)
            except Busy as error:
                answers = [error] * len(wanted)
        said = iter(answers)
        return [_outcome_of(next(said)) if outcome is None else outcome for outcome in outcomes]

    async def requery(self, delivery: Delivery) -> Outcome:
        try:
            return outcome_of(await self._network.requery(delivery.reference))
        except Busy:
            return Unknown("the network was too busy to be asked", ours=True)

    async def close(self) -> None:
        """Nothing to give back: the network belongs to whoever opened it."""


def _outcome_of(answer: DeliveryAnswer | Exception) -> Outcome:
    if isinstance(answer, DeliveryAnswer):
        return outcome_of(answer)
    if isinstance(answer, Busy):
        return Unknown("the network was busy", ours=True)
    # A bug: as a call of one delivery would, it says so.
    _log.error("provider_raised", provider=NAME, verb="deliver", exc_info=answer)
    return Unknown(f"{type(answer).__name__}: {answer}")
