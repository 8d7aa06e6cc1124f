"""Forms as browsers and others send them: what is read, what is refused, and that nothing is an unexpected error."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from telvend.errors import BodyTooLarge, Busy, InvalidFields, InvalidInput, TelvendError
from telvend.kit.turnstile import Budget
from telvend.web.shell.forms import Form, receive_form

PLENTY = 1 << 20


def received(body: bytes, content_type: str, *, limit: int = PLENTY, budget: int = PLENTY, pieces: int = 1) -> Form:
    """Read a body that arrives in several pieces."""
    step = max(1, -(-len(body) // pieces))
    waiting = [body[i : i + step] for i in range(0, len(body), step)] or [b""]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    headers = [(b"content-type", content_type.encode("latin-1"))]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    return asyncio.run(receive_form(request, limit, Budget(budget)))


def urlencoded(body: bytes, **more: int) -> Form:
    return received(body, "application/x-www-form-urlencoded", **more)


def multipart(*parts: tuple[bytes, bytes], boundary: bytes = b"XX", end: bytes = b"--XX--\r\n", **more: int) -> Form:
    body = b"".join(b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary, header, content) for header, content in parts)
    return received(body + end, f"multipart/form-data; boundary={boundary.decode()}", **more)


def named(name: bytes, more: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="%s"%s' % (name, more)


def test_fields_are_decoded_as_browsers_write_them() -> None:
    form = urlencoded(b"name=Ama+Mensah&city=Kum%61si&empty=&sign=%E2%82%B5")
    assert [form.text(name) for name in ("name", "city", "empty", "sign", "missing")] == [
        "Ama Mensah",
        "Kumasi",
        "",
        "₵",
        "",
    ]
    assert form.errors == {}


def test_a_password_keeps_its_blanks_and_a_text_does_not() -> None:
    form = urlencoded(b"password=+a+b+&name=+a+b+")
    assert (form.secret("password"), form.text("name")) == (" a b ", "a b")


@pytest.mark.parametrize("bad", [b"a%00b", b"a%0Ab", b"a%1B[31m", b"a%C2%85b", b"a%E2%80%AEb"])
def test_control_characters_are_an_error_of_the_field(bad: bytes) -> None:
    form = urlencoded(b"name=" + bad)
    assert form.text("name") == ""
    assert list(form.errors) == ["name"]
    assert form.typed("name").isprintable() or "\n" in form.typed("name")


def test_lines_keep_their_breaks_alone() -> None:
    form = urlencoded(b"a=one%0D%0Atwo%0Dthree&b=one%00")
    assert form.lines("a") == "one\ntwo\nthree"
    assert form.lines("b") == ""
    assert list(form.errors) == ["b"]


def test_a_field_that_is_there_twice_is_an_error_unless_several_are_wanted() -> None:
    form = urlencoded(b"a=1&a=2")
    assert form.every("a") == ["1", "2"]
    assert form.errors == {}
    assert form.text("a") == ""
    assert form.errors == {"a": "This was sent more than once."}


def test_what_is_too_long_is_an_error_of_the_field() -> None:
    form = urlencoded(b"a=" + b"x" * 201)
    assert form.text("a") == ""
    assert form.errors == {"a": "Use at most 200 characters."}


def test_a_choice_is_one_of_the_options() -> None:
    form = urlencoded(b"mode=live&other=nonsense")
    assert form.choice("mode", ("live", "test")) == "live"
    assert form.choice("other", ("live", "test")) == ""
    assert form.choice("missing", ("live", "test")) == ""
    assert list(form.errors) == ["other", "missing"]


def test_what_a_service_says_becomes_errors_of_the_fields() -> None:
    form = Form()
    form.take(InvalidFields({"email": "must be an e-mail address", "phone": "This is not a number.", "odd": "is odd"}))
    form.take(InvalidInput("password", "is not your password"), {"password": "current"})
    assert form.errors == {
        "email": "The e-mail address must be an e-mail address.",
        "phone": "This is not a number.",
        "odd": "This is odd.",
        "current": "The password is not your password.",
    }


@pytest.mark.parametrize("body", [b"a=%FF", b"%FF=a", b"a=%ED%A0%80", b"a=\xff"])
def test_what_is_not_utf8_is_refused_with_a_sentence(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="UTF-8"):
        urlencoded(body)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/json", "multipart/form-data", "multipart/form-data; boundary=",
                                  "multipart/form-data; boundary=" + "x" * 71, "\xff", "application/x-www-form-urlencoded2"])  # fmt: skip
def test_another_kind_of_body_is_refused(kind: str) -> None:
    with pytest.raises(InvalidInput):
        received(b"a=1", kind)


def test_a_form_is_bounded_in_bytes_fields_and_names() -> None:
    assert urlencoded(b"a=" + b"x" * 98, limit=100).typed("a") == "x" * 98
    with pytest.raises(BodyTooLarge):
        urlencoded(b"a=" + b"x" * 99, limit=100, pieces=7)
    with pytest.raises(InvalidInput, match="400 fields"):
        urlencoded(b"&".join(b"a%d=1" % i for i in range(401)))
    with pytest.raises(InvalidInput, match="name"):
        urlencoded(b"x" * 101 + b"=1")
    with pytest.raises(InvalidInput, match="name"):
        urlencoded(b"a%00=1")
    with pytest.raises(Busy):
        urlencoded(b"a=" + b"x" * 60_000, budget=1000)


def test_the_budget_is_given_back_whatever_happens() -> None:
    together = Budget(50_000)

    async def send(body: bytes, kind: bytes) -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        request = Request({"type": "http", "method": "POST", "headers": [(b"content-type", kind)]}, receive)
        await receive_form(request, PLENTY, together)

    for _ in range(3):
        asyncio.run(send(b"a=" + b"x" * 60_000, b"application/x-www-form-urlencoded"))
        with pytest.raises(InvalidInput):
            asyncio.run(send(b"a=%FF" + b"x" * 60_000, b"application/x-www-form-urlencoded"))


def test_a_file_comes_with_its_name_for_showing() -> None:
    form = multipart(
        (named(b"note"), "grüße".encode()),
        (
            named(b"list", b'; filename="../../etc/\x07list.csv"') + b"\r\nContent-Type: text/csv",
            b"0241234567,1GB\r\n\r\n--X",
        ),
        (named(b"none", b'; filename=""'), b""),
    )
    assert form.text("note") == "grüße"
    found = form.file("list")
    assert found is not None
    assert found.content == b"0241234567,1GB\r\n\r\n--X"
    assert found.name.isprintable()
    assert form.file("none") is None
    assert form.file("note") is None
    assert form.text("list") == ""


def test_two_files_in_one_field_are_an_error() -> None:
    form = multipart((named(b"f", b'; filename="a"'), b"1"), (named(b"f", b'; filename="b"'), b"2"))
    form.file("f")
    assert form.errors == {"f": "Choose one file."}


@pytest.mark.parametrize(
    "parts",
    [
        [(b"Content-Type: text/plain", b"no name")],
        [(b"Content-Disposition: attachment; name=a", b"x")],
        [(b"X-Long: " + b"x" * 3000, b"x")],
        [(b"\r\n".join([named(b"a")] + [b"X-%d: y" % i for i in range(11)]), b"x")],
        [(named(b"a%d" % i), b"x") for i in range(401)],
        [(named(b"f", b'; filename="x"'), b"x")] * 5,
        [(named(b"a"), b"\xff")],
        [(named(b"\xff"), b"a")],
    ],
    ids=[
        "no name",
        "not form-data",
        "long header",
        "many headers",
        "many parts",
        "many files",
        "no UTF-8",
        "name no UTF-8",
    ],
)
def test_parts_are_bounded_and_named(parts: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(InvalidInput):
        multipart(*parts)


def test_a_multipart_body_that_was_cut_off_is_refused() -> None:
    with pytest.raises(InvalidInput):
        multipart((named(b"a"), b"1"), end=b"")


KINDS = st.sampled_from(["application/x-www-form-urlencoded", "multipart/form-data; boundary=XX"])
PIECES = st.sampled_from(
    [
        b"--XX",
        b"--XX--",
        b"\r\n",
        b"\r\n\r\n",
        b"Content-Disposition: form-data",
        b'; name="a"',
        b'; filename="',
        b'"',
        b"%",
        b"=",
        b"&",
        b"%00",
        b"\xff",
        b":",
        b";",
        b"a",
        b"--",
    ]
)


@given(KINDS, st.lists(st.one_of(PIECES, st.binary(max_size=12)), max_size=40), st.integers(1, 5))
def test_any_bytes_are_a_form_or_are_refused(kind: str, body: list[bytes], pieces: int) -> None:
    try:
        form = received(b"".join(body), kind, pieces=pieces)
    except TelvendError:
        return
    for name in ("a", "csrf", ""):
        form.text(name)
        form.lines(name)
        form.file(name)
        assert "\x00" not in form.typed(name)


def test_a_whole_form_is_the_same_however_it_is_cut() -> None:
    dice = random.Random(5)
    content = bytes(dice.randrange(256) for _ in range(5000))
    for pieces in (1, 2, 3, 500, 5200):
        form = multipart((named(b"f", b'; filename="x"'), content), pieces=pieces)
        found = form.file("f")
        assert found is not None
        assert found.content == content
