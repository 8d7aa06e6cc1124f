"""Serving: the order of the checks, what of a body is read, and that nothing a client can provoke has another shape."""

import asyncio
import string
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta
from structlog.testing import capture_logs

from telvend.bootstrap import APIS
from telvend.dialects import forms as declared
from telvend.dialects.contract import Context, Dialect, Endpoint, Request, Response
from telvend.dialects.serving import BODY_LIMIT_BYTES, DialectApp, decode
from telvend.errors import (
    BodyNotReadable,
    Busy,
    InsufficientBalance,
    InvalidInput,
    InvariantBroken,
    NotAuthenticated,
    TelvendError,
)
from telvend.kit.allowance import HIGHEST_LIMIT, AllowanceKind, AllowanceVerdict
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.resellers.keyforms import KeyForms
from telvend.resellers.model import Caller
from tests.unit import asgi
from tests.unit.asgi import Reply, request

KEY = {"x-key": "good"}
CALLER = Caller(
    reseller_id=UUID(int=1),
    reseller_number=1,
    key_id=UUID(int=2),
    key_bytes=UUID(int=2).bytes,
    api="netpluse",
    mode=Mode.LIVE,
    read_limit=60,
    purchase_limit=30,
    wallets={},
)
STATUS = {"BodyNotReadable": 400, "InvalidInput": 400, "BodyTooLarge": 413, "NotAuthenticated": 401, "UnknownPath": 404,
          "MediaTypeNotRead": 415,
          "MethodNotAllowed": 405, "TooManyRequests": 429, "Busy": 503, "InsufficientBalance": 402}  # fmt: skip


class Form(msgspec.Struct):
    size: str
    count: int = 1


class Gathered(msgspec.Struct):
    size: Annotated[str, declared.Field(lambda *_: "", {"type": "string"})]


GATHERED = declared.Form("Gathered", Gathered)


class Said(msgspec.Struct):
    """What this dialect answers, errors included."""

    said: str


class Shop:
    """A dialect with two endpoints over fakes that write down who was asked, in order."""

    def __init__(self) -> None:
        self.request: list[str] = []
        self.limits: list[tuple[AllowanceKind, int]] = []
        self.remaining = 5
        self.caller = CALLER
        self.raises: BaseException | None = None
        self.calls: list[Context[Any]] = []
        dialect = Dialect(
            name="test",
            title="Test",
            base_path="/base",
            key_of=self.key_of,
            error=lambda error, _: Response(STATUS.get(type(error).__name__, 500), Said(type(error).__name__)),
            endpoints=(
                Endpoint("GET", "/thing", self.handler, "", {200: Said}),
                Endpoint("GET", "/thing/{name:path}", self.handler, "", {200: Said}),
                Endpoint("POST", "/buy", self.handler, "", {200: Said}, allowance=AllowanceKind.PURCHASE, form=Form),
                Endpoint("POST", "/gather", self.handler, "", {200: Said}, form=GATHERED),
            ),
        )
        services: Any = type("Services", (), {"resellers": self, "public_url": ""})()
        self.app = DialectApp(dialect, services, self)

    def key_of(self, headers: Any) -> str | None:
        found = headers.get(b"x-key")
        return found.decode() if found else None

    def hint_of(self, text: str) -> str:
        return KeyForms(APIS).hint_of(text)

    def cached(self, api: str, key: str) -> Caller | None:
        assert api == "test"
        self.request.append("cache")
        return self.caller if key == "good" else None

    async def authenticate(self, api: str, key: str) -> Caller:
        assert api == "test"
        self.request.append("database")
        if key != "new":
            raise NotAuthenticated
        return self.caller

    async def take(self, key: bytes, kind: AllowanceKind, limit: int) -> AllowanceVerdict:
        assert key == CALLER.key_bytes
        self.request.append("allowance")
        self.limits.append((kind, limit))
        allowed = self.remaining > 0
        self.remaining -= allowed
        return AllowanceVerdict(allowed, limit, self.remaining, 7, 0 if allowed else 7)

    async def handler(self, call: Context[Any]) -> Response:
        self.request.append("handler")
        self.calls.append(call)
        if self.raises is not None:
            raise self.raises
        return Response(200, Said("done"))

    async def get(self, path: str = "/base/thing", **given: Any) -> Reply:
        return await request(self.app, "GET", path, **({"headers": KEY} | given))

    async def buy(self, body: Any = b'{"size": "1GB"}', **given: Any) -> Reply:
        return await request(self.app, "POST", "/base/buy", **({"headers": KEY, "body": body} | given))


