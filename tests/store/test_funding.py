"""Fundings on a real database: races, repeats, what does not fit, expiry, and processes that die in between."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from telvend.audit.service import findings_of
from telvend.database.connections import Database
from telvend.errors import Busy, InvalidInput, NotFound
from telvend.funding import store
from telvend.funding.invariants import INVARIANTS
from telvend.funding.model import FundingState
from telvend.funding.service import Received
from telvend.funding.verification import Gateways, PaymentVerification
from telvend.gateways.contract import (
    Declined,
    Method,
    NotStarted,
    Paid,
    PaymentAbandoned,
    PaymentUnknown,
    Pending,
)
from telvend.gateways.contract import (
    PaymentNotFound as NotKnown,
)
from telvend.kit import failpoints
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.wallets import store as wallet_store
from tests.store.fundings import (
    AMOUNT,
    BASE_URL,
    FundingShop,
    ScriptedGateway,
    another,
    caller_of,
    funding_shop,
    notice_about,
    paid,
)

HOUR = timedelta(hours=1)
TEN_MINUTES = timedelta(minutes=10)


@pytest.fixture
async def shop(database: Database) -> AsyncIterator[FundingShop]:
    async with funding_shop(database) as made:
        yield made


# Beginning -----------------------------------------------------------------------------------------------------------------


async def test_a_funding_begins_pending_with_an_address_to_pay_at(shop: FundingShop) -> None:
    funding = await shop.start(redirect_url="https://client.example/back")
    assert funding.state is FundingState.PENDING
    assert funding.reference.startswith(f"FND-{funding.id}-")
    assert funding.payment_url == f"https://told.example/{funding.reference}"
    assert funding.expires_at - funding.created_at == HOUR
    assert (funding.position, funding.balance_before, funding.balance_after) == (1, Money(0, NGN), Money(0, NGN))
    (began,) = shop.gateway.started
    assert (began.owner, began.amount, began.test) == (str(shop.caller.reseller_id), AMOUNT, False)
    assert began.email.endswith("@example.com")
    assert began.return_url == f"{BASE_URL}/pay/return/{funding.reference}"
    assert await shop.fundings.find(shop.caller, funding.reference) == funding
    assert await shop.value("select (kind, id, credit)::text from wallet_transaction") == f"(f,{funding.id},t)"
    await shop.check_books()


async def test_nobody_else_finds_it(shop: FundingShop) -> None:
    funding = await shop.start()
    kofi = await another(shop.database, shop.ledger, "kofi@example.com")
    in_test = await caller_of(shop.database, shop.caller.reseller_id, Mode.TEST)
    for caller in (kofi, in_test):
        with pytest.raises(NotFound):
            await shop.fundings.find(caller, funding.reference)
    for reference in (
        "",
        "FND",
        f"FND-{funding.id}-000000",
        f"NIN-{funding.id}-{funding.reference[-6:]}",
        "FND-999-aaaaaa",
    ):
        with pytest.raises(NotFound):
            await shop.fundings.find(shop.caller, reference)


@pytest.mark.parametrize(
    ("amount", "redirect_url", "error"),
    [
        (Money(0, NGN), None, InvalidInput),
        (Money(-1, NGN), None, InvalidInput),
        (AMOUNT, "javascript:alert(1)", InvalidInput),
        (Money(100, Money(0, GHS).currency), None, None),
    ],
)
async def test_what_cannot_be_is_refused_and_leaves_nothing(
    shop: FundingShop, amount: Money, redirect_url: str | None, error: type[Exception] | None
) -> None:
    if error is None:
        assert (await shop.start(amount)).amount == amount
        return
    with pytest.raises(error):
        await shop.start(amount, redirect_url=redirect_url)
    assert await shop.value("select count(*) from funding") == 0


async def test_without_a_gateway_for_it_the_method_is_refused(shop: FundingShop) -> None:
    shop.gateway.traits = type(shop.gateway.traits)(live_mode=False, test_mode=True)
    with pytest.raises(InvalidInput, match="payment_method"):
        await shop.start()


async def test_the_next_gateway_is_not_taken_when_the_preferred_one_cannot_do_it(database: Database) -> None:
    async with funding_shop(database, others=(ScriptedGateway("second"),)) as shop:
        shop.gateway.traits = type(shop.gateway.traits)(
            live_mode=True, test_mode=True, methods=frozenset({Method.USSD})
        )
        with pytest.raises(InvalidInput):
            await shop.start()
        shop.gateway.traits = type(shop.gateway.traits)(live_mode=False, test_mode=True)
        assert (await shop.start()).gateway == "second"


@pytest.mark.parametrize("beginning", [NotStarted("no"), PaymentUnknown("?"), RuntimeError("bug"), "nonsense"])
async def test_one_that_could_not_be_begun_fails_and_says_busy(shop: FundingShop, beginning: Any) -> None:
    shop.gateway.beginning = beginning
    with pytest.raises(Busy):
        await shop.start()
    (funding,) = await shop.fundings.list_fundings()
    assert (funding.state, funding.payment_url) == (FundingState.FAILED, None)
    asked_again = await shop.value("select due_at is not null from funding")
    assert asked_again is not isinstance(beginning, NotStarted)
    await shop.check_books()


async def test_one_that_was_begun_without_our_hearing_of_it_is_credited_when_it_is_paid(shop: FundingShop) -> None:
    shop.gateway.beginning = PaymentUnknown("?")
    with pytest.raises(Busy):
        await shop.start()
    (funding,) = await shop.fundings.list_fundings()
    shop.gateway.words[funding.reference] = paid(funding)
    await shop.pass_time(funding, timedelta(minutes=1))
    await shop.worker.work_off()
    assert (await shop.now(funding)).state is FundingState.COMPLETED
    assert await shop.balance() == AMOUNT.minor
    await shop.check_books()


# Crediting once ------------------------------------------------------------------------------------------------------------


async def test_a_paid_funding_is_credited_with_its_balances(shop: FundingShop) -> None:
    first, second = await shop.start(), await shop.start(Money(700, NGN))
    for funding in (first, second):
        shop.gateway.words[funding.reference] = paid(funding, channel="bank_transfer", bank="First Bank")
        await shop.fundings.check(funding.reference)
    done = await shop.now(second)
    assert (done.state, done.channel, done.bank) == (FundingState.COMPLETED, "bank_transfer", "First Bank")
    assert done.gateway_reference == f"PAY-{second.id}"
    assert (done.balance_before, done.balance_after) == (AMOUNT, Money(500700, NGN))
    assert done.completed_at is not None
    assert await shop.balance() == 500700
    owner = "select owner from account a join transfer t on t.debit = a.id where t.cause = $1"
    assert await shop.value(owner, second.id) == "told"
    async with shop.database.connection() as tx:
        assert set(await wallet_store.references(tx, [first.id, second.id, 999])) == {first.id, second.id}
    await shop.check_books()


async def test_whatever_comes_first_and_however_often_it_is_credited_once(database: Database) -> None:
    """Notices, returns and the schedule, at once, from two processes' pools."""
    other = await Database.open(database.url, pool_size=4)
    try:
        async with funding_shop(database) as one, funding_shop(other) as two:
            fundings = [await one.start() for _ in range(5)]
            for funding in fundings:
                word = paid(funding)
                one.gateway.words[funding.reference] = two.gateway.words[funding.reference] = word
            await one.execute("update funding set due_at = now()")
            one.worker.start()
            two.worker.start()
            await asyncio.gather(
                *(
                    act
                    for funding in fundings
                    for shop in (one, two)
                    for act in (
                        shop.fundings.notice("told", *notice_about(funding.reference)),
                        shop.fundings.check(funding.reference),
                        shop.fundings.returned(funding.reference),
                        shop.fundings.notice("told", *notice_about(funding.reference)),
                    )
                )
            )
            for _ in range(200):
                if await one.value("select count(*) from funding where state = 'completed'") == 5:
                    break
                await asyncio.sleep(0.02)
            assert await one.balance() == 5 * AMOUNT.minor
            assert await one.value("select count(*) from transfer") == 5
            await one.check_books()
    finally:
        await other.close()


