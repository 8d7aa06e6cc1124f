"""What an outcome says of its network, and what one process counts."""

import pytest

from telvend.catalog.model import CatalogueSnapshot, Network
from telvend.catalog.pauses.model import PausePolicy, Streak
from telvend.catalog.pauses.service import NetworkPauses
from telvend.errors import Busy
from telvend.fulfilment.network_health import SUBSCRIBERS_FAULT, NetworkHealth, delivered_at, failure_in
from telvend.kit.mode import Mode
from telvend.orders.model import AttemptState
from telvend.providers.contract import Accepted, Delivered, NotSent, Outcome, Reason, Refused, Unknown
from tests.clocks import FakeClock

MTN = ("GH", "MTN")


@pytest.mark.parametrize(
    ("outcome", "failed"),
    [
        (Delivered(), False),
        (Accepted(), False),
        (NotSent(), True),
        (Unknown(), True),
        *((Refused(reason), reason not in SUBSCRIBERS_FAULT) for reason in Reason),
    ],
)
def test_what_a_delivery_says(outcome: Outcome, failed: bool) -> None:
    assert (failure_in(outcome, None) is not None) is failed


def test_the_subscribers_own_faults_are_these_four() -> None:
    assert {reason.value for reason in SUBSCRIBERS_FAULT} == {"bad_number", "barred", "wrong_network", "too_soon"}


@pytest.mark.parametrize("before", [AttemptState.STARTED, AttemptState.UNKNOWN])
@pytest.mark.parametrize("outcome", [NotSent(), Unknown(), Refused(Reason.NO_FLOAT), Accepted(), Delivered()])
def test_an_attempt_that_failed_does_not_fail_again_when_it_is_asked_about(
    before: AttemptState, outcome: Outcome
) -> None:
    assert failure_in(outcome, before) is None


def test_an_accepted_attempt_fails_when_it_is_refused_in_the_end_and_not_by_silence() -> None:
    assert failure_in(Refused(Reason.REFUSED), AttemptState.ACCEPTED) is not None
    assert failure_in(NotSent(), AttemptState.ACCEPTED) is not None
    assert failure_in(Refused(Reason.BARRED), AttemptState.ACCEPTED) is None
    assert failure_in(Unknown(), AttemptState.ACCEPTED) is None


def test_since_when_a_delivery_proves_that_the_network_works() -> None:
    assert delivered_at(1000.0, None, 50.0) == 1000.0
    assert delivered_at(1000.0, AttemptState.ACCEPTED, 50.0) == 1000.0
    assert delivered_at(1000.0, AttemptState.UNKNOWN, 50.0) == 950.0
    assert delivered_at(1000.0, AttemptState.STARTED, 50.0) == 950.0


class Recorded(NetworkPauses):
    """Keeps what is reported, without a database."""

    def __init__(self, policy: PausePolicy) -> None:
        self.policy = policy
        self.seen: dict[int, Streak] = {}
        self.judged = 0
        self.is_away = False

    async def record(self, seen: object, at: float) -> None:  # noqa: ARG002
        if self.is_away:
            raise Busy
        assert isinstance(seen, dict)
        self.seen |= seen

    async def judge(self) -> list[object]:  # type: ignore[override]
        self.judged += 1
        return []


def heard(health: NetworkHealth, outcome: Outcome, mode: Mode = Mode.LIVE, network: tuple[str, str] = MTN) -> None:
    health.heard(mode, network, "vt", outcome, None, 0.0)


def snapshot(*, recovers: bool = False) -> CatalogueSnapshot:
    networks = [Network(5, "GH", "MTN", "MTN", active=True), Network(1, "NG", "mtn", "MTN", active=True)]
    made = CatalogueSnapshot.of(1, networks, [])
    return CatalogueSnapshot(made.revision, made._networks, recovers=recovers)


async def test_live_attempts_are_counted_by_country_and_network_and_test_orders_are_not() -> None:
    pauses = Recorded(PausePolicy(after_s=600))
    health = NetworkHealth(pauses, snapshot, FakeClock())
    for _ in range(3):
        heard(health, NotSent())
        heard(health, NotSent(), Mode.TEST)
        heard(health, Unknown(), Mode.TEST, ("NG", "mtn"))
    heard(health, Delivered(), Mode.TEST)
    await health.report()
    assert {number: streak.failures for number, streak in pauses.seen.items()} == {5: 3}
    assert pauses.seen[5].why == "did not reach the provider at vt"
    pauses.seen.clear()
    await health.report()
    assert pauses.seen == {}
    assert pauses.judged == 2


async def test_a_network_that_the_catalogue_does_not_have_is_left_out() -> None:
    pauses = Recorded(PausePolicy(after_s=600))
    health = NetworkHealth(pauses, snapshot, FakeClock())
    heard(health, NotSent(), network=("NG", "ikeja-electric"))
    await health.report()
    assert pauses.seen == {}


async def test_nothing_is_counted_or_asked_of_the_database_where_networks_are_not_paused_by_themselves() -> None:
    pauses = Recorded(PausePolicy())
    health = NetworkHealth(pauses, snapshot, FakeClock())
    heard(health, NotSent())
    await health.report()
    assert (health._failing, health._delivered) == ({}, {})
    assert pauses.judged == 0


async def test_a_network_that_waits_to_be_resumed_is_listened_to_when_the_setting_was_taken_back() -> None:
    pauses = Recorded(PausePolicy())
    health = NetworkHealth(pauses, lambda: snapshot(recovers=True), FakeClock())
    heard(health, Delivered())
    await health.report()
    assert pauses.seen[5].delivered is not None
    assert pauses.judged == 1


async def test_deliveries_outlive_a_report_that_was_perhaps_not_committed_and_failures_do_not() -> None:
    pauses = Recorded(PausePolicy(after_s=600))
    health = NetworkHealth(pauses, snapshot, FakeClock())
    heard(health, Delivered())
    heard(health, NotSent(), network=("NG", "mtn"))
    pauses.is_away = True
    with pytest.raises(Busy):
        await health.report()
    pauses.is_away = False
    await health.report()
    assert {number: (streak.failures, streak.delivered) for number, streak in pauses.seen.items()} == {5: (0, 0.0)}
