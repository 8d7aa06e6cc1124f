"""The catalogue as CSV: what is read, what is wrong with it, and that export and import are each other's inverse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.catalog import sheet
from telvend.catalog.model import CURRENCY_BY_COUNTRY, Network, Terms, parse_size
from telvend.kit.money import GHS, MAXIMUM_MINOR, Money

NETWORKS = sheet.networks_by_word(
    [
        Network(1, "NG", "mtn", "MTN", active=True),
        Network(5, "GH", "MTN", "MTN", active=True),
        Network(6, "GH", "AirtelTigo", "AirtelTigo", active=False),
        Network(7, "UG", "MTN", "MTN", active=True),
    ]
)
HEADER = "code,country,network,kind,type,size,validity,currency,price,cost,active\n"
GOOD = "GH-MTN-1GB-30D,GH,MTN,data,,1GB,30 Days,GHS,4.50,4.28,yes\n"


def problems(text: str) -> list[str]:
    found = sheet.read(text, NETWORKS)
    return [str(problem) for problem in found.problems]


def test_a_good_line_is_read() -> None:
    found = sheet.read(HEADER + GOOD, NETWORKS)
    assert found.problems == ()
    assert found.products == (
        Terms("GH-MTN-1GB-30D", "GH", "MTN", "data", "", "1GB", 30, Money(450, GHS), Money(428, GHS), active=True),
    )


def test_columns_may_be_reordered_and_the_optional_ones_left_out() -> None:
    found = sheet.read("Price,cost,code,network,country,size,validity\n4.5,4,A,mtn,gh,1 gb,non-expiry\n", NETWORKS)
    assert found.problems == ()
    assert found.products == (
        Terms("A", "GH", "MTN", "data", "", "1GB", None, Money(450, GHS), Money(400, GHS), active=True),
    )


def test_what_spreadsheet_programs_add_is_understood() -> None:
    found = sheet.read(
        "\ufeff" + (HEADER + GOOD.replace("yes", " TRUE ") + ",,,,,,,,,,\n\n").replace("\n", "\r\n"), NETWORKS
    )
    assert found.problems == ()
    assert len(found.products) == 1


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("GH-MTN-1GB-30D", "GH MTN", "line 2, code: must be 1 to 64 letters, digits, dots, dashes and underscores"),
        ("GH-MTN-1GB-30D", "", "line 2, code: must be 1 to 64 letters, digits, dots, dashes and underscores"),
        ("GH-MTN-1GB-30D", "x" * 65, "line 2, code: must be 1 to 64 letters, digits, dots, dashes and underscores"),
        (",GH,", ",KE,", "line 2, country: must be one of GH, NG, SZ, UG, ZA"),
        (",MTN,", ",Vodafone,", "line 2, network: must be a network of GH: MTN, AirtelTigo"),
        (",GH,", ",ZA,", "line 2, network: must be a network of ZA: there is none yet"),
        (",data,", ",airtime,", "line 2, kind: must be data"),
        (",data,,", ",data,=1+1,", "line 2, type: must begin with a letter and have at most 32 letters, digits, spaces, dots and dashes"),
        (",1GB,", ",1,", "line 2, size: must be a size such as 500MB, 1GB or 1.5GB"),
        ("30 Days", "a month", "line 2, validity: must be a number of days such as 30 Days, or Non-expiry"),
        (",GHS,", ",NGN,", "line 2, currency: must be GHS in GH"),
        ("4.50", "4.505", "line 2, price: must have at most 2 decimals in GHS"),
        ("4.50", "0.00", "line 2, price: must be greater than zero"),
        ("4.50", "-4.50", "line 2, price: must be an amount such as 45.50, without sign, spaces or thousands separators"),
        ("4.28", "", "line 2, cost: must be an amount such as 45.50, without sign, spaces or thousands separators"),
        ("yes", "maybe", "line 2, active: must be yes or no"),
    ],
)  # fmt: skip
def test_a_bad_field_is_named_with_its_line(old: str, new: str, problem: str) -> None:
    assert problem in problems(HEADER + GOOD.replace(old, new, 1))


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = HEADER + GOOD + "B,GH,Foo,data,,1GB,30 Days,GHS,x,4,yes\n" + "C,GH,MTN,data,,?,30 Days,GHS,1,4,no\n"
    assert [(found.line, found.field) for found in sheet.read(text, NETWORKS).problems] == [
        (3, "network"),
        (3, "price"),
        (4, "size"),
    ]


def test_line_numbers_count_blank_lines_and_lines_inside_quotes() -> None:
    text = (
        HEADER + "\n" + 'A,GH,MTN,data,"S\nM\nE",1GB,30 Days,GHS,1,1,yes\n' + "B,GH,MTN,data,,bad,1 Day,GHS,1,1,yes\n"
    )
    assert [(found.line, found.field) for found in sheet.read(text, NETWORKS).problems] == [(3, "type"), (6, "size")]


def test_a_code_that_stands_twice_is_a_problem_of_the_second_line() -> None:
    assert problems(HEADER + GOOD + GOOD) == ["line 3, code: GH-MTN-1GB-30D stands on line 2 already"]


def test_a_line_with_too_few_fields_is_a_problem() -> None:
    assert problems(HEADER + "A,GH,MTN\n") == ["line 2: has 3 fields, the header has 11"]


def test_an_empty_sheet_lacks_its_header() -> None:
    assert problems("") == problems("\n \n") == [f"line 1: the header is missing: {HEADER.strip()}"]


def test_a_header_alone_is_a_sheet_without_products() -> None:
    assert sheet.read(HEADER, NETWORKS) == sheet.Sheet((), ())


def test_missing_misspelt_and_repeated_columns_are_problems() -> None:
    found = sheet.read("code,country,network,size,validity,price,code,actve\n", NETWORKS).problems
    assert [(one.line, one.field) for one in found] == [(1, "cost"), (1, "actve"), (1, "code")]


def test_text_that_is_not_csv_is_a_problem_and_not_a_crash() -> None:
    assert problems(HEADER + 'A,GH,"MTN"x,data\n')[0].startswith("line 2: is not CSV")
    assert problems(HEADER + GOOD + '"never closed\n')[0].startswith("line 3: is not CSV")


def test_decimals_follow_the_currency_of_the_country() -> None:
    line = "U,UG,mtn,data,,1GB,1 Day,UGX,{},1000,yes\n"
    assert sheet.read(HEADER + line.format("5000"), NETWORKS).products[0].price.minor == 5000
    assert problems(HEADER + line.format("5000.5")) == ["line 2, price: must have at most 0 decimals in UGX"]


@given(st.text())
def test_no_text_makes_reading_fail(text: str) -> None:
    sheet.read(text, NETWORKS)
    assert not sheet.read(HEADER + text, NETWORKS).products or "," in text


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    network = draw(st.sampled_from(list(NETWORKS.values())))
    currency = CURRENCY_BY_COUNTRY[network.country]
    decimals = draw(st.sampled_from(["", ".5", ".25"]))
    return Terms(
        code=draw(st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)),
        country=network.country,
        network=network.code,
        kind="data",
        type=draw(st.sampled_from(["", "SME", "Corporate Gifting", "Direct"])),
        size=parse_size(f"{draw(st.integers(1, 999999))}{decimals}{draw(st.sampled_from(['KB', 'MB', 'GB', 'TB']))}"),
        validity_days=draw(st.none() | st.integers(1, 9999)),
        price=Money(draw(st.integers(1, MAXIMUM_MINOR)), currency),
        cost=Money(draw(st.integers(0, MAXIMUM_MINOR)), currency),
        active=draw(st.booleans()),
    )


@given(st.lists(terms(), unique_by=lambda one: one.code, max_size=8))
def test_what_is_exported_is_imported_as_the_same(products: list[Terms]) -> None:
    assert sheet.read(sheet.write(products), NETWORKS) == sheet.Sheet(tuple(products), ())
