"""How a void divides play money into what is taken, what is written off and what stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.funding.play_money.model import PlayWallet, divide, halted_sentence
from telvend.kit.money import NGN, Money


@pytest.mark.parametrize(
    ("outstanding", "balance", "in_flight", "parts"),
    [
        ([1000], 1000, 0, [(1000, 0)]),
        ([1000], 1500, 0, [(1000, 0)]),
        ([1000], 400, 0, [(400, 600)]),
        ([1000], 0, 0, [(0, 1000)]),
        ([1000], 400, 250, [(400, 350)]),
        ([1000], 400, 600, [(400, 0)]),
        ([1000], 400, 9000, [(400, 0)]),
        ([1000], 1000, 9000, [(1000, 0)]),
        ([300, 700], 500, 0, [(300, 0), (200, 500)]),
        ([300, 700], 100, 400, [(100, 200), (0, 300)]),
        ([], 100, 0, []),
    ],
)
def test_what_is_there_is_taken_and_what_was_spent_is_written_off(
    outstanding: list[int], balance: int, in_flight: int, parts: list[tuple[int, int]]
) -> None:
    assert divide(outstanding, balance, in_flight) == parts


amounts = st.integers(1, 10**12)


@given(st.lists(amounts, max_size=5), st.integers(0, 10**13), st.integers(0, 10**13))
def test_a_void_never_overdraws_and_leaves_no_more_than_is_in_flight(
    outstanding: list[int], balance: int, in_flight: int
) -> None:
    parts = divide(outstanding, balance, in_flight)
    taken, spent = sum(part[0] for part in parts), sum(part[1] for part in parts)
    left = sum(outstanding) - taken - spent
    assert all(min(part) >= 0 and sum(part) <= amount for part, amount in zip(parts, outstanding, strict=True))
    assert taken == min(balance, sum(outstanding))
    assert left == min(in_flight, sum(outstanding) - taken)


def test_the_sentence_says_whose_and_how_much_and_stays_short() -> None:
    wallets = [PlayWallet(f"r{number}@example.com", Money(100, NGN), Money(50, NGN)) for number in range(25)]
    assert "r0@example.com NGN 1.00" in halted_sentence(wallets)
    assert halted_sentence(wallets).endswith("r19@example.com NGN 1.00 and 5 more.")
