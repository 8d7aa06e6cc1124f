"""A statement as vendors export it: CSV, each with its own columns, words, dates and separators.

    statement = Statement.open([path], chosen, zone, currency)     # reads the heads; says which columns were found
    for line in statement.lines(): ...                             # one at a time, however long the files are
    statement.digest, statement.unreadable                         # afterwards

Columns are found by the names that exports commonly have; `StatementOptions.columns` says others.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation
from pathlib import Path
from typing import BinaryIO, Final, TextIO
from zoneinfo import ZoneInfo

from telvend.errors import InvalidInput
from telvend.kit.money import CURRENCIES, MAXIMUM_MINOR, Currency, Money, foreign_currency
from telvend.providers.upstream import LineStatus, StatementLine

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "reference": (
        "request id", "requestid", "client reference", "custom identifier", "customidentifier", "external id",
        "external reference", "merchant reference", "our reference", "customer reference", "user reference",
        "reference", "reference number", "reference no", "ref", "ref no", "order reference",
    ),
    "provider_reference": (
        "transaction id", "transactionid", "txn id", "trans id", "transaction reference", "transaction no",
        "provider reference", "vendor reference", "their reference", "order id", "orderid", "id",
    ),
    "status": ("status", "transaction status", "delivery status", "order status", "state", "result"),
    "type": ("type", "transaction type", "entry type", "dr cr", "debit credit"),
    "charged": (
        "charged", "amount charged", "total amount", "total amount paid", "amount paid", "net amount", "cost",
        "discounted amount", "debit", "debited", "amount debited", "price",
    ),
    "credit": ("credit", "credited", "amount credited"),
    "amount": ("amount", "value", "face value", "transaction amount", "requested amount", "topup amount", "denomination"),
    "currency": ("currency", "currency code", "amount currency"),
    "at": (
        "date time", "datetime", "transaction date", "created at", "createdat", "created", "date created", "timestamp",
        "transaction time", "completed at", "date", "time",
    ),
    "subscriber": (
        "phone", "phone number", "phonenumber", "mobile", "mobile number", "msisdn", "recipient", "recipient phone",
        "beneficiary", "customer phone", "unique element", "destination", "number", "receiver",
    ),
    "product": (
        "product", "product name", "plan", "package", "bundle", "service", "description", "operator", "operator name", "network",
    ),
}  # fmt: skip
"""What a column may be, and the names that exports give it, the likeliest first."""

_WORDS: Final = {
    LineStatus.DELIVERED: (
        "delivered", "success", "successful", "succeeded", "completed", "complete", "done", "paid", "approved", "ok",
        "fulfilled", "sent", "000", "transaction successful",
    ),
    LineStatus.FAILED: (
        "failed", "fail", "failure", "declined", "rejected", "cancelled", "canceled", "refunded", "refund", "reversed",
        "reversal", "voided", "void", "unsuccessful", "error", "expired", "not delivered", "transaction failed", "016", "040",
    ),
    LineStatus.PENDING: (
        "pending", "processing", "in progress", "initiated", "queued", "submitted", "accepted", "created", "confirmed", "099",
    ),
}  # fmt: skip
STATUSES: Final = {word: status for status, words in _WORDS.items() for word in words}
_BACK: Final = frozenset({"refunded", "refund", "reversed", "reversal", "voided", "void", "credit", "cr", "credited"})
"""Words of a status or a type that say that money came back."""

_HEAD_LINES: Final = 30
_SAMPLE_BYTES: Final = 64 * 1024
_LONGEST_FIELD: Final = 128 * 1024
_DELIMITERS: Final = ",;\t|"
SHOWN: Final = 10
"""So many lines that cannot be read are named."""

_EXACT: Final = Context(prec=60)
_AMOUNT: Final = re.compile(r"\d{1,15}(?:\.\d{1,12})?", re.ASCII)
_ROUNDED_BY_A_SPREADSHEET: Final = re.compile(r"\d(?:\.\d+)?E\+?\d+", re.ASCII | re.IGNORECASE)
_DAY_FIRST: Final = ("%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%d/%m/%y", "%d-%m-%y")
_MONTH_FIRST: Final = ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y")
_NAMED: Final = (
    "%Y/%m/%d", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d %Y", "%B %d %Y", "%a %d %b %Y", "%Y%m%d",
)  # fmt: skip
_TIMES: Final = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", " %H:%M:%S.%f", " %I:%M%p")


@dataclass(frozen=True, slots=True)
class StatementOptions:
    """What the operator says of a statement.

    `columns`: the heading of a field, empty where the statement has none. `statuses`: what their words mean. `zone` is that of times
    without one; `currency` that of amounts without one, None where it is not known. `month_first`: 11/28/2026.
    """

    columns: Mapping[str, str]
    statuses: Mapping[str, LineStatus]
    zone: ZoneInfo
    currency: Currency | None
    month_first: bool = False


class Unreadable(ValueError):
    """A line cannot be read; the sentence says why, and repeats nothing of it."""


@dataclass(slots=True)
class Statement:
    """See the head of this file."""

    paths: Sequence[Path]
    options: StatementOptions
    columns: dict[str, str] = field(default_factory=dict)
    """The heading of each field that was found in the first file."""
    digest: str = ""
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)
    """The first lines that cannot be read, and why."""

    def __post_init__(self) -> None:
        """Read the heads of the files. Raises InvalidInput."""
        for path in reversed(self.paths):
            with _opened(path) as file, _text_of(file) as text:
                self.columns = _Table(path, text, self.options).headings

    def lines(self) -> Iterator[StatementLine]:
        """Read every line. One that cannot be read comes as one whose status nobody knows. Raises InvalidInput."""
        digest = hashlib.sha256()
        for path in self.paths:
            with _opened(path) as file:
                while part := file.read(1 << 20):
                    digest.update(part)
                file.seek(0)
                with _text_of(file) as text:
                    table = _Table(path, text, self.options)
                    for number, row in table:
                        if not any(cell.strip() for cell in row):
                            continue
                        try:
                            line = table.line_of(row)
                        except Unreadable as error:
                            self.unreadable += 1
                            where = f"{path.name}, line {number}"
                            if len(self.problems) < SHOWN:
                                self.problems.append(f"{where}: {error}")
                            yield StatementLine(LineStatus.UNKNOWN, word=f"{where} cannot be read: {error}")
                            continue
                        if line is not None:
                            yield line
        self.digest = digest.hexdigest()


def _opened(path: Path) -> BinaryIO:
    if not path.is_file():
        raise InvalidInput("statement", f"{path} is not a file")
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidInput("statement", f"{path} cannot be read: {error.strerror}") from None


def _text_of(file: BinaryIO) -> TextIO:
    """The file as text: what its byte order mark says, else UTF-8, else what Windows writes in the west."""
    sample = file.read(_SAMPLE_BYTES)
    file.seek(0)
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    else:
        encoding = "utf-8-sig"
        try:
            # The last character of a sample may be cut.
            sample.decode(encoding, "strict") if len(sample) < _SAMPLE_BYTES else sample[:-4].decode(encoding, "strict")
        except UnicodeDecodeError as error:
            if error.start < len(sample) - 8 or len(sample) < _SAMPLE_BYTES:
                encoding = "cp1252"
    return io.TextIOWrapper(file, encoding, errors="replace", newline="")


class _Table:
    """The rows of one file, behind its head."""

    def __init__(self, path: Path, text: TextIO, options: StatementOptions) -> None:
        self._path = path
        self._options = options
        self._clock = _Times(month_first=options.month_first)
        csv.field_size_limit(_LONGEST_FIELD)
        self._rows, self._number, head = _rows_of(path, text, options)
        self._places = _places(path, head, options.columns)
        self.headings = {name: head[place].strip() for name, place in self._places.items()}
        dates = [place for place, name in enumerate(map(_plain, head)) if name == "date"]
        times = [place for place, name in enumerate(map(_plain, head)) if name == "time"]
        # A day and a time of day in columns of their own.
        self._time_place = times[0] if times and dates == [self._places.get("at")] else None

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        try:
            for row in self._rows:
                yield self._number + self._rows.line_num, row  # type: ignore[attr-defined]
        except csv.Error as error:
            raise InvalidInput("statement", f"{self._path} is not CSV: {error}") from None

    def line_of(self, row: Sequence[str]) -> StatementLine | None:
        """What a row says; None for one that is no transaction, such as a total. Raises Unreadable."""
        reference, theirs = self._reference(row, "reference"), self._reference(row, "provider_reference")
        subscriber = self._cell(row, "subscriber")
        subscriber = "" if _ROUNDED_BY_A_SPREADSHEET.fullmatch(subscriber) else subscriber
        if not (reference or theirs or subscriber):
            return None
        currency = self._currency(row)
        charged, amount, credit = (self._amount(row, name, currency) for name in ("charged", "amount", "credit"))
        word = self._cell(row, "status")
        status = LineStatus.DELIVERED
        if "status" in self._places:
            plain = _plain(word)
            status = self._options.statuses.get(plain) or STATUSES.get(plain, LineStatus.UNKNOWN)
        # A sign alone says nothing: some write what they take with a minus, and some what they give back.
        back = bool(
            {_plain(word), _plain(self._cell(row, "type"))} & _BACK
            or (credit is not None and credit.minor and (charged is None or not charged.minor))
        )
        at, whole_day = self._time(row)
        return StatementLine(
            status,
            reference,
            theirs,
            at,
            whole_day,
            charged,
            amount,
            subscriber,
            self._cell(row, "product"),
            back,
            word[:40],
        )

    def _cell(self, row: Sequence[str], name: str) -> str:
        place = self._places.get(name)
        text = row[place].strip() if place is not None and place < len(row) else ""
        # Spreadsheets are kept from calculating with an apostrophe, or with ="…".
        return text.removeprefix('="').removesuffix('"').lstrip("'").strip()

    def _reference(self, row: Sequence[str], name: str) -> str:
        text = self._cell(row, name)
        if _ROUNDED_BY_A_SPREADSHEET.fullmatch(text):
            raise Unreadable(
                f"{self.headings[name]} was rounded by a spreadsheet; export it again and do not open it there"
            )
        return "" if text in ("-", "N/A", "n/a", "null", "NULL", "None") else text[:128]

    def _currency(self, row: Sequence[str]) -> Currency | None:
        text = self._cell(row, "currency").upper()
        if not text:
            return self._options.currency
        try:
            return foreign_currency(text)
        except ValueError:
            raise Unreadable("its currency is no code such as NGN") from None

    def _amount(self, row: Sequence[str], name: str, currency: Currency | None) -> Money | None:
        """An amount without its sign. What has more decimals than the currency is rounded up, as connectors round a cost."""
        text = self._cell(row, name)
        if text in ("", "-", "N/A"):
            return None
        said = f"{text} {self.headings[name]}".upper()
        unit = next((CURRENCIES[code] for code in CURRENCIES if code in said), currency)
        if unit is None:
            raise Unreadable("the currency of its amount is not known; --currency says it")
        number = _decimal_of(re.sub(r"[^\d.,]", "", text).strip(".,"))
        if number is None:
            raise Unreadable(f"{self.headings[name]} is no amount")
        minor = int(number.scaleb(unit.digits, _EXACT).to_integral_value(ROUND_CEILING))
        if minor > MAXIMUM_MINOR:
            raise Unreadable(f"{self.headings[name]} is larger than any amount")
        return Money(minor, unit)

    def _time(self, row: Sequence[str]) -> tuple[datetime | None, bool]:
        text = self._cell(row, "at")
        if self._time_place is not None and self._time_place < len(row):
            text = f"{text} {row[self._time_place].strip()}".strip()
        if not text:
            return None, False
        found = self._clock.read(text)
        if found is None:
            raise Unreadable(f"{self.headings['at']} is no date that is known; --month-first reads 11/28/2026")
        at, whole_day = found
        return (at if at.tzinfo is not None else at.replace(tzinfo=self._options.zone)), whole_day


# The head -----------------------------------------------------------------------------------------------------------------


def _rows_of(path: Path, text: TextIO, options: StatementOptions) -> "tuple[Iterator[list[str]], int, list[str]]":
    """The rows behind the head, how many lines came before them, and the head: the first line with known headings."""
    count = 0
    best: tuple[int, str, list[str]] = (0, ",", [])
    wanted = {_plain(name) for name in options.columns.values()} - {""}
    for number in range(1, _HEAD_LINES + 1):
        line = text.readline(_LONGEST_FIELD)
        if not line:
            break
        for delimiter in _DELIMITERS:
            try:
                head = next(csv.reader([line], delimiter=delimiter), [])
            except csv.Error:
                continue
            known = len(_places(path, head, {}, strict=False)) + sum(_plain(name) in wanted for name in head)
            if known > best[0]:
                best = (known, delimiter, head)
                count = number
        # One known word alone may stand in the text above the head.
        if best[0] > 1:
            break
    if best[0]:
        text.seek(0)
        for _ in range(count):
            text.readline(_LONGEST_FIELD)
        return csv.reader(text, delimiter=best[1]), count, best[2]
    shown = ", ".join(filter(None, (cell.strip()[:40] for cell in best[2])))
    has = f"; it has {shown}" if shown else ""
    raise InvalidInput(
        "statement",
        f"{path.name} has no headings that are known{has}; --column reference=HEADING names them ({', '.join(FIELDS)})",
    )


def _places(path: Path, head: Sequence[str], chosen: Mapping[str, str], *, strict: bool = True) -> dict[str, int]:
    """The column of each field. Raises InvalidInput for a heading that is not there, and where nothing tells transactions apart."""
    exact = [_plain(cell) for cell in head]
    names = [_without_currency(name) for name in exact]
    found: dict[str, int] = {}
    for name, heading in chosen.items():
        if not heading:
            continue
        if _plain(heading) not in exact:
            raise InvalidInput("column", f"{name}={heading} is no heading of {path.name}; it has {', '.join(head)}")
        found[name] = exact.index(_plain(heading))
    for name, synonyms in FIELDS.items():
        if name in chosen:
            continue
        place = next(
            (names.index(one) for one in synonyms if one in names and names.index(one) not in found.values()), None
        )
        if place is not None:
            found[name] = place
    if strict and not found.keys() & {"reference", "provider_reference", "subscriber"}:
        raise InvalidInput(
            "statement",
            f"{path.name} has no column with a reference or a number; it has {', '.join(head)}; --column reference=HEADING",
        )
    return found


def _plain(heading: str) -> str:
    """A heading or a word without case, marks and doubled blanks: `Request_ID` is `request id`."""
    return " ".join(re.sub(r"[\W_]+", " ", heading.strip().casefold()).split())


def _without_currency(name: str) -> str:
    """`amount ngn` is `amount`."""
    words = name.split()
    return " ".join(words[:-1]) if len(words) > 1 and words[-1].upper() in CURRENCIES else name


# Cells --------------------------------------------------------------------------------------------------------------------


def _decimal_of(digits: str) -> Decimal | None:
    """A number with points and commas: 1,234.50 and 1.234,50 and 1234,5 and 1,234."""
    if "," in digits and "." in digits:
        thousands = "," if digits.rfind(".") > digits.rfind(",") else "."
        digits = digits.replace(thousands, "").replace(",", ".")
    elif digits.count(",") == 1 and len(digits.partition(",")[2]) != 3:
        digits = digits.replace(",", ".")
    elif digits.count(".") > 1:
        digits = digits.replace(".", "")
    else:
        digits = digits.replace(",", "")
    if not _AMOUNT.fullmatch(digits):
        return None
    try:
        return Decimal(digits)
    except InvalidOperation:
        return None


class _Times:
    """Reads the times of one file, which are all written alike."""

    def __init__(self, *, month_first: bool) -> None:
        dates = (*(_MONTH_FIRST if month_first else _DAY_FIRST), *_NAMED)
        self._formats = [date + time for date in dates for time in _TIMES]

    def read(self, text: str) -> tuple[datetime, bool] | None:
        """A moment, and whether only its day is known; without a zone where the text has none. None: it cannot be read."""
        text = " ".join(text.replace(",", " ").split())
        zone = _ZONES.get(text.rpartition(" ")[2].upper())
        if zone is not None:
            text = text.rpartition(" ")[0]
        if text.isascii() and text.isdigit() and len(text) in _EPOCH:
            return _EPOCH_BEGINS + timedelta(milliseconds=int(text) * _EPOCH[len(text)]), False
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            return (at if zone is None else at.replace(tzinfo=zone)), len(text) == len("2026-11-28")
        for place, form in enumerate(self._formats):
            try:
                at = datetime.strptime(text, form).replace(tzinfo=zone)
            except ValueError:
                continue
            if place:
                self._formats.insert(0, self._formats.pop(place))
            return at, "%H" not in form and "%I" not in form
        return None


_EPOCH: Final = {10: 1000, 13: 1}
"""The lengths of seconds and milliseconds since 1970, and how many milliseconds one of them is."""
_EPOCH_BEGINS: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZONES: Final = {
    "UTC": UTC,
    "GMT": UTC,
    "Z": UTC,
    "WAT": timezone(timedelta(hours=1)),
    "SAST": timezone(timedelta(hours=2)),
}
