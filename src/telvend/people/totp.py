"""Codes of the second factor (TOTP, RFC 6238: six digits, thirty seconds), and recovery codes."""

import secrets
from datetime import datetime
from typing import Final

import pyotp

STEP_S: Final = 30
RECOVERY_CODES: Final = 10
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS: Final = 4


def new_secret() -> str:
    """A secret in base32, as authenticator apps take it."""
    return pyotp.random_base32()


def provisioning_uri(secret: str, email: str, issuer: str) -> str:
    """The `otpauth://` address that an app reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=issuer)


def step_of(secret: str, code: str, at: datetime) -> int | None:
    """The step whose code this is, of the present one and its neighbours; None where it is none of theirs."""
    code = code.replace(" ", "")
    now = int(at.timestamp()) // STEP_S
    totp = pyotp.TOTP(secret)
    found = None
    for step in (now - 1, now, now + 1):
        if secrets.compare_digest(totp.at(step * STEP_S).encode(), code.encode("utf-8", "replace")):
            found = step
    return found


def new_recovery_codes() -> list[str]:
    """Codes of 79 bits each, in groups that can be copied by hand."""
    return [
        "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(_GROUPS))
        for _ in range(RECOVERY_CODES)
    ]


def recovery_text(code: str) -> str:
    """A recovery code in its one spelling."""
    return code.strip().lower().replace(" ", "-")
