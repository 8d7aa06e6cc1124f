"""What resellers are told, as tables: `told` are the types of all events so far. How one is played: `webhook_stage.py`."""

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


@pytest.fixture
async def nigeria(database: Database, tmp_path: Path) -> AsyncIterator[Stage]:
    opened = Stage(database, tmp_path, "NG")
    await opened.open()
    yield opened
    await opened.close()


async def test_a_sale_is_told_when_it_has_its_end_and_once(stage: Stage) -> None:
    await stage.tell("""
        step                       wallet   order        told
        fund 50.00                  50.00
        an endpoint                 50.00
        place 1GB                   45.50   delivering
        first delivers              45.50   delivered    oc
        same reference again        45.50   delivered    oc
        place 1GB                   41.00   delivering   oc
        first refuses               45.50   failed       oc of
        same reference again        45.50   failed       oc of
    """)
    completed, failed = await stage.webhooks.bodies()
    assert (
        completed["data"].items()
        >= {
            "mode": "live",
            "status": "completed",
            "kind": "data",
            "network": "MTN",
            "size": "1GB",
            "recipient": "+233241234567",
            "amount": "4.50",
            "price": "4.50",
            "currency": "GHS",
        }.items()
    )
    assert completed["data"]["reference"].startswith("NPAPI-")
    assert completed["data"]["client_reference"] is not None
    assert (failed["type"], failed["data"]["status"]) == ("order.failed", "failed")


async def test_an_unknown_outcome_is_told_when_a_person_looks_and_when_it_is_decided(stage: Stage) -> None:
    await stage.tell("""
        step                       wallet   order        told
        fund 50.00                  50.00
        an endpoint                 50.00
        place 1GB                   45.50   delivering
        first says nothing          45.50   waiting
        ask first: nothing          45.50   waiting
        ask first: nothing          45.50   review       or
        a person says delivered     45.50   delivered    or oc
        a person says delivered     45.50   delivered    or oc
        place 1GB                   41.00   delivering   or oc
        first says nothing          41.00   waiting      or oc
        ask first: nothing          41.00   waiting      or oc
        ask first: nothing          41.00   review       or oc or
        a person says failed        45.50   failed       or oc or of
    """)


async def test_an_attempt_of_a_dead_worker_is_told_of_once(stage: Stage) -> None:
    await stage.tell("""
        step                                   wallet   order        told
        fund 50.00                              50.00
        an endpoint                             50.00
        place 1GB                               45.50   delivering
        the worker dies, another one begins     45.50   delivering
        ask first: delivered                    45.50   delivered    oc
    """)


async def test_a_test_sale_says_so_and_somebody_without_an_endpoint_is_told_nothing(stage: Stage) -> None:
    await stage.tell("""
        step                       play wallet   order        told
        fund 50.00 to play with          50.00
        place 1GB as a test              45.50   delivering
        first delivers                   45.50   delivered
        an endpoint                      45.50   delivered
        place 1GB as a test              41.00   delivering
        first delivers                   41.00   delivered    oc
    """)
    (body,) = await stage.webhooks.bodies()
    assert body["data"]["mode"] == "test"


async def test_a_wallet_that_runs_low_is_told_of_once_for_each_dip(stage: Stage) -> None:
    """Notices a message for every sale below the threshold, and one for each failed sale that carries it up again."""
    await stage.tell("""
        step                       wallet   order        told
        fund 12.00                  12.00
        an endpoint                 12.00
        an alert below 10.00        12.00
        place 1GB                    7.50   delivering   wl
        first refuses               12.00   failed       wl of
        place 1GB                    7.50   delivering   wl of
        first delivers               7.50   delivered    wl of oc
        place 1GB                    3.00   delivering   wl of oc
        first delivers               3.00   delivered    wl of oc oc
        fund 8.00                   11.00   delivered    wl of oc oc
        place 1GB                    6.50   delivering   wl of oc oc wl
        first delivers               6.50   delivered    wl of oc oc wl oc
    """)
    low = (await stage.webhooks.bodies())[0]["data"]
    assert low == {"mode": "live", "currency": "GHS", "balance": "7.50", "threshold": "10.00"}


async def test_a_funding_is_told_when_it_is_credited_and_when_it_is_not(nigeria: Stage) -> None:
    await nigeria.tell("""
        step                       wallet   funding     told
        an endpoint                  0.00
        ask for 5,000.00             0.00   pending
        the payer pays               0.00   pending
        a notice comes           5,000.00   completed   fc
        a minute passes          5,000.00   completed   fc
        ask for 1,000.00         5,000.00   pending     fc
        the payer's bank declines  5,000.00   pending   fc
        a notice comes           5,000.00   failed      fc ff
    """)
    completed, failed = await nigeria.webhooks.bodies()
    assert completed["data"].items() >= {"status": "completed", "amount": "5000.00", "currency": "NGN"}.items()
    assert failed["data"]["status"] == "failed"


async def test_a_payment_that_comes_after_all_is_told_after_its_failure(nigeria: Stage) -> None:
    await nigeria.tell("""
        step                       wallet   funding     told
        an endpoint                  0.00
        ask for 5,000.00             0.00   pending
        an hour passes               0.00   expired     ff
        the payer pays               0.00   expired     ff
        a notice comes           5,000.00   completed   ff fc
    """)


async def test_a_check_is_told_when_it_has_its_outcome_and_never_whom_it_is_about(nigeria: Stage) -> None:
    await nigeria.tell("""
        step                         wallet   check           told
        fund 1,000.00              1,000.00
        an endpoint                1,000.00
        check Ada                    900.00   asking
        prembly finds the record     900.00   verified        vc
        check Ada                    800.00   verified        vc vc
        check nobody                 700.00   asking          vc vc
        prembly has no record        800.00   not_on_record   vc vc vc
    """)
    bodies = await nigeria.webhooks.bodies()
    assert [(one["data"]["status"], one["data"]["charged"]) for one in bodies] == [
        ("verified", "100.00"),
        ("verified", "100.00"),
        ("not_on_record", "0.00"),
    ]
    allowed = {
        "mode",
        "reference",
        "client_reference",
        "status",
        "kind",
        "card_type",
        "charged",
        "currency",
        "created_at",
    }
    assert all(set(one["data"]) == allowed for one in bodies)


async def test_a_check_whose_process_has_died_is_told_when_it_is_given_up(nigeria: Stage) -> None:
    await nigeria.tell("""
        step                                        wallet   check         told
        fund 1,000.00                             1,000.00
        an endpoint                               1,000.00
        check Ada                                   900.00   asking
        the check's process dies, and is given up  1,000.00   unavailable   vc
    """)
