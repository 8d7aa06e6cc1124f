"""What buckets add up to, and the order in which they are listed."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from telvend.operator.plans.model import Total, totals_of
from telvend.operator.subscribers.balances.account import in_order
from telvend.operator.subscribers.balances.model import Bucket, BucketKind

NOW = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)

moments = st.sampled_from([None, NOW - DAY, NOW, NOW + DAY])


def bucket(number: int, kind: BucketKind, balance: int, **facts: object) -> Bucket:
    return Bucket(**({"id": number, "kind": kind, "name": "x", "balance": balance, "starts_at": NOW} | facts))  # type: ignore[arg-type]


def test_active_unused_and_reserved_are_told_apart() -> None:
    found = [
        bucket(1, BucketKind.DATA, 10, reserved=4, expires_at=NOW + 2 * DAY),
        bucket(2, BucketKind.DATA, 5, expires_at=NOW + 3 * DAY),
        bucket(3, BucketKind.DATA, 7, starts_at=None),
        bucket(4, BucketKind.DATA, 8, starts_at=NOW + DAY),
        bucket(5, BucketKind.MONEY, 3, main=True),
    ]
    assert totals_of(found, NOW) == {
        (BucketKind.DATA, False): Total(11, 15, 4, NOW + 2 * DAY, 4),
        (BucketKind.MONEY, True): Total(3, 0, 0, None, 1),
    }


def test_a_bucket_that_is_reserved_whole_says_nothing_of_when_the_rest_ends() -> None:
    found = [
        bucket(1, BucketKind.DATA, 10, reserved=10, expires_at=NOW + DAY),
        bucket(2, BucketKind.DATA, 5, expires_at=NOW + 2 * DAY),
    ]
    assert totals_of(found, NOW)[BucketKind.DATA, False].expires_at == NOW + 2 * DAY


def test_the_main_account_is_first_then_each_kind_with_what_begins_later_last() -> None:
    found = [
        bucket(1, BucketKind.SMS, 1),
        bucket(2, BucketKind.DATA, 1, starts_at=NOW + DAY, priority=1),
        bucket(3, BucketKind.DATA, 1, starts_at=None, validity_days=1),
        bucket(4, BucketKind.DATA, 1, expires_at=NOW + 2 * DAY),
        bucket(5, BucketKind.MONEY, 1, main=True, priority=900),
    ]
    assert [one.id for one in in_order(found, NOW)] == [5, 3, 4, 2, 1]


@given(
    st.lists(st.tuples(st.sampled_from(BucketKind), st.integers(0, 9), st.integers(0, 9), moments, moments), max_size=8)
)
def test_nothing_is_lost_or_counted_twice(
    buckets: list[tuple[BucketKind, int, int, datetime | None, datetime | None]],
) -> None:
    found = [
        bucket(number, kind, free + reserved, reserved=reserved, starts_at=starts_at, expires_at=expires_at)
        for number, (kind, free, reserved, starts_at, expires_at) in enumerate(buckets)
    ]
    totals = totals_of(found, NOW).values()
    assert sum(total.active + total.unused + total.reserved for total in totals) == sum(one.balance for one in found)
    assert sum(total.buckets for total in totals) == len(in_order(found, NOW)) == len(found)
