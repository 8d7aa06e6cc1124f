"""What a word means for an order, without database, clock or network.

`weigh` looks at one thing that was said about an order (what a provider answered, what a person decided) beside the
order and all of its attempts, locked, as they stand now. The first definite word on an attempt wins: one that comes
late, twice, or from a worker that has lost its lease posts nothing, and one that contradicts is noted for a person. Where a
provider contradicts a person's decision, the house writes off the cost that the provider then takes or gives back.
"""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from telvend.catalog.kinds import Payload, kind_of
from telvend.errors import InvalidInput, InvariantBroken, NotFound, TelvendError
from telvend.fulfilment.model import (
    MAY_BE_LOST,
    Abandoned,
    AttemptSnapshot,
    CalledBack,
    Effect,
    FulfilmentPolicy,
    HoldPosting,
    Item,
    LateAnswer,
    LateReport,
    LockedOrder,
    PersonVerdict,
    ProviderReport,
    RequeryNow,
    clean,
    spread,
)
from telvend.kit.money import MAXIMUM_MINOR, Money
from telvend.orders.model import AttemptState, OrderState
from telvend.providers.contract import Accepted, Delivered, NotSent, Outcome, Reason, Refused, Unknown

# The share of its time after which a step is behind an attempt: less than what `spread` leaves of it.
_EARLIEST: Final = 0.85

_WRITTEN_OFF: Final = "a person had decided so, and what the provider says of its cost is a write-off, once"

LATE_REQUERY_DELAYS_S: Final = (3600.0, 21_600.0, 86_400.0, 259_200.0, 604_800.0)
"""When a provider is asked again about an attempt that a person has decided, each counted from the time before."""


def believed(report: ProviderReport, resent: int = 0) -> Outcome:
    """Return the outcome as far as it can be believed. `resent` is how often the attempt has been sent again by now.

    "Never heard of it" counts only once no request can arrive any more. So does a refusal of one request where another one
    under the same reference may still be on its way: a refusal that took nothing (no float, a rate limit) leaves the reference
    free at the far side, and the other one would deliver. A refusal that a requery finds is the far side's record of the
    reference, and counts for all of them; so does a reference that the far side has closed (`NotSent.closed`).
    """
    requery = report.asked and not report.to_resend
    closed = isinstance(report.outcome, NotSent) and report.outcome.closed
    if requery and (closed or isinstance(report.outcome, Refused)):
        return report.outcome
    if not isinstance(report.outcome, NotSent | Refused):
        return report.outcome
    if resent != report.resent:
        return Unknown(f"sent again meanwhile: {report.outcome.text}")
    if report.asked and report.age_s < report.settles_after_s:
        return Unknown(
            f"not heard of yet: {report.outcome.text}"
            if requery
            else f"sent again, {report.outcome.text}; the first request may still arrive"
        )
    return report.outcome


def may_release(item: Item) -> bool:
    """Whether weighing the item can give a hold back, so that the wallet has to be locked beforehand."""
    match item:
        case ProviderReport():
            outcome = item.outcome
            return isinstance(outcome, Refused) and not outcome.elsewhere and outcome.reason is not Reason.TOO_SOON
        case PersonVerdict():
            return not item.delivered
        case _:
            return isinstance(item, Abandoned)


def weigh(locked: LockedOrder | None, item: Item, policy: FulfilmentPolicy) -> Effect | TelvendError:
    """Apply `item` to the locked order. Return the effect, or the error that a person gets.

    Raises InvariantBroken where a worker reports on an order or attempt that does not exist.
    """
    match item:
        case PersonVerdict() | RequeryNow() if locked is None or item.reference not in (None, locked.reference):
            return NotFound("Order")
    if locked is None:
        if isinstance(item, CalledBack):
            return Effect.NOTHING  # The database has gone back meanwhile.
        raise InvariantBroken(f"order {item.order_id} does not exist")
    match item:
        case ProviderReport():
            return _weigh_report(locked, item, policy)
        case Abandoned():
            return _weigh_giving_up(locked, item)
        case PersonVerdict():
            return _weigh_verdict(locked, item)
        case RequeryNow():
            return _weigh_look_again(locked)
        case CalledBack():
            return _weigh_callback(locked, item)
        case LateAnswer():
            return _weigh_late_answer(locked, item)


