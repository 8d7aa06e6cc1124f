"""What waits for a second person, told as tables: after each step the balances, what waits, and the order's state. In GHS.

A 1 GB bundle sells for 4.50 and costs 4.27. How a table is played stands in `stage.py` and `approval_stage.py`.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from telvend.database.connections import Database
from tests.scenario.stage import Stage


@pytest.fixture
async def stage(database: Database, tmp_path: Path) -> AsyncIterator[Stage]:
    opened = Stage(database, tmp_path)
    await opened.open()
    yield opened
    await opened.close()


async def test_a_large_credit_waits_for_another_person_and_is_made_once(stage: Stage) -> None:
    await stage.tell("""
        step                               wallet   waiting
        fund 10.00                          10.00      0.00
        above 500.00 two people decide      10.00      0.00
        Esi credits 500.00 as cash1        510.00      0.00
        Esi credits 500.01 as cash2        510.00    500.01
        Esi credits 500.01 as cash2        510.00    500.01
        Kofi credits 500.01 as cash2       510.00    500.01
        Esi may not confirm                510.00    500.01
        Kofi confirms                    1,010.01      0.00
        Esi credits 500.01 as cash2      1,010.01      0.00
    """)


async def test_small_credits_of_one_day_add_up(stage: Stage) -> None:
    """What two people have confirmed does not count; what one person has done alone does, whoever it was."""
    await stage.tell("""
        step                               wallet   waiting
        above 500.00 two people decide       0.00      0.00
        Esi credits 200.00 as cash1        200.00      0.00
        Kofi credits 200.00 as cash2       400.00      0.00
        Esi credits 100.01 as cash3        400.00    100.01
        Kofi confirms                      500.01      0.00
        Esi credits 100.00 as cash4        600.01      0.00
        Esi credits 0.01 as cash5          600.01      0.01
        Esi debits 500.00 as back1         100.01      0.01
        Esi debits 0.01 as back2           100.01      0.02
    """)


async def test_a_rejected_or_withdrawn_proposal_moves_nothing_and_may_be_made_again(stage: Stage) -> None:
    await stage.tell("""
        step                               wallet   waiting
        above 50.00 two people decide        0.00      0.00
        Esi credits 60.00 as cash1           0.00     60.00
        Kofi rejects it                      0.00      0.00
        Esi credits 70.00 as cash1           0.00     70.00
        Esi rejects it                       0.00      0.00
        Kofi credits 60.00 as cash1          0.00     60.00
        Esi confirms                        60.00      0.00
    """)


async def test_a_debit_that_the_wallet_no_longer_holds_is_not_confirmed_until_it_does(stage: Stage) -> None:
    await stage.tell("""
        step                               wallet   in flight   waiting   order
        fund 8.00                            8.00        0.00      0.00
        above 4.00 two people decide         8.00        0.00      0.00
        Esi debits 5.00 as back              8.00        0.00      5.00
        place 1GB                            3.50        4.50      5.00   delivering
        Kofi may not confirm                 3.50        4.50      5.00   delivering
        first refuses                        8.00        0.00      5.00   failed
        Kofi confirms                        3.00        0.00      0.00   failed
    """)


async def test_an_order_is_decided_by_two_people(stage: Stage) -> None:
    await stage.tell("""
        step                               wallet   in flight   first   margin   waiting   order
        fund 50.00                          50.00        0.00    0.00     0.00      0.00
        above 4.00 two people decide        50.00        0.00    0.00     0.00      0.00
        place 1GB                           45.50        4.50    0.00     0.00      0.00   delivering
        first says nothing                  45.50        4.50    0.00     0.00      0.00   waiting
        Esi says delivered                  45.50        4.50    0.00     0.00      4.50   waiting
        Esi may not confirm                 45.50        4.50    0.00     0.00      4.50   waiting
        Kofi confirms                       45.50        0.00    4.27     0.23      0.00   delivered
        Kofi says delivered                 45.50        0.00    4.27     0.23      0.00   delivered
    """)


async def test_an_order_that_was_delivered_meanwhile_is_not_failed_by_two_people(stage: Stage) -> None:
    await stage.tell("""
        step                               wallet   in flight   first   margin   waiting   order
        fund 50.00                          50.00        0.00    0.00     0.00      0.00
        above 4.00 two people decide        50.00        0.00    0.00     0.00      0.00
        place 1GB                           45.50        4.50    0.00     0.00      0.00   delivering
        first says nothing                  45.50        4.50    0.00     0.00      0.00   waiting
        Esi says failed                     45.50        4.50    0.00     0.00      4.50   waiting
        ask first: delivered                45.50        0.00    4.27     0.23      4.50   delivered
        Kofi may not confirm                45.50        0.00    4.27     0.23      4.50   delivered
        Kofi rejects it                     45.50        0.00    4.27     0.23      0.00   delivered
    """)


async def test_a_refund_waits_and_can_be_confirmed_when_one_person_decides_again(stage: Stage) -> None:
    await stage.tell("""
        step                               wallet   in flight   first   margin    loss   waiting   order
        fund 50.00                          50.00        0.00    0.00     0.00    0.00      0.00
        place 1GB                           45.50        4.50    0.00     0.00    0.00      0.00   delivering
        first delivers                      45.50        0.00    4.27     0.23    0.00      0.00   delivered
        above 4.00 two people decide        45.50        0.00    4.27     0.23    0.00      0.00   delivered
        Esi refunds it                      45.50        0.00    4.27     0.23    0.00      4.50   delivered
        one person decides everything       45.50        0.00    4.27     0.23    0.00      4.50   delivered
        Esi refunds it                      45.50        0.00    4.27     0.23    0.00      4.50   delivered
        Esi may not confirm                 45.50        0.00    4.27     0.23    0.00      4.50   delivered
        Kofi confirms                       50.00        0.00    4.27     0.23   -4.50      0.00   delivered
        Esi refunds it                      50.00        0.00    4.27     0.23   -4.50      0.00   delivered
    """)
