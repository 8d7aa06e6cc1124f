"""The rules of one subscriber's balances: by example, and by whatever hypothesis does to an account and to a naive model."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from telvend.errors import InvalidInput
from telvend.kit.mode import Mode
from telvend.kit.money import GHS
from telvend.operator.subscribers.balances.account import LONGEST_REACHABLE, LONGEST_USABLE, MAXIMUM, Account, why
from telvend.operator.subscribers.balances.model import (
    Bucket,
    BucketKind,
    Grant,
    MaximumCredit,
    NotEnough,
    PostingKind,
    Reservation,
    ReservationState,
)
from telvend.operator.subscribers.model import Billing, Subscriber, SubscriberBarred, SubscriberStatus

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def subscriber(**facts: Any) -> Subscriber:
    known: dict[str, Any] = {
        "id": 1,
        "mode": Mode.LIVE,
        "msisdn": "+233241234567",
        "country": "GH",
        "currency": GHS,
        "billing": Billing.PREPAID,
        "status": SubscriberStatus.ACTIVE,
        "tariff_plan": "Prepaid",
        "language": "1",
        "active_until": NOW + 90 * DAY,
        "grace_until": NOW + 180 * DAY,
        "created_at": NOW,
    }
    return Subscriber(**(known | facts))


def account(*buckets: Bucket, now: datetime = NOW, **facts: Any) -> Account:
    return Account(subscriber(**facts), list(buckets), now, count(1000).__next__)


def bucket(number: int, balance: int = 10, **facts: Any) -> Bucket:
    known: dict[str, Any] = {
        "id": number,
        "kind": BucketKind.DATA,
        "name": str(number),
        "balance": balance,
        "starts_at": NOW - DAY,
        "created_at": NOW - DAY,
    }
    return Bucket(**(known | facts))


def taken(acted: Account) -> list[tuple[int, int]]:
    return [(posting.bucket_id, posting.change) for posting in acted.postings]


IN_ORDER = [
    bucket(1, priority=10),
    bucket(2, expires_at=NOW + DAY),
    bucket(3, starts_at=None, validity_days=2, created_at=NOW - 2 * DAY),
    bucket(4, expires_at=NOW + 2 * DAY, created_at=NOW - DAY),
    bucket(5, expires_at=NOW + 2 * DAY, created_at=NOW - DAY),
    bucket(6, created_at=NOW - 3 * DAY),
    bucket(7, priority=200, expires_at=NOW + timedelta(hours=1)),
]


@given(st.permutations(IN_ORDER))
def test_the_order_of_use_is_priority_expiry_age_id_whatever_order_they_come_in(buckets: list[Bucket]) -> None:
    assert [found.id for found in account(*buckets).eligible(BucketKind.DATA)] == [1, 2, 3, 4, 5, 6, 7]


def test_each_place_in_the_order_of_use_is_explained() -> None:
    assert [why(this, before, NOW) for before, this in pairwise([None, *IN_ORDER]) if this] == [
        "the first",
        "priority 100 comes after 10",
        "ends later",
        "given later",
        "the same, with a higher number",
        "never ends",
        "priority 200 comes after 100",
    ]


def test_what_may_not_be_used_is_passed_over() -> None:
    acted = account(
        bucket(1, expires_at=NOW),
        bucket(2, starts_at=NOW + DAY),
        bucket(3, open=False),
        bucket(4, reserved=10),
        bucket(5, line="router"),
        bucket(6, kind=BucketKind.SMS),
        bucket(7, balance=3),
    )
    with pytest.raises(NotEnough) as refused:
        acted.consume(BucketKind.DATA, 4, "c")
    assert (refused.value.required, refused.value.available, acted.postings) == (4, 3, [])
    acted.consume(BucketKind.DATA, 3, "c")
    assert taken(acted) == [(7, -3)]


def test_using_takes_from_several_and_closes_what_is_empty() -> None:
    acted = account(bucket(1, 4, expires_at=NOW + DAY), bucket(2, 10))
    acted.consume(BucketKind.DATA, 9, "c")
    assert taken(acted) == [(1, -4), (2, -5)]
    assert [(b.balance, b.open, b.changed) for b in acted.buckets] == [(0, False, True), (5, True, True)]


def test_a_bucket_that_begins_with_its_first_use_begins_then() -> None:
    acted = account(bucket(1, starts_at=None, validity_days=7))
    acted.reserve(BucketKind.DATA, 1)
    assert (acted.buckets[0].starts_at, acted.buckets[0].expires_at) == (NOW, NOW + 7 * DAY)


def test_the_main_account_came_from_no_product_whatever_made_it() -> None:
    acted = account()
    acted.give([Grant(BucketKind.MONEY, 500, "", "NG-MTN-AIRTIME", main=True)], PostingKind.GRANT, "r1")
    assert acted.main is not None
    assert acted.main.product == ""


def test_giving_makes_a_bucket_for_each_and_lets_the_main_account_grow() -> None:
    acted = account()
    main = Grant(BucketKind.MONEY, 500, "", main=True)
    bundle = Grant(BucketKind.DATA, 7, "Week", "W-1", 7)
    acted.give([main, bundle, Grant(BucketKind.SMS, 5, "Week", "W-1", 7, first_use=True)], PostingKind.REFILL, "r1")
    acted.give([main, bundle], PostingKind.REFILL, "r2")
    assert [(b.kind, b.balance, b.postings, b.starts_at, b.expires_at) for b in acted.buckets] == [
        (BucketKind.MONEY, 1000, 2, NOW, None),
        (BucketKind.DATA, 7, 1, NOW, NOW + 7 * DAY),
        (BucketKind.SMS, 5, 1, None, None),
        (BucketKind.DATA, 7, 1, NOW, NOW + 7 * DAY),
    ]
    assert [posting.cause for posting in acted.postings] == ["r1", "r1", "r1", "r2", "r2"]


@pytest.mark.parametrize(
    "facts",
    [{"status": status} for status in SubscriberStatus if status is not SubscriberStatus.ACTIVE]
    + [{"grace_until": NOW}],
    ids=str,
)
def test_a_barred_subscriber_gets_and_uses_nothing(facts: dict[str, Any]) -> None:
    acted = account(bucket(1), **facts)
    verbs: list[Callable[[], Any]] = [
        lambda: acted.give([Grant(BucketKind.SMS, 1, "x")], PostingKind.GRANT, "c"),
        lambda: acted.consume(BucketKind.DATA, 1, "c"),
        lambda: acted.reserve(BucketKind.DATA, 1),
    ]
    for verb in verbs:
        with pytest.raises(SubscriberBarred):
            verb()
    assert not acted.touched


def test_who_is_out_of_time_can_be_given_something_but_use_nothing() -> None:
    acted = account(bucket(1), active_until=NOW)
    acted.give([Grant(BucketKind.SMS, 1, "x")], PostingKind.GRANT, "c")
    with pytest.raises(SubscriberBarred):
        acted.consume(BucketKind.DATA, 1, "c")


def test_more_than_can_be_counted_is_refused_whole() -> None:
    acted = account(bucket(1, MAXIMUM - 1, kind=BucketKind.MONEY, main=True))
    with pytest.raises(MaximumCredit):
        acted.give([Grant(BucketKind.SMS, 1, "x"), Grant(BucketKind.MONEY, 2, "", main=True)], PostingKind.REFILL, "r")
    with pytest.raises(MaximumCredit):
        acted.give([Grant(BucketKind.SMS, MAXIMUM + 1, "x")], PostingKind.REFILL, "r")
    assert not acted.touched


@given(st.integers(0, 3650), st.integers(0, 3650), st.integers(-400, 400), st.integers(0, 200))
def test_clocks_move_ahead_never_back_and_never_too_far(usable: int, reachable: int, stands: int, more: int) -> None:
    acted = account(active_until=NOW + stands * DAY, grace_until=NOW + (stands + more) * DAY)
    capped = acted.move_clocks(usable, max(usable, reachable))
    found = acted.subscriber
    assert NOW + stands * DAY <= found.active_until <= max(NOW + stands * DAY, NOW + LONGEST_USABLE)
    assert found.active_until <= found.grace_until
    assert found.grace_until <= max(NOW + (stands + more) * DAY, NOW + LONGEST_REACHABLE)
    if not capped:
        assert found.active_until >= NOW + usable * DAY


def test_a_capture_uses_in_order_and_gives_the_rest_back() -> None:
    acted = account(bucket(1, 4, expires_at=NOW + DAY), bucket(2, 10))
    held = reservation(acted, 9)
    assert [(b.balance, b.reserved) for b in acted.buckets] == [(4, 4), (10, 5)]
    acted.capture(held, 6, "s")
    assert taken(acted) == [(1, -4), (2, -2)]
    assert [(b.balance, b.reserved, b.open) for b in acted.buckets] == [(0, 0, False), (8, 0, True)]
    assert (held.state, held.captured, held.due_at) == (ReservationState.CAPTURED, 6, None)
    with pytest.raises(InvalidInput):
        acted.release(held)


def test_what_is_over_goes_except_what_is_reserved_which_goes_after() -> None:
    acted = account(bucket(1, 10, expires_at=NOW + DAY))
    held = reservation(acted, 4)
    acted.now = NOW + DAY
    acted.expire()
    assert taken(acted) == [(1, -6)]
    acted.release(held)
    assert taken(acted) == [(1, -6), (1, -4)]
    assert not acted.buckets[0].open


def reservation(acted: Account, amount: int, reference: str = "s") -> Reservation:
    parts = acted.reserve(BucketKind.DATA, amount)
    return Reservation(1, 1, reference, BucketKind.DATA, amount, 0, ReservationState.HELD, acted.now + DAY, parts)


class Life(RuleBasedStateMachine):
    """An account beside a model that knows only sums, through any history."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.account = account(active_until=NOW + 10_000 * DAY, grace_until=NOW + 10_000 * DAY)
        self.random = random.Random(seed)
        self.given = self.used = self.expired = 0
        self.held: list[Reservation] = []

    @rule(
        amount=st.integers(1, 100),
        days=st.none() | st.integers(1, 5),
        first_use=st.booleans(),
        priority=st.integers(0, 2),
    )
    def give(self, amount: int, days: int | None, first_use: bool, priority: int) -> None:
        grant = Grant(BucketKind.DATA, amount, "x", "p", days, first_use and days is not None, priority)
        self.account.give([grant], PostingKind.GRANT, "g")
        self.given += amount

    @rule(amount=st.integers(1, 150))
    def consume(self, amount: int) -> None:
        available = sum(found.free for found in self.account.eligible(BucketKind.DATA))
        order = [found.id for found in self.account.eligible(BucketKind.DATA)]
        before = len(self.account.postings)
        # The order in which rows happen to be loaded must not matter.
        self.random.shuffle(self.account.buckets)
        try:
            postings = self.account.consume(BucketKind.DATA, amount, "c")
        except NotEnough:
            assert amount > available
            assert len(self.account.postings) == before
        else:
            assert amount <= available
            assert -sum(posting.change for posting in postings) == amount
            assert [posting.bucket_id for posting in postings] == order[: len(postings)]
            self.used += amount

    @rule(amount=st.integers(1, 150))
    def reserve(self, amount: int) -> None:
        free = sum(found.free for found in self.account.buckets)
        try:
            made = reservation(self.account, amount)
        except NotEnough:
            assert sum(found.free for found in self.account.buckets) == free
        else:
            assert sum(part.amount for part in made.parts) == amount
            assert sum(found.free for found in self.account.buckets) == free - amount
            self.held.append(made)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        ended = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        before = len(self.account.postings)
        if data.draw(st.booleans()):
            amount = data.draw(st.integers(1, ended.amount))
            self.account.capture(ended, amount, "s")
            self.used += amount
        else:
            self.account.release(ended)
        self.count_expired(before)

    @rule(days=st.integers(1, 3))
    def time_passes(self, days: int) -> None:
        self.account.now += days * DAY
        before = len(self.account.postings)
        self.account.expire()
        self.count_expired(before)

    def count_expired(self, before: int) -> None:
        self.expired -= sum(p.change for p in self.account.postings[before:] if p.kind is PostingKind.EXPIRE)

    @invariant()
    def nothing_is_lost_and_nothing_appears(self) -> None:
        if not hasattr(self, "account"):
            return
        buckets = self.account.buckets
        assert sum(found.balance for found in buckets) == self.given - self.used - self.expired
        assert sum(found.reserved for found in buckets) == sum(held.amount for held in self.held)
        for found in buckets:
            postings = [posting for posting in self.account.postings if posting.bucket_id == found.id]
            assert found.balance == sum(posting.change for posting in postings)
            assert [posting.number for posting in postings] == list(range(1, found.postings + 1))
            assert 0 <= found.reserved <= found.balance
            assert found.open == (found.balance > 0)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