def _weigh_report(locked: LockedOrder, report: ProviderReport, policy: FulfilmentPolicy) -> Effect:
    attempt = _attempt_of(locked, report.number)
    outcome = believed(report, report.resent if attempt is None else attempt.resent)
    if attempt is None:
        return _weigh_lost_attempt(locked, report, outcome)
    if not attempt.state.open:
        return _weigh_late(locked, attempt, outcome)
    if isinstance(outcome, NotSent) and attempt.state is AttemptState.ACCEPTED:
        # It said that it would deliver. That it now knows nothing of it is no promise not to.
        outcome = Unknown(f"accepted before, and now: {outcome.text}")
    attempt.changed = True
    attempt.text = clean(outcome.text)
    if report.asked:
        attempt.asked += 1
    match outcome:
        case Delivered():
            attempt.state = AttemptState.DELIVERED
            _take_details(locked, attempt, outcome)
        case Refused():
            attempt.state = AttemptState.REFUSED
            attempt.elsewhere = outcome.elsewhere
            attempt.again = outcome.reason is Reason.TOO_SOON
        case NotSent():
            attempt.state = AttemptState.NOT_SENT
        case Accepted():
            attempt.state = AttemptState.ACCEPTED
            attempt.provider_reference = _reference(outcome.provider_reference) or attempt.provider_reference
            # Some providers name the cost when they accept, and not again when they have delivered.
            attempt.cost_minor = _cost_of(locked, attempt, outcome).minor
        case Unknown() if attempt.state is AttemptState.STARTED:
            attempt.state = AttemptState.UNKNOWN
    if locked.state.final:
        raise InvariantBroken(f"order {locked.id} is {locked.state} and attempt {attempt.number} was open")
    if locked.state is OrderState.REVIEW:
        return _tell_the_reviewer(locked, attempt)
    if attempt.state.open:
        return _requery_later(locked, attempt, report, outcome, policy)
    if _others_may_have_delivered(locked, attempt):
        locked.notes.append(f"Attempt {attempt.number} is {attempt.state} while another one was delivered or is open.")
        locked.become(OrderState.REVIEW)
        return Effect.REVIEW
    match outcome:
        case Delivered():
            locked.posting = HoldPosting(attempt.provider, Money(attempt.cost_minor, locked.price.currency))
            locked.become(OrderState.DELIVERED)
            return Effect.DELIVERED
        case Refused() if attempt.again:
            locked.become(OrderState.WAITING, _too_soon_s(locked, report.repeat_guard_s, policy))
        case Refused() if outcome.elsewhere:
            locked.become(OrderState.DELIVERING, 0.0)
        case Refused() if locked.doubtful:
            return _review(locked, f"{MAY_BE_LOST} Attempt {attempt.number} was refused: {attempt.text}")
        case Refused():
            locked.releases = True
            locked.become(OrderState.FAILED)
            return Effect.FAILED
        case _:
            missed = [other for other in locked.attempts if other.state is AttemptState.NOT_SENT]
            locked.become(OrderState.WAITING, policy.backoff(missed))
    return Effect.TRY_AGAIN


def _attempt_of(locked: LockedOrder, number: int) -> AttemptSnapshot | None:
    return next((attempt for attempt in locked.attempts if attempt.number == number), None)


def _others_may_have_delivered(locked: LockedOrder, attempt: AttemptSnapshot) -> bool:
    """Whether another attempt of the order is open or was delivered."""
    return any(
        other.state.open or other.state is AttemptState.DELIVERED for other in locked.attempts if other is not attempt
    )


def _weigh_lost_attempt(locked: LockedOrder, report: ProviderReport, outcome: Outcome) -> Effect:
    """A word on an attempt that the book does not have: it has gone back. Raises InvariantBroken where it has not."""
    if not locked.doubtful:
        raise InvariantBroken(f"attempt {report.number} of order {locked.id} does not exist")
    said = f"{type(outcome).__name__}: {clean(outcome.text)}"
    text = f"Attempt {report.number} is not in the database, which has gone back; its provider said {said}"
    if locked.state.final:
        locked.notes.append(f"{text}. The order was {locked.state}; no money was moved.")
        return Effect.CONTRADICTED
    return _review(locked, text)


def _review(locked: LockedOrder, note: str) -> Effect:
    locked.notes.append(note)
    if locked.state is not OrderState.REVIEW:
        locked.become(OrderState.REVIEW)
    return Effect.REVIEW


def _too_soon_s(locked: LockedOrder, repeat_guard_s: float, policy: FulfilmentPolicy) -> float:
    """How long to wait until the number may be served again. Other orders for it may get there first: ever longer."""
    times = sum(attempt.again for attempt in locked.attempts)
    delay_s = max(repeat_guard_s, policy.too_soon_s) * 2.0 ** min(max(0, times - 1), 16)
    return min(policy.longest_too_soon_s, delay_s) * (1 + abs(spread(locked.id, times)))


