"""The journal conserves money: whatever is decided in it, nothing appears, disappears or goes below zero."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.errors import InsufficientBalance, InvariantBroken
from telvend.kit.money import GHS, NGN, Money
from telvend.ledger.model import Journal, TransferKind, Wallet

IN_FLIGHT, PROVIDER, MARGIN, LOSS, FUNDING = 101, 102, 103, 104, 105
amounts = st.integers(1, 1000)
steps = st.one_of(
    st.tuples(st.just("credit"), st.integers(1, 3), amounts, st.just(0)),
    st.tuples(st.just("hold"), st.integers(1, 3), amounts, st.just(0)),
    # The last two pick one of the open holds; a cost may be more than the price, and nothing.
    st.tuples(st.just("release"), st.integers(0, 50), st.just(0), st.just(0)),
    st.tuples(st.just("post"), st.integers(0, 50), st.just(0), st.integers(0, 1500)),
)


@given(st.lists(steps, max_size=60), st.lists(st.integers(0, 500), min_size=3, max_size=3))
def test_money_is_conserved_by_any_sequence_of_steps(
    story: list[tuple[str, int, int, int]], opening: list[int]
) -> None:
    wallets = {number + 1: Wallet(number + 1, balance, 7) for number, balance in enumerate(opening)}
    journal = Journal(wallets)
    held: list[tuple[int, int, int]] = []
    for cause, (what, which, amount, cost) in enumerate(story):
        if what == "credit":
            before = wallets[which].balance_minor
            assert journal.credit(cause, which, FUNDING, Money(amount, GHS)).minor == before + amount
        elif what == "hold":
            before = wallets[which].balance_minor
            money = Money(amount, GHS)
            if amount <= before:
                assert journal.hold(cause, which, IN_FLIGHT, money).minor == before - amount
                held.append((cause, which, amount))
                continue
            with pytest.raises(InsufficientBalance) as refused:
                journal.hold(cause, which, IN_FLIGHT, money)
            assert (refused.value.required, refused.value.available) == (money, Money(before, GHS))
            assert wallets[which].balance_minor == before
        elif held:
            order, wallet, price = held.pop(which % len(held))
            if what == "release":
                journal.release(order, wallet, IN_FLIGHT, Money(price, GHS))
            else:
                journal.post(order, IN_FLIGHT, PROVIDER, MARGIN, LOSS, Money(price, GHS), Money(cost, GHS))

    accounts: dict[int, int] = defaultdict(int, {number + 1: balance for number, balance in enumerate(opening)})
    for transfer in journal.transfers:
        assert transfer.amount_minor > 0
        assert transfer.debit != transfer.credit
        accounts[transfer.debit] -= transfer.amount_minor
        accounts[transfer.credit] += transfer.amount_minor
        if transfer.wallet_id is not None:
            assert transfer.wallet_id in (transfer.debit, transfer.credit)
            assert accounts[transfer.wallet_id] == transfer.wallet_balance_minor
            assert accounts[transfer.wallet_id] >= 0
    assert sum(accounts.values()) == sum(opening)
    assert {number: wallet.balance_minor for number, wallet in wallets.items()} == {n: accounts[n] for n in wallets}
    assert accounts[IN_FLIGHT] == sum(price for _, _, price in held)
    assert accounts[MARGIN] >= 0 >= accounts[LOSS]
    for kept in wallets.values():
        own = [transfer.wallet_sequence for transfer in journal.transfers if transfer.wallet_id == kept.id]
        assert own == list(range(8, 8 + len(own)))
        assert kept.sequence == 7 + len(own)
        assert kept.changed is bool(own)
    keys = [(transfer.cause, transfer.kind) for transfer in journal.transfers]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("price", "cost", "expected"),
    [
        (450, 390, [(TransferKind.COST, IN_FLIGHT, PROVIDER, 390), (TransferKind.MARGIN, IN_FLIGHT, MARGIN, 60)]),
        (450, 450, [(TransferKind.COST, IN_FLIGHT, PROVIDER, 450)]),
        (450, 0, [(TransferKind.MARGIN, IN_FLIGHT, MARGIN, 450)]),
        (450, 500, [(TransferKind.COST, IN_FLIGHT, PROVIDER, 450), (TransferKind.LOSS, LOSS, PROVIDER, 50)]),
    ],
)
def test_a_posted_hold_goes_to_provider_and_margin_and_the_house_pays_what_is_missing(
    price: int, cost: int, expected: list[tuple[TransferKind, int, int, int]]
) -> None:
    journal = Journal({})
    journal.post(1, IN_FLIGHT, PROVIDER, MARGIN, LOSS, Money(price, GHS), Money(cost, GHS))
    assert [(t.kind, t.debit, t.credit, t.amount_minor) for t in journal.transfers] == expected


def test_a_cost_in_another_currency_is_a_bug() -> None:
    with pytest.raises(InvariantBroken):
        Journal({}).post(1, IN_FLIGHT, PROVIDER, MARGIN, LOSS, Money(450, GHS), Money(390, NGN))


def test_a_refused_hold_leaves_the_journal_as_it_was() -> None:
    journal = Journal({1: Wallet(1, 449, 0)})
    with pytest.raises(InsufficientBalance):
        journal.hold(5, 1, IN_FLIGHT, Money(450, GHS))
    assert journal == Journal({1: Wallet(1, 449, 0)})
    assert journal.changed_wallets() == []
