"""The lock-out: growing delay, one right PIN clears, a locked partner takes exactly his own off the source."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.subscribers.vouchers.guard import (
    FIRST_DELAY,
    FORGOTTEN_AFTER,
    LIMITS,
    LONGEST_DELAY,
    Guard,
    Guarded,
    Guards,
    delay,
)
from telvend.subscribers.vouchers.model import LockedOut

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def guards(subscriber: str = "s", partner: str = "p", source: str = "x") -> Guards:
    return Guards(Guard(Guarded.SUBSCRIBER, subscriber), Guard(Guarded.PARTNER, partner), Guard(Guarded.SOURCE, source))


def tries(who: Guards, count: int, now: datetime = NOW) -> None:
    """So many wrong PINs, each of another subscriber, so that only partner and source are counted up."""
    for _ in range(count):
        Guards(Guard(Guarded.SUBSCRIBER, "another"), who.partner, who.source).wrong(now)


def test_the_limits_are_those_of_the_contract() -> None:
    assert LIMITS == {Guarded.SUBSCRIBER: 5, Guarded.PARTNER: 50, Guarded.SOURCE: 50}


def test_the_fifth_wrong_pin_locks_the_subscriber_for_half_a_minute() -> None:
    three = guards()
    for left in (4, 3, 2, 1):
        assert three.wrong(NOW) == ()
        three.mind(NOW)
        assert three.subscriber.tries_left() == left
    assert three.wrong(NOW) == (three.subscriber,)
    with pytest.raises(LockedOut) as locked:
        three.mind(NOW)
    assert locked.value.retry_after_s == 30
    with pytest.raises(LockedOut) as locked:
        three.mind(NOW + timedelta(seconds=29.5))
    assert locked.value.retry_after_s == 1
    three.mind(NOW + timedelta(seconds=30))


@given(strikes=st.integers(1, 10_000))
def test_the_delay_doubles_with_each_strike_and_is_never_longer_than_a_day(strikes: int) -> None:
    assert FIRST_DELAY <= delay(strikes) <= LONGEST_DELAY
    assert delay(strikes + 1) == min(delay(strikes) * 2, LONGEST_DELAY)


@given(locks=st.integers(1, 20))
def test_somebody_who_guesses_on_waits_longer_each_time(locks: int) -> None:
    three, now, waited = guards(), NOW, []
    for _ in range(locks):
        # The partner is somebody else each time: he would be locked too.
        three = Guards(three.subscriber, Guard(Guarded.PARTNER, "p"), Guard(Guarded.SOURCE, "x"))
        for _ in range(5):
            three.wrong(now)
        with pytest.raises(LockedOut) as locked:
            three.mind(now)
        waited.append(locked.value.retry_after_s)
        now += timedelta(seconds=locked.value.retry_after_s)
    assert waited == [min(30 * 2**number, 86_400) for number in range(locks)]


@given(wrongs=st.lists(st.integers(1, 4), min_size=1, max_size=30))
def test_whoever_sends_a_right_pin_now_and_then_is_never_locked(wrongs: Sequence[int]) -> None:
    three = guards()
    for count in wrongs:
        for _ in range(count):
            assert three.wrong(NOW) == ()
        three.right()
        assert all(guard.clear for guard in three)
    three.mind(NOW)


def test_a_right_pin_forgets_strikes_too() -> None:
    three = guards()
    for _ in range(5):
        three.wrong(NOW)
    later = NOW + timedelta(seconds=31)
    three.mind(later)
    three.right()
    for _ in range(5):
        three.wrong(later)
    assert three.subscriber.locked_for(later) == FIRST_DELAY


@given(quiet=st.timedeltas(timedelta(), timedelta(days=3)), wrong=st.integers(1, 12))
def test_what_is_counted_is_forgotten_after_a_day_in_which_nothing_happened(quiet: timedelta, wrong: int) -> None:
    guard = Guard(Guarded.SUBSCRIBER, "s")
    now = NOW
    for _ in range(wrong):
        now += guard.locked_for(now)
        guard.count(now)
    strikes, counted = guard.strikes, guard.wrong
    now += guard.locked_for(now) + quiet
    guard.count(now)
    if quiet >= FORGOTTEN_AFTER:
        assert (guard.strikes, guard.wrong) == (0, 1)
    else:
        assert guard.strikes * 5 + guard.wrong == strikes * 5 + counted + 1


def test_a_locked_partner_does_not_lock_his_neighbours() -> None:
    source = Guard(Guarded.SOURCE, "x")
    bad = Guards(Guard(Guarded.SUBSCRIBER, "s"), Guard(Guarded.PARTNER, "bad"), source)
    good = Guards(Guard(Guarded.SUBSCRIBER, "t"), Guard(Guarded.PARTNER, "good"), source)
    good.wrong(NOW)
    tries(bad, 48)
    assert (source.wrong, source.shares) == (49, {"bad": 48, "good": 1})
    assert source.locked_for(NOW) == timedelta()
    good.right()
    tries(bad, 2)
    assert bad.partner.locked_for(NOW) == FIRST_DELAY
    assert source.locked_for(NOW) == timedelta()
    good.mind(NOW)


def test_partners_who_guess_together_lock_their_source() -> None:
    source = Guard(Guarded.SOURCE, "x")
    gang = [Guards(Guard(Guarded.SUBSCRIBER, "s"), Guard(Guarded.PARTNER, f"p{n}"), source) for n in range(5)]
    for one in gang:
        tries(one, 10)
    assert source.locked_for(NOW) == FIRST_DELAY
    assert (source.wrong, source.shares) == (0, {})
    assert all(one.partner.locked_for(NOW) == timedelta() for one in gang)


@given(order=st.lists(st.sampled_from("abc"), max_size=200))
def test_a_sources_count_is_always_the_sum_of_its_partners_shares(order: Sequence[str]) -> None:
    source = Guard(Guarded.SOURCE, "x")
    partners = {name: Guard(Guarded.PARTNER, name) for name in "abc"}
    for name in order:
        Guards(Guard(Guarded.SUBSCRIBER, "s"), partners[name], source).wrong(NOW)
        assert source.wrong == sum(source.shares.values()) < LIMITS[Guarded.SOURCE]
        assert all(share <= 49 for share in source.shares.values())
