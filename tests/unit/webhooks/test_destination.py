"""Where webhooks may be sent."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.errors import InvalidInput
from telvend.webhooks.destination import Destination, parse_url, refusal, require_public


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example", Destination(True, "a.example", 443, "/", "a.example")),
        ("https://A.Example./x?y=1", Destination(True, "a.example", 443, "/x?y=1", "a.example")),
        ("https://a.example:8443/x", Destination(True, "a.example", 8443, "/x", "a.example:8443")),
        ("https://203.0.114.7/", Destination(True, "203.0.114.7", 443, "/", "203.0.114.7")),
        ("https://[2606:4700::1]:443/", Destination(True, "2606:4700::1", 443, "/", "[2606:4700::1]")),
    ],
)
def test_a_public_address_is_taken_apart(url: str, expected: Destination) -> None:
    assert parse_url(url, allow_private=False) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "ftp://a.example/",
        "http://a.example/",
        "https://",
        "https:///x",
        "https://user:pass@a.example/",
        "https://user@a.example/",
        "https://a.example/#part",
        "https://a.example/#",
        "https://a.example:22/",
        "https://a.example:0/",
        "https://a.example:99999/",
        "https://a.example:x/",
        "https://a example/",
        "https://a.example/\r\nx: y",
        "https://a.example\\@b.example/",
        "https://münchen.example/",
        "https://a..example/",
        "https://[::1/",
        "https://localhost/",
        "https://x.localhost/",
        "https://printer.local/",
        "https://db.internal/",
        "https://router.home.arpa/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1]/",
        "https://" + "a" * 2048,
        f"https://{'a' * 64}.example/",
    ],
)
def test_what_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_url(url, allow_private=False)
    assert refused.value.field == "url"
    assert "pass" not in str(refused.value).replace("password", "")


@pytest.mark.parametrize(
    "url", ["http://localhost:3000/x", "http://127.0.0.1:22/", "http://10.0.0.1/", "https://a.local/"]
)
def test_a_machine_of_ones_own_is_allowed_by_the_setting(url: str) -> None:
    assert parse_url(url, allow_private=True).host


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.1", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
        "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "::", "::0.0.0.2", "::1", "::7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::a00:1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2001::1", "2001:db8::1", "2002:a00:1::", "2002:808:808::",
        "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "100::1", "192.88.99.1", "168.63.129.16", "3fff::1", "5f00::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_connected_to(address: str) -> None:
    assert refusal(ipaddress.ip_address(address), allow_private=False) is not None


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "41.215.160.10", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_connected_to(address: str) -> None:
    assert refusal(ipaddress.ip_address(address), allow_private=False) is None


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_all_its_spellings(address: ipaddress.IPv4Address) -> None:
    plain = refusal(address, allow_private=False) is None
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        other = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(address))
        assert (refusal(other, allow_private=False) is None) == plain


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    addresses = [ipaddress.ip_address(one) for one in ("8.8.8.8", "10.0.0.1")]
    with pytest.raises(InvalidInput, match="webhook_allow_private"):
        require_public(list(addresses), allow_private=False)
    require_public(list(addresses), allow_private=True)