def _tell_the_reviewer(locked: LockedOrder, attempt: AttemptSnapshot) -> Effect:
    """Only a person leads out of review, so that whatever is said meanwhile is theirs to read."""
    if not attempt.state.open:
        locked.notes.append(f"While in review: attempt {attempt.number} is {attempt.state}: {attempt.text}")
    return Effect.REVIEW


def _requery_later(
    locked: LockedOrder, attempt: AttemptSnapshot, report: ProviderReport, outcome: Outcome, policy: FulfilmentPolicy
) -> Effect:
    if not report.holds:
        # Whoever has the order now decides when to look again; if nobody has, it is due already.
        return Effect.NOTHING
    delay_s = next_requery_s(attempt, outcome, policy, report.schedule_age_s)
    if delay_s is None:
        locked.notes.append(f"Asked {attempt.asked} times about attempt {attempt.number}; last: {attempt.text}")
        locked.become(OrderState.REVIEW)
        return Effect.REVIEW
    delay_s *= 1 + spread(locked.id, attempt.asked)
    doubted = isinstance(report.outcome, NotSent | Refused) and isinstance(outcome, Unknown)
    if doubted and report.age_s < report.settles_after_s:
        # Asked again as soon as the same answer can be believed.
        delay_s = min(delay_s, max(1.0, report.settles_after_s - report.age_s))
    locked.become(OrderState.WAITING, delay_s)
    return Effect.REQUERY_LATER


def next_requery_s(
    attempt: AttemptSnapshot, outcome: Outcome, policy: FulfilmentPolicy, age_s: float | None = None
) -> float | None:
    """Seconds until an open attempt is asked about again, without the jitter; None: it has been asked often enough.

    The step of the schedule is the one by the number of questions or the one by the attempt's age, whichever is shorter:
    questions that a jump of the database's clock or a person brought forward do not put off the next one.

    A provider's hint decides about the first question, and may put off later ones; it never brings them forward, since
    each counts.
    """
    accepted = attempt.state is AttemptState.ACCEPTED
    position = attempt.asked - accepted
    if position >= len(policy.requery_delays_s):
        return None
    if age_s is not None:
        position = min(position, _steps_by_age(age_s, policy))
    scheduled = policy.first_requery_s if position < 0 else policy.requery_delays_s[position]
    hint = outcome.requery_after_s if isinstance(outcome, Accepted) else None
    if not isinstance(hint, int | float) or not math.isfinite(hint) or hint < 0:
        return scheduled
    hint = min(float(hint), policy.longest_hint_s)
    return hint if attempt.asked == 0 else max(scheduled, hint)


def _steps_by_age(age_s: float, policy: FulfilmentPolicy) -> int:
    """How many steps of the schedule an attempt of this age has behind it; the jitter may have made each of them shorter."""
    return sum(age_s >= _EARLIEST * total_s for total_s in accumulate(policy.requery_delays_s))


def _weigh_late(locked: LockedOrder, attempt: AttemptSnapshot, outcome: Outcome) -> Effect:
    """A word on an attempt that already had a definite one.

    A provider that contradicts itself is not believed, and moves no money. Its first report against a person's decision is
    entered as a write-off of the cost that it takes, or does not take. The wallet keeps what the person decided.
    """
    if attempt.reported or any(report.attempt == attempt.number for report in locked.late):
        return Effect.NOTHING
    was_delivered = attempt.state is AttemptState.DELIVERED
    late = _contradicts_person(locked, attempt, outcome)
    if late:
        cost = Money(attempt.cost_minor, locked.price.currency)
        if isinstance(outcome, Delivered):
            cost = _cost_of(locked, attempt, outcome)
        text = clean(outcome.text)
        locked.late.append(LateReport(attempt.number, attempt.provider, isinstance(outcome, Delivered), cost, text))
    if isinstance(outcome, Delivered) and (late or not was_delivered):
        locked.notes.append(
            f"Attempt {attempt.number} ({attempt.provider}) was {attempt.state}, and is delivered after all:"
            f" {clean(outcome.text)}. The order was {locked.state}; {_WRITTEN_OFF if late else 'no money was moved'}."
        )
        if not locked.state.final:
            # Recorded as delivered, so that nothing but a person moves the order from now on.
            attempt.changed = True
            attempt.state = AttemptState.DELIVERED
            attempt.text = clean(outcome.text)
            _take_details(locked, attempt, outcome)
            locked.become(OrderState.REVIEW)
        return Effect.CONTRADICTED
    if isinstance(outcome, Refused | NotSent) and was_delivered:
        locked.notes.append(
            f"Attempt {attempt.number} ({attempt.provider}) was delivered, and is now said not to be:"
            f" {clean(outcome.text)}. The order is {locked.state}; {_WRITTEN_OFF if late else 'no money was moved'}."
        )
        return Effect.CONTRADICTED
    return Effect.NOTHING


