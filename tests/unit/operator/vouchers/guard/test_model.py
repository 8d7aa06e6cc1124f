"""The lock-out: growing delay, one right PIN clears, a source is counted and never locked."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.operator.vouchers.guard.model import (
    FIRST_DELAY,
    FORGOTTEN_AFTER,
    LIMITS,
    LONGEST_DELAY,
    Guard,
    Guarded,
    Guards,
    delay,
)
from telvend.operator.vouchers.model import LockedOut

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


def test_a_source_is_never_locked_whoever_guesses_there() -> None:
    source = Guard(Guarded.SOURCE, "x")
    reached = []
    for number in range(400):
        # Eight partners who guess in turns, none of whom is locked before the last round.
        three = Guards(Guard(Guarded.SUBSCRIBER, f"s{number}"), Guard(Guarded.PARTNER, f"p{number % 8}"), source)
        reached += [guard for guard in three.wrong(NOW) if guard is source]
        assert source.locked_for(NOW) == timedelta()
        three.mind(NOW)
    assert (len(reached), source.strikes, source.wrong) == (8, 8, 0)


def test_a_source_that_the_version_before_has_locked_locks_nobody() -> None:
    source = Guard(Guarded.SOURCE, "x", strikes=3, locked_until=NOW + timedelta(hours=1))
    assert source.locked_for(NOW) == timedelta()
    Guards(Guard(Guarded.SUBSCRIBER, "s"), Guard(Guarded.PARTNER, "p"), source).mind(NOW)


@given(turns=st.lists(st.sampled_from("ab"), max_size=200))
def test_a_partner_is_locked_by_fifty_of_its_own_and_never_by_its_neighbours(turns: Sequence[str]) -> None:
    source = Guard(Guarded.SOURCE, "x")
    partners = {name: Guard(Guarded.PARTNER, name) for name in "ab"}
    sent = dict.fromkeys("ab", 0)
    for name in turns:
        if not partners[name].locked_for(NOW):
            Guards(Guard(Guarded.SUBSCRIBER, "s"), partners[name], source).wrong(NOW)
            sent[name] += 1
    for name, partner in partners.items():
        assert (partner.locked_for(NOW) > timedelta()) is (sent[name] == LIMITS[Guarded.PARTNER])
