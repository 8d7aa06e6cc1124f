"""Who gets a sale: rules by example, then properties over any history."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telvend.fulfilment.routing import (
    Assignment,
    BreakerState,
    Choice,
    NoProvider,
    ProviderLimits,
    ProviderState,
    RetryLater,
    Router,
    RoutingRequest,
    Rule,
)
from telvend.providers.contract import (
    Accepted,
    Delivered,
    Delivery,
    NotSent,
    Outcome,
    ProviderTraits,
    Reason,
    Refused,
    Unknown,
)
from tests.clocks import FakeClock

GHANA = RoutingRequest("GH", "MTN", test=False)
# Where every provider rests, they are probed earlier: a rule with tests of its own.
LIMITS = ProviderLimits(
    alone_s=600, failures_in_a_row=3, window=10, window_minimum=6, cool_down_s=10, longest_cool_down_s=40, mending_s=60
)


class Named:
    """A provider that is never called: the router only reads its name and traits."""

    def __init__(self, name: str, **traits: object) -> None:
        self.name = name
        self.traits = replace(ProviderTraits(concurrency=100), **traits)

    async def deliver(self, *_: Delivery) -> Outcome:
        raise AssertionError("the router does not deliver")

    async def requery(self, *_: Delivery) -> Outcome:
        raise AssertionError("the router does not ask")

    async def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def chosen(choice: Choice) -> Assignment:
    assert isinstance(choice, Assignment), choice
    return choice


def name_of(choice: Choice) -> str:
    return chosen(choice).provider.name


def serve(router: Router, outcome: Outcome, times: int = 1, wanted: RoutingRequest = GHANA) -> None:
    for _ in range(times):
        router.record(chosen(router.choose(wanted)), outcome, 0.1)


def states(router: Router) -> dict[str, BreakerState]:
    return {health.provider: health.state for health in router.snapshot()}


def test_priority_goes_before_cost_and_cost_before_name(clock: FakeClock) -> None:
    rules = {"dear": Rule(priority=1), "a": Rule(priority=2), "b": Rule(priority=2), "c": Rule(priority=2)}
    router = Router(map(Named, ["c", "b", "a", "dear"]), clock, rules=rules)
    wanted = replace(GHANA, costs_minor={"dear": 900, "a": 400, "b": 390})
    order = []
    for _ in range(4):
        order.append(name_of(router.choose(wanted)))
        wanted = replace(wanted, excluded=frozenset(order))
    assert order == ["dear", "b", "a", "c"]
    assert router.choose(wanted) == NoProvider("every provider has been tried")


def test_mode_and_network_must_be_served(clock: FakeClock) -> None:
    router = Router(
        [
            Named("live", live_mode=True, test_mode=False, networks=frozenset({("GH", "MTN")})),
            Named("test", live_mode=False, test_mode=True, networks=frozenset({("GH", "MTN")})),
        ],
        clock,
    )
    assert name_of(router.choose(GHANA)) == "live"
    assert name_of(router.choose(replace(GHANA, test=True))) == "test"
    assert router.choose(replace(GHANA, network="Telecel")) == NoProvider("nobody sells Telecel of GH")
    assert isinstance(router.choose(replace(GHANA, country="NG")), NoProvider)


def test_switched_off_gets_nothing_until_it_is_on_again(clock: FakeClock) -> None:
    router = Router([Named("a"), Named("b")], clock, rules={"a": Rule(off=True)})
    assert name_of(router.choose(GHANA)) == "b"
    router.switch_all({"b": ProviderState.OFF})
    assert router.choose(GHANA) == NoProvider("every provider is switched off")
    router.switch_all({"a": ProviderState.ON, "b": ProviderState.OFF})
    assert name_of(router.choose(GHANA)) == "a"


def test_full_provider_overflows_to_the_next_and_then_waits(clock: FakeClock) -> None:
    router = Router([Named("a", concurrency=2), Named("b")], clock, rules={"b": Rule(concurrency=1)})
    places = [chosen(router.choose(GHANA)) for _ in range(3)]
    assert [place.provider.name for place in places] == ["a", "a", "b"]
    assert router.choose(GHANA) == RetryLater(0.25, "a has 2 of 2 calls in flight")
    router.release(places[0])
    assert name_of(router.choose(GHANA)) == "a"


def test_place_is_given_back_once(clock: FakeClock) -> None:
    router = Router([Named("a", concurrency=2)], clock)
    first, _ = chosen(router.choose(GHANA)), chosen(router.choose(GHANA))
    router.record(first, Delivered(), 0.1)
    router.release(first)
    router.record(first, Unknown(), 0.1)
    [health] = router.snapshot()
    assert (health.in_flight, health.recent) == (1, {"Delivered": 1})


@pytest.mark.parametrize("outcome", [NotSent(), Unknown()])
def test_failures_in_a_row_open_the_breaker_and_the_next_provider_takes_over(
    clock: FakeClock, outcome: Outcome
) -> None:
    router = Router([Named("a"), Named("b")], clock, limits=LIMITS)
    serve(router, outcome, 2)
    change = router.record(chosen(router.choose(GHANA)), outcome, 0.1)
    assert change is not None
    assert (change.provider, change.after, change.ours_to_mend) == ("a", BreakerState.OPEN, False)
    assert name_of(router.choose(GHANA)) == "b"


@pytest.mark.parametrize(
    "outcome",
    [
        Delivered(),
        Accepted(),
        *(Refused(reason) for reason in Reason if reason not in ("no_float", "not_allowed", "down")),
    ],
)
def test_answers_are_no_failures_even_when_they_are_refusals(clock: FakeClock, outcome: Outcome) -> None:
    router = Router([Named("a")], clock, limits=LIMITS)
    serve(router, outcome, 50)
    serve(router, Unknown(), 2)
    serve(router, outcome)
    serve(router, Unknown(), 2)
    assert states(router) == {"a": BreakerState.CLOSED}


def test_half_of_the_recent_failing_opens_the_breaker_without_a_row_of_them(clock: FakeClock) -> None:
    router = Router([Named("a")], clock, limits=LIMITS)
    for _ in range(3):
        assert states(router) == {"a": BreakerState.CLOSED}
        serve(router, Delivered())
        serve(router, Unknown())
    assert states(router) == {"a": BreakerState.OPEN}


@pytest.mark.parametrize("reason", [Reason.NO_FLOAT, Reason.NOT_ALLOWED])
def test_refusal_that_is_ours_to_mend_takes_the_provider_out_at_once(clock: FakeClock, reason: Reason) -> None:
    router = Router([Named("a")], clock, limits=LIMITS)
    first, second = chosen(router.choose(GHANA)), chosen(router.choose(GHANA))
    change = router.record(first, Refused(reason, "top up"), 0.1)
    assert change is not None
    assert change.ours_to_mend
    assert router.record(second, Refused(reason, "top up"), 0.1) is None
    assert router.choose(GHANA) == RetryLater(60, "a is resting: Refused: top up")
    [health] = router.snapshot()
    assert (health.why, health.ours_to_mend, health.opens_again_after_s) == ("Refused: top up", True, 60)


def test_open_breaker_makes_the_sale_wait_for_the_rest_of_the_cool_down(clock: FakeClock) -> None:
    router = Router([Named("a")], clock, limits=LIMITS)
    serve(router, Unknown("timed out"), 3)
    clock.pass_time(4)
    assert router.choose(GHANA) == RetryLater(6, "a is resting: Unknown: timed out")


def test_half_open_lets_one_probe_through_and_its_answer_closes(clock: FakeClock) -> None:
    router = Router([Named("a")], clock, limits=LIMITS)
    serve(router, Unknown(), 3)
    clock.pass_time(10)
    probe = chosen(router.choose(GHANA))
    assert probe.probe
    assert isinstance(router.choose(GHANA), RetryLater)
    change = router.record(probe, Delivered(), 0.1)
    assert change is not None
    assert change.after is BreakerState.CLOSED
    assert not chosen(router.choose(GHANA)).probe


def test_failed_probe_doubles_the_cool_down_up_to_the_longest(clock: FakeClock) -> None:
    router = Router([Named("a")], clock, limits=LIMITS)
    serve(router, Unknown(), 3)
    for cool_down_s in (10, 20, 40, 40):
        waiting = router.choose(GHANA)
        assert isinstance(waiting, RetryLater)
        assert waiting.after_s == cool_down_s
        clock.pass_time(cool_down_s)
        serve(router, Unknown())


def test_probe_goes_to_the_better_provider_although_another_is_well(clock: FakeClock) -> None:
    router = Router([Named("a"), Named("b")], clock, limits=LIMITS)
    serve(router, Unknown(), 3)
    assert name_of(router.choose(GHANA)) == "b"
    clock.pass_time(10)
    assert [name_of(router.choose(GHANA)) for _ in range(3)] == ["a", "b", "b"]


def test_probe_that_was_never_sent_is_tried_again(clock: FakeClock) -> None:
    router = Router([Named("a")], clock, limits=LIMITS)
    serve(router, Unknown(), 3)
    clock.pass_time(10)
    router.release(chosen(router.choose(GHANA)))
    assert chosen(router.choose(GHANA)).probe


def test_calls_from_before_the_breaker_opened_decide_nothing(clock: FakeClock) -> None:
    router = Router([Named("a")], clock, limits=LIMITS)
    early = [chosen(router.choose(GHANA)) for _ in range(8)]
    serve(router, Unknown(), 3)
    router.record(early.pop(), Delivered(), 30)
    assert states(router) == {"a": BreakerState.OPEN}
    clock.pass_time(10)
    probe = chosen(router.choose(GHANA))
    router.record(early.pop(), Delivered(), 40)
    router.record(early.pop(), Unknown(), 40)
    assert states(router) == {"a": BreakerState.HALF_OPEN}
    router.record(probe, Delivered(), 0.1)
    for place in early:
        router.record(place, Unknown(), 50)
    assert states(router) == {"a": BreakerState.CLOSED}


def test_provider_without_breaker_goes_on_whatever_happens(clock: FakeClock) -> None:
    router = Router([Named("a")], clock, rules={"a": Rule(breaker=False)}, limits=LIMITS)
    serve(router, Unknown(), 20)
    serve(router, Refused(Reason.NO_FLOAT), 20)
    assert name_of(router.choose(GHANA)) == "a"


def test_names_are_checked(clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="two providers are called a"):
        Router([Named("a"), Named("a")], clock)
    with pytest.raises(ValueError, match="there is no provider b"):
        Router([Named("a")], clock, rules={"b": Rule()})
    assert Router([Named("a")], clock).provider("b") is None


def test_live_sales_that_are_refused_get_nobody_and_those_of_test_keys_go_on(clock: FakeClock) -> None:
    why: list[str | None] = ["the wallets hold play money"]
    router = Router([Named("a", test_mode=True)], clock, refuses_live=lambda: why[0])
    assert router.choose(GHANA) == NoProvider("the wallets hold play money")
    assert name_of(router.choose(replace(GHANA, test=True))) == "a"
    why[0] = None
    assert name_of(router.choose(GHANA)) == "a"


# Groups ----------------------------------------------------------------------------------------------------------------

TELECEL = replace(GHANA, network="Telecel")
AIRTIME = replace(GHANA, kind="airtime")


@pytest.mark.parametrize("outcome", [NotSent(), Unknown(), Refused(Reason.DOWN)])
def test_a_network_that_is_down_rests_alone(clock: FakeClock, outcome: Outcome) -> None:
    router = Router([Named("a"), Named("b")], clock, limits=LIMITS)
    change = None
    for _ in range(3):
        change = router.record(chosen(router.choose(GHANA)), outcome, 0.1)
    assert change is not None
    assert change.group == "GH/MTN data"
    assert [name_of(router.choose(wanted)) for wanted in (GHANA, TELECEL, AIRTIME)] == ["b", "a", "a"]
    [health] = [health for health in router.snapshot() if health.provider == "a"]
    assert [(breaker.group, breaker.state) for breaker in health.breakers] == [("GH/MTN data", BreakerState.OPEN)]


def test_an_answer_for_one_network_says_nothing_of_another(clock: FakeClock) -> None:
    router = Router([Named("a")], clock, limits=LIMITS)
    for _ in range(3):
        serve(router, Delivered(), 5, TELECEL)
        serve(router, Unknown())
    assert isinstance(router.choose(GHANA), RetryLater)
    assert name_of(router.choose(TELECEL)) == "a"


@pytest.mark.parametrize("reason", [Reason.NO_FLOAT, Reason.NOT_ALLOWED])
def test_what_is_ours_to_mend_rests_the_whole_provider(clock: FakeClock, reason: Reason) -> None:
    router = Router([Named("a"), Named("b")], clock, limits=LIMITS)
    serve(router, Refused(reason))
    assert [name_of(router.choose(wanted)) for wanted in (GHANA, TELECEL, AIRTIME)] == ["b"] * 3


def test_a_float_that_is_back_lets_the_next_sale_probe(clock: FakeClock) -> None:
    router = Router([Named("a")], clock, limits=LIMITS)
    serve(router, Refused(Reason.NO_FLOAT))
    clock.pass_time(1)
    assert isinstance(router.choose(GHANA), RetryLater)
    router.float_is_back("a")
    router.float_is_back("somebody else")
    assert chosen(router.choose(GHANA)).probe
    assert isinstance(router.choose(TELECEL), RetryLater)


# Nobody else -----------------------------------------------------------------------------------------------------------


def test_where_all_rest_the_sale_waits_and_a_probe_is_made_every_five_seconds(clock: FakeClock) -> None:
    router = Router([Named("only")], clock)
    serve(router, Unknown(), 5)
    for _ in range(20):
        waiting = router.choose(GHANA)
        assert isinstance(waiting, RetryLater)
        assert waiting.after_s == 5
        clock.pass_time(5)
        probe = chosen(router.choose(GHANA))
        assert probe.probe
        router.record(probe, Unknown(), 0.1)
    clock.pass_time(5)
    serve(router, Delivered())
    assert not chosen(router.choose(GHANA)).probe


def test_a_provider_with_another_one_behind_it_rests_for_its_whole_time(clock: FakeClock) -> None:
    router = Router([Named("a"), Named("b", concurrency=1)], clock)
    serve(router, Unknown(), 5)
    clock.pass_time(6)
    assert [type(router.choose(GHANA)) for _ in range(2)] == [Assignment, RetryLater]
    clock.pass_time(4)
    assert name_of(router.choose(GHANA)) == "a"


def test_many_that_wait_for_a_breaker_do_not_all_come_back_at_once(clock: FakeClock) -> None:
    router = Router([Named("only")], clock)
    serve(router, Unknown(), 5)
    told = [choice.after_s for _ in range(50_000) if isinstance(choice := router.choose(GHANA), RetryLater)]
    assert len(told) == 50_000
    assert told[0] == 5
    assert told[1000] == pytest.approx(10)
    assert max(told) <= 60.01


# Rate ------------------------------------------------------------------------------------------------------------------


def test_no_more_calls_are_made_in_a_second_than_a_provider_takes_and_they_are_spread(clock: FakeClock) -> None:
    router = Router([Named("a", rate_per_s=10.0)], clock)
    made = []
    for _ in range(400):
        if isinstance(router.choose(GHANA), Assignment):
            made.append(clock.monotonic())
        clock.pass_time(0.01)
    assert 38 <= len(made) <= 41
    assert min(later - earlier for earlier, later in pairwise(made)) >= 0.099


def test_each_that_waits_for_its_turn_is_told_another_one(clock: FakeClock) -> None:
    router = Router([Named("a")], clock, rules={"a": Rule(rate_per_s=2.0)})
    chosen(router.choose(GHANA))
    told = [choice.after_s for _ in range(4) if isinstance(choice := router.choose(GHANA), RetryLater)]
    assert told == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert router.choose(GHANA) == RetryLater(pytest.approx(2.5), "a takes no more calls in a second")


def test_questions_count_for_the_rate_and_go_first_for_a_second(clock: FakeClock) -> None:
    router = Router([Named("a", rate_per_s=5.0)], clock)
    assert [router.may_requery("a") for _ in range(8)] == [True] * 6 + [False] * 2
    assert isinstance(router.choose(GHANA), RetryLater)
    clock.pass_time(1.2)
    assert name_of(router.choose(GHANA)) == "a"
    assert router.may_requery("nobody")


# Repeat guard ----------------------------------------------------------------------------------------------------------

AMA = replace(GHANA, subscriber="+233241111111")
KOFI = replace(GHANA, subscriber="+233242222222")


def test_a_second_order_for_a_number_waits_until_the_provider_takes_it(clock: FakeClock) -> None:
    router = Router([Named("a", repeat_guard_s=30.0)], clock)
    place = chosen(router.choose(AMA))
    assert isinstance(router.choose(AMA), RetryLater)
    assert name_of(router.choose(KOFI)) == "a"
    assert name_of(router.choose(replace(AMA, kind="airtime"))) == "a"
    clock.pass_time(10)
    router.record(place, Delivered(), 10)
    assert router.choose(AMA) == RetryLater(30, "a has served the number a moment ago")
    clock.pass_time(30)
    assert name_of(router.choose(AMA)) == "a"


@pytest.mark.parametrize(
    ("outcome", "waits"),
    [
        (Unknown(), True),
        (Accepted(), True),
        (Refused(Reason.TOO_SOON), True),
        (Refused(Reason.BAD_NUMBER), False),
        (NotSent(), False),
    ],
)
def test_only_what_may_have_been_delivered_guards_a_number(clock: FakeClock, outcome: Outcome, waits: bool) -> None:
    router = Router([Named("a", repeat_guard_s=30.0)], clock)
    serve(router, outcome, wanted=AMA)
    assert isinstance(router.choose(AMA), RetryLater) == waits


def test_another_provider_takes_the_second_order_and_a_call_that_was_not_made_guards_nothing(clock: FakeClock) -> None:
    router = Router([Named("a", repeat_guard_s=30.0), Named("b")], clock)
    place = chosen(router.choose(AMA))
    assert name_of(router.choose(AMA)) == "b"
    router.release(place)
    assert name_of(router.choose(AMA)) == "a"


def test_numbers_are_forgotten_when_their_time_is_over(clock: FakeClock) -> None:
    router = Router([Named("a", repeat_guard_s=30.0)], clock)
    for number in range(1000):
        serve(router, Delivered(), wanted=replace(GHANA, subscriber=f"+23324{number:07}"))
        clock.pass_time(1)
    assert len(router._routes["a"]._guard._until) <= 31


# Switched by the operator ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [ProviderState.OFF, ProviderState.DRAIN])
def test_a_provider_that_is_off_or_drains_gets_nothing_new(clock: FakeClock, state: ProviderState) -> None:
    router = Router([Named("a"), Named("b")], clock, rules={"b": Rule(off=True)})
    router.switch_all({"a": state, "b": ProviderState.ON, "nobody": ProviderState.OFF})
    assert name_of(router.choose(GHANA)) == "b"
    assert router.may_resend("a") is (state is ProviderState.DRAIN)
    assert router.may_requery("a")
    assert {health.provider: health.switched for health in router.snapshot()} == {"a": state, "b": ProviderState.ON}
    router.switch_all({})
    assert name_of(router.choose(GHANA)) == "a"
    assert router.choose(replace(GHANA, excluded=frozenset("a"))) == NoProvider("every provider is switched off")


# Any history -----------------------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c")
OUTCOMES: list[Outcome] = [
    Delivered(),
    Accepted(),
    Refused(Reason.BAD_NUMBER),
    Refused(Reason.NO_FLOAT),
    NotSent(),
    Unknown(),
    Unknown(),
    Unknown(),
]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("choose"), st.frozensets(st.sampled_from(NAMES), max_size=3)),
        st.tuples(st.just("record"), st.integers(0, 50), st.sampled_from(OUTCOMES)),
        st.tuples(st.just("release"), st.integers(0, 50)),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 5, 10, 60])),
        st.tuples(st.just("switch"), st.sampled_from(NAMES), st.booleans()),
    ),
    max_size=120,
)


def play(history: list[tuple], clock: FakeClock) -> tuple[Router, list[Assignment]]:
    """Play a history on three providers, checking each choice. Return the router and the places taken."""
    router = Router([Named(name, concurrency=4) for name in NAMES], clock, rules={"c": Rule(priority=1)}, limits=LIMITS)
    places: list[Assignment] = []
    off: set[str] = set()
    for step in history:
        match step:
            case ("choose", excluded):
                before = {health.provider: health for health in router.snapshot()}
                choice = router.choose(replace(GHANA, excluded=excluded))
                allowed = set(NAMES) - excluded - off
                if isinstance(choice, Assignment):
                    health = before[choice.provider.name]
                    assert choice.provider.name in allowed
                    assert health.state is not BreakerState.OPEN
                    assert choice.probe == (health.state is BreakerState.HALF_OPEN)
                    assert health.in_flight < 4
                    places.append(choice)
                else:
                    assert isinstance(choice, NoProvider) == (not allowed)
                    assert not any(
                        before[name].state is BreakerState.CLOSED and before[name].in_flight < 4 for name in allowed
                    )
                    assert not isinstance(choice, RetryLater) or 0 < choice.after_s <= 60
            case ("record", number, outcome) if places:
                router.record(places.pop(number % len(places)), outcome, 0.1)
            case ("release", number) if places:
                router.release(places.pop(number % len(places)))
            case ("wait", seconds):
                clock.pass_time(seconds)
            case ("switch", name, switched_off):
                (off.add if switched_off else off.discard)(name)
                router.switch_all(dict.fromkeys(off, ProviderState.OFF))
        for health in router.snapshot():
            mine = [place for place in places if place.provider.name == health.provider]
            assert health.in_flight == len(mine) <= 4
            if health.state is BreakerState.HALF_OPEN:
                # Probes of an earlier half-open time may still be out; they decide nothing any more.
                assert set(router._routes[health.provider].probes) <= set(mine)
    return router, places


@given(steps)
@settings(max_examples=150, deadline=None)
def test_no_history_leads_to_an_excluded_open_full_or_switched_off_provider(history: list[tuple]) -> None:
    play(history, FakeClock())


@given(steps)
@settings(max_examples=150, deadline=None)
def test_when_faults_stop_the_best_provider_comes_back(history: list[tuple]) -> None:
    clock = FakeClock()
    router, places = play(history, clock)
    for place in places:
        router.record(place, Delivered(), 0.1)
    router.switch_all({})
    served = 0
    for _ in range(20):
        choice = router.choose(GHANA)
        if isinstance(choice, RetryLater):
            clock.pass_time(choice.after_s)
        else:
            router.record(chosen(choice), Delivered(), 0.1)
            served += 1
    assert served >= 15
    clock.pass_time(60)
    # By now nothing rests any more: the best one gets the next sale, as its probe if need be.
    for _ in range(2):
        best = chosen(router.choose(GHANA))
        assert best.provider.name == "c"
        router.record(best, Delivered(), 0.1)
    assert states(router)["c"] is BreakerState.CLOSED


@given(steps)
@settings(max_examples=30, deadline=None)
def test_half_open_never_has_two_probes_out(history: list[tuple]) -> None:
    clock = FakeClock()
    router = Router([Named("a", concurrency=50)], clock, limits=LIMITS)
    serve(router, Unknown(), 3)
    probes = 0
    for step in history:
        if step[0] == "choose":
            choice = router.choose(GHANA)
            probes += isinstance(choice, Assignment)
            assert not isinstance(choice, Assignment) or choice.probe
        elif step[0] == "wait":
            clock.pass_time(step[1])
        assert probes <= 1
    clock.pass_time(100)
    assert probes + isinstance(router.choose(GHANA), Assignment) == 1


@given(steps)
@settings(max_examples=30, deadline=None)
def test_same_history_gives_the_same_choices(history: list[tuple]) -> None:
    assert play(history, FakeClock())[0].snapshot() == play(history, FakeClock())[0].snapshot()


def test_a_provider_is_asked_for_the_kinds_that_it_delivers_alone(clock: FakeClock) -> None:
    router = Router([Named("bundles"), Named("power", kinds=frozenset({"electricity"}))], clock)
    assert name_of(router.choose(GHANA)) == "bundles"
    assert name_of(router.choose(replace(GHANA, kind="airtime"))) == "bundles"
    assert name_of(router.choose(replace(GHANA, kind="electricity"))) == "power"
    assert isinstance(router.choose(replace(GHANA, kind="exam_pin")), NoProvider)
