"""What becomes of the money of a data sale, told as tables: after each step the balances and the order's state. In GHS.

A 1 GB bundle sells for 4.50 and costs 4.27. How a table is played stands in `stage.py`.
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


async def test_delivered_posts_the_hold_to_provider_and_margin(stage: Stage) -> None:
    await stage.tell("""
        step                       wallet   in flight   first   margin   order
        fund 5,000.00            5,000.00        0.00    0.00     0.00
        place 1GB                4,995.50        4.50    0.00     0.00   delivering
        first delivers           4,995.50        0.00    4.27     0.23   delivered
        same reference again     4,995.50        0.00    4.27     0.23   delivered
    """)


async def test_refused_gives_the_hold_back(stage: Stage) -> None:
    await stage.tell("""
        step                       wallet   in flight   first   margin   order
        fund 50.00                  50.00        0.00    0.00     0.00
        place 1GB                   45.50        4.50    0.00     0.00   delivering
        first refuses               50.00        0.00    0.00     0.00   failed
        same reference again        50.00        0.00    0.00     0.00   failed
    """)


async def test_unknown_outcome_keeps_the_hold_until_the_answer_is_delivered(stage: Stage) -> None:
    """Notices a rule that takes silence for a refusal, or for leave to try somebody else."""
    await stage.tell("""
        step                       wallet   in flight   first   second   margin   order
        fund 50.00                  50.00        0.00    0.00     0.00     0.00
        place 1GB                   45.50        4.50    0.00     0.00     0.00   delivering
        first says nothing          45.50        4.50    0.00     0.00     0.00   waiting
        same reference again        45.50        4.50    0.00     0.00     0.00   waiting
        ask first: nothing          45.50        4.50    0.00     0.00     0.00   waiting
        ask first: delivered        45.50        0.00    4.27     0.00     0.23   delivered
    """)


async def test_unknown_outcome_that_was_a_refusal_gives_the_hold_back(stage: Stage) -> None:
    await stage.tell("""
        step                       wallet   in flight   first   second   margin   order
        fund 50.00                  50.00        0.00    0.00     0.00     0.00
        place 1GB                   45.50        4.50    0.00     0.00     0.00   delivering
        first says nothing          45.50        4.50    0.00     0.00     0.00   waiting
        ask first: refused          50.00        0.00    0.00     0.00     0.00   failed
    """)


async def test_unknown_outcome_that_never_arrived_is_tried_elsewhere(stage: Stage) -> None:
    await stage.tell("""
        step                           wallet   in flight   first   second   margin   order
        fund 50.00                      50.00        0.00    0.00     0.00     0.00
        place 1GB                       45.50        4.50    0.00     0.00     0.00   delivering
        first says nothing              45.50        4.50    0.00     0.00     0.00   waiting
        ask first: never heard of it    45.50        4.50    0.00     0.00     0.00   waiting
        second delivers                 45.50        0.00    0.00     4.27     0.23   delivered
    """)


async def test_accepted_holds_until_it_is_delivered(stage: Stage) -> None:
    await stage.tell("""
        step                       wallet   in flight   first   margin   order
        fund 50.00                  50.00        0.00    0.00     0.00
        place 1GB                   45.50        4.50    0.00     0.00   delivering
        first accepts               45.50        4.50    0.00     0.00   waiting
        ask first: on its way       45.50        4.50    0.00     0.00   waiting
        ask first: delivered        45.50        0.00    4.27     0.23   delivered
    """)


REVIEW = """
        step                       wallet   in flight   first   margin   order
        fund 50.00                  50.00        0.00    0.00     0.00
        place 1GB                   45.50        4.50    0.00     0.00   delivering
        first says nothing          45.50        4.50    0.00     0.00   waiting
        ask first: nothing          45.50        4.50    0.00     0.00   waiting
        ask first: nothing          45.50        4.50    0.00     0.00   review
        same reference again        45.50        4.50    0.00     0.00   review
