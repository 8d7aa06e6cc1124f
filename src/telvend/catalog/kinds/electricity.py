"""Prepaid electricity: a meter receives it, by tokens that somebody enters there in their order.

A token is text of 20 digits: leading zeros occur. A meter whose keys change wants KCT1, then KCT2, then the credit, and rejects
the credit otherwise. Source: IEC 62055-41 (STS).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from telvend.catalog.kinds.model import PayloadForm, ProductKind, RecipientRule, required

TOKEN_KINDS: Final = ("KCT1", "KCT2", "credit", "bonus")
"""In the order in which they are entered."""

_METER: Final = re.compile(r"[0-9]{11,13}", re.ASCII)
_SEPARATORS: Final = re.compile(r"[ -]")
_TOKEN: Final = re.compile(r"[0-9]{20}", re.ASCII)
_UNITS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,4})?", re.ASCII)
_SHOWN_OF_METER: Final = 4


def _parse_meter(text: str, country: str) -> str:  # noqa: ARG001 - meters of all countries have the same form
    meter = _SEPARATORS.sub("", text)
    if not _METER.fullmatch(meter):
        raise ValueError("must be a meter number: 11 to 13 digits")
    return meter


def _masked_meter(meter: str) -> str:
    return "*" * (len(meter) - _SHOWN_OF_METER) + meter[-_SHOWN_OF_METER:]


def _parse_tokens(items: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    tokens = [_parse_token(item) for item in items]
    if not any(token["kind"] == "credit" for token in tokens):
        raise ValueError("no token carries credit")
    # The sort is stable: tokens of one kind stay as they came.
    return sorted(tokens, key=lambda token: TOKEN_KINDS.index(token["kind"]))


def _parse_token(item: Mapping[str, str]) -> dict[str, str]:
    kind = required(item, "kind")
    digits = _SEPARATORS.sub("", required(item, "digits"))
    if kind not in TOKEN_KINDS:
        raise ValueError(f"kind is none of {', '.join(TOKEN_KINDS)}")
    if not _TOKEN.fullmatch(digits):
        raise ValueError("digits are not 20")
    token = {"kind": kind, "digits": digits}
    if units := item.get("units"):
        if not _UNITS.fullmatch(units):
            raise ValueError("units are no number")
        token["units"] = units
    return token


def in_groups(digits: str) -> str:
    """Return a token as it is shown, printed and read out: `2636 2054 4059 8275 7802`."""
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def _lines(token: Mapping[str, str]) -> list[tuple[str, str]]:
    lines = [(f"token ({token['kind']})", in_groups(token["digits"]))]
    return [*lines, ("units", f"{token['units']} kWh")] if "units" in token else lines


ELECTRICITY: Final = ProductKind(
    "electricity",
    "Electricity",
    RecipientRule("meter number", _parse_meter, _masked_meter),
    PayloadForm("tokens", _parse_tokens, _lines),
    by_amount=True,
)
