"""Reading lists of purchases as spreadsheet programs write them, and the references of rows that have none."""

import codecs
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.catalog.sheet import Problem
from telvend.errors import InvalidInput
from telvend.orders import purchase_list
from telvend.orders.purchase_list import (
    COLUMNS,
    DerivedReferences,
    PurchaseRow,
    is_shortened,
    name_of_list,
    number_problem,
    read_rows,
    text_of,
)

HEAD = "product,to,amount,reference,email,note"
ROW = PurchaseRow(2, "A", "0241234567", "5", "r1", "ama@example.com", "Ama")


def read(data: bytes | str) -> list[PurchaseRow | Problem]:
    return list(read_rows(text_of(data.encode() if isinstance(data, str) else data)))


def problems(data: bytes | str) -> list[str]:
    return [str(one) for one in read(data) if isinstance(one, Problem)]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_separators_line_ends_and_marks_make_no_difference(separator: str, ending: str, mark: bytes) -> None:
    text = ending.join([HEAD, "A,0241234567,5,r1,ama@example.com,Ama", ""]).replace(",", separator)
    assert read(mark + text.encode()) == [ROW]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252", "utf-8"])
def test_the_encodings_of_spreadsheet_programs_are_read(encoding: str) -> None:
    (row,) = read(f"{HEAD}\nA,1,,réf,,Abénà\n".encode(encoding))
    assert isinstance(row, PurchaseRow)
    assert (row.reference, row.note) == ("réf", "Abénà")


def test_a_line_that_names_the_separator_is_obeyed_and_counted() -> None:
    assert read("sep=;\r\nProduct;TO\r\nA;1\r\n") == [PurchaseRow(3, "A", "1")]


def test_blank_lines_and_empty_fields_at_the_end_are_passed_over_and_lines_keep_their_numbers() -> None:
    assert read("\n to , Product \n\n1,A\n,,\n   \n2,B,,\n3\n") == [
        PurchaseRow(4, "A", "1"), PurchaseRow(7, "B", "2"), PurchaseRow(8, "", "3"),
    ]  # fmt: skip


def test_a_field_of_several_lines_is_one_and_what_nobody_sees_is_removed() -> None:
    found = read('product,to,note\nA,"\u202a024\u00a01234567\u202c","two\nlines"\nB,2,\n')
    assert found == [PurchaseRow(2, "A", "024 1234567", note="two\nlines"), PurchaseRow(4, "B", "2")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "line 1: the header is missing"),
        ("\n\n", "line 1: the header is missing"),
        ("product,to\n", "line 1: there is nothing below the header"),
        ("product,amount\nA,1\n", "line 1, to: this column is missing"),
        ("product,to,refrence\nA,1,2\n", "line 1, refrence: is not one of the columns product, to, amount"),
        ("product,to,,note\nA,1,2,3\n", "line 1: a column has no name"),
        ("product,to,to\nA,1,2\n", "line 1, to: this column stands there twice"),
        ("A,0241234567\nB,0241234568\n", "line 1, product: this column is missing"),
        ("product,to\nA,1,2\n", "line 2: has 3 fields, the header has 2"),
        ('product,to\nA,1\nB,"2\nC,3\n', "line 3: is not CSV, and nothing after it was read"),
    ],
)
def test_what_is_wrong_with_the_form_is_named_with_its_line(text: str, found: str) -> None:
    assert found in problems(text)[0]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"PK\x03\x04rest", "is a workbook"),
        (b"\xd0\xcf\x11\xe0rest", "is a workbook"),
        (b"product,to\n\0", "is not text"),
        (b"\xff\xfea", "is not text"),
        ("product,to\nA,\0".encode("utf-16"), "is not text"),
    ],
)
def test_what_is_no_text_is_refused(data: bytes, found: str) -> None:
    with pytest.raises(InvalidInput, match=found):
        text_of(data)


def test_a_list_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purchase_list, "MAXIMUM_ROWS", 2)
    assert problems("product,to\nA,1\nA,2\nA,3\nA,4\n") == [
        "line 4: is beyond the 2 rows that one list may have; split it"
    ]
    monkeypatch.setattr(purchase_list, "MAXIMUM_BYTES", 4)
    with pytest.raises(InvalidInput, match="split it"):
        text_of(b"12345")


@pytest.mark.parametrize("text", ["2.33E+11", "2,33241E+11", "4.50301e10", "+2E5", "-2.3E+5"])
def test_numbers_that_a_spreadsheet_program_has_shortened_are_recognised(text: str) -> None:
    assert "shortened" in str(number_problem(text))


def test_numbers_with_decimals_are_recognised_and_others_left_alone() -> None:
    for text in ("241234567.0", "241234567,00", "233241234567."):
        assert "decimals" in str(number_problem(text))
    for text in ("0241234567", "+233241234567", "024 123 4567", "", "E5"):
        assert number_problem(text) is None
    assert [is_shortened(text) for text in ("1.23E+05", "1E+15", "2E5", "E+5", "12E+5-x")] == [True, True] + [False] * 3


CELL = st.text(st.characters(codec="cp1252", exclude_categories=["Cc", "Zs", "Cf"]), max_size=12)


@given(
    st.lists(st.tuples(*[CELL] * len(COLUMNS)), max_size=8),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_whatever_is_written_is_read(rows: list[tuple[str, ...]], separator: str, ending: str, encoding: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator=ending)
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    wanted = [PurchaseRow(line, *row) for line, row in enumerate(rows, 2) if any(row)]
    found = read(out.getvalue().encode(encoding))
    assert [one for one in found if isinstance(one, PurchaseRow)] == wanted


# References -----------------------------------------------------------------------------------------------------------

ASKED = st.lists(st.sampled_from([("A", "1"), ("A", "2"), ("B", "1"), ("", "A1")]), max_size=10)


def references(name: str, rows: list[tuple[str, str]]) -> list[str]:
    derived = DerivedReferences(name)
    return [derived.next(*row) for row in rows]


@given(ASKED, st.randoms(use_true_random=False))
def test_references_stay_when_rows_are_sorted_and_differ_between_rows_and_lists(
    rows: list[tuple[str, str]], random: object
) -> None:
    before = references("x", rows)
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sorted(references("x", shuffled)) == sorted(before)
    assert len(set(before)) == len(rows)
    assert not set(before) & set(references("y", rows))
    assert set(references("x", rows[:-1])) <= set(before)


def test_a_reference_never_changes() -> None:
    # A list that was begun with one version is gone on with by the next.
    assert references("staff.csv", [("A", "1")]) == ["staff.csv/c14ac3330b912ce7e858d053b2b36450"]


def test_a_list_is_called_as_its_file() -> None:
    assert name_of_list("staff.csv") == "staff.csv"
    long = name_of_list("x" * 65)
    assert long != name_of_list("x" * 66)
    assert long == name_of_list("x" * 65)
    assert name_of_list("a\nb").startswith("list-")
    assert len(name_of_list("\udce9.csv")) == 21


@pytest.mark.parametrize("header", ["product_code,phone", "Code,MSISDN", " Product Code ,Recipient", "product,number"])
def test_columns_are_known_by_what_other_programs_call_them(header: str) -> None:
    (row,) = read_rows(f"{header}\nGH-MTN-1GB-30D,0241234567\n")
    assert row == PurchaseRow(2, "GH-MTN-1GB-30D", "0241234567")


def test_a_column_that_stands_there_under_two_names_is_refused() -> None:
    (problem,) = read_rows("product,to,phone\nA,1,2\n")
    assert isinstance(problem, Problem)
    assert (problem.field, problem.problem) == ("to", "this column stands there twice")
