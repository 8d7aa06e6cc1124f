"""Checks of the addresses that clients use. They need only the settings."""

import ipaddress
from collections.abc import Sequence

from telvend.config import Settings
from telvend.upkeep.findings import Finding, Level


async def public_address(settings: Settings) -> Sequence[Finding]:
    """Warn where others than this machine can reach the server and it does not know its own address."""
    if settings.public_url:
        return [Finding("public address", Level.OK, f"Clients reach this shop at {settings.public_url}.")]
    if is_local(settings.host):
        return [Finding("public address", Level.OK, f"The server listens on {settings.host}, for this machine only.")]
    return [
        Finding(
            "public address",
            Level.WARNING,
            f"The server listens on {settings.host} and public_url is not set: addresses in answers, payment_url among"
            " them, are taken from the Host header that the client sends.",
            "Set public_url to the https address that clients use.",
        )
    ]


def is_local(host: str) -> bool:
    """Return whether only this machine reaches a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
