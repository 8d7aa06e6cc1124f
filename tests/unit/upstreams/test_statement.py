"""Statements as vendors export them: columns, words, amounts, dates, separators and encodings."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telvend.errors import InvalidInput
from telvend.kit.money import GHS, NGN, Money
from telvend.providers.upstream import LineStatus, StatementLine
from telvend.upstreams.reconciliation.statement import STATUSES, Statement, StatementOptions

LAGOS = ZoneInfo("Africa/Lagos")


def read(path: Path, content: str | bytes, **options: Any) -> tuple[list[StatementLine], Statement]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    chosen: dict[str, Any] = {"columns": {}, "statuses": {}, "zone": LAGOS, "currency": NGN} | options
    statement = Statement([path], StatementOptions(**chosen))
    return list(statement.lines()), statement


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "statement.csv"


PLAIN = "Request ID,Transaction ID,Phone,Product,Total Amount,Status,Date\n"
ROW = "AT-1-x-1,T1,08031234567,MTN,97.00,delivered,2026-11-28 14:03:05\n"
LINE = StatementLine(
    LineStatus.DELIVERED,
    "AT-1-x-1",
    "T1",
    datetime(2026, 11, 28, 14, 3, 5, tzinfo=LAGOS),
    charged=Money(9_700, NGN),
    subscriber="08031234567",
    product="MTN",
    word="delivered",
)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN + ROW,
        ("\ufeff" + PLAIN + ROW).encode(),
        (PLAIN + ROW).encode("utf-16"),
        (PLAIN + ROW).replace(",", ";"),
        (PLAIN + ROW).replace(",", "\t"),
        (PLAIN + ROW).replace("\n", "\r\n"),
        "sep=;\n" + (PLAIN + ROW).replace(",", ";"),
        "Statement of Ama's Shop\n28 November 2026\n\n" + PLAIN + ROW + "\nTotal,,,,97.00,,\n".replace("Total", ""),
        (PLAIN + ROW).replace("AT-1-x-1", "'AT-1-x-1").replace("08031234567", '"=""08031234567"""'),
    ],
    ids=["comma", "mark", "utf-16", "semicolon", "tab", "windows", "sep", "text-above", "spreadsheet"],
)
def test_the_same_line_in_every_dress(file: Path, content: str | bytes) -> None:
    lines, statement = read(file, content)
    assert lines == [LINE]
    assert statement.unreadable == 0
    assert statement.digest == hashlib.sha256(file.read_bytes()).hexdigest()


def test_what_is_written_in_western_windows_is_read(file: Path) -> None:
    lines, _ = read(file, (PLAIN + ROW.replace("MTN", "MTN – données")).encode("cp1252"))
    assert lines[0].product == "MTN – données"


def test_headings_may_be_named_and_left_out(file: Path) -> None:
    content = "Our No,What,Amount,Status\nAT-1,x,100,Success\n"
    lines, statement = read(file, content, columns={"reference": "our_no", "status": "", "charged": "Amount"})
    assert (lines[0].reference, lines[0].status, lines[0].charged, lines[0].amount) == (
        "AT-1", LineStatus.DELIVERED, Money(10_000, NGN), None,
    )  # fmt: skip
    assert statement.columns["reference"] == "Our No"


def test_a_heading_that_is_not_there_and_a_file_without_any_are_refused(file: Path) -> None:
    with pytest.raises(InvalidInput, match=r"reference=Nowhere is no heading of statement\.csv; it has Request ID"):
        read(file, PLAIN, columns={"reference": "Nowhere"})
    for content in ("", "hello\nworld\n", "Date,Amount\n2026-11-28,1\n"):
        with pytest.raises(InvalidInput, match="--column reference=HEADING"):
            read(file, content)
    with pytest.raises(InvalidInput, match="is not a file"):
        Statement([file.parent], StatementOptions({}, {}, LAGOS, NGN))


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("97", 9_700), ("97.5", 9_750), ("1,234.50", 123_450), ("1.234,50", 123_450), ("1,234", 123_400), ("97,5", 9_750),
        ("₦1,234.50", 123_450), ("NGN 97.00", 9_700), ("-97.00", 9_700), ("(97.00)", 9_700), ("96.515", 9_652),
        ("1.234.567,00", 123_456_700), ("1 234.00", 123_400),
    ],
)  # fmt: skip
def test_amounts_as_they_are_written(file: Path, text: str, minor: int) -> None:
    lines, _ = read(file, f'Request ID,Total Amount\nAT-1,"{text}"\n')
    assert lines[0].charged == Money(minor, NGN)


def test_an_amount_has_the_currency_that_it_names(file: Path) -> None:
    lines, _ = read(file, "Request ID,Total Amount,Currency\nAT-1,5.00,GHS\nAT-2,GHS 6.00,\n")
    assert [line.charged for line in lines] == [Money(500, GHS), Money(600, GHS)]


