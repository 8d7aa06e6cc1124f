"""Which of a vendor's operators is one of our networks, by its name: `MTN Nigeria`, `9Mobile (Etisalat) Nigeria`.

Vendors that sell the whole world number the operators and call them as they like. A name is ours where it holds the network's
name as whole words, the former names of networks included. Where the match is not unique, the connector refuses, and the operator of
the shop configures the vendor's number.
"""

import re
from typing import Final

_WORDS: Final = re.compile(r"[a-z]+[0-9]*|[0-9]+[a-z]*")

_OTHER_NAMES: Final = {
    ("GH", "telecel"): ("vodafone",),
    ("GH", "airteltigo"): ("airtel tigo", "at ghana"),
    ("NG", "9mobile"): ("etisalat", "t2"),
}
"""What networks are called beside their codes, in small letters."""


def is_network(name: str, country: str, network: str) -> bool:
    """Whether an operator of this country with this name is the network."""
    words = _words(name)
    wanted = (network, *_OTHER_NAMES.get((country, network.casefold()), ()))
    return any(_holds(words, _words(one)) for one in wanted)


def _words(text: str) -> list[str]:
    return _WORDS.findall(text.casefold())


def _holds(words: list[str], part: list[str]) -> bool:
    length = len(part)
    return length > 0 and any(words[at : at + length] == part for at in range(len(words) - length + 1))
