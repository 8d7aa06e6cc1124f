"""What our own network is told of a sale, and what its answers mean."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import structlog

from telvend.errors import Busy, InvalidInput
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.operator.entitlements.model import Bundle, EntitlementSnapshot, RefillProfile
from telvend.operator.entitlements.service import Entitlements
from telvend.operator.provisioning.model import DeliveryAnswer, DeliveryState, NetworkDelivery, Refusal
from telvend.operator.subscribers.balances.model import BucketKind, Grant
from telvend.providers.contract import ELSEWHERE, Delivered, Delivery, NotSent, Outcome, Reason, Refused, Unknown
from telvend.providers.own_network.client import OwnNetwork
from telvend.providers.own_network.wire import REASON_BY_REFUSAL, NetworkRequests, outcome_of

BUNDLE = Delivery(
    reference="NPAPI-1-abcdef-1",
    kind="data",
    country="GH",
    network="MTN",
    product="GH-MTN-1GB-30D",
    size="1GB",
    validity_days=30,
    subscriber="+233241234567",
    face_value=Money(450, GHS),
    cost=Money(427, GHS),
)
# Sold for NGN 98.00 to somebody who pays less.
AIRTIME = replace(
    BUNDLE,
    kind="airtime",
    country="NG",
    product="NG-MTN-AIRTIME",
    size="100.00",
    validity_days=None,
    subscriber="+2348031234567",
    face_value=Money(10_000, NGN),
)


class Far:
    """A network that answers, or does not."""

    def __init__(self, answer: DeliveryAnswer | None) -> None:
        self.answer = answer
        self.heard: list[NetworkDelivery | str] = []

    async def deliver_all(self, deliveries: Sequence[NetworkDelivery]) -> Sequence[DeliveryAnswer | Exception]:
        return [self._say(delivery) for delivery in deliveries]

    async def requery(self, reference: str) -> DeliveryAnswer:
        return self._say(reference)

    def _say(self, heard: NetworkDelivery | str) -> DeliveryAnswer:
        self.heard.append(heard)
        if self.answer is None:
            raise Busy
        return self.answer


@pytest.fixture
def entitlements() -> Entitlements:
    made = Entitlements(None)  # type: ignore[arg-type]
    made.snapshot = EntitlementSnapshot(profiles={"DB00": RefillProfile("DB00", "", 10_000, 90, 180, active=True)})
    return made


def test_a_bundle_is_what_its_size_says_and_lasts_as_long_as_it_was_sold_for(entitlements: Entitlements) -> None:
    wanted = NetworkRequests(entitlements, creates=True).of(BUNDLE)
    assert wanted.grants == (Grant(BucketKind.DATA, 1024**3, "1GB", "GH-MTN-1GB-30D", 30),)
    assert (wanted.reference, wanted.msisdn, wanted.country, wanted.currency) == (
        "NPAPI-1-abcdef-1",
        "+233241234567",
        "GH",
        GHS,
    )
    assert (wanted.mode, wanted.creates, wanted.active_days, wanted.grace_days) == (Mode.LIVE, True, 30, 30)


def test_a_bundle_that_does_not_expire_has_no_end(entitlements: Entitlements) -> None:
    (grant,) = NetworkRequests(entitlements, creates=True).of(replace(BUNDLE, validity_days=None)).grants
    assert grant.validity_days is None


def test_a_bundle_that_the_network_knows_is_what_the_network_says(entitlements: Entitlements) -> None:
    parts = ((BucketKind.DATA, 5), (BucketKind.SMS, 7))
    entitlements.snapshot = EntitlementSnapshot(
        bundles={BUNDLE.product: Bundle(BUNDLE.product, "Mixed", 3, False, 100, parts)}
    )
    grants = NetworkRequests(entitlements, creates=True).of(BUNDLE).grants
    assert [(grant.kind, grant.amount, grant.validity_days) for grant in grants] == [
        (BucketKind.DATA, 5, 3),
        (BucketKind.SMS, 7, 3),
    ]


def test_airtime_is_its_whole_amount_on_the_main_account_and_moves_the_clocks(entitlements: Entitlements) -> None:
    wanted = NetworkRequests(entitlements, creates=False).of(AIRTIME)
    assert [(grant.kind, grant.amount, grant.main) for grant in wanted.grants] == [(BucketKind.MONEY, 10_000, True)]
    assert (wanted.currency, wanted.creates, wanted.active_days, wanted.grace_days) == (NGN, False, 90, 180)


def test_a_size_that_says_nothing_cannot_be_told(entitlements: Entitlements) -> None:
    with pytest.raises(InvalidInput):
        NetworkRequests(entitlements, creates=True).of(replace(BUNDLE, size="plenty"))


ANSWERS = [
    (DeliveryAnswer(DeliveryState.DELIVERED), Delivered),
    (DeliveryAnswer(DeliveryState.DELIVERED, replayed=True), Delivered),
    (DeliveryAnswer(DeliveryState.CLOSED), NotSent),
    *((DeliveryAnswer(DeliveryState.REFUSED, reason), Refused) for reason in Refusal),
]


@pytest.mark.parametrize(("answer", "outcome"), ANSWERS, ids=str)
async def test_an_answer_means_the_same_to_a_delivery_and_to_a_question(
    entitlements: Entitlements, answer: DeliveryAnswer, outcome: type[Outcome]
) -> None:
    provider = OwnNetwork(Far(answer), entitlements)
    assert type(outcome_of(answer)) is outcome
    assert await provider.deliver(BUNDLE) == await provider.requery(BUNDLE) == outcome_of(answer)


def test_every_refusal_has_a_reason_and_none_is_worth_trying_elsewhere() -> None:
    assert set(REASON_BY_REFUSAL) == set(Refusal)
    assert not ELSEWHERE & set(REASON_BY_REFUSAL.values())
    assert REASON_BY_REFUSAL[Refusal.UNKNOWN_SUBSCRIBER] is Reason.BAD_NUMBER
    assert REASON_BY_REFUSAL[Refusal.BARRED] is Reason.BARRED


async def test_a_network_that_is_busy_may_have_delivered(entitlements: Entitlements) -> None:
    provider = OwnNetwork(Far(None), entitlements)
    assert isinstance(await provider.deliver(BUNDLE), Unknown)
    assert isinstance(await provider.requery(BUNDLE), Unknown)


async def test_deliveries_of_one_moment_have_each_its_outcome(entitlements: Entitlements) -> None:
    class Mixed(Far):
        async def deliver_all(self, deliveries: Sequence[NetworkDelivery]) -> Sequence[DeliveryAnswer | Exception]:
            answers = {
                "fine": DeliveryAnswer(DeliveryState.DELIVERED), "barred": DeliveryAnswer(DeliveryState.REFUSED, Refusal.BARRED),
                "busy": Busy(), "bug": KeyError("x"),
            }  # fmt: skip
            return [answers[delivery.reference] for delivery in deliveries]

    wanted = [replace(BUNDLE, reference=name) for name in ("fine", "barred", "busy", "bug")]
    wanted.insert(1, replace(BUNDLE, size="plenty"))
    with structlog.testing.capture_logs() as logged:
        fine, plenty, barred, busy, bug = await OwnNetwork(Mixed(None), entitlements).deliver_all(wanted)
    assert isinstance(fine, Delivered)
    assert isinstance(plenty, Refused)
    assert plenty.reason is Reason.NOT_SOLD
    assert isinstance(barred, Refused)
    assert barred.reason is Reason.BARRED
    assert isinstance(busy, Unknown)
    assert busy.ours
    assert isinstance(bug, Unknown)
    assert not bug.ours
    assert [one["event"] for one in logged] == ["provider_raised"]


async def test_what_cannot_be_told_is_refused_and_never_sent(entitlements: Entitlements) -> None:
    far = Far(DeliveryAnswer(DeliveryState.DELIVERED))
    outcome = await OwnNetwork(far, entitlements).deliver(replace(BUNDLE, size="plenty"))
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.NOT_SOLD
    assert far.heard == []


def test_it_serves_live_orders_only_and_says_that_it_is_not_a_real_upstream(entitlements: Entitlements) -> None:
    traits = OwnNetwork(Far(None), entitlements, concurrency=7).traits
    assert (traits.live_mode, traits.test_mode, traits.pretends) == (True, False, True)
    assert (traits.settles_after_s, traits.concurrency, traits.networks) == (0, 7, None)
