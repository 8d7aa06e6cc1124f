"""Which provider gets a sale: by health, priority and cost. No I/O: providers and the clock are handed in.

Each provider has a breaker for each group of sales, which is a network and a product kind: a network that is down behind a
provider says nothing of the others.

    CLOSED ── too many failures, or it does not let us in ──> OPEN ── the cool-down is over ──> HALF_OPEN
       ^                                                        ^                                  │
       └────────── the probe is answered ───────────────────────│────────── the probe fails ───────┘

`NotSent`, `Unknown` and a refusal that says "out of service" are failures of the group. Every other refusal is an answer,
whatever the subscriber's fault. Two refusals are ours to mend (no float, not allowed) and concern the provider as a whole:
they open a breaker of its own at once, for longer.

A half-open breaker lets one real sale through as its probe, and only where the provider would be chosen if it were well.
Otherwise a cheap provider with a dear one behind it would never come back. A sale that finds every breaker open waits, and
the probes are made every `alone_s` then; nothing fails because of a breaker. Nothing here is drawn by lot, so a simulation
with a seed repeats itself.

Three limits make a sale wait as well, or go to another provider: calls in flight, calls in a second, and the time after a
delivery to a number in which the provider would refuse the next one to it (`repeat_guard_s`).
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from telvend.kit.clock import Clock
from telvend.providers.contract import NotSent, Outcome, Provider, Reason, Refused, Unknown


class ProviderState(StrEnum):
    """What the operator lets a provider do."""

    ON = "on"
    """It gets sales."""
    DRAIN = "drain"
    """It gets no new ones. What is open is finished: asked about, and sent again where its reference is a key."""
    OFF = "off"
    """Nothing is sent to it, also not again. It is still asked about what is open: only it knows what was delivered."""


OURS_TO_MEND: Final = frozenset({Reason.NO_FLOAT, Reason.NOT_ALLOWED})
"""Refusals that every sale would meet until the operator has done something."""

# How far apart orders come back that wait for a breaker, and the latest turn that is given out.
_TURN_S: Final = 0.005
_LONGEST_TURN_S: Final = 60.0


class BreakerState(StrEnum):
    """How much a provider is trusted."""

    CLOSED = "closed"
    """It gets sales."""
    OPEN = "open"
    """It gets none until its cool-down is over."""
    HALF_OPEN = "half_open"
    """It gets one, and what becomes of that decides."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What the operator decides for one provider.

    Lower `priority` goes first. `concurrency`, for one process, and `rate_per_s`, for the node, replace the provider's own limits.
    Without `breaker` its failures are counted and change nothing: right for the simulator, whose failures are steered by the
    number and say nothing of the next one.
    """

    priority: int = 100
    off: bool = False
    concurrency: int | None = None
    breaker: bool = True
    rate_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """When a breaker opens, and for how long.

    It opens after `failures_in_a_row`, or when at least `failure_ratio_percent` of the last `window` outcomes failed,
    once there are `window_minimum` of them. Each opening doubles `cool_down_s`, up to `longest_cool_down_s`, until a
    sale after the probe was answered too. Where every provider of a sale is resting, none rests longer than `alone_s`.
    `mending_s` is the pause after a refusal that is ours to mend. `full_s` is when a sale should come back that found every
    provider busy.
    """

    failures_in_a_row: int = 5
    failure_ratio_percent: int = 50
    window: int = 50
    window_minimum: int = 20
    cool_down_s: float = 10.0
    longest_cool_down_s: float = 120.0
    alone_s: float = 5.0
    mending_s: float = 60.0
    full_s: float = 0.25


@dataclass(frozen=True, slots=True)
class RoutingRequest:
    """What is to be delivered, as far as the choice is concerned.

    `test`: for a test key. `costs_minor` is what each provider takes for the product, by its name, in the same
    currency; one that is missing counts as dearer than all others. `excluded` names those that may not be tried
    (again). `kind` is the product kind, `subscriber` the recipient.
    """

    country: str
    network: str
    test: bool
    costs_minor: Mapping[str, int] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()
    kind: str = "data"
    subscriber: str = ""

    @property
    def group(self) -> str:
        """The sales that fail together: `GH/MTN data`."""
        return f"{self.country}/{self.network} {self.kind}"


@dataclass(frozen=True, eq=False, slots=True)
class Assignment:
    """A provider, and a place in it. Give it back with `Router.record` or `Router.release`."""

    provider: Provider
    probe: bool


@dataclass(frozen=True, slots=True)
class RetryLater:
    """There are providers, and none can take it now. Ask again `after_s` later; the sale stays accepted."""

    after_s: float
    why: str


@dataclass(frozen=True, slots=True)
class NoProvider:
    """No provider will ever take it: none serves it, or all that do are excluded or switched off."""

    why: str


Choice = Assignment | RetryLater | NoProvider


@dataclass(frozen=True, slots=True)
class Change:
    """A breaker has moved: something for the log, and for the operator where `ours_to_mend`.

    `group` is empty where it is the one of the provider as a whole.
    """

    provider: str
    before: BreakerState
    after: BreakerState
    why: str
    ours_to_mend: bool
    group: str = ""


@dataclass(frozen=True, slots=True)
class BreakerHealth:
    """A breaker that is not closed. `group` is empty where it is the one of the provider as a whole."""

    group: str
    state: BreakerState
    why: str
    ours_to_mend: bool
    opens_again_after_s: float


@dataclass(frozen=True, slots=True)
class Health:
    """How one provider is doing. `recent` counts the last outcomes by the names of their classes.

    `breakers` are those that are not closed. `state`, `why`, `ours_to_mend` and `opens_again_after_s` are of the one among them
    that rests longest: the rest of its cool-down, and what opened it, also while it is half open. `mean_duration_s` is over
    the recent outcomes, None before the first.
    """

    provider: str
    state: BreakerState
    off: bool
    pretends: bool
    why: str
    ours_to_mend: bool
    opens_again_after_s: float
    in_flight: int
    concurrency: int
    failures_in_a_row: int
    recent: Mapping[str, int]
    mean_duration_s: float | None
    switched: ProviderState = ProviderState.ON
    breakers: tuple[BreakerHealth, ...] = ()


class Router:
    """Chooses, and learns from what became of it. One for each process: health is what this process has seen itself.

    `refuses_live` says why live sales get nobody now, None when they do: then a sale that nobody has been asked to deliver
    fails, and its hold goes back. `processes` is how many of the node deliver: they share each provider's rate.

    Raises ValueError when two providers have the same name, or a rule is for one that is not there.
    """

    def __init__(
        self,
        providers: Iterable[Provider],
        clock: Clock,
        *,
        rules: Mapping[str, Rule] | None = None,
        limits: ProviderLimits | None = None,
        refuses_live: Callable[[], str | None] | None = None,
        processes: int = 1,
    ) -> None:
        self._clock = clock
        self._refuses_live = refuses_live or (lambda: None)
        self._limits = limits or ProviderLimits()
        self._routes: dict[str, _Route] = {}
        rules = rules or {}
        for provider in providers:
            if provider.name in self._routes:
                raise ValueError(f"two providers are called {provider.name}")
            self._routes[provider.name] = _Route(provider, rules.get(provider.name, Rule()), self._limits, processes)
        if strangers := rules.keys() - self._routes.keys():
            raise ValueError(f"there is no provider {', '.join(sorted(strangers))}")

    def provider(self, name: str) -> Provider | None:
        """The provider of this name, whatever its health: attempts are asked about where they were made."""
        route = self._routes.get(name)
        return route.provider if route else None

    def choose(self, wanted: RoutingRequest) -> Choice:
        """Choose the provider of a sale. An `Assignment` holds a place until it is recorded or released."""
        if not wanted.test and (why := self._refuses_live()) is not None:
            return NoProvider(why)
        candidates = [route for route in self._routes.values() if route.serves(wanted)]
        if not candidates:
            return NoProvider(f"nobody sells {wanted.network} of {wanted.country}" + (" for test keys" * wanted.test))
        candidates = [route for route in candidates if route.provider.name not in wanted.excluded]
        if not candidates:
            return NoProvider("every provider has been tried")
        candidates = [route for route in candidates if route.state is ProviderState.ON]
        if not candidates:
            return NoProvider("every provider is switched off")
        now = self._clock.monotonic()
        ready = [route for route in candidates if route.wait_s(wanted, now) == 0]
        # Every candidate is resting: then none of them rests longer than `alone_s`.
        alone = not ready and all(route.rests(wanted, now) for route in candidates)
        if alone:
            ready = [route for route in candidates if route.wait_s(wanted, now, alone=True) == 0]
        if not ready:
            soonest = min(candidates, key=lambda route: route.wait_s(wanted, now, alone=alone))
            return soonest.later(wanted, now, alone=alone)
        return min(ready, key=lambda route: route.rank(wanted)).take(wanted, now)

    def may_requery(self, name: str) -> bool:
        """Whether a call beside deliveries may be made at the provider now, by its rate; it is counted where it may."""
        route = self._routes.get(name)
        return route is None or route.pace.take(self._clock.monotonic(), ahead=True)

    def may_resend(self, name: str) -> bool:
        """Whether an attempt that is open at the provider may be sent again."""
        route = self._routes.get(name)
        return route is not None and route.state is not ProviderState.OFF

    def record(self, chosen: Assignment, outcome: Outcome, duration_s: float) -> Change | None:
        """Record the outcome of a delivery and give its place back. Return the breaker's change of state, if there is one."""
        return self._routes[chosen.provider.name].record(chosen, outcome, duration_s, self._clock.monotonic())

    def release(self, chosen: Assignment) -> None:
        """Give back the place of a provider that was not called; its health stays the same. After `record` it does nothing."""
        self._routes[chosen.provider.name].release(chosen)

    def switch_all(self, states: Mapping[str, ProviderState]) -> None:
        """Set the state of every provider: on, where `states` does not name it and no rule has switched it off.

        What a provider has in flight goes on.
        """
        for name, route in self._routes.items():
            route.state = states.get(name, ProviderState.OFF if route.rule.off else ProviderState.ON)

    def float_is_back(self, name: str) -> None:
        """Let the next sale probe a provider that rests because its float was empty: it has some again."""
        route = self._routes.get(name)
        if route is not None:
            route.float_is_back(self._clock.monotonic())

    def snapshot(self) -> tuple[Health, ...]:
        """Return the health of every provider, for metrics and pages, in the order of the names."""
        now = self._clock.monotonic()
        return tuple(self._routes[name].health(now) for name in sorted(self._routes))


