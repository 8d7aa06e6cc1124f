"""Errors: which shape belongs to what was asked for, the code table, and that nothing of our insides is told."""

from datetime import datetime
from typing import Any

import msgspec
import pytest

from telvend import errors
from telvend.dialects.contract import Request
from telvend.dialects.madapi.refusals import (
    ERROR_TABLE,
    FIELD_OF_REFILL,
    PLANS,
    PRODUCT,
    REFILL,
    STATUS_MESSAGE,
    Absent,
    ErrorBody,
    PremiumError,
    Unrouted,
    error_answer,
)
from telvend.errors import TelvendError
from telvend.kit.money import NGN, Money
from telvend.operator.premiums.model import QuoteRefused
from telvend.operator.subscribers.model import SubscriberBarred
from telvend.operator.vouchers.model import LockedOut, PinRefused

PATH = "/v2/customers/2348031234567/plans"
CODES = {
    "0000", "1000", "1001", "1002", "1003", "1004", "1005", "1007", "1012", "1013", "2000", "3000", "3001", "3003", "3006", "4000",
    "4001", "5000", "5001", "6000", "6001",
}  # fmt: skip
"""MTN's published table."""
STATUSES = {200, 102, 207, 400, 401, 403, 404, 405, 408, 429, 500, 503}


def request(method: str = "GET", route: str = PLANS, path: str = PATH) -> Request:
    headers = {b"host": b"api.example.net"}
    return Request(method, path, route, b"", headers, "https", "127.0.0.1", b"req-1", "", "TX-20261122-000017")


def body(error: TelvendError, request: Request) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.to_builtins(error_answer(error, request).body)
    return answer


def test_the_general_shape_is_the_pages() -> None:
    answer = error_answer(errors.InvalidFields({"plan": "'GAMES' is not one of VOICE, DATA, SMS"}), request())
    made = msgspec.to_builtins(answer.body)
    moment = made.pop("timestamp")
    assert (answer.status, made) == (
        400,
        {
            "statusCode": "5000",
            "statusMessage": "Some of the details sent are not valid. Correct them and try again.",
            "supportMessage": "plan: 'GAMES' is not one of VOICE, DATA, SMS",
            "transactionId": "TX-20261122-000017",
            "path": PATH,
            "method": "GET",
            "sequenceNo": "req-1",
        },
    )
    assert moment.endswith("Z")
    assert datetime.fromisoformat(moment).tzinfo is not None


@pytest.mark.parametrize("route", [PLANS, PRODUCT])
def test_a_premium_has_links_and_no_timestamp_path_and_method(route: str) -> None:
    assert body(
        errors.InvalidInput("amount.value", "must be greater than zero"), request("POST", route, PATH + "/AYO SWC")
    ) == {
        "statusCode": "5000",
        "statusMessage": "Some of the details sent are not valid. Correct them and try again.",
        "supportMessage": "amount.value: must be greater than zero",
        "transactionId": "TX-20261122-000017",
        "_links": {"self": {"href": f"https://api.example.net{PATH}/AYO%20SWC"}},
    }


@pytest.mark.parametrize(("method", "route"), [("GET", PLANS), ("GET", PRODUCT), ("POST", PLANS), ("POST", PRODUCT)])
def test_what_is_not_there_is_null_data(method: str, route: str) -> None:
    assert body(errors.NotFound("Subscriber"), request(method, route)) == {
        "data": None,
        "statusCode": "1000",
        "statusMessage": STATUS_MESSAGE["1000"],
        "transactionId": "TX-20261122-000017",
    }


def test_a_refill_of_nobody_has_the_general_shape() -> None:
    answer = error_answer(errors.NotFound("Subscriber"), request("PATCH", REFILL))
    assert (answer.status, type(answer.body)) == (404, ErrorBody)


def test_an_unknown_address_is_answered_as_by_the_gateway() -> None:
    made = body(errors.UnknownPath("/v2/nothing"), request("GET", "", "/v2/nothing"))
    gateways, general = (
        {"timestamp", "status", "error", "message", "path"},
        {"statusCode", "statusMessage", "transactionId"},
    )
    assert made.keys() == gateways | general
    assert made["statusCode"] == "1000"
    assert (made["status"], made["error"], made["path"]) == (404, "Not Found", "/v2/nothing")


