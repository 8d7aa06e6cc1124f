"""Where webhooks may be sent: what a URL may look like, and which addresses it may lead to.

    destination = parse_url(text, allow_private=False)        # raises InvalidInput
    refusal(address, allow_private=False)                     # why this address is not connected to; None where it is

A name may lead to another address at each look (DNS rebinding), so what counts is the address that is connected to: client.py
resolves the name, asks `refusal`, and connects to that address.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from telvend.errors import InvalidInput

LONGEST_URL: Final = 2048

_FIELD: Final = "url"
_LOCAL_NAMES: Final = ("localhost", "localdomain", "local", "internal", "intranet", "lan", "home.arpa", "corp")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_REFUSED: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments; a cloud's metadata among them
            "192.88.99.0/24",  # relays of 6to4
            "168.63.129.16/32",  # a cloud's host, from inside
            "64:ff9b:1::/48",  # translation of a network's own
            "100::/64",  # discarded
            "2001::/23",  # protocol assignments, Teredo among them
            "2002::/16",  # 6to4: stands for an IPv4 address
            "3fff::/20",  # documentation
            "5f00::/16",  # segment routing
        ),
    )
)
"""What versions of Python differ about, and what looks public and is not.

Source: IANA's registries of special-purpose addresses, October 2025.
"""
_COMPATIBLE: Final = ipaddress.ip_network("::/96")
_PORTS_OF_OTHERS: Final = 1024

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL, taken apart. `host` is a name in ASCII or an address; `target` is the request's; `authority` its Host header."""

    tls: bool
    host: str
    port: int
    target: str
    authority: str


def parse_url(text: str, *, allow_private: bool) -> Destination:
    """Take a URL apart. `allow_private`: also http, and any port and name. Raises InvalidInput, without repeating the URL."""
    if not 1 <= len(text) <= LONGEST_URL or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidInput(_FIELD, f"must be 1 to {LONGEST_URL} printable ASCII characters without blanks")
    try:
        parts = urlsplit(text)
        port, name = parts.port, parts.hostname
    except ValueError:
        raise InvalidInput(_FIELD, "must be an address such as https://example.com/webhooks") from None
    if parts.scheme not in ("https", "http") or not name or "\\" in text:
        raise InvalidInput(_FIELD, "must be an address such as https://example.com/webhooks")
    if parts.scheme == "http" and not allow_private:
        raise InvalidInput(_FIELD, "must begin with https://, so that nobody on the way reads or changes what is sent")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(_FIELD, "must not hold a user name or password; the signature says who sends")
    if parts.fragment or text.endswith("#"):
        raise InvalidInput(_FIELD, "must not hold a fragment (#…)")
    tls = parts.scheme == "https"
    port = (443 if tls else 80) if port is None else port
    if port == 0 or (not allow_private and port < _PORTS_OF_OTHERS and port not in (80, 443)):
        raise InvalidInput(_FIELD, "must be at port 443, 80, or one from 1024")
    host = name.rstrip(".").lower()
    if not host or len(host) > 253 or any(not 1 <= len(label) <= 63 for label in host.split(".") if ":" not in host):
        raise InvalidInput(_FIELD, "must name a host")
    _require_public_name(host, allow_private=allow_private)
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port == (443 if tls else 80) else f"{shown}:{port}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(tls, host, port, target, authority)


def _require_public_name(host: str, *, allow_private: bool) -> None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        if not allow_private and (host.split(".")[-1] in _LOCAL_NAMES or host.endswith(".home.arpa")):
            raise InvalidInput(_FIELD, _PRIVATE) from None
        return
    if refusal(address, allow_private=allow_private) is not None:
        raise InvalidInput(_FIELD, _PRIVATE)


_PRIVATE: Final = "must not lead to a private or local address; on a machine of your own the setting webhook_allow_private allows that"


def require_public(addresses: list[Address], *, allow_private: bool) -> None:
    """Raise InvalidInput where one of the addresses that a name leads to may not be connected to."""
    if any(refusal(address, allow_private=allow_private) is not None for address in addresses):
        raise InvalidInput(_FIELD, _PRIVATE)


def refusal(address: Address, *, allow_private: bool) -> str | None:
    """Why an address is not connected to, in a few words; None where it may be."""
    reached = _reached(address)
    if reached.is_multicast or reached.is_unspecified:
        return f"{address} is the address of no single machine"
    if allow_private:
        return None
    if (
        not reached.is_global
        or reached.is_reserved
        or (isinstance(reached, ipaddress.IPv6Address) and reached.is_site_local)
        or any(reached in network for network in _REFUSED)
    ):
        return f"{address} is a private or local address"
    return None


def _reached(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for: a mapped or translated one. Else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
