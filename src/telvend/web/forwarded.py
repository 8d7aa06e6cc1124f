"""The address of the client behind reverse proxies: the setting `trusted_proxies`.

A proxy that is trusted adds the address of its peer to the right end of X-Forwarded-For. The header is read from there: over
the addresses of trusted proxies, to the first that is none. What stands further to the left is only the word of that one,
and is not looked at. Without trusted proxies, and for every other peer, the header means nothing.

Forwarded (RFC 7239) and X-Real-IP are not read: one header, so that two can never contradict each other.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Final

from telvend.kit import log
from telvend.kit.networks import Networks, is_loopback, parse_address

PEER: Final = "telvend.peer"
"""The key in a request's scope under which the address of the connection stands where `client` is another."""

_MOST_HOPS: Final = 32
_LONGEST_HOP: Final = 64
_SCHEMES: Final = {b"http": "http", b"https": "https"}
_MARKS: Final = frozenset((b"forwarded", b"via", b"x-real-ip"))

Header = tuple[bytes, bytes]

_logger = log.get("telvend.http")
_ignored = log.LogLimit()


class TrustedProxies:
    """The proxies of this shop. Raises NotANetwork where one of `networks` is neither an address nor a network."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = Networks(networks)
        self._read = lru_cache(maxsize=4096)(_hop)

    def __contains__(self, address: str) -> bool:
        return bool(self._networks) and address in self._networks

    def resolve(self, scope: MutableMapping[str, Any]) -> None:
        """Set `client` and `scheme` of a request that came from a trusted proxy to those of its client."""
        given: list[bytes] = []
        scheme = b""
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                given.append(value)
            elif name == b"x-forwarded-proto":
                scheme = value
        peer = scope["client"]
        scope[PEER] = peer
        if given:
            scope["client"] = self._client(b",".join(given)) or peer
        if scheme:
            # The right-most is the word of the proxy that we trust.
            scope["scheme"] = _SCHEMES.get(scheme.rpartition(b",")[2].strip().lower(), scope["scheme"])

    def _client(self, given: bytes) -> tuple[str, int] | None:
        """The first address from the right that is no trusted proxy's; None where the right-most is no address.

        Of trusted ones only, the left-most; what is no address ends the search at the last good one.
        """
        found = None
        for text in reversed(given.rsplit(b",", _MOST_HOPS)[-_MOST_HOPS:]):
            hop = self._read(text) if len(text) <= _LONGEST_HOP else None
            if hop is None:
                break
            found = hop
            if hop[0] not in self._networks:
                break
        return found


def _hop(text: bytes) -> tuple[str, int] | None:
    """Read one entry: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`."""
    word = text.strip().decode("latin-1")
    port = ""
    if word.startswith("["):
        word, closed, rest = word[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            return None
        port = rest[1:]
    elif word.count(":") == 1:
        word, _, port = word.partition(":")
    address = parse_address(word)
    if address is None:
        return None
    return str(address), int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0


def peer_of(scope: Mapping[str, Any]) -> str:
    """Return the address of the connection itself, whoever the client behind it is; "" where there is none."""
    peer = scope.get(PEER) or scope["client"]
    return peer[0] if peer else ""


def was_forwarded(headers: Iterable[Header]) -> bool:
    """Whether a request says that a proxy has passed it on."""
    return any(name.startswith(b"x-forwarded-") or name in _MARKS for name, _ in headers)


def is_local(scope: Mapping[str, Any]) -> bool:
    """Whether a request was made on this machine, by nobody in somebody else's name."""
    return is_loopback(peer_of(scope)) and not was_forwarded(scope["headers"])


def warn_if_unread(headers: Iterable[Header]) -> None:
    """Say once a minute that X-Forwarded-For came from this machine and is not read: a proxy that nobody has named."""
    if any(name == b"x-forwarded-for" for name, _ in headers):
        _ignored.write(
            _logger.warning,
            "forwarded_header_ignored",
            advice="Every client of the reverse proxy counts as one address. Name the proxy in the setting trusted_proxies.",
        )
