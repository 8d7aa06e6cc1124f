"""What the connectors make of the examples in tests/wire/, and of anything at all."""

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.authorities.contract import (
    ANSWERS,
    Found,
    Gender,
    NotOnRecord,
    Record,
    Unavailable,
    VerificationKind,
    VerificationUnknown,
)
from telvend.authorities.dojah import wire as dojah
from telvend.authorities.over_http import AuthorityReply
from telvend.authorities.prembly import wire as prembly
from tests.contract.authority_rigs import EXAMPLES, example

WIRES = {"prembly": prembly, "dojah": dojah}
PIXEL = example("prembly", "nin-found")["body"]["data"]["photo"]


def answer_to(vendor: str, name: str) -> object:
    found = example(vendor, name)
    text = found["text"] if "text" in found else json.dumps(found["body"])
    wire = WIRES[vendor]
    reply = AuthorityReply(found["status"], text.encode(), found.get("headers", {}).get("retry-after", ""))
    return wire.answer_of(VerificationKind(found["kind"]), found["number"], reply)


def record_in(vendor: str, name: str) -> Record:
    answer = answer_to(vendor, name)
    assert isinstance(answer, Found)
    return answer.record


@pytest.mark.parametrize("vendor", WIRES)
def test_every_example_names_its_source(vendor: str) -> None:
    names = [path.stem for path in Path(EXAMPLES / vendor).glob("*.json")]
    assert len(names) > 10
    for name in names:
        assert example(vendor, name)["source"]
        assert isinstance(answer_to(vendor, name), ANSWERS)


@pytest.mark.parametrize("name", ["nin-found", "nin-found-older"])
def test_premblys_nin_is_read_from_its_misspelt_fields(name: str) -> None:
    record = record_in("prembly", name)
    assert (record.first_name, record.middle_name, record.last_name) == ("Ngozi", "Ada", "O'Neil-Eze")
    assert (record.date_of_birth, record.gender, record.mobile) == (date(1989, 9, 24), Gender.FEMALE, "08012345678")
    assert (record.address, record.town, record.lga, record.state) == ("12 Unity Close", "Ikeja", "Ikeja", "Lagos")
    assert record.photo == (PIXEL if name == "nin-found" else "")
    assert record.signature == ""


def test_premblys_bvn_is_read_from_its_camel_case() -> None:
    record = record_in("prembly", "bvn-found")
    assert (record.first_name, record.last_name, record.date_of_birth) == ("Test", "Test", date(2000, 1, 1))
    assert (record.mobile, record.email, record.photo) == ("08082838283", "test@example.com", PIXEL)
    assert record.issue_date == date(2005, 12, 21)


def test_dojahs_records_are_read_in_both_spellings() -> None:
    for name in ("nin-found", "nin-found-older"):
        record = record_in("dojah", name)
        assert (record.first_name, record.middle_name, record.last_name) == ("John", "Chinwe", "Doe")
        assert (record.date_of_birth, record.gender, record.photo) == (date(1993, 5, 6), Gender.MALE, PIXEL)
    bvn = record_in("dojah", "bvn-found")
    assert (bvn.date_of_birth, bvn.address, bvn.state) == (date(1907, 1, 1), "52 Ijaye Road", "Lagos")
    assert bvn.issue_date == date(2018, 3, 15)


def test_premblys_status_is_not_believed_beside_its_code() -> None:
    assert example("prembly", "nin-not-found")["body"]["status"] is True
    assert isinstance(answer_to("prembly", "nin-not-found"), NotOnRecord)


def test_a_wrong_address_is_not_a_person_who_does_not_exist() -> None:
    assert isinstance(answer_to("dojah", "nin-wrong-address"), VerificationUnknown)


def test_retry_after_is_passed_on() -> None:
    answer = answer_to("prembly", "nin-server-error")
    assert isinstance(answer, Unavailable)
    assert answer.retry_after_s == 120


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "response_code",
                    "data",
                    "nin_data",
                    "bvn_data",
                    "entity",
                    "error",
                    "nin",
                    "bvn",
                    "firstname",
                    "first_name",
                ]
            )
            | st.text(max_size=8),
            inner | st.sampled_from(["00", "01", "02", "03", "07", "not found", "01-Jan-2000"]),
            max_size=6,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("vendor", WIRES)
@given(
    body=json_values,
    status=st.sampled_from([200, 201, 400, 401, 402, 404, 424, 429, 500]),
    kind=st.sampled_from(VerificationKind),
)
def test_anything_at_all_has_an_answer(vendor: str, body: object, status: int, kind: VerificationKind) -> None:
    wire = WIRES[vendor]
    answer = wire.answer_of(kind, "12345678901", AuthorityReply(status, json.dumps(body).encode()))
    assert isinstance(answer, ANSWERS)
    if isinstance(answer, Found):
        assert answer.record.first_name or answer.record.last_name


@pytest.mark.parametrize("vendor", WIRES)
@given(body=st.binary(max_size=60))
def test_any_bytes_have_an_answer(vendor: str, body: bytes) -> None:
    wire = WIRES[vendor]
    assert isinstance(wire.answer_of(VerificationKind.NIN, "12345678901", AuthorityReply(200, body, "soon")), ANSWERS)
