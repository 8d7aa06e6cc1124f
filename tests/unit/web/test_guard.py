"""Against other sites: masked tokens, where a form comes from, and addresses that are only ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.web.shell.guard import is_from_elsewhere, is_masked, keeps_cookies, local_path, mask
from telvend.web.shell.pages import read_flash


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=16, max_size=64))
def test_a_masked_token_is_known_and_never_the_same(token: str) -> None:
    first, second = mask(token), mask(token)
    assert first != second
    assert token not in first
    assert is_masked(first, token)
    assert is_masked(second, token)
    assert not is_masked(first, token[:-1] + ("a" if token[-1] != "a" else "b"))
    assert not is_masked(token, token)


@given(st.text(max_size=600))
def test_no_text_is_taken_for_a_token_nor_an_error(text: str) -> None:
    assert not is_masked(text, "s" * 32)


def test_an_empty_token_is_none() -> None:
    assert not is_masked("", "s" * 32)


@pytest.mark.parametrize(
    ("headers", "elsewhere"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "https://shop.example"}, True),
        ({"origin": "https://shop.example"}, False),
        ({"origin": "https://SHOP.example"}, False),
        ({"origin": "https://evil.example"}, True),
        ({"origin": "https://shop.example.evil.example"}, True),
        ({"origin": "https://shop.example:8443"}, True),
        ({"origin": "null"}, True),
        ({"origin": "https://[::1"}, True),
        ({"origin": ""}, True),
    ],
)
def test_where_a_form_comes_from(headers: dict[str, str], elsewhere: bool) -> None:
    assert is_from_elsewhere(headers, "shop.example") is elsewhere


@pytest.mark.parametrize(
    "path", ["/home", "/transactions?from=2026-01-01&to=", "/a/b#c", "/reset/%20x", "/-._~!$&'()*+,;=:@"]
)
def test_a_page_of_ours_is_a_local_path(path: str) -> None:
    assert local_path(path, "/x") == path


NOT_OURS = [
    None, "", "home", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example",
    "/\t/evil.example", "/\n/evil.example", "/a//evil.example", "/..//evil.example", "javascript:alert(1)", "/é", "/ x",
    "/" + "x" * 1024, "http:/home", "/\x00", "?x", "#x", "//[", "/a\\b",
]  # fmt: skip


@pytest.mark.parametrize("path", NOT_OURS)
def test_nothing_else_is_a_local_path(path: str | None) -> None:
    assert local_path(path, "/x") == "/x"


@given(st.text(max_size=60))
def test_a_local_path_never_leaves_this_host(text: str) -> None:
    found = local_path(text, "/x")
    assert found.startswith("/")
    assert not found.startswith(("//", "/\\"))
    assert found.isprintable()


@pytest.mark.parametrize(
    ("scheme", "host", "keeps"),
    [
        ("https", "shop.example", True),
        ("http", "shop.example", False),
        ("http", "shop.example:8000", False),
        ("http", "192.168.1.10:8000", False),
        ("http", "localhost:8000", True),
        ("http", "localhost", True),
        ("http", "shop.localhost:8000", True),
        ("http", "127.0.0.1:8000", True),
        ("http", "[::1]:8000", True),
        ("http", "[::1]", True),
        ("http", "localhost.evil.example", False),
        ("http", "", False),
    ],
)
def test_where_browsers_keep_secure_cookies(scheme: str, host: str, keeps: bool) -> None:
    assert keeps_cookies(scheme, host) is keeps


@given(st.text(st.characters(blacklist_characters=":"), max_size=200))
def test_a_text_without_a_tone_is_no_flash(text: str) -> None:
    assert read_flash(text) is None


@pytest.mark.parametrize("text", ["good:", "evil:a", "good:a%00", "good:%ff", "good:" + "x" * 401, ":x", "%3Agood"])
def test_a_flash_of_another_shape_is_nothing(text: str) -> None:
    assert read_flash(text) is None


def test_a_flash_is_its_tone_and_its_sentence() -> None:
    assert read_flash("good%3A%E2%82%A65%3A%20paid") == ("good", "₦5: paid")
