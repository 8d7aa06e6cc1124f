"""`telvend premium`: rates, and quotes made at the counter."""

from decimal import Decimal

import pytest

from tests.store.test_cli import EMAIL, Shop

AMA, KOFI = "0241234567", "+233241234568"
pytestmark = pytest.mark.usefixtures("data_dir")


@pytest.fixture
def shop(database_url: str) -> Shop:
    opened = Shop(database_url)
    opened.add_reseller()
    opened.execute(
        "insert into subscriber (mode, msisdn, country, currency, tariff_plan, usable_until, reachable_until)"
        " select mode, msisdn, 'GH', 'GHS', 'Basic', now() + '90 days', now() + '180 days'"
        " from unnest(array['live', 'test']) mode, unnest(array['+233241234567', '+233241234568']) msisdn"
    )
    return opened


def test_rates_are_listed_for_people_and_for_programs(shop: Shop) -> None:
    found = shop.data("premium", "rates", "--product", "AYO_SWC", "--currency", "ghs")["rates"]
    assert [rate["type"] for rate in found] == ["AIRTIME", "BILL", "TRANSFER"]
    assert found[2] == {
        "product": "AYO_SWC", "type": "TRANSFER", "currency": "GHS", "percent": "2.50", "floor": 0.5, "cap": 20,
        "loyalty_percent": "0.05", "quote_valid_s": 900, "to_oneself": False, "momo_only": False,
        "message": "Cover for 120 days", "active": True,
    }  # fmt: skip
    table = shop.run("premium", "rates").stdout
    assert "2.50 %" in table
    assert table.count("AYO_SWC") == 15
    assert shop.run("premium", "rates", "--product", "NONE").stdout == "There are no such rates.\n"


def test_a_rate_is_set_and_a_change_keeps_the_rest(shop: Shop) -> None:
    shop.data(
        "premium", "set", "COVER", "GIFT", "UGX", "--percent", "1.5", "--floor", "500", "--cap", "9000", "--valid", "60"
    )
    changed = shop.data("premium", "set", "COVER", "GIFT", "UGX", "--cap", "", "--to-oneself", "--momo-only", "--off")
    assert (changed["percent"], changed["floor"], changed["cap"], changed["quote_valid_s"]) == ("1.50", 500, None, 60)
    assert (changed["to_oneself"], changed["momo_only"], changed["active"]) == (True, True, False)
    said = shop.run("premium", "set", "COVER", "GIFT", "UGX", "--on", "--cap", "800").stdout
    assert said == "COVER GIFT costs 1.50 % of the amount, at least UGX 500, at most UGX 800.\n"
    assert "decimals" in shop.refused("premium", "set", "COVER", "GIFT", "UGX", "--cap", "0.5")
    assert "floor" in shop.refused("premium", "set", "COVER", "GIFT", "UGX", "--cap", "499")
    assert "percent" in shop.refused("premium", "set", "COVER", "NEW", "UGX")


def test_a_quote_says_what_it_costs_and_until_when(shop: Shop) -> None:
    made = shop.data("premium", "quote", EMAIL, "AYO_SWC", "TRANSFER", AMA, KOFI, "100.50")
    assert made["reference"].startswith("PRM-")
    assert {name: made[name] for name in ("sender", "receiver", "amount", "currency", "premium", "mode")} == {
        "sender": "+233241234567", "receiver": KOFI, "amount": Decimal("100.5"), "currency": "GHS",
        "premium": Decimal("2.51"), "mode": "live",
    }  # fmt: skip
    assert made["loyalty"] == {"generated": Decimal("0.05"), "balance": Decimal("0.05")}
    shown = shop.run("premium", "quote", EMAIL, "AYO_SWC", "TRANSFER", AMA, KOFI, "100", "--mode", "test").stdout
    assert "GHS 2.50" in shown
    assert "Cover for 120 days" in shown


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("AYO", "TRANSFER", AMA, KOFI, "1"), "Product"), (("AYO_SWC", "GIFT", AMA, KOFI, "1"), "transactionType"),
     (("AYO_SWC", "TRANSFER", AMA, AMA, "1"), "sender"), (("AYO_SWC", "TRANSFER", "0241230000", KOFI, "1"), "Sender"),
     (("AYO_SWC", "TRANSFER", AMA, "12", "1"), "mobile number"), (("AYO_SWC", "TRANSFER", AMA, KOFI, "0"), "amount")],
)  # fmt: skip
def test_a_quote_that_cannot_be_is_refused_in_a_sentence(shop: Shop, arguments: tuple[str, ...], word: str) -> None:
    assert word in shop.refused("premium", "quote", EMAIL, *arguments)
