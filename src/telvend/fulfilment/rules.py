"""The decisions of the fulfilment, without database, clock or network: what to do next, and what a word means.

`next_step` looks at an order that a worker has just claimed. An attempt that is open is asked about, whoever left it
behind; only when none is open may another begin.

`weigh` looks at one thing that was said about an order (what a provider answered, what a person decided) beside the
order and all of its attempts, locked, as they stand now. The first definite word on an attempt wins: one that comes
late, twice, or from a worker that has lost its lease posts nothing, and one that contradicts is noted for a person.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from typing import Final

import msgspec

from telvend.errors import InvalidInput, InvariantBroken, NotFound, TelvendError
from telvend.fulfilment.routing import Choice, Chosen, Later
from telvend.kit.mode import Mode
from telvend.kit.money import MAXIMUM_MINOR, Money
from telvend.orders.model import AttemptState, State
from telvend.providers.contract import Accepted, Delivered, NotSent, Outcome, Refused, Unknown

OUTCOMES: Final = (Delivered, Accepted, Refused, NotSent, Unknown)

_LONGEST_TEXT: Final = 500


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How patient the fulfilment is. Durations are seconds.

    `ask_delays_s`: when to ask about an attempt whose outcome is unknown, each counted from the answer before; after
    the last one the order waits for a person. An accepted attempt is asked about after `first_ask_s` (or the
    provider's hint) and then by the same schedule.
    `maximum_not_sent`: after so many attempts that never arrived the order has failed. Between them it waits
    `backoff_s`, doubling.
    `lease_s`: for how long a claimed order is ours. Nothing is sent during the last `lease_margin_s` of it.
    """

    ask_delays_s: tuple[float, ...] = (5, 15, 45, 120, 300, 900, 3600, 10800, 21600, 43200)
    first_ask_s: float = 2.0
    longest_hint_s: float = 43200.0
    maximum_not_sent: int = 4
    backoff_s: float = 1.0
    longest_backoff_s: float = 60.0
    lease_s: float = 5.0
    lease_margin_s: float = 1.0


class Try(msgspec.Struct):
    """One attempt as the decisions see it. `changed`: it has to be written."""

    number: int
    provider: str
    reference: str
    state: AttemptState
    asked: int
    elsewhere: bool
    cost_minor: int
    started_at: datetime
    text: str = ""
    provider_reference: str | None = None
    changed: bool = False


class Claim(msgspec.Struct):
    """An order that a worker has just claimed. `state` is the one it had before; `now` is the database's clock."""

    id: int
    reference: str
    mode: Mode
    wallet_id: int
    kind: str
    country: str
    network: str
    product_id: int
    product: str
    size: str
    validity_days: int | None
    subscriber: str
    face: Money
    price: Money
    cost: Money
    state: State
    now: datetime
    attempts: list[Try]
    doubtful: bool = False
    """The book may have lost attempts of this order; see `with_doubt`."""


class Deliver(msgspec.Struct, frozen=True):
    """Begin another attempt, with a place at a provider."""

    chosen: Chosen
    number: int
    reference: str
    cost: Money


class Ask(msgspec.Struct, frozen=True):
    """Ask about the attempt that is open."""

    attempt: Try


class GiveUp(msgspec.Struct, frozen=True):
    """Nothing can have been delivered and nobody is left: the hold goes back."""

    why: str


class Park(msgspec.Struct, frozen=True):
    """Nobody can take it right now; look again `after_s` later. `state` is what it is until then."""

    after_s: float
    state: State
    why: str


class Hesitate(msgspec.Struct, frozen=True):
    """What the attempts say does not fit together: a person has to look."""

    why: str


class Presume(msgspec.Struct, frozen=True):
    """Write down an attempt that the book may have lost, and ask about it instead of making it.

    A lost attempt had the same reference where it was at the same provider.
    """

    provider: str
    number: int
    reference: str
    cost: Money
    why: str


