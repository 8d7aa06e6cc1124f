"""Reading what authorities write: names in capitals, dates in half a dozen forms, pictures with and without a prefix.

Every function takes what was said, whatever it is, and answers in the one form of `contract.Record`; empty or None where
it cannot be understood. None raises.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from telvend.authorities.contract import Gender

_SPACES: Final = re.compile(r"\s+")
_NOTHING: Final = frozenset({"", "n/a", "na", "nil", "none", "null", "-", "--", ".", "undefined", "not available"})
_PARTS: Final = re.compile(r"[^\W\d_]+")

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_YEAR_FIRST: Final = re.compile(r"(\d{4})[-/. ](\d{1,2})[-/. ](\d{1,2})(?:[T ].*)?", re.ASCII)
_DAY_FIRST: Final = re.compile(r"(\d{1,2})[-/. ](\d{1,2}|[A-Za-z]{3,9})[-/., ]+(\d{4})(?:[T ].*)?", re.ASCII)

_GENDERS: Final = {"m": Gender.MALE, "male": Gender.MALE, "f": Gender.FEMALE, "female": Gender.FEMALE}

_DATA_PREFIX: Final = re.compile(r"\Adata:[\w.+-]+/[\w.+-]+(?:;[\w=.+-]+)*,", re.ASCII)
_PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_LARGEST_PICTURE_LETTERS: Final = 2_000_000

_LONGEST_TEXT: Final = 300

RETRY_LATER_S: Final = 60
_LONGEST_RETRY_S: Final = 3600


def fields_of(value: Any) -> dict[str, Any]:
    """The scalar fields of a JSON object, by their names in small letters without underscores (`residence_Town`)."""
    if not isinstance(value, Mapping):
        return {}
    return {
        str(name).replace("_", "").lower(): content
        for name, content in value.items()
        if isinstance(content, str | int) and not isinstance(content, bool)
    }


def first(fields: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that says something."""
    for name in names:
        if found := text(fields.get(name)):
            return found
    return ""


def text(value: Any) -> str:
    """One line without surplus spaces. Words for "nothing" are nothing, and so is what is masked with stars."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return ""
    line = _SPACES.sub(" ", "".join(letter for letter in str(value) if letter.isprintable() or letter.isspace()))
    line = line.strip()[:_LONGEST_TEXT].strip()
    return "" if line.lower() in _NOTHING or "**" in line else line


def name(value: Any) -> str:
    """A name as people write it: `OLUWASEUN` is Oluwaseun, `O'NEIL-ADE` is O'Neil-Ade; mixed writing is left alone."""
    line = text(value)
    if line.isupper() or line.islower():
        return _PARTS.sub(lambda part: part[0].capitalize(), line)
    return line


def day(value: Any) -> date | None:
    """A date: `24-09-1989`, `01-Jan-2000`, `01-January-1907`, `1990-01-01`, with dashes, slashes, dots or spaces.

    Where both are numbers the day comes first, as in Nigeria.
    """
    line = text(value)
    if match := _YEAR_FIRST.fullmatch(line):
        year, month, number = match[1], match[2], match[3]
    elif match := _DAY_FIRST.fullmatch(line):
        number, month, year = match[1], match[2], match[3]
    else:
        return None
    if not month.isdigit():
        if month[:3].lower() not in _MONTHS:
            return None
        month = str(_MONTHS.index(month[:3].lower()) + 1)
    try:
        return date(int(year), int(month), int(number))
    except ValueError:
        return None


def gender(value: Any) -> Gender:
    return _GENDERS.get(text(value).lower(), Gender.UNSAID)


def mobile(value: Any) -> str:
    """A Nigerian mobile number in the national form, `08012345678`; any other number as its digits."""
    digits = re.sub(r"\D", "", text(value), flags=re.ASCII)
    if digits.startswith("234") and len(digits) == 13:
        return "0" + digits[3:]
    if len(digits) == 10 and digits[0] in "789":
        return "0" + digits
    return digits[:20]


def picture(value: Any) -> str:
    """A PNG or JPEG as plain base64, from base64 of either alphabet, with or without a prefix, padding and newlines."""
    if not isinstance(value, str) or len(value) > _LARGEST_PICTURE_LETTERS:
        return ""
    letters = re.sub(r"\s", "", _DATA_PREFIX.sub("", value.strip())).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        found = base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return base64.b64encode(found).decode() if found.startswith(_PICTURES) else ""


def is_about(said: Any, asked: str) -> bool:
    """Whether a record is about the number that was asked for, as far as it says a whole number; some are masked."""
    digits = text(said)
    return digits == asked or not (len(digits) == 11 and digits.isascii() and digits.isdigit())


def seconds(retry_after: str) -> int:
    """What a Retry-After header asks for, within reason; a minute where it is absent or a date."""
    if retry_after.isascii() and retry_after.isdigit() and len(retry_after) <= 9:
        return max(1, min(int(retry_after), _LONGEST_RETRY_S))
    return RETRY_LATER_S
