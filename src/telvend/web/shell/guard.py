"""What keeps other sites out of forms: tokens that differ on every page, where a request comes from, local addresses only.

A form carries the token of its session, masked with a random pad. The mask differs on every page, so that the length of
compressed pages tells nothing about the token (BREACH).
"""

import base64
import binascii
import ipaddress
import secrets
from collections.abc import Mapping
from hmac import compare_digest
from typing import Final
from urllib.parse import urlsplit

LONGEST_NEXT: Final = 1024
_LONGEST_TOKEN: Final = 512


def mask(token: str) -> str:
    """Return a text that `is_masked` takes for this token, and that differs every time."""
    plain = token.encode()
    pad = secrets.token_bytes(len(plain))
    return base64.urlsafe_b64encode(pad + _xor(pad, plain)).decode()


def is_masked(given: str, token: str) -> bool:
    """Whether `given` was made of this token by `mask`."""
    if len(given) > _LONGEST_TOKEN:
        return False
    try:
        both = base64.b64decode(given.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return False
    half = len(both) // 2
    return compare_digest(_xor(both[:half], both[half:]), token.encode())


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=False))


def is_from_elsewhere(headers: Mapping[str, str], host: str) -> bool:
    """Whether a browser says that another site sent this form.

    Sec-Fetch-Site is believed first, which pages cannot set. Older browsers send Origin; scripts send neither.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit_host(origin) != host.lower()


def urlsplit_host(origin: str) -> str | None:
    """The host with its port in an Origin; None where it has none, as in "null"."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def local_path(text: str | None, default: str) -> str:
    """Return `text` where it is the path of a page of this server, else `default`.

    `//host`, `/\\host`, control characters that browsers leave out, and whatever has a scheme are none.
    """
    if not text or len(text) > LONGEST_NEXT or not text.isascii() or not text.isprintable() or " " in text:
        return default
    if not text.startswith("/") or text.startswith("//") or "\\" in text:
        return default
    try:
        parts = urlsplit(text)
    except ValueError:
        return default
    # What comes after dots are resolved must not begin with two slashes either.
    return default if parts.scheme or parts.netloc or "//" in parts.path else text


def keeps_cookies(scheme: str, host: str) -> bool:
    """Whether browsers keep Secure cookies of this address: over https, and over http on their own machine."""
    if scheme == "https":
        return True
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
