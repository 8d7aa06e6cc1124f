"""Prefixes that the shop adds: whose numbers they make mobile, in every spelling, and what they never touch."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.dialects.madapi.fields import customer
from telvend.errors import InvalidInput
from telvend.kit import phone
from telvend.kit.log_lines import mask
from telvend.kit.numbering import mobile_pattern, national_form, region_of, region_of_added
from telvend.kit.phone import (
    NotAMobileNumber,
    NotAPrefix,
    masked,
    parse_mobile,
    parse_mobile_of_any_market,
    use_prefixes,
    validate_prefixes,
)

NEW = {"NG": ["0918"], "GH": ["0250", "0251", "0252", "0253", "0254", "0255"]}
NUMBERS = {"NG": "9181234567", "GH": "250123456"}
CALLING = {"NG": "234", "GH": "233"}


@pytest.fixture(autouse=True)
def nothing_added_afterwards() -> Iterator[None]:
    yield
    use_prefixes({})


def spellings(region: str) -> list[str]:
    number, code = NUMBERS[region], CALLING[region]
    return [
        f"0{number}", f"{code}{number}", f"+{code}{number}", f"0{number[:3]} {number[3:6]}-{number[6:]}",
        f" +{code}-{number[:3]} {number[3:]} ",
    ]  # fmt: skip


@pytest.mark.parametrize("region", sorted(NUMBERS))
def test_an_added_number_is_taken_in_every_spelling_and_without_the_setting_in_none(region: str) -> None:
    e164 = f"+{CALLING[region]}{NUMBERS[region]}"
    readers: list[Callable[[str], str]] = [
        lambda text: parse_mobile(text, region),
        parse_mobile_of_any_market,
        lambda text: customer(text, ""),
        lambda text: customer(text, region),
    ]
    for text in spellings(region):
        for read in readers:
            with pytest.raises((NotAMobileNumber, InvalidInput)):
                read(text)
    use_prefixes(NEW)
    for text in spellings(region):
        assert [read(text) for read in readers] == [e164] * len(readers), text
    assert (region_of(e164), region_of_added(e164)) == (region, region)
    assert national_form(e164) == f"0{NUMBERS[region]}"
    use_prefixes({})
    assert region_of_added(e164) is None
    with pytest.raises(NotAMobileNumber):
        parse_mobile(e164, region)


@pytest.mark.parametrize("region", sorted(NUMBERS))
def test_an_added_number_has_the_length_of_its_country(region: str) -> None:
    use_prefixes(NEW)
    number = NUMBERS[region]
    for wrong in (number[:-1], number + "0", number[:3]):
        for text in (f"0{wrong}", f"{CALLING[region]}{wrong}", f"+{CALLING[region]}{wrong}"):
            with pytest.raises(NotAMobileNumber):
                parse_mobile(text, region)
            with pytest.raises(NotAMobileNumber):
                parse_mobile_of_any_market(text)


def test_an_added_number_is_a_number_of_its_own_country_alone() -> None:
    use_prefixes(NEW)
    for region in ("GH", "NG", "SZ", "UG", "ZA", "US", "GB"):
        for other, number in NUMBERS.items():
            for text in (f"+{CALLING[other]}{number}", f"{CALLING[other]}{number}", f"0{number}"):
                if region != other:
                    with pytest.raises(NotAMobileNumber):
                        parse_mobile(text, region)


MARKETS = ("GH", "NG", "SZ", "UG", "ZA", "CI", "GB", "US", "CA", "KZ", "RU")


@given(st.sampled_from(MARKETS), st.text("0123456789", min_size=6, max_size=13), st.data())
def test_what_was_a_number_before_is_the_same_number_with_any_prefixes(
    region: str, digits: str, data: st.DataObject
) -> None:
    """Of the same country or of another: a prefix adds, and never takes or renames."""
    if data.draw(st.booleans()):
        example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        national = phonenumbers.national_significant_number(example)
        digits = data.draw(st.sampled_from([f"{example.country_code}{national}", national, f"0{national}"]))
    texts = [digits, f"+{digits}"]
    use_prefixes({})
    before = [read(text) for text in texts for read in readers(region)]
    added = data.draw(st.dictionaries(st.sampled_from(MARKETS), st.lists(prefixes, max_size=3), max_size=3))
    try:
        use_prefixes(added)
    except NotAPrefix:
        return
    after = [read(text) for text in texts for read in readers(region)]
    for one, other in zip(before, after, strict=True):
        assert one in (None, other), (one, other, added)


prefixes = st.from_regex(r"0?[0-9]{2,4}", fullmatch=True)


def readers(region: str) -> list[Callable[[str], str | None]]:
    return [
        lambda text: read_or_none(lambda: parse_mobile(text, region)),
        lambda text: read_or_none(lambda: parse_mobile_of_any_market(text)),
    ]


def read_or_none(read: Callable[[], str]) -> str | None:
    try:
        return read()
    except NotAMobileNumber:
        return None


def test_a_landline_stays_one() -> None:
    use_prefixes({"GH": ["0302", "030"], "NG": ["0201"]})
    for text, region in (("0302123456", "GH"), ("+2348001234567", "NG"), ("0302212345", "GH")):
        with pytest.raises(NotAMobileNumber):
            parse_mobile(text, region)


def test_a_number_of_another_country_of_the_same_code_stays_its() -> None:
    """+1 201 is of New Jersey, whoever claims it."""
    use_prefixes({"CA": ["201", "603"]})
    with pytest.raises(NotAMobileNumber):
        parse_mobile("+12015550123", "CA")
    assert region_of("+12015550123") == "US"


def test_a_national_form_that_several_markets_have_is_refused_where_nobody_names_the_market() -> None:
    """Of the two readings one may be somebody else's phone. With the market it is clear."""
    use_prefixes({"GH": ["077"]})
    with pytest.raises(InvalidInput):
        customer("0771234567", "")
    assert customer("0771234567", "GH") == parse_mobile("0771234567", "GH") == "+233771234567"
    assert customer("0771234567", "UG") == "+256771234567"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"XX": ["0918"]}, "'XX' is not a country, such as NG"),
        ({"ng": ["0918"]}, "'ng' is not a country, such as NG"),
        ({"NG": ["918"]}, "918 of NG does not begin with 0, as people write numbers there"),
        ({"NG": ["+234918"]}, "'+234918' of NG is not digits such as 0918"),
        ({"NG": ["0918x"]}, "'0918x' of NG is not digits such as 0918"),
        ({"NG": ["٠٩١٨"]}, "'٠٩١٨' of NG is not digits such as 0918"),
        ({"NG": [""]}, "'' of NG is not digits such as 0918"),
        ({"NG": ["09"]}, "09 of NG is not 3 to 7 digits long"),
        ({"NG": ["0918123"], "GH": ["0250123"]}, "0250123 of GH is not 3 to 6 digits long"),
        ({"SZ": ["27"]}, "27 of SZ could begin a number of ZA with its country code"),
        ({"US": ["603"], "CA": ["6031"]}, "US and CA have one country code, and 603 is given to both"),
    ],
)
def test_a_prefix_that_cannot_be_is_refused_and_changes_nothing(given: Any, sentence: str) -> None:
    use_prefixes(NEW)
    with pytest.raises(NotAPrefix) as refused:
        validate_prefixes(given)
    assert str(refused.value) == sentence
    with pytest.raises(NotAPrefix):
        use_prefixes(given)
    assert parse_mobile("09181234567", "NG") == "+2349181234567"


