"""Identity checks on a real database: what becomes of the money, of repeats and races, of answers that come late."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from telvend.authorities.contract import (
    Blocked,
    Found,
    NotOnRecord,
    Record,
    Unavailable,
    VerificationKind,
    VerificationUnknown,
)
from telvend.database.connections import Database
from telvend.errors import InsufficientBalance, InvalidInput, NotFound, ProductUnavailable, ReferenceReused
from telvend.identity.model import Consent, NotConfigured, VerificationPolicy, VerificationResult, VerificationState
from telvend.kit import failpoints
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.kit.secret import Secret
from tests.store.verifications import (
    NUMBER,
    PRICE_MINOR,
    QUICK,
    Obedient,
    VerificationShop,
    caller,
    verification_shop,
    wants,
)

JOHN = "12345678901"
NOBODY = "71234560404"
DOWN = "71234560503"
BARRED = "71234560407"


@pytest.fixture
async def prembly() -> Obedient:
    return Obedient()


@pytest.fixture
async def shop(database: Database, tmp_path: Path, prembly: Obedient) -> AsyncIterator[VerificationShop]:
    opened = await verification_shop(database, tmp_path, {"prembly": prembly}, policy=QUICK)
    yield opened
    prembly.may_answer.set()
    await opened.close()


# Stories ------------------------------------------------------------------------------------------------------------------


async def test_a_day_at_the_bureau(shop: VerificationShop) -> None:
    """step, number, options → state, replayed, record; the balance and the margin after it."""
    story: list[tuple[str, dict[str, Any], VerificationState, bool, int, int]] = [
        (JOHN, {"reference": "a"}, VerificationState.VERIFIED, False, 490_000, 10_000),
        (JOHN, {"reference": "a"}, VerificationState.VERIFIED, True, 490_000, 10_000),
        (JOHN, {}, VerificationState.VERIFIED, False, 480_000, 20_000),
        (JOHN, {"force_new": True, "card_type": "premium"}, VerificationState.VERIFIED, False, 460_000, 40_000),
        (NOBODY, {"reference": "b"}, VerificationState.NOT_ON_RECORD, False, 460_000, 40_000),
        (NOBODY, {"reference": "b"}, VerificationState.NOT_ON_RECORD, True, 460_000, 40_000),
        (DOWN, {"reference": "c"}, VerificationState.UNAVAILABLE, False, 460_000, 40_000),
        (DOWN, {"reference": "c"}, VerificationState.UNAVAILABLE, False, 460_000, 40_000),
        (JOHN, {"reference": "c", "card_type": "regular"}, VerificationState.VERIFIED, False, 445_000, 55_000),
        (BARRED, {"kind": VerificationKind.BVN}, VerificationState.BLOCKED, False, 445_000, 55_000),
        (
            BARRED,
            {"kind": VerificationKind.BVN, "provider": "dojah"},
            VerificationState.BLOCKED,
            False,
            445_000,
            55_000,
        ),
        (JOHN, {"kind": VerificationKind.BVN}, VerificationState.VERIFIED, False, 415_000, 85_000),
        (BARRED, {}, VerificationState.VERIFIED, False, 405_000, 95_000),
    ]
    for number, options, state, replayed, balance, margin in story:
        checked = await shop.check(number, **options)
        assert (checked.verification.state, checked.replayed) == (state, replayed), (number, options)
        assert (checked.record is not None) == (state is VerificationState.VERIFIED)
        assert (checked.retry_after_s is not None) == (state is VerificationState.UNAVAILABLE)
        assert checked.number == Secret(number)
        assert await shop.balance() == balance
        assert await shop.house() == {"margin": margin}
        paid = checked.verification.price.minor if state is VerificationState.VERIFIED else 0
        assert checked.verification.before.minor - checked.verification.after.minor == paid
        await shop.check_books()
    assert await shop.value("select count(*) from wallet_failed") == 5


async def test_the_money_is_held_while_the_authority_is_asked(shop: VerificationShop, prembly: Obedient) -> None:
    prembly.may_answer.clear()
    buying = asyncio.create_task(shop.check(use_real_api=True))
    await prembly.was_asked.wait()
    assert (await shop.balance(), await shop.house()) == (490_000, {"in_flight": 10_000})
    await shop.check_books()
    # Nothing is held open meanwhile: neither a transaction nor a lock.
    assert await shop.value("select count(*) from pg_stat_activity where state like 'idle in%'") == 0
    prembly.may_answer.set()
    checked = await buying
    assert (checked.verification.state, checked.verification.source) == (VerificationState.VERIFIED, "prembly")
    assert (await shop.balance(), await shop.house()) == (490_000, {"margin": 10_000})
    assert checked.verification.reference.startswith(f"NIN-{checked.verification.id}-")
    assert checked.verification.expires_at is not None
    assert 364 <= (checked.verification.expires_at - checked.verification.created_at).days <= 366


@pytest.mark.parametrize(
    ("answer", "balance", "house"),
    [
        (Found(Record(first_name="Ngozi")), 490_000, {"provider prembly": 6_000, "margin": 4_000}),
        (NotOnRecord(), 500_000, {"provider prembly": 2_000, "loss": -2_000}),
        (Blocked(), 500_000, {"provider prembly": 2_000, "loss": -2_000}),
        (Unavailable(), 500_000, {}),
        (VerificationUnknown(), 500_000, {}),
    ],
)
async def test_what_the_authority_takes_is_the_houses_where_nothing_was_sold(
    shop: VerificationShop, prembly: Obedient, answer: Any, balance: int, house: dict[str, int]
) -> None:
    await shop.identity.set_costs("prembly", VerificationKind.NIN, Money(6_000, NGN), Money(2_000, NGN))
    prembly.answer = answer
    await shop.check(use_real_api=True)
    assert (await shop.balance(), await shop.house()) == (balance, house)
    await shop.check_books()


async def test_a_check_below_cost_is_paid_by_the_house(shop: VerificationShop) -> None:
    await shop.identity.set_costs("prembly", VerificationKind.NIN, Money(12_500, NGN), Money(0, NGN))
    await shop.check(use_real_api=True)
    assert await shop.house() == {"provider prembly": 12_500, "loss": -2_500}
    await shop.check_books()


async def test_a_record_on_file_is_sold_again_without_asking_and_without_cost(
    shop: VerificationShop, prembly: Obedient
) -> None:
    await shop.identity.set_costs("prembly", VerificationKind.NIN, Money(6_000, NGN), Money(0, NGN))
    first = await shop.check(use_real_api=True)
    second = await shop.check(use_real_api=True, card_type="regular")
    assert prembly.asked == 1
    assert (second.record, second.verification.reused_id) == (first.record, first.verification.id)
    assert second.verification.expires_at == first.verification.expires_at
    assert await shop.house() == {"provider prembly": 6_000, "margin": 4_000 + 15_000}
    third = await shop.check(use_real_api=True, force_new=True)
    assert (prembly.asked, third.verification.reused_id) == (2, None)
    await shop.value("update verification set expires_at = now() - interval '1 second' returning 1")
    await shop.check(use_real_api=True)
    assert prembly.asked == 3
    await shop.check_books()


async def test_records_of_each_source_account_mode_and_kind_are_kept_apart(
    shop: VerificationShop, database: Database, prembly: Obedient
) -> None:
    dojah = Obedient("dojah")
    identity = shop.another_process({"prembly": prembly, "dojah": dojah})
    kofi = await caller(database, ngn_minor=500_000)
    tester = await caller(database, ngn_minor=500_000, mode=Mode.TEST)
    seen = [
        await identity.check(shop.ama, wants()),
        await identity.check(shop.ama, wants(use_real_api=True)),
        await identity.check(shop.ama, wants(use_real_api=True, kind=VerificationKind.BVN, provider="dojah")),
        await identity.check(shop.ama, wants(use_real_api=True, kind=VerificationKind.BVN, provider="prembly")),
        await identity.check(kofi, wants(use_real_api=True)),
        await identity.check(kofi, wants()),
        await identity.check(tester, wants()),
    ]
    assert [checked.verification.reused_id for checked in seen] == [None] * 7
    assert (prembly.asked, dojah.asked) == (3, 1)
    assert Counter(checked.verification.source for checked in seen) == {"personas": 3, "prembly": 3, "dojah": 1}
    await shop.check_books()


# Refusals -----------------------------------------------------------------------------------------------------------------


async def test_a_real_authority_that_is_not_configured_costs_nothing_even_with_a_record_on_file(
    shop: VerificationShop, database: Database
) -> None:
    await shop.check(use_real_api=True)
    without = shop.another_process()
    tester = await caller(database, ngn_minor=500_000, mode=Mode.TEST)
    for identity, who, request in (
        (without, shop.ama, wants(use_real_api=True, reference="r")),
        (shop.identity, shop.ama, wants(use_real_api=True, reference="r", kind=VerificationKind.BVN, provider="dojah")),
        (shop.identity, tester, wants(use_real_api=True)),
    ):
        with pytest.raises(NotConfigured) as refused:
            await identity.check(who, request)
        assert isinstance(refused.value, ProductUnavailable)
        assert "configured" in str(refused.value)
    assert await shop.balance() == 490_000
    assert (await shop.check(reference="r")).verification.state is VerificationState.VERIFIED


async def test_a_refusal_leaves_nothing_behind_and_the_reference_free(database: Database, tmp_path: Path) -> None:
    poor = await verification_shop(database, tmp_path, ngn_minor=PRICE_MINOR - 1)
    with pytest.raises(InsufficientBalance) as refused:
        await poor.check(reference="r")
    assert (refused.value.required.minor, refused.value.available.minor) == (PRICE_MINOR, PRICE_MINOR - 1)
    assert await poor.value("select count(*) from verification") == 0
    for wrong in (
        {"number": "1234567890"},
        {"number": "1234567890a"},
        {"number": "١٢٣٤٥٦٧٨٩٠١"},
        {"card_type": "golden"},
        {"kind": VerificationKind.BVN, "card_type": "regular"},
        {"reference": ""},
        {"reference": "r" * 129},
    ):
        with pytest.raises(InvalidInput):
            await poor.check(**{"number": NUMBER, "reference": "r"} | wrong)
    await poor.identity.set_price(VerificationKind.NIN, "standard", Money(PRICE_MINOR - 1, NGN), active=False)
    with pytest.raises(ProductUnavailable):
        await poor.check(reference="r")
    await poor.identity.set_price(VerificationKind.NIN, "standard", Money(PRICE_MINOR - 1, NGN))
    assert (await poor.check(reference="r")).verification.state is VerificationState.VERIFIED
    assert await poor.balance() == 0
    await poor.check_books()
    await poor.close()


async def test_a_reference_names_one_request_and_is_shared_with_orders(shop: VerificationShop) -> None:
    first = await shop.check(JOHN, "r", kind=VerificationKind.BVN, provider="prembly")
    for changes in (
        {"number": NUMBER},
        {"card_type": "premium"},
        {"provider": "dojah"},
        {"force_new": True},
        {"use_real_api": True},
        {"kind": VerificationKind.NIN},
    ):
        with pytest.raises(ReferenceReused):
            await shop.check(
                **{"number": JOHN, "reference": "r", "kind": VerificationKind.BVN, "provider": "prembly"} | changes
            )
    again = await shop.check(JOHN, "r", kind=VerificationKind.BVN, provider="prembly")
    assert (again.replayed, again.verification, again.record) == (True, first.verification, first.record)
    await shop.value(
        "insert into orders (id, reference, reseller_id, dialect, mode, client_reference, fingerprint, wallet_id, country, network,"
        " product_id, product, size, subscriber, price_minor, cost_minor, currency, state, balance_after_minor, created_at,"
        " updated_at, position, kind, face_minor) values (999999, 'X', $1, 'networkdatasub', 'live', 'of an order', '', 1, 'NG',"
        " 'MTN', 1, 'x', '1GB', '', 1, 1, 'NGN', 'failed', 0, now(), now(), 1, 'data', 1) returning 1",
        shop.ama.reseller_id,
    )
    with pytest.raises(ReferenceReused):
        await shop.check(JOHN, "of an order")
    assert await shop.balance() == 470_000


async def test_a_known_reference_is_answered_when_price_authority_and_money_have_gone(
    shop: VerificationShop, prembly: Obedient
) -> None:
    first = await shop.check(reference="r", use_real_api=True)
    await shop.identity.set_price(VerificationKind.NIN, "standard", Money(10**9, NGN), active=False)
    again = await shop.another_process().check(shop.ama, wants(reference="r", use_real_api=True))
    assert (again.replayed, again.record) == (True, first.record)
    assert prembly.asked == 1


# Races --------------------------------------------------------------------------------------------------------------------


async def test_fifty_requests_under_one_reference_are_one_charge(shop: VerificationShop, prembly: Obedient) -> None:
    processes = [
        shop.identity,
        *(shop.another_process({"prembly": prembly}, VerificationPolicy(timeout_s=5)) for _ in range(2)),
    ]
    prembly.may_answer.clear()
    request = wants(reference="r", use_real_api=True)
    buying = [asyncio.create_task(processes[at % 3].check(shop.ama, request)) for at in range(50)]
    await prembly.was_asked.wait()
    await asyncio.sleep(0.1)
    prembly.may_answer.set()
    answers = await asyncio.gather(*buying)
    assert Counter(answer.replayed for answer in answers) == {True: 49, False: 1}
    assert {(answer.verification.id, answer.verification.state) for answer in answers} == {
        (answers[0].verification.id, VerificationState.VERIFIED)
    }
    assert all(answer.record == Record(first_name="Ngozi", last_name="Okafor") for answer in answers)
    assert (prembly.asked, await shop.balance(), await shop.house()) == (1, 490_000, {"margin": 10_000})
    await shop.check_books()


async def test_fifty_at_once_never_spend_more_than_there_is(database: Database, tmp_path: Path) -> None:
    shop = await verification_shop(database, tmp_path, ngn_minor=10 * PRICE_MINOR)
    answers = await asyncio.gather(*(shop.check(f"7{at:010}", f"r{at}") for at in range(50)), return_exceptions=True)
    assert Counter(type(answer) for answer in answers) == {VerificationResult: 10, InsufficientBalance: 40}
    assert (await shop.balance(), await shop.house()) == (0, {"margin": 10 * PRICE_MINOR})
    await shop.check_books()
    await shop.close()


async def test_repeats_that_wait_for_an_authority_that_is_down_are_told_so_too(
    shop: VerificationShop, prembly: Obedient
) -> None:
    prembly.may_answer.clear()
    prembly.answer = Unavailable(45)
    buying = [asyncio.create_task(shop.check(reference="r", use_real_api=True)) for _ in range(5)]
    await prembly.was_asked.wait()
    prembly.may_answer.set()
    answers = await asyncio.gather(*buying)
    assert {answer.verification.state for answer in answers} == {VerificationState.UNAVAILABLE}
    assert all(answer.retry_after_s for answer in answers)
    assert await shop.balance() == 500_000
    await shop.check_books()


# Answers that come late, or never -------------------------------------------------------------------------------------------


async def test_an_authority_that_does_not_answer_in_time_costs_nothing(
    shop: VerificationShop, prembly: Obedient
) -> None:
    prembly.may_answer.clear()
    checked = await shop.check(reference="r", use_real_api=True)
    assert (checked.verification.state, checked.record) == (VerificationState.UNAVAILABLE, None)
    assert "no answer within" in checked.verification.text
    assert await shop.balance() == 500_000
    prembly.may_answer.set()
    assert (await shop.check(reference="r", use_real_api=True)).verification.state is VerificationState.VERIFIED
    await shop.check_books()


async def test_what_an_authoritys_client_raises_is_not_repeated_anywhere(
    shop: VerificationShop, prembly: Obedient, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(number: str) -> Any:
        raise ValueError(f"GET https://example.com/?nin={number}")

    prembly.answer = fail
    checked = await shop.check(use_real_api=True)
    assert (checked.verification.state, checked.verification.text) == (
        VerificationState.UNAVAILABLE,
        "the authority's client raised ValueError",
    )
    shown = "".join(capsys.readouterr())
    assert "authority_gave_no_answer" in shown
    assert NUMBER not in shown


async def test_an_answer_that_comes_after_its_hold_was_released_is_dropped_and_its_cost_is_ours(
    shop: VerificationShop, prembly: Obedient
) -> None:
    await shop.identity.set_costs("prembly", VerificationKind.NIN, Money(6_000, NGN), Money(0, NGN))
    identity = shop.another_process({"prembly": prembly}, VerificationPolicy(timeout_s=5, grace_s=-4.9))
    prembly.may_answer.clear()
    buying = asyncio.create_task(identity.check(shop.ama, wants(reference="r", use_real_api=True)))
    await prembly.was_asked.wait()
    await asyncio.sleep(0.15)
    # Two processes look at the same time; one of them releases it.
    assert sum(await asyncio.gather(identity.giving_up.look(), shop.identity.giving_up.look())) == 1
    assert (await shop.balance(), await shop.house()) == (500_000, {})
    prembly.may_answer.set()
    late = await buying
    assert (late.verification.state, late.record, late.retry_after_s) == (VerificationState.UNAVAILABLE, None, 30)
    assert await shop.house() == {"provider prembly": 6_000, "loss": -6_000}
    assert (await shop.check(reference="r", use_real_api=True)).replayed is False
    await shop.check_books()


async def test_nothing_is_given_up_before_its_time(shop: VerificationShop, prembly: Obedient) -> None:
    prembly.may_answer.clear()
    buying = asyncio.create_task(shop.check(use_real_api=True))
    await prembly.was_asked.wait()
    assert await shop.identity.giving_up.look() == 0
    prembly.may_answer.set()
    assert (await buying).verification.state is VerificationState.VERIFIED


async def test_when_the_clock_goes_back_a_check_is_given_up_after_its_time_all_the_same(
    shop: VerificationShop, prembly: Obedient
) -> None:
    prembly.may_answer.clear()
    buying = asyncio.create_task(shop.check(use_real_api=True))
    await prembly.was_asked.wait()
    # As if the database's clock had been set back by ten minutes after this.
    ahead = "updated_at = now() + interval '10 minutes', due_at = now() + interval '10 minutes 0.3 s'"
    async with shop.database.connection() as tx:
        await tx.execute(f"update verification set {ahead}")
    assert await shop.identity.giving_up.look() == 0
    assert await shop.value("select due_at <= now() + interval '0.3 s' and updated_at <= now() from verification")
    prembly.may_answer.set()
    assert (await buying).verification.state is VerificationState.VERIFIED


async def test_a_caller_who_hangs_up_has_bought_the_answer(shop: VerificationShop, prembly: Obedient) -> None:
    prembly.may_answer.clear()
    buying = asyncio.create_task(shop.check(reference="r", use_real_api=True))
    await prembly.was_asked.wait()
    buying.cancel()
    await asyncio.wait([buying])
    prembly.may_answer.set()
    again = await shop.check(reference="r", use_real_api=True)
    assert (again.replayed, again.verification.state, prembly.asked) == (True, VerificationState.VERIFIED, 1)
    assert await shop.balance() == 490_000


async def test_a_database_that_fails_at_the_end_is_asked_again(shop: VerificationShop, armed: Any) -> None:
    armed("identity.before_commit=error@1")
    with pytest.raises(failpoints.FailpointError):
        await shop.check(reference="r")
    assert await shop.house() == {"in_flight": 10_000}
    await asyncio.sleep(QUICK.given_up_after_s + 0.05)
    assert await shop.identity.giving_up.look() == 1
    assert (await shop.balance(), await shop.house()) == (500_000, {})
    await shop.check_books()


_BUYER = """
import asyncio, sys
from pathlib import Path
from telvend.database.connections import Database
from telvend.kit.secret import digest
from telvend.resellers.store import caller_of
from tests.store.verifications import QUICK, identity_of, wants

