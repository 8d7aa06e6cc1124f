"""The world's numbering plans: what `phonenumbers` knows of a region, as phone.py and the dialects need it.

Imported where a number is read; the import takes as long as the rest of a short command.

Source: the metadata of `phonenumbers`, a port of Google's libphonenumber.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import combinations

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberDesc, PhoneNumberFormat, PhoneNumberType

from telvend.kit.phone import SEPARATORS, NotAMobileNumber, NotAPrefix, Rule, added, parse_mobile

_MOBILE_TYPES = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})

_ASKED_FIRST = (
    "premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail",
)  # fmt: skip

_FEWEST_PREFIX_DIGITS = 2
_FEWEST_DIGITS_AFTER = 4


def mobile_pattern(region: str) -> str:
    """Return a pattern that every text that `parse_mobile` accepts for this market matches as a whole: prefixes and lengths.

    It does not say which numbers are assigned, since countries assign new ones. ASCII only, as for JSON Schema.
    Raises LookupError for an unknown region.
    """
    metadata, mobile = _mobile_of(region)
    lengths = set(mobile.possible_length) if mobile is not None else set()
    with suppress(NotAPrefix):
        lengths.add(_mobile_length(region))
    in_front = [SEPARATORS.join(prefix) for prefix in _national_prefixes(region)]
    in_front.append(rf"\+?{SEPARATORS}{SEPARATORS.join(str(metadata.country_code))}")
    numbers = "|".join(f"(?:{SEPARATORS}[0-9]){{{length}}}" for length in sorted(lengths))
    return f"{SEPARATORS}(?:{'|'.join(in_front)})(?:{numbers}){SEPARATORS}"


def example_mobile(region: str) -> str:
    """Return a mobile number of a region in E.164, for requests that are only looked at. Raises LookupError."""
    number = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    if number is None:
        raise LookupError(f"phonenumbers knows no mobile number of {region!r}.")
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))


def national_form(e164: str) -> str:
    """Return what people of the number's country dial: "0241234567" for "+233241234567". Raises NotAMobileNumber."""
    for length in (1, 2, 3):
        calling_code = e164[1 : 1 + length]
        if calling_code.isdecimal() and int(calling_code) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return _national_prefix(int(calling_code)) + e164[1 + length :]
    raise NotAMobileNumber("This is not a number in E.164, as in +233241234567.")


def region_of(e164: str) -> str:
    """Return the country that a number in E.164 belongs to: "GH" for "+233241234567". Raises NotAMobileNumber."""
    if (country := region_of_added(e164)) is not None:
        return country
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(e164))
    except NumberParseException:
        region = None
    if region is None:
        raise NotAMobileNumber("This is not a number in E.164, as in +233241234567.")
    return region


def region_of_added(e164: str) -> str | None:
    """Return the country that an added prefix makes this a mobile number of; None where none does."""
    for region, prefixes in added.items():
        calling_code = f"+{phonenumbers.country_code_for_region(region)}"
        if e164.startswith(tuple(calling_code + prefix for prefix in prefixes)):
            try:
                if parse_mobile(e164, region) == e164:
                    return region
            except NotAMobileNumber:
                continue
    return None


def rule_of(region: str) -> Rule:
    """Make the rule of a region from the library's metadata. Raises LookupError for an unknown region."""
    metadata, mobile = _mobile_of(region)
    # The library asks these first; a number that one of them claims is not a mobile number, though mobile matched too.
    others = [pattern for kind in _ASKED_FIRST if (pattern := _pattern(getattr(metadata, kind)))]
    not_another = rf"(?!(?:{'|'.join(others)})\Z)" if others else ""
    in_front = [*_national_prefixes(region), rf"\+?{metadata.country_code}"]
    # What `mobile` lacks (a region without mobile numbers) becomes a pattern that matches nothing.
    expression = rf"(?:{'|'.join(in_front)}){not_another}({_pattern(mobile) or '(?!)'}{_added_pattern(metadata)})"
    return f"+{metadata.country_code}", re.compile(expression, re.ASCII).fullmatch


def _mobile_of(region: str) -> tuple[PhoneMetadata, PhoneNumberDesc | None]:
    """Return the metadata of a region, and what of it describes mobile numbers. Raises LookupError for an unknown region."""
    metadata = PhoneMetadata.metadata_for_region(region, None)
    if metadata is None:
        raise LookupError(f"phonenumbers knows no region {region!r}.")
    return metadata, metadata.fixed_line if metadata.same_mobile_and_fixed_line_pattern else metadata.mobile


def _pattern(description: PhoneNumberDesc | None) -> str:
    """The description as a pattern that also demands its lengths, or "" where the region has no such numbers."""
    if description is None or not description.national_number_pattern:
        return ""
    lengths = "|".join(rf"\d{{{length}}}\Z" for length in description.possible_length)
    demanded = f"(?={lengths})" if lengths else ""
    return f"{demanded}(?:{description.national_number_pattern})"


