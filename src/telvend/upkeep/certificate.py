"""The check of the certificate that clients see at `public_url`."""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from telvend.config import Settings
from telvend.upkeep.findings import Finding, Level

_CHECK: Final = "certificate"
_WITHIN_S: Final = 1.5
_SOON_DAYS: Final = 14


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client sees. `ends_at`: when the certificate ends, None where none was shown; `refusal`: why clients refuse it, or "".

    `unreachable`: why nothing was seen, or "".
    """

    ends_at: datetime | None = None
    refusal: str = ""
    unreachable: str = ""


async def certificate(settings: Settings) -> Sequence[Finding]:
    """Say for how long the certificate of `public_url` is good, and fail where clients refuse it."""
    url = settings.public_url
    if not url:
        return []
    address = urlsplit(url)
    if address.scheme != "https" or not address.hostname:
        return [
            Finding(
                _CHECK,
                Level.WARNING,
                f"Clients reach this shop at {url}, unencrypted.",
                "Use https: docs/howto/reverse-proxy.md",
            )
        ]
    return [_finding(address.hostname, await look_at(address.hostname, address.port or 443))]


def _finding(name: str, seen: Seen, now: datetime | None = None) -> Finding:
    renew = "Renew it: look at the log of your reverse proxy."
    if seen.unreachable:
        text = f"{name} could not be reached from this machine: {seen.unreachable}."
        return Finding(_CHECK, Level.WARNING, text, "Try it from elsewhere: curl -I " + f"https://{name}")
    if seen.refusal:
        return Finding(_CHECK, Level.FAILURE, f"Clients refuse the certificate of {name}: {seen.refusal}.", renew)
    if seen.ends_at is None:
        return Finding(_CHECK, Level.FAILURE, f"{name} shows no certificate.", renew)
    days = (seen.ends_at - (now or datetime.now(UTC))).days
    text = f"The certificate of {name} is good for {days} more days, until {seen.ends_at:%Y-%m-%d}."
    if days < _SOON_DAYS:
        return Finding(_CHECK, Level.WARNING, text, renew)
    return Finding(_CHECK, Level.OK, text)


async def look_at(host: str, port: int) -> Seen:
    """Connect as a client does, and read the certificate."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            return Seen(await _ends_at(host, port, ssl.create_default_context()))
    except ssl.SSLCertVerificationError as error:
        return Seen(refusal=str(error.verify_message or "it cannot be verified").rstrip("."))
    except ssl.SSLError as error:
        return Seen(unreachable=f"no TLS there ({error.reason})")
    except TimeoutError:
        return Seen(unreachable="no answer in time")
    except OSError as error:
        return Seen(unreachable=(error.strerror or type(error).__name__).rstrip("."))


async def _ends_at(host: str, port: int, context: ssl.SSLContext) -> datetime | None:
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return x509.load_der_x509_certificate(shown).not_valid_after_utc if shown else None