def test_where_people_write_numbers_bare_so_is_the_prefix() -> None:
    use_prefixes({"SZ": ["74"]})
    assert parse_mobile("74123456", "SZ") == parse_mobile_of_any_market("+268 7412 3456") == "+26874123456"


def test_a_prefix_that_is_known_already_is_no_error() -> None:
    """A later release of the library knows it; the setting stays where it is."""
    use_prefixes({"NG": ["0803", "0803"]})
    assert parse_mobile("08031234567", "NG") == "+2348031234567"


def test_the_rules_of_nothing_added_are_the_rules_without_the_setting() -> None:
    parse_mobile("08031234567", "NG")
    rule = phone._rules["NG"]
    use_prefixes({})
    use_prefixes({"NG": []})
    assert phone._rules["NG"] is rule


def test_an_added_number_is_masked_as_others() -> None:
    use_prefixes(NEW)
    assert masked("+2349181234567") == "+23491******67"
    assert "9181234567" not in str(
        mask(None, "info", {"event": "x", "phone": "09181234567", "subscriber": "+2349181234567"})
    )


@pytest.mark.parametrize("region", sorted(NUMBERS))
def test_the_pattern_of_a_markets_numbers_holds_those_that_are_added_later(region: str) -> None:
    for text in spellings(region):
        assert re.fullmatch(mobile_pattern(region), text)
