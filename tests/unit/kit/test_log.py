"""Logs: what comes out, and that nothing secret or personal does."""

import asyncio
import dataclasses
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from telvend.kit import log, log_lines

NUMBER = "+233241234567"
SECRET = "np_live_4fzzyx81q"
SECRET_NAMES = [
    "key",
    "token",
    "pin",
    "nin",
    "bvn",
    "password",
    "secret",
    "authorization",
    "api_key",
    "apiKey",
    "apikey",
    "X-API-Key",
    "access_token",
    "accessToken",
    "authtoken",
    "voucher_pins",
    "NIN",
    "BVN",
    "Authorization",
    "client_secret",
    "db_password",
    "cookie",
]
TELEPHONE_NAMES = [
    "msisdn",
    "phone",
    "subscriber",
    "phoneNumber",
    "customer_msisdn",
    "MSISDN",
    "phones",
    "subscriber_id",
]
HARMLESS_NAMES = [
    "monkey",
    "spinning",
    "pinned",
    "keyboard",
    "key_id",
    "token_id",
    "order",
    "network",
    "amount_minor",
    "telephony",
]


@pytest.fixture
def written() -> Iterator[io.TextIOWrapper]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.TextIOWrapper) -> list[dict[str, Any]]:
    stream.flush()
    return [json.loads(line) for line in stream.buffer.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_line_is_one_json_object_with_time_level_event_logger_and_facts(written: io.TextIOWrapper) -> None:
    log.configure("info", stream=written)
    log.get("telvend.orders").info("order_placed", order=UUID(int=7), amount=Decimal("4.50"), text="two\nlines")
    [line] = lines(written)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["timestamp"].endswith("Z")
    assert line | {"timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "event": "order_placed",
        "logger": "telvend.orders",
        "order": "00000000-0000-0000-0000-000000000007",
        "amount": "4.50",
        "text": "two\nlines",
    }


def test_lines_below_the_level_are_not_written(written: io.TextIOWrapper) -> None:
    log.configure("warning", stream=written)
    log.get("a").info("quiet")
    logging.getLogger("a").info("quiet")
    log.get("a").warning("loud")
    assert [line["event"] for line in lines(written)] == ["loud"]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="no log level 'loud'"):
        log.configure("loud")


def test_the_standard_library_comes_out_the_same_way(written: io.TextIOWrapper) -> None:
    logging.getLogger("uvicorn.error").addHandler(logging.NullHandler())
    log.configure("info", stream=written)
    log.bind_request("req-1")
    logging.getLogger("uvicorn.error").info("Started on %s", 8000)
    logging.getLogger("uvicorn.access").info("GET /v2/customers/233241234567")
    logging.getLogger("asyncpg.pool").warning("Failed to restore the pool connection floor; retrying")
    logging.getLogger("alembic.runtime").warning("odd")
    assert [(line["logger"], line["level"], line["event"], line["request_id"]) for line in lines(written)] == [
        ("uvicorn.error", "info", "Started on 8000", "req-1"),
        ("alembic.runtime", "warning", "odd", "req-1"),
    ]


def test_a_traceback_is_text_without_the_values_of_variables(written: io.TextIOWrapper) -> None:
    log.configure("info", stream=written)
    hidden = SECRET
    for logger in (log.get("a"), logging.getLogger("b")):
        try:
            raise RuntimeError("broken", len(hidden))
        except RuntimeError:
            logger.exception("failed")
    for line in lines(written):
        assert "RuntimeError: ('broken', 17)" in line["exception"]
        assert SECRET not in str(line)


async def test_the_request_id_stays_with_its_task(written: io.TextIOWrapper) -> None:
    log.configure("info", stream=written)
    logger = log.get("a")

    async def request(name: str) -> None:
        log.bind_request(name)
        await asyncio.sleep(0)
        logger.info(name)

    async with asyncio.TaskGroup() as group:
        for name in ("one", "two"):
            group.create_task(request(name))
    logger.info("outside")
    assert [(line["event"], line.get("request_id")) for line in lines(written)] == [
        ("one", "one"),
        ("two", "two"),
        ("outside", None),
    ]


def test_a_terminal_gets_plain_lines_that_are_masked_too(written: io.TextIOWrapper) -> None:
    log.configure("info", as_json=False, stream=written)
    log.get("a").info("order_placed", phone=NUMBER, token=SECRET)
    logging.getLogger("b").info("started")
    written.flush()
    text = written.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert "order_placed" in text
    assert "started" in text
    assert NUMBER not in text
    assert SECRET not in text


