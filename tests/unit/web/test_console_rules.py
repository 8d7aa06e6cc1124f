"""Pure rules of the console: who may do what, files without formulas, new prices, the trial balance."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.catalog.repricing import parse_percent, repriced
from telvend.desk.model import ADVICE, Topic
from telvend.errors import InvalidInput
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.ledger.model import AccountKind, AccountTotal
from telvend.people.model import Role
from telvend.web.console.reports import trial_balance
from telvend.web.console.rights import ROLES, Right, may
from telvend.web.console.tables import Link, State, csv_text
from telvend.web.console.verbs import Preview
from tests.store.purchases import PRODUCT

# Rights -----------------------------------------------------------------------------------------------------------------


def test_every_right_is_somebodys_and_the_owner_has_all() -> None:
    assert ROLES.keys() == set(Right)
    assert all(Role.OWNER in roles for roles in ROLES.values())
    assert not any(may(set(), right) for right in Right)


def test_support_moves_no_money_and_opens_nothing_to_anybody() -> None:
    assert {right for right in Right if may({Role.SUPPORT}, right)} == {Right.LOOK, Right.ASK, Right.PAUSE}
    assert {right for right in Right if not may({Role.FINANCE}, right)} == {Right.MAIL, Right.STAFF}


def test_every_topic_has_its_page() -> None:
    assert ADVICE.keys() == set(Topic)
    assert all(advice.steps and advice.page.startswith("/console") for advice in ADVICE.values())


# Files ------------------------------------------------------------------------------------------------------------------


@given(st.text(max_size=30))
def test_no_cell_of_a_file_begins_as_a_formula_does(text: str) -> None:
    cell = csv_text(text)
    assert cell.removeprefix("'") == text or cell == text
    if cell[:1] in ("=", "@", "\t", "\r"):
        raise AssertionError(cell)
    if cell[:1] in ("+", "-"):
        assert set(cell[1:]) <= set("0123456789 .,-")


def test_values_of_cells_are_plain_in_a_file() -> None:
    assert csv_text(Money(-450, GHS)) == "-4.50"
    assert csv_text("+233241234567") == "+233241234567"
    assert csv_text(Link("/x", "=1")) == "'=1"
    assert csv_text(State("failed")) == "failed"
    assert csv_text(None) == ""


# Prices -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "0", "x", "101", "-101", "1.234", "NaN", "Infinity", "1e9", "٥"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    if text == "٥":  # Digits of other scripts are digits to Decimal.
        assert parse_percent(text) == 5
        return
    with pytest.raises(InvalidInput):
        parse_percent(text)


@given(
    st.integers(1, 10**9),
    st.one_of(st.decimals("0.01", 100, places=2), st.decimals(-100, "-0.01", places=2)),
    st.sampled_from([1, 5, 10, 50, 100, 500, 1000]),
)
def test_a_new_price_is_whole_steps_within_half_a_step_and_never_nothing(
    minor: int, percent: Decimal, step: int
) -> None:
    product = replace(PRODUCT, price=Money(minor, GHS))
    for one in repriced([product], percent, step):
        price = one.after.price.minor
        exact = Decimal(minor) * (100 + percent) / 100
        assert price % step == 0
        assert price >= step
        assert abs(price - exact) <= Decimal(step) / 2 or price == step
        assert one.after.cost == product.cost
        assert one.loses == (price < product.cost.minor)


# Books ------------------------------------------------------------------------------------------------------------------


def test_debit_and_credit_of_a_currency_agree_in_the_trial_balance() -> None:
    totals = [
        AccountTotal(AccountKind.FUNDING, "", Mode.LIVE, Money(-10_000, GHS)),
        AccountTotal(AccountKind.WALLET, "a", Mode.LIVE, Money(6_000, GHS)),
        AccountTotal(AccountKind.WALLET, "b", Mode.LIVE, Money(3_000, GHS)),
        AccountTotal(AccountKind.PROVIDER, "vt", Mode.LIVE, Money(900, GHS)),
        AccountTotal(AccountKind.MARGIN, "", Mode.LIVE, Money(100, GHS)),
        AccountTotal(AccountKind.FUNDING, "", Mode.LIVE, Money(-5, NGN)),
        AccountTotal(AccountKind.WALLET, "a", Mode.LIVE, Money(5, NGN)),
    ]
    lines = {name: (debit, credit) for name, debit, credit in trial_balance(totals)}
    assert lines["Wallets (GHS)"] == (None, Money(9_000, GHS))
    assert lines["Total (GHS)"] == (Money(10_000, GHS), Money(10_000, GHS))
    assert lines["Total (NGN)"] == (Money(5, NGN), Money(5, NGN))


def test_other_figures_have_another_mark() -> None:
    one = Preview([("Balance", Money(1, GHS))])
    assert one.mark == Preview([("Balance", Money(1, GHS))], "another text").mark
    assert one.mark != Preview([("Balance", Money(2, GHS))]).mark
