"""Addresses and networks as settings name them."""

import pytest

from telvend.kit.networks import Networks, NotANetwork, is_loopback, parse_network


def test_an_address_is_a_network_of_one_and_spelling_does_not_matter() -> None:
    networks = Networks(["10.0.0.1", "192.168.0.0/16", "2001:db8::/32", "::1"])
    for inside in (
        "10.0.0.1",
        "::ffff:10.0.0.1",
        "192.168.3.4",
        "2001:DB8:0::7",
        "0:0:0:0:0:0:0:1",
        "2001:db8::7%eth0",
    ):
        assert inside in networks, inside
    for outside in ("10.0.0.2", "192.169.0.1", "2001:db9::1", "", "nobody", "1" * 500, "010.0.0.1", "10.0.0.1 "):
        assert outside not in networks, outside
    assert "10.0.0.1" not in Networks()


@pytest.mark.parametrize(
    ("text", "why"),
    [("10.0.0.0/33", "is not an IP address or network"), ("proxy.internal", "is not an IP address or network"),
     ("*", "is not"), ("", "is not"), ("10.0.0.1/8", "the network is 10.0.0.0/8"), ("0.0.0.0/0", "every address"),
     ("::/0", "every address"), ("127.1", "is not"), ("10.0.0.1,10.0.0.2", "is not")],
)  # fmt: skip
def test_what_is_no_network_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(NotANetwork, match=why):
        parse_network(text)


def test_loopback_is_this_machine_however_it_is_written() -> None:
    assert all(is_loopback(text) for text in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"))
    assert not any(is_loopback(text) for text in ("10.0.0.1", "", "localhost", "::2"))