def masked(**fields: object) -> dict[str, Any]:
    return dict(log_lines.mask(None, "info", {"event": "e", **fields}))


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_is_starred_by_its_name(name: str) -> None:
    assert masked(**{name: SECRET})[name] == log_lines.STARS
    assert masked(**{name: 12345678901})[name] == log_lines.STARS
    assert masked(**{name: [SECRET]})[name] == log_lines.STARS


@pytest.mark.parametrize("name", TELEPHONE_NAMES)
@pytest.mark.parametrize("value", [NUMBER, "0241234567", "233 24 123-4567", "tel:+233241234567", 233241234567])
def test_a_telephone_number_is_masked_by_its_name(name: str, value: object) -> None:
    shown = masked(**{name: value})[name]
    assert shown.endswith("*67")
    assert "4123" not in shown


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_other_fields_are_left_as_they_are(name: str) -> None:
    assert masked(**{name: NUMBER})[name] == NUMBER


@pytest.mark.parametrize("value", ["2f1c9a60-77aa-4be3-9d7e-0a5be2c4d6f8", "MTN", 12, None, True])
def test_what_is_no_number_stays_readable_in_a_telephone_field(value: object) -> None:
    assert masked(subscriber=value)["subscriber"] == value


@dataclasses.dataclass
class Customer:
    phone: str
    pin: str


class Body(msgspec.Struct):
    customer: Customer
    api_key: str


class Pair(NamedTuple):
    msisdn: str
    token: str


def test_records_of_every_kind_are_looked_into() -> None:
    shown = masked(body=Body(Customer(NUMBER, "1234"), SECRET), pair=Pair(NUMBER, SECRET))
    assert shown["body"] == {"customer": {"phone": "+23324*****67", "pin": log_lines.STARS}, "api_key": log_lines.STARS}
    assert shown["pair"] == {"msisdn": "+23324*****67", "token": log_lines.STARS}


def test_what_contains_itself_comes_to_an_end() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = [endless]
    assert "…" in str(masked(body=endless))


def test_what_msgspec_cannot_write_is_written_all_the_same(written: io.TextIOWrapper) -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    log.configure("info", stream=written)
    log.get("a").info(
        "odd", half="\ud800", great=2**70, thing=object, odd=Odd(), table={1: {2.5: "x"}}, bad=float("nan")
    )
    [line] = lines(written)
    assert line["great"] == 2**70
    assert line["odd"] == "<Odd that cannot be shown>"
    assert line["table"] == {"1": {"2.5": "x"}}


def nested(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.one_of(st.sampled_from(HARMLESS_NAMES), st.text(max_size=5).map("a".__add__), st.integers())
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3),
            st.tuples(inner, inner),
            st.dictionaries(names, inner, min_size=1, max_size=3),
        ),
        max_leaves=6,
    )


@given(
    nested(
        st.one_of(
            st.sampled_from(SECRET_NAMES).map(lambda name: {name: SECRET}),
            st.sampled_from(SECRET_NAMES).map(lambda name: {name: [{"x": SECRET}]}),
            st.sampled_from(TELEPHONE_NAMES).map(lambda name: {name: NUMBER}),
            st.sampled_from(TELEPHONE_NAMES).map(lambda name: {name: [{"x": NUMBER}, 233241234567]}),
        )
    )
)
def test_nothing_secret_is_rendered_however_deep_it_stands(body: object) -> None:
    rendered = log_lines._to_json(None, "info", log_lines.mask(None, "info", {"event": "e", "body": body})).decode()
    json.loads(rendered)
    assert SECRET not in rendered
    assert NUMBER not in rendered
    assert "233241234567" not in rendered