@pytest.fixture(params=["by messages", "at once"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which an answer leaves."""
    monkeypatch.setattr(asgi, "at_once", request.param == "at once")


@pytest.fixture
def shop(both_ways: None) -> Shop:
    return Shop()


def said(reply: Reply) -> tuple[int, str]:
    """Status and word; every answer is JSON of the dialect's own shape and carries a request id."""
    assert reply.header("content-type") == "application/json"
    assert reply.header("content-length") == str(len(reply.body))
    assert reply.header("x-request-id")
    assert reply.json.keys() == {"said"}
    return reply.status, reply.json["said"]


def rate(reply: Reply) -> list[str | None]:
    return [reply.header(f"ratelimit-{name}") for name in ("limit", "remaining", "reset")]


# The order of the checks


async def test_an_unknown_path_needs_no_key_and_asks_nobody(shop: Shop) -> None:
    for path in (
        "/base",
        "/base/",
        "/base/nothing",
        "/base/buy/",
        "/base/buy/x",
        "/base//thing",
        "/base/THING",
        "/base/thing/",
    ):
        reply = await request(shop.app, "POST", path, body=b"x")
        assert said(reply) == (404, "UnknownPath"), path
        assert rate(reply) == [None] * 3
    assert shop.request == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", "/base/thing", "GET, HEAD"), ("GET", "/base/buy", "POST"), ("HEAD", "/base/buy", "POST"),
     ("OPTIONS", "/base/buy", "POST"), ("BREW", "/base/thing/x", "GET, HEAD")],
)  # fmt: skip
async def test_a_wrong_method_needs_no_key_and_lists_the_right_ones(
    shop: Shop, method: str, path: str, allowed: str
) -> None:
    reply = await request(shop.app, method, path)
    assert said(reply) == (405, "MethodNotAllowed")
    assert reply.header("allow") == allowed
    assert shop.request == []


async def test_without_a_key_nothing_is_counted_and_no_body_read(shop: Shop) -> None:
    for headers in ({}, {"x-key": ""}, {"authorization": "good"}):
        reply = await shop.buy(headers=headers)
        assert said(reply) == (401, "NotAuthenticated")
        assert (reply.read, rate(reply)) == (0, [None] * 3)
    assert shop.request == []


async def test_an_unknown_key_is_looked_up_and_counts_for_nobody(shop: Shop) -> None:
    assert said(await shop.buy(headers={"x-key": "bad"})) == (401, "NotAuthenticated")
    assert shop.request == ["cache", "database"]


async def test_a_key_that_is_remembered_asks_no_database(shop: Shop) -> None:
    assert said(await shop.get()) == (200, "done")
    assert said(await shop.get(headers={"x-key": "new"})) == (200, "done")
    assert shop.request == ["cache", "allowance", "handler", "cache", "database", "allowance", "handler"]


async def test_a_used_up_allowance_refuses_before_the_body_is_read(shop: Shop) -> None:
    shop.remaining = 0
    reply = await shop.buy(b"not even JSON")
    assert said(reply) == (429, "TooManyRequests")
    assert (reply.header("retry-after"), rate(reply), reply.read) == ("7", ["30", "0", "7"], 0)
    assert shop.request == ["cache", "allowance"]


async def test_a_bad_form_is_counted_and_reaches_no_endpoint(shop: Shop) -> None:
    reply = await shop.buy(b'{"size": 5}')
    assert said(reply) == (400, "InvalidInput")
    assert rate(reply) == ["30", "4", "7"]
    assert shop.request == ["cache", "allowance"]


async def test_reads_and_purchases_have_their_own_limits(shop: Shop) -> None:
    await shop.get()
    await shop.buy()
    shop.caller = replace(CALLER, read_limit=10**9)
    assert said(await shop.get()) == (200, "done")
    assert shop.limits == [(AllowanceKind.READ, 60), (AllowanceKind.PURCHASE, 30), (AllowanceKind.READ, HIGHEST_LIMIT)]


