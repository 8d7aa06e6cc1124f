"""What Paystack says, and what we make of it; the signature by published vectors."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from telvend.gateways.contract import (
    Beginning,
    Declined,
    Forged,
    Method,
    Notice,
    NotStarted,
    Paid,
    PaymentNotFound,
    PaymentUnknown,
    Pending,
    Start,
    Started,
    Word,
)
from telvend.gateways.paystack import wire
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret

EXAMPLES = Path(__file__).parents[3] / "wire" / "paystack"
REFERENCE = "FND-7-7kq2xd"
OWNER = "2eb3c527-f5fe-43fb-a099-ba324418e3d8"
KEY = Secret("sk_test_0123456789abcdef")


def example(name: str) -> tuple[int, bytes]:
    read = json.loads((EXAMPLES / f"{name}.json").read_text())
    return read["status"], json.dumps(read["body"]).encode()


def body_of(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())["body"]
    return body


def test_every_example_names_its_source() -> None:
    for path in EXAMPLES.glob("*.json"):
        assert json.loads(path.read_text())["source"], path.name


# Initialize ----------------------------------------------------------------------------------------------------------------


def test_initialize_is_asked_in_minor_units_and_binds_the_owner() -> None:
    form = wire.form_of(
        Start(
            REFERENCE,
            OWNER,
            "ama@example.com",
            Money(500000, NGN),
            Method.USSD,
            False,
            "https://s",
            "https://s/back",
            60,
        )
    )
    assert form == {
        "email": "ama@example.com",
        "amount": 500000,
        "currency": "NGN",
        "reference": REFERENCE,
        "callback_url": "https://s/back",
        "channels": ["ussd"],
        "metadata": f'{{"owner":"{OWNER}"}}',
    }


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("initialize", Started("https://checkout.paystack.com/3ni8kdavz62431k", "3ni8kdavz62431k")),
        ("initialize-duplicate", PaymentUnknown("HTTP 400: Duplicate Transaction Reference")),
        ("initialize-refused", NotStarted("HTTP 403: Currency not supported by merchant")),
        ("unauthorized", NotStarted("HTTP 401: Invalid key")),
    ],
)
def test_each_answer_to_initialize_has_its_meaning(name: str, meaning: Beginning) -> None:
    assert wire.beginning_of(REFERENCE, *example(name)) == meaning


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b'{"status": true, "message": "", "data": null}'),
        (200, b'{"status": false, "message": "try again"}'),
        (408, b'{"status": false, "message": "timeout"}'),
        (500, b'{"status": false, "message": "oops"}'),
        (
            200,
            b'{"status": true, "data": {"authorization_url": "https://x", "access_code": "a", "reference": "other"}}',
        ),
        (
            200,
            b'{"status": true, "data": {"authorization_url": "javascript:x", "access_code": "a", "reference": "FND-7-7kq2xd"}}',
        ),
    ],
)
def test_an_answer_that_does_not_say_leaves_it_unknown(status: int, body: bytes) -> None:
    assert isinstance(wire.beginning_of(REFERENCE, status, body), PaymentUnknown)


# Verify --------------------------------------------------------------------------------------------------------------------

PAID = Paid(500000, "NGN", test=False, owner=OWNER, gateway_reference="4099260516", channel="card", bank="TEST BANK")


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("verify-success", PAID),
        (
            "verify-success-bank-transfer",
            Paid(500000, "NGN", False, OWNER, "4099260516", "bank_transfer", "Guaranty Trust Bank"),
        ),
        ("verify-test-money", Paid(500000, "NGN", True, OWNER, "4099260516", "card", "TEST BANK")),
        ("verify-abandoned", Pending("abandoned: The transaction was not completed")),
        ("verify-failed", Declined("failed: Declined")),
        ("verify-reversed", Declined("reversed: Successful")),
        ("verify-not-found", PaymentNotFound()),
        ("unauthorized", PaymentUnknown("HTTP 401: Invalid key")),
    ],
)
def test_each_answer_to_verify_has_its_meaning(name: str, meaning: Word) -> None:
    assert wire.word_of(REFERENCE, *example(name)) == meaning


def test_every_documented_status_is_mapped() -> None:
    assert set(wire.WORD_BY_STATUS) == set(wire.PaystackStatus)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "settled"},
        {"reference": "FND-8-aaaaaa"},
        {"domain": "staging"},
        {"amount": "500000"},
        {"amount": 5000.5},
        {"amount": None},
        {"amount": True},
        {"currency": None},
        {"id": None},
    ],
    ids=str,
)
def test_a_success_that_is_not_as_documented_is_unknown(change: dict[str, Any]) -> None:
    body = body_of("verify-success")
    body["data"] |= change
    assert isinstance(wire.word_of(REFERENCE, 200, json.dumps(body).encode()), PaymentUnknown)


@pytest.mark.parametrize("field", ["status", "reference", "domain", "amount", "currency", "id"])
def test_a_success_that_leaves_out_what_is_compared_is_unknown(field: str) -> None:
    body = body_of("verify-success")
    del body["data"][field]
    assert isinstance(wire.word_of(REFERENCE, 200, json.dumps(body).encode()), PaymentUnknown)


@pytest.mark.parametrize("metadata", ["", 0, None, "not json", [], {"owner": 7}, '{"owner": null}'], ids=repr)
def test_metadata_without_an_owner_names_nobody(metadata: Any) -> None:
    body = body_of("verify-success")
    body["data"]["metadata"] = metadata
    word = wire.word_of(REFERENCE, 200, json.dumps(body).encode())
    assert isinstance(word, Paid)
    assert word.owner is None


@pytest.mark.parametrize("status", [200, 400, 404, 500, 502])
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"\xff\xfe", b"<html>", b'{"status":', b'{"status": true}', b"{}"]
)
def test_anything_else_is_unknown_and_never_raises(status: int, body: bytes) -> None:
    assert isinstance(wire.word_of(REFERENCE, status, body), PaymentUnknown)
    assert isinstance(wire.beginning_of(REFERENCE, status, body), PaymentUnknown)


# Notices -------------------------------------------------------------------------------------------------------------------


def test_the_signature_is_hmac_sha512_of_the_raw_body() -> None:
    # RFC 4231, test case 2.
    assert wire.signature_of(Secret("Jefe"), b"what do ya want for nothing?") == (
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
        "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
    )


def signed(body: bytes, key: Secret = KEY) -> dict[str, str]:
    return {wire.SIGNATURE_HEADER: wire.signature_of(key, body)}


@pytest.mark.parametrize(
    ("name", "reference", "event", "concerned"),
    [
        ("notice-charge-success", REFERENCE, "charge.success", False),
        ("notice-charge-dispute", REFERENCE, "charge.dispute.create", True),
        ("notice-refund-processed", REFERENCE, "refund.processed", True),
        ("notice-transfer", None, "transfer.success", False),
        ("notice-dedicated-account", "000017260912T1042-x9", "charge.success", False),
    ],
)
def test_each_notice_names_what_to_ask_about(name: str, reference: str | None, event: str, concerned: bool) -> None:
    _, body = example(name)
    told = wire.webhook_event_of(KEY, signed(body), body)
    assert isinstance(told, Notice)
    assert (told.reference, told.event, told.concern is not None) == (reference, event, concerned)


def test_nothing_of_the_payer_is_kept_of_a_notice() -> None:
    _, body = example("notice-charge-success")
    told = wire.webhook_event_of(KEY, signed(body), body)
    assert isinstance(told, Notice)
    kept = msgspec.json.encode(told.kept).decode()
    for private in ("ama@example.com", "AUTH_", "CUS_", "203.0.113.7", "4081"):
        assert private not in kept
    assert told.kept["amount"] == 500000


def test_the_account_that_money_came_to_is_kept_so_that_a_person_knows_whose_it_is() -> None:
    _, body = example("notice-dedicated-account")
    told = wire.webhook_event_of(KEY, signed(body), body)
    assert isinstance(told, Notice)
    kept = told.kept
    assert (kept["channel"], kept["amount"], kept["currency"], kept["reference"], kept["receiver_account_number"]) == (
        "dedicated_nuban", 500000, "NGN", "000017260912T1042-x9", "9930000737",
    )  # fmt: skip
    assert kept["receiver_bank"] == "Test Bank"
    for private in ("ama@example.com", "AUTH_", "CUS_", "203.0.113.7"):
        assert private not in msgspec.json.encode(kept).decode()


def test_money_without_any_reference_needs_a_person() -> None:
    told_of = body_of("notice-dedicated-account")
    del told_of["data"]["reference"]
    body = json.dumps(told_of).encode()
    told = wire.webhook_event_of(KEY, signed(body), body)
    assert isinstance(told, Notice)
    assert (told.reference, told.concern is not None) == (None, True)


def test_a_notice_without_the_right_signature_is_forged() -> None:
    _, body = example("notice-charge-success")
    right = signed(body)[wire.SIGNATURE_HEADER]
    for given in (
        "",
        " ",
        right[:-1],
        "0" * 128,
        right + "0",
        "ü" * 128,
        signed(body, Secret("sk_test_other"))[wire.SIGNATURE_HEADER],
    ):
        assert isinstance(wire.webhook_event_of(KEY, {wire.SIGNATURE_HEADER: given}, body), Forged)
    assert isinstance(wire.webhook_event_of(KEY, {}, body), Forged)
    assert isinstance(wire.webhook_event_of(KEY, signed(body), body + b" "), Forged)
    assert isinstance(wire.webhook_event_of(KEY, signed(body), body.replace(b"500000", b"900000")), Forged)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'"x"', b"\xff", b'{"event": 7, "data": []}', b'{"data": {"reference": 1}}']
)
def test_a_signed_notice_of_another_shape_names_nothing_and_never_raises(body: bytes) -> None:
    told = wire.webhook_event_of(KEY, signed(body), body)
    assert isinstance(told, Notice)
    assert told.reference is None