class FindProvider(msgspec.Struct, frozen=True):
    """Another attempt may begin, where the router has a place for it.

    `excluded`: who may not be tried. Each entry is used only when the one before found no place.
    """

    number: int
    excluded: tuple[frozenset[str], ...]


Step = Deliver | Ask | GiveUp | Park | Hesitate | Presume


def next_step(claim: Claim, policy: Policy) -> Step | FindProvider:
    """Return what to do with an order that has just been claimed; `with_choice` makes a step of FindProvider."""
    number = 0
    open_attempts: list[Try] = []
    refused: set[str] = set()
    missed: list[str] = []
    for attempt in claim.attempts:
        number = max(number, attempt.number)
        match attempt.state:
            case AttemptState.DELIVERED:
                return Hesitate(f"attempt {attempt.number} was delivered, and the order was not settled by it")
            case AttemptState.REFUSED if not attempt.elsewhere:
                return GiveUp(attempt.text)
            case AttemptState.REFUSED:
                refused.add(attempt.provider)
            case AttemptState.NOT_SENT:
                missed.append(attempt.provider)
            case _:
                open_attempts.append(attempt)
    if len(open_attempts) > 1:
        return Hesitate(f"{len(open_attempts)} attempts are open at once")
    if open_attempts:
        return Ask(open_attempts[0])
    if len(missed) >= policy.maximum_not_sent:
        return GiveUp(f"{len(missed)} attempts did not reach a provider")
    # Elsewhere first; where nobody else has a place, the provider that was not reached may be tried again.
    excluded = (frozenset(refused.union(missed)),)
    return FindProvider(number + 1, (*excluded, frozenset(refused)) if missed else excluded)


def with_choice(claim: Claim, find: FindProvider, choice: Choice, costs: Mapping[str, int | None]) -> Step:
    """Return the step that follows from the router's choice.

    `costs` is what each provider takes, in minor units; one that is missing takes what the order expects.
    """
    match choice:
        case Chosen():
            minor = costs.get(choice.provider.name)
            cost = claim.cost if minor is None else Money(minor, claim.cost.currency)
            return Deliver(choice, find.number, f"{claim.reference}-{find.number}", cost)
        case Later():
            state = State.WAITING if claim.attempts else State.ACCEPTED
            return Park(max(0.05, choice.after_s * (1 + spread(claim.id, find.number - 1))), state, choice.why)
        case _:
            return GiveUp(choice.why)


# How soon an order is looked at again that may not be given to a provider now.
_HELD_S: Final = 2.0
_MAY_BE_LOST: Final = (
    "The database has gone back and may have lost an attempt of this order, so that nothing is bought or given back"
    " unseen. Compare with the provider, then resolve it."
)


def with_doubt(claim: Claim, step: Step, *, held: bool) -> Step:
    """What to do instead where the book may have lost an attempt of the order, or where nothing may be sent now (`held`).

    An attempt that is there is asked about as ever. Where a first one would be made at a provider it is asked about
    instead; nothing is delivered and no hold is given back by the book's word alone.
    """
    if not isinstance(step, Deliver | GiveUp):
        return step
    if held:
        state = State.WAITING if claim.attempts else State.ACCEPTED
        return Park(_HELD_S, state, "sales are halted, or the database server has just changed")
    if not claim.doubtful:
        return step
    if isinstance(step, Deliver):
        name = step.chosen.provider.name
        if name not in {attempt.provider for attempt in claim.attempts}:
            return Presume(name, step.number, step.reference, step.cost, _MAY_BE_LOST)
        return Hesitate(_MAY_BE_LOST)
    return Hesitate(f"{_MAY_BE_LOST} It would have failed: {_clean(step.why)}")


# The share of its time after which a step is behind an attempt: less than what `spread` leaves of it.
_EARLIEST: Final = 0.85


