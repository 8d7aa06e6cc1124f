"""What becomes of play money when a shop goes live, told as tables. How they are played stands in `play_shop.py`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.scenario.play_shop import PlayShop


@pytest.fixture
async def shop(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PlayShop]:
    opened = PlayShop(database_url, tmp_path, monkeypatch)
    yield opened
    await opened.close()


async def test_play_money_buys_no_real_record(shop: PlayShop) -> None:
    await shop.tell("""
        step                           wallet    sandbox     loss  live sales  said
        start, pretending                0.00       0.00     0.00  go on
        the payer pays 1,000.00      1,000.00  -1,000.00     0.00  go on
        buy a record                   900.00  -1,000.00     0.00  go on       somebody
        restart, a key of Prembly      900.00  -1,000.00     0.00  halted
        buy a real record              900.00  -1,000.00     0.00  halted      halted
        buy a record                   900.00  -1,000.00     0.00  halted      halted
        order airtime of 100           900.00  -1,000.00     0.00  halted      halted
        buy a record with a test key   900.00  -1,000.00     0.00  halted      somebody
        ask for 500                    900.00  -1,000.00     0.00  halted      is not offered at the moment
        void all                         0.00       0.00  -100.00  go on       voided
        void all                         0.00       0.00  -100.00  go on       nothing to void
        buy a real record                0.00       0.00  -100.00  go on       InsufficientBalance
        credit 250 by hand             250.00       0.00  -100.00  go on
        buy a real record              150.00       0.00  -100.00  go on       Real, by prembly
    """)


async def test_play_money_survives_no_way_of_going_live(shop: PlayShop) -> None:
    """The last one is of the issue: Paystack's live key with own_network = false."""
    await shop.tell("""
        step                                            wallet    sandbox  live sales  said
        start, a live simulator                           0.00       0.00  go on
        the payer pays 1,000.00                       1,000.00  -1,000.00  go on
        restart, a key of Prembly                     1,000.00  -1,000.00  halted
        restart, a real provider                      1,000.00  -1,000.00  halted
        restart, a live key of Paystack               1,000.00  -1,000.00  halted
        ask for 500                                   1,000.00  -1,000.00  halted      is not offered at the moment
        restart, pretending                           1,000.00  -1,000.00  go on
        the payer pays 500                            1,500.00  -1,500.00  go on
        restart, a live key of Paystack and no network  1,500.00  -1,500.00  halted
        order airtime of 100                          1,500.00  -1,500.00  halted      halted
        void all                                          0.00       0.00  go on       voided
    """)


async def test_real_money_in_the_same_wallet_stays(shop: PlayShop) -> None:
    await shop.tell("""
        step                          wallet    sandbox  live sales  said
        start, pretending               0.00       0.00  go on
        credit 300 by hand            300.00       0.00  go on
        the payer pays 1,000.00     1,300.00  -1,000.00  go on
        restart, a key of Prembly   1,300.00  -1,000.00  halted
        void the funding              300.00       0.00  go on       voided
        void the funding              300.00       0.00  go on       nothing to void
        buy a real record             200.00       0.00  go on       Real, by prembly
    """)


async def test_a_payment_that_comes_after_going_live_is_not_taken(shop: PlayShop) -> None:
    await shop.tell("""
        step                        wallet  sandbox  live sales  said
        start, pretending             0.00     0.00  go on
        ask for 1,000                 0.00     0.00  go on
        restart, a key of Prembly     0.00     0.00  go on
        the payer pays                0.00     0.00  go on       no play money
        void the funding              0.00     0.00  go on       FND is pending: it has brought nothing that could be taken out.
        buy a real record             0.00     0.00  go on       InsufficientBalance
    """)


async def test_an_order_that_play_money_paid_is_not_delivered_by_a_real_provider(shop: PlayShop) -> None:
    """It fails, and its money goes where a void finds it."""
    await shop.tell("""
        step                         wallet  in flight    sandbox     loss  order     live sales  said
        start, pretending              0.00       0.00       0.00     0.00  -         go on
        the payer pays 1,000.00    1,000.00       0.00  -1,000.00     0.00  -         go on
        buy a record                 900.00       0.00  -1,000.00     0.00  -         go on       somebody
        order airtime of 400         500.00     400.00  -1,000.00     0.00  accepted  go on
        restart, a real provider     500.00     400.00  -1,000.00     0.00  accepted  halted
        void all                       0.00     400.00    -400.00  -100.00  accepted  halted      400.00 left
        deliver                      400.00       0.00    -400.00  -100.00  failed    halted
        void all                       0.00       0.00       0.00  -100.00  failed    go on       voided
    """)
    assert shop.vt.delivered == []


async def test_what_an_open_sale_gives_back_later_is_play_money_still(shop: PlayShop) -> None:
    await shop.tell("""
        step                         wallet  in flight    sandbox     loss  order     live sales  said
        start, pretending              0.00       0.00       0.00     0.00  -         go on
        the payer pays 1,000.00    1,000.00       0.00  -1,000.00     0.00  -         go on
        order airtime of 400         600.00     400.00  -1,000.00     0.00  accepted  go on
        restart, a key of Prembly    600.00     400.00  -1,000.00     0.00  accepted  halted
        void all                       0.00     400.00    -400.00     0.00  accepted  halted      400.00 left
        void all                       0.00     400.00    -400.00     0.00  accepted  halted      400.00 left
        a person says failed         400.00       0.00    -400.00     0.00  failed    halted
        void all                       0.00       0.00       0.00     0.00  failed    go on       voided
    """)


async def test_what_an_open_sale_delivers_is_written_off(shop: PlayShop) -> None:
    await shop.tell("""
        step                         wallet  in flight    sandbox     loss  order      live sales  said
        start, pretending              0.00       0.00       0.00     0.00  -         go on
        the payer pays 1,000.00    1,000.00       0.00  -1,000.00     0.00  -         go on
        order airtime of 400         600.00     400.00  -1,000.00     0.00  accepted   go on
        restart, a key of Prembly    600.00     400.00  -1,000.00     0.00  accepted   halted
        void all                       0.00     400.00    -400.00     0.00  accepted   halted      400.00 left
        deliver                        0.00       0.00    -400.00     0.00  delivered  halted
        void all                       0.00       0.00       0.00  -400.00  delivered  go on       voided
    """)
