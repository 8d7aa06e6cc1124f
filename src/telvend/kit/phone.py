"""Mobile numbers: from what a person types to E.164.

`parse_mobile` is on the path of every purchase, so it does not call `phonenumbers.parse`. It takes the library's own
rules of a region once, makes one regular expression of them, and costs about 1 µs a call after that. A property test
holds the two against each other.

A country may give out numbers before the library knows them. `use_prefixes` adds their prefixes to the rules of this process.

The library is behind numbering.py, which this file imports with the first number: most commands read none.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

# Fifteen digits and a plus sign (E.164) with a space or a dash after each; nobody means a number by more than that.
LONGEST_TEXT = 32
SEPARATORS = "[ -]*"
_INTERNATIONAL_DIGITS = re.compile(r"\+?([1-9][0-9]{6,14})", re.ASCII)

# The markets whose national form is understood where nobody names the market, in the order in which they are tried.
# No text is a mobile number of both: theirs differ in length.
_NATIONAL_FORMS_OF = ("GH", "NG")

# What a region's rule is: "+233", and the question whether a text is a mobile number, with the national number as group 1.
Rule = tuple[str, Callable[[str], re.Match[str] | None]]
_rules: dict[str, Rule] = {}

# What `use_prefixes` has added: the beginnings of national significant numbers ("918") by region. They are part of the rules.
added: Final[dict[str, tuple[str, ...]]] = {}


class NotAMobileNumber(ValueError):
    """The text is not a mobile number of the market. The sentence may be shown; it does not repeat the text."""


class NotAPrefix(ValueError):
    """A prefix of mobile numbers cannot be added. The sentence says why."""


def parse_mobile(text: str, region: str) -> str:
    """Return a mobile number of the market in E.164, as in "+233241234567".

    Understood are the national form ("0241234567"), international digits ("233241234567") and E.164, with spaces and
    dashes anywhere and nothing else. Where people dial without a national prefix (Eswatini, Benin) the national form
    is the bare number. Where the national form is more than prefix and number (Argentina's 15) it is prefix and number
    all the same. A text that can be read as a national form is.

    `region` is the market's two capital letters. Raises NotAMobileNumber, and LookupError for an unknown region.
    """
    # Two calls of replace take a quarter of the time of one str.translate.
    calling_code, match = _rules.get(region) or _learned(region)
    found = match(text.replace(" ", "").replace("-", "")) if len(text) <= LONGEST_TEXT else None
    if found is None:
        raise NotAMobileNumber(f"This is not a mobile number of {region}.")
    return calling_code + found[1]


def parse_mobile_of_any_market(text: str) -> str:
    """Return a mobile number of any country in E.164, for places where nobody names the market.

    Tried in this order: a text that begins with 0 is the national form of Ghana, then of Nigeria; anything else is
    E.164 or international digits of any country. Spaces and dashes as in `parse_mobile`. Not for the hot path.
    Raises NotAMobileNumber.
    """
    if len(text) <= LONGEST_TEXT:
        digits = text.replace(" ", "").replace("-", "")
        if digits.startswith("0"):
            for region in _NATIONAL_FORMS_OF:
                try:
                    return parse_mobile(digits, region)
                except NotAMobileNumber:
                    continue
        elif found := _INTERNATIONAL_DIGITS.fullmatch(digits):
            from telvend.kit.numbering import is_mobile_anywhere

            if is_mobile_anywhere(e164 := f"+{found[1]}"):
                return e164
    raise NotAMobileNumber(
        "This is not a mobile number. Write it with its country code, as in +233241234567, "
        "or in the national form of Ghana or Nigeria."
    )


def use_prefixes(prefixes: Mapping[str, Iterable[str]]) -> None:
    """Take numbers with these prefixes for mobile numbers of their country from now on, beside those that the library knows.

    `prefixes` are as people write them, by country: {"NG": ["0918"]}. They take the place of those given before. A number that
    the library knows as something else, or as another country's, stays that. Raises NotAPrefix.
    """
    if not prefixes and not added:
        return
    from telvend.kit.numbering import significant

    chosen = significant(prefixes)
    if chosen != added:
        added.clear()
        added.update(chosen)
        _rules.clear()


def validate_prefixes(prefixes: Mapping[str, Iterable[str]]) -> None:
    """Raises NotAPrefix for what `use_prefixes` would refuse."""
    if prefixes:
        from telvend.kit.numbering import significant

        significant(prefixes)


def masked(number: str) -> str:
    """Return the number for logs and lists: "+23324*****67" for "+233241234567", "024*****67" for "0241234567".

    At least five characters are always hidden; what is too short to be a number is hidden whole.
    """
    shown_in_front = min(6 if number.startswith("+") else 3, len(number) - 7)
    if shown_in_front < 1:
        return "*" * len(number)
    return f"{number[:shown_in_front]}{'*' * (len(number) - shown_in_front - 2)}{number[-2:]}"


def _learned(region: str) -> Rule:
    """Make the rule of a region and keep it. Raises LookupError."""
    from telvend.kit.numbering import rule_of

    rule = _rules[region] = rule_of(region)
    return rule