def spread(order_id: int, count: int) -> float:
    """From -0.1 to 0.1, always the same for the same order and count: keeps orders of one moment from coming back together."""
    return zlib.crc32(b"%d.%d" % (order_id, count)) / 2**32 * 0.2 - 0.1


# What was said --------------------------------------------------------------------------------------------------------


class Word(msgspec.Struct, frozen=True):
    """What a provider said about one attempt: to its delivery, or when it was asked (`asked`).

    `age_s`: how old the attempt was, at least, when the question was put. `schedule_age_s`: how old it is now, as well as that
    is known; None where it is not. `holds`: the worker still had the order's lease. Without the lease a final outcome still
    counts; rescheduling does not.
    """

    order_id: int
    wallet_id: int
    number: int
    outcome: Outcome
    asked: bool
    age_s: float
    settles_after_s: float
    holds: bool
    schedule_age_s: float | None = None


class GivenUp(msgspec.Struct, frozen=True):
    """A worker found that nobody is left to try."""

    order_id: int
    wallet_id: int
    why: str


class Verdict(msgspec.Struct, frozen=True):
    """A person decides. `reference`, where given, must be the order's."""

    order_id: int
    reference: str | None
    delivered: bool
    text: str


class LookAgain(msgspec.Struct, frozen=True):
    """A person wants the provider to be asked now. `reference`, where given, must be the order's."""

    order_id: int
    reference: str | None


Item = Word | GivenUp | Verdict | LookAgain


class Effect(StrEnum):
    """What became of an item."""

    DELIVERED = "delivered"
    """The hold is posted."""
    FAILED = "failed"
    """The hold is released."""
    ASK_LATER = "ask_later"
    """The hold stays; the provider is asked again."""
    TRY_AGAIN = "try_again"
    """Definitely not delivered; somebody else, or the same one, is tried."""
    REVIEW = "review"
    """The hold stays; a person decides."""
    CONTRADICTED = "contradicted"
    """It contradicts what was settled before: noted, and no money moved."""
    NOTHING = "nothing"
    """It was known already, or came too late to change anything."""


class Posting(msgspec.Struct, frozen=True):
    """Post the hold: `cost` to this provider, the rest is margin."""

    provider: str
    cost: Money


class Case(msgspec.Struct):
    """An order with all of its attempts, locked, as they are weighed and changed.

    When `changed`, `state` and `due_in_s` (None: never) have to be written; `posting` or `releases` say what happens to
    the hold, and `notes` are for people.
    """

    id: int
    reference: str
    wallet_id: int
    mode: Mode
    price: Money
    state: State
    attempts: list[Try]
    position: int = 0
    changed: bool = False
    due_in_s: float | None = None
    posting: Posting | None = None
    releases: bool = False
    notes: list[str] = []
    doubtful: bool = False
    created_at: datetime | None = None

    def become(self, state: State, due_in_s: float | None = None) -> None:
        """Change the state; a final one is never left. Raises InvariantBroken."""
        if self.state.final:
            raise InvariantBroken(f"order {self.id} is {self.state} and was about to become {state}")
        self.state = state
        self.due_in_s = due_in_s
        self.changed = True


def believed(word: Word) -> Outcome:
    """The outcome as far as it can be believed: "never heard of it" only once the request cannot arrive any more."""
    if isinstance(word.outcome, NotSent) and word.asked and word.age_s < word.settles_after_s:
        return Unknown(f"not heard of yet: {word.outcome.text}")
    return word.outcome


def may_release(item: Item) -> bool:
    """Whether weighing the item can give a hold back, so that the wallet has to be locked beforehand."""
    match item:
        case Word():
            return isinstance(item.outcome, Refused) and not item.outcome.elsewhere
        case Verdict():
            return not item.delivered
        case _:
            return isinstance(item, GivenUp)