def _contradicts_person(locked: LockedOrder, attempt: AttemptSnapshot, outcome: Outcome) -> bool:
    """Whether a word on an attempt is against the decision of a person on its order."""
    if not locked.state.final:
        return False
    posted = attempt is _posted(locked)
    if isinstance(outcome, Delivered):
        # An attempt that was delivered and not posted: a person has decided the order against it.
        return not posted if attempt.state is AttemptState.DELIVERED else attempt.by_hand
    return isinstance(outcome, Refused | NotSent) and attempt.by_hand and posted


def _weigh_late_answer(locked: LockedOrder, answer: LateAnswer) -> Effect:
    attempt = _attempt_of(locked, answer.number)
    # An attempt may be missing: the database has gone back meanwhile.
    if attempt is None or attempt.state.open or not _contradicts_person(locked, attempt, answer.outcome):
        return Effect.NOTHING
    return _weigh_late(locked, attempt, answer.outcome)


def _posted(locked: LockedOrder) -> AttemptSnapshot | None:
    """The attempt whose cost was posted for a delivered order: the last one that was delivered. None for other orders."""
    if locked.state is not OrderState.DELIVERED:
        return None
    return [attempt for attempt in locked.attempts if attempt.state is AttemptState.DELIVERED][-1]


def _contradicted_by(locked: LockedOrder, posted: AttemptSnapshot | None) -> list[LateReport]:
    """The attempts that their providers have delivered against a decision that was made just now, and whose cost nothing pays."""
    found = [
        attempt for attempt in locked.attempts if attempt.state is AttemptState.DELIVERED and attempt is not posted
    ]
    for attempt in found:
        locked.notes.append(
            f"Attempt {attempt.number} ({attempt.provider}) is delivered, says its provider; what it takes for it is a write-off."
        )
    return [
        LateReport(
            attempt.number, attempt.provider, True, Money(attempt.cost_minor, locked.price.currency), attempt.text
        )
        for attempt in found
    ]


def _decided(locked: LockedOrder) -> list[int]:
    """The attempts of a final order of which a late report may still come."""
    return [attempt.number for attempt in locked.attempts if attempt.by_hand and not attempt.reported]


def _take_details(locked: LockedOrder, attempt: AttemptSnapshot, outcome: Delivered) -> None:
    attempt.provider_reference = _reference(outcome.provider_reference) or attempt.provider_reference
    attempt.cost_minor = _cost_of(locked, attempt, outcome).minor
    if outcome.payload is not None:
        _take_payload(locked, attempt, outcome.payload)


def _cost_of(locked: LockedOrder, attempt: AttemptSnapshot, outcome: Delivered | Accepted) -> Money:
    """What the provider takes: what it names, where that can be, else what the attempt expected."""
    cost = outcome.cost
    if isinstance(cost, Money):
        if cost.currency == locked.price.currency and 0 <= cost.minor <= MAXIMUM_MINOR:
            return cost
        locked.notes.append(f"Attempt {attempt.number}: the cost that {attempt.provider} names cannot be: {cost!r}")
    return Money(attempt.cost_minor, locked.price.currency)


def _take_payload(locked: LockedOrder, attempt: AttemptSnapshot, payload: Payload) -> None:
    """Keep what the delivery carried back. What cannot be read counts as not told, so that the provider is asked again."""
    form = kind_of(locked.kind).payload
    if form is None:
        locked.notes.append(
            f"Attempt {attempt.number}: {attempt.provider} sent what {locked.kind} does not carry; it was dropped."
        )
        return
    try:
        locked.payload = Payload(form.parse(payload.reveal()))
    except ValueError as error:
        locked.notes.append(f"Attempt {attempt.number}: the {form.name} of {attempt.provider} cannot be read: {error}.")


def _weigh_giving_up(locked: LockedOrder, item: Abandoned) -> Effect:
    # By the time this is weighed somebody else may have gone on with the order.
    if locked.state.final or locked.state is OrderState.REVIEW or not _nothing_delivered(locked.attempts):
        return Effect.NOTHING
    if locked.doubtful:
        return _review(locked, f"{MAY_BE_LOST} It would have failed: {clean(item.why)}")
    locked.releases = True
    locked.notes.append(f"Given up: {item.why}")
    locked.become(OrderState.FAILED)
    return Effect.FAILED


