"""One suite over every gateway: what each must do whatever its vendor is like. The registry is `gateway_rigs.py`."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from telvend.database.connections import Database
from telvend.funding.model import Funding, FundingState
from telvend.funding.service import Fundings, Received
from telvend.funding.verification import Gateways, PaymentVerification
from telvend.gateways.contract import (
    Declined,
    Forged,
    Method,
    Notice,
    NotStarted,
    Paid,
    PaymentNotFound,
    PaymentUnknown,
    Pending,
    Start,
    Started,
)
from telvend.kit.money import NGN, Money
from tests.contract.gateway_rigs import BROKEN, RIGS, Rig
from tests.store.fundings import AMOUNT, BASE_URL, caller_of
from tests.store.purchases import Customer, customer

_numbers = itertools.count(1)


@pytest.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest, simulator_database_url: str) -> AsyncIterator[Rig]:
    opened = await RIGS[request.param](simulator_database_url)
    yield opened
    await opened.close()


def payment() -> Start:
    """A payment under a new reference."""
    return Start(
        reference=f"PAY-{next(_numbers)}-7kq2xd",
        owner=str(uuid4()),
        email="ama@example.com",
        amount=Money(500050, NGN),
        method=Method.BANK_TRANSFER,
        test=False,
        base_url="https://shop.example",
        return_url="https://shop.example/pay/return/x",
        expires_s=3600,
    )


# The gateway by itself ------------------------------------------------------------------------------------------------------


async def test_a_payment_is_begun_with_an_address_and_is_not_paid_by_that(rig: Rig) -> None:
    asked = payment()
    begun = await rig.gateway.start(asked)
    assert isinstance(begun, Started)
    assert begun.payment_url.startswith("https://")
    assert isinstance(await rig.gateway.verify(asked.reference), Pending)


async def test_a_paid_payment_says_everything_that_is_compared(rig: Rig) -> None:
    asked = payment()
    await rig.gateway.start(asked)
    await rig.pay(asked.reference)
    word = await rig.gateway.verify(asked.reference)
    assert isinstance(word, Paid)
    assert (word.amount_minor, word.currency, word.test, word.owner) == (500050, "NGN", False, asked.owner)
    assert word.gateway_reference
    assert await rig.gateway.verify(asked.reference) == word


async def test_payments_have_names_of_their_own(rig: Rig) -> None:
    names = set()
    for asked in (payment(), payment(), payment()):
        await rig.gateway.start(asked)
        await rig.pay(asked.reference)
        word = await rig.gateway.verify(asked.reference)
        assert isinstance(word, Paid)
        names.add(word.gateway_reference)
    assert len(names) == 3


async def test_a_declined_payment_is_declined(rig: Rig) -> None:
    asked = payment()
    await rig.gateway.start(asked)
    await rig.decline(asked.reference)
    assert isinstance(await rig.gateway.verify(asked.reference), Declined)


@pytest.mark.parametrize("reference", ["FND-0-nobody", "", "..", "a/b?c=d", "ü"])
async def test_a_reference_that_it_has_never_heard_of_is_not_found(rig: Rig, reference: str) -> None:
    assert isinstance(await rig.gateway.verify(reference), PaymentNotFound)


async def test_a_second_beginning_under_one_reference_begins_nothing(rig: Rig) -> None:
    asked = payment()
    await rig.gateway.start(asked)
    again = await rig.gateway.start(replace(asked, amount=Money(1, NGN)))
    assert isinstance(again, NotStarted | PaymentUnknown)
    await rig.pay(asked.reference)
    word = await rig.gateway.verify(asked.reference)
    assert isinstance(word, Paid)
    assert word.amount_minor == 500050


@pytest.mark.parametrize("how", BROKEN)
async def test_a_far_side_that_says_nothing_leaves_it_unknown_and_raises_nothing(rig: Rig, how: str) -> None:
    if how not in rig.breakages:
        return
    asked = payment()
    await rig.gateway.start(asked)
    await rig.pay(asked.reference)
    rig.break_down(how)
    assert isinstance(await rig.gateway.verify(asked.reference), PaymentUnknown)
    assert isinstance(await rig.gateway.start(payment()), NotStarted | PaymentUnknown)


async def test_a_notice_names_the_payment_and_another_s_signature_is_forged(rig: Rig) -> None:
    asked, other = payment(), payment()
    for begun in (asked, other):
        await rig.gateway.start(begun)
        await rig.pay(begun.reference)
    headers, body = await rig.notice(asked.reference)
    told = rig.gateway.read_webhook(headers, body)
    assert isinstance(told, Notice)
    assert told.reference == asked.reference
    other_headers, other_body = await rig.notice(other.reference)
    for wrong_headers, wrong_body in (
        (other_headers, body),
        (headers, other_body),
        (headers, body[:-1]),
        (headers, body + b" "),
        (headers, b""),
        ({}, body),
        (dict.fromkeys(headers, ""), body),
        (dict.fromkeys(headers, "ü\x00"), body),
        ({name: value[:-1] for name, value in headers.items()}, body),
    ):
        assert isinstance(rig.gateway.read_webhook(wrong_headers, wrong_body), Forged)


async def test_traits_are_usable_and_closing_twice_is_harmless(rig: Rig) -> None:
    traits = rig.gateway.traits
    assert rig.gateway.name.isidentifier()
    assert traits.timeout_s > 0
    assert traits.takes(test=False) or traits.takes(test=True)
    assert traits.methods
    await rig.gateway.close()
    await rig.gateway.close()


# The gateway and the wallet -------------------------------------------------------------------------------------------------


class Wallet:
    """A reseller's wallet that is funded through the gateway."""

    def __init__(self, rig: Rig, database: Database, ama: Customer) -> None:
        gateways = Gateways([rig.gateway])
        self.rig = rig
        self.ama = ama
        self.fundings = Fundings(database, ama.ledger, gateways, PaymentVerification(database, ama.ledger, gateways))

    async def start(self) -> Funding:
        caller = await caller_of(self.ama.database, self.ama.reseller_id)
        return await self.fundings.start(caller, AMOUNT, Method.CARD, None, base_url=BASE_URL)

    async def told(self, headers: dict[str, str], body: bytes, funding: Funding) -> Received:
        received = await self.fundings.notice(self.rig.gateway.name, headers, body)
        if received is Received.STORED:
            await self.fundings.check(funding.reference)
        return received

    async def balance(self) -> int:
        return await self.ama.balance(NGN)


