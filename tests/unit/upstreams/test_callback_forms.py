"""What a callback says and whether it is the vendor's: secrets, signatures with their vectors, references in bodies."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.kit.secret import Secret
from telvend.providers.dtone import wire as dtone
from telvend.providers.madapi import wire as madapi
from telvend.providers.reloadly import wire as reloadly
from telvend.providers.upstream import CallbackForm, CallbackSignature, callback_path
from telvend.providers.vtpass.wire import CALLBACK as VTPASS
from telvend.upstreams.callbacks.model import is_from, is_signed, reference_in

RELOADLY = CallbackSignature("x-reloadly-signature", "x-reloadly-request-timestamp")
"""Hex HMAC-SHA256 of the raw body, a colon and the time."""

WIRE = Path(__file__).parents[2] / "wire"
SECRET = Secret("whsec-0123456789abcdef")
BODY = b'{"type":"airtime_transaction.status","data":{"transactionId":4602843,"status":"SUCCESSFUL"}}'
SENT_AT = datetime(2026, 11, 28, 14, 3, 5, tzinfo=UTC)
STAMP = "1795874585"
# printf "%s:%s" BODY STAMP | openssl dgst -sha256 -hmac SECRET
VECTOR = "893baf77fc57d673cdbe63aacf019d91ed89dd32feda9d2b7f8efe05e640c6b5"


def signed(body: bytes = BODY, stamp: str = STAMP, secret: Secret = SECRET) -> dict[str, str]:
    made = hmac.new(secret.reveal().encode(), body + b":" + stamp.encode(), hashlib.sha256).hexdigest()
    return {RELOADLY.header: made, RELOADLY.timestamp_header: stamp}


def accepted(headers: dict[str, str], body: bytes = BODY, now: datetime = SENT_AT) -> bool:
    return is_signed(RELOADLY, SECRET, headers, body, now)


def test_the_vector_of_a_signature() -> None:
    headers = {RELOADLY.header: VECTOR, RELOADLY.timestamp_header: STAMP}
    assert signed() == headers
    assert accepted(headers)
    assert accepted(headers | {RELOADLY.header: VECTOR.upper()})


@pytest.mark.parametrize(
    "stamp", ["1795874585", "1795874585123", "2026-11-28T14:03:05Z", "2026-11-28T15:03:05+01:00", "1795874585.5"]
)
def test_times_as_vendors_write_them(stamp: str) -> None:
    assert accepted(signed(stamp=stamp))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {RELOADLY.header: VECTOR},
        {RELOADLY.timestamp_header: STAMP},
        signed(secret=Secret("another")),
        signed() | {RELOADLY.timestamp_header: "1795874586"},
        signed() | {RELOADLY.header: VECTOR[:-1]},
        signed() | {RELOADLY.header: "ÿ" * 64},
        signed(stamp=""),
        signed(stamp="soon"),
        signed(stamp="9" * 400),
        signed(stamp="2026-11-28T14:03:05"),
        {
            RELOADLY.header: hmac.new(SECRET.reveal().encode(), BODY, hashlib.sha256).hexdigest(),
            RELOADLY.timestamp_header: STAMP,
        },
    ],
    ids=lambda headers: repr(headers)[:60],
)
def test_what_is_forged_or_without_a_time_is_refused(headers: dict[str, str]) -> None:
    assert not accepted(headers)


def test_a_body_that_was_changed_and_a_time_outside_the_window_are_refused() -> None:
    assert not accepted(signed(), BODY + b" ")
    for seconds, good in ((-301, False), (-299, True), (299, True), (301, False)):
        assert accepted(signed(), now=SENT_AT + timedelta(seconds=seconds)) is good


def test_a_secret_of_an_address_is_the_whole_of_it() -> None:
    assert is_from(SECRET.reveal(), SECRET)
    for given_ in ("", SECRET.reveal()[:-1], SECRET.reveal() + "x", SECRET.reveal().upper()):
        assert not is_from(given_, SECRET)
    assert callback_path("vt", "s") == "/providers/vt/callback/s"
    assert callback_path("re", None) == "/providers/re/callback"


@pytest.mark.parametrize(
    ("form", "file"),
    [
        (VTPASS, "vtpass/transaction-update.json"),
        (reloadly.CALLBACK, "reloadly/airtime-transaction-status.json"),
        (dtone.CALLBACK, "dtone/callback.json"),
        (madapi.CALLBACK, "madapi-upstream/callback.json"),
    ],
)
def test_the_reference_of_each_example_is_found(form: CallbackForm, file: str) -> None:
    examples = json.loads((WIRE / file).read_text("utf-8"))
    assert len(examples) > 1
    for example in examples:
        assert reference_in(form, json.dumps(example["body"]).encode()) == example["reference"], example["source"]


def test_who_signs_and_what_each_wants_to_read() -> None:
    assert VTPASS.acknowledgement == {"response": "success"}
    assert (VTPASS.signature, dtone.CALLBACK.signature, madapi.CALLBACK.signature) == (None, None, None)
    assert reloadly.CALLBACK.signature == RELOADLY


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{", b"\xff", b'{"a":' + b"[" * 5000, b"null"])
def test_a_body_that_is_no_object_is_about_nothing(body: bytes) -> None:
    assert reference_in(VTPASS, body) is None


def test_a_path_may_go_through_an_array_and_a_number_is_a_reference() -> None:
    form = CallbackForm((("items", 0, "id"), ("id",)), {})
    assert reference_in(form, b'{"items": [{"id": 17}]}') == "17"
    for body in (
        b'{"items": [], "id": "x"}',
        b'{"items": {"0": 1}, "id": "x"}',
        b'{"items": [{"id": true}], "id": "x"}',
    ):
        assert reference_in(form, body) == "x"
    assert reference_in(form, json.dumps({"id": "x" * 500}).encode()) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["data", "requestId", "x"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(JSON | st.binary(max_size=30))
def test_any_body_is_about_a_plain_reference_or_none(body: Any) -> None:
    found = reference_in(VTPASS, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert found is None or (found.isascii() and len(found) <= 128)