def weigh(case: Case | None, item: Item, policy: Policy) -> Effect | TelvendError:
    """Change `case` as `item` demands. Answers what happened, or the error that a person gets.

    Raises InvariantBroken where a worker speaks of an order or attempt that does not exist.
    """
    match item:
        case Verdict() | LookAgain() if case is None or item.reference not in (None, case.reference):
            return NotFound("Order")
    if case is None:
        raise InvariantBroken(f"order {item.order_id} does not exist")
    match item:
        case Word():
            return _weigh_word(case, item, policy)
        case GivenUp():
            return _weigh_giving_up(case, item)
        case Verdict():
            return _weigh_verdict(case, item)
        case LookAgain():
            return _weigh_look_again(case)


def _weigh_word(case: Case, word: Word, policy: Policy) -> Effect:
    attempt = next((attempt for attempt in case.attempts if attempt.number == word.number), None)
    outcome = believed(word)
    if attempt is None:
        return _weigh_lost_attempt(case, word, outcome)
    if not attempt.state.open:
        return _weigh_late(case, attempt, outcome)
    if isinstance(outcome, NotSent) and attempt.state is AttemptState.ACCEPTED:
        # It said that it would deliver. That it now knows nothing of it is no promise not to.
        outcome = Unknown(f"accepted before, and now: {outcome.text}")
    attempt.changed = True
    attempt.text = _clean(outcome.text)
    if word.asked:
        attempt.asked += 1
    match outcome:
        case Delivered():
            attempt.state = AttemptState.DELIVERED
            _take_details(case, attempt, outcome)
        case Refused():
            attempt.state = AttemptState.REFUSED
            attempt.elsewhere = outcome.elsewhere
        case NotSent():
            attempt.state = AttemptState.NOT_SENT
        case Accepted():
            attempt.state = AttemptState.ACCEPTED
            attempt.provider_reference = _reference(outcome.provider_reference) or attempt.provider_reference
        case Unknown() if attempt.state is AttemptState.STARTED:
            attempt.state = AttemptState.UNKNOWN
    if case.state.final:
        raise InvariantBroken(f"order {case.id} is {case.state} and attempt {attempt.number} was open")
    if case.state is State.REVIEW:
        return _tell_the_reviewer(case, attempt)
    if attempt.state.open:
        return _ask_later(case, attempt, word, outcome, policy)
    if any(
        other.state.open or other.state is AttemptState.DELIVERED for other in case.attempts if other is not attempt
    ):
        case.notes.append(f"Attempt {attempt.number} is {attempt.state} while another one was delivered or is open.")
        case.become(State.REVIEW)
        return Effect.REVIEW
    match outcome:
        case Delivered():
            case.posting = Posting(attempt.provider, Money(attempt.cost_minor, case.price.currency))
            case.become(State.DELIVERED)
            return Effect.DELIVERED
        case Refused() if outcome.elsewhere:
            case.become(State.DELIVERING, 0.0)
        case Refused() if case.doubtful:
            return _review(case, f"{_MAY_BE_LOST} Attempt {attempt.number} was refused: {attempt.text}")
        case Refused():
            case.releases = True
            case.become(State.FAILED)
            return Effect.FAILED
        case _:
            missed = sum(other.state is AttemptState.NOT_SENT for other in case.attempts)
            case.become(State.WAITING, _backoff(missed, policy))
    return Effect.TRY_AGAIN


def _weigh_lost_attempt(case: Case, word: Word, outcome: Outcome) -> Effect:
    """A word on an attempt that the book does not have: it has gone back. Raises InvariantBroken where it has not."""
    if not case.doubtful:
        raise InvariantBroken(f"attempt {word.number} of order {case.id} does not exist")
    said = f"{type(outcome).__name__}: {_clean(outcome.text)}"
    text = f"Attempt {word.number} is not in the database, which has gone back; its provider said {said}"
    if case.state.final:
        case.notes.append(f"{text}. The order was {case.state}; no money was moved.")
        return Effect.CONTRADICTED
    return _review(case, text)


def _review(case: Case, note: str) -> Effect:
    case.notes.append(note)
    if case.state is not State.REVIEW:
        case.become(State.REVIEW)
    return Effect.REVIEW


