"""`telvend subscriber`, `bundle` and `refill-profile` against a real database: one JSON object, sentences on stderr."""

from decimal import Decimal

import pytest

from tests.store.test_cli import Shop, nowhere, one_object, shop

__all__ = ["nowhere", "shop"]

AMA = "+233241234567"
OTHER = "+233241111111"


@pytest.fixture
def ama(shop: Shop) -> Shop:
    """A shop with one subscriber who has nothing."""
    shop.run("subscriber", "add", AMA, "--tariff-plan", "PulsePlus", "--currency", "GHS")
    return shop


def test_a_subscriber_is_added_once_and_found_under_any_spelling(shop: Shop) -> None:
    made = shop.data("subscriber", "add", "0241234567", "--tariff-plan", "PulsePlus", "--currency", "ghs")
    assert (made["msisdn"], made["country"], made["currency"], made["status"]) == (AMA, "GH", "GHS", "Active")
    assert isinstance(made["id"], int)
    again = shop.refused("subscriber", "add", AMA, "--tariff-plan", "Other", "--currency", "GHS")
    assert again == f"The subscriber {AMA} exists already."
    for spelt in ("0241234567", "233241234567", "+233 24-123 4567"):
        assert shop.data("subscriber", "show", spelt)["id"] == made["id"]
    test = shop.data("subscriber", "show", AMA, "--mode", "test")
    assert (test["mode"], test["tariff_plan"], test["id"] == made["id"]) == ("test", "PulsePlus", False)
    assert shop.refused("subscriber", "show", OTHER) == "Subscriber not found."


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("0301234567", "--tariff-plan", "P", "--currency", "GHS"), "msisdn: "),
        ((AMA, "--tariff-plan", "", "--currency", "GHS"), "tariff plan: must be"),
        ((AMA, "--tariff-plan", "P", "--currency", "EUR"), "currency: "),
        ((AMA, "--tariff-plan", "P", "--currency", "GHS", "--usable-days", "200"), "days: "),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(shop: Shop, arguments: tuple[str, ...], sentence: str) -> None:
    assert shop.refused("subscriber", "add", *arguments).startswith(sentence)


def test_what_is_granted_shows_in_the_order_of_use_and_says_why(ama: Shop) -> None:
    ama.data("subscriber", "grant", AMA, "1GB", "--days", "30", "--reference", "g1", "--name", "Monthly")
    ama.data("subscriber", "grant", AMA, "500MB", "--days", "7", "--reference", "g2")
    given = ama.data("subscriber", "grant", AMA, "5.50", "100sms", "--reference", "g3")
    assert given["replayed"] is False
    assert ama.data("subscriber", "grant", AMA, "5.50", "100sms", "--reference", "g3")["replayed"] is True
    assert ama.refused("subscriber", "grant", AMA, "6", "--reference", "g3") == (
        "This reference was already used for a different request."
    )
    assert ama.refused("subscriber", "grant", AMA, "1PB", "--reference", "g4").startswith("amount: must be such as")
    shown = ama.data("subscriber", "show", AMA)["buckets"]
    assert [(b["name"], b["balance"], b["place"], b["why"], b["main"]) for b in shown] == [
        ("Main account", {"value": Decimal("5.50"), "unit": "GHS"}, 1, "the first", True),
        ("500MB", {"value": 500 * 1024**2, "unit": "bytes"}, 1, "the first", False),
        ("Monthly", {"value": 1024**3, "unit": "bytes"}, 2, "ends later", False),
        ("100sms", {"value": 100, "unit": "messages"}, 1, "the first", False),
    ]
    text = ama.run("subscriber", "show", AMA).stdout
    assert "1024.00 MB" in text
    assert "2. ends later" in text


