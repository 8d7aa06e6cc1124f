"""A list of purchases as a spreadsheet exports it: its text, its rows, and everything that is wrong with its form.

    product,to,amount,reference,email,note
    GH-MTN-1GB-30D,0241234567,,staff-1,,Ama
    GH-MTN-AIRTIME,0241234568,5,staff-2,,Kofi

`product` and `to` are needed, in any order and any case; the others may be left out. Commas, semicolons or tabs stand between
the fields; the text is UTF-8, UTF-16 with its mark, or the Western encoding of Windows. What a row asks for is read by counter.py.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import msgspec

from telvend.catalog.sheet import Problem
from telvend.errors import InvalidInput

COLUMNS: Final = ("product", "to", "amount", "reference", "email", "note")
_REQUIRED: Final = ("product", "to")
_ALSO_CALLED: Final = {
    "product_code": "product",
    "code": "product",
    "recipient": "to",
    "phone": "to",
    "msisdn": "to",
    "number": "to",
    "client_reference": "reference",
}
"""What other programs call the columns in their exports."""

MAXIMUM_BYTES: Final = 64 * 2**20
MAXIMUM_ROWS: Final = 200_000
"""A list is held in memory while it is sold: about one and a half kilobytes for each row."""

_WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How the files of spreadsheet programs themselves begin: .xlsx and .ods, .xls."""
_SEPARATOR_LINE: Final = re.compile(r"\A[\s]*sep=([,;\t])\s*?(?:\r\n|\r|\n)", re.IGNORECASE)
# Text that is copied from a chat or a web page may have invisible characters.
_UNSEEN: Final = dict.fromkeys([0x00AD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF]) | {0x00A0: " "}

_SHORTENED: Final = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+", re.ASCII)
_SHORTENED_SURELY: Final = re.compile(r"[0-9](?:[.,][0-9]+)?[eE]\+[0-9]+", re.ASCII)
_DECIMALS: Final = re.compile(r"\+?[0-9]+[.,]0*", re.ASCII)
_DECIMAL_COMMA: Final = re.compile(r"[0-9]+,[0-9]{1,2}", re.ASCII)

SHORTENED: Final = (
    "was shortened by a spreadsheet program, as in 2.33E+11, and has lost digits: format the column as text and enter"
    " it again"
)


class PurchaseRow(msgspec.Struct, frozen=True, gc=False):
    """One purchase as it stands in a list, its texts without spaces around. `line` counts from 1, the header's."""

    line: int
    product: str = ""
    to: str = ""
    amount: str = ""
    reference: str = ""
    email: str = ""
    note: str = ""


def text_of(data: bytes) -> str:
    """Return the text of a list. Raises InvalidInput for what is too long or no text."""
    if len(data) > MAXIMUM_BYTES:
        raise InvalidInput("csv", f"is larger than {MAXIMUM_BYTES // 2**20} MiB; split it")
    if data.startswith(_WORKBOOKS):
        raise InvalidInput("csv", "is a workbook; have the spreadsheet program save it as CSV (UTF-8)")
    text = _decoded(data)
    if "\0" in text:
        raise InvalidInput("csv", "is not text")
    return text


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise InvalidInput("csv", "is not text") from None
    # What is no UTF-8 is in the Western encoding of Windows, or in the one that gives every byte a letter.
    for encoding in ("utf-8-sig", "cp1252"):
        with suppress(UnicodeDecodeError):
            return data.decode(encoding)
    return data.decode("latin-1")


def read_rows(text: str) -> Iterator[PurchaseRow | Problem]:
    """Read the rows of a list, and in their places what is wrong with its form. Blank lines are passed over.

    Nothing follows a problem of the header, or a place from which on the text is not CSV.
    """
    separator, skipped = _separator(text)
    reader = csv.reader(io.StringIO(text[skipped:], newline=""), delimiter=separator, strict=True)
    before = 1 if skipped else 0
    header: list[str] | None = None
    rows = 0
    line = 1 + before
    try:
        for cells in reader:
            first_line, line = line, reader.line_num + 1 + before
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [_column(cell) for cell in cells]
                while header and not header[-1]:
                    header.pop()
                problems = _header_problems(header, first_line)
                yield from problems
                if problems:
                    return
                continue
            rows += 1
            if rows > MAXIMUM_ROWS:
                yield Problem(first_line, "", f"is beyond the {MAXIMUM_ROWS:,} rows that one list may have; split it")
                return
            # Spreadsheet programs leave empty fields at the end out, or add some.
            if any(cell.strip() for cell in cells[len(header) :]):
                problem = f"has {len(cells)} fields, the header has {len(header)}; a field with a separator in it needs quotes"
                yield Problem(first_line, "", problem)
                continue
            yield PurchaseRow(first_line, **{name: _clean(cell) for name, cell in zip(header, cells, strict=False)})
    except csv.Error as error:
        yield Problem(line, "", f"is not CSV, and nothing after it was read: {error}")
        return
    if header is None:
        yield Problem(1, "", f"the header is missing: {','.join(COLUMNS)}")
    elif not rows:
        yield Problem(1, "", "there is nothing below the header")


