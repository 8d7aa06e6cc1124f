"""Which addresses belong to one and the same."""

import pytest

from telvend.kit.addresses import network_of, server_url


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:DB8:0:0:ffff::9", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("", ""),
        ("testclient", "testclient"),
        ("192.0.2.1:80", "192.0.2.1:80"),
    ],
)
def test_an_address_belongs_to_itself_in_ipv4_and_to_its_64_in_ipv6(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize("setting", ["https://shop.example", "https://shop.example/", ""])
def test_the_address_of_the_server_has_no_slash_at_its_end(setting: str) -> None:
    assert server_url(setting, "https", "shop.example") == "https://shop.example"
