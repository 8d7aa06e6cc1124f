"""What becomes of money and vouchers when subscribers are refilled, told as tables. How one is played: `refill_stage.py`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from telvend.database.connections import Database
from tests.scenario.refill_stage import RefillStage


@pytest.fixture
async def stage(database: Database, tmp_path: Path) -> AsyncIterator[RefillStage]:
    opened = await RefillStage.open(database, tmp_path)
    yield opened
    await opened.close()


async def test_a_voucherless_refill_is_held_and_posted_at_once_and_never_twice(stage: RefillStage) -> None:
    await stage.tell("""
        step                               wallet   in flight   network     main   answer
        fund 500.00                        500.00        0.00      0.00     0.00
        pay 100                            400.00        0.00    100.00   100.00   refilled
        the same again                     400.00        0.00    100.00   100.00   replayed
        the same id for another amount     400.00        0.00    100.00   100.00   ReferenceReused
        pay 401                            400.00        0.00    100.00   100.00   InsufficientBalance
        fund 1.00                          401.00        0.00    100.00   100.00
        the same again                       0.00        0.00    501.00   501.00   refilled
        the same again                       0.00        0.00    501.00   501.00   replayed
    """)


async def test_a_voucher_moves_no_money_of_the_partner(stage: RefillStage) -> None:
    await stage.tell("""
        step                   wallet   in flight   network     main   answer
        fund 500.00            500.00        0.00      0.00     0.00
        issue 2 of 50.50       500.00        0.00      0.00     0.00
        load the first         500.00        0.00      0.00    50.50   refilled
        the same again         500.00        0.00      0.00    50.50   replayed
        load the first         500.00        0.00      0.00    50.50   PinRefused
        load the second        500.00        0.00      0.00   101.00   refilled
        pay 9                  491.00        0.00      9.00   110.00   refilled
    """)


async def test_a_stopped_batch_and_a_stolen_voucher_are_worth_nothing(stage: RefillStage) -> None:
    await stage.tell("""
        step                   wallet   main     answer
        issue 3 of 100           0.00     0.00
        the first is stolen      0.00     0.00
        load the first           0.00     0.00   PinRefused
        load the second          0.00   100.00   refilled
        stop the batch           0.00   100.00
        load the third           0.00   100.00   PinRefused
    """)


async def test_a_reserved_voucher_is_the_tills_until_its_deadline(stage: RefillStage) -> None:
    await stage.tell("""
        step                         wallet     main   answer
        issue 1 of 100                 0.00     0.00
        a till reserves the first      0.00     0.00
        load the first                 0.00     0.00   PinRefused
        its deadline passes            0.00     0.00
        the till commits it            0.00     0.00   PinRefused
        a till reserves the first      0.00     0.00
        the till commits it            0.00   100.00   refilled
        the till commits it            0.00   100.00   replayed
        load the first                 0.00   100.00   PinRefused
    """)


async def test_five_wrong_pins_lock_and_a_right_one_forgives(stage: RefillStage) -> None:
    await stage.tell("""
        step                         wallet     main   answer
        issue 2 of 100                 0.00     0.00
        fund 10                       10.00     0.00
        load a wrong one, 4 times     10.00     0.00   PinRefused
        load the first                10.00   100.00   refilled
        load a wrong one, 5 times     10.00   100.00   PinRefused
        load the second               10.00   100.00   LockedOut
        pay 1                          9.00   101.00   refilled
        31 s pass                      9.00   101.00
        load a wrong one, 5 times      9.00   101.00   PinRefused
        31 s pass                      9.00   101.00
        load the second                9.00   101.00   LockedOut
        30 s pass                      9.00   101.00
        load the second                9.00   201.00   refilled
    """)


async def test_somebody_suspended_is_refused_before_his_voucher_is_looked_at(stage: RefillStage) -> None:
    await stage.tell("""
        step                            wallet     main   answer
        issue 1 of 100                    0.00     0.00
        fund 10                          10.00     0.00
        the subscriber is Suspended      10.00     0.00
        load the first                   10.00     0.00   SubscriberBarred
        load a wrong one                 10.00     0.00   SubscriberBarred
        pay 10                           10.00     0.00   SubscriberBarred
        the subscriber is Active         10.00     0.00
        load the first                   10.00   100.00   refilled
    """)
