"""Every recorded answer of every vendor has the outcome that stands beside it, and every documented word has an answer."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.kit.money import Money
from telvend.providers.contract import Delivery, NotSent, Outcome, Refused, Unknown
from telvend.providers.dtone import wire as dtone
from telvend.providers.madapi import wire as madapi
from telvend.providers.netpluse import wire as netpluse
from telvend.providers.networkdatasub import wire as networkdatasub
from telvend.providers.over_http import ProviderReply
from telvend.providers.reloadly import wire as reloadly
from telvend.providers.upstream import BalanceUnavailable
from telvend.providers.vtpass import wire as vtpass
from tests.contract.provider_rigs import delivery_in_nigeria, delivery_to
from tests.vendor_doubles import JSON, reply

WIRE: Final = Path(__file__).parents[3] / "wire"
REQUEST_ID: Final = "202601010100a1b2c3d4e5f6a7b8c9d0"

GHANAIAN: Final = delivery_to("+233241234567", "AT-7H2K-1")
NIGERIAN: Final = delivery_in_nigeria("+2348031234567", "AT-7H2K-1")
AIRTIME: Final = delivery_in_nigeria("+2348031234567", REQUEST_ID, "airtime")
SUBSCRIPTION: Final = delivery_in_nigeria("+2348031234567", "4711-7kq2xd-1")
REFILL: Final = replace(AIRTIME, reference="4711-7kq2xd-1")
WORLD: Final = replace(AIRTIME, reference="AT-7H2K-2")


@dataclass(frozen=True)
class Call:
    """A call whose answers are recorded, and what reads them."""

    file: str
    delivery: Delivery
    read: Callable[[Delivery, ProviderReply], Outcome | dtone.Created]


CALLS: Final = {
    "netpluse purchase": Call("netpluse-upstream/purchase", GHANAIAN, lambda _, answer: netpluse.outcome_of(answer)),
    "netpluse order-status": Call("netpluse-upstream/order-status", GHANAIAN, netpluse.requery_outcome_of),
    "networkdatasub purchase": Call("networkdatasub-upstream/purchase", NIGERIAN, networkdatasub.outcome_of),
    "networkdatasub transaction": Call(
        "networkdatasub-upstream/transaction",
        NIGERIAN,
        lambda delivery, answer: networkdatasub.requery_outcome_of(delivery, answer, delivery.reference),
    ),
    "vtpass pay": Call("vtpass/pay", AIRTIME, vtpass.outcome_of),
    "vtpass requery": Call("vtpass/requery", AIRTIME, vtpass.requery_outcome_of),
    "reloadly topups": Call("reloadly/topups", WORLD, reloadly.outcome_of),
    "reloadly status": Call(
        "reloadly/status", replace(WORLD, provider_reference="4602843"), reloadly.requery_outcome_of
    ),
    "reloadly report": Call("reloadly/report", WORLD, reloadly.requery_outcome_of),
    "dtone create": Call("dtone/create", WORLD, dtone.created_of),
    "dtone confirm": Call("dtone/confirm", WORLD, dtone.confirmed_of),
    "dtone list": Call("dtone/list", WORLD, dtone.requery_outcome_of),
    "dtone transaction": Call(
        "dtone/transaction", replace(WORLD, provider_reference="2245670"), dtone.requery_outcome_of
    ),
    "dtone cancel": Call("dtone/cancel", WORLD, dtone.cancelled_of),
    "madapi refill": Call("madapi-upstream/refill", REFILL, madapi.refilled),
    "madapi refill status": Call("madapi-upstream/refill-status", REFILL, madapi.requery_outcome_of_refill),
    "madapi subscription": Call("madapi-upstream/subscription", SUBSCRIPTION, madapi.subscribed),
    "madapi subscription status": Call(
        "madapi-upstream/subscription-status", SUBSCRIPTION, madapi.requery_outcome_of_subscription
    ),
}
BALANCES: Final = {
    "netpluse-upstream/balance": netpluse.balance_of,
    "networkdatasub-upstream/balance": networkdatasub.balance_of,
    "vtpass/balance": vtpass.balance_of,
    "reloadly/balance": reloadly.balance_of,
    "dtone/balances": dtone.balance_of,
}


def recorded(file: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((WIRE / f"{file}.json").read_text())
    return rows


def reply_of(row: dict[str, Any]) -> ProviderReply:
    return reply(row["status"], row["body"], row.get("content_type", JSON))


def said(outcome: Outcome | dtone.Created) -> str:
    name = type(outcome).__name__
    if isinstance(outcome, NotSent) and outcome.closed:
        return f"{name} closed"
    return f"{name} {outcome.reason}" if isinstance(outcome, Refused) else name


@pytest.mark.parametrize(
    ("name", "row"),
    [
        pytest.param(name, row, id=f"{name}-{number}-{row['source'][:40]}")
        for name, call in CALLS.items()
        for number, row in enumerate(recorded(call.file))
    ],
)
def test_every_recorded_answer_has_its_outcome(name: str, row: dict[str, Any]) -> None:
    call = CALLS[name]
    assert row["source"]
    assert said(call.read(call.delivery, reply_of(row))) == row["outcome"]


@pytest.mark.parametrize(
    ("file", "row"),
    [pytest.param(file, row, id=f"{file}-{row['source']}") for file in BALANCES for row in recorded(file)],
)
def test_every_recorded_balance_is_read_or_is_not(file: str, row: dict[str, Any]) -> None:
    balance = BALANCES[file](reply_of(row))
    if isinstance(balance, Money):
        assert row["outcome"] in (balance.text, f"{balance.currency} {balance.text}")
    else:
        assert isinstance(balance, BalanceUnavailable)
        assert ("not allowed" if balance.not_allowed else "unavailable") == row["outcome"]


def test_every_documented_word_is_recorded() -> None:
    codes = {
        code for name in ("vtpass/pay", "vtpass/requery") for row in recorded(name) if (code := row["body"].get("code"))
    }
    assert set(vtpass.Code) <= codes
    for file, words in (("vtpass/pay", vtpass.Status), ("vtpass/requery", vtpass.Status)):
        assert set(words) <= {
            row["body"]["content"]["transactions"]["status"]
            for row in recorded(file)
            if "transactions" in row["body"].get("content", {})
        }
    for file in ("netpluse-upstream/purchase", "netpluse-upstream/order-status"):
        assert set(netpluse.Status) <= {row["body"].get("status") for row in recorded(file)}
        assert {400, 401, 402, 404, 409, 429, 500} <= {row["status"] for row in recorded(file)}
    for file in ("networkdatasub-upstream/purchase", "networkdatasub-upstream/transaction"):
        assert {400, 401, 404, 422, 429, 500} <= {row["status"] for row in recorded(file)}
    assert set(reloadly.ErrorCode) <= {row["body"].get("errorCode") for row in recorded("reloadly/topups")}
    for file in ("reloadly/topups", "reloadly/status"):
        assert set(reloadly.Status) <= {row["body"].get("status") for row in recorded(file)}
    reported = [top_up for row in recorded("reloadly/report") for top_up in row["body"].get("content", [])]
    assert set(reloadly.Status) <= {top_up["status"] for top_up in reported if isinstance(top_up, dict)}
    for file in ("dtone/create", "dtone/confirm", "dtone/list", "dtone/transaction"):
        bodies = [
            row["body"][0] if isinstance(row["body"], list) and row["body"] else row["body"] for row in recorded(file)
        ]
        found = [body for body in bodies if isinstance(body, dict)]
        words = {body["status"]["message"] for body in found if "status" in body}
        classes = {body["status"].get("class", {}).get("id") for body in found if "status" in body}
        assert set(dtone.StatusClass) <= classes
        assert set(dtone.REASON_BY_DETAIL) - {"INSUFFICIENT-BALANCE"} <= {
            word.removeprefix("DECLINED-") for word in words
        }
        assert "REJECTED-INSUFFICIENT-BALANCE" in words
        if file != "dtone/transaction":
            codes = {error["code"] for body in found for error in body.get("errors", [])}
            assert set(dtone.ErrorCode) <= codes


def test_every_code_of_madapi_is_recorded_beside_its_status() -> None:
    for file in ("madapi-upstream/refill", "madapi-upstream/subscription"):
        found = {(row["status"], row["body"].get("statusCode")) for row in recorded(file)}
        assert set(madapi.Code) <= {code for _, code in found}
        assert madapi.REFUSALS.keys() | madapi.RATES <= found


@pytest.mark.parametrize(
    ("call", "file", "outcome"),
    [
        ("madapi refill", "madapi/refill-403-float", "Refused no_float"),
        ("madapi refill", "madapi/refill-404", "Refused bad_number"),
        ("madapi refill", "madapi/refill-503", "Unknown"),
        ("madapi subscription", "madapi/subscription-400", "Refused refused"),
        ("netpluse purchase", "netpluse/purchase", "Accepted"),
        ("netpluse purchase", "netpluse/error-400", "Refused not_sold"),
        ("netpluse purchase", "netpluse/error-401", "Refused not_allowed"),
        ("netpluse purchase", "netpluse/error-402", "Refused no_float"),
        ("netpluse purchase", "netpluse/error-409", "Accepted"),
        ("netpluse purchase", "netpluse/error-429", "NotSent"),
        ("netpluse purchase", "netpluse/error-500", "Unknown"),
        ("netpluse order-status", "netpluse/order-status", "Delivered"),
        ("netpluse order-status", "netpluse/error-404", "NotSent"),
        ("networkdatasub purchase", "networkdatasub/data-purchase", "Delivered"),
        ("networkdatasub purchase", "networkdatasub/airtime-purchase-too-little-money", "Refused no_float"),
        ("networkdatasub purchase", "networkdatasub/error-401", "Refused not_allowed"),
        ("networkdatasub purchase", "networkdatasub/error-429", "NotSent"),
        ("networkdatasub purchase", "networkdatasub/error-500", "Unknown"),
        ("networkdatasub transaction", "networkdatasub/error-404", "NotSent"),
    ],
)
def test_what_our_own_server_prints_is_understood(call: str, file: str, outcome: str) -> None:
    example = json.loads((WIRE / f"{file}.json").read_text())
    found = CALLS[call].read(CALLS[call].delivery, reply(example["status"], example["response"]))
    assert said(found) == outcome


# What no document prints means nothing ------------------------------------------------------------------------------------

_WORDS: Final = st.sampled_from(
    (
        "completed processing failed pending delivered reversed 000 016 018 015 099 success NPAPI-1 error 4.50 4,50"
        f" 08031234567 0241234567 {REQUEST_ID} MTN mtn 1GB debit data"
        " SUCCESSFUL PROCESSING REFUNDED FAILED INVALID_AMOUNT TOKEN_EXPIRED AT-7H2K-2 2348031234567 COMPLETED DECLINED CREATED"
    ).split()
)
_NUMBERS: Final = st.sampled_from([1, 4, 7, 9, 4602843, 2245670, 1000429, 1005003, 1007001, 1007005, 1008004])
_TEXTS: Final = st.text("a1,. \u00e9\ud800", max_size=4)
_VALUES: Final = _WORDS | _NUMBERS | st.booleans() | st.none() | st.integers(-5, 500) | st.floats(0, 500) | _TEXTS
_FIELDS: Final = """
    status reference price error success message data transaction code content errors transactions requestId amount total_amount
    network capacity phone meta type id
    transactionId customIdentifier recipientPhone errorCode totalElements external_id class credit_party_identifier prices