async def main():
    url, data_dir, key = sys.argv[1:]
    database = await Database.open(url, pool_size=2)
    async with database.connection() as tx:
        caller = await caller_of(tx, bytes.fromhex(key))
    identity = identity_of(database, Path(data_dir), policy=QUICK)
    await identity.check(caller, wants(reference="r"))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("failpoint", "there"),
    [
        ("identity.after_hold", False),
        ("identity.after_answer", False),
        ("identity.before_commit", False),
        ("identity.after_commit", True),
    ],
)
async def test_a_process_killed_between_hold_and_answer_takes_no_money_with_it(
    shop: VerificationShop, database_url: str, failpoint: str, there: bool
) -> None:
    key = await shop.value("select encode(digest, 'hex') from api_key where id = $1", shop.ama.key_id)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _BUYER,
        database_url,
        str(shop.data_dir),
        key,
        env=os.environ
        | {"TELVEND_FAILPOINTS": f"{failpoint}=kill", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert await process.wait() == -signal.SIGKILL
    await shop.check_books()
    if not there:
        assert (await shop.balance(), await shop.house()) == (490_000, {"in_flight": 10_000})
    await asyncio.sleep(QUICK.given_up_after_s + 0.05)
    assert await shop.identity.giving_up.look() == (0 if there else 1)
    assert await shop.balance() == (490_000 if there else 500_000)
    # The client tries again under the same reference, as it should.
    again = await shop.check(reference="r")
    assert (again.verification.state, again.replayed) == (VerificationState.VERIFIED, there)
    assert (await shop.balance(), await shop.house()) == (490_000, {"margin": 10_000})
    await shop.check_books()


async def test_a_repeat_waits_for_a_dead_process_until_its_check_is_given_up(
    shop: VerificationShop, armed: Any
) -> None:
    armed("identity.after_hold=error@1")
    with pytest.raises(failpoints.FailpointError):
        await shop.check(reference="r")
    shop.identity.start()
    waited = await shop.check(reference="r")
    assert (waited.verification.state, waited.replayed, waited.retry_after_s) == (
        VerificationState.UNAVAILABLE,
        True,
        30,
    )
    assert (await shop.check(reference="r")).verification.state is VerificationState.VERIFIED
    assert await shop.balance() == 490_000


# Reading ------------------------------------------------------------------------------------------------------------------


async def test_the_price_list_is_the_documents(shop: VerificationShop) -> None:
    nin, bvn = await shop.identity.prices(VerificationKind.NIN), await shop.identity.prices(VerificationKind.BVN)
    assert [(line.id, line.card_type, line.price.minor, line.active, line.description) for line in nin] == [
        (1, "standard", 10_000, True, "Standard verification"),
        (2, "regular", 15_000, True, "Regular verification"),
        (3, "premium", 20_000, True, "Premium verification with enhanced features"),
    ]
    assert [(line.id, line.card_type, line.price.minor, line.active, line.description) for line in bvn] == [
        (1, "standard", 30_000, True, "Standard BVN verification"),
        (2, "premium", 50_000, True, "Premium BVN verification with enhanced data"),
    ]


async def test_prices_and_costs_that_make_no_sense_are_refused(shop: VerificationShop) -> None:
    for price in (Money(0, NGN), Money(100, GHS)):
        with pytest.raises(InvalidInput):
            await shop.identity.set_price(VerificationKind.NIN, "standard", price)
    with pytest.raises(NotFound):
        await shop.identity.set_price(VerificationKind.NIN, "golden", Money(1, NGN))
    with pytest.raises(InvalidInput):
        await shop.identity.set_costs("prembly", VerificationKind.NIN, Money(-1, NGN), Money(0, NGN))


async def test_history_is_the_callers_own_newest_first_in_pages(shop: VerificationShop, database: Database) -> None:
    numbers = [f"7000000000{at}" for at in range(5)]
    for number in (*numbers, NOBODY):
        await shop.check(number)
    await shop.check(JOHN, kind=VerificationKind.BVN)
    kofi = await caller(database, ngn_minor=500_000)
    await shop.identity.check(kofi, wants())
    seen = await shop.identity.history(shop.ama, VerificationKind.NIN)
    assert [item.number.reveal() for item in seen] == numbers[::-1]
    assert all(item.record is None for item in seen)
    first = await shop.identity.history(shop.ama, VerificationKind.NIN, limit=2)
    second = await shop.identity.history(shop.ama, VerificationKind.NIN, limit=2, before=first[-1].verification.id)
    assert [item.verification.id for item in (*first, *second)] == [item.verification.id for item in seen[:4]]
    assert len(await shop.identity.history(shop.ama, VerificationKind.BVN)) == 1
    assert await shop.identity.history(await caller(database), VerificationKind.NIN) == []


async def test_a_detail_is_for_its_owner_alone(shop: VerificationShop, database: Database) -> None:
    checked, missing = await shop.check(), await shop.check(NOBODY)
    number = checked.verification.id
    opened = await shop.identity.detail(shop.ama, VerificationKind.NIN, number)
    assert (opened.number, opened.record, opened.verification) == (Secret(NUMBER), checked.record, checked.verification)
    kofi = await caller(database)
    for who, kind, which in (
        (kofi, VerificationKind.NIN, number),
        (shop.ama, VerificationKind.BVN, number),
        (shop.ama, VerificationKind.NIN, missing.verification.id),
        (shop.ama, VerificationKind.NIN, 10**9),
        (shop.ama, VerificationKind.NIN, -1),
        (shop.ama, VerificationKind.NIN, 2**70),
    ):
        with pytest.raises(NotFound):
            await shop.identity.detail(who, kind, which)
    async with database.connection() as tx:
        assert await shop.identity.by_ids(tx, [number, 10**9]) == {number: checked.verification}


# On a page ---------------------------------------------------------------------------------------------------------------


async def test_a_check_on_a_page_stands_with_the_consent_that_was_given_before_it(shop: VerificationShop) -> None:
    esi = uuid4()
    for wording in ("She has agreed.", "Other words, from a second click."):
        checked = await shop.identity.check_by_person(shop.ama, wants(reference="page 1"), Consent(esi, wording))
    assert checked.replayed
    consent = await shop.identity.consent(checked.verification)
    assert consent is not None
    assert consent[:2] == (esi, "She has agreed.")
    assert consent[2] < checked.verification.created_at
    assert await shop.balance() == 500_000 - PRICE_MINOR
    with pytest.raises(asyncpg.RaiseError, match="never changed"):
        await shop.value("update identity_consent set wording = ''")
    by_key = await shop.check(reference="by key")
    assert await shop.identity.consent(by_key.verification) is None
    await shop.check_books()


async def test_without_consent_nobody_is_asked_and_nothing_taken(shop: VerificationShop, prembly: Obedient) -> None:
    for wording, reference in ((" ", "page 1"), ("She has agreed.", None)):
        with pytest.raises(InvalidInput):
            await shop.identity.check_by_person(
                shop.ama, wants(reference=reference, use_real_api=True), Consent(uuid4(), wording)
            )
    assert prembly.asked == 0
    assert await shop.balance() == 500_000


async def test_a_page_lists_an_accounts_own_checks_masked_and_says_who_looked(
    shop: VerificationShop, database: Database
) -> None:
    first = await shop.check(NUMBER)
    await shop.check(NOBODY)
    third = await shop.check(JOHN, kind=VerificationKind.BVN)
    other = await caller(database, ngn_minor=PRICE_MINOR)
    await shop.identity.check(other, wants())

    async def page(**more: Any) -> list[tuple[int, str]]:
        found = await shop.identity.own_listed("ama@example.com", shop.ama.reseller_id, Mode.LIVE, **more)
        return [(verification.id, masked) for verification, masked in found]

    everything = await page()
    assert [masked for _, masked in everything] == ["123*****901", "712*****404", "701*****789"]
    assert await page(limit=1) == everything[:1]
    assert await page(before=third.verification.id) == everything[1:]
    assert await page(kind=VerificationKind.BVN) == everything[:1]
    assert await shop.identity.own_listed("x", shop.ama.reseller_id, Mode.TEST) == []
    newest = (await shop.identity.accesses(first.verification.id))[0]
    assert (newest.reader_kind, newest.reader, newest.action) == ("portal", "ama@example.com", "list, masked")