"""


async def test_what_asking_does_not_settle_waits_for_a_person_who_says_delivered(stage: Stage) -> None:
    await stage.tell(
        REVIEW.rstrip()
        + """
        a person says delivered     45.50        0.00    4.27     0.23   delivered
        a person says delivered     45.50        0.00    4.27     0.23   delivered
        same reference again        45.50        0.00    4.27     0.23   delivered
    """
    )


async def test_what_asking_does_not_settle_waits_for_a_person_who_says_failed(stage: Stage) -> None:
    await stage.tell(
        REVIEW.rstrip()
        + """
        a person says failed        50.00        0.00    0.00     0.00   failed
        a person says failed        50.00        0.00    0.00     0.00   failed
    """
    )


async def test_a_sale_below_cost_is_paid_by_the_house(stage: Stage) -> None:
    await stage.tell("""
        step                       wallet   in flight   first   margin   loss    order
        fund 50.00                  50.00        0.00    0.00     0.00   0.00
        1GB now sells for 4.00      50.00        0.00    0.00     0.00   0.00
        place 1GB                   46.00        4.00    0.00     0.00   0.00    delivering
        first delivers              46.00        0.00    4.27     0.00   -0.27   delivered
    """)


async def test_a_price_that_changes_afterwards_changes_no_order(stage: Stage) -> None:
    await stage.tell("""
        step                       wallet   in flight   first   margin   order
        fund 50.00                  50.00        0.00    0.00     0.00
        place 1GB                   45.50        4.50    0.00     0.00   delivering
        1GB now sells for 9.00      45.50        4.50    0.00     0.00   delivering
        same reference again        45.50        4.50    0.00     0.00   delivering
        first delivers              45.50        0.00    4.27     0.23   delivered
    """)


async def test_what_was_not_sent_is_tried_elsewhere(stage: Stage) -> None:
    await stage.tell("""
        step                       wallet   in flight   first   second   margin   order
        fund 50.00                  50.00        0.00    0.00     0.00     0.00
        place 1GB                   45.50        4.50    0.00     0.00     0.00   delivering
        first is not reached        45.50        4.50    0.00     0.00     0.00   waiting
        second delivers             45.50        0.00    0.00     4.27     0.23   delivered
    """)


async def test_a_refusal_of_one_provider_alone_is_tried_elsewhere(stage: Stage) -> None:
    await stage.tell("""
        step                             wallet   in flight   first   second   margin   order
        fund 50.00                        50.00        0.00    0.00     0.00     0.00
        place 1GB                         45.50        4.50    0.00     0.00     0.00   delivering
        first refuses, try elsewhere      45.50        4.50    0.00     0.00     0.00   delivering
        second says nothing               45.50        4.50    0.00     0.00     0.00   waiting
        ask second: delivered             45.50        0.00    0.00     4.27     0.23   delivered
    """)


async def test_when_nobody_is_left_the_hold_goes_back(stage: Stage) -> None:
    await stage.tell("""
        step                             wallet   in flight   first   second   margin   order
        fund 50.00                        50.00        0.00    0.00     0.00     0.00
        place 1GB                         45.50        4.50    0.00     0.00     0.00   delivering
        first refuses, try elsewhere      45.50        4.50    0.00     0.00     0.00   delivering
        second refuses, try elsewhere     50.00        0.00    0.00     0.00     0.00   failed
    """)


async def test_a_worker_that_takes_over_asks_and_does_not_buy_again(stage: Stage) -> None:
    await stage.tell("""
        step                                    wallet   in flight   first   second   margin   order
        fund 50.00                               50.00        0.00    0.00     0.00     0.00
        place 1GB                                45.50        4.50    0.00     0.00     0.00   delivering
        the worker dies, another one begins      45.50        4.50    0.00     0.00     0.00   delivering
        ask first: delivered                     45.50        0.00    4.27     0.00     0.23   delivered
    """)


async def test_play_money_is_apart_from_live_money(stage: Stage) -> None:
    await stage.tell("""
        step                       wallet   in flight   first   play wallet   play in flight   play first   play margin   order
        fund 50.00                  50.00        0.00    0.00          0.00             0.00         0.00          0.00
        fund 20.00 to play with     50.00        0.00    0.00         20.00             0.00         0.00          0.00
        place 1GB as a test         50.00        0.00    0.00         15.50             4.50         0.00          0.00   delivering
        first delivers              50.00        0.00    0.00         15.50             0.00         4.27          0.23   delivered
        place 1GB                   45.50        4.50    0.00         15.50             0.00         4.27          0.23   delivering
        first delivers              45.50        0.00    4.27         15.50             0.00         4.27          0.23   delivered
    """)


async def test_a_table_that_is_wrong_is_noticed(stage: Stage) -> None:
    with pytest.raises(AssertionError, match=r"(?s)place 1GB +45\.50.*instead of.*place 1GB +45\.51"):
        await stage.tell("""
            step            wallet   in flight   order
            fund 50.00       50.00        0.00
            place 1GB        45.51        4.50   delivering
            first delivers   45.50        0.00   delivered
        """)
