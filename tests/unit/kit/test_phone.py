"""Mobile numbers: what is understood, what is refused, and that our rule is the library's rule."""

import re
from contextlib import suppress
from functools import cache

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberFormat, PhoneNumberType

from telvend.kit.numbering import mobile_pattern, national_form
from telvend.kit.phone import NotAMobileNumber, masked, parse_mobile, parse_mobile_of_any_market

MOBILE_TYPES = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}
MARKETS = ("GH", "NG", "SZ", "UG", "ZA")


@pytest.mark.parametrize(
    ("text", "region", "e164"),
    [
        ("0241234567", "GH", "+233241234567"),
        ("233241234567", "GH", "+233241234567"),
        ("+233241234567", "GH", "+233241234567"),
        ("+233 24 123-4567", "GH", "+233241234567"),
        (" 024 - 123 - 4567 ", "GH", "+233241234567"),
        ("0201234567", "GH", "+233201234567"),
        ("0271234567", "GH", "+233271234567"),
        ("08031234567", "NG", "+2348031234567"),
        ("2348031234567", "NG", "+2348031234567"),
        ("+234-803-123-4567", "NG", "+2348031234567"),
        ("09061234567", "NG", "+2349061234567"),
        ("76123456", "SZ", "+26876123456"),
        ("26876123456", "SZ", "+26876123456"),
        ("0712345678", "UG", "+256712345678"),
        ("0821234567", "ZA", "+27821234567"),
        ("2015550123", "US", "+12015550123"),
        ("12015550123", "US", "+12015550123"),
        ("0758123456", "CI", "+2250758123456"),
    ],
)
def test_a_mobile_number_in_any_accepted_form_becomes_e164(text: str, region: str, e164: str) -> None:
    assert parse_mobile(text, region) == e164


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-",
        "+",
        "0",
        "024123456",
        "02412345678",
        "241234567",
        "0302123456",  # a landline in Accra
        "0800123456",
        "(024)1234567",
        "024.123.4567",
        "024/1234567",
        "024\t1234567",
        "024\n1234567",
        "0241234567\n",
        "024\u00a01234567",
        "024–1234567",  # an en dash
        "O241234567",
        "0241234567x1",
        "tel:+233241234567",
        "+0241234567",
        "++233241234567",
        "233+241234567",
        "00233241234567",
        "+2330241234567",
        "2330241234567",
        "+2348031234567",
        "08031234567",
        "٠٢٤١٢٣٤٥٦٧",
        "０２４１２３４５６７",
        "0241234567\x00",
        "0241234567" + " " * 30,
        "0" * 1000,
    ],
)
def test_anything_else_is_refused_in_ghana(text: str) -> None:
    with pytest.raises(NotAMobileNumber, match="not a mobile number of GH") as caught:
        parse_mobile(text, "GH")
    assert isinstance(caught.value, ValueError)


def test_an_unknown_region_is_a_lookup_error_and_no_wrong_number() -> None:
    with pytest.raises(LookupError):
        parse_mobile("0241234567", "XX")


def said_by_the_library(text: str, region: str) -> str | None:
    """What phonenumbers itself makes of E.164: the number, or nothing where it is no mobile number of the region."""
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    if not phonenumbers.is_valid_number_for_region(number, region):
        return None
    if phonenumbers.number_type(number) not in MOBILE_TYPES:
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def said_by_us(text: str, region: str) -> str | None:
    try:
        return parse_mobile(text, region)
    except NotAMobileNumber:
        return None


@cache
def _digits_like(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True, alphabet="0123456789")


@st.composite
def national_numbers(draw: st.DrawFn, region: str) -> str:
    """Digits that often are a number of the region: of any kind, of mobile, or an example with some digits replaced."""
    metadata = PhoneMetadata.metadata_for_region(region)
    kinds = [metadata.mobile, metadata.fixed_line, metadata.toll_free, metadata.premium_rate, metadata.general_desc]
    patterns = [kind.national_number_pattern for kind in kinds if kind is not None and kind.national_number_pattern]
    if draw(st.booleans()):
        digits = draw(st.one_of(*(_digits_like(pattern) for pattern in patterns)))
    else:
        digits = draw(st.text("0123456789", min_size=6, max_size=13))
    if digits and draw(st.integers(0, 3)) == 0:
        position = draw(st.integers(0, len(digits) - 1))
        digits = digits[:position] + draw(st.sampled_from("0123456789")) + digits[position + 1 :]
    return digits


@given(st.data())
def test_the_rule_is_the_rule_of_the_library(data: st.DataObject) -> None:
    region = data.draw(st.sampled_from(MARKETS))
    national = data.draw(national_numbers(region))
    calling_code = phonenumbers.country_code_for_region(region)
    expected = said_by_the_library(f"+{calling_code}{national}", region)
    if expected != f"+{calling_code}{national}":
        expected = None  # the library forgave a national prefix after the country code; that is no E.164
    assert said_by_us(f"+{calling_code}{national}", region) == expected
    # Digits alone may also be a national form that happens to begin with the country code.
    assert said_by_us(f"{calling_code}{national}", region) in (
        {expected} if expected else {None, said_by_the_library(f"{calling_code}{national}", region)}
    )
    prefix = PhoneMetadata.metadata_for_region(region).national_prefix or ""
    assert said_by_us(f"{prefix}{national}", region) == expected


