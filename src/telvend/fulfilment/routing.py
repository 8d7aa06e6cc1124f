"""Which provider gets a sale: by health, priority and cost. No I/O: providers and the clock are handed in.

Each provider has a breaker:

    CLOSED ── too many failures, or it does not let us in ──> OPEN ── the cool-down is over ──> HALF_OPEN
       ^                                                        ^                                  │
       └────────── the probe is answered ───────────────────────│────────── the probe fails ───────┘

`NotSent` and `Unknown` are failures: the provider did not answer as it should. A refusal is an answer, whatever the
subscriber's fault. Two refusals are ours to mend (no float, not allowed): they open the breaker at once, for longer.

A half-open provider gets one real sale as its probe, and only where it would be chosen if it were well. Otherwise a
cheap provider with a dear one behind it would never come back. A sale that finds every breaker open waits; nothing
fails because of a breaker. Nothing here is drawn by lot, so a simulation with a seed repeats itself.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from telvend.kit.clock import Clock
from telvend.providers.contract import NotSent, Outcome, Provider, Reason, Refused, Unknown

OURS_TO_MEND: Final = frozenset({Reason.NO_FLOAT, Reason.NOT_ALLOWED})
"""Refusals that every sale would meet until the operator has done something."""


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

    Lower `priority` goes first. `concurrency` replaces the provider's own limit. Without `breaker` its failures are
    counted and change nothing: right for the simulator, whose failures are steered by the number and say nothing of
    the next one.
    """

    priority: int = 100
    off: bool = False
    concurrency: int | None = None
    breaker: bool = True


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """When a breaker opens, and for how long.

    It opens after `failures_in_a_row`, or when at least `failure_ratio_percent` of the last `window` outcomes failed,
    once there are `window_minimum` of them. Each opening doubles `cool_down_s`, up to `longest_cool_down_s`, until a
    sale after the probe was answered too. `mending_s` is the pause after a refusal that is ours to mend. `full_s` is
    when a sale should come back that found every provider busy.
    """

    failures_in_a_row: int = 5
    failure_ratio_percent: int = 50
    window: int = 50
    window_minimum: int = 20
    cool_down_s: float = 10.0
    longest_cool_down_s: float = 120.0
    mending_s: float = 60.0
    full_s: float = 0.25


@dataclass(frozen=True, slots=True)
class RoutingRequest:
    """What is to be delivered, as far as the choice is concerned.

    `test`: for a test key. `costs_minor` is what each provider takes for the product, by its name, in the same
    currency; one that is missing counts as dearer than all others. `excluded` names those that may not be tried
    (again). `kind` is the product kind.
    """

    country: str
    network: str
    test: bool
    costs_minor: Mapping[str, int] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()
    kind: str = "data"


@dataclass(frozen=True, eq=False, slots=True)
class Chosen:
    """A provider, and a place in it. Give it back with `Router.record` or `Router.release`."""

    provider: Provider
    probe: bool


@dataclass(frozen=True, slots=True)
class Later:
    """There are providers, and none can take it now. Ask again `after_s` later; the sale stays accepted."""

    after_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Nobody:
    """No provider will ever take it: none serves it, or all that do are excluded or switched off."""

    why: str


Choice = Chosen | Later | Nobody


@dataclass(frozen=True, slots=True)
class Change:
    """A breaker has moved: something for the log, and for the operator where `ours_to_mend`."""

    provider: str
    before: BreakerState
    after: BreakerState
    why: str
    ours_to_mend: bool


