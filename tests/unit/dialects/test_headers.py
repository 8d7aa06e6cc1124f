"""The values of headers: without the whitespace around them, whichever header it is; of two the last."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from telvend.dialects.headers import header_text, header_values
from telvend.web.pages import error_json
from telvend.web.site import Site
from tests.unit.asgi import request
from tests.unit.dialects.test_serving import KEY, Shop, both_ways, said, shop  # noqa: F401 - fixtures

_BLANKS = st.text(" \t", max_size=3)
_NAMES = (
    "x-key",
    "content-type",
    "content-length",
    "x-request-id",
    "idempotency-key",
    "transactionid",
    "sourcesystemid",
)


@given(blanks=st.fixed_dictionaries({name: st.tuples(_BLANKS, _BLANKS) for name in _NAMES}))
def test_no_handler_ever_sees_a_blank_around_a_value(blanks: dict[str, tuple[str, str]]) -> None:
    sent = [(name.encode(), f"{before}a  b{after}".encode()) for name, (before, after) in blanks.items()]
    assert header_values(sent) == {name.encode(): b"a  b" for name in _NAMES}


def test_only_blanks_are_removed() -> None:
    assert header_values([(b"a", b"\xa0x\x0b "), (b"b", b" \t ")]) == {b"a": b"\xa0x\x0b", b"b": b""}


def test_of_a_header_that_comes_twice_the_last_counts() -> None:
    assert header_values([(b"a", b"1"), (b"b", b"x"), (b"a", b"2 ")]) == {b"a": b"2", b"b": b"x"}


def test_a_value_reads_as_it_would_in_a_body() -> None:
    assert header_text("Adé".encode()) == header_text("Adé".encode("latin-1")) == "Adé"


async def test_a_request_with_blanks_around_every_value_is_the_same_request(shop: Shop) -> None:  # noqa: F811
    body = b'{"size": "1GB"}'
    sent = {
        "x-key": "\tgood ",
        "content-length": f" {len(body)}\t",
        "content-type": " application/json\t",
        "x-request-id": " mine-7 ",
        "transactionid": "OWS-000009 ",
    }
    reply = await request(shop.app, "POST", "/base/buy", headers=sent, body=body, raw_headers=())
    assert said(reply) == (200, "done")
    assert reply.header("x-request-id") == "mine-7"
    (call,) = shop.calls
    assert call.headers == {name.encode(): value.strip().encode() for name, value in sent.items()}


async def test_a_body_that_says_with_a_blank_that_it_is_too_long_is_not_read(shop: Shop) -> None:  # noqa: F811
    reply = await request(shop.app, "POST", "/base/buy", headers=KEY | {"content-length": "70000 "}, body=b"{}")
    assert said(reply) == (413, "BodyTooLarge")
    assert reply.read == 0


async def test_pages_see_no_blanks_either() -> None:
    seen: list[Any] = []

    async def pages(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])

    sent = {"x-signature": "ab12 ", "cookie": " a=b"}
    await request(Site(pages, error_json), "POST", "/notices", headers=sent, raw_headers=())
    assert seen == [(b"x-signature", b"ab12"), (b"cookie", b"a=b")]