"""
_KEYS: Final = st.sampled_from(_FIELDS.split())
_BODIES: Final = st.recursive(
    st.dictionaries(_KEYS, _VALUES, max_size=6),
    lambda inner: st.dictionaries(_KEYS, _VALUES | inner | st.lists(inner, max_size=2), max_size=6),
    max_leaves=12,
)


def documented(name: str, status: int, body: dict[str, Any]) -> bool:
    """Whether a document says anything of an answer that has this form. Written from the documents, not from the connectors."""
    error, message = body.get("error"), body.get("message")
    match name:
        case "netpluse purchase":
            order = {"reference", "price"} <= body.keys() and body.get("status") in (
                "processing",
                "completed",
                "failed",
            )
            return (status in (200, 409) and order) or (status in (400, 401, 402, 429) and isinstance(error, str))
        case "netpluse order-status":
            known = body.get("network") == "MTN" and body.get("capacity") == "1GB" and "reference" in body
            return (status == 200 and known) or (status == 404 and isinstance(error, str))
        case "networkdatasub purchase":
            data = body.get("data")
            bought = isinstance(data, dict) and isinstance(data.get("transaction"), dict)
            if status == 200:
                return body.get("success") is True and bought
            return status in (400, 401, 404, 422, 429) and body.get("success") is False and isinstance(message, str)
        case "networkdatasub transaction":
            if status == 404:
                return body.get("success") is False and isinstance(message, str)
            return status == 200 and body.get("success") is True and isinstance(body.get("data"), dict)
        case "reloadly topups":
            refused = (
                400 <= status < 500 and body.get("errorCode") in list(reloadly.ErrorCode) and isinstance(message, str)
            )
            return refused or (status == 200 and body.get("customIdentifier") == "AT-7H2K-2")
        case "reloadly status":
            return status == 200 and body.get("status") in list(reloadly.Status)
        case "reloadly report":
            return status == 200 and isinstance(body.get("content"), list)
        case "dtone create":
            ours = 200 <= status < 300 and body.get("external_id") == "AT-7H2K-2"
            return ours or status == 429 or (400 <= status < 500 and isinstance(body.get("errors"), list))
        case "dtone confirm" | "dtone list" | "dtone cancel" | "dtone transaction":
            ours = 200 <= status < 300 and body.get("external_id") == "AT-7H2K-2"
            return ours or (400 <= status < 500 and isinstance(body.get("errors"), list))
        case "madapi refill" | "madapi subscription":
            # The gateway's own shape, the general one, or a success with a body.
            return {"status", "error", "path"} <= body.keys() or isinstance(body.get("statusCode"), str)
        case "madapi refill status" | "madapi subscription status":
            return isinstance(body.get("statusCode"), str)
        case _:
            code, content = body.get("code"), body.get("content")
            inside = isinstance(content, dict) and isinstance(content.get("transactions"), dict)
            alone = ("016", "018", "099") if name == "vtpass pay" else ("015", "099")
            return status < 500 and ((inside and body.get("requestId") == REQUEST_ID) or code in alone)


@pytest.mark.parametrize("name", CALLS)
@given(body=_BODIES, status=st.sampled_from([200, 201, 204, 302, 400, 401, 402, 404, 409, 422, 429, 500, 502, 503]))
def test_a_body_that_no_document_prints_is_unknown(name: str, body: dict[str, Any], status: int) -> None:
    call = CALLS[name]
    outcome = call.read(call.delivery, reply(status, body))
    if not documented(name, status, body):
        assert isinstance(outcome, Unknown)


@pytest.mark.parametrize("name", CALLS)
@given(body=st.binary(max_size=60), status=st.integers(100, 599), content_type=st.sampled_from([JSON, "text/html", ""]))
def test_what_is_no_answer_is_unknown(name: str, body: bytes, status: int, content_type: str) -> None:
    call = CALLS[name]
    outcome = call.read(call.delivery, reply(status, body, content_type))
    if name == "dtone create" and status == 429:
        assert isinstance(outcome, NotSent)  # The status says it by itself.
    elif not (name == "dtone list" and status == 200 and body.strip() == b"[]"):
        assert isinstance(outcome, Unknown)


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_with_one_thing_changed_never_turns_from_delivered_to_refused_or_back(name: str) -> None:
    """Take any recorded answer and put each of its values to something else: it may become unknown, never the opposite."""
    call = CALLS[name]
    opposite = {"Delivered": ("Refused", "NotSent"), "Refused": ("Delivered",)}
    for row in recorded(call.file):
        word = row["outcome"].split()[0]
        for path in _paths(row["body"]):
            if path[-1] in ("status", "code", "statusCode"):
                continue  # That is what the difference is.
            for value in (None, "", 7, "x", [], {}, True):
                changed = reply_of(row | {"body": _put(row["body"], path, value)})
                assert said(call.read(call.delivery, changed)).split()[0] not in opposite.get(word, ()), (row, path)


def _paths(body: Any) -> list[tuple[str, ...]]:
    if not isinstance(body, dict):
        return []
    return [(key, *rest) for key, value in body.items() for rest in [(), *_paths(value)]]


def _put(body: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    inner = value if len(path) == 1 else _put(body[path[0]], path[1:], value)
    return body | {path[0]: inner}


def test_a_key_that_stands_twice_means_nothing() -> None:
    twice = b'{"reference": "NPAPI-1", "price": 4.5, "status": "failed", "status": "completed"}'
    assert isinstance(netpluse.outcome_of(reply(200, twice)), Unknown)


def test_an_order_that_they_know_by_another_reference_is_not_ours() -> None:
    row = recorded("netpluse-upstream/order-status")[0]
    delivery = replace(GHANAIAN, provider_reference="NPAPI-9999-zzz")
    assert isinstance(netpluse.requery_outcome_of(delivery, reply_of(row)), Unknown)