def is_shortened(reference: str) -> bool:
    """Whether a spreadsheet program has taken a reference for a number: those of many rows have become one then."""
    return _SHORTENED_SURELY.fullmatch(reference) is not None


def number_problem(text: str) -> str | None:
    """What a spreadsheet program has done to a number; None where it has done nothing that can be seen."""
    if _SHORTENED.fullmatch(text):
        return SHORTENED
    if _DECIMALS.fullmatch(text):
        return "was made a number with decimals by a spreadsheet program: format the column as text and enter it again"
    return None


def amount_problem(text: str) -> str | None:
    """What is wrong with an amount that a spreadsheet program of another country has written; None where that is not it."""
    if _DECIMAL_COMMA.fullmatch(text):
        return f"has a decimal comma: write {text.replace(',', '.')}"
    return None


class DerivedReferences:
    """The references of rows that have none of their own.

    A reference is made of the name of the list and of what the row asks for: who pays, the product, the recipient, the amount, and
    which it is of rows that ask for the same. So it stays when the rows are sorted, when others are added, mended or removed, and
    when a spreadsheet program saves the file in another form. A row that is changed is another purchase.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._count: dict[bytes, int] = {}

    def next(self, *asked_for: str) -> str:
        """Return the reference of the next row."""
        digest = _digest(self._name, *asked_for)
        count = self._count.get(digest, 0)
        self._count[digest] = count + 1
        # Half of the digest is 128 bits: two purchases never have the same.
        return f"{self._name}/{_digest(digest.hex(), str(count)).hex()[:32]}"


LONGEST_NAME: Final = 64


def name_of_list(file_name: str) -> str:
    """Return the name of a list without one: its file name, or a digest of that where it is too long or cannot be printed."""
    if len(file_name) <= LONGEST_NAME and file_name.isprintable():
        return file_name
    return "list-" + _digest(file_name.encode("utf-8", "surrogateescape").hex()).hex()[:16]


def _digest(*texts: str) -> bytes:
    # Each text with its length in front, so that no two sequences of texts are one.
    return hashlib.sha256("".join(f"{len(text)}:{text}" for text in texts).encode("utf-8", "surrogatepass")).digest()


def _clean(cell: str) -> str:
    return cell.translate(_UNSEEN).strip()


def _separator(text: str) -> tuple[str, int]:
    """What stands between the fields, and how many characters before the header say so."""
    said = _SEPARATOR_LINE.match(text)
    if said is not None:
        return said[1], said.end()
    head = next((line for line in io.StringIO(text[:10_000]) if line.strip(" ,;\t\r\n")), "")

    def known(separator: str) -> int:
        return sum(cell.strip(' "\r\n').casefold() in COLUMNS for cell in head.split(separator))

    return max(",;\t", key=known), 0


def _column(cell: str) -> str:
    name = _clean(cell).casefold().replace(" ", "_")
    return _ALSO_CALLED.get(name, name)


def _header_problems(header: list[str], line: int) -> list[Problem]:
    missing = [name for name in _REQUIRED if name not in header]
    # A misspelt `reference` would otherwise be left out without a word, and its rows sold under others.
    unknown = [name for name in header if name not in COLUMNS]
    twice = sorted({name for name in header if name in COLUMNS and header.count(name) > 1})
    return [
        *(Problem(line, name, "this column is missing") for name in missing),
        *(Problem(line, name, f"is not one of the columns {', '.join(COLUMNS)}") for name in unknown if name),
        *(Problem(line, "", "a column has no name") for name in unknown if not name),
        *(Problem(line, name, "this column stands there twice") for name in twice),
    ]
