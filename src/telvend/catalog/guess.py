"""Which network a number is of, as far as its first digits say. A guess: numbers are ported, and a person may say otherwise.

The prefixes are those of the numbering plans (phonenumbers, its table of carriers). Networks that have changed their name since are
found under their former one.
"""

from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, carrier

from telvend.catalog.model import CatalogueSnapshot, Network

_CALLED_HERE: Final = {
    "at": ("airteltigo", "at", "telecel"),
    "vodafone": ("telecel", "vodafone"),
    "9mobile": ("9mobile", "t2", "etisalat"),
}
"""Names under which the catalogue may list a carrier, the likeliest first. A carrier that is missing here has its own name there."""


def country_of(number: str) -> str:
    """The country of a number in E.164, as two capital letters; "" where there is none."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number)) or ""
    except NumberParseException:
        return ""


def guess_network(snapshot: CatalogueSnapshot, number: str) -> Network | None:
    """Return the network that a number in E.164 was given out by; None where that is not known, or not in the catalogue."""
    try:
        parsed = phonenumbers.parse(number)
    except NumberParseException:
        return None
    country = phonenumbers.region_code_for_number(parsed)
    called = carrier.name_for_number(parsed, "en").casefold()
    if not country or not called:
        return None
    networks = snapshot.networks(country)
    for word in _CALLED_HERE.get(called, (called,)):
        for network in networks:
            if word in (network.code.casefold(), network.name.casefold()):
                return network
    return None