async def test_the_endpoint_gets_what_was_sent(shop: Shop) -> None:
    await shop.buy(b'{"size": "1GB", "count": 2, "unknown": [1]}', query=b"a=1")
    await shop.get("/base/thing/a/b c")
    bought, read = shop.calls
    assert (bought.form, bought.query, bought.caller) == (Form("1GB", 2), b"a=1", CALLER)
    assert (read.form, dict(read.path)) == (None, {"name": "a/b c"})


async def test_head_is_served_as_get(shop: Shop) -> None:
    assert (await request(shop.app, "HEAD", "/base/thing", headers=KEY)).status == 200
    assert shop.request[-1] == "handler"


# What goes wrong inside


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [(InsufficientBalance(Money(2, GHS), Money(1, GHS)), 402, None), (Busy(3), 503, "3"),
     (InvariantBroken("what only we may know"), 500, None), (TelvendError("Something."), 500, None)],
)  # fmt: skip
async def test_an_error_of_the_tree_is_rendered_by_the_dialect(
    shop: Shop, error: TelvendError, status: int, retry_after: str | None
) -> None:
    shop.raises = error
    reply = await shop.buy()
    assert said(reply) == (status, type(error).__name__)
    assert reply.header("retry-after") == retry_after
    assert rate(reply) == ["30", "4", "7"]


@pytest.mark.parametrize("error", [ValueError("np_live_secret"), KeyError(1), RecursionError(), TimeoutError()])
async def test_any_other_exception_is_our_bug_and_tells_nothing(error: Exception) -> None:
    shop = Shop()
    shop.raises = error
    reply = await shop.buy()
    assert said(reply) == (500, "InvariantBroken")
    assert rate(reply) == ["30", "4", "7"]


async def test_a_request_that_is_cancelled_is_not_answered(shop: Shop) -> None:
    shop.raises = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await shop.buy()


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-1.2_Z", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("", False), ("é", False), ("a\r\nb: c", False)],
)  # fmt: skip
async def test_a_plain_request_id_is_kept_and_any_other_replaced(shop: Shop, given: str, kept: bool) -> None:
    for reply in (
        await shop.get(headers=KEY | {"x-request-id": given}),
        await shop.get("/base/nothing", headers={"x-request-id": given}),
    ):
        found = reply.header("x-request-id")
        assert found
        assert (found == given) is kept


# What only some dialects have: a second credential, a name for the request, forms, a key that the form carries


