"""Refills on a real database: every wrong PIN looks the same and counts, and nothing is loaded or paid twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from telvend.audit.service import findings_of
from telvend.database.connections import Database
from telvend.errors import Busy, InsufficientBalance, InvalidInput, NotFound, ReferenceReused
from telvend.funding.credits.service import Credits
from telvend.kit import failpoints
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, ZAR, Money
from telvend.kit.secret import Secret
from telvend.operator.entitlements.model import Bonus, RefillProfile
from telvend.operator.entitlements.service import Entitlements
from telvend.operator.refills import invariants as refills
from telvend.operator.refills.model import Refilled
from telvend.operator.subscribers.balances.model import BucketKind, MaximumCredit
from telvend.operator.subscribers.model import SubscriberBarred
from telvend.operator.vouchers import invariants as vouchers
from telvend.operator.vouchers.guard.model import Guarded
from telvend.operator.vouchers.model import LockedOut, PinRefused, VoucherState
from telvend.orders import invariants as orders
from telvend.wallets.model import Filter, TransactionStatus
from telvend.wallets.service import Transactions
from tests.store.lossy_proxy import behind_a_proxy
from tests.store.refills import EMEKA, HUNDRED, NGOZI, WRONG, Network, network, partner, refills_of
from tests.store.subscribers import subscriber
from tests.store.tally import kinds


@pytest.fixture
async def net(database: Database, tmp_path: Path) -> AsyncIterator[Network]:
    opened = await network(database, tmp_path)
    yield opened
    await opened.close()


async def gathered(*calls: Any) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


# By voucher ---------------------------------------------------------------------------------------------------------------


async def test_a_voucher_fills_the_main_account_and_is_used(net: Network) -> None:
    _, (pin,) = await net.issue()
    done = await net.load(pin, "T-000001")
    assert not done.replayed
    refill = done.refill
    assert (refill.amount, refill.wallet_id, refill.before, refill.after) == (HUNDRED, None, None, None)
    assert await net.main_account() == 100_00
    assert refill.serial is not None
    voucher = await net.vouchers.find(refill.serial)
    assert (voucher.state, voucher.msisdn, voucher.refill) == (VoucherState.USED, NGOZI, refill.reference)
    assert await net.refills.find(net.ada.reseller_id, "madapi", Mode.LIVE, "T-000001") == refill
    assert await net.wallet() == 1_000_00
    await net.check_books()


async def test_clocks_move_and_say_when_days_did_not_fit(net: Network, database: Database) -> None:
    await Entitlements(database).set_profile(RefillProfile("LONG", "Two years", 10_000, 700, 800, True))
    soon = await subscriber(database, "+2348031234569", currency="NGN")
    await net.value(
        "update subscriber set usable_until = now(), reachable_until = now() + interval '1 day' where id = $1", soon
    )
    _, (first,) = await net.issue()
    assert not (await net.load(first, msisdn="+2348031234569")).refill.capped
    days = "select round(extract(epoch from {} - now()) / 86400) from subscriber where id = $1"
    assert await net.value(days.format("usable_until"), soon) == 90
    assert await net.value(days.format("reachable_until"), soon) == 180
    refills = await net.another_process()
    _, (second,) = await net.issue(profile="LONG")
    done = await refills.refill(net.ada.by_voucher(second, msisdn="+2348031234569"))
    assert done.refill.capped
    assert await net.value(days.format("usable_until"), soon) == 365


async def test_a_profile_gives_bonuses_on_top(net: Network, database: Database) -> None:
    bonus = Bonus(BucketKind.DATA, 50_00, 0, 1024**2, 7)
    await Entitlements(database).set_profile(RefillProfile("BON", "A megabyte a naira", 5_000, 30, 60, True, (bonus,)))
    _, (pin,) = await net.issue(profile="BON")
    done = await (await net.another_process()).refill(net.ada.by_voucher(pin))
    refill, given = await net.refills.history(done.refill.reference)
    assert refill == done.refill
    assert sorted((one.kind, one.amount) for one in given) == [
        (BucketKind.DATA, 100 * 1024**2),
        (BucketKind.MONEY, 50_00),
    ]
    await net.check_books()


async def _unknown(net: Network) -> str:
    return WRONG


async def _used(net: Network) -> str:
    _, (pin,) = await net.issue()
    await net.load(pin, msisdn=EMEKA)
    return pin


async def _expired(net: Network) -> str:
    batch, (pin,) = await net.issue(expires_at=datetime.now(UTC) + timedelta(days=1))
    await net.value("update voucher_batch set expires_at = now() where id = $1", batch.id)
    return pin


def _marked(state: VoucherState) -> Any:
    async def marked(net: Network) -> str:
        batch, (pin,) = await net.issue()
        await net.vouchers.mark(batch.first_serial, batch.first_serial, state)
        return pin

    return marked


async def _other_currency(net: Network) -> str:
    _, (pin,) = await net.issue(amount=Money(100_00, GHS))
    return pin


async def _other_mode(net: Network) -> str:
    _, (pin,) = await net.issue(mode=Mode.TEST)
    return pin


async def _stopped(net: Network) -> str:
    batch, (pin,) = await net.issue()
    await net.vouchers.stop(batch.id, "stolen")
    return pin


async def _unavailable(net: Network) -> str:
    batch, (pin,) = await net.issue()
    await net.value("update voucher_batch set state = 'unavailable' where id = $1", batch.id)
    return pin


async def _reserved(net: Network) -> str:
    _, (pin,) = await net.issue()
    await net.vouchers.reserve(Mode.LIVE, Secret(pin), "till 7", timedelta(minutes=1))
    return pin


async def _other_serial(net: Network) -> str:
    _, (pin, _) = await net.issue(2)
    return f"{pin} 999999999999"


WRONG_KINDS = {
    "unknown": (_unknown, "unknown"),
    "used": (_used, "used"),
    "expired": (_expired, "expired"),
    "stolen": (_marked(VoucherState.STOLEN), "stolen"),
    "damaged": (_marked(VoucherState.DAMAGED), "damaged"),
    "of another currency": (_other_currency, "other currency"),
    "of another mode": (_other_mode, "other mode"),
    "of a stopped batch": (_stopped, "stolen"),
    "of a batch that is not out yet": (_unavailable, "unavailable"),
    "reserved": (_reserved, "reserved"),
    "with another serial": (_other_serial, "other serial"),
}


@pytest.mark.parametrize("kind", WRONG_KINDS)
async def test_every_wrong_pin_gets_the_same_answer_and_counts(net: Network, kind: str) -> None:
    make, reason = WRONG_KINDS[kind]
    pin, _, serial = (await make(net)).partition(" ")
    before = await net.count("refill")
    for wrong in range(1, 6):
        with pytest.raises(PinRefused) as refused:
            await net.load(pin, "T-again", serial=serial or None)
        assert str(refused.value) == "The voucher cannot be loaded."
        assert refused.value.reason == reason
        counted = await net.value("select wrong from pin_guard where kind = 'partner'")
        assert counted == wrong
    with pytest.raises(LockedOut) as locked:
        await net.load(pin, serial=serial or None)
    assert 25 < locked.value.retry_after_s <= 30
    assert await net.main_account() == 0
    assert await net.count("refill") == before
    await net.check_books()


@pytest.mark.parametrize("pin", ["", "1234567", "1" * 21, "12345678x", "１２３４５６７８", "1234 5678 9012 3456"])
async def test_what_cannot_be_a_pin_is_no_try(net: Network, pin: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await net.load(pin)
    assert not isinstance(refused.value, PinRefused)
    assert await net.count("pin_guard") == 0


@pytest.mark.parametrize("field", ["transaction_id", "serial"])
@pytest.mark.parametrize("text", ["", "a\0b", "\ud800", "x" * 129])
async def test_what_cannot_be_stored_is_refused_and_no_try(net: Network, field: str, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await net.refills.refill(replace(net.ada.by_voucher(WRONG), **{field: text}))
    assert refused.value.field == field
    assert await net.count("pin_guard") == 0


async def test_a_source_may_call_itself_anything(net: Network) -> None:
    for source in ("a\0b", "\ud800", "x" * 10_000):
        with pytest.raises(PinRefused):
            await net.load(WRONG, source=source)
    assert await net.value("select max(length(subject)) from pin_guard where kind = 'source'") == 205


async def test_the_right_serial_beside_the_pin_does_no_harm(net: Network) -> None:
    batch, (pin,) = await net.issue()
    assert (await net.load(pin, serial=f" {batch.first_serial} ")).refill.serial == batch.first_serial


async def test_a_subscriber_who_is_not_there_or_barred_is_told_before_any_pin_is_looked_at(net: Network) -> None:
    _, (pin,) = await net.issue()
    with pytest.raises(NotFound):
        await net.load(pin, msisdn="+2348030000000")
    await net.value("update subscriber set status = 'Suspended' where msisdn = $1", NGOZI)
    for tried in (pin, WRONG):
        with pytest.raises(SubscriberBarred):
            await net.load(tried)
    assert await net.count("pin_guard") == 0
    await net.value("update subscriber set status = 'Active', reachable_until = now() where msisdn = $1", NGOZI)
    with pytest.raises(SubscriberBarred):
        await net.load(pin)


# The lock-out -------------------------------------------------------------------------------------------------------------


async def test_while_somebody_is_locked_a_right_pin_is_not_loaded_and_nothing_is_counted(net: Network) -> None:
    _, (pin, loaded) = await net.issue(2)
    await net.load(loaded, "T-1")
    for _ in range(5):
        with pytest.raises(PinRefused):
            await net.load(WRONG)
    for tried in (pin, WRONG, pin):
        with pytest.raises(LockedOut):
            await net.load(tried)
    assert await net.value("select wrong from pin_guard where kind = 'partner'") == 5
    # What had been loaded is answered all the same.
    assert (await net.load(loaded, "T-1")).replayed
    # Somebody else is not locked, and money needs no PIN.
    await net.load(pin, msisdn=EMEKA)
    await net.pay(1)


async def test_a_right_pin_clears_all_three(net: Network) -> None:
    _, (pin,) = await net.issue()
    for _ in range(4):
        with pytest.raises(PinRefused):
            await net.load(WRONG)
    assert await net.count("pin_guard") == 3
    await net.load(pin)
    assert await net.count("pin_guard") == 0


async def test_the_delay_doubles_and_strikes_are_forgotten_after_a_quiet_day(net: Network) -> None:
    async def locked_for() -> int:
        for _ in range(5):
            with pytest.raises(PinRefused):
                await net.load(WRONG)
        with pytest.raises(LockedOut) as locked:
            await net.load(WRONG)
        return locked.value.retry_after_s

    pass_time = "update pin_guard set last_at = last_at - $1::interval, locked_until = locked_until - $1::interval"
    assert 25 < await locked_for() <= 30
    await net.value(pass_time, timedelta(seconds=31))
    assert 55 < await locked_for() <= 60
    await net.value(pass_time, timedelta(hours=25))
    assert 25 < await locked_for() <= 30


async def test_a_partner_is_locked_after_fifty_and_the_source_it_came_from_is_not(
    net: Network, database: Database
) -> None:
    msisdns = [f"+23480312300{number:02d}" for number in range(13)]
    for msisdn in msisdns:
        await subscriber(database, msisdn, currency="NGN")
    answers = [(await gathered(net.load(WRONG, msisdn=msisdn)))[0] for msisdn in msisdns for _ in range(4)]
    assert kinds(answers) == {"PinRefused": 50, "LockedOut": 2}
    _, (pin,) = await net.issue()
    other = await partner(database)
    # A neighbour behind the same proxy goes on.
    await net.refills.refill(other.by_voucher(pin))
    with pytest.raises(LockedOut):
        await net.load(pin)


@pytest.mark.parametrize(("each", "refused", "locked"), [(25, 50, 0), (60, 100, 20)])
async def test_two_partners_who_guess_at_one_address_do_not_lock_a_third(
    net: Network, database: Database, capsys: pytest.CaptureFixture[str], each: int, refused: int, locked: int
) -> None:
    """Behind a proxy everybody has one address. Those who guess are locked there; the address only raises an alarm."""
    _, (pin,) = await net.issue()
    msisdns = [f"+23480312300{number:02d}" for number in range(each // 2 + 1)]
    for msisdn in msisdns:
        await subscriber(database, msisdn, currency="NGN")
    partners = [net.ada, await partner(database)]
    answers = await gathered(
        *(
            net.refills.refill(who.by_voucher(WRONG, msisdn=msisdns[number % len(msisdns)]))
            for number in range(each)
            for who in partners
        )
    )
    assert Counter(kinds(answers)) == Counter({"PinRefused": refused, "LockedOut": locked})
    third = await partner(database)
    assert isinstance(await net.refills.refill(third.by_voucher(pin)), Refilled)
    shown = "".join(capsys.readouterr())
    assert shown.count("wrong_pins_from_source") == refused // 50
    assert shown.count("voucher_locked ") == (2 if locked else 0)


async def test_another_name_is_not_another_allowance(net: Network, database: Database) -> None:
    """`sourceSystemId` is the caller's own word."""
    msisdns = [f"+23480312300{number:02d}" for number in range(13)]
    for msisdn in msisdns:
        await subscriber(database, msisdn, currency="NGN")
    answers = [
        (await gathered(net.load(WRONG, msisdn=msisdns[number // 4], system=f"pos {number}")))[0]
        for number in range(52)
    ]
    assert kinds(answers) == {"PinRefused": 50, "LockedOut": 2}


async def test_a_partner_who_is_locked_at_one_address_goes_on_at_another(net: Network, database: Database) -> None:
    _, (pin,) = await net.issue()
    msisdns = [f"+23480312300{number:02d}" for number in range(13)]
    for msisdn in msisdns:
        await subscriber(database, msisdn, currency="NGN")
    for number in range(50):
        await gathered(net.load(WRONG, msisdn=msisdns[number // 4], source="198.51.100.9"))
    with pytest.raises(LockedOut):
        await net.load(pin, source="198.51.100.9")
    await net.load(pin, source="192.0.2.1")
    assert await net.value("select count(*) from pin_guard where kind = 'partner' and locked_until is not null") == 1


async def test_what_the_version_before_counted_locks_nobody(net: Network) -> None:
    """It locked sources, and knew a partner without its address."""
    await net.value(
        "insert into pin_guard (kind, subject, strikes, locked_until, shares) values"
        " ('source', 'live 192.0.2.1', 3, now() + interval '1 hour', '{\"x\": 3}'),"
        " ('source', 'live 192.0.2.1 pos', 3, now() + interval '1 hour', '{}') returning 1"
    )
    _, (pin,) = await net.issue()
    with pytest.raises(PinRefused):
        await net.load(WRONG)
    await net.load(pin)


async def test_twenty_wrong_pins_at_once_are_five_tries(net: Network) -> None:
    other = await net.another_process()
    answers = await gathered(
        *((net.refills if number % 2 else other).refill(net.ada.by_voucher(f"{number:016d}")) for number in range(20))
    )
    assert kinds(answers) == {"PinRefused": 5, "LockedOut": 15}
    assert await net.value("select wrong from pin_guard where kind = 'partner'") == 5


async def test_sixty_wrong_pins_at_once_for_as_many_subscribers_are_fifty_tries(
    net: Network, database: Database, armed: Any
) -> None:
    """In two processes, which have nothing in common but the partner: notices a count that is read and written without a lock."""
    msisdns = [f"+23480312300{number:02d}" for number in range(60)]
    for msisdn in msisdns:
        await subscriber(database, msisdn, currency="NGN")
    other = await net.another_process()
    # Between looking and writing both have time to do the same.
    armed("refill.after_locks=sleep:0.05")

    async def one(number: int, msisdn: str) -> Refilled:
        await asyncio.sleep(number // 4 * 0.01)
        refills = net.refills if number % 2 else other
        return await refills.refill(net.ada.by_voucher(WRONG, msisdn=msisdn))

    answers = await gathered(*(one(number, msisdn) for number, msisdn in enumerate(msisdns)))
    assert kinds(answers) == {"PinRefused": 50, "LockedOut": 10}


async def test_a_wrong_pin_counts_though_the_process_dies_after_it(net: Network, armed: Any) -> None:
    armed("refill.after_commit=error")
    with pytest.raises(failpoints.FailpointError):
        await net.load(WRONG)
    armed("")
    assert await net.value("select wrong from pin_guard where kind = 'subscriber'") == 1


async def test_an_operator_sees_who_is_locked_and_lets_him_go(net: Network) -> None:
    for _ in range(5):
        with pytest.raises(PinRefused):
            await net.load(WRONG)
    guards = await net.vouchers.guards()
    locked = [guard for guard in guards if guard.locked_until is not None]
    assert [(guard.kind, guard.subject) for guard in locked] == [("subscriber", f"live {NGOZI}")]
    await net.vouchers.unlock(locked[0].kind, locked[0].subject)
    with pytest.raises(PinRefused):
        await net.load(WRONG)
    with pytest.raises(NotFound):
        await net.vouchers.unlock(locked[0].kind, "nobody")


async def test_a_partner_is_let_go_at_one_address_or_at_all_of_them(net: Network) -> None:
    for source in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        with pytest.raises(PinRefused):
            await net.load(WRONG, source=source)
    who = f"live {net.ada.reseller_id}"
    await net.vouchers.unlock(Guarded.PARTNER, f"{who} 192.0.2.1")
    assert await net.value("select count(*) from pin_guard where kind = 'partner'") == 2
    for nobody in ("live", "liv", f"{who} 192.0.2", who[:-1]):
        with pytest.raises(NotFound):
            await net.vouchers.unlock(Guarded.PARTNER, nobody)
    await net.vouchers.unlock(Guarded.PARTNER, who)
    assert await net.value("select count(*) from pin_guard where kind = 'partner'") == 0


# Voucherless --------------------------------------------------------------------------------------------------------------


async def test_a_voucherless_refill_is_paid_whole_from_the_wallet(net: Network) -> None:
    done = await net.pay(100, "T-1")
    refill = done.refill
    assert (refill.amount, refill.before, refill.after) == (HUNDRED, Money(1_000_00, NGN), Money(900_00, NGN))
    assert (await net.wallet(), await net.main_account()) == (900_00, 100_00)
    entries = await net.ledger.entries(refill.id)
    assert [(entry.debit, entry.credit, entry.amount.minor) for entry in entries] == [
        ("wallet", "in flight", 100_00),
        ("in flight", "provider own_network", 100_00),
    ]
    await net.check_books()


async def test_too_little_money_takes_nothing_and_leaves_the_transaction_free(net: Network) -> None:
    with pytest.raises(InsufficientBalance) as refused:
        await net.pay(1_001, "T-1")
    assert (refused.value.required.minor, refused.value.available.minor) == (1_001_00, 1_000_00)
    assert (await net.wallet(), await net.main_account(), await net.count("refill")) == (1_000_00, 0, 0)
    assert not (await net.pay(1_000, "T-1")).replayed
    await net.check_books()


async def test_without_a_wallet_in_the_subscribers_currency_nothing_is_available(
    net: Network, database: Database
) -> None:
    await subscriber(database, "+233241234567", currency="ZAR")
    with pytest.raises(InsufficientBalance) as refused:
        await net.pay(5, msisdn="+233241234567")
    assert (refused.value.required.minor, refused.value.available.minor) == (5_00, 0)
    assert refused.value.available.currency.code == "ZAR"


async def test_a_wallet_opened_since_the_process_learnt_of_the_key_pays_too(net: Network, database: Database) -> None:
    await subscriber(database, "+233241234567", currency="ZAR")
    await Credits(net.database, net.ledger).add(net.ada.reseller_id, Money(7_00, ZAR), Mode.LIVE, "opening")
    answers = [await net.pay(5, "T-1", msisdn="+233241234567", wallets={}) for _ in range(2)]
    assert [answer.replayed for answer in answers] == [False, True]
    with pytest.raises(InsufficientBalance) as refused:
        await net.pay(5, "T-2", msisdn="+233241234567", wallets={})
    assert refused.value.available.minor == 2_00
    await net.check_books()


@pytest.mark.parametrize(
    "more", [{"profile": "NONE"}, {"profile": None}, {"units": 0}, {"units": -5}, {"units": 10**14}]
)
async def test_what_a_voucherless_refill_cannot_be(net: Network, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await net.refills.refill(replace(net.ada.voucherless(5), **more))
    assert await net.count("refill") == 0


async def test_a_profile_that_was_switched_off_is_unknown_but_vouchers_keep_it(
    net: Network, database: Database
) -> None:
    entitlements = Entitlements(database)
    await entitlements.set_profile(RefillProfile("OLD", "No more", 10_000, 30, 60, True))
    _, (pin,) = await net.issue(profile="OLD")
    await entitlements.set_profile(RefillProfile("OLD", "No more", 10_000, 30, 60, False))
    refills = await net.another_process()
    with pytest.raises(InvalidInput):
        await refills.refill(net.ada.voucherless(5, profile="OLD"))
    await refills.refill(net.ada.by_voucher(pin))


async def test_what_cannot_be_counted_is_refused_and_takes_nothing(net: Network) -> None:
    await net.value(
        "insert into bucket (id, subscriber_id, kind, main, name, balance, postings) select nextval('bucket_number'), id,"
        " 'money', true, 'Main account', 1000000000000000, 1 from subscriber where msisdn = $1 and mode = 'live'",
        NGOZI,
    )
    _, (pin,) = await net.issue()
    with pytest.raises(MaximumCredit):
        await net.load(pin)
    with pytest.raises(MaximumCredit):
        await net.pay(1)
    assert await net.wallet() == 1_000_00
    assert (await net.vouchers.listed())[0].state is VoucherState.AVAILABLE


async def test_a_test_key_plays_with_play_money_and_play_vouchers(net: Network) -> None:
    _, (pin,) = await net.issue(mode=Mode.TEST)
    await net.load(pin, "T-1", mode=Mode.TEST)
    assert not (await net.pay(50, "T-1")).replayed
    await net.pay(50, "T-2", mode=Mode.TEST)
    assert (await net.main_account(mode=Mode.TEST), await net.main_account()) == (150_00, 50_00)
    assert (await net.wallet(Mode.TEST), await net.wallet()) == (450_00, 950_00)
    await net.check_books()


# Once ---------------------------------------------------------------------------------------------------------------------


async def test_the_same_request_again_is_the_same_refill_whatever_has_changed(net: Network, database: Database) -> None:
    batch, (pin,) = await net.issue()
    first = await net.load(pin, "T-1")
    paid = await net.pay(1_000, "T-2")
    await net.vouchers.stop(batch.id, "stolen")
    await net.value("update subscriber set status = 'Blacklisted'")
    entitlements = Entitlements(database)
    await entitlements.set_profile(RefillProfile("DB00", "Off", 10_000, 90, 180, False))
    refills = await net.another_process()
    for process in (net.refills, refills):
        again = await process.refill(net.ada.by_voucher(pin, "T-1"))
        assert again == Refilled(first.refill, replayed=True)
        assert await process.refill(net.ada.voucherless(1_000, "T-2")) == Refilled(paid.refill, replayed=True)
    assert await net.main_account() == 1_100_00
    await net.check_books()


@pytest.mark.parametrize(
    "another",
    [{"msisdn": EMEKA}, {"units": 6}, {"profile": "NONE"}],
)
async def test_another_request_under_the_same_transaction_is_refused(net: Network, another: dict[str, Any]) -> None:
    await net.pay(5, "T-1")
    with pytest.raises(ReferenceReused):
        await net.refills.refill(replace(net.ada.voucherless(5, "T-1"), **another))
    _, (pin,) = await net.issue()
    with pytest.raises(ReferenceReused):
        await net.load(pin, "T-1")
    assert await net.main_account() == 5_00


async def test_one_batch_is_decided_in_its_order(net: Network) -> None:
    _, (first, second) = await net.issue(2)
    requests = [
        net.ada.by_voucher(first, "T-1"),
        net.ada.by_voucher(first, "T-1"),
        net.ada.by_voucher(first, "T-2", msisdn=EMEKA),
        net.ada.by_voucher(second, "T-1"),
        net.ada.voucherless(600, "T-3"),
        net.ada.voucherless(600, "T-4"),
        net.ada.by_voucher(second, "T-4"),
        net.ada.voucherless(400, "T-5", msisdn="+2348030000000"),
        net.ada.voucherless(400, "T-5"),
        net.ada.voucherless(400, "T-3"),
    ]
    items = [await net.refills._item(request) for request in requests]
    answers = await net.refills._refilling._batch.run(items)
    assert [type(answer).__name__ for answer in answers] == [
        "Refilled", "Refilled", "PinRefused", "ReferenceReused", "Refilled", "InsufficientBalance", "Refilled", "NotFound",
        "Refilled", "ReferenceReused",
    ]  # fmt: skip
    assert kinds(answers)["replayed"] == 1
    assert (await net.wallet(), await net.main_account(), await net.main_account(EMEKA)) == (0, 1_200_00, 0)
    assert await net.count("refill") == 4
    await net.check_books()


async def test_transactions_are_apart_for_partners_and_dialects(net: Network, database: Database) -> None:
    other = await partner(database, live_minor=100_00)
    answers = await gathered(
        net.pay(5, "T-1"),
        net.pay(6, "T-1", dialect="native"),
        net.refills.refill(other.voucherless(7, "T-1")),
    )
    assert kinds(answers) == {"Refilled": 3}
    assert await net.main_account() == 18_00


async def test_the_same_transaction_twenty_times_at_once_takes_money_once(net: Network) -> None:
    other = await net.another_process()
    answers = await gathered(
        *((net.refills if number % 2 else other).refill(net.ada.voucherless(5, "T-1")) for number in range(20))
    )
    assert kinds(answers) == {"Refilled": 1, "replayed": 19}
    assert (await net.wallet(), await net.main_account(), await net.count("refill")) == (995_00, 5_00, 1)
    await net.check_books()


async def test_one_transaction_for_two_subscribers_at_once_in_two_processes_is_one(net: Network) -> None:
    """They share no lock but the unique index: the second finds the first only when it is written."""
    _, pins = await net.issue(2)
    other = await net.another_process()
    for number in range(10):
        _, pins = await net.issue(2)
        answers = await gathered(
            net.refills.refill(net.ada.by_voucher(pins[0], f"T-{number}")),
            other.refill(net.ada.by_voucher(pins[1], f"T-{number}", msisdn=EMEKA)),
        )
        assert kinds(answers) == {"Refilled": 1, "ReferenceReused": 1}
    assert await net.main_account() + await net.main_account(EMEKA) == 1_000_00
    await net.check_books()


async def test_one_voucher_loaded_by_twenty_at_once_is_loaded_once(net: Network, database: Database) -> None:
    """By one partner for many subscribers, so that no lock-out hides a second load."""
    msisdns = [f"+23480312300{number:02d}" for number in range(20)]
    for msisdn in msisdns:
        await subscriber(database, msisdn, currency="NGN")
    other = await net.another_process()
    _, (pin,) = await net.issue()
    answers = await gathered(
        *(
            (net.refills if number % 2 else other).refill(net.ada.by_voucher(pin, msisdn=msisdn))
            for number, msisdn in enumerate(msisdns)
        )
    )
    assert kinds(answers) == {"Refilled": 1, "PinRefused": 19}
    total = await net.value("select coalesce(sum(balance), 0) from bucket")
    assert (int(total), await net.count("refill")) == (100_00, 1)
    await net.check_books()


async def test_two_partners_with_one_voucher_at_once_load_it_once(net: Network, database: Database) -> None:
    other_process, other = await net.another_process(), await partner(database)
    for _ in range(10):
        _, (pin,) = await net.issue()
        answers = await gathered(
            net.refills.refill(net.ada.by_voucher(pin)), other_process.refill(other.by_voucher(pin, msisdn=EMEKA))
        )
        assert kinds(answers) == {"Refilled": 1, "PinRefused": 1}
        await net.value("delete from pin_guard")  # So that nobody is locked out in the end.
    await net.check_books()


async def test_two_processes_spend_exactly_what_one_wallet_holds(net: Network) -> None:
    other = await net.another_process()
    answers = await gathered(
        *(
            (net.refills if number % 2 else other).refill(
                net.ada.voucherless(10, msisdn=NGOZI if number % 3 else EMEKA)
            )
            for number in range(150)
        )
    )
    assert kinds(answers) == {"Refilled": 100, "InsufficientBalance": 50}
    assert await net.wallet() == 0
    assert await net.main_account() + await net.main_account(EMEKA) == 1_000_00
    await net.check_books()


async def test_what_was_loaded_before_a_batch_was_stopped_stands_and_nothing_after(net: Network) -> None:
    batch, pins = await net.issue(30)
    other = await net.another_process()

    async def stop() -> None:
        await asyncio.sleep(0.03)
        await net.vouchers.stop(batch.id, "stolen")

    async def load(number: int, pin: str) -> Any:
        await asyncio.sleep(number * 0.002)
        # A partner each, and a subscriber who is not locked out by the others' refusals.
        request = net.ada.by_voucher(pin, source=f"till {number}", msisdn=NGOZI if number % 2 else EMEKA)
        return await (net.refills if number % 2 else other).refill(request)

    _, *answers = await gathered(stop(), *(load(number, pin) for number, pin in enumerate(pins)))
    loaded = [answer for answer in answers if isinstance(answer, Refilled)]
    assert await net.main_account() + await net.main_account(EMEKA) == len(loaded) * 100_00
    stopped_at = await net.value("select changed_at from voucher_batch where id = $1", batch.id)
    assert stopped_at is not None
    for pin in pins:
        assert not isinstance((await gathered(net.load(pin, source="x")))[0], Refilled)
    await net.check_books()


async def test_a_refill_under_way_is_waited_for_by_who_stops_the_batch(net: Network, armed: Any) -> None:
    batch, (pin,) = await net.issue()
    armed("refill.after_locks=sleep:0.4")
    loading = asyncio.create_task(net.load(pin))
    await asyncio.sleep(0.2)
    await net.vouchers.stop(batch.id, "stolen")
    assert loading.done() or not await net.value("select exists (select from voucher where state <> 'used')"), (
        "stopped before the refill was durable"
    )
    assert not (await loading).replayed


async def test_failing_at_any_step_leaves_all_or_nothing(net: Network, armed: Any) -> None:
    _, (pin,) = await net.issue()
    for point in ("refill.after_locks", "refill.before_commit"):
        armed(f"{point}=error@1")
        with pytest.raises(failpoints.FailpointError):
            await net.load(pin, "T-1")
        assert (await net.main_account(), await net.count("refill")) == (0, 0)
    armed("refill.after_commit=error@1")
    with pytest.raises(failpoints.FailpointError):
        await net.load(pin, "T-1")
    armed("")
    assert (await net.load(pin, "T-1")).replayed
    assert await net.main_account() == 100_00
    await net.check_books()


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_line_cut_during_commit_is_looked_up_and_no_second_refill(
    net: Network, database_url: str, cut: str
) -> None:
    """Before the COMMIT has arrived the lane does it again; after it the lane finds what it has done."""
    _, (pin,) = await net.issue()
    async with behind_a_proxy(database_url) as (proxy, url):
        behind = await Database.open(url, pool_size=1)
        refills, _ = await refills_of(behind, net.data_dir)
        refills.start()
        await refills.refill(net.ada.voucherless(1, "T-0"))
        proxy.cut = cut
        answers = await gathered(
            refills.refill(net.ada.by_voucher(pin, "T-1")),
            *(refills.refill(net.ada.voucherless(5, f"T-{number}")) for number in (0, 2, 3, 3)),
        )
        assert proxy.cut is None
        await refills.close()
        await behind.close()
    assert [type(answer) for answer in answers] == [Refilled, ReferenceReused, Refilled, Refilled, Refilled]
    assert (await net.wallet(), await net.main_account(), await net.count("refill")) == (989_00, 111_00, 4)
    await net.check_books()


async def test_without_a_database_a_refill_is_busy(net: Network, database: Database) -> None:
    await net.pay(5)
    connection = net.refills._refilling._batch._connection
    here = connection._database
    connection.drop()
    connection._database = Database("postgresql://127.0.0.1:1/nowhere")
    try:
        with pytest.raises(Busy):
            await net.pay(5)
    finally:
        connection._database = here
    await net.pay(5)


# Reserving ----------------------------------------------------------------------------------------------------------------


async def test_a_reserved_voucher_is_committed_by_its_name_once(net: Network) -> None:
    _, (pin,) = await net.issue()
    kept = await net.vouchers.reserve(Mode.LIVE, Secret(pin), "till 7", timedelta(minutes=1))
    assert (kept.state, kept.reservation) == (VoucherState.RESERVED, "till 7")
    with pytest.raises(PinRefused):
        await net.refills.commit(Mode.LIVE, Secret(pin), "till 8", NGOZI)
    done = await net.refills.commit(Mode.LIVE, Secret(pin), "till 7", NGOZI)
    again = await net.refills.commit(Mode.LIVE, Secret(pin), "till 7", NGOZI)
    assert (done.replayed, again.replayed, again.refill) == (False, True, done.refill)
    assert await net.main_account() == 100_00
    with pytest.raises(PinRefused):
        await net.vouchers.reserve(Mode.LIVE, Secret(pin), "till 7", timedelta(minutes=1))
    await net.check_books()


async def test_a_reservation_ends_by_itself_at_its_deadline(net: Network) -> None:
    _, (first, second) = await net.issue(2)
    for pin in (first, second):
        await net.vouchers.reserve(Mode.LIVE, Secret(pin), "till 7", timedelta(minutes=1))
    await net.value("update voucher set reserved_until = now()")
    with pytest.raises(PinRefused):
        await net.refills.commit(Mode.LIVE, Secret(first), "till 7", NGOZI)
    # Whether or not anybody has swept.
    await net.load(first)
    assert await net.vouchers.sweep() == 1
    assert await net.value("select count(*) from voucher where state = 'available'") == 1
    await net.load(second)
    await net.check_books()


async def test_releasing_gives_a_voucher_back_and_again_does_no_harm(net: Network) -> None:
    _, (pin,) = await net.issue()
    await net.vouchers.reserve(Mode.LIVE, Secret(pin), "till 7", timedelta(minutes=1))
    with pytest.raises(PinRefused):
        await net.vouchers.reserve(Mode.LIVE, Secret(pin), "till 8", timedelta(minutes=1))
    with pytest.raises(PinRefused):
        await net.vouchers.release(Mode.LIVE, Secret(pin), "till 8")
    for _ in range(2):
        assert (await net.vouchers.release(Mode.LIVE, Secret(pin), "till 7")).state is VoucherState.AVAILABLE
    await net.load(pin)


# The wallet's list --------------------------------------------------------------------------------------------------------


async def test_a_refill_stands_in_the_wallets_list(net: Network, database: Database) -> None:
    done = await net.pay(100)
    _, (pin,) = await net.issue()
    await net.load(pin)
    transactions, wallet = Transactions(database), net.ada.wallets[Mode.LIVE]["NGN"]
    page = await transactions.page(wallet, NGN, Filter(), limit=10, offset=0)
    line = page.transactions[0]
    assert (page.total, line.reference, line.status) == (2, done.refill.reference, TransactionStatus.COMPLETED)
    assert (line.before, line.after, line.amount) == (Money(1_000_00, NGN), Money(900_00, NGN), HUNDRED)
    assert (line.service, line.description) == ("airtime", "Airtime Refill - NGN 100.00")
    assert await transactions.find(wallet, NGN, done.refill.reference) == line
    completed = await transactions.page(
        wallet, NGN, Filter(credit=False, status=TransactionStatus.COMPLETED), limit=10, offset=0
    )
    assert completed.transactions == [line]
    assert await transactions.references([done.refill.id]) == {done.refill.id: done.refill.reference}


# What the check of the books notices ----------------------------------------------------------------------------------------

DAMAGES = {
    "a paid refill's hold is gone": "delete from transfer where kind = 1",
    "a paid refill was posted to somebody else": "update account set owner = 'simulator' where owner = 'own_network'",
    "a paid refill is gone": "delete from refill where kind = 'voucherless'",
    "a paid refill says another price": "update refill set amount_minor = 1, balance_after_minor = balance_before_minor - 1"
    " where kind = 'voucherless'",
    "a paid refill is not in the list": "update refill set position = 77 where kind = 'voucherless'",
    "a refill by voucher is gone": "delete from refill where kind = 'voucher'",
    "a used voucher is available again": "update voucher set state = 'available', subscriber_id = null, refill_id = null",
    "a voucher says another refill": "update voucher set refill_id = 77",
    "a voucher says another subscriber": "update voucher set subscriber_id = 77",
    "a voucher is worth something else": "update voucher_batch set amount_minor = 1",
    "a refill gave nothing": "delete from bucket_posting",
    "a refill gave to somebody else": "update bucket set subscriber_id = 77",
    "a refill gave twice": "insert into bucket_posting (bucket_id, number, kind, change, balance_after, cause)"
    " select bucket_id, 77, kind, change, balance_after, cause from bucket_posting limit 1",
    "a voucher too few was written": "update voucher_batch set issued = 0, state = 'unavailable'",
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_the_check_of_the_books_notices(net: Network, damage: str) -> None:
    _, (pin,) = await net.issue()
    await net.load(pin)
    await net.pay(100)
    await net.check_books()
    async with net.database.transaction() as tx:
        await tx.execute("set local session_replication_role = replica")
        await tx.execute(DAMAGES[damage])
    async with net.database.snapshot() as tx:
        assert await findings_of(tx, (*refills.INVARIANTS, *vouchers.INVARIANTS)) + [
            found for found in await findings_of(tx, orders.INVARIANTS) if "a refill" in found.rule
        ]


# What the partner calls it


async def test_a_refill_keeps_what_it_was_called_and_is_found_by_it(net: Network) -> None:
    sent = "0b8c1f8e-7a40-4d0e-9d2e-5a6d6c1b2f3a"
    made = await net.pay(10, "e59b63a0a157d484144c", sent_id=sent)
    await net.pay(10)
    again = await net.pay(10, "e59b63a0a157d484144c", sent_id=sent)
    assert (made.refill.sent_id, again.replayed, again.refill) == (sent, True, made.refill)
    for called in (sent, "e59b63a0a157d484144c"):
        assert await net.refills.listed(transaction_id=called) == [made.refill]
    assert await net.refills.listed(transaction_id="nothing-like-it") == []
    with pytest.raises(ReferenceReused):
        await net.pay(11, "e59b63a0a157d484144c", sent_id=sent)
    await net.check_books()