@pytest.fixture
async def wallet(rig: Rig, simulator_database_url: str) -> AsyncIterator[Wallet]:
    database = await Database.open(simulator_database_url, pool_size=4)
    yield Wallet(rig, database, await customer(database))
    await database.close()


async def test_a_payment_fills_the_wallet_once_however_often_the_notice_comes(wallet: Wallet) -> None:
    funding = await wallet.start()
    await wallet.rig.pay(funding.reference)
    headers, body = await wallet.rig.notice(funding.reference)
    await asyncio.gather(*(wallet.told(headers, body, funding) for _ in range(4)))
    assert await wallet.balance() == AMOUNT.minor
    await wallet.told(headers, body, funding)
    assert await wallet.balance() == AMOUNT.minor


async def test_a_forged_notice_fills_nothing(wallet: Wallet) -> None:
    funding = await wallet.start()
    await wallet.rig.pay(funding.reference)
    headers, body = await wallet.rig.notice(funding.reference)
    assert await wallet.told(dict.fromkeys(headers, "0" * 128), body, funding) is Received.FORGED
    assert await wallet.told({}, body, funding) is Received.FORGED
    assert await wallet.balance() == 0


async def test_a_notice_of_a_payment_that_was_not_made_fills_nothing(wallet: Wallet) -> None:
    funding = await wallet.start()
    headers, body = await wallet.rig.notice(funding.reference)
    assert await wallet.told(headers, body, funding) is Received.STORED
    assert await wallet.balance() == 0


@pytest.mark.parametrize(
    "changes",
    [{"amount_minor": 1}, {"amount_minor": 50000000}, {"currency": "GHS"}, {"test": True}, {"owner": "x"}],
    ids=str,
)
async def test_a_payment_of_something_else_fills_nothing_and_waits_for_a_person(
    wallet: Wallet, changes: dict[str, Any]
) -> None:
    funding = await wallet.start()
    await wallet.rig.pay(funding.reference, **changes)
    await wallet.told(*await wallet.rig.notice(funding.reference), funding)
    assert await wallet.balance() == 0
    (doubted,) = await wallet.fundings.list_fundings(attention=True, reseller_id=wallet.ama.reseller_id)
    assert (doubted.reference, doubted.state) == (funding.reference, FundingState.PENDING)
