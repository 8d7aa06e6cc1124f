"""The rule of two people, without a database."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.approvals.model import (
    Act,
    ActKind,
    Limits,
    Proposal,
    ProposalState,
    name_key,
    require_fits,
    require_name,
    require_open,
    same_person,
)
from telvend.errors import InvalidInput
from telvend.kit.limits import read_limits
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, UGX, Money

LIMITS = Limits({"GHS": 500_00})
AT = datetime(2026, 11, 1, tzinfo=UTC)
WAITING = Proposal(
    id=7,
    kind=ActKind.CREDIT,
    wallet_id=1,
    order_id=None,
    reference="cash",
    amount=Money(600_00, GHS),
    mode=Mode.LIVE,
    reason="",
    proposed_by="Esi",
    proposed_at=AT,
    expires_at=AT,
    state=ProposalState.WAITING,
    ended_by=None,
    ended_at=None,
    end_reason=None,
    cause=None,
)


def act(minor: int, kind: ActKind = ActKind.CREDIT, mode: Mode = Mode.LIVE) -> Act:
    return Act(kind, 1, "r", Money(minor, GHS), mode)


@given(st.integers(1, 10**15), st.integers(0, 10**15), st.integers(0, 10**15))
def test_what_is_above_the_limit_with_what_was_done_alone_asks(minor: int, alone: int, limit: int) -> None:
    assert Limits({"GHS": limit}).asks(act(minor), alone) is (minor + alone > limit)


@given(st.lists(st.integers(1, 10_000_00), max_size=40), st.integers(0, 10_000_00))
def test_however_an_amount_is_split_one_person_moves_no_more_than_the_limit(parts: list[int], limit: int) -> None:
    alone = 0
    for part in parts:
        if not Limits({"GHS": limit}).asks(act(part), alone):
            alone += part
    assert alone <= limit


def test_play_money_and_currencies_without_a_limit_never_wait() -> None:
    assert not LIMITS.asks(act(10**12, mode=Mode.TEST), 0)
    assert not LIMITS.asks(Act(ActKind.CREDIT, 1, "r", Money(10**12, NGN), Mode.LIVE), 0)
    assert not Limits({}).asks(act(10**12), 10**12)


def test_what_comes_in_counts_together_what_goes_out_apart_and_a_decision_alone() -> None:
    brings_in = (ActKind.CREDIT, ActKind.REFUND, ActKind.PROVISIONAL_CREDIT)
    assert {kind.added for kind in brings_in} == {brings_in}
    assert ActKind.DEBIT.added == (ActKind.DEBIT,)
    assert ActKind.DELIVERED.added == ActKind.FAILED.added == ()


@pytest.mark.parametrize(
    "other",
    [
        "esi",
        " ESI ",
        "E s i",
        "Ésı".replace("É", "E").replace("ı", "i"),
        "Ｅｓｉ",
        "Esi.",
        "esi\ufe0f",
        "E-si",
        "E\u034fsi",
    ],
)
def test_spellings_of_one_name_are_one_person(other: str) -> None:
    assert same_person("Esi", other)


def test_composed_and_decomposed_accents_are_one_person_and_another_accent_is_not() -> None:
    assert same_person("Adé", "ade\u0301")
    assert same_person("STRASSE", "straße")
    assert not same_person("Adé", "Ade")
    assert not same_person("Kofi 1", "Kofi 2")


@given(st.text(min_size=1, max_size=40))
def test_a_name_is_the_same_person_as_itself_in_any_case(name: str) -> None:
    assert name_key(name) == name_key(name.strip()) == name_key(f"  {name} ")
    assert name_key(name_key(name)) == name_key(name)


@pytest.mark.parametrize("name", ["", "  ", "...", "\u200b", "Esi\nKofi", "x" * 201])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        require_name(name)
    assert refused.value.field == "by"
    assert require_name(" Esi ") == "Esi"


def test_another_person_confirms_what_waits_and_nothing_else() -> None:
    require_open(WAITING, "Kofi")
    with pytest.raises(InvalidInput, match="another person than Esi"):
        require_open(WAITING, "ESI")
    for state in set(ProposalState) - {ProposalState.WAITING}:
        with pytest.raises(InvalidInput, match="Proposal 7"):
            require_open(replace(WAITING, state=state, ended_by="Yaw"), "Kofi")


def test_an_order_waits_for_one_decision_at_a_time() -> None:
    waiting = replace(WAITING, kind=ActKind.FAILED, order_id=3)
    require_fits(waiting, act(1, ActKind.FAILED))
    with pytest.raises(InvalidInput, match="failed, as Esi has proposed"):
        require_fits(waiting, act(1, ActKind.DELIVERED))


def test_one_amount_counts_in_every_currency_rounded_down() -> None:
    limits = Limits(read_limits("500.50"))
    assert limits.of(act(1)) == Money(500_50, GHS)
    assert limits.of(Act(ActKind.CREDIT, 1, "r", Money(1, UGX), Mode.LIVE)) == Money(500, UGX)
