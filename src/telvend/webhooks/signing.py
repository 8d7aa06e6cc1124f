"""Signatures of Standard Webhooks: HMAC-SHA256 over id, timestamp and body.

Source: the specification of Standard Webhooks 1.0, "Signature scheme".
"""

import base64
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

from telvend.kit.secret import Secret

PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32


def new_secret() -> bytes:
    """Return the bytes of a new secret."""
    return secrets.token_bytes(_SECRET_BYTES)


def secret_text(secret: bytes) -> Secret:
    """A secret as its owner gets it: `whsec_` and base64."""
    return Secret(PREFIX + base64.b64encode(secret).decode())


def signed_headers(message: str, timestamp: int, body: bytes, signing: Sequence[bytes]) -> dict[str, str]:
    """The headers of a message, with one signature for each secret, the newest first."""
    signed = b"%s.%d.%s" % (message.encode(), timestamp, body)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{_signature(secret, signed)}" for secret in signing),
    }


def _signature(secret: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
