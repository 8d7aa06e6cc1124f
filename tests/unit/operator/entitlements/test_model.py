"""What products and refills turn into: pure calculations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.errors import InvalidInput
from telvend.kit.money import GHS, NGN, UGX, Money
from telvend.operator.entitlements.model import (
    WHOLE,
    Bonus,
    Bundle,
    EntitlementSnapshot,
    Fault,
    FaultyPart,
    RefillProfile,
    grants_of_refill,
)
from telvend.operator.subscribers.balances.model import BucketKind, Grant

DEFAULT = RefillProfile("DB00", "The whole amount", WHOLE, 90, 180, active=True)
COMBO = Bundle("C-1", "Combo", 7, True, 50, ((BucketKind.DATA, 1024), (BucketKind.SMS, 10)))

bonuses = st.builds(
    Bonus,
    st.sampled_from([BucketKind.MONEY, BucketKind.DATA, BucketKind.MINUTES, BucketKind.SMS]),
    st.integers(0, 10**6),
    st.integers(0, 10**9),
    st.integers(0, 10**6),
    st.integers(1, 365),
)
profiles = st.builds(
    RefillProfile,
    st.just("P1"),
    st.just("made up"),
    st.integers(0, WHOLE),
    st.just(1),
    st.just(2),
    st.just(True),
    st.lists(bonuses, max_size=6, unique_by=lambda bonus: (bonus.kind, bonus.from_minor)).map(tuple),
)


def test_the_default_profile_puts_the_whole_amount_on_the_main_account() -> None:
    assert grants_of_refill(DEFAULT, Money(10_000, NGN)) == [Grant(BucketKind.MONEY, 10_000, "", main=True)]


def test_of_several_bonuses_the_highest_that_is_reached_is_given() -> None:
    profile = RefillProfile(
        "X1", "x", 5000, 30, 60, True, (Bonus(BucketKind.DATA, 0, 1, 0, 7), Bonus(BucketKind.DATA, 5000, 0, 1024, 30))
    )  # fmt: skip
    assert [grant.amount for grant in grants_of_refill(profile, Money(4999, GHS))] == [2499, 1]
    assert [grant.amount for grant in grants_of_refill(profile, Money(5099, GHS))] == [2549, 50 * 1024]
    assert [grant.amount for grant in grants_of_refill(profile, Money(5099, UGX))] == [2549, 5099 * 1024]


@given(profiles, st.integers(1, 10**9), st.sampled_from([GHS, UGX]))
def test_a_refill_is_something_and_never_more_than_the_profile_says(
    profile: RefillProfile, minor: int, currency: object
) -> None:
    amount = Money(minor, currency)  # type: ignore[arg-type]
    try:
        grants = grants_of_refill(profile, amount)
    except InvalidInput:
        assert minor * profile.main_basis_points < WHOLE
        return
    assert grants
    assert all(grant.amount > 0 for grant in grants)
    main = [grant.amount for grant in grants if grant.main]
    assert sum(main) == minor * profile.main_basis_points // WHOLE
    kinds = [grant.kind for grant in grants if not grant.main]
    assert len(kinds) == len(set(kinds)) <= len(profile.bonuses)
    assert all(grant.validity_days for grant in grants if not grant.main)
    if minor > 1:
        # A larger refill never gives less to the main account.
        less = Money(minor - 1, amount.currency)
        try:
            before = sum(grant.amount for grant in grants_of_refill(profile, less) if grant.main)
        except InvalidInput:
            before = 0
        assert before <= sum(main)


def test_a_product_credits_what_its_bundle_says_else_what_its_size_says() -> None:
    snapshot = EntitlementSnapshot({"C-1": COMBO})
    assert [(g.kind, g.amount, g.validity_days, g.first_use) for g in snapshot.grants_of("C-1", "9GB", 30, GHS)] == [
        (BucketKind.DATA, 1024, 7, True),
        (BucketKind.SMS, 10, 7, True),
    ]
    (found,) = snapshot.grants_of("GH-MTN-1GB-30D", "1GB", 30, GHS)
    assert found == Grant(BucketKind.DATA, 1024**3, "1GB", "GH-MTN-1GB-30D", 30)
    (airtime,) = snapshot.grants_of("GH-MTN-AIRTIME", "5.00", None, GHS)
    assert (airtime.amount, airtime.main) == (500, True)
    with pytest.raises(InvalidInput):
        snapshot.grants_of("GH-X", "plenty", 30, GHS)


def test_a_bundle_without_days_of_its_own_lasts_as_long_as_the_catalogue_says() -> None:
    bundle = Bundle("C-2", "Combo", None, True, 100, ((BucketKind.DATA, 1),))
    assert [(g.validity_days, g.first_use) for g in bundle.grants(30)] == [(30, True)]
    # What never ends need not wait for its first use.
    assert [(g.validity_days, g.first_use) for g in bundle.grants(None)] == [(None, False)]


def test_faults_are_of_one_number_and_part() -> None:
    snapshot = EntitlementSnapshot(faults={("+233241234567", FaultyPart.BALANCE): Fault.DOWN})
    assert snapshot.fault("+233241234567", FaultyPart.BALANCE) is Fault.DOWN
    assert snapshot.fault("+233241234567", FaultyPart.PLAN) is None
    assert snapshot.fault("+233241234568", FaultyPart.BALANCE) is None