def test_something_is_used_reserved_captured_and_released(ama: Shop) -> None:
    ama.run("subscriber", "grant", AMA, "1GB", "10min", "--days", "30", "--reference", "g1")
    used = ama.data("subscriber", "consume", AMA, "24MB", "--reference", "c1")
    assert [one["amount"] for one in used["taken"]] == [{"value": 24 * 1024**2, "unit": "bytes"}]
    assert ama.data("subscriber", "consume", AMA, "24MB", "--reference", "c1")["replayed"] is True
    held = ama.data("subscriber", "reserve", AMA, "400MB", "--reference", "s1", "--seconds", "60")
    assert held["reservation"]["state"] == "held"
    assert ama.refused("subscriber", "consume", AMA, "700MB", "--reference", "c2").startswith("Not enough data")
    assert ama.refused("subscriber", "capture", AMA, "s1", "5min") == "amount: must be of data, as what was reserved"
    assert ama.data("subscriber", "capture", AMA, "s1", "300MB")["reservation"]["state"] == "captured"
    ama.data("subscriber", "reserve", AMA, "5min", "--reference", "s2")
    assert ama.data("subscriber", "show", AMA)["reservations"][0]["reference"] == "s2"
    assert ama.data("subscriber", "release", AMA, "s2")["reservation"]["state"] == "released"
    assert ama.refused("subscriber", "release", AMA, "s3") == "Reservation not found."
    (data, minutes) = ama.data("subscriber", "show", AMA)["buckets"]
    assert (data["balance"]["value"], minutes["balance"]["value"]) == (700 * 1024**2, 600)
    ama.data("subscriber", "adjust", AMA, str(minutes["id"]), "0min", "--reason", "a mistake")
    page = ama.data("subscriber", "postings", AMA, "--limit", "2")
    assert [(one["what"], one["change"]["value"]) for one in page["postings"]] == [
        ("capture", -300 * 1024**2),
        ("consume", -24 * 1024**2),
    ]
    assert page["next"] == 2
    rest = ama.data("subscriber", "postings", AMA, "--offset", "2", "--limit", "2")
    assert ([one["what"] for one in rest["postings"]], rest["next"]) == (["grant"], None)
    of_bucket = ama.data("subscriber", "postings", AMA, "--bucket", str(minutes["id"]), "--limit", "1")
    assert ([one["what"] for one in of_bucket["postings"]], of_bucket["next"]) == (["adjust"], 2)
    closed = ama.data("subscriber", "postings", AMA, "--closed")
    assert len(closed["postings"]) == 5
    assert ama.data("ledger", "check")["ok"] is True


def test_lines_mobile_money_status_and_faults_are_furnished(ama: Shop) -> None:
    assert ama.data("subscriber", "line", AMA, "030 212-3456")["line"] == "0302123456"
    ama.run("subscriber", "grant", AMA, "2GB", "--line", "0302123456", "--reference", "g1")
    first = ama.data("subscriber", "momo", AMA, "--balance", "184", "--negative", "12.50", "--overdraft-limit", "50")
    assert len(first["x_authorization"]) >= 32
    assert first["momo"]["negative"] == Decimal("12.50")
    second = ama.data("subscriber", "momo", AMA, "--block", "--positive", "1")
    assert "x_authorization" not in second
    assert (second["momo"]["balance"], second["momo"]["blocked"]) == (184, True)
    assert ama.data("subscriber", "momo", AMA, "--new-authorization")["x_authorization"] != first["x_authorization"]
    assert ama.refused("subscriber", "consume", AMA, "4", "--momo", "--reference", "m1") == (
        "The subscriber is blocked for mobile money."
    )
    ama.run("subscriber", "momo", AMA, "--unblock")
    ama.run("subscriber", "consume", AMA, "4", "--momo", "--reference", "m1")
    ama.run("subscriber", "momo", AMA, "--block")
    assert ama.refused("subscriber", "momo", AMA, "--balance", "-1").startswith("balance: ")
    ama.run("subscriber", "fault", AMA, "balance", "slow")
    ama.run("subscriber", "fault", AMA, "momo", "down")
    ama.run("subscriber", "fault", AMA, "momo", "off")
    assert ama.refused("subscriber", "fault", AMA, "plan", "broken") == "how: must be down, slow or off"
    ama.run("subscriber", "set", AMA, "--status", "RICA Barred", "--usable-until", "2027-01-31", "--mode", "live")
    shown = ama.data("subscriber", "show", AMA)
    assert (shown["lines"], shown["faults"], shown["status"]) == (["0302123456"], {"balance": "slow"}, "RICA Barred")
    assert (shown["usable_until"], shown["momo"]["balance"]) == ("2027-01-31T00:00:00Z", 180)
    assert ama.refused("subscriber", "consume", AMA, "1", "--momo", "--reference", "m2") == (
        "The subscriber is RICA Barred."
    )
    assert ama.data("subscriber", "show", AMA, "--mode", "test")["status"] == "Active"
    text = ama.run("subscriber", "show", AMA).stdout
    assert "Mobile money: GHS 180.00, blocked" in text


