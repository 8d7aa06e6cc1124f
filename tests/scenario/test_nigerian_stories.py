"""What becomes of the money in Nigeria: airtime, fundings and identity checks, told as tables. Amounts are in NGN.

Airtime of MTN costs 97.5 % of what arrives. How a table is played stands in `stage.py`; what fundings and identity checks
can do in `funding_stage.py` and `verification_stage.py`.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from telvend.database.connections import Database
from tests.scenario.stage import Stage


@pytest.fixture
async def stage(database: Database, tmp_path: Path) -> AsyncIterator[Stage]:
    opened = Stage(database, tmp_path, "NG")
    await opened.open()
    yield opened
    await opened.close()


# Airtime -------------------------------------------------------------------------------------------------------------


async def test_airtime_is_sold_for_its_face_and_leaves_the_margin(stage: Stage) -> None:
    await stage.tell("""
        step                         wallet   in flight    first   margin   order
        fund 5,000.00              5,000.00        0.00     0.00     0.00
        place 1,000.00 of airtime  4,000.00    1,000.00     0.00     0.00   delivering
        first delivers             4,000.00        0.00   975.00    25.00   delivered
        same reference again       4,000.00        0.00   975.00    25.00   delivered
    """)


async def test_airtime_with_a_discount_holds_and_posts_what_the_reseller_pays(stage: Stage) -> None:
    await stage.tell("""
        step                         wallet   in flight    first   margin   order
        fund 5,000.00              5,000.00        0.00     0.00     0.00
        2 % off airtime            5,000.00        0.00     0.00     0.00
        place 1,000.00 of airtime  4,020.00      980.00     0.00     0.00   delivering
        first delivers             4,020.00        0.00   975.00     5.00   delivered
    """)


async def test_airtime_that_is_refused_gives_back_what_was_paid_and_not_the_face(stage: Stage) -> None:
    """Notices a hold of the one amount and a release of the other."""
    await stage.tell("""
        step                         wallet   in flight    first   margin   order
        fund 5,000.00              5,000.00        0.00     0.00     0.00
        2 % off airtime            5,000.00        0.00     0.00     0.00
        place 1,000.00 of airtime  4,020.00      980.00     0.00     0.00   delivering
        first refuses              5,000.00        0.00     0.00     0.00   failed
        same reference again       5,000.00        0.00     0.00     0.00   failed
    """)


async def test_airtime_of_unknown_outcome_stays_held_until_it_is_asked_about(stage: Stage) -> None:
    await stage.tell("""
        step                         wallet   in flight    first   second   margin   order
        fund 5,000.00              5,000.00        0.00     0.00     0.00     0.00
        2 % off airtime            5,000.00        0.00     0.00     0.00     0.00
        place 1,000.00 of airtime  4,020.00      980.00     0.00     0.00     0.00   delivering
        first says nothing         4,020.00      980.00     0.00     0.00     0.00   waiting
        same reference again       4,020.00      980.00     0.00     0.00     0.00   waiting
        ask first: nothing         4,020.00      980.00     0.00     0.00     0.00   waiting
        ask first: delivered       4,020.00        0.00   975.00     0.00     5.00   delivered
    """)


async def test_airtime_of_unknown_outcome_that_was_refused_gives_back_what_was_paid(stage: Stage) -> None:
    await stage.tell("""
        step                         wallet   in flight    first   margin   order
        fund 5,000.00              5,000.00        0.00     0.00     0.00
        2 % off airtime            5,000.00        0.00     0.00     0.00
        place 1,000.00 of airtime  4,020.00      980.00     0.00     0.00   delivering
        first says nothing         4,020.00      980.00     0.00     0.00   waiting
        ask first: refused         5,000.00        0.00     0.00     0.00   failed
    """)


async def test_a_discount_that_changes_afterwards_changes_no_order(stage: Stage) -> None:
    """A repeat finds its order by what arrives, never by what is paid for it."""
    await stage.tell("""
        step                         wallet   in flight    first   margin   order
        fund 5,000.00              5,000.00        0.00     0.00     0.00
        2 % off airtime            5,000.00        0.00     0.00     0.00
        place 1,000.00 of airtime  4,020.00      980.00     0.00     0.00   delivering
        0 % off airtime            4,020.00      980.00     0.00     0.00   delivering
        same reference again       4,020.00      980.00     0.00     0.00   delivering
        first delivers             4,020.00        0.00   975.00     5.00   delivered
        place 1,000.00 of airtime  3,020.00    1,000.00   975.00     5.00   delivering
        first delivers             3,020.00        0.00  1,950.00   30.00   delivered
    """)


async def test_a_discount_beyond_the_margin_is_paid_by_the_house(stage: Stage) -> None:
    await stage.tell("""
        step                         wallet   in flight    first   margin     loss   order
        fund 5,000.00              5,000.00        0.00     0.00     0.00     0.00
        5 % off airtime            5,000.00        0.00     0.00     0.00     0.00
        place 1,000.00 of airtime  4,050.00      950.00     0.00     0.00     0.00   delivering
        first delivers             4,050.00        0.00   975.00     0.00   -25.00   delivered
    """)


async def test_what_does_not_divide_is_rounded_once_and_nothing_is_lost(stage: Stage) -> None:
    """50.01 less 2.5 % is 48.75975, which costs 48.76 to sell: whoever rounds, price and cost and margin add up."""
    await stage.tell("""
        step                     wallet   in flight   first   margin   order
        fund 100.00              100.00        0.00    0.00     0.00
        1.25 % off airtime       100.00        0.00    0.00     0.00
        place 50.01 of airtime    50.61       49.39    0.00     0.00   delivering
        first delivers            50.61        0.00   48.76     0.63   delivered
    """)


# Fundings ------------------------------------------------------------------------------------------------------------


async def test_a_funding_is_credited_when_the_gateway_says_so_and_not_before(stage: Stage) -> None:
    await stage.tell("""
        step                   wallet     gateway   funding
        ask for 5,000.00         0.00        0.00   pending
        a minute passes          0.00        0.00   pending
        the payer comes back     0.00        0.00   pending
        the payer pays           0.00        0.00   pending
        a notice comes       5,000.00   -5,000.00   completed
        a minute passes      5,000.00   -5,000.00   completed
    """)


async def test_copies_of_a_notice_and_the_payer_in_person_credit_once(stage: Stage) -> None:
    await stage.tell("""
        step                                    wallet     gateway   funding
        ask for 5,000.00                          0.00        0.00   pending
        the payer pays                            0.00        0.00   pending
        7 copies of the notice come at once   5,000.00   -5,000.00   completed
        7 copies of the notice come at once   5,000.00   -5,000.00   completed
        the payer comes back                  5,000.00   -5,000.00   completed
        a day passes                          5,000.00   -5,000.00   completed
    """)


async def test_without_any_notice_the_schedule_finds_the_payment(stage: Stage) -> None:
    await stage.tell("""
        step                   wallet     gateway   funding
        ask for 5,000.00         0.00        0.00   pending
        the payer pays           0.00        0.00   pending
        a minute passes      5,000.00   -5,000.00   completed
    """)


async def test_a_notice_of_what_was_not_paid_credits_nothing(stage: Stage) -> None:
    """The gateway signs it, and says nothing of the kind when it is asked."""
    await stage.tell("""
        step                   wallet     gateway   funding
        ask for 5,000.00         0.00        0.00   pending
        a notice comes           0.00        0.00   pending
    """)


async def test_a_forged_notice_does_not_even_have_the_gateway_asked(stage: Stage) -> None:
    await stage.tell("""
        step                         wallet     gateway   funding
        ask for 5,000.00               0.00        0.00   pending
        a forged notice comes          0.00        0.00   pending
        the payer pays                 0.00        0.00   pending
        a forged notice comes          0.00        0.00   pending
        a notice comes             5,000.00   -5,000.00   completed
    """)


@pytest.mark.parametrize(
    "payment",
    [
        "the payer pays 4,999.99",
        "the payer pays 5,000.01",
        "the payer pays in GHS",
        "the payer pays for somebody else",
        "the payer pays with play money",
    ],
)
async def test_a_payment_that_does_not_fit_credits_nothing_and_waits_for_a_person(stage: Stage, payment: str) -> None:
    await stage.tell(f"""
        step                                    wallet   gateway   funding     a person
        ask for 5,000.00                          0.00      0.00   pending            -
        {payment:<37} 0.00      0.00   pending            -
        a notice comes                            0.00      0.00   pending    must look
        7 copies of the notice come at once       0.00      0.00   pending    must look
        a day passes                              0.00      0.00   pending    must look
        a person has looked                       0.00      0.00   failed             -
    """)


async def test_money_that_comes_after_the_expiry_is_honoured(stage: Stage) -> None:
    await stage.tell("""
        step                   wallet     gateway   funding
        ask for 5,000.00         0.00        0.00   pending
        an hour passes           0.00        0.00   expired
        the payer pays           0.00        0.00   expired
        an hour passes       5,000.00   -5,000.00   completed
        a day passes         5,000.00   -5,000.00   completed
    """)


async def test_a_card_that_is_declined_and_then_taken_is_credited_once(stage: Stage) -> None:
    await stage.tell("""
        step                                    wallet     gateway   funding
        ask for 5,000.00                          0.00        0.00   pending
        the payer's bank declines                 0.00        0.00   pending
        a notice comes                            0.00        0.00   failed
        the payer pays                            0.00        0.00   failed
        7 copies of the notice come at once   5,000.00   -5,000.00   completed
    """)


async def test_a_dispute_after_the_credit_takes_nothing_back_and_waits_for_a_person(stage: Stage) -> None:
    """What was spent by then would be a debt that nobody agreed to."""
    await stage.tell("""
        step                             wallet     gateway   funding     a person
        ask for 5,000.00                   0.00        0.00   pending            -
        the payer pays                     0.00        0.00   pending            -
        a notice comes                 5,000.00   -5,000.00   completed          -
        the payer's bank declines      5,000.00   -5,000.00   completed          -
        a notice comes                 5,000.00   -5,000.00   completed          -
        a notice of a dispute comes    5,000.00   -5,000.00   completed  must look
        a person has looked            5,000.00   -5,000.00   completed          -
    """)


async def test_two_fundings_are_two_credits_and_a_sale_spends_them(stage: Stage) -> None:
    await stage.tell("""
        step                           wallet     gateway   in flight   funding     order
        ask for 500.00                   0.00        0.00        0.00   pending
        the payer pays                   0.00        0.00        0.00   pending
        a notice comes                 500.00     -500.00        0.00   completed
        ask for 600.00                 500.00     -500.00        0.00   pending
        the payer pays                 500.00     -500.00        0.00   pending
        a notice comes               1,100.00   -1,100.00        0.00   completed
        place 1,000.00 of airtime      100.00   -1,100.00    1,000.00   completed   delivering
        first delivers                 100.00   -1,100.00        0.00   completed   delivered
    """)


# Identity checks -----------------------------------------------------------------------------------------------------


async def test_a_record_posts_the_hold_to_the_authority_and_the_margin(stage: Stage) -> None:
    await stage.tell("""
        step                             wallet   in flight   prembly   margin   loss   asked   check
        fund 1,000.00                  1,000.00        0.00      0.00     0.00   0.00       0
        what prembly takes is known    1,000.00        0.00      0.00     0.00   0.00       0
        check Ada                        900.00      100.00      0.00     0.00   0.00       1   asking
        prembly finds the record         900.00        0.00     60.00    40.00   0.00       1   verified
        same check again                 900.00        0.00     60.00    40.00   0.00       1   verified
    """)


async def test_a_record_that_is_used_again_is_paid_again_and_costs_nothing(stage: Stage) -> None:
    """Every check is charged, as the document says; the authority is asked once, so that the rest is margin."""
    await stage.tell("""
        step                             wallet   in flight   prembly   margin   asked   check
        fund 1,000.00                  1,000.00        0.00      0.00     0.00       0
        what prembly takes is known    1,000.00        0.00      0.00     0.00       0
        check Ada                        900.00      100.00      0.00     0.00       1   asking
        prembly finds the record         900.00        0.00     60.00    40.00       1   verified
        check Ada                        800.00        0.00     60.00   140.00       1   verified
        same check again                 800.00        0.00     60.00   140.00       1   verified
        check Bola                       700.00      100.00     60.00   140.00       2   asking
        prembly finds the record         700.00        0.00    120.00   180.00       2   verified
    """)


async def test_force_new_asks_the_authority_again_though_a_record_is_on_file(stage: Stage) -> None:
    await stage.tell("""
        step                             wallet   in flight   prembly   margin   asked   check
        fund 1,000.00                  1,000.00        0.00      0.00     0.00       0
        what prembly takes is known    1,000.00        0.00      0.00     0.00       0
        check Ada                        900.00      100.00      0.00     0.00       1   asking
        prembly finds the record         900.00        0.00     60.00    40.00       1   verified
        check Ada anew                   800.00      100.00     60.00    40.00       2   asking
        prembly finds the record         800.00        0.00    120.00    80.00       2   verified
        same check again                 800.00        0.00    120.00    80.00       2   verified
    """)


@pytest.mark.parametrize(
    ("answer", "state"), [("prembly has no record", "not_on_record"), ("prembly says that it is blocked", "blocked")]
)
async def test_an_answer_without_a_record_gives_the_hold_back_and_the_house_pays_for_it(
    stage: Stage, answer: str, state: str
) -> None:
    await stage.tell(f"""
        step                             wallet   in flight   prembly   margin     loss   asked   check
        fund 1,000.00                  1,000.00        0.00      0.00     0.00     0.00       0
        what prembly takes is known    1,000.00        0.00      0.00     0.00     0.00       0
        check nobody                     900.00      100.00      0.00     0.00     0.00       1   asking
        {answer:<31}  1,000.00        0.00     10.00     0.00   -10.00       1   {state}
        same check again               1,000.00        0.00     10.00     0.00   -10.00       1   {state}
    """)


@pytest.mark.parametrize("answer", ["prembly is away", "prembly answers garbage"])
async def test_no_answer_gives_the_hold_back_and_leaves_the_reference_free(stage: Stage, answer: str) -> None:
    await stage.tell(f"""
        step                             wallet   in flight   prembly   margin   loss   asked   check
        fund 1,000.00                  1,000.00        0.00      0.00     0.00   0.00       0
        what prembly takes is known    1,000.00        0.00      0.00     0.00   0.00       0
        check Ada                        900.00      100.00      0.00     0.00   0.00       1   asking
        {answer:<27}    1,000.00        0.00      0.00     0.00   0.00       1   unavailable
        same check again                 900.00      100.00      0.00     0.00   0.00       2   asking
        prembly finds the record         900.00        0.00     60.00    40.00   0.00       2   verified
        same check again                 900.00        0.00     60.00    40.00   0.00       2   verified
    """)


async def test_a_repeat_while_the_authority_is_being_asked_waits_and_holds_nothing_more(stage: Stage) -> None:
    await stage.tell("""
        step                             wallet   in flight   prembly   margin   asked   check
        fund 1,000.00                  1,000.00        0.00      0.00     0.00       0
        what prembly takes is known    1,000.00        0.00      0.00     0.00       0
        check Ada                        900.00      100.00      0.00     0.00       1   asking
        same check again                 900.00      100.00      0.00     0.00       1   asking
        same check again                 900.00      100.00      0.00     0.00       1   asking
        prembly finds the record         900.00        0.00     60.00    40.00       1   verified
    """)


async def test_a_check_whose_process_dies_gives_the_hold_back(stage: Stage) -> None:
    await stage.tell("""
        step                                            wallet   in flight   prembly   margin   asked   check
        fund 1,000.00                                 1,000.00        0.00      0.00     0.00       0
        what prembly takes is known                   1,000.00        0.00      0.00     0.00       0
        check Ada                                       900.00      100.00      0.00     0.00       1   asking
        the check's process dies, and is given up     1,000.00        0.00      0.00     0.00       1   unavailable
        same check again                                900.00      100.00      0.00     0.00       2   asking
        prembly finds the record                        900.00        0.00     60.00    40.00       2   verified
    """)