def _nothing_delivered(attempts: Sequence[AttemptSnapshot]) -> bool:
    return all(attempt.state in (AttemptState.REFUSED, AttemptState.NOT_SENT) for attempt in attempts)


def decided_already(locked: LockedOrder, verdict: PersonVerdict) -> Effect | TelvendError | None:
    """What a verdict gets that changes nothing: it is known, or cannot be. None where it would move money."""
    if locked.state is verdict.wanted:
        return Effect.NOTHING
    if locked.state.final:
        return InvalidInput("order", f"is {locked.state} already, and the money has moved")
    if locked.state not in (OrderState.REVIEW, OrderState.WAITING):
        return InvalidInput("order", "is with a provider right now; decide when it is waiting or in review")
    if verdict.delivered and not locked.attempts:
        return InvalidInput("order", "was never sent to a provider, so that nobody can have delivered it")
    return None


def _weigh_verdict(locked: LockedOrder, verdict: PersonVerdict) -> Effect | TelvendError:
    answer = decided_already(locked, verdict)
    if answer is not None:
        return answer
    locked.notes.append(f"Decided by hand, {verdict.wanted}{verdict.names}: {clean(verdict.text)}")
    locked.decided_by_hand = True
    # What a provider has said that it delivered is what was delivered, and what is paid for: nothing is known of an open one beside it.
    delivered = [attempt for attempt in locked.attempts if attempt.state is AttemptState.DELIVERED]
    for attempt in locked.attempts:
        if attempt.state.open:
            attempt.changed = attempt.by_hand = True
            arrived = verdict.delivered and not delivered
            attempt.state = AttemptState.DELIVERED if arrived else AttemptState.REFUSED
            attempt.text = f"decided by hand: {clean(verdict.text)}"
            if arrived:
                delivered = [attempt]
    posted = None
    if verdict.delivered:
        posted = attempt = (delivered or locked.attempts)[-1]
        attempt.changed = True
        attempt.by_hand |= attempt.state is not AttemptState.DELIVERED
        attempt.state = AttemptState.DELIVERED
        locked.posting = HoldPosting(attempt.provider, Money(attempt.cost_minor, locked.price.currency))
    else:
        locked.releases = True
    locked.become(verdict.wanted)
    locked.late += _contradicted_by(locked, posted)
    locked.late_requeries.update(dict.fromkeys(_decided(locked), LATE_REQUERY_DELAYS_S[0]))
    return Effect.DELIVERED if verdict.delivered else Effect.FAILED


def _weigh_look_again(locked: LockedOrder) -> Effect | TelvendError:
    if locked.state.final:
        if not (decided := _decided(locked)):
            return InvalidInput("order", f"is {locked.state} already")
        locked.late_requeries.update(dict.fromkeys(decided, 0.0))
        return Effect.REQUERY_LATER
    if locked.state in (OrderState.ACCEPTED, OrderState.DELIVERING):
        return Effect.NOTHING  # It is being looked at.
    if locked.state is OrderState.REVIEW:
        open_attempts = sum(attempt.state.open for attempt in locked.attempts)
        if open_attempts != 1 or any(attempt.state is AttemptState.DELIVERED for attempt in locked.attempts):
            return InvalidInput("order", "has nothing that a provider could be asked; decide whether it was delivered")
    locked.become(OrderState.WAITING, 0.0)
    return Effect.REQUERY_LATER


def _weigh_callback(locked: LockedOrder, callback: CalledBack) -> Effect:
    """Bring the next question forward, where one is to be put about this attempt. Everything else changes nothing.

    The question does not count against the schedule. From review, too: vendors call back about what their staff has settled
    after all. What the provider answers counts as ever.
    """
    attempt = _attempt_of(locked, callback.number)
    if attempt is None or not attempt.state.open or locked.state not in (OrderState.WAITING, OrderState.REVIEW):
        return Effect.NOTHING
    if _others_may_have_delivered(locked, attempt):
        return Effect.NOTHING  # What the attempts say does not fit together: a person has to look.
    if attempt.asked:
        attempt.asked -= 1
        attempt.changed = True
    locked.become(OrderState.WAITING, 0.0)
    return Effect.REQUERY_LATER


def _reference(text: object) -> str | None:
    return None if text is None else clean(text)