def test_subscribers_are_listed_in_pages(ama: Shop) -> None:
    ama.run("subscriber", "add", OTHER, "--tariff-plan", "P", "--currency", "NGN", "--status", "Suspended")
    first = ama.data("subscriber", "list", "--limit", "1")
    assert [one["msisdn"] for one in first["subscribers"]] == [AMA]
    rest = ama.data("subscriber", "list", "--after", str(first["next"]))
    assert ([one["msisdn"] for one in rest["subscribers"]], rest["next"]) == ([OTHER], None)
    assert len(ama.data("subscriber", "list", "--status", "Suspended", "--currency", "NGN")["subscribers"]) == 1
    assert "There are no such subscribers." in ama.run("subscriber", "list", "--currency", "ZAR").stdout


def test_bundles_are_set_listed_and_removed(shop: Shop) -> None:
    made = shop.data("bundle", "set", "COMBO-1", "2GB", "100sms", "5.00", "--days", "7", "--name", "Combo")
    assert {part["kind"]: part["amount"]["value"] for part in made["parts"]} == {
        "data": 2 * 1024**3, "sms": 100, "money": 500,
    }  # fmt: skip
    shop.run("bundle", "set", "COMBO-1", "1GB", "--first-use")
    (found,) = shop.data("bundle", "list")["bundles"]
    assert (found["name"], found["validity_days"], found["first_use"], len(found["parts"])) == (
        "COMBO-1",
        None,
        True,
        1,
    )
    assert shop.refused("bundle", "set", "COMBO 1", "1GB").startswith("code: ")
    assert shop.refused("bundle", "set", "C", "1GB", "2GB") == "parts: must name each kind once"
    shop.run("bundle", "remove", "COMBO-1")
    assert shop.refused("bundle", "remove", "COMBO-1") == "Bundle not found."
    assert "None is set" in shop.run("bundle", "list").stdout


def test_refill_profiles_are_set_and_listed(shop: Shop) -> None:
    (fresh,) = shop.data("refill-profile", "list")["profiles"]
    assert (fresh["id"], fresh["main_percent"], fresh["usable_days"]) == ("DB00", 100, 90)
    made = one_object(
        shop.run(
            "refill-profile", "set", "X1", "--description", "Data too", "--main", "87.5", "--usable-days", "30",
            "--bonus", "50:1GB::7", "--bonus", "5::10MB:30", "--json",
        ).stdout
    )  # fmt: skip
    assert made["main_percent"] == Decimal("87.5")
    assert [(b["from_minor"], b["flat"]["value"], b["per_unit"]["value"]) for b in made["bonuses"]] == [
        (5000, 1024**3, 0),
        (500, 0, 10 * 1024**2),
    ]
    assert len(shop.data("refill-profile", "list")["profiles"]) == 2
    assert "10.00 MB a unit" in shop.run("refill-profile", "list").stdout
    for wrong in (
        ("--main", "101"),
        ("--main", "1.234"),
        ("--bonus", "5:::3"),
        ("--bonus", "5:1GB:1sms:3"),
        ("--bonus", "x"),
    ):
        assert shop.refused("refill-profile", "set", "X1", "--description", "x", *wrong)