def test_a_reader_that_has_gone_costs_lines_and_no_requests() -> None:
    code = """
import os, sys
from telvend.kit import log, log_lines
log.configure("info")
read, write = os.pipe()
os.dup2(write, 2); os.close(write); os.close(read)
for _ in range(3):
    log.get("a").info("into_nothing")
print("still here")
os._exit(0) if sys.stdout.flush() is None else None
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert ended.stdout == "still here\n"


# What anybody can provoke -----------------------------------------------------------------------------------------------


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_each_source_has_one_line_a_minute_and_none_goes_uncounted() -> None:
    clock = Clock()
    limit = log.LogLimit(clock)
    written: list[tuple[str, int]] = []

    def provoke(source: str) -> None:
        limit.write(lambda _, **facts: written.append((source, facts.get("left_out", 0))), "e", source=source)

    for _ in range(5):
        provoke("a")
    provoke("b")
    assert written == [("a", 0), ("b", 0)]
    clock.now_s += 59.9
    provoke("a")
    clock.now_s += 0.1
    provoke("a")
    provoke("b")
    assert written[2:] == [("a", 5), ("b", 0)]


def test_many_sources_share_a_bound_and_a_bounded_memory() -> None:
    clock = Clock()
    limit = log.LogLimit(clock)
    count = 3 * log.MOST_SOURCES
    lines = [left_out for number in range(count) if (left_out := limit.admit(str(number))) is not None]
    assert lines == [0] * log.MOST_LINES
    assert len(limit._sources) <= log.MOST_SOURCES
    clock.now_s += 60
    counted = [limit.admit(str(number)) for number in range(count - log.MOST_SOURCES, count)]
    written = [left_out for left_out in counted if left_out is not None]
    still = sum(left_out for _, left_out in limit._sources.values()) + limit._left_out_of_others
    # The lines of the second minute that were left out are among those still to be told.
    assert len(written) == log.MOST_LINES
    assert sum(written) + still == (count - log.MOST_LINES) + (log.MOST_SOURCES - log.MOST_LINES)


def test_what_a_library_says_of_bad_requests_is_bounded(written: io.TextIOWrapper) -> None:
    log.configure("info", as_json=True, stream=written)
    for _ in range(100):
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        logging.getLogger("uvicorn.error").warning("Unsupported upgrade request.")
    written.flush()
    events = [json.loads(line)["event"] for line in written.buffer.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert events == ["Invalid HTTP request received.", "Unsupported upgrade request."]


EVIL = "x\n2026-01-01T00:00:00Z [critical ] wallet_emptied\r\x1b[2J\x00\x9b\u2028\u202e"


@pytest.mark.parametrize("as_json", [True, False])
def test_a_value_cannot_make_a_line_of_its_own_nor_be_obeyed_by_a_terminal(
    written: io.TextIOWrapper, as_json: bool
) -> None:
    log.configure("info", as_json=as_json, stream=written)
    log.get("a").info(EVIL, value=EVIL, inner={"a": [EVIL]}, **{EVIL: 1})
    logging.getLogger("b").info("said %s", EVIL)
    written.flush()
    text = written.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert text.count("\n") == 2
    assert not set(text) & set("\r\x1b\x00")
    assert as_json or not set(text) & set("\x9b\u2028\u202e")


def test_no_line_of_a_traceback_begins_like_another_event(written: io.TextIOWrapper) -> None:
    log.configure("info", as_json=False, stream=written)
    try:
        raise ValueError(EVIL)
    except ValueError:
        log.get("a").exception("failed")
        logging.getLogger("b").exception("failed")
    written.flush()
    lines = written.buffer.getvalue().decode().split("\n")  # type: ignore[attr-defined]
    assert [line for line in lines if line and not line.startswith("    ")] == [lines[0], lines[len(lines) // 2]]
    assert any("ValueError" in line for line in lines)
    assert not any("\x1b" in line for line in lines)


FIRST_LINE = """
import logging, sys
from telvend.kit import log
log.configure_at_first_line("warning")
logger = log.get("telvend.x")
logging.getLogger("asyncpg.pool").info("quiet")
print("structlog" in sys.modules, flush=True)
{line}
print("structlog" in sys.modules)
"""


@pytest.mark.parametrize(
    ("line", "logger"),
    [('logger.warning("loud")', "telvend.x"), ('logging.getLogger("asyncio").warning("loud")', "asyncio")],
    ids=["ours", "a library's"],
)
def test_a_command_configures_its_logs_with_the_first_line(line: str, logger: str) -> None:
    code = [sys.executable, "-c", FIRST_LINE.format(line=line)]
    ended = subprocess.run(code, capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout.split() == ["False", "True"]
    written = json.loads(ended.stderr)
    assert (written["event"], written["level"], written["logger"]) == ("loud", "warning", logger)