def _added_pattern(metadata: PhoneMetadata) -> str:
    """What is added to the pattern of a region's mobile numbers; "" where nothing is."""
    region = metadata.id
    if region not in added:
        return ""
    length = _mobile_length(region)
    ours = "|".join(rf"{prefix}\d{{{length - len(prefix)}}}" for prefix in added[region])
    claimed = [metadata.fixed_line]
    for other in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[phonenumbers.country_code_for_region(region)]:
        if other != region and (theirs := PhoneMetadata.metadata_for_region(other, None)) is not None:
            claimed += [getattr(theirs, kind) for kind in ("fixed_line", "mobile", *_ASKED_FIRST)]
    patterns = "|".join(filter(None, map(_pattern, claimed)))
    unclaimed = rf"(?!(?:{patterns})\Z)" if patterns else ""
    return rf"|{unclaimed}(?:{ours})"


def significant(prefixes: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """The prefixes as national significant numbers begin, by region. Raises NotAPrefix."""
    found = {
        region: tuple(dict.fromkeys(_significant_prefix(region, text) for text in texts))
        for region, texts in prefixes.items()
    }
    for (one, ours), (other, theirs) in combinations(found.items(), 2):
        if phonenumbers.country_code_for_region(one) == phonenumbers.country_code_for_region(other):
            for prefix in ours:
                if any(prefix.startswith(their) or their.startswith(prefix) for their in theirs):
                    raise NotAPrefix(f"{one} and {other} have one country code, and {prefix} is given to both")
    return {region: begins for region, begins in found.items() if begins}


def _significant_prefix(region: str, text: str) -> str:
    length = _mobile_length(region)
    if not (text.isascii() and text.isdigit()):
        raise NotAPrefix(f"{text!r} of {region} is not digits such as 0918")
    in_front = _national_prefixes(region)
    before = max((prefix for prefix in in_front if text.startswith(prefix)), key=len, default=None)
    if before is None:
        raise NotAPrefix(f"{text} of {region} does not begin with {in_front[0]}, as people write numbers there")
    significant = text.removeprefix(before)
    longest = length - _FEWEST_DIGITS_AFTER
    if not _FEWEST_PREFIX_DIGITS <= len(significant) <= longest:
        fewest, most = (count + len(before) for count in (_FEWEST_PREFIX_DIGITS, longest))
        raise NotAPrefix(f"{text} of {region} is not {fewest} to {most} digits long")
    if before == "":
        _require_own(region, significant, length)
    return significant


def _require_own(region: str, prefix: str, length: int) -> None:
    """Raise NotAPrefix where numbers are written bare, and such a one could be international digits of another country."""
    for calling_code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        if not (prefix.startswith(str(calling_code)) or str(calling_code).startswith(prefix)):
            continue
        for other in regions:
            theirs = PhoneMetadata.metadata_for_region(other, None)
            if theirs is None or theirs.mobile is None:
                continue
            if length - len(str(calling_code)) in theirs.mobile.possible_length:
                raise NotAPrefix(f"{prefix} of {region} could begin a number of {other} with its country code")


def _mobile_length(region: str) -> int:
    """How many digits a mobile number of the region has, without what stands before it. Raises NotAPrefix."""
    example = None
    if region in phonenumbers.SUPPORTED_REGIONS:
        example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    if example is None:
        raise NotAPrefix(f"{region!r} is not a country, such as NG")
    return len(phonenumbers.national_significant_number(example))


def _national_prefixes(region: str) -> list[str]:
    """What may stand before the national number in the national form; "" where it is written bare.

    The metadata says which prefix there is, but only in its formats whether people write it, so the library is asked
    to write its example number.
    """
    metadata = PhoneMetadata.metadata_for_region(region, None)
    prefixes = [metadata.national_prefix] if metadata is not None and metadata.national_prefix else []
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    if example is not None:
        written = re.sub(r"\D", "", phonenumbers.format_number(example, PhoneNumberFormat.NATIONAL))
        if written == phonenumbers.national_significant_number(example):
            return ["", *prefixes]
    return prefixes or [""]


@lru_cache(maxsize=256)
def _national_prefix(calling_code: int) -> str:
    region = phonenumbers.region_code_for_country_code(calling_code)
    if region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY:
        return ""
    return _national_prefixes(region)[0]


def is_mobile_anywhere(e164: str) -> bool:
    if region_of_added(e164) is not None:
        return True
    try:
        number = phonenumbers.parse(e164)
    except NumberParseException:
        return False
    # The library forgives a national prefix after the country code, which is no E.164; then it writes another number.
    return (
        phonenumbers.format_number(number, PhoneNumberFormat.E164) == e164
        and phonenumbers.is_valid_number(number)
        and phonenumbers.number_type(number) in _MOBILE_TYPES
    )


@lru_cache(maxsize=4096)
def shown_number(e164: str) -> str:
    """Return a number in groups, as people of its country read it aloud: "024 123 4567". What is no number stays as it is."""
    try:
        return phonenumbers.format_number(phonenumbers.parse(e164), PhoneNumberFormat.NATIONAL)
    except NumberParseException:
        return e164