def test_a_heading_may_name_the_currency(file: Path) -> None:
    lines, statement = read(file, "Request ID,Amount (GHS)\nAT-1,5.00\n", currency=None)
    assert (lines[0].amount, statement.columns["amount"]) == (Money(500, GHS), "Amount (GHS)")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-28 14:03:05", "2026-11-28T13:03:05"), ("2026-11-28T14:03:05Z", "2026-11-28T14:03:05"),
        ("2026-11-28T14:03:05.250+00:00", "2026-11-28T14:03:05.250"), ("28/11/2026 14:03", "2026-11-28T13:03"),
        ("28-11-2026 02:03 PM", "2026-11-28T13:03"), ("28 Nov 2026 14:03:05", "2026-11-28T13:03:05"),
        ("Nov 28, 2026 2:03 PM", "2026-11-28T13:03"), ("2026/11/28 14:03", "2026-11-28T13:03"),
        ("1795874585", "2026-11-28T14:03:05"), ("1795874585000", "2026-11-28T14:03:05"),
        ("2026-11-28 14:03:05 UTC", "2026-11-28T14:03:05"), ("28/11/2026 14:03 WAT", "2026-11-28T13:03"),
    ],
)  # fmt: skip
def test_times_as_they_are_written(file: Path, text: str, at: str) -> None:
    lines, _ = read(file, f'Request ID,Date\nAT-1,"{text}"\n')
    assert lines[0].at == datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert not lines[0].whole_day


def test_a_day_without_a_time_a_time_in_its_own_column_and_months_first(file: Path) -> None:
    (line,), _ = read(file, "Request ID,Date\nAT-1,28/11/2026\n")
    assert (line.at, line.whole_day) == (datetime(2026, 11, 28, tzinfo=LAGOS), True)
    (line,), _ = read(file, "Request ID,Date,Time\nAT-1,28/11/2026,14:03:05\n")
    assert (line.at, line.whole_day) == (datetime(2026, 11, 28, 14, 3, 5, tzinfo=LAGOS), False)
    (line,), _ = read(file, "Request ID,Date\nAT-1,11/28/2026\n", month_first=True)
    assert line.at == datetime(2026, 11, 28, tzinfo=LAGOS)


def test_words_of_statuses_and_what_was_paid_back(file: Path) -> None:
    rows = "".join(f"R{n},{word}\n" for n, word in enumerate([*STATUSES, "Reversed", "gift"]))
    lines, _ = read(file, "Request ID,Status\n" + rows, statuses={"gift": LineStatus.PENDING})
    assert [line.status for line in lines] == [*STATUSES.values(), LineStatus.FAILED, LineStatus.PENDING]
    assert {line.word for line in lines if line.takes_back} == {
        "refunded", "refund", "reversed", "reversal", "voided", "void", "Reversed",
    }  # fmt: skip
    (line,), _ = read(file, "Request ID,Status\nR,quite well\n")
    assert line.status is LineStatus.UNKNOWN
    lines, _ = read(file, "Request ID,Type,Amount\nR,debit,1\nR,Credit,1\n")
    assert [line.takes_back for line in lines] == [False, True]
    lines, _ = read(file, "Request ID,Debit,Credit\nR,1.00,\nR,,1.00\n")
    assert [line.takes_back for line in lines] == [False, True]


def test_lines_that_cannot_be_read_are_counted_named_and_left_over(file: Path) -> None:
    content = (
        PLAIN + ROW + "AT-2,T2,,,many,delivered,2026-11-28\nAT-3,T3,,,1,delivered,someday\n2.02611E+31,T4,,,1,ok,\n"
    )
    lines, statement = read(file, content)
    assert [line.status for line in lines[1:]] == [LineStatus.UNKNOWN] * 3
    assert statement.unreadable == 3
    assert [problem.partition(": ")[0] for problem in statement.problems] == [
        f"statement.csv, line {n}" for n in (3, 4, 5)
    ]
    assert "rounded by a spreadsheet" in statement.problems[2]
    lines, statement = read(file, "Request ID,Total Amount\nAT-1,1\n", currency=None)
    assert "--currency says it" in statement.problems[0]


def test_a_field_without_end_is_refused_and_not_kept(file: Path) -> None:
    with pytest.raises(InvalidInput, match="is not CSV"):
        read(file, PLAIN + '"' + "x" * 200_000)


def test_several_files_are_one_statement(tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    paths[0].write_text(PLAIN + ROW)
    paths[1].write_text("Reference;Amount\nAT-2;5\n")
    statement = Statement(paths, StatementOptions({}, {}, LAGOS, NGN))
    assert [line.reference for line in statement.lines()] == ["AT-1-x-1", "AT-2"]
    assert statement.digest == hashlib.sha256(paths[0].read_bytes() + paths[1].read_bytes()).hexdigest()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    for head in (b"", PLAIN.encode()):
        try:
            lines, _ = read(path, head + content)
        except InvalidInput:
            continue
        assert all(line.status in LineStatus for line in lines)
