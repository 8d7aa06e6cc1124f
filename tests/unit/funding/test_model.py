"""What follows from a gateway's word, as a table; and where a payer's browser may be sent."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from telvend.funding.model import (
    Credit,
    End,
    Funding,
    FundingState,
    Suspect,
    Wait,
    is_redirect_url,
    misfit,
    next_ask,
    next_step,
)
from telvend.gateways.contract import (
    Declined,
    GatewayTraits,
    Method,
    Paid,
    PaymentAbandoned,
    PaymentNotFound,
    PaymentUnknown,
    Pending,
    Word,
)
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money

OWNER = UUID(int=7)
BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)
ENDS = BEGAN + timedelta(hours=1)
BOTH = GatewayTraits(live_mode=True, test_mode=True)

FUNDING = Funding(
    id=7,
    reference="FND-7-7kq2xd",
    reseller_id=OWNER,
    wallet_id=3,
    mode=Mode.LIVE,
    gateway="told",
    method=Method.CARD,
    amount=Money(500000, NGN),
    redirect_url=None,
    state=FundingState.PENDING,
    attention=False,
    payment_url=None,
    gateway_reference=None,
    channel="",
    bank="",
    position=1,
    balance_before=Money(0, NGN),
    balance_after=Money(0, NGN),
    asked=0,
    asked_at=None,
    notices=0,
    created_at=BEGAN,
    expires_at=ENDS,
    updated_at=BEGAN,
    completed_at=None,
)
FITTING = Paid(500000, "NGN", test=False, owner=str(OWNER), gateway_reference="PAY-1")

EARLY = BEGAN + timedelta(minutes=1)
AT_THE_END = ENDS
LATER = ENDS + timedelta(hours=2)
MUCH_LATER = ENDS + timedelta(hours=73)
H = timedelta(hours=1)

PENDING, COMPLETED, FAILED, EXPIRED = FundingState


@pytest.mark.parametrize(
    ("state", "word", "now", "step"),
    [
        # Money that fits is always credited, and only once.
        (PENDING, FITTING, EARLY, Credit(FITTING)),
        (PENDING, FITTING, MUCH_LATER, Credit(FITTING)),
        (FAILED, FITTING, EARLY, Credit(FITTING)),
        (EXPIRED, FITTING, LATER, Credit(FITTING)),
        (COMPLETED, FITTING, LATER, Wait(None)),
        # Not paid, definitely.
        (PENDING, Declined(), EARLY, End(FAILED, ENDS)),
        (PENDING, PaymentAbandoned(), EARLY, End(FAILED, ENDS)),
        (PENDING, Declined(), LATER, End(FAILED, ENDS + 6 * H)),
        (FAILED, Declined(), AT_THE_END, Wait(ENDS + H)),
        (EXPIRED, Declined(), LATER, Wait(ENDS + 6 * H)),
        (EXPIRED, Declined(), MUCH_LATER, Wait(None)),
        # Not paid yet.
        (PENDING, Pending(), EARLY, Wait(EARLY + timedelta(seconds=30))),
        (PENDING, PaymentNotFound(), EARLY, Wait(EARLY + timedelta(seconds=30))),
        (PENDING, Pending(), AT_THE_END, End(EXPIRED, ENDS + H)),
        (PENDING, PaymentNotFound(), MUCH_LATER, End(EXPIRED, None)),
        (FAILED, Pending(), EARLY, Wait(EARLY + timedelta(seconds=30))),
        (FAILED, Pending(), AT_THE_END, Wait(ENDS + H)),
        (EXPIRED, Pending(), LATER, Wait(ENDS + 6 * H)),
        (EXPIRED, Pending(), MUCH_LATER, Wait(None)),
        (COMPLETED, Pending(), LATER, Wait(None)),
        # Nobody knows: it does not end for want of an answer, for a day.
        (PENDING, PaymentUnknown("?"), EARLY, Wait(EARLY + timedelta(seconds=30))),
        (PENDING, PaymentUnknown("?"), LATER, Wait(LATER + timedelta(minutes=10))),
        (PENDING, PaymentUnknown("?"), ENDS + 24 * H, End(EXPIRED, ENDS + 72 * H)),
        (EXPIRED, PaymentUnknown("?"), LATER, Wait(ENDS + 6 * H)),
        # What was credited and went back is a person's matter.
        (COMPLETED, Declined("reversed"), LATER, Suspect("It was credited, and the gateway now says: reversed")),
    ],
)
def test_each_word_has_its_step(state: FundingState, word: Word, now: datetime, step: object) -> None:
    assert next_step(replace(FUNDING, state=state), word, BOTH, now) == step


def test_one_that_a_person_looks_at_is_left_alone_unless_it_is_paid() -> None:
    doubted = replace(FUNDING, attention=True)
    for word in (Declined(), PaymentAbandoned(), Pending(), PaymentNotFound(), PaymentUnknown("?")):
        assert next_step(doubted, word, BOTH, MUCH_LATER) == Wait(None)
    assert next_step(doubted, FITTING, BOTH, MUCH_LATER) == Credit(FITTING)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"owner": str(UUID(int=8))}, "Paid for somebody else: '00000000-0000-0000-0000-000000000008'."),
        ({"owner": None}, "Paid for somebody else: None."),
        ({"currency": "GHS"}, "Paid in 'GHS', asked for NGN 5,000.00."),
        ({"currency": "ngn"}, "Paid in 'ngn', asked for NGN 5,000.00."),
        ({"amount_minor": 499999}, "Paid NGN 4,999.99, asked for NGN 5,000.00."),
        ({"amount_minor": 500001}, "Paid NGN 5,000.01, asked for NGN 5,000.00."),
        ({"amount_minor": -500000}, "Paid NGN -5,000.00, asked for NGN 5,000.00."),
        ({"test": True}, "Paid with play money for a wallet of real money."),
    ],
)
def test_whatever_differs_does_not_fit(changes: dict[str, Any], problem: str | None) -> None:
    word = replace(FITTING, **changes)
    assert misfit(FUNDING, word, BOTH) == problem
    if problem:
        for state in (PENDING, FAILED, EXPIRED):
            assert next_step(replace(FUNDING, state=state), word, BOTH, LATER) == Suspect(problem)


def test_real_money_on_a_test_wallet_does_not_fit() -> None:
    funding = replace(FUNDING, mode=Mode.TEST)
    assert misfit(funding, FITTING, BOTH) == "Paid with real money for a wallet of play money."
    assert misfit(funding, replace(FITTING, test=True), BOTH) is None


def test_a_gateway_that_takes_no_real_money_any_more_credits_none() -> None:
    problem = misfit(FUNDING, FITTING, GatewayTraits(live_mode=False, test_mode=True))
    assert problem == "The gateway told is not set up to take real money any more."


def test_it_is_asked_ever_more_seldom_and_at_its_expiry() -> None:
    now, asks = BEGAN + timedelta(seconds=15), 0
    while now < ENDS:
        then = next_ask(FUNDING, now)
        assert then is not None
        assert timedelta() < then - now <= timedelta(minutes=10)
        now, asks = then, asks + 1
    assert now == ENDS
    assert asks < 20


@pytest.mark.parametrize(
    "url",
    [
        "https://yourdomain.com/payment-callback",
        "http://127.0.0.1:8080/back?a=b#c",
        "HTTPS://shop.example",
        "https://shop.example/" + "a" * 2027,
        "http://[::1]/x",
    ],
)
def test_a_web_address_may_be_gone_back_to(url: str) -> None:
    assert is_redirect_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "javascript:alert(1)",
        "data:text/html,x",
        "//shop.example",
        "/back",
        "shop.example",
        "ftp://shop.example",
        "https://",
        "https:///back",
        "https://?x",
        "https://shop.example/a b",
        "https://shop.example/\r\nset-cookie: a=b",
        "https://shop.example/ü",
        "https://user:pass@shop.example/",
        "https://user@shop.example/",
        "https://shop.example\\@evil.example/",
        "https://shop.example:99999/",
        "https://[shop/",
        " https://shop.example/",
        "https://shop.example/\n",
        "https://shop.example/" + "a" * 2028,
    ],
)
def test_anything_else_may_not(url: str) -> None:
    assert not is_redirect_url(url)
