"""What our own network is told of a sale, and what its answers mean.

Nothing is put into bytes: the network is in this process, and what goes there and comes back are the records of
`operator/provisioning/model.py`. This is still the only place that knows both languages.
"""

from typing import Final

from telvend.kit.money import Currency
from telvend.operator.entitlements.service import Entitlements
from telvend.operator.provisioning.model import DeliveryAnswer, DeliveryState, NetworkDelivery, Refusal
from telvend.operator.subscribers.balances.model import Grant
from telvend.providers.contract import Delivered, Delivery, NotSent, Outcome, Reason, Refused

REASON_BY_REFUSAL: Final = {
    Refusal.UNKNOWN_SUBSCRIBER: Reason.BAD_NUMBER,
    Refusal.BARRED: Reason.BARRED,
    Refusal.OTHER_CURRENCY: Reason.WRONG_NETWORK,
    Refusal.FULL: Reason.REFUSED,
}
"""Every refusal of the network. None of them would be another one anywhere else, so that nobody else is tried."""


class NetworkRequests:
    """The requests of sales at one moment. Airtime is granted in full; what a bundle contains is looked up once for all its sales."""

    def __init__(self, offering: Entitlements, *, creates: bool) -> None:
        self._offering = offering
        self._creates = creates
        self._made: dict[tuple[str, str, int | None, Currency], tuple[tuple[Grant, ...], int, int]] = {}

    def of(self, delivery: Delivery) -> NetworkDelivery:
        """Return what is to be given for a sale. Raises InvalidInput where the offering can make nothing of it."""
        currency = delivery.face_value.currency
        size = delivery.face_value.text if delivery.kind == "airtime" else delivery.size
        key = (delivery.product, size, delivery.validity_days, currency)
        made = self._made.get(key)
        if made is None:
            given = self._offering.grants_of(*key)
            made = self._made[key] = (tuple(given), *self._offering.days_of(given))
        grants, active_days, grace_days = made
        return NetworkDelivery(
            reference=delivery.reference,
            msisdn=delivery.subscriber,
            country=delivery.country,
            currency=currency,
            grants=grants,
            active_days=active_days,
            grace_days=grace_days,
            creates=self._creates,
        )


def outcome_of(answer: DeliveryAnswer) -> Outcome:
    """What an answer means, to a delivery and to a question."""
    match answer.state:
        case DeliveryState.DELIVERED:
            return Delivered()
        case DeliveryState.REFUSED if answer.reason is not None:
            return Refused(REASON_BY_REFUSAL[answer.reason], f"refused: {answer.reason}")
        case _:
            return NotSent("not known when it was asked about, and not taken any more")
