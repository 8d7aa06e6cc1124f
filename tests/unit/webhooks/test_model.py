"""The schedule of attempts, bodies, and the ids of deliveries."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.errors import InvalidInput
from telvend.kit.mode import Mode
from telvend.webhooks.model import (
    RETRIES_S,
    SPREAD,
    DeliveryState,
    Event,
    EventType,
    Reply,
    body_of,
    new_message_id,
    next_step,
    parse_delivery_id,
    parse_events,
    parse_retry_after,
)

REPLIES = st.builds(
    Reply,
    status=st.one_of(st.none(), st.integers(200, 599)),
    error=st.sampled_from(["", "reset the connection"]),
    text=st.just(""),
    duration_ms=st.integers(0, 20_000),
)


def test_the_schedule_is_the_documented_one() -> None:
    failed = Reply(500, "", "", 1)
    waits = [next_step(tries, failed, 0.0).due_in_s for tries in range(1, 9)]
    assert waits == [5, 20, 120, 600, 3600, 6 * 3600, 24 * 3600, None]
    assert next_step(8, failed).state is DeliveryState.FAILED


@given(st.integers(1, 100), REPLIES, st.floats(0, 1))
def test_every_attempt_ends_or_is_followed_by_one_in_its_time(tries: int, reply: Reply, spread: float) -> None:
    step = next_step(tries, reply, spread)
    assert (step.state is DeliveryState.PENDING) == (step.due_in_s is not None)
    assert (step.state is DeliveryState.DELIVERED) == (reply.status is not None and 200 <= reply.status < 300)
    if reply.status == 410:
        assert step.state is DeliveryState.FAILED
    if step.due_in_s is not None:
        assert RETRIES_S[tries - 1] <= step.due_in_s <= RETRIES_S[tries - 1] * (1 + SPREAD)
        assert tries <= len(RETRIES_S)


@given(st.lists(REPLIES, min_size=20, max_size=20))
def test_no_delivery_is_tried_more_than_eight_times(replies: list[Reply]) -> None:
    tries = 0
    for reply in replies:
        tries += 1
        if next_step(tries, reply).due_in_s is None:
            break
    assert tries <= 8


def test_a_wait_is_spread_at_random() -> None:
    waits = {next_step(3, Reply(None, "x", "", 1)).due_in_s for _ in range(20)}
    assert len(waits) > 10


def test_a_body_has_type_time_and_data_that_begin_with_the_mode() -> None:
    event = Event(EventType.ORDER_COMPLETED, uuid4(), Mode.TEST, {"reference": "R", "price": Decimal("4.50")})
    body = body_of(event, datetime(2026, 11, 28, 10, 0, 0, 123456, tzinfo=UTC))
    assert body == (
        '{"type":"order.completed","timestamp":"2026-11-28T10:00:00.123Z",'
        '"data":{"mode":"test","reference":"R","price":"4.50"}}'
    )
    assert json.loads(body)


def test_ids_of_messages_are_never_the_same() -> None:
    assert len({new_message_id() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "a-b", "1-2-3", "1-²", "1-" + "9" * 30])
def test_what_is_no_id_of_a_delivery(text: str) -> None:
    assert parse_delivery_id(text) is None


@given(st.integers(0, 10**17), st.integers(0, 10**17))
def test_an_id_of_a_delivery_is_read_back(endpoint: int, event: int) -> None:
    assert parse_delivery_id(f"{endpoint}-{event}") == (endpoint, event)


def test_event_types_are_known_ones() -> None:
    assert parse_events([]) is None
    assert parse_events(["order.failed", "order.failed"]) == ("order.failed",)
    with pytest.raises(InvalidInput, match="wallet"):
        parse_events(["order.*"])


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(200, "", "", 1), ""),
        (Reply(404, "", "", 1), "answered 404"),
        (Reply(307, "", "", 1), "answered 307; redirects are not followed"),
        (Reply(None, "reset the connection", "", 1), "reset the connection"),
    ],
)
def test_why_an_attempt_failed(reply: Reply, why: str) -> None:
    assert reply.why == why


@pytest.mark.parametrize(
    ("status", "asked_s", "wait_s"),
    [
        (503, 60.0, 60.0),
        (429, 60.0, 60.0),
        (503, 1.0, 5.0),  # Never earlier than planned.
        (503, 10.0**8, 3600.0),
        (500, 60.0, 5.0),
        (302, 60.0, 5.0),
        (503, None, 5.0),
    ],
)
def test_an_endpoint_may_put_the_next_attempt_off_within_bounds(
    status: int, asked_s: float | None, wait_s: float
) -> None:
    assert next_step(1, Reply(status, "", "", 1, asked_s), 0.0).due_in_s == wait_s
    assert next_step(8, Reply(status, "", "", 1, asked_s), 0.0).state is DeliveryState.FAILED
    assert next_step(7, Reply(status, "", "", 1, asked_s), 0.0).due_in_s == RETRIES_S[6]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("9" * 400, 999_999_999.0),
        ("Sun, 29 Nov 2026 00:01:00 GMT", 60.0),
        ("Sun, 29 Nov 2026 00:01:00", 60.0),
        ("Sat, 28 Nov 2026 23:00:00 GMT", 0.0),
        ("Sat, 99 Nov 2026 23:00:00 GMT", None),
        ("-5", None),
        ("1.5", None),
        ("\u0661", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, datetime(2026, 11, 29, tzinfo=UTC)) == seconds