SHAPES = [
    (
        ("POST", PRODUCT),
        {400: PremiumError, 401: PremiumError, 403: PremiumError, 404: Absent, 405: ErrorBody, 500: PremiumError},
    ),
    (("GET", PLANS), {400: ErrorBody, 401: ErrorBody, 403: ErrorBody, 404: Absent, 405: ErrorBody, 500: ErrorBody}),
    (("HEAD", PLANS), {404: Absent}),
    (("PATCH", PLANS), {400: ErrorBody, 404: ErrorBody}),
    (
        ("PATCH", REFILL),
        {
            400: ErrorBody,
            401: ErrorBody,
            403: ErrorBody,
            404: ErrorBody,
            405: ErrorBody,
            500: ErrorBody,
            503: ErrorBody,
        },
    ),
    (("GET", REFILL), {405: ErrorBody}),
]
BY_STATUS: dict[int, TelvendError] = {
    400: errors.InvalidInput("plan", "is wrong"),
    401: errors.NotAuthenticated(),
    403: errors.NotPermitted("do it"),
    404: errors.NotFound("Subscriber"),
    405: errors.MethodNotAllowed(("PATCH",)),
    500: errors.InvariantBroken("secret"),
    503: errors.Busy(),
}


@pytest.mark.parametrize(("operation", "shapes"), SHAPES)
def test_the_shape_belongs_to_what_was_asked(operation: tuple[str, str], shapes: dict[int, type[Any]]) -> None:
    for status, shape in shapes.items():
        answer = error_answer(BY_STATUS[status], request(*operation))
        assert (answer.status, type(answer.body)) == (status, shape), status
    assert type(error_answer(errors.UnknownPath("/x"), request(operation[0], "")).body) is Unrouted


def test_every_code_is_of_the_published_table_and_has_words() -> None:
    assert {code for _, code in ERROR_TABLE.values()} <= CODES
    assert {status for status, _ in ERROR_TABLE.values()} <= STATUSES | {413, 415}
    assert STATUS_MESSAGE.keys() == {code for _, code in ERROR_TABLE.values()}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (PinRefused("used"), 400, "5001"), (errors.ReferenceReused("x"), 400, "5001"), (LockedOut(30), 403, "6000"),
        (SubscriberBarred("Suspended"), 403, "6000"), (QuoteRefused("has expired"), 400, "5001"),
        (errors.InsufficientBalance(Money(2, NGN), Money(1, NGN)), 403, "6001"), (errors.Busy(), 503, "3000"),
        (errors.TooManyRequests(3, 60), 429, "1013"), (errors.MethodNotAllowed(("GET",)), 405, "4001"),
        (errors.NotAuthenticated(), 401, "4000"), (errors.BodyNotReadable("no JSON"), 400, "5000"),
        (errors.AlreadyExists("It"), 400, "1002"), (errors.BodyTooLarge(1), 413, "5000"),
        (errors.MediaTypeNotRead(), 415, "5000"), (TelvendError("x"), 500, "3001"),
    ],
)  # fmt: skip
def test_the_code_table(error: TelvendError, status: int, code: str) -> None:
    answer = error_answer(error, request("PATCH", REFILL))
    assert (answer.status, answer.body.status_code) == (status, code)


def test_every_reason_for_which_a_pin_is_refused_reads_the_same() -> None:
    made = [
        body(PinRefused(reason), request("PATCH", REFILL)) for reason in ("used", "unknown", "stolen", "wrong serial")
    ]
    for one in made:
        del one["timestamp"]
    assert all(one == made[0] for one in made)
    assert not any(word in str(made[0]) for word in ("used", "stolen", "unknown"))


def test_only_an_unclassified_failure_of_a_refill_is_999_and_only_where_it_is_allowed() -> None:
    broken = errors.InvariantBroken("secret")
    for error in (broken, TelvendError("secret")):
        assert error_answer(error, request("PATCH", REFILL), literal_999=True).status == 999
        assert error_answer(error, request("PATCH", REFILL)).status == 500
        assert error_answer(error, request("GET", PLANS), literal_999=True).status == 500
    assert error_answer(errors.Busy(), request("PATCH", REFILL), literal_999=True).status == 503
    assert "secret" not in str(body(broken, request("PATCH", REFILL)))


def test_a_field_of_a_refill_is_named_as_the_body_names_it() -> None:
    for inside, outside in FIELD_OF_REFILL.items():
        error = errors.InvalidInput(inside, "is too small")
        assert body(error, request("PATCH", REFILL))["supportMessage"] == f"{outside}: is too small"
        assert body(error, request("GET", "/momo"))["supportMessage"] == f"{inside}: is too small"
    assert body(errors.InvalidInput("msisdn", "x"), request("PATCH", REFILL))["supportMessage"] == "msisdn: x"
