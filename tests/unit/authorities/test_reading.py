"""Names, dates, genders, pictures and numbers, as authorities write them."""

import base64
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.authorities import reading
from telvend.authorities.contract import Gender

FORMS = (
    "%d-%m-%Y", "%d-%b-%Y", "%d-%B-%Y", "%Y-%m-%d", "%d/%m/%Y", "%Y/%m/%d", "%d %b %Y", "%d %B, %Y", "%Y-%m-%dT00:00:00Z",
)  # fmt: skip
PNG = b"\x89PNG\r\n\x1a\n"


@given(day=st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 1, 1)), form=st.sampled_from(FORMS))
def test_a_date_is_read_in_every_form(day: date, form: str) -> None:
    assert reading.day(day.strftime(form)) == day
    assert reading.day(day.strftime(form).upper()) == day


@pytest.mark.parametrize(
    "said",
    ["", "N/A", "31-02-2000", "2000-13-01", "01-Foo-2000", "today", "****-**-**", None, 19900101, True, ["x"], "1990"],
)
def test_what_is_no_date_is_none(said: object) -> None:
    assert reading.day(said) is None


@given(said=st.one_of(st.text(), st.none(), st.integers(), st.booleans(), st.lists(st.text())))
def test_nothing_that_is_said_makes_reading_fail(said: object) -> None:
    reading.day(said)
    reading.name(said)
    reading.mobile(said)
    reading.gender(said)
    reading.picture(said)
    assert reading.text(said).isprintable()


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("OLUWASEUN", "Oluwaseun"),
        ("o'neil-ade", "O'Neil-Ade"),
        ("  ADA   NGOZI ", "Ada Ngozi"),
        ("McDonald", "McDonald"),
        ("ỌLÁ", "Ọlá"),
        ("N/A", ""),
        ("NULL", ""),
        ("J**N", ""),
        (None, ""),
    ],
)
def test_names_are_written_as_people_write_them(said: object, written: str) -> None:
    assert reading.name(said) == written


@pytest.mark.parametrize(
    ("said", "gender"),
    [("m", "Male"), ("F", "Female"), ("MALE", "Male"), ("Female", "Female"), ("x", ""), (None, ""), ("", "")],
)
def test_genders(said: object, gender: str) -> None:
    assert reading.gender(said) == Gender(gender)


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("08012345678", "08012345678"),
        ("+234 801 234 5678", "08012345678"),
        ("2348012345678", "08012345678"),
        ("8012345678", "08012345678"),
        (8012345678, "08012345678"),
        ("none", ""),
    ],
)
def test_mobile_numbers_are_in_the_national_form(said: object, number: str) -> None:
    assert reading.mobile(said) == number


@given(
    rest=st.binary(max_size=60),
    prefix=st.sampled_from(["", "data:image/png;base64,", "data:image/jpg;charset=utf-8;base64,"]),
)
def test_a_picture_is_plain_base64_whatever_it_came_in(rest: bytes, prefix: str) -> None:
    plain = base64.b64encode(PNG + rest).decode()
    url_safe = base64.urlsafe_b64encode(PNG + rest).decode().rstrip("=")
    in_lines = "\n".join(plain[at : at + 10] for at in range(0, len(plain), 10))
    assert reading.picture(prefix + plain) == reading.picture(prefix + url_safe) == reading.picture(in_lines) == plain


@pytest.mark.parametrize(
    "said", ["", "hello", "aGVsbG8=", "<svg onload=alert(1)>", "data:text/html;base64,PGI+", None, 5]
)
def test_what_is_no_picture_is_nothing(said: object) -> None:
    assert reading.picture(said) == ""


def test_a_masked_number_may_be_anybodys_and_a_whole_one_only_its_own() -> None:
    assert reading.is_about("222******22", "22222222222")
    assert reading.is_about("", "22222222222")
    assert reading.is_about("22222222222", "22222222222")
    assert not reading.is_about("22222222223", "22222222222")


@pytest.mark.parametrize(
    ("header", "seconds"), [("", 60), ("5", 5), ("0", 1), ("999999", 3600), ("soon", 60), ("-1", 60)]
)
def test_retry_after_is_kept_within_reason(header: str, seconds: int) -> None:
    assert reading.seconds(header) == seconds