async def test_a_replayed_notice_credits_nothing_more_and_asks_nobody(shop: FundingShop) -> None:
    funding = await shop.start()
    shop.gateway.words[funding.reference] = paid(funding)
    for _ in range(3):
        assert await shop.fundings.notice("told", *notice_about(funding.reference)) is Received.STORED
        await shop.worker.work_off()
    assert len(shop.gateway.asked) == 1
    assert await shop.balance() == AMOUNT.minor
    (kept,) = (await shop.fundings.history(funding.reference)).notices
    assert (kept["event"], kept["times"]) == ("told", 3)
    await shop.check_books()


async def test_a_notice_alone_credits_nothing(shop: FundingShop) -> None:
    funding = await shop.start()
    assert await shop.fundings.notice("told", *notice_about(funding.reference)) is Received.STORED
    assert await shop.worker.work_off() == 1
    assert (await shop.now(funding)).state is FundingState.PENDING
    assert await shop.balance() == 0


async def test_a_forged_notice_is_neither_kept_nor_followed(shop: FundingShop) -> None:
    funding = await shop.start()
    shop.gateway.words[funding.reference] = paid(funding)
    _, body = notice_about(funding.reference)
    assert await shop.fundings.notice("told", {"signed": "no"}, body) is Received.FORGED
    assert await shop.worker.work_off() == 0
    assert await shop.value("select count(*) from gateway_notice") == 0
    assert await shop.balance() == 0
    with pytest.raises(NotFound):
        await shop.fundings.notice("nobody", {"signed": "yes"}, body)


