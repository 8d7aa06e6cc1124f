"""Who a request comes from: X-Forwarded-For is believed from the right, as far as proxies are trusted."""

from typing import Any

import pytest

from telvend.web.forwarded import PEER, TrustedProxies, is_local, peer_of, was_forwarded

PROXIES = TrustedProxies(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"])


def scope(*headers: tuple[str, str], peer: str = "127.0.0.1") -> dict[str, Any]:
    return {
        "client": (peer, 4711),
        "scheme": "http",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["192.0.2.1"], "192.0.2.1"),
        # What the client itself has written stands further to the left.
        (["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
        (["127.0.0.1, 192.0.2.1"], "192.0.2.1"),
        (["203.0.113.9,192.0.2.1,10.0.0.7, 10.0.0.8"], "192.0.2.1"),
        # Several lines are one.
        (["203.0.113.9", "192.0.2.1", "10.0.0.7"], "192.0.2.1"),
        (["10.1.1.1, 10.0.0.7"], "10.1.1.1"),
        # What is no address ends the search at the last good one.
        (["192.0.2.1, unknown, 10.0.0.7"], "10.0.0.7"),
        (["192.0.2.1, , 10.0.0.7"], "10.0.0.7"),
        (["unknown"], "127.0.0.1"),
        ([""], "127.0.0.1"),
        ([], "127.0.0.1"),
        (["192.0.2.1, 999.1.1.1"], "127.0.0.1"),
        # Ports and IPv6.
        (["192.0.2.1:4000"], "192.0.2.1"),
        (["[2001:db9::5]:4000"], "2001:db9::5"),
        (["[2001:db9::5]"], "2001:db9::5"),
        (["2001:DB9:0::5"], "2001:db9::5"),
        (["192.0.2.1, [2001:db8::7]:80"], "192.0.2.1"),
        (["::ffff:192.0.2.1"], "192.0.2.1"),
        (["[2001:db9::5"], "127.0.0.1"),
        (["[2001:db9::5]x"], "127.0.0.1"),
        # More hops than anybody has.
        ([",".join(["192.0.2.1", *["10.0.0.1"] * 5000])], "10.0.0.1"),
        (["1" * 60_000 + ", 192.0.2.1"], "192.0.2.1"),
        (["1" * 60_000], "127.0.0.1"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_trusted_proxy(lines: list[str], client: str) -> None:
    request = scope(*(("x-forwarded-for", line) for line in lines))
    PROXIES.resolve(request)
    assert request["client"][0] == client
    assert peer_of(request) == "127.0.0.1"
    assert request[PEER] == ("127.0.0.1", 4711)


@pytest.mark.parametrize(
    ("given", "scheme"),
    [("https", "https"), ("HTTPS", "https"), ("http", "http"), ("gopher", "http"), ("", "http"),
     ("http, https", "https"), ("https,http", "http"), ("javascript:", "http")],
)  # fmt: skip
def test_the_scheme_is_the_word_of_the_trusted_proxy(given: str, scheme: str) -> None:
    request = scope(("x-forwarded-proto", given))
    PROXIES.resolve(request)
    assert request["scheme"] == scheme


def test_a_peer_is_trusted_in_whatever_spelling_and_nobody_is_by_default() -> None:
    assert "127.0.0.1" in PROXIES
    assert "10.200.0.1" in PROXIES
    assert "192.0.2.1" not in PROXIES
    assert "127.0.0.1" not in TrustedProxies()


@pytest.mark.parametrize(
    "header", ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "via", "x-real-ip"]
)
def test_a_request_is_local_only_where_nobody_passed_it_on(header: str) -> None:
    assert is_local(scope())
    assert is_local(scope(peer="::1"))
    assert not is_local(scope((header, "x")))
    assert was_forwarded(scope((header, "x"))["headers"])
    assert not is_local(scope(peer="192.0.2.1"))
    assert not is_local({"client": None, "headers": []})
