"""How an answer of a vendor is read: strictly, since what no document prints means nothing.

body = json_object(reply)            # None: an HTML page, a cut answer, a key that stands there twice
money_of(body["price"], GHS)         # None: "4,50", 4.499999, -1, true
"""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any, Final

from telvend.catalog.model import parse_size
from telvend.kit.money import MAXIMUM_MINOR, Currency, Money
from telvend.providers.over_http import ProviderReply

_JSON_TYPE: Final = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json", re.ASCII)
_PLAIN: Final = re.compile(r"\d{1,15}(?:\.\d{1,20})?", re.ASCII)
_REFERENCE: Final = re.compile(r"[!-~]{1,128}", re.ASCII)

# Sums of vendors that count in binary carry noise from the seventh decimal on; no currency has a coin there.
_NOISELESS: Final = Decimal("0.000001")
_EXACT: Final = Context(prec=60)


class _NotPrinted(ValueError):
    """JSON that no documented answer is."""


def json_object(reply: ProviderReply) -> dict[str, Any] | None:
    """Return the JSON object of an answer, numbers exact; None where it is none, or says something twice."""
    return parsed_object(reply.body) if _is_json(reply) else None


def json_objects(reply: ProviderReply) -> list[dict[str, Any]] | None:
    """Return the JSON list of an answer, like `json_object`; None where it is none, or holds anything but objects."""
    body = _parsed(reply.body) if _is_json(reply) else None
    return body if isinstance(body, list) and all(isinstance(one, dict) for one in body) else None


def parsed_object(content: bytes) -> dict[str, Any] | None:
    """Return the JSON object of an answer whose vendor may call it something else, such as text/html."""
    body = _parsed(content)
    return body if isinstance(body, dict) else None


def _is_json(reply: ProviderReply) -> bool:
    media_type = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    return _JSON_TYPE.fullmatch(media_type) is not None


def _parsed(content: bytes) -> Any:
    try:
        return _DECODER.decode(content.decode())
    except (ValueError, ArithmeticError, RecursionError):
        return None


def _no_constant(text: str) -> Any:
    raise _NotPrinted(text)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _NotPrinted("a key stands there twice")
    return found


# json.loads makes a decoder for each text, which takes longer than a short text.
_DECODER: Final = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_pairs)


def at(body: Any, *path: str) -> Any:
    """Return what stands at a path of keys; None where nothing does."""
    for key in path:
        if not isinstance(body, Mapping):
            return None
        body = body.get(key)
    return body


def value_at(body: Any, steps: Sequence[str | int]) -> Any:
    """Return what stands at a path of keys and places in arrays; None where nothing does."""
    for step in steps:
        if isinstance(step, int):
            body = body[step] if isinstance(body, list) and 0 <= step < len(body) else None
        else:
            body = body.get(step) if isinstance(body, dict) else None
        if body is None:
            return None
    return body


def money_of(value: Any, currency: Currency) -> Money | None:
    """Return an amount in whole units, a JSON number or its digits as text, with no more decimals than the currency has."""
    number = number_of(value)
    if number is None:
        return None
    minor = number.scaleb(currency.digits, _EXACT)
    if minor != minor.to_integral_value() or minor > MAXIMUM_MINOR:
        return None
    return Money(int(minor), currency)


def rounded_money_of(value: Any, currency: Currency, *, up: bool) -> Money | None:
    """Return an amount that the vendor has calculated, rounded to the minor unit: a cost up, a float down.

    3.5 % of NGN 101 leaves a tenth of a kobo, and binary fractions leave noise.
    """
    number = number_of(value)
    if number is None:
        return None
    minor = number.quantize(_NOISELESS, context=_EXACT).scaleb(currency.digits, _EXACT)
    whole = minor.to_integral_value(ROUND_CEILING if up else ROUND_FLOOR)
    return Money(int(whole), currency) if whole <= MAXIMUM_MINOR else None


def number_of(value: Any) -> Decimal | None:
    """Return a number of 0 or more, a JSON number or its digits as text; None for anything else."""
    if isinstance(value, str):
        return Decimal(value) if _PLAIN.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if isinstance(value, int):
        return Decimal(value) if 0 <= value <= MAXIMUM_MINOR else None
    exponent = value.as_tuple().exponent
    # Written out, 1e-999999999 would fill the memory.
    if not isinstance(exponent, int) or abs(exponent) > 30 or not 0 <= value <= MAXIMUM_MINOR:
        return None
    return value


def reference_of(value: Any) -> str | None:
    """Return a vendor's reference: a text of printable ASCII, or a whole number; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        value = str(value)
    return value if isinstance(value, str) and _REFERENCE.fullmatch(value) else None


def size_of(text: str) -> str:
    """Return a size as the catalogue spells it (`1GB`); a text that is no size stays as it is."""
    try:
        return parse_size(text)
    except ValueError:
        return text