async def test_forged_notices_are_a_line_a_minute_for_each_source(shop: FundingShop) -> None:
    with capture_logs() as lines:
        for _ in range(50):
            for source in ("192.0.2.1", "192.0.2.2"):
                await shop.fundings.notice("told", {"signed": "no"}, b"x", source=source)
    assert [(line["event"], line["client"]) for line in lines] == [
        ("notice_forged", "192.0.2.1"), ("notice_forged", "192.0.2.2"),
    ]  # fmt: skip


@pytest.mark.parametrize("reference", ["FND-77-aaaaaa", "somebody else's", "\x00", "FND-1-000000", None])
async def test_a_notice_about_nothing_of_ours_is_kept_for_a_person(shop: FundingShop, reference: str | None) -> None:
    await shop.start()
    assert await shop.fundings.notice("told", *notice_about(reference)) is Received.STORED
    strays = await shop.fundings.stray_notices()
    assert len(strays) == (reference is not None)
    assert await shop.worker.work_off() == 0


async def test_one_gateway_s_notice_says_nothing_about_another_s_funding(database: Database) -> None:
    async with funding_shop(database, others=(ScriptedGateway("second"),)) as shop:
        funding = await shop.start()
        await shop.fundings.notice("second", *notice_about(funding.reference))
        assert await shop.worker.work_off() == 0
        assert len(await shop.fundings.stray_notices()) == 1


async def test_a_notice_that_comes_while_the_gateway_is_asked_is_not_forgotten(shop: FundingShop) -> None:
    funding = await shop.start()
    async with shop.database.transaction() as tx:
        in_hand = await store.verification(tx, funding.id, 60)
    assert in_hand is not None
    await shop.fundings.notice("told", *notice_about(funding.reference))
    await shop.verification.settle(in_hand, Pending(), shop.gateway.traits)
    assert await shop.value("select due_at <= now() from funding")


async def test_one_payment_at_the_gateway_fills_one_wallet_only(shop: FundingShop) -> None:
    first, second = await shop.start(), await shop.start()
    for funding in (first, second):
        shop.gateway.words[funding.reference] = paid(funding, gateway_reference="SAME")
        await shop.fundings.check(funding.reference)
    assert await shop.balance() == AMOUNT.minor
    doubted = await shop.now(second)
    assert (doubted.state, doubted.attention) == (FundingState.PENDING, True)
    await shop.check_books()


# What does not fit ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 499999},
        {"amount_minor": 50000000},
        {"currency": "GHS"},
        {"test": True},
        {"owner": "somebody else"},
        {"owner": None},
    ],
    ids=str,
)
async def test_a_payment_that_does_not_fit_credits_nothing_and_waits_for_a_person(
    shop: FundingShop, changes: dict[str, Any]
) -> None:
    funding = await shop.start()
    shop.gateway.words[funding.reference] = paid(funding, **changes)
    for _ in range(2):
        await shop.fundings.notice("told", *notice_about(funding.reference))
        await shop.worker.work_off()
        await shop.fundings.check(funding.reference)
    history = await shop.fundings.history(funding.reference)
    assert (history.funding.state, history.funding.attention) == (FundingState.PENDING, True)
    assert len(history.notes) == 1
    assert [found.id for found in await shop.fundings.list_fundings(attention=True)] == [funding.id]
    # It neither expires nor is asked about again by itself.
    await shop.pass_time(funding, 100 * HOUR)
    assert await shop.worker.work_off() == 0
    assert await shop.balance() == 0
    await shop.check_books()
    resolved = await shop.fundings.resolve(funding.reference, "Paid back by hand.")
    assert (resolved.state, resolved.attention) == (FundingState.FAILED, False)
    assert [text for _, text in (await shop.fundings.history(funding.reference)).notes][-1] == "Paid back by hand."
    await shop.check_books()


