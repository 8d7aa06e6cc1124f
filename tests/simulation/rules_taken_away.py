"""Rules of money that a test takes away, so that the checker of the simulation has to notice: those that both simulations lose."""

import msgspec
import pytest

from telvend.fulfilment import calls, rules, weighing
from telvend.fulfilment import worker as worker_module
from telvend.fulfilment.model import ClaimedOrder, FindProvider, FulfilmentPolicy, ProviderReport, Step
from telvend.orders.model import AttemptState
from telvend.providers.contract import NotSent, Outcome, Unknown


def unknown_is_taken_for_not_sent(patch: pytest.MonkeyPatch) -> None:
    believed = weighing.believed

    def credulous(report: ProviderReport, resent: int = 0) -> Outcome:
        outcome = believed(report, resent)
        return NotSent(outcome.text) if isinstance(outcome, Unknown) else outcome

    patch.setattr(weighing, "believed", credulous)


def never_heard_of_it_is_believed_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(weighing, "believed", lambda report, _=0: report.outcome)


def a_refused_resend_is_believed_at_once(patch: pytest.MonkeyPatch) -> None:
    believed = weighing.believed

    def credulous(report: ProviderReport, resent: int = 0) -> Outcome:
        return report.outcome if report.to_resend else believed(report, resent)

    patch.setattr(weighing, "believed", credulous)


def an_attempt_that_a_dead_worker_left_is_bought_again(patch: pytest.MonkeyPatch) -> None:
    def forgetful(claim: ClaimedOrder, policy: FulfilmentPolicy) -> Step | FindProvider:
        claim.attempts = [
            msgspec.structs.replace(attempt, state=AttemptState.NOT_SENT)
            if attempt.state is AttemptState.STARTED
            else attempt
            for attempt in claim.attempts
        ]
        return rules.next_step(claim, policy)

    patch.setattr(worker_module, "next_step", forgetful)


def any_reference_is_taken_for_a_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(calls, "_sends_again", lambda _: True)