def _backoff(missed: int, policy: Policy) -> float:
    """How long to wait after the attempts that never arrived; the last one is given up at once."""
    if missed >= policy.maximum_not_sent:
        return 0.0
    return min(policy.longest_backoff_s, policy.backoff_s * 2.0 ** min(missed - 1, 16))


def _tell_the_reviewer(case: Case, attempt: Try) -> Effect:
    """Only a person leads out of review, so that whatever is said meanwhile is theirs to read."""
    if not attempt.state.open:
        case.notes.append(f"While in review: attempt {attempt.number} is {attempt.state}: {attempt.text}")
    return Effect.REVIEW


def _ask_later(case: Case, attempt: Try, word: Word, outcome: Outcome, policy: Policy) -> Effect:
    if not word.holds:
        # Whoever has the order now decides when to look again; if nobody has, it is due already.
        return Effect.NOTHING
    delay_s = ask_delay_s(attempt, outcome, policy, word.schedule_age_s)
    if delay_s is None:
        case.notes.append(f"Asked {attempt.asked} times about attempt {attempt.number}; last: {attempt.text}")
        case.become(State.REVIEW)
        return Effect.REVIEW
    delay_s *= 1 + spread(case.id, attempt.asked)
    if isinstance(word.outcome, NotSent) and isinstance(outcome, Unknown) and word.age_s < word.settles_after_s:
        # Asked again as soon as the same answer can be believed.
        delay_s = min(delay_s, max(1.0, word.settles_after_s - word.age_s))
    case.become(State.WAITING, delay_s)
    return Effect.ASK_LATER


def ask_delay_s(attempt: Try, outcome: Outcome, policy: Policy, age_s: float | None = None) -> float | None:
    """Seconds until an open attempt is asked about again, without the jitter; None: it has been asked often enough.

    The step of the schedule is the one by the number of questions or the one by the attempt's age, whichever is shorter:
    questions that a jump of the database's clock or a person brought forward do not put off the next one.

    A provider's hint decides about the first question, and may put off later ones; it never brings them forward, since
    each counts.
    """
    accepted = attempt.state is AttemptState.ACCEPTED
    position = attempt.asked - accepted
    if position >= len(policy.ask_delays_s):
        return None
    if age_s is not None:
        position = min(position, _steps_by_age(age_s, policy))
    scheduled = policy.first_ask_s if position < 0 else policy.ask_delays_s[position]
    hint = outcome.ask_after_s if isinstance(outcome, Accepted) else None
    if not isinstance(hint, int | float) or not math.isfinite(hint) or hint < 0:
        return scheduled
    hint = min(float(hint), policy.longest_hint_s)
    return hint if attempt.asked == 0 else max(scheduled, hint)


def _steps_by_age(age_s: float, policy: Policy) -> int:
    """How many steps of the schedule an attempt of this age has behind it; the jitter may have made each of them shorter."""
    return sum(age_s >= _EARLIEST * total_s for total_s in accumulate(policy.ask_delays_s))


def _weigh_late(case: Case, attempt: Try, outcome: Outcome) -> Effect:
    """A word on an attempt that already had a definite one."""
    was_delivered = attempt.state is AttemptState.DELIVERED
    if isinstance(outcome, Delivered) and not was_delivered:
        case.notes.append(
            f"Attempt {attempt.number} ({attempt.provider}) was {attempt.state}, and is delivered after all:"
            f" {_clean(outcome.text)}. The order was {case.state}; no money was moved."
        )
        if not case.state.final:
            # Recorded as delivered, so that nothing but a person moves the order from now on.
            attempt.changed = True
            attempt.state = AttemptState.DELIVERED
            attempt.text = _clean(outcome.text)
            _take_details(case, attempt, outcome)
            case.become(State.REVIEW)
        return Effect.CONTRADICTED
    if isinstance(outcome, Refused | NotSent) and was_delivered:
        case.notes.append(
            f"Attempt {attempt.number} ({attempt.provider}) was delivered, and is now said not to be:"
            f" {_clean(outcome.text)}. The order is {case.state}; no money was moved."
        )
        return Effect.CONTRADICTED
    return Effect.NOTHING


