"""Sets of IP addresses and networks, as settings name them, and addresses in the one spelling that is compared."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address

LONGEST_ADDRESS: Final = 45
"""The letters of the longest IPv6 address, without a zone."""


class NotANetwork(ValueError):
    """A text is no address and no network. The message is the end of a sentence: `'x' is not …`."""


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Return the network that `text` names; a single address is a network of one. Raises NotANetwork.

    A network of every address is refused: whoever is meant to be trusted can be named more closely.
    """
    text = text.strip()
    try:
        network = ip_network(text)
    except ValueError:
        try:
            nearest = ip_network(text, strict=False)
        except ValueError:
            raise NotANetwork(f"{text!r} is not an IP address or network") from None
        raise NotANetwork(f"{text!r} is an address within a network; the network is {nearest}") from None
    if network.prefixlen == 0:
        raise NotANetwork(f"{text!r} is every address there is")
    return network


def parse_address(text: str) -> Address | None:
    """Return the address, an IPv4-mapped one (`::ffff:10.0.0.1`) as IPv4 and without its zone; None for anything else."""
    text = text.partition("%")[0]
    return _parse(text) if len(text) <= LONGEST_ADDRESS else None


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class Networks:
    """A set of networks. `address in networks` takes a text; what is no address is in none."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Raises NotANetwork."""
        self._networks = tuple(parse_network(text) for text in texts)
        self._holds = lru_cache(maxsize=4096)(self._look)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, text: str) -> bool:
        return len(text) <= LONGEST_ADDRESS and self._holds(text)

    def _look(self, text: str) -> bool:
        address = parse_address(text)
        return address is not None and any(address in network for network in self._networks)


def is_loopback(text: str) -> bool:
    """Whether an address is this machine's own."""
    address = parse_address(text)
    return address is not None and address.is_loopback