class _Turns:
    """Spreads the times at which waiting orders come back: each retry costs a write, and thousands may be waiting."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._at = 0.0

    def next_s(self, wait_s: float, now: float) -> float:
        """Return when to come back; at the earliest after `wait_s`."""
        at = max(self._at, now + wait_s)
        if at < now + max(wait_s, _LONGEST_TURN_S):
            self._at = at + self._interval_s
        return at - now


class _Pace:
    """Spreads calls evenly over time: at most `per_s` of them in a second, one `1 / per_s` after the other."""

    def __init__(self, per_s: float | None) -> None:
        self._interval_s = 1 / per_s if per_s else 0.0
        self.limits = bool(per_s)
        self.next_at = 0.0
        """When the next call may be made."""
        self._turns = _Turns(self._interval_s)

    def wait_s(self, now: float) -> float:
        return max(0.0, self.next_at - now)

    def take(self, now: float, *, ahead: bool = False) -> bool:
        """Count a call. With `ahead` only where no more than a second of calls is counted already."""
        if ahead and self.wait_s(now) > max(1.0, self._interval_s):
            return False
        self.next_at = max(now, self.next_at) + self._interval_s
        return True

    def turn_s(self, now: float) -> float:
        """How long until the turn of one more that waits."""
        return max(0.001, self._turns.next_s(self.wait_s(now), now))


class _Breaker:
    """See the head of this file."""

    def __init__(self, group: str, limits: ProviderLimits) -> None:
        self.group = group
        self._limits = limits
        self.state = BreakerState.CLOSED
        self.probe: Assignment | None = None
        # Each time that it closes a new period begins.
        self.period = 0
        self.failures_in_a_row = 0
        self._until = 0.0
        self._opened_at = 0.0
        self._openings = 0
        self.why = ""
        self.ours_to_mend = False
        # The outcomes that it judges by, since it closed last.
        self._judged: deque[bool] = deque(maxlen=limits.window)
        self.turns = _Turns(_TURN_S)

    def wait_s(self, now: float, *, alone: bool = False) -> float:
        """How long until a sale may be let through; 0 where it may now. `alone`: every provider of the sale is resting."""
        if self.state is BreakerState.OPEN:
            until = self._until
            if alone and not self.ours_to_mend:
                until = min(until, self._opened_at + self._limits.alone_s)
            if now < until:
                return until - now
        return 0.0 if self.probe is None else self._limits.full_s

    def rests(self, now: float) -> bool:
        """Whether it lets nothing through now: its cool-down is not over, or its probe is out."""
        return self.state is not BreakerState.CLOSED and self.wait_s(now) > 0

    def take(self, chosen: Assignment) -> None:
        if self.state is not BreakerState.CLOSED:
            self.state = BreakerState.HALF_OPEN
            self.probe = chosen

    def release(self, chosen: Assignment) -> None:
        if self.probe is chosen:
            # Half open without a probe: the next sale is it.
            self.probe = None

    def record(self, chosen: Assignment, period: int, outcome: Outcome, now: float, provider: str) -> Change | None:
        decides = self.probe is chosen
        self.release(chosen)
        if period != self.period:
            # It was sent before the breaker opened, and the breaker has closed since: out of date.
            return None
        failed = _failed(outcome)
        self.failures_in_a_row = self.failures_in_a_row + 1 if failed else 0
        if self.state is not BreakerState.CLOSED:
            # Only the probe decides; others come back from before the breaker opened.
            if not decides:
                return None
            return self.open_for_failures(outcome, now, provider) if failed else self.close(provider)
        self._judged.append(failed)
        enough = len(self._judged) >= self._limits.window_minimum
        too_many = sum(self._judged) * 100 >= self._limits.failure_ratio_percent * len(self._judged)
        if failed and (self.failures_in_a_row >= self._limits.failures_in_a_row or (enough and too_many)):
            return self.open_for_failures(outcome, now, provider)
        if not failed:
            self._openings = 0
        return None

    def open_for_failures(self, outcome: Outcome, now: float, provider: str) -> Change:
        # The exponent is bounded because the float would not be.
        cool_down_s = self._limits.cool_down_s * 2 ** min(self._openings, 16)
        self._openings += 1
        cool_down_s = min(cool_down_s, self._limits.longest_cool_down_s)
        return self.open(outcome, now, cool_down_s, provider, ours_to_mend=False)

    def open(self, outcome: Outcome, now: float, cool_down_s: float, provider: str, *, ours_to_mend: bool) -> Change:
        before = self.state
        self.state = BreakerState.OPEN
        self.probe = None
        self._opened_at = now
        self._until = max(self._until, now + cool_down_s)
        self.why = f"{type(outcome).__name__}: {outcome.text}"
        self.ours_to_mend = ours_to_mend
        self._judged.clear()
        return Change(provider, before, self.state, self.why, ours_to_mend, self.group)

    def cool(self, now: float) -> None:
        """End the cool-down: the next sale is the probe."""
        self._until = min(self._until, now)

    def close(self, provider: str) -> Change:
        change = Change(
            provider, self.state, BreakerState.CLOSED, "the probe was answered", ours_to_mend=False, group=self.group
        )
        self.state = BreakerState.CLOSED
        self.period += 1
        self.why = ""
        self.ours_to_mend = False
        self._judged.clear()
        return change

    def health(self, now: float) -> BreakerHealth:
        cooled = self.state is BreakerState.OPEN and now >= self._until
        return BreakerHealth(
            self.group,
            BreakerState.HALF_OPEN if cooled else self.state,
            self.why,
            self.ours_to_mend,
            max(0.0, self._until - now) if self.state is BreakerState.OPEN else 0.0,
        )


class _RepeatGuard:
    """Remembers which numbers were served a moment ago, each for a network and a kind."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str, str], float] = {}

    def wait_s(self, key: tuple[str, str, str], now: float) -> float:
        return max(0.0, self._until.get(key, 0.0) - now)

    def begin(self, key: tuple[str, str, str], until: float, now: float) -> None:
        # The oldest stand first.
        while self._until:
            first = next(iter(self._until))
            if self._until[first] > now:
                break
            del self._until[first]
        self._until.pop(key, None)
        self._until[key] = until

    def end(self, key: tuple[str, str, str]) -> None:
        self._until.pop(key, None)