class Peculiar(Shop):
    """The same over a dialect that knows it all; `seen` are the requests that its errors were rendered with."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Request] = []
        self.remaining = 50
        dialect = Dialect(
            name="test",
            title="Test",
            base_path="",
            key_of=self.key_of,
            second_key_of=lambda headers: headers.get(b"x-second", b"").decode(),
            trace_of=lambda headers: headers.get(b"x-trace", b"made").decode(),
            trace_header=b"x-trace",
            minds_media_type=True,
            error=self.error,
            endpoints=(
                Endpoint("GET", "/thing/{name}", self.handler, "", {200: Said}),
                Endpoint("PATCH", "/thing/{name}", self.handler, "", {200: Said}, form=GATHERED, url_encoded=True),
                Endpoint("POST", "/token", self.handler, "", {200: Said}, form=GATHERED, url_encoded=True,
                         key_in_form=lambda form, _: form.get("client")),
            ),
        )  # fmt: skip
        services: Any = type("Services", (), {"resellers": self, "public_url": ""})()
        self.app = DialectApp(dialect, services, self)

    def error(self, error: TelvendError, request: Request) -> Response:
        self.seen.append(request)
        return Response(STATUS.get(type(error).__name__, 500), Said(type(error).__name__))

    async def authenticate(self, api: str, key: str) -> Caller:
        if key == "another":
            return replace(self.caller, key_id=UUID(int=3))
        return self.caller if key == "good" else await super().authenticate(api, key)

    async def patch(self, body: bytes, **headers: str) -> Reply:
        return await request(self.app, "PATCH", "/thing/x", headers=KEY | headers, body=body)


@pytest.fixture
def peculiar(both_ways: None) -> Peculiar:
    return Peculiar()


@pytest.mark.parametrize(("second", "status"), [("", 200), ("good", 200), ("another", 401), ("bad", 401)])
async def test_two_credentials_must_be_of_one_key(peculiar: Peculiar, second: str, status: int) -> None:
    reply = await request(peculiar.app, "GET", "/thing/x", headers=KEY | {"x-second": second})
    assert reply.status == status
    assert (rate(reply) == [None] * 3) is (status == 401)


async def test_every_answer_repeats_what_the_client_calls_the_request(peculiar: Peculiar) -> None:
    for method, path in (("GET", "/thing/x"), ("GET", "/nothing"), ("DELETE", "/thing/x"), ("PATCH", "/thing/x")):
        reply = await request(peculiar.app, method, path, headers=KEY | {"x-trace": "T-1"})
        assert reply.header("x-trace") == "T-1"
    assert (await request(peculiar.app, "GET", "/thing/x")).header("x-trace") == "made"


async def test_no_value_begins_another_header(monkeypatch: pytest.MonkeyPatch) -> None:
    class Splitting(Peculiar):
        async def handler(self, call: Context[Any]) -> Response:  # noqa: ARG002
            return Response(200, Said("done"), ((b"x-more", b"a\r\nx-other: b"),))

    monkeypatch.setattr(asgi, "at_once", True)
    with pytest.raises(InvariantBroken, match="x-more"):
        await request(Splitting().app, "GET", "/thing/x", headers=KEY)


async def test_an_error_is_rendered_with_what_was_asked(peculiar: Peculiar) -> None:
    await request(peculiar.app, "GET", "/thing/x y", headers={"host": "shop.example"}, query=b"a=1")
    await request(peculiar.app, "PUT", "/thing/x")
    await request(peculiar.app, "GET", "/nothing")
    bad_key, bad_method, nowhere = peculiar.seen
    assert (bad_key.method, bad_key.path, bad_key.route, bad_key.query) == (
        "GET",
        "/thing/x y",
        "/thing/{name}",
        b"a=1",
    )
    assert (bad_key.client, bad_key.base_url, bad_key.trace) == ("127.0.0.1", "http://shop.example", "made")
    assert (bad_method.method, bad_method.route) == ("PUT", "/thing/{name}")
    assert (nowhere.path, nowhere.route) == ("/nothing", "")


async def test_a_form_is_read_as_one_and_json_as_json_whatever_curl_says_of_it(peculiar: Peculiar) -> None:
    url_encoded = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    for body, headers in (
        (b"size=1%20GB&count=2&count=3&x=", url_encoded),
        (b'{"size": "1 GB", "count": "3", "x": ""}', {}),
        (b' {"size": "1 GB", "count": "3", "x": ""}', url_encoded),
    ):
        assert said(await peculiar.patch(body, **headers)) == (200, "done")
    assert [call.form for call in peculiar.calls] == [{"size": "1 GB", "count": "3", "x": ""}] * 3
    for bad in (b"a=%ff", "a=é".encode(), b"&".join(b"f%d=1" % n for n in range(101))):
        assert said(await peculiar.patch(bad, **url_encoded)) == (400, "BodyNotReadable")
    assert said(await request(peculiar.app, "POST", "/thing/x", body=b"size=1")) == (405, "MethodNotAllowed")


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", b"{", (400, "BodyNotReadable")),
        ("APPLICATION/JSON; charset=utf-8", b'{"size": "1 GB"}', (200, "done")),
        ("application/merge-patch+json", b'{"size": "1 GB"}', (200, "done")),
        ("", b'{"size": "1 GB"}', (200, "done")),
        # What fetch says of a string, and curl of whatever follows -d.
        ("text/plain;charset=UTF-8", b' {"size": "1 GB"}', (200, "done")),
        ("text/plain", b"{", (400, "BodyNotReadable")),
        ("text/plain", b"", (200, "done")),
        ("text/plain", b"size=1", (415, "MediaTypeNotRead")),
        ("application/xml", b"<size>1 GB</size>", (415, "MediaTypeNotRead")),
        ("text/xml", b'{"size": "1 GB"}', (415, "MediaTypeNotRead")),
        ("multipart/form-data; boundary=x", b"--x--", (415, "MediaTypeNotRead")),
        ("\xff/json", b"{}", (415, "MediaTypeNotRead")),
    ],
)
async def test_a_body_that_says_it_is_something_else_is_refused_where_the_dialect_minds(
    peculiar: Peculiar, content_type: str, body: bytes, expected: tuple[int, str]
) -> None:
    assert said(await peculiar.patch(body, **{"content-type": content_type})) == expected


async def test_a_key_may_stand_in_the_form_and_is_counted_all_the_same(peculiar: Peculiar) -> None:
    async def post(body: bytes) -> Reply:
        return await request(peculiar.app, "POST", "/token", body=body)

    assert said(await post(b'{"client": "good"}')) == (200, "done")
    for body in (b"{}", b'{"client": "bad"}', b'{"client": null}'):
        assert said(await post(body)) == (401, "NotAuthenticated")
    assert peculiar.limits == [(AllowanceKind.READ, 60)]
    peculiar.remaining = 0
    assert said(await post(b'{"client": "good"}')) == (429, "TooManyRequests")


# Bodies


async def test_a_body_of_exactly_the_limit_is_read_and_one_more_is_not(shop: Shop) -> None:
    fits = b'{"size": "1GB"}'.ljust(BODY_LIMIT_BYTES)
    assert said(await shop.buy(fits)) == (200, "done")
    assert said(await shop.buy(fits + b" ")) == (413, "BodyTooLarge")
    assert len(shop.calls) == 1


async def test_a_declared_length_over_the_limit_is_refused_unread(shop: Shop) -> None:
    for length in (str(BODY_LIMIT_BYTES + 1), "9" * 6000):
        reply = await shop.buy(headers=KEY | {"content-length": length})
        assert (said(reply), reply.read) == ((413, "BodyTooLarge"), 0)


async def test_an_endless_body_is_left_when_it_is_too_long(shop: Shop) -> None:
    reply = await shop.buy([b" " * 16384] * 100)
    assert said(reply) == (413, "BodyTooLarge")
    assert reply.read <= 6


async def test_a_body_in_many_pieces_is_one_body(shop: Shop) -> None:
    assert said(await shop.buy([b'{"si', b"", b'ze": "1', b'GB"}', b""])) == (200, "done")
    assert shop.calls[0].form == Form("1GB")


async def test_nothing_is_bought_with_a_body_that_was_cut_off(shop: Shop) -> None:
    # What arrived reads like a whole request.
    reply = await shop.buy([b'{"size": "1GB"}'], cut_off=True)
    assert said(reply) == (400, "BodyNotReadable")
    assert shop.calls == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"1", b"null", b'"x"', b"\xff", b'{"size": "\xff"}', b'{"size": "\\ud800"}', b"\xef\xbb\xbf{}",
        b'{"size": "1GB"} {}', b'{"a":' * 10_000, b"[" * 60_000, b'{"x": ' + b"[" * 60_000, b'{size: "1GB"}', b"\x00",
        b"size=1GB", '{"size": "1GB"}'.encode("utf-16"),
    ],
)  # fmt: skip
async def test_what_is_no_json_object_is_refused_as_such(shop: Shop, body: bytes) -> None:
    assert said(await shop.buy(body)) == (400, "BodyNotReadable")


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_a_form_or_refused(body: bytes) -> None:
    decoder = msgspec.json.Decoder(Form)
    try:
        assert isinstance(decode(decoder, body), Form)
    except InvalidInput as error:
        assert_plain(str(error))


async def test_a_gathered_form_holds_numbers_of_any_size_as_what_they_are_and_nothing_unknown_spoils_it(
    shop: Shop,
) -> None:
    many, shop.remaining = b"9" * 5000, 20
    for body, form in (
        (b'{"size": "1GB", "count": 1.50}', {"size": "1GB", "count": Decimal("1.50")}),
        (b'{"count": 18446744073709551617}', {"count": 2**64 + 1}),
        (b'{"count": 1e99999999999999999999}', {"count": Decimal("Infinity")}),
        (b'{"size": "1GB", "count": -' + many + b"}", {"size": "1GB", "count": Decimal("Infinity")}),
        (b'{"count": [' + many + b'], "size": 1.5}', {"count": Decimal("Infinity"), "size": Decimal("1.5")}),
    ):
        reply = await request(shop.app, "POST", "/base/gather", headers=KEY, body=body)
        assert said(reply) == (200, "done")
        assert shop.calls[-1].form == form
        assert type(shop.calls[-1].form["count"]) is type(form["count"])
    for body in (b'{"count": ' + many, b'{"count": ' + many + b', "size": "\xff"}', many, b"[" + many + b"]"):
        reply = await request(shop.app, "POST", "/base/gather", headers=KEY, body=body)
        assert said(reply) == (400, "BodyNotReadable"), body[-20:]


# What msgspec says, in the caller's words


class Inner(msgspec.Struct):
    amount: Annotated[int, Meta(ge=1)]


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    amount: int = 1


class One(msgspec.Struct, tag="one", tag_field="kind"):
    pass


class Two(msgspec.Struct, tag="two", tag_field="kind"):
    pass


class Pair(msgspec.Struct, array_like=True):
    one: int
    two: int


def refusal(kind: Any, value: bytes) -> str:
    form = msgspec.defstruct("Form", [("amount", kind)])
    with pytest.raises(InvalidInput) as refused:
        decode(msgspec.json.Decoder(form), b'{"amount":' + value + b"}")
    assert not isinstance(refused.value, BodyNotReadable)
    return str(refused.value)


@pytest.mark.parametrize(
    ("kind", "value", "sentence"),
    [
        (str, b"1", "amount: must be a string, not an integer"),
        (str, b"null", "amount: must be a string, not null"),
        (str | None, b"[]", "amount: must be a string, not a list"),
        (int, b"1.5", "amount: must be an integer, not a number"),
        (int | str, b"{}", "amount: must be an integer or a string, not an object"),
        (None, b"1", "amount: must be null, not an integer"),
        (float, b"1e400", "amount: is out of range"),
        (bool, b'"yes"', "amount: must be true or false, not a string"),
        (Decimal, b'"4.x"', "amount: is not a valid decimal string"),
        (Decimal | None, b"true", "amount: must be a number, not true or false"),
        (UUID, b'"x"', "amount: is not a valid UUID"),
        (bytes, b'"?"', "amount: is not a valid base64 encoded string"),
        (Literal["a", "b"], b'"c`"', "amount: is not one of the values that are known"),
        (Annotated[str, Meta(min_length=2)], b'""', "amount: must be a string of length >= 2"),
        (Annotated[int, Meta(le=5)], b"6", "amount: must be an integer <= 5"),
        (Annotated[int, Meta(multiple_of=5)], b"6", "amount: must be an integer that's a multiple of 5"),
        (list[int], b'["x"]', "amount[0]: must be an integer, not a string"),
        (tuple[int, int], b"[1]", "amount: must be a list of length 2"),
        (Pair, b"[1]", "amount: must be a list of at least length 2, got 1"),
        (dict[str, int], b'{"secret`key": "x"}', "amount[...]: must be an integer, not a string"),
        (dict[int, int], b'{"secret": 1}', "amount: must be an integer, not a string"),
        (Inner, b"{}", "amount.amount: is required"),
        (list[Inner], b"[{}]", "amount[0].amount: is required"),
        (Inner, b'{"amount": 0}', "amount.amount: must be an integer >= 1"),
        (Strict, b'{"secret": 1}', "amount: is not a valid value"),
        (One | Two, b'{"kind": "secret` - at `$.x`"}', "amount.kind: is not one of the values that are known"),
        (One | Two, b"{}", "amount.kind: is required"),
    ],
)
def test_a_wrong_value_is_named_in_plain_words(kind: Any, value: bytes, sentence: str) -> None:
    assert refusal(kind, value) == sentence


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(msgspec.json.Decoder(Form), b"{}")
    assert (refused.value.field, refused.value.problem) == ("size", "is required")


MARK = "Zq"
"""Stands in every text that the fuzzed caller sends, and in nothing that we say."""
texts = st.text(string.printable, max_size=12).map(lambda text: f"{MARK}{text}` - at `$.")
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.just("amount"), inner, max_size=3),
    max_leaves=5,
)
kinds = st.recursive(
    st.sampled_from(
        [str, int, bool, Decimal, None, UUID, bytes, Inner, Strict, Pair, One | Two, Literal["a"], float,
         Annotated[str, Meta(min_length=200)], Annotated[int, Meta(ge=5, le=6)], Annotated[str, Meta(pattern="^y$")]]
    ),
    lambda inner: inner.map(lambda kind: list[kind]) | inner.map(lambda kind: dict[str, kind]),  # type: ignore[valid-type]
    max_leaves=2,
)  # fmt: skip


@settings(max_examples=300)
@given(kinds, values)
def test_no_refusal_repeats_the_value_or_speaks_of_our_types(kind: Any, value: Any) -> None:
    form = msgspec.defstruct("Form", [("amount", kind)])
    try:
        decode(msgspec.json.Decoder(form), msgspec.json.encode({"amount": value}))
    except InvalidInput as error:
        refused = error
    else:
        return
    assert refused.field.startswith("amount")
    assert_plain(str(refused))


def assert_plain(sentence: str) -> None:
    assert MARK not in sentence
    assert not set(sentence) & set("`\n\r\x00")
    for odd in ("Expected", "Invalid", "$.", "`", "Struct", "msgspec", " | "):
        assert odd not in sentence, sentence


# What is logged of the refused ------------------------------------------------------------------------------------------


async def test_a_401_is_logged_with_the_address_and_a_hint_and_never_the_key(shop: Shop) -> None:
    key = "np_live_" + "Ab3" * 13 + "z"
    with capture_logs() as lines:
        await shop.get(headers={"x-key": key})
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("not_authenticated", "warning")
    assert (line["client"], line["hint"], line["route"]) == ("127.0.0.1", "np_live_Ab3A...Ab3z", "/thing")
    assert key not in str(lines)


async def test_a_flood_of_401s_is_a_line_a_minute_for_each_address(shop: Shop) -> None:
    with capture_logs() as lines:
        for number in range(50):
            await shop.get(headers={"x-key": f"guess-{number}"})
            await shop.get(headers={})
    assert [(line["event"], line["hint"]) for line in lines] == [
        ("not_authenticated", "... (7 characters)"), ("not_authenticated", None),
    ]  # fmt: skip


async def test_what_needs_no_key_or_has_no_allowance_left_is_bounded(shop: Shop) -> None:
    shop.remaining = 3
    with capture_logs() as lines:
        for _ in range(20):
            await request(shop.app, "FROB", "/base/thing")
            await shop.get("/base/nothing")
            await shop.buy(b"[]")
    assert [(line["event"], line["status"]) for line in lines] == [
        ("request refused", 405), ("request refused", 400), ("request refused", 400), ("request refused", 400),
        ("request refused", 429),
    ]  # fmt: skip


async def test_an_outage_is_not_logged_for_each_request_and_a_caller_who_left_not_at_all(shop: Shop) -> None:
    shop.remaining = 1000
    shop.raises = Busy()
    with capture_logs() as lines:
        for _ in range(50):
            assert (await shop.buy()).status == 503
    assert [(line["event"], line["status"]) for line in lines] == [("request refused", 503)]
    with capture_logs() as lines:
        for _ in range(50):
            await request(shop.app, "POST", "/base/buy", headers=KEY, body=b'{"size"', cut_off=True)
    assert [line for line in lines if line["log_level"] != "debug"] == []


@pytest.mark.parametrize("status", ["200", "400", "401", "404", "405", "429", "500"])
async def test_no_answer_is_to_be_kept_or_sniffed(shop: Shop, status: str) -> None:
    shop.remaining = 0 if status == "429" else 5
    shop.raises = RuntimeError() if status == "500" else None
    path = "/base/nothing" if status == "404" else "/base/buy"
    method = "PUT" if status == "405" else "POST"
    headers = {} if status == "401" else KEY
    body = b"{}" if status == "400" else b'{"size": "1GB"}'
    with capture_logs():
        reply = await request(shop.app, method, path, headers=headers, body=body)
    assert str(reply.status) == status
    assert (reply.header("cache-control"), reply.header("x-content-type-options")) == ("no-store", "nosniff")
