"""The story of an order, step by step: what its owner and the operator read, and what neither is told of the other."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.ledger.model import Entry, TransferKind
from telvend.orders.model import Attempt, AttemptState, Order, OrderState
from telvend.orders.story import LaterMoney, Outcome, Reader, Story, StoryFacts, story_of

NINE = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
PRICE, COST = Money(450, GHS), Money(427, GHS)


def after(seconds: float) -> datetime:
    return NINE + timedelta(seconds=seconds)


ORDER = Order(
    id=1, reference="WEB-1-abcdef", reseller_id=UUID(int=1), dialect="portal", mode=Mode.LIVE, client_reference="x",
    fingerprint="f", wallet_id=1, position=1, kind="data", country="GH", network="MTN", product_id=1, product="GH-MTN-1GB-30D",
    size="1GB", validity_days=30, subscriber="+233241234567", face=PRICE, price=PRICE, cost=COST, state=OrderState.ACCEPTED,
    balance_after=Money(550, GHS), created_at=NINE, updated_at=NINE,
)  # fmt: skip
HOLD = Entry(TransferKind.HOLD, "wallet", "in flight", PRICE, NINE)
RELEASE = Entry(TransferKind.RELEASE, "in flight", "wallet", PRICE, after(40))
POSTED = (
    Entry(TransferKind.COST, "in flight", "provider acme", COST, after(40)),
    Entry(TransferKind.MARGIN, "in flight", "margin", Money(23, GHS), after(40)),
)
ATTEMPT = Attempt(1, 1, "acme", "T-1-1", AttemptState.UNKNOWN, 0, "HTTP 504", None, after(1), None)


def facts(state: OrderState, *attempts: Attempt, updated: float = 0.0, **more: object) -> StoryFacts:
    order = msgspec.structs.replace(ORDER, state=state, updated_at=after(updated))
    known = StoryFacts(order, attempts, (HOLD,))
    return replace(known, **more)  # type: ignore[arg-type]


def lines(story: Story) -> list[tuple[float, str]]:
    return [((line.at - NINE).total_seconds(), line.text) for line in story.lines]


def test_an_order_whose_outcome_is_unknown_says_when_it_was_asked_and_when_it_is_asked_next() -> None:
    asked = replace(ATTEMPT, asked=2)
    story = story_of(facts(OrderState.WAITING, asked, updated=20, due_at=after(65)))
    assert lines(story) == [
        (0, "Paid: held until it is delivered"),
        (1, "Sent to MTN"),
        (20, "Asked MTN what became of it, 2 times"),
        (20, "No clear answer yet"),
        (65, "Next question to MTN"),
    ]
    assert [line.planned for line in story.lines] == [False, False, False, False, True]
    assert story.lines[0].amount == PRICE
    assert story.outcome is Outcome.ON_ITS_WAY
    assert "Charged, not delivered yet. Do not refund your customer" in story.meaning


def test_what_was_delivered_after_a_second_attempt_ends_with_it_and_the_operator_reads_cost_and_margin() -> None:
    refused = replace(ATTEMPT, state=AttemptState.REFUSED, text="no stock", finished_at=after(10))
    done = Attempt(
        1, 2, "other", "T-1-2", AttemptState.DELIVERED, 0, "ok", "P-9", after(11), after(40), provider_code="M1"
    )
    known = facts(OrderState.DELIVERED, refused, done, updated=40, entries=(HOLD, *POSTED))
    mine, theirs = story_of(known), story_of(known, Reader.OPERATOR)
    assert lines(mine) == [
        (0, "Paid: held until it is delivered"),
        (1, "Sent to MTN"),
        (10, "Refused by the network: not delivered"),
        (11, "Sent again to MTN"),
        (40, "Delivered"),
    ]
    assert mine.meaning == theirs.meaning == "Delivered. Your customer has it."
    assert {line.text for line in mine.lines} < {line.text for line in theirs.lines}
    told = [(line.text, line.detail) for line in theirs.lines]
    assert ("Sent again to MTN", "other, T-1-2, as M1") in told
    assert ("Delivered", "ok (P-9)") in told
    assert ("Cost", "in flight to provider acme") in told
    assert ("Margin", "in flight to margin") in told


def test_what_failed_is_given_back_and_may_be_refunded() -> None:
    refused = replace(ATTEMPT, state=AttemptState.REFUSED, finished_at=after(40))
    story = story_of(facts(OrderState.FAILED, refused, updated=40, entries=(HOLD, RELEASE)))
    assert (40, "Given back to the wallet") in lines(story)
    assert story.outcome is Outcome.NOT_DELIVERED
    assert "GHS 4.50 is back in your wallet" in story.meaning
    assert "Do not refund" not in story.meaning


def test_a_refund_a_loan_and_notes() -> None:
    refund = LaterMoney(TransferKind.REFUND, after(99), PRICE, "kofi: wrong number")
    story = story_of(facts(OrderState.DELIVERED, later=(refund,)))
    assert lines(story)[-1] == (99, "Refunded to the wallet by the shop")
    assert "given GHS 4.50 back" in story.meaning
    loan = LaterMoney(TransferKind.PROVISIONAL_CREDIT, after(50), PRICE, "rule")
    review = facts(OrderState.REVIEW, ATTEMPT, updated=45, later=(loan,), notes=((after(60), "called them"),))
    assert "has been lent to your wallet" in story_of(review).meaning
    assert lines(story_of(review))[-2:] == [
        (45, "Handed to a person"),
        (50, "Lent to the wallet while the outcome is unknown"),
    ]
    assert story_of(review, Reader.OPERATOR).lines[-1].detail == "called them"


def test_the_lease_of_an_order_in_hand_is_no_plan() -> None:
    started = replace(ATTEMPT, state=AttemptState.STARTED)
    story = story_of(facts(OrderState.DELIVERING, started, due_at=after(5)))
    assert not any(line.planned for line in story.lines)
    assert story.meaning.startswith("It is being sent.")


def test_what_was_not_reached_says_when_it_is_tried_next() -> None:
    missed = replace(ATTEMPT, state=AttemptState.NOT_SENT, finished_at=after(3))
    story = story_of(facts(OrderState.WAITING, missed, updated=3, due_at=after(8)))
    assert lines(story)[-2:] == [(3, "The network was not reached: not delivered"), (8, "Next try")]
    assert "is tried again" in story.meaning


HIDDEN = ("acme", "T-1-", "SECRET", "4.27", "0.23", "in flight")


@given(
    state=st.sampled_from(OrderState),
    attempts=st.lists(st.sampled_from(AttemptState), max_size=3),
    asked=st.integers(0, 9),
    kinds=st.sets(st.sampled_from([TransferKind.RELEASE, TransferKind.COST, TransferKind.MARGIN, TransferKind.LOSS])),
    due=st.none() | st.integers(0, 10_000),
)
def test_a_reseller_is_told_no_provider_no_cost_and_no_text_of_theirs_and_the_lines_are_in_order(
    state: OrderState, attempts: list[AttemptState], asked: int, kinds: set[TransferKind], due: int | None
) -> None:
    made = [
        replace(ATTEMPT, number=n, state=found, asked=asked, resent=asked, text="SECRET", provider_reference="SECRET-2")
        for n, found in enumerate(attempts, 1)
    ]
    entries = (HOLD, *(Entry(kind, "in flight", "provider acme", COST, after(40)) for kind in sorted(kinds)))
    known = facts(state, *made, updated=30, entries=entries, due_at=None if due is None else after(due))
    story = story_of(known)
    for line in story.lines:
        assert line.detail == ""
        assert not any(word in line.text for word in HIDDEN)
        if line.amount == COST:
            assert line.text == "Given back to the wallet"
    done = [line.at for line in story.lines if not line.planned]
    assert done == sorted(done)
    # Whoever has not got it, and has not got the money back, is told not to refund: and nobody else is.
    assert ("Do not refund" in story.meaning) == (not state.final)
    operator = story_of(known, Reader.OPERATOR)
    assert [line.text for line in story.lines if line.text not in {other.text for other in operator.lines}] == []


@pytest.mark.parametrize("state", OrderState)
def test_every_state_has_a_sentence(state: OrderState) -> None:
    assert story_of(facts(state)).meaning