@given(st.data())
def test_the_rule_is_the_rule_of_the_library_in_every_region(data: st.DataObject) -> None:
    region = data.draw(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)))
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    if example is None:
        return
    digits = list(phonenumbers.national_significant_number(example))
    for position in data.draw(st.sets(st.integers(0, len(digits) - 1), max_size=3)):
        digits[position] = data.draw(st.sampled_from("0123456789"))
    e164 = f"+{example.country_code}{''.join(digits)}"
    expected = said_by_the_library(e164, region)
    assert said_by_us(e164, region) == (expected if expected == e164 else None)


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_the_example_of_every_region_survives_its_national_form(region: str) -> None:
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    if example is None:
        return
    e164 = phonenumbers.format_number(example, PhoneNumberFormat.E164)
    assert parse_mobile(e164, region) == e164
    assert parse_mobile(e164[1:], region) == e164
    assert parse_mobile(national_form(e164), region) == e164
    assert parse_mobile_of_any_market(e164) == e164


@given(st.sampled_from(["0241234567", "233241234567", "+233241234567"]), st.data())
def test_spaces_and_dashes_change_nothing(plain: str, data: st.DataObject) -> None:
    spread = "".join(character + data.draw(st.sampled_from(["", " ", "-"])) for character in plain)
    assert parse_mobile(spread, "GH") == "+233241234567"


@given(st.text(max_size=40))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    for read in (lambda: parse_mobile(text, "GH"), lambda: parse_mobile_of_any_market(text)):
        with suppress(NotAMobileNumber):
            assert re.fullmatch(r"\+[1-9][0-9]{6,14}", read())


@pytest.mark.parametrize(
    ("text", "e164"),
    [
        ("0241234567", "+233241234567"),
        ("0803 123 4567", "+2348031234567"),
        ("+26876123456", "+26876123456"),
        ("26876123456", "+26876123456"),
        ("+44 7400 123456", "+447400123456"),
        ("27821234567", "+27821234567"),
        ("+12015550123", "+12015550123"),
    ],
)
def test_without_a_market_international_or_ghanaian_or_nigerian_numbers_are_understood(text: str, e164: str) -> None:
    assert parse_mobile_of_any_market(text) == e164


@pytest.mark.parametrize(
    "text", ["", "0302123456", "76123456", "+2330241234567", "+442070313000", "+999241234567", "x"]
)
def test_without_a_market_what_is_no_mobile_number_anywhere_is_refused(text: str) -> None:
    with pytest.raises(NotAMobileNumber, match="country code"):
        parse_mobile_of_any_market(text)


@pytest.mark.parametrize(
    ("e164", "national"),
    [("+233241234567", "0241234567"), ("+2348031234567", "08031234567"), ("+26876123456", "76123456")],
)
def test_national_form_is_what_people_dial(e164: str, national: str) -> None:
    assert national_form(e164) == national


@pytest.mark.parametrize("text", ["", "+", "+0", "abc", "+999"])
def test_national_form_of_no_number_is_refused(text: str) -> None:
    with pytest.raises(NotAMobileNumber):
        national_form(text)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+233241234567", "+23324*****67"),
        ("+26876123456", "+2687*****56"),
        ("0241234567", "024*****67"),
        ("12345", "*****"),
        ("", ""),
    ],
)
def test_masked_hides_at_least_five_characters(number: str, shown: str) -> None:
    assert masked(number) == shown


@given(st.data())
def test_what_is_a_mobile_number_of_a_market_is_as_the_markets_pattern_says(data: st.DataObject) -> None:
    region = data.draw(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)))
    code = str(phonenumbers.country_code_for_region(region))
    in_front = data.draw(st.sampled_from(["", "0", code, f"+{code}", f"+ {code}-"]))
    text = in_front + data.draw(national_numbers(region) | st.text("0123456789- ", max_size=15))
    if said_by_us(text, region) is not None:
        assert re.fullmatch(mobile_pattern(region), text)


@pytest.mark.parametrize(
    ("text", "fits"),
    [("0241234567", True), ("+ 233-24 123 4567 ", True), ("0302123456", True), ("241234567", False), ("02412345678", False),
     ("+0241234567", False), ("٠241234567", False), ("", False)],
)  # fmt: skip
def test_the_pattern_of_a_market_says_what_stands_in_front_and_how_many_digits_follow(text: str, fits: bool) -> None:
    assert (re.fullmatch(mobile_pattern("GH"), text) is not None) is fits


def test_the_pattern_of_an_unknown_region_is_a_lookup_error() -> None:
    with pytest.raises(LookupError):
        mobile_pattern("XX")
