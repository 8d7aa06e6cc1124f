"""PINs of an examination board: somebody is sent one or more, each with its serial, and enters them to see a result or to register.

Serial and PIN are text: leading zeros occur, and some boards use letters.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from telvend.catalog.kinds.model import PayloadForm, ProductKind, required
from telvend.catalog.kinds.phone_recipient import PHONE

_WORD: Final = re.compile(r"[A-Za-z0-9-]{4,32}", re.ASCII)


def _parse_pins(items: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    if not items:
        raise ValueError("there is no PIN")
    return [{field: _word(item, field) for field in ("serial", "pin")} for item in items]


def _word(item: Mapping[str, str], field: str) -> str:
    text = required(item, field)
    if not _WORD.fullmatch(text):
        raise ValueError(f"{field} is not 4 to 32 letters, digits and dashes")
    return text


def _lines(pin: Mapping[str, str]) -> list[tuple[str, str]]:
    return [("serial", pin["serial"]), ("PIN", pin["pin"])]


EXAM_PIN: Final = ProductKind("exam_pin", "Exam PIN", PHONE, PayloadForm("pins", _parse_pins, _lines))