def _take_details(case: Case, attempt: Try, outcome: Delivered) -> None:
    attempt.provider_reference = _reference(outcome.provider_reference) or attempt.provider_reference
    cost = outcome.cost
    if isinstance(cost, Money):
        if cost.currency == case.price.currency and 0 <= cost.minor <= MAXIMUM_MINOR:
            attempt.cost_minor = cost.minor
        else:
            case.notes.append(f"Attempt {attempt.number}: the cost that {attempt.provider} names cannot be: {cost!r}")


def _weigh_giving_up(case: Case, item: GivenUp) -> Effect:
    # By the time this is weighed somebody else may have gone on with the order.
    if case.state.final or case.state is State.REVIEW or not _nothing_delivered(case.attempts):
        return Effect.NOTHING
    if case.doubtful:
        return _review(case, f"{_MAY_BE_LOST} It would have failed: {_clean(item.why)}")
    case.releases = True
    case.notes.append(f"Given up: {item.why}")
    case.become(State.FAILED)
    return Effect.FAILED


def _nothing_delivered(attempts: Sequence[Try]) -> bool:
    return all(attempt.state in (AttemptState.REFUSED, AttemptState.NOT_SENT) for attempt in attempts)


def _weigh_verdict(case: Case, verdict: Verdict) -> Effect | TelvendError:
    wanted = State.DELIVERED if verdict.delivered else State.FAILED
    if case.state is wanted:
        return Effect.NOTHING
    if case.state.final:
        return InvalidInput("order", f"is {case.state} already, and the money has moved")
    if case.state not in (State.REVIEW, State.WAITING):
        return InvalidInput("order", "is with a provider right now; decide when it is waiting or in review")
    if verdict.delivered and not case.attempts:
        return InvalidInput("order", "was never sent to a provider, so that nobody can have delivered it")
    case.notes.append(f"Decided by hand, {wanted}: {_clean(verdict.text)}")
    for attempt in case.attempts:
        if attempt.state.open:
            attempt.changed = True
            attempt.state = AttemptState.DELIVERED if verdict.delivered else AttemptState.REFUSED
            attempt.text = f"decided by hand: {_clean(verdict.text)}"
    if verdict.delivered:
        delivered = [attempt for attempt in case.attempts if attempt.state is AttemptState.DELIVERED]
        attempt = (delivered or case.attempts)[-1]
        attempt.changed = True
        attempt.state = AttemptState.DELIVERED
        case.posting = Posting(attempt.provider, Money(attempt.cost_minor, case.price.currency))
    else:
        case.releases = True
    case.become(wanted)
    return Effect.DELIVERED if verdict.delivered else Effect.FAILED


def _weigh_look_again(case: Case) -> Effect | TelvendError:
    if case.state.final:
        return InvalidInput("order", f"is {case.state} already")
    if case.state in (State.ACCEPTED, State.DELIVERING):
        return Effect.NOTHING  # It is being looked at.
    if case.state is State.REVIEW:
        open_attempts = sum(attempt.state.open for attempt in case.attempts)
        if open_attempts != 1 or any(attempt.state is AttemptState.DELIVERED for attempt in case.attempts):
            return InvalidInput("order", "has nothing that a provider could be asked; decide whether it was delivered")
    case.become(State.WAITING, 0.0)
    return Effect.ASK_LATER


def _clean(text: object) -> str:
    """A provider's text as PostgreSQL takes it: without NUL and half characters, and not too long."""
    return str(text).replace("\x00", "").encode("utf-8", "replace").decode()[:_LONGEST_TEXT]


def _reference(text: object) -> str | None:
    return None if text is None else _clean(text)