async def test_a_dispute_of_what_was_credited_is_put_before_a_person_and_takes_nothing(shop: FundingShop) -> None:
    funding = await shop.start()
    shop.gateway.words[funding.reference] = paid(funding)
    await shop.fundings.check(funding.reference)
    await shop.fundings.notice("told", *notice_about(funding.reference, concern="The payer disputes it."))
    doubted = await shop.now(funding)
    assert (doubted.state, doubted.attention) == (FundingState.COMPLETED, True)
    assert await shop.balance() == AMOUNT.minor
    resolved = await shop.fundings.resolve(funding.reference, "Won.")
    assert (resolved.state, resolved.attention) == (FundingState.COMPLETED, False)
    await shop.check_books()


async def test_play_money_of_a_gateway_that_has_lost_its_live_wallets_credits_nothing(shop: FundingShop) -> None:
    funding = await shop.start()
    shop.gateway.words[funding.reference] = paid(funding)
    shop.gateway.traits = type(shop.gateway.traits)(live_mode=False, test_mode=True)
    assert (await shop.fundings.check(funding.reference)).attention
    assert await shop.balance() == 0


async def test_a_gateway_that_is_not_set_up_any_more_leaves_it_pending(shop: FundingShop) -> None:
    funding = await shop.start()
    gone = PaymentVerification(shop.database, shop.ledger, Gateways([]))
    assert (await gone.ask(funding)).state is FundingState.PENDING


# Ends ----------------------------------------------------------------------------------------------------------------------


async def test_a_funding_that_nobody_pays_expires_after_a_last_question(shop: FundingShop) -> None:
    funding = await shop.start()
    assert await shop.worker.work_off() == 0
    await shop.pass_time(funding, timedelta(minutes=30))
    assert await shop.worker.work_off() == 1
    assert (await shop.now(funding)).state is FundingState.PENDING
    await shop.pass_time(funding, timedelta(minutes=31))
    assert await shop.worker.work_off() == 1
    expired = await shop.now(funding)
    assert (expired.state, expired.balance_after) == (FundingState.EXPIRED, expired.balance_before)
    async with shop.database.connection() as tx:
        assert await store.pending_positions(tx, funding.wallet_id) == []
    assert await shop.value("select count(*) from wallet_failed") == 1
    await shop.check_books()


async def test_an_expired_funding_is_asked_about_a_few_times_more_and_then_never(shop: FundingShop) -> None:
    funding = await shop.start()
    questions = 0
    for _ in range(400):
        await shop.pass_time(funding, timedelta(minutes=30))
        questions += await shop.worker.work_off()
    assert await shop.value("select due_at is null from funding")
    assert 5 <= questions <= 8


@pytest.mark.parametrize("after", [timedelta(), 2 * HOUR, 100 * HOUR])
async def test_a_payment_that_comes_after_the_end_is_honoured(shop: FundingShop, after: timedelta) -> None:
    funding = await shop.start()
    await shop.pass_time(funding, HOUR)
    await shop.worker.work_off()
    assert (await shop.now(funding)).state is FundingState.EXPIRED
    await shop.pass_time(funding, after)
    shop.gateway.words[funding.reference] = paid(funding)
    await shop.fundings.notice("told", *notice_about(funding.reference))
    await shop.worker.work_off()
    assert (await shop.now(funding)).state is FundingState.COMPLETED
    assert await shop.balance() == AMOUNT.minor
    assert await shop.value("select count(*) from wallet_failed") == 0
    await shop.check_books()


