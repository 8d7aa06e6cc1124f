"""Addresses: which of clients belong to one and the same, and the one by which clients reach this server."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Who answers for this address: it alone in IPv4, its /64 in IPv6, which one customer has whole.

    Without the /64 somebody could send every request from an address that was never seen before. What is no address is
    returned as it is.
    """
    try:
        found: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    if found.is_loopback:
        return str(found)
    return f"{IPv6Address(int(found) >> 64 << 64)}/64"


def server_url(public_url: str, scheme: str, host: str) -> str:
    """How clients reach this server, without a slash at its end: the setting `public_url`, else what the request says."""
    return (public_url or f"{scheme}://{host}").rstrip("/")
