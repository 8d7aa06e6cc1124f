"""Read and authenticate callbacks. Pure.

Nothing in a body is believed as an outcome, signed or not: a purchase is asked about, and the answer counts.
"""

import hashlib
import hmac
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from telvend.kit.secret import Secret
from telvend.providers.reading import reference_of, value_at
from telvend.providers.upstream import CallbackForm, CallbackSignature

_HEX: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_SECONDS: Final = re.compile(r"\d{1,12}(?:\.\d{1,9})?", re.ASCII)
_MILLISECONDS_FROM: Final = 10**11


class Result(StrEnum):
    """What became of a callback, for the count of them."""

    TAKEN = "taken"
    """Stored, to be looked at."""
    WITHOUT_REFERENCE = "without_reference"
    """About something else, such as changed prices."""
    FULL = "full"
    """Not stored: too many wait, or come at once."""
    UNKNOWN = "unknown"
    """No attempt that is open, or that a person has decided, has its reference."""
    BROUGHT_FORWARD = "brought_forward"
    """The next question is put now."""
    NOTHING = "nothing"
    """The attempt is being asked about already."""


def is_from(given: str, secret: Secret) -> bool:
    """Whether the secret of an address is the right one, in a time that does not depend on what is wrong with it."""
    return hmac.compare_digest(*(hashlib.sha256(text.encode()).digest() for text in (given, secret.reveal())))


def is_signed(
    signature: CallbackSignature, secret: Secret, headers: Mapping[str, str], body: bytes, now: datetime
) -> bool:
    """Whether the vendor has signed this body, a short time ago. `headers` have lower-case names."""
    stamp, given = headers.get(signature.timestamp_header, ""), headers.get(signature.header, "")
    signed = hmac.new(
        secret.reveal().encode(), body + signature.separator + stamp.encode("latin-1", "replace"), hashlib.sha256
    )
    made = bytes.fromhex(given) if _HEX.fullmatch(given) else b""
    sent_at = _moment(stamp)
    fresh = sent_at is not None and abs((now - sent_at).total_seconds()) <= signature.window_s
    return hmac.compare_digest(signed.digest(), made) and fresh


def _moment(text: str) -> datetime | None:
    """A time in seconds or milliseconds since 1970, or in ISO 8601 with its zone; None for anything else."""
    try:
        if _SECONDS.fullmatch(text) or (text.isascii() and text.isdigit() and len(text) == 13):
            seconds = float(text)
            if not math.isfinite(seconds):
                return None
            return datetime.fromtimestamp(seconds / 1000 if seconds >= _MILLISECONDS_FROM else seconds, UTC)
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return at if at.tzinfo is not None else None


def reference_in(form: CallbackForm, body: bytes) -> str | None:
    """The reference that a body is about; empty where it is about none. None: it is no JSON object."""
    try:
        decoded: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(decoded, dict):
        return None
    found = (reference_of(value_at(decoded, path)) for path in form.references)
    return next(filter(None, found), "")