@pytest.mark.parametrize("word", [Declined(), PaymentAbandoned()])
async def test_a_declined_funding_fails_and_is_credited_when_it_is_paid_after_all(shop: FundingShop, word: Any) -> None:
    funding = await shop.start()
    shop.gateway.words[funding.reference] = word
    assert (await shop.fundings.check(funding.reference)).state is FundingState.FAILED
    await shop.check_books()
    shop.gateway.words[funding.reference] = paid(funding)
    assert (await shop.fundings.check(funding.reference)).state is FundingState.COMPLETED
    await shop.check_books()


async def test_a_gateway_that_does_not_answer_ends_nothing(shop: FundingShop) -> None:
    funding = await shop.start()
    for word in (PaymentUnknown("?"), RuntimeError("bug"), NotKnown()):
        shop.gateway.words[funding.reference] = word
        assert (await shop.fundings.check(funding.reference)).state is FundingState.PENDING
    shop.gateway.words[funding.reference] = PaymentUnknown("?")
    await shop.pass_time(funding, 2 * HOUR)
    await shop.worker.work_off()
    assert (await shop.now(funding)).state is FundingState.PENDING


async def test_a_slow_gateway_is_given_up(shop: FundingShop) -> None:
    async def never(_: str) -> Any:
        await asyncio.sleep(60)

    funding = await shop.start()
    shop.gateway.traits = type(shop.gateway.traits)(live_mode=True, test_mode=True, timeout_s=0.05)
    shop.gateway.verify = never  # type: ignore[method-assign]
    assert (await shop.fundings.check(funding.reference)).state is FundingState.PENDING


async def test_those_who_return_in_one_moment_have_the_gateway_asked_once_and_see_the_same(shop: FundingShop) -> None:
    async def slow(reference: str) -> Any:
        asked.append(reference)
        await asyncio.sleep(0.3)
        return paid(funding)

    asked: list[str] = []
    funding = await shop.start()
    shop.gateway.verify = slow  # type: ignore[method-assign]
    seen = await asyncio.gather(*(shop.fundings.returned(funding.reference) for _ in range(3)))
    assert [found.state for found in seen] == [FundingState.COMPLETED] * 3
    assert asked == [funding.reference]


# Dying in between ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "point", ["funding.before_credit", "funding.before_commit", "funding.after_commit", "funding.after_notice"]
)
async def test_what_fails_half_way_is_done_once_afterwards(shop: FundingShop, armed: Any, point: str) -> None:
    funding = await shop.start()
    shop.gateway.words[funding.reference] = paid(funding)
    armed(f"{point}=error@1")
    try:
        await shop.fundings.notice("told", *notice_about(funding.reference))
    except failpoints.FailpointError:
        assert point == "funding.after_notice"
    await shop.worker.work_off()
    if point == "funding.after_commit":
        assert (await shop.now(funding)).state is FundingState.COMPLETED
    await shop.check_books()
    # The lease ends; somebody else asks.
    await shop.execute("update funding set due_at = now() where due_at is not null")
    await shop.worker.work_off()
    assert (await shop.now(funding)).state is FundingState.COMPLETED
    assert await shop.balance() == AMOUNT.minor
    await shop.check_books()


@pytest.mark.parametrize("point", ["funding.before_start", "funding.after_start"])
async def test_one_whose_beginning_was_cut_off_is_credited_when_it_is_paid(
    shop: FundingShop, armed: Any, point: str
) -> None:
    armed(f"{point}=error")
    with pytest.raises(failpoints.FailpointError):
        await shop.start()
    (funding,) = await shop.fundings.list_fundings()
    assert (funding.state, funding.payment_url) == (FundingState.PENDING, None)
    shop.gateway.words[funding.reference] = paid(funding)
    await shop.pass_time(funding, timedelta(minutes=1))
    await shop.worker.work_off()
    assert await shop.balance() == AMOUNT.minor
    await shop.check_books()