class _Taken(NamedTuple):
    """A place that is taken: the breaker of its group, and the periods of both breakers when it began."""

    group: _Breaker
    group_period: int
    whole_period: int
    number: tuple[str, str, str]


class _Route:
    """One provider with its rule, its breakers and the calls in flight."""

    def __init__(self, provider: Provider, rule: Rule, limits: ProviderLimits, processes: int) -> None:
        self.provider = provider
        self.rule = rule
        self.state = ProviderState.OFF if rule.off else ProviderState.ON
        self._limits = limits
        networks = provider.traits.networks
        self._networks = None if networks is None else {(country, code.casefold()) for country, code in networks}
        self._taken: dict[Assignment, _Taken] = {}
        self._whole = _Breaker("", limits)
        self._groups: dict[tuple[str, str, str], _Breaker] = {}
        self._concurrency = provider.traits.concurrency if rule.concurrency is None else rule.concurrency
        rate_per_s = provider.traits.rate_per_s if rule.rate_per_s is None else rule.rate_per_s
        self.pace = _Pace(rate_per_s and rate_per_s / processes)
        self._guard = _RepeatGuard()
        # The last outcomes of all, for people.
        self._recent: deque[tuple[str, float]] = deque(maxlen=limits.window)

    @property
    def probes(self) -> list[Assignment]:
        """The probes that are out."""
        return [probe for breaker in (self._whole, *self._groups.values()) if (probe := breaker.probe) is not None]

    def serves(self, wanted: RoutingRequest) -> bool:
        traits = self.provider.traits
        return (
            (traits.test_mode if wanted.test else traits.live_mode)
            and wanted.kind in traits.kinds
            and (self._networks is None or (wanted.country, wanted.network.casefold()) in self._networks)
        )

    def rests(self, wanted: RoutingRequest, now: float) -> bool:
        return any(breaker.rests(now) for breaker in self._breakers(wanted))

    def wait_s(self, wanted: RoutingRequest, now: float, *, alone: bool = False) -> float:
        """How long until it may be worth coming back; 0 when there is a place now."""
        # On the path of every delivery: where all is well nothing is called.
        closed = BreakerState.CLOSED
        wait_s = self._whole.wait_s(now, alone=alone) if self._whole.state is not closed else 0.0
        group = self._groups.get((wanted.country, wanted.network, wanted.kind))
        if group is not None and group.state is not closed:
            wait_s = max(wait_s, group.wait_s(now, alone=alone))
        if self.provider.traits.repeat_guard_s and wanted.subscriber:
            wait_s = max(wait_s, self._guard.wait_s(_number(wanted), now))
        if len(self._taken) >= self._concurrency:
            wait_s = max(wait_s, self._limits.full_s)
        if self.pace.next_at > now:
            wait_s = max(wait_s, self.pace.next_at - now)
        return wait_s

    def later(self, wanted: RoutingRequest, now: float, *, alone: bool) -> RetryLater:
        """Why it has no place now, as a sentence for the operator, and when to come back."""
        name = self.provider.name
        wait_s = self.wait_s(wanted, now, alone=alone)
        for breaker in self._breakers(wanted):
            if breaker.state is not BreakerState.CLOSED:
                return RetryLater(breaker.turns.next_s(wait_s, now), f"{name} is resting: {breaker.why}")
        if len(self._taken) >= self._concurrency:
            return RetryLater(wait_s, f"{name} has {len(self._taken)} of {self._concurrency} calls in flight")
        if self.pace.wait_s(now) >= wait_s:
            return RetryLater(self.pace.turn_s(now), f"{name} takes no more calls in a second")
        return RetryLater(wait_s, f"{name} has served the number a moment ago")

    def rank(self, wanted: RoutingRequest) -> tuple[int, bool, int, str]:
        name = self.provider.name
        cost_minor = wanted.costs_minor.get(name)
        return self.rule.priority, cost_minor is None, cost_minor or 0, name

    def take(self, wanted: RoutingRequest, now: float) -> Assignment:
        """A place. The first one after a cool-down is the probe."""
        key = (wanted.country, wanted.network, wanted.kind)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Breaker(wanted.group, self._limits)
        whole = self._whole
        probe = whole.state is not BreakerState.CLOSED or group.state is not BreakerState.CLOSED
        chosen = Assignment(self.provider, probe=probe)
        if probe:
            whole.take(chosen)
            group.take(chosen)
        number = _number(wanted)
        self._taken[chosen] = _Taken(group, group.period, whole.period, number)
        if self.pace.limits:
            self.pace.take(now)
        if self.provider.traits.repeat_guard_s and wanted.subscriber:
            until = now + self.provider.traits.timeout_s + self.provider.traits.repeat_guard_s
            self._guard.begin(number, until, now)
        return chosen

    def release(self, chosen: Assignment) -> None:
        taken = self._taken.pop(chosen, None)
        if taken is not None:
            self._whole.release(chosen)
            taken.group.release(chosen)
            self._guard.end(taken.number)

    def record(self, chosen: Assignment, outcome: Outcome, duration_s: float, now: float) -> Change | None:
        taken = self._taken.get(chosen)
        if taken is None:
            return None
        self._taken.pop(chosen)
        self._recent.append((type(outcome).__name__, duration_s))
        if self.provider.traits.repeat_guard_s and taken.number[2]:
            self._guard_after(taken.number, outcome, now)
        name = self.provider.name
        whole, group = self._whole, taken.group
        if not self.rule.breaker:
            group.failures_in_a_row = group.failures_in_a_row + 1 if _failed(outcome) else 0
            return None
        moved = group.record(chosen, taken.group_period, outcome, now, name)
        if isinstance(outcome, Refused) and outcome.reason in OURS_TO_MEND:
            whole.release(chosen)
            if taken.whole_period != whole.period or (whole.ours_to_mend and whole.state is BreakerState.OPEN):
                return moved  # It is open already; hundreds of calls may return the same refusal.
            return whole.open(outcome, now, self._limits.mending_s, name, ours_to_mend=True)
        if whole.probe is not chosen:
            return moved
        whole.release(chosen)
        if taken.whole_period == whole.period:
            if _failed(outcome):
                return whole.open_for_failures(outcome, now, name)
            return whole.close(name)
        return moved

    def float_is_back(self, now: float) -> None:
        if self._whole.state is BreakerState.OPEN and self._whole.ours_to_mend:
            self._whole.cool(now)

    def health(self, now: float) -> Health:
        breakers = [
            breaker.health(now)
            for breaker in (self._whole, *self._groups.values())
            if breaker.state is not BreakerState.CLOSED
        ]
        worst = max(
            breakers,
            key=lambda breaker: (breaker.state is BreakerState.OPEN, breaker.opens_again_after_s),
            default=_CLOSED,
        )
        durations = [duration_s for _, duration_s in self._recent]
        return Health(
            provider=self.provider.name,
            state=worst.state,
            off=self.state is not ProviderState.ON,
            pretends=self.provider.traits.pretends,
            why=worst.why,
            ours_to_mend=worst.ours_to_mend,
            opens_again_after_s=worst.opens_again_after_s,
            in_flight=len(self._taken),
            concurrency=self._concurrency,
            failures_in_a_row=max((breaker.failures_in_a_row for breaker in self._groups.values()), default=0),
            recent=dict(Counter(kind for kind, _ in self._recent)),
            mean_duration_s=sum(durations) / len(durations) if durations else None,
            switched=self.state,
            breakers=tuple(breakers),
        )

    def _breakers(self, wanted: RoutingRequest) -> tuple[_Breaker, ...]:
        group = self._groups.get((wanted.country, wanted.network, wanted.kind))
        return (self._whole,) if group is None else (self._whole, group)

    def _guard_after(self, number: tuple[str, str, str], outcome: Outcome, now: float) -> None:
        guard_s = self.provider.traits.repeat_guard_s
        too_soon = isinstance(outcome, Refused) and outcome.reason is Reason.TOO_SOON
        if isinstance(outcome, NotSent | Refused) and not too_soon:
            self._guard.end(number)
        else:
            self._guard.begin(number, now + guard_s, now)


_CLOSED: Final = BreakerHealth("", BreakerState.CLOSED, "", ours_to_mend=False, opens_again_after_s=0.0)


def _failed(outcome: Outcome) -> bool:
    return isinstance(outcome, NotSent | Unknown) or (isinstance(outcome, Refused) and outcome.reason is Reason.DOWN)


def _number(wanted: RoutingRequest) -> tuple[str, str, str]:
    return wanted.network, wanted.kind, wanted.subscriber