@dataclass(frozen=True, slots=True)
class Health:
    """How one provider is doing. `recent` counts the last outcomes by the names of their classes.

    `opens_again_after_s` is the rest of the cool-down; `why` says what opened the breaker, also while it is half open.
    `mean_duration_s` is over the recent outcomes, None before the first.
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


class Router:
    """Chooses, and learns from what became of it. One for each process: health is what this process has seen itself.

    `refuses_live` says why live sales get nobody now, None when they do: then a sale that nobody has been asked to deliver
    fails, and its hold goes back. Raises ValueError when two providers have the same name, or a rule is for one that is not
    there.
    """

    def __init__(
        self,
        providers: Iterable[Provider],
        clock: Clock,
        *,
        rules: Mapping[str, Rule] | None = None,
        limits: ProviderLimits | None = None,
        refuses_live: Callable[[], str | None] | None = None,
    ) -> None:
        self._clock = clock
        self._refuses_live = refuses_live or (lambda: None)
        self._limits = limits or ProviderLimits()
        self._desks: dict[str, _Desk] = {}
        rules = rules or {}
        for provider in providers:
            if provider.name in self._desks:
                raise ValueError(f"two providers are called {provider.name}")
            self._desks[provider.name] = _Desk(provider, rules.get(provider.name, Rule()), self._limits)
        if strangers := rules.keys() - self._desks.keys():
            raise ValueError(f"there is no provider {', '.join(sorted(strangers))}")

    def provider(self, name: str) -> Provider | None:
        """The provider of this name, whatever its health: attempts are asked about where they were made."""
        desk = self._desks.get(name)
        return desk.provider if desk else None

    def choose(self, wanted: RoutingRequest) -> Choice:
        """Who gets this sale. A `Chosen` holds a place until it is recorded or released."""
        if not wanted.test and (why := self._refuses_live()) is not None:
            return Nobody(why)
        candidates = [desk for desk in self._desks.values() if desk.serves(wanted)]
        if not candidates:
            return Nobody(f"nobody sells {wanted.network} of {wanted.country}" + (" for test keys" * wanted.test))
        candidates = [desk for desk in candidates if desk.provider.name not in wanted.excluded]
        if not candidates:
            return Nobody("every provider has been tried")
        candidates = [desk for desk in candidates if not desk.rule.off]
        if not candidates:
            return Nobody("every provider is switched off")
        now = self._clock.monotonic()
        ready = [desk for desk in candidates if desk.wait_s(now) == 0]
        if not ready:
            soonest = min(candidates, key=lambda desk: desk.wait_s(now))
            return Later(soonest.wait_s(now), soonest.why_not(now))
        return min(ready, key=lambda desk: desk.rank(wanted)).take()

    def record(self, chosen: Chosen, outcome: Outcome, duration_s: float) -> Change | None:
        """Say what became of a delivery, and give its place back. Answers what changed, if anything did."""
        return self._desks[chosen.provider.name].record(chosen, outcome, duration_s, self._clock.monotonic())

    def release(self, chosen: Chosen) -> None:
        """Give a place back without a word on the provider: it was never called. After `record` it does nothing."""
        self._desks[chosen.provider.name].release(chosen)

    def switch(self, name: str, *, off: bool) -> None:
        """Switch a provider off or on again. What it has in flight goes on. Raises KeyError for an unknown name."""
        self._desks[name].switch(off=off)

    def snapshot(self) -> tuple[Health, ...]:
        """How everybody is doing, for metrics and pages, in the order of the names."""
        now = self._clock.monotonic()
        return tuple(self._desks[name].health(now) for name in sorted(self._desks))


class _Desk:
    """One provider, its rule, its breaker and who is with it."""

    def __init__(self, provider: Provider, rule: Rule, limits: ProviderLimits) -> None:
        self.provider = provider
        self.rule = rule
        self._limits = limits
        networks = provider.traits.networks
        self._networks = None if networks is None else {(country, code.casefold()) for country, code in networks}
        # Who is with it, and in which period: each time the breaker closes a new one begins.
        self._taken: dict[Chosen, int] = {}
        self._period = 0
        self._state = BreakerState.CLOSED
        self._probe: Chosen | None = None
        self._until = 0.0
        self._openings = 0
        self._failures_in_a_row = 0
        self._why = ""
        self._ours_to_mend = False
        # The outcomes that the breaker judges by, since it closed last; and the last ones of all, for people.
        self._judged: deque[bool] = deque(maxlen=limits.window)
        self._recent: deque[tuple[str, float]] = deque(maxlen=limits.window)

    @property
    def _concurrency(self) -> int:
        return self.provider.traits.concurrency if self.rule.concurrency is None else self.rule.concurrency

    def serves(self, wanted: RoutingRequest) -> bool:
        traits = self.provider.traits
        return (
            (traits.test_mode if wanted.test else traits.live_mode)
            and wanted.kind in traits.kinds
            and (self._networks is None or (wanted.country, wanted.network.casefold()) in self._networks)
        )

    def wait_s(self, now: float) -> float:
        """How long until it may be worth coming back; 0 when there is a place now."""
        if self._state is BreakerState.OPEN and now < self._until:
            return self._until - now
        if self._probe is not None or len(self._taken) >= self._concurrency:
            return self._limits.full_s
        return 0.0

    def why_not(self, now: float) -> str:
        """Why it has no place now, as a sentence for the operator."""
        name = self.provider.name
        if self._state is not BreakerState.CLOSED:
            return f"{name} is resting: {self._why}"
        return f"{name} has {len(self._taken)} of {self._concurrency} calls in flight" if self.wait_s(now) else ""

    def rank(self, wanted: RoutingRequest) -> tuple[int, bool, int, str]:
        name = self.provider.name
        cost_minor = wanted.costs_minor.get(name)
        return self.rule.priority, cost_minor is None, cost_minor or 0, name

    def take(self) -> Chosen:
        """A place. The first one after a cool-down is the probe."""
        probe = self._state is not BreakerState.CLOSED
        chosen = Chosen(self.provider, probe=probe)
        self._taken[chosen] = self._period
        if probe:
            self._state = BreakerState.HALF_OPEN
            self._probe = chosen
        return chosen

    def release(self, chosen: Chosen) -> None:
        self._taken.pop(chosen, None)
        if self._probe is chosen:
            # Half open without a probe: the next sale is it.
            self._probe = None

    def record(self, chosen: Chosen, outcome: Outcome, duration_s: float, now: float) -> Change | None:
        if chosen not in self._taken:
            return None
        decides = self._probe is chosen
        of_this_period = self._taken[chosen] == self._period
        self.release(chosen)
        self._recent.append((type(outcome).__name__, duration_s))
        failed = isinstance(outcome, NotSent | Unknown)
        mending = isinstance(outcome, Refused) and outcome.reason in OURS_TO_MEND
        if not of_this_period:
            # It was sent before the breaker opened, and has since closed again: old news.
            return None
        self._failures_in_a_row = self._failures_in_a_row + 1 if failed else 0
        if not self.rule.breaker:
            return None
        if mending:
            if self._ours_to_mend and self._state is BreakerState.OPEN:
                return None  # Known; hundreds may come back with the same word.
            return self._open(
                f"{type(outcome).__name__}: {outcome.text}", now, self._limits.mending_s, ours_to_mend=True
            )
        if self._state is not BreakerState.CLOSED:
            # Only the probe decides; others come back from before the breaker opened.
            if not decides:
                return None
            return self._open_for_failures(outcome, now) if failed else self._close()
        self._judged.append(failed)
        enough = len(self._judged) >= self._limits.window_minimum
        too_many = sum(self._judged) * 100 >= self._limits.failure_ratio_percent * len(self._judged)
        if failed and (self._failures_in_a_row >= self._limits.failures_in_a_row or (enough and too_many)):
            return self._open_for_failures(outcome, now)
        if not failed:
            self._openings = 0
        return None

    def switch(self, *, off: bool) -> None:
        self.rule = replace(self.rule, off=off)

    def _open_for_failures(self, outcome: Outcome, now: float) -> Change:
        # The exponent is bounded because the float would not be.
        cool_down_s = self._limits.cool_down_s * 2 ** min(self._openings, 16)
        self._openings += 1
        return self._open(
            f"{type(outcome).__name__}: {outcome.text}",
            now,
            min(cool_down_s, self._limits.longest_cool_down_s),
            ours_to_mend=False,
        )

    def _open(self, why: str, now: float, cool_down_s: float, *, ours_to_mend: bool) -> Change:
        before = self._state
        self._state = BreakerState.OPEN
        self._probe = None
        self._until = max(self._until, now + cool_down_s)
        self._why = why
        self._ours_to_mend = ours_to_mend
        self._judged.clear()
        return Change(self.provider.name, before, self._state, why, ours_to_mend)

    def _close(self) -> Change:
        change = Change(
            self.provider.name, self._state, BreakerState.CLOSED, "the probe was answered", ours_to_mend=False
        )
        self._state = BreakerState.CLOSED
        self._period += 1
        self._why = ""
        self._ours_to_mend = False
        self._judged.clear()
        return change

    def health(self, now: float) -> Health:
        cooled = self._state is BreakerState.OPEN and now >= self._until
        durations = [duration_s for _, duration_s in self._recent]
        return Health(
            provider=self.provider.name,
            state=BreakerState.HALF_OPEN if cooled else self._state,
            off=self.rule.off,
            pretends=self.provider.traits.pretends,
            why=self._why,
            ours_to_mend=self._ours_to_mend,
            opens_again_after_s=max(0.0, self._until - now) if self._state is BreakerState.OPEN else 0.0,
            in_flight=len(self._taken),
            concurrency=self._concurrency,
            failures_in_a_row=self._failures_in_a_row,
            recent=dict(Counter(kind for kind, _ in self._recent)),
            mean_duration_s=sum(durations) / len(durations) if durations else None,
        )