_ASK = """
import asyncio, sys
from telvend.kit.clock import SystemClock
from telvend.database.connections import Database
from telvend.ledger.service import Ledger
from telvend.funding.verification import PaymentVerification, Gateways
from telvend.funding.jobs import FundingWorker
from telvend.gateways.sandbox.client import Sandbox

async def main():
    database = await Database.open(sys.argv[1], pool_size=2)
    asking = PaymentVerification(database, Ledger(database), Gateways([await Sandbox.open(database)]))
    await FundingWorker(database, asking, SystemClock()).work_off()
    await database.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("point", ["funding.before_credit", "funding.before_commit", "funding.after_commit"])
async def test_a_killed_process_loses_and_doubles_nothing(database: Database, point: str) -> None:
    async with funding_shop(database, sandbox=True) as shop:
        funding = await shop.start()
        await shop.execute("update sandbox.payment set state = 'paid', decided_at = now()")
        for failpoint, code in ((f"{point}=kill", -signal.SIGKILL), ("", 0), ("", 0)):
            await shop.execute("update funding set due_at = now() where due_at is not null")
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _ASK, database.url, env=os.environ | {failpoints.VARIABLE: failpoint}
            )
            assert await process.wait() == code
            await shop.check_books()
        assert (await shop.now(funding)).state is FundingState.COMPLETED
        assert await shop.balance() == AMOUNT.minor


# The worker ----------------------------------------------------------------------------------------------------------------


async def test_the_worker_asks_at_once_when_a_notice_comes_and_stops_when_told(shop: FundingShop) -> None:
    funding = await shop.start()
    shop.gateway.words[funding.reference] = paid(funding)
    shop.worker._poll_s = 60
    shop.worker.start()
    await asyncio.sleep(0.1)
    await shop.fundings.notice("told", *notice_about(funding.reference))
    for _ in range(100):
        if (await shop.now(funding)).state is FundingState.COMPLETED:
            break
        await asyncio.sleep(0.02)
    assert await shop.balance() == AMOUNT.minor
    await shop.worker.drain(1)
    await shop.fundings.notice("told", *notice_about((await shop.start()).reference))
    assert await shop.worker.work_off() == 0


# The books -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (
            "update funding set amount_minor = amount_minor + 1, balance_after_minor = balance_after_minor + 1 where id = $1",
            "every completed funding stands in the ledger once, with its amount",
        ),
        (
            "update funding set state = 'failed', completed_at = null, balance_after_minor = balance_before_minor where id = $1",
            "no other funding stands in the ledger",
        ),
        ("delete from funding where id = $1", "what came from a gateway is a funding"),
        (
            "insert into wallet_failed select wallet_id, position, true from funding where id = $1",
            "a funding is listed as failed exactly when it has come to nothing",
        ),
    ],
)
async def test_a_damaged_book_is_found(shop: FundingShop, damage: str, rule: str) -> None:
    funding = await shop.start()
    shop.gateway.words[funding.reference] = paid(funding)
    await shop.fundings.check(funding.reference)
    async with shop.database.connection() as tx:
        assert await findings_of(tx, INVARIANTS) == []
        await tx.execute(damage, funding.id)
        assert rule in {finding.rule for finding in await findings_of(tx, INVARIANTS)}
        assert rule in {invariant.rule for invariant in INVARIANTS}


async def test_a_test_key_funds_its_own_wallet_with_play_money(database: Database) -> None:
    async with funding_shop(database, mode=Mode.TEST) as shop:
        funding = await shop.start()
        assert shop.gateway.started[0].test
        shop.gateway.words[funding.reference] = paid(funding)
        done = await shop.fundings.check(funding.reference)
        assert isinstance(shop.gateway.words[funding.reference], Paid)
        assert (done.state, done.mode) == (FundingState.COMPLETED, Mode.TEST)
        await shop.check_books()


# A clock that jumps --------------------------------------------------------------------------------------------------------


async def test_when_the_clock_goes_back_fundings_are_asked_about_when_their_step_is_over(shop: FundingShop) -> None:
    never_asked, asked = await shop.start(), await shop.start()
    # As if the database's clock had been set back by ten minutes after this.
    await shop.execute(
        "update funding set updated_at = updated_at + $1::interval, due_at = now() + $1::interval + interval '30 seconds'",
        TEN_MINUTES,
    )
    await shop.execute("update funding set asked_at = now() + $1::interval where id = $2", TEN_MINUTES, asked.id)
    await shop.worker.work_off()
    for funding in (never_asked, asked):
        due_in_s = await shop.value(
            "select extract(epoch from due_at - now())::float8 from funding where id = $1", funding.id
        )
        assert 25 < due_in_s <= 31
        assert await shop.value("select greatest(updated_at, asked_at) <= now() from funding where id = $1", funding.id)
    assert (await shop.now(never_asked)).asked_at is None
