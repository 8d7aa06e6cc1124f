"""What the pretended upstream's answers mean, good and bad."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.catalog.kinds import Payload
from telvend.kit.money import GHS, NGN, Money
from telvend.providers.contract import Accepted, Delivered, NotSent, Outcome, Reason, Refused, Unknown
from telvend.providers.simulator.wire import OUTCOME_BY_STATUS, REASON_BY_CODE, Reply, Status, outcome_of

EXAMPLES = Path(__file__).parents[3] / "wire" / "simulator"

MEANING: dict[str, Outcome] = {
    "delivered": Delivered("SIM-7", Money(390, GHS), "Delivered"),
    "accepted": Accepted("SIM-8", None, "Accepted, on its way"),
    "refused": Refused(Reason.BAD_NUMBER, "Refused: bad_number"),
    "closed": NotSent("Not known when it was asked about, and not taken any more"),
}

UNREADABLE = [
    b"",
    b"null",
    b"[]",
    b"DELIVERED",
    b"<html>DELIVERED</html>",
    b'{"status":"DELIVERED"',
    b'{"status":"delivered"}',
    b'{"status":"DELIVERED "}',
    b'{"status":"SHIPPED"}',
    b'{"status":7}',
    b'{"status":null}',
    b'{"text":"DELIVERED"}',
    b'{"status":"REFUSED"}',
    b'{"status":"REFUSED","reason":"MOON_PHASE"}',
    b'{"status":"DELIVERED","cost":"3.9e0","currency":"GHS"}',
    b'{"status":"DELIVERED","cost":"3.90"}',
    b'{"status":"DELIVERED","cost":3.9,"currency":"GHS"}',
    b'\xff\xfe{"status":"DELIVERED"}',
    b'{"status":"DELIVERED\xff"}',
]


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.json")), ids=lambda example: example.stem)
def test_documented_answer_has_its_outcome(example: Path) -> None:
    assert outcome_of(Reply(200, example.read_bytes())) == MEANING[example.stem]


def test_every_documented_status_has_an_example() -> None:
    assert {example.stem for example in EXAMPLES.glob("*.json")} == {status.lower() for status in Status}


def test_a_delivery_carries_secrets_back_as_text_with_its_zeros() -> None:
    outcome = outcome_of(Reply(200, (EXAMPLES / "secrets" / "electricity.json").read_bytes()))
    payload = Payload([{"kind": "credit", "digits": "02632054405982757802", "units": "16.6"}])
    assert outcome == Delivered("SIM-11", Money(99000, NGN), "Delivered", payload)


@pytest.mark.parametrize("secrets", [b"7", b'"x"', b'[{"digits":2632054405982757802}]'])
def test_secrets_that_are_no_texts_are_no_answer(secrets: bytes) -> None:
    assert isinstance(outcome_of(Reply(200, b'{"status":"DELIVERED","secrets":%s}' % secrets)), Unknown)


def test_fields_may_be_missing_or_new() -> None:
    assert outcome_of(Reply(200, b'{"status":"DELIVERED","balance":[1]}')) == Delivered(None, None, "")


@pytest.mark.parametrize(("code", "reason"), list(REASON_BY_CODE.items()))
def test_refusal_has_its_reason(code: str, reason: Reason) -> None:
    assert outcome_of(Reply(200, b'{"status":"REFUSED","reason":"%s"}' % code.encode())) == Refused(reason, "")


@pytest.mark.parametrize("body", UNREADABLE)
def test_answer_that_no_manual_has_is_unknown(body: bytes) -> None:
    assert isinstance(outcome_of(Reply(200, body)), Unknown)


@pytest.mark.parametrize("http_status", [100, 202, 204, 301, 400, 404, 409, 429, 500, 503])
def test_other_http_status_is_unknown_whatever_the_body_says(http_status: int) -> None:
    assert isinstance(outcome_of(Reply(http_status, (EXAMPLES / "delivered.json").read_bytes())), Unknown)


@given(st.binary(max_size=200))
def test_noise_is_unknown(body: bytes) -> None:
    assert isinstance(outcome_of(Reply(200, body)), Unknown)


def test_every_status_is_mapped() -> None:
    assert OUTCOME_BY_STATUS.keys() == set(Status)
