"""What is rendered: units, groups, sums, dates, and what stands where nothing is."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.dialects.contract import Request, Response
from telvend.dialects.madapi import wire
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, UGX, Currency, Money
from telvend.operator.plans.model import PlanPart, Plans, Total
from telvend.operator.premiums.model import Loyalty, Premium, PremiumRequest
from telvend.operator.subscribers.balances.model import Bucket, BucketKind
from tests.unit.dialects.madapi.doubles import DAY, MAIN, MB, MOMO, MONTHLY, NOW, SUBSCRIBER, UNUSED, WEEKEND, refilled

ASKED = Request(
    "GET", "/v2/customers/2348031234567/plans", "", b"", {b"host": b"api.example.net"}, "https", "", b"8842017731", "", "TX-000017"
)  # fmt: skip


def plans(*buckets: Bucket, **changes: Any) -> Plans:
    found = Plans("+2348031234567", NGN, SUBSCRIBER, buckets, None, frozenset(), NOW)
    return replace(found, **changes)


def rendered(answer: Response) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer.body))
    return body


def shown(found: Plans, what: wire.Shown | None = None) -> dict[str, Any]:
    answer = wire.plans_answer(found, what or wire.Shown(), ASKED)
    assert answer.status == 200
    return rendered(answer)


def balances(found: Plans, what: wire.Shown | None = None) -> dict[str, dict[str, Any]]:
    return {entry["balanceType"]: entry for entry in shown(found, what)["data"]["balance"]}


def test_a_subscriber_with_a_main_account_and_bundles() -> None:
    assert shown(plans(MAIN, WEEKEND, MONTHLY, UNUSED)) == {
        "_link": {"self": {"href": "https://api.example.net/v2/customers/2348031234567/plans"}},
        "statusCode": "0000",
        "statusMessage": "Success",
        "transactionId": "TX-000017",
        "sequenceNo": "8842017731",
        "data": {
            "type": "Prepaid",
            "status": "Active",
            "startDate": "2021-03-09T08:00:00Z",
            "endDate": "2027-05-19T23:59:59Z",
            "language": "1",
            "tariffPlan": "PulsePlus",
            "balance": [
                {
                    "balanceType": "MAIN",
                    "category": "AIRTIME",
                    "expiryDate": "2027-02-18T23:59:59Z",
                    "balanceDetail": {
                        "type": "CURRENCY", "activeValue": "1250.50", "activeUnit": "NGN", "unusedValue": "0.00",
                        "unusedUnit": "NGN",
                    },
                    "momoBalanceData": None,
                    "wallets": [
                        {"name": "Main account", "status": "Active", "expiryDate": "2027-02-18T23:59:59Z",
                         "amount": {"type": "CURRENCY", "value": "1250.50", "unit": "NGN"}},
                    ],
                },
                {
                    "balanceType": "DATA",
                    "category": "BUNDLE",
                    "expiryDate": "2026-11-24T09:14:05Z",
                    "balanceDetail": {
                        "type": "DATA", "activeValue": "1792.00", "activeUnit": "MB", "unusedValue": "1024.00",
                        "unusedUnit": "MB",
                    },
                    "momoBalanceData": None,
                    "wallets": [
                        {"name": "Weekend 2GB", "status": "Active", "expiryDate": "2026-11-24T09:14:05Z",
                         "amount": {"type": "DATA", "value": "768.00", "unit": "MB"}},
                        {"name": "Monthly 1GB", "status": "Active", "expiryDate": "2026-12-20T09:14:05Z",
                         "amount": {"type": "DATA", "value": "1024.00", "unit": "MB"}},
                        {"name": "Monthly 1GB", "status": "Unused", "expiryDate": None,
                         "amount": {"type": "DATA", "value": "1024.00", "unit": "MB"}},
                    ],
                },
            ],
        },
    }  # fmt: skip


def test_a_subscriber_without_buckets_has_no_balance_and_that_is_no_error() -> None:
    assert shown(plans())["data"]["balance"] is None


def test_every_kind_has_an_entry_of_its_own_in_one_order() -> None:
    found = balances(
        plans(
            Bucket(9, BucketKind.SMS, "Bonus SMS", 25, starts_at=NOW),
            Bucket(8, BucketKind.MINUTES, "Talk", 150, starts_at=NOW),
            Bucket(7, BucketKind.MONEY, "Bonus airtime", 999, starts_at=NOW),
            WEEKEND,
            MAIN,
        )
    )
    assert [(name, entry["category"], entry["balanceDetail"]["type"], entry["balanceDetail"]["activeValue"],
             entry["balanceDetail"]["activeUnit"]) for name, entry in found.items()] == [
        ("MAIN", "AIRTIME", "CURRENCY", "1250.50", "NGN"),
        ("BONUS", "BONUS", "CURRENCY", "9.99", "NGN"),
        ("DATA", "BUNDLE", "DATA", "768.00", "MB"),
        ("VOICE", "BUNDLE", "MINUTES", "2.50", "MINUTES"),
        ("SMS", "BUNDLE", "SMS", "25", "SMS"),
    ]  # fmt: skip


def test_what_is_reserved_is_not_shown_and_what_is_over_neither() -> None:
    over = Bucket(5, BucketKind.DATA, "Old", MB, starts_at=NOW - 2 * DAY, expires_at=NOW)
    kept = Bucket(6, BucketKind.DATA, "Kept", 10 * MB, reserved=4 * MB, starts_at=NOW)
    entry = balances(plans(over, kept))["DATA"]
    assert [wallet["amount"]["value"] for wallet in entry["wallets"]] == ["6.00"]
    assert entry["balanceDetail"]["activeValue"] == "6.00"
    assert entry["expiryDate"] is None


def test_the_soonest_expiry_is_of_an_active_wallet_with_something_left() -> None:
    empty = Bucket(5, BucketKind.DATA, "All reserved", MB, reserved=MB, starts_at=NOW, expires_at=NOW + DAY / 2)
    later = Bucket(6, BucketKind.DATA, "Begins later", MB, starts_at=NOW + DAY / 4, expires_at=NOW + DAY / 3)
    entry = balances(plans(empty, later, MONTHLY, WEEKEND))["DATA"]
    assert entry["expiryDate"] == "2026-11-24T09:14:05Z"
    assert [wallet["status"] for wallet in entry["wallets"]] == ["Active", "Unused", "Active", "Active"]


def test_usage_type_leaves_what_is_active_or_what_is_not() -> None:
    found = plans(MAIN, WEEKEND, UNUSED)
    assert balances(found, wire.Shown(unused=False))["DATA"]["balanceDetail"] | {"type": ""} == {
        "type": "", "activeValue": "768.00", "activeUnit": "MB", "unusedValue": "0.00", "unusedUnit": "MB",
    }  # fmt: skip
    only_unused = balances(found, wire.Shown(active=False))
    assert only_unused.keys() == {"DATA"}
    assert only_unused["DATA"]["balanceDetail"]["activeValue"] == "0.00"
    assert only_unused["DATA"]["expiryDate"] is None
    assert shown(plans(MAIN), wire.Shown(active=False))["data"]["balance"] is None


def test_sums_are_of_all_buckets_where_only_some_are_listed() -> None:
    totals = {(BucketKind.DATA, False): Total(active=5 * MB, unused=2 * MB, expires_at=NOW + DAY, buckets=9)}
    entry = balances(plans(WEEKEND, totals=totals))["DATA"]
    assert (entry["balanceDetail"]["activeValue"], entry["balanceDetail"]["unusedValue"]) == ("5.00", "2.00")
    assert entry["expiryDate"] == "2026-11-23T09:14:05Z"
    assert (
        balances(plans(WEEKEND, totals=totals), wire.Shown(unused=False))["DATA"]["balanceDetail"]["unusedValue"]
        == "0.00"
    )


@pytest.mark.parametrize(
    ("kind", "amount", "currency", "value"),
    [
        (BucketKind.DATA, 1024**3, NGN, "1024.00"), (BucketKind.DATA, 1, NGN, "0.00"), (BucketKind.DATA, MB - 1, NGN, "0.99"),
        (BucketKind.MINUTES, 59, NGN, "0.98"), (BucketKind.MINUTES, 3600, NGN, "60.00"), (BucketKind.SMS, 7, NGN, "7"),
        (BucketKind.MONEY, 5, NGN, "0.05"), (BucketKind.MONEY, 1500, UGX, "1500.00"), (BucketKind.MONEY, 10**15, NGN, "10000000000000.00"),
    ],
)  # fmt: skip
def test_amounts_as_text(kind: BucketKind, amount: int, currency: Currency, value: str) -> None:
    assert wire.value_of(kind, amount, currency) == value


@given(st.sampled_from([BucketKind.DATA, BucketKind.MINUTES, BucketKind.MONEY]), st.integers(0, 10**15))
def test_no_amount_shows_more_than_there_is(kind: BucketKind, amount: int) -> None:
    per_unit = {BucketKind.DATA: MB, BucketKind.MINUTES: 60, BucketKind.MONEY: 100}[kind]
    whole, _, decimals = wire.value_of(kind, amount, NGN).partition(".")
    assert len(decimals) == 2
    hundredths = int(whole + decimals)
    assert hundredths * per_unit <= amount * 100 < (hundredths + 1) * per_unit


# Parts that cannot be read


def test_a_part_that_is_missing_is_null_and_named() -> None:
    answer = wire.plans_answer(plans(MAIN, subscriber=None, missing=frozenset({PlanPart.PLAN})), wire.Shown(), ASKED)
    body = rendered(answer)
    assert (answer.status, body["statusCode"]) == (207, "0000")
    assert body["supportMessage"] == "Could not be read right now: plan."
    data = body["data"]
    assert [data[name] for name in ("type", "status", "startDate", "endDate", "language", "tariffPlan")] == [None] * 6
    assert data["balance"][0]["balanceDetail"]["activeValue"] == "1250.50"


def test_missing_balances_are_null_beside_the_plan() -> None:
    found = replace(plans(), buckets=None, missing=frozenset({PlanPart.BALANCE, PlanPart.MOMO}))
    answer = wire.plans_answer(found, wire.Shown(), ASKED)
    body = rendered(answer)
    assert answer.status == 207
    assert (body["data"]["balance"], body["data"]["tariffPlan"]) == (None, "PulsePlus")
    assert body["supportMessage"] == "Could not be read right now: balance, momoBalanceData."


# Mobile money


def test_mobile_money_is_one_entry_with_a_block_of_its_own() -> None:
    found = balances(plans(MAIN, momo=MOMO), wire.Shown(reservations=True))

    def naira(value: str) -> dict[str, str]:
        return {"type": "CURRENCY", "value": value, "unit": "NGN"}

    assert found["MOMO"] == {
        "balanceType": "MOMO",
        "category": "WALLET",
        "expiryDate": None,
        "balanceDetail": {
            "type": "CURRENCY", "activeValue": "18400.00", "activeUnit": "NGN", "unusedValue": "0.00", "unusedUnit": "NGN",
        },
        "momoBalanceData": {
            "balance": naira("18400.00"),
            "positiveReservations": naira("500.00"),
            "negativeReservations": naira("1200.00"),
            "loyaltyInformation": {
                "generatedAmount": naira("12.00"), "consumedAmount": naira("0.00"), "newBalance": naira("87.00"),
            },
            "overdraft": {
                "balance": naira("0.00"), "limit": naira("5000.00"), "accessFee": naira("25.00"), "interest": naira("0.00"),
            },
        },
        "wallets": [],
    }  # fmt: skip


def test_reservations_are_null_unless_asked_for_and_the_status_compares() -> None:
    data = balances(plans(momo=MOMO))["MOMO"]["momoBalanceData"]
    assert (data["positiveReservations"], data["negativeReservations"]) == (None, None)
    assert "status" not in data
    for needed, less in ((1840000, False), (1840001, True), (0, False)):
        data = balances(plans(momo=MOMO), wire.Shown(needed_minor=needed))["MOMO"]["momoBalanceData"]
        assert data["status"] is less


# Refills and premiums


def test_a_refill_shows_whole_units() -> None:
    answer = wire.refill_answer(refilled(10000), ASKED)
    assert (answer.status, answer.headers) == (200, ())
    assert rendered(answer) == {
        "statusCode": "0000",
        "statusMessage": "Success",
        "transactionId": "TX-000017",
        "sequenceNo": "8842017731",
        "data": {"amount": "100", "currencyCode": "NGN"},
        "_link": {"self": {"href": "https://api.example.net/v2/customers/2348031234567/plans"}},
    }
    assert rendered(wire.refill_answer(refilled(450), ASKED))["data"]["amount"] == "4.50"
    assert rendered(wire.refill_answer(refilled(1500, currency=UGX), ASKED))["data"]["amount"] == "1500"


def test_a_repeat_says_so_and_days_that_did_not_fit_are_told() -> None:
    answer = wire.refill_answer(refilled(10000, capped=True, replayed=True), ASKED)
    assert answer.headers == ((b"idempotent-replayed", b"true"),)
    assert "maximum" in rendered(answer)["supportMessage"]


def premium(loyalty: Loyalty | None, *, replayed: bool = False) -> Premium:
    request = PremiumRequest(
        UUID(int=1), Mode.LIVE, "TX-000044", "AYO_SWC", "TRANSFER", "+2348031234567", "+2348031234568", Money(1000000, NGN)
    )  # fmt: skip
    return Premium("PRM-1-abcdef", request, Money(25000, NGN), loyalty, "Cover for 120 days", NOW + DAY, replayed)


def test_a_premium_has_link_and_not_the_other_spelling() -> None:
    answer = wire.premium_answer(premium(Loyalty(Money(500, NGN), Money(0, NGN), Money(9200, NGN))), ASKED)
    assert rendered(answer) == {
        "originReferenceId": "PRM-1-abcdef",
        "statusCode": "0000",
        "data": {
            "message": "Cover for 120 days",
            "premium": {"type": "CURRENCY", "value": "250.00", "unit": "NGN"},
            "loyaltyInformation": {
                "generatedAmount": {"type": "CURRENCY", "value": "5.00", "unit": "NGN"},
                "consumedAmount": {"type": "CURRENCY", "value": "0.00", "unit": "NGN"},
                "newBalance": {"type": "CURRENCY", "value": "92.00", "unit": "NGN"},
            },
        },
        "link": {"self": {"href": "https://api.example.net/v2/customers/2348031234567/plans"}},
        "transactionId": "TX-000017",
        "sequenceNo": "8842017731",
    }


def test_without_loyalty_a_premium_is_207_and_leaves_it_out() -> None:
    answer = wire.premium_answer(premium(None, replayed=True), ASKED)
    body = rendered(answer)
    assert (answer.status, answer.headers) == (207, ((b"idempotent-replayed", b"true"),))
    assert body["data"].keys() == {"message", "premium"}
    assert body["supportMessage"] == "Could not be read right now: loyaltyInformation."


def test_an_address_in_a_link_is_one() -> None:
    odd = msgspec.structs.replace(ASKED, path="/v2/customers/+234 803/plans/é")
    assert wire.links(odd).own.href == "https://api.example.net/v2/customers/+234%20803/plans/%C3%A9"
    assert wire.links(msgspec.structs.replace(ASKED, public_url="https://x.y")).own.href.startswith("https://x.y/v2/")
