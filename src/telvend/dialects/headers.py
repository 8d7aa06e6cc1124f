"""The values of a request's headers, without the optional whitespace around them.

Source: RFC 9110, section 5.5, and RFC 9112, section 5: a recipient excludes spaces and tabs around a value. The parser removes
the leading ones only.
"""

from collections.abc import Iterable
from typing import Final

from telvend.dialects.contract import Header

BLANKS: Final = b" \t"


def header_values(headers: Iterable[Header]) -> dict[bytes, bytes]:
    """Each header's value by its name in lower case. Of a header that comes twice the last counts.

    Nothing that a dialect reads may stand in a request twice. A client that sends the same request again sends the same last
    value, so that a repeat stays a repeat.
    """
    return {name: value.strip(BLANKS) for name, value in headers}


def header_text(value: bytes) -> str:
    """A value as the same text would stand in a body: UTF-8, else Latin-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
