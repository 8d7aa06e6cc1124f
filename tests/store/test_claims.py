"""Claims of payments: credited by the gateway's word alone, each once, also where two settle, two claim, or a process dies."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from telvend.approvals.gate import SecondPerson
from telvend.approvals.model import ActKind, Limits, WaitsForSecondPerson
from telvend.approvals.service import Approvals
from telvend.audit.service import findings_of
from telvend.database.connections import Database
from telvend.errors import AlreadyExists, InvalidInput, NotFound
from telvend.funding.claims.invariants import INVARIANTS
from telvend.funding.claims.model import MOST_OPEN, Claim, ClaimState
from telvend.funding.claims.service import Claims
from telvend.funding.credits.service import Credits
from telvend.funding.model import Funding, FundingState
from telvend.gateways.contract import (
    Declined,
    GatewayTraits,
    Paid,
    PaymentAbandoned,
    PaymentNotFound,
    PaymentUnknown,
    Pending,
    Word,
)
from telvend.kit.failpoints import FailpointError
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from tests.store.damage import damaged_books
from tests.store.fundings import FundingShop, another, funding_shop, paid

TRANSFER = Paid(250000, "NGN", test=False, owner=None, gateway_reference="4099260516", channel="bank_transfer")
CLAIMED = Money(250000, NGN)


@pytest.fixture
async def shop(database: Database) -> AsyncIterator[FundingShop]:
    async with funding_shop(database) as opened:
        yield opened


def claims_of(shop: FundingShop, second_person: SecondPerson | None = None) -> Claims:
    credits_ = Credits(shop.database, shop.ledger, second_person)
    return Claims(shop.database, shop.gateways, shop.verification, shop.fundings, credits_)


async def claimed(shop: FundingShop, reference: str = "trf-1", word: Word | None = TRANSFER) -> Claim:
    """A claim of a payment, of which the gateway says this."""
    if word is not None:
        shop.gateway.words[reference] = word
    made = await claims_of(shop).make(shop.caller.reseller_id, "told", reference, CLAIMED, "", by_whom="ama")
    assert isinstance(made, Claim)
    return made


async def test_what_the_gateway_has_received_is_credited_once_however_many_settle(shop: FundingShop) -> None:
    claim = await claimed(shop, word=replace(TRANSFER, amount_minor=240000))
    claims = claims_of(shop)
    assert await shop.balance() == 0
    assert [one.id for one in await claims.unsettled(10)] == [claim.id]
    answers = await asyncio.gather(
        *(claims.settle(claim.id, by_whom=who) for who in ("esi", "kofi", "yaw")), return_exceptions=True
    )
    assert [isinstance(one, Claim) for one in answers].count(True) == 1, answers
    assert all(isinstance(one, Claim | InvalidInput) for one in answers), answers
    done = await claims.find(claim.id)
    assert (done.state, done.paid, done.gateway_reference) == (ClaimState.CREDITED, Money(240000, NGN), "4099260516")
    assert await shop.balance() == 240000
    with pytest.raises(InvalidInput, match="was credited by"):
        await claims.settle(claim.id, by_whom="esi")
    with pytest.raises(InvalidInput, match="was credited by"):
        await claims.refuse(claim.id, "no", by_whom="esi")
    assert await claims.unsettled(10) == []
    await shop.check_books()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        (PaymentNotFound(), "not known"),
        (Pending(), "not paid yet"),
        (Declined("reversed"), "reversed"),
        (PaymentAbandoned(), "abandoned"),
        (PaymentUnknown("no answer"), "could not be asked"),
        (ZeroDivisionError("down"), "could not be asked"),
        (replace(TRANSFER, test=True), "no real money"),
        (replace(TRANSFER, currency="GHS"), "paid in GHS"),
        (replace(TRANSFER, owner="somebody else"), "for another reseller"),
        (replace(TRANSFER, amount_minor=0), "nothing was paid"),
    ],
)
async def test_nothing_is_credited_without_the_gateways_word(
    shop: FundingShop, word: Word | Exception, told: str
) -> None:
    claim = await claimed(shop, word=None)
    shop.gateway.words["trf-1"] = word
    with pytest.raises(InvalidInput, match=told):
        await claims_of(shop).settle(claim.id, by_whom="esi")
    assert await shop.balance() == 0
    refused = await claims_of(shop).refuse(claim.id, "Your bank has it back.", by_whom="esi")
    assert (refused.state, refused.answer) == (ClaimState.REFUSED, "Your bank has it back.")
    shop.gateway.words["trf-1"] = TRANSFER
    with pytest.raises(InvalidInput, match="was refused"):
        await claims_of(shop).settle(claim.id, by_whom="esi")
    assert isinstance(await claimed(shop), Claim), "it may be claimed again"


async def test_a_gateway_that_pretends_credits_no_live_wallet(shop: FundingShop) -> None:
    claim = await claimed(shop)
    shop.gateway.traits = GatewayTraits(live_mode=True, test_mode=True, pretends=True)
    with pytest.raises(InvalidInput, match="pretends"):
        await claims_of(shop).settle(claim.id, by_whom="esi")


async def test_a_payment_that_two_claim_is_credited_to_one_of_them(shop: FundingShop) -> None:
    kofi = await another(shop.database, shop.ledger, "kofi@example.com")
    claims = claims_of(shop)
    mine = await claimed(shop)
    theirs = await claims.make(kofi.reseller_id, "told", "trf-1", CLAIMED, "", by_whom="kofi")
    assert isinstance(theirs, Claim)
    assert [one.id for one in await claims.rivals(mine)] == [theirs.id]
    answers = await asyncio.gather(
        claims.settle(mine.id, by_whom="esi"), claims.settle(theirs.id, by_whom="esi"), return_exceptions=True
    )
    assert sorted(isinstance(one, Claim) for one in answers) == [False, True], answers
    assert await shop.value("select sum(balance_minor) from wallet") == 250000
    await shop.check_books()


@pytest.mark.parametrize("reference", ["trf-1", TRANSFER.gateway_reference])
async def test_what_was_credited_by_hand_before_is_not_credited_again(shop: FundingShop, reference: str) -> None:
    kofi = await another(shop.database, shop.ledger, "kofi@example.com")
    await Credits(shop.database, shop.ledger).add(kofi.reseller_id, CLAIMED, Mode.LIVE, reference)
    claim = await claimed(shop)
    with pytest.raises(InvalidInput, match="credited before"):
        await claims_of(shop).settle(claim.id, by_whom="esi")
    assert await shop.balance() == 0


async def test_ones_own_funding_is_asked_about_when_it_is_claimed(shop: FundingShop) -> None:
    funding = await shop.start()
    claims = claims_of(shop)
    claim = await claims.make(shop.caller.reseller_id, "told", funding.reference, funding.amount, "", by_whom="ama")
    assert isinstance(claim, Claim)
    with pytest.raises(InvalidInput, match="is pending"):
        await claims.settle(claim.id, by_whom="esi")
    shop.gateway.words[funding.reference] = paid(funding)
    done = await claims.settle(claim.id, by_whom="esi")
    assert (done.state, done.funding) == (ClaimState.CREDITED, funding.reference)
    assert await shop.balance() == funding.amount.minor
    second = await shop.start()
    shop.gateway.words[second.reference] = paid(second)
    arrived = await claims.make(shop.caller.reseller_id, "told", second.reference, second.amount, "", by_whom="ama")
    assert isinstance(arrived, Funding)
    assert arrived.state is FundingState.COMPLETED
    # By the gateway's own name of a payment that is a funding, too.
    third = await claims.make(shop.caller.reseller_id, "told", f"PAY-{second.id}", second.amount, "", by_whom="ama")
    assert isinstance(third, Funding)
    assert await shop.balance() == 2 * funding.amount.minor
    await shop.check_books()


async def test_anothers_funding_cannot_be_claimed(shop: FundingShop) -> None:
    kofi = await another(shop.database, shop.ledger, "kofi@example.com")
    funding = await shop.start(caller=kofi)
    shop.gateway.words[funding.reference] = paid(funding)
    claim = await claimed(shop, funding.reference, word=None)
    with pytest.raises(InvalidInput, match="of another reseller"):
        await claims_of(shop).settle(claim.id, by_whom="esi")
    await shop.fundings.check(funding.reference)
    again = await claimed(shop, f"PAY-{funding.id}", word=None)
    with pytest.raises(InvalidInput, match="of another reseller"):
        await claims_of(shop).settle(again.id, by_whom="esi")
    assert await shop.balance() == 0


async def test_what_is_claimed_must_be_possible_and_is_claimed_once(shop: FundingShop) -> None:
    claims, ama = claims_of(shop), shop.caller.reseller_id
    for gateway, reference, amount, note, field in (
        ("paystack", "trf-1", CLAIMED, "", "gateway"),
        ("told", "a b", CLAIMED, "", "reference"),
        ("told", "x" * 101, CLAIMED, "", "reference"),
        ("told", "trf-1", Money(0, NGN), "", "amount"),
        ("told", "trf-1", CLAIMED, "x" * 501, "note"),
        ("told", "trf-1", CLAIMED, "\0", "note"),
    ):
        with pytest.raises(InvalidInput) as refused:
            await claims.make(ama, gateway, reference, amount, note, by_whom="ama")
        assert refused.value.field == field
    await claimed(shop)
    with pytest.raises(AlreadyExists):
        await claimed(shop)
    for number in range(2, MOST_OPEN + 1):
        await claimed(shop, f"trf-{number}")
    with pytest.raises(InvalidInput, match="claims are open"):
        await claimed(shop, "trf-99")
    with pytest.raises(NotFound):
        await claims.find(10**9)


async def test_above_the_limit_a_second_person_credits_it_or_it_is_open_again(shop: FundingShop) -> None:
    gate = SecondPerson(Limits({"NGN": 100000}))
    credits_ = Credits(shop.database, shop.ledger, gate)
    claims = claims_of(shop, gate)
    approvals = Approvals(shop.database, {ActKind.CREDIT: lambda: credits_.perform})
    claim = await claimed(shop)
    with pytest.raises(WaitsForSecondPerson) as waits:
        await claims.settle(claim.id, by_whom="esi")
    assert (await claims.find(claim.id)).state is ClaimState.WAITING
    assert await claims.unsettled(10) == []
    for attempt in (claims.settle(claim.id, by_whom="yaw"), claims.refuse(claim.id, "no", by_whom="yaw")):
        with pytest.raises(InvalidInput, match="second person"):
            await attempt
    await approvals.reject(waits.value.proposal.id, "kofi", "wrong wallet")
    assert (await claims.find(claim.id)).state is ClaimState.OPEN
    with pytest.raises(WaitsForSecondPerson) as waits:
        await claims.settle(claim.id, by_whom="esi")
    assert await shop.balance() == 0
    with pytest.raises(InvalidInput, match="another person"):
        await approvals.confirm(waits.value.proposal.id, "esi")
    await approvals.confirm(waits.value.proposal.id, "kofi")
    assert await shop.balance() == 250000
    done = await claims.find(claim.id)
    await shop.check_books()
    assert (done.state, done.settled_by) == (ClaimState.CREDITED, "esi")
    with pytest.raises(InvalidInput):
        await claims.settle(claim.id, by_whom="yaw")
    assert await shop.balance() == 250000
    await shop.check_books()


async def test_a_process_that_dies_has_credited_nothing_and_the_claim_is_open(
    shop: FundingShop, armed: Callable[[str], None]
) -> None:
    claim = await claimed(shop)
    armed("claim.before_commit=error@1")
    with pytest.raises(FailpointError):
        await claims_of(shop).settle(claim.id, by_whom="esi")
    assert await shop.balance() == 0
    assert (await claims_of(shop).find(claim.id)).state is ClaimState.OPEN
    await claims_of(shop).settle(claim.id, by_whom="esi")
    assert await shop.balance() == 250000


DAMAGES = {
    "a claim says that more was paid": "update funding_claim set paid_minor = paid_minor + 1 where funding is null",
    "the credit of a claim is gone": "delete from wallet_credit where reference = 'trf-1'",
    "a claim is credited by anything": "update funding_claim set cause = 77 where funding is null",
    "a claim was of a funding that is not paid": "update funding set state = 'failed', completed_at = null,"
    " balance_after_minor = balance_before_minor",
    "a claim was of another's funding": "update funding_claim set reseller_id = (select id from reseller"
    " where email = 'kofi@example.com') where funding is not null",
}


async def credited_claims(shop: FundingShop) -> None:
    """A claim that was credited by hand, one that was a funding, and another reseller with a wallet."""
    claims = claims_of(shop)
    await claims.settle((await claimed(shop)).id, by_whom="esi")
    funding = await shop.start()
    made = await claims.make(shop.caller.reseller_id, "told", funding.reference, funding.amount, "", by_whom="ama")
    assert isinstance(made, Claim)
    shop.gateway.words[funding.reference] = paid(funding)
    await claims.settle(made.id, by_whom="esi")
    kofi = await another(shop.database, shop.ledger, "kofi@example.com")
    await Credits(shop.database, shop.ledger).add(kofi.reseller_id, CLAIMED, Mode.LIVE, "cash")


@pytest.mark.parametrize("damage", DAMAGES)
async def test_the_audit_finds_a_claim_without_its_money(shop: FundingShop, damage: str) -> None:
    await credited_claims(shop)
    async with shop.database.connection() as tx:
        assert await findings_of(tx, INVARIANTS) == []
    async with damaged_books(shop.database, DAMAGES[damage]) as tx:
        assert len(await findings_of(tx, INVARIANTS)) == 1
