"""What clients of today's networkdatasub send beside the printed contract, and what it stands for: one table.

The printed spelling always comes first, and nothing that is printed changes its meaning. What is not in `TABLE` is not taken.
A request in a courtesy's spelling is the same request as its printed twin: both are read into the same values before anything
is decided, so that they have one answer and, under one reference, one fingerprint.

Source: docs/decisions/0023; what published clients of the service send in 2026, and what they record of `/data/all-plans`.
"""

from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from enum import StrEnum
from typing import Any, Final

from telvend.dialects.serving import MOST_FIELDS, NOT_A_FORM, decode_url_encoded
from telvend.errors import BodyNotReadable


class Part(StrEnum):
    """Where in a request a courtesy stands."""

    HEADER = "header"
    VALUE = "value"
    FIELD = "field"
    BODY = "body"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Courtesy:
    """One line of the table: `taken` is read as `printed`."""

    part: Part
    taken: str
    printed: str
    about: str


TABLE: Final = (
    Courtesy(Part.HEADER, "Bearer", "Token", "the word before the key in `Authorization`, in any case"),
    Courtesy(
        Part.VALUE, "network", "network", 'the network\'s number, its `id` in `/networks`: `1` or `"1"` for `mtn`'
    ),
    Courtesy(Part.FIELD, "phone_number", "phone", "both are sent and differ: 422 that names both"),
    Courtesy(
        Part.FIELD,
        "data_plan_id",
        "plan_id",
        "both are sent and differ: 422 that names both; where `data_plan_id` is sent, `network` may be left out: it is the plan's",
    ),
    Courtesy(
        Part.BODY,
        "application/x-www-form-urlencoded",
        "application/json",
        "values are texts; `force_new` and `use_real_api` are `true`, `1`, `false`, `0` or empty",
    ),
    Courtesy(
        Part.BODY,
        "multipart/form-data",
        "application/json",
        "the same: what PHP sends for an array of fields; a file is not read",
    ),
    Courtesy(
        Part.ADDRESS,
        "/data/all-plans",
        "/data-plans",
        "the plans of every network in `data.plans`; `network` and `type` filter",
    ),
    Courtesy(Part.ADDRESS, "/wallet", "/wallet/balance", "the same answer"),
)


def _taken(part: Part) -> dict[str, str]:
    return {courtesy.taken: courtesy.printed for courtesy in TABLE if courtesy.part is part}


SCHEMES: Final = frozenset({"token", *(word.lower() for word in _taken(Part.HEADER))})
"""The words that may stand before the key, in lower case."""

OTHER_NAME: Final = {printed: taken for taken, printed in _taken(Part.FIELD).items()}
"""The printed name of a field → the name that is accepted as well."""

NUMBERED: Final = frozenset(_taken(Part.VALUE))
"""The fields whose value may be the number of what the printed word names."""

_MEDIA_TYPES: Final = frozenset(_taken(Part.BODY))


def number_in(field: str, value: Any) -> int | None:
    """The number in the value of a field that may be one: an integer or its digits, without leading zeros. None otherwise."""
    if field not in NUMBERED or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        digits = value.strip()
        if digits.isascii() and digits.isdigit() and digits[0] != "0" and len(digits) <= _MOST_DIGITS:
            return int(digits)
    return None


_MOST_DIGITS: Final = 9


# Bodies -----------------------------------------------------------------------------------------------------------------

_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False, "": False}
_FLAG_FIELDS: Final = ("force_new", "use_real_api")


def read_form_body(content_type: bytes, body: bytes) -> dict[str, Any] | None:
    """The fields of a form, each a text; None for a body that is to be read as JSON. Raises BodyNotReadable.

    curl sends JSON with the Content-Type of a form unless it is told otherwise. So a body that says so, and begins like JSON or
    has no `=`, is JSON. Of a field that comes twice the last counts, as in PHP.
    """
    if content_type.startswith(b"application/json"):
        return None  # Nearly all of them.
    kind = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    if kind not in _MEDIA_TYPES:
        return None
    if kind == "multipart/form-data":
        fields = _multipart(content_type, body)
    elif body and (body.lstrip()[:1] in (b"{", b"[", b'"') or b"=" not in body):
        return None
    else:
        fields = decode_url_encoded(body)
    return fields | {name: _FLAGS.get(fields[name].lower(), fields[name]) for name in _FLAG_FIELDS if name in fields}


def _multipart(content_type: bytes, body: bytes) -> dict[str, Any]:
    """Source: RFC 7578. The parser is the one that the standard library has for e-mail, which is the same format."""
    # Counted first: the parser takes its time for thousands of small parts. Each has this header.
    if body.lower().count(b"content-disposition") > MOST_FIELDS:
        raise BodyNotReadable(NOT_A_FORM)
    message = BytesParser().parsebytes(b"content-type: " + content_type + b"\r\n\r\n" + body)
    parts = message.get_payload()
    # Without its last boundary it may be half a request.
    if message.defects or not isinstance(parts, list):
        raise BodyNotReadable(NOT_A_FORM)
    fields: dict[str, Any] = {}
    for part in parts:
        if not isinstance(part, Message):
            raise BodyNotReadable(NOT_A_FORM)
        name, value = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if part.defects or not isinstance(name, str) or not isinstance(value, bytes):
            raise BodyNotReadable(NOT_A_FORM)
        if part.get_filename() is None:
            try:
                fields[name] = value.decode()
            except UnicodeDecodeError:
                raise BodyNotReadable(NOT_A_FORM) from None
    return fields
