"""How the fields of forms and queries are read, one by one, so that every wrong one is named at once.

forms.py declares which form has which fields; the sentences about wrong values stand here.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypeVar

from telvend.catalog.model import CatalogueSnapshot, Network, Product
from telvend.dialects.fields import FormFields
from telvend.dialects.forms import PrintableText
from telvend.dialects.headers import header_text
from telvend.dialects.networkdatasub.courtesies import OTHER_NAME, number_in
from telvend.dialects.networkdatasub.wire import AUTHORITY_BY_PROVIDER
from telvend.funding.model import is_redirect_url
from telvend.gateways.contract import Method
from telvend.identity.model import is_number
from telvend.kit.money import Currency, Money
from telvend.kit.phone import NotAMobileNumber, parse_mobile

COUNTRY: Final = "NG"
REFERENCE_TEXT: Final = PrintableText(64)

DEFAULT_PROVIDER: Final = "idpass"

_NOTHING_SOLD: Final = CatalogueSnapshot(0)
_UNKNOWN_NETWORK: Final = "is not a network code: use mtn, airtel, glo or 9mobile"
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

T = TypeVar("T")


class Fields(FormFields):
    """What a client sent, field by field. A field that is wrong reads as a stand-in until `raise_if_any` is called.

    `catalogue` and `cards` are what is sold now, `idempotency_key` the header.
    """

    MOST_DIGITS: Final = 18

    def __init__(
        self,
        form: Mapping[str, Any],
        catalogue: CatalogueSnapshot = _NOTHING_SOLD,
        *,
        cards: Collection[str] = (),
        idempotency_key: bytes | None = None,
    ) -> None:
        super().__init__(form)
        self.idempotency_key = idempotency_key
        self._catalogue = catalogue
        self._cards = cards

    def text(self, name: str, *, required: bool = True) -> str:
        value = self._form.get(name)
        if value is None:
            if required:
                self.add(name, "field is required")
            return ""
        if not isinstance(value, str):
            self.add(name, "must be a string")
            return ""
        if not value.strip() and required:
            self.add(name, "field is required")
        return value

    def whole_number(self, name: str, *, minimum: int, maximum: int, default: int | None = None) -> int:
        """An integer, or its digits as text, as forms and query strings send it."""
        value = self._form.get(name)
        if value is None:
            if default is None:
                self.add(name, "field is required")
            return default or 0
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= self.MOST_DIGITS:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.add(name, "must be an integer")
            return 0
        if not minimum <= value <= maximum:
            self.add(name, f"must be between {minimum} and {maximum}")
        return value

    def amount(self, name: str, minimum: Money, maximum: Money) -> Money:
        """A JSON number, or its digits as text, with at most the currency's decimals."""
        value = self._form.get(name)
        currency = minimum.currency
        if value is None:
            self.add(name, "field is required")
            return minimum
        found = _money(value, currency)
        if found is None:
            self.add(name, f"must be a number with at most {currency.digits} decimals")
            return minimum
        if not minimum.minor <= found.minor <= maximum.minor:
            self.add(name, f"must be between {minimum.decimal.normalize():f} and {maximum.decimal.normalize():f}")
        return found

    def phone(self, name: str, region: str) -> str:
        text = self.text(name)
        if name in self.problems:
            return ""
        try:
            return parse_mobile(text, region)
        except NotAMobileNumber:
            self.add(name, "must be a mobile number of Nigeria, such as 08012345678")
            return ""

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._form.get(name) is not None

    def by_either_name(self, name: str, read: Callable[[str], T]) -> T:
        """Read a field that has a courtesy's name besides its own. What is wrong with it is said of the printed name.

        Where both are sent and are not the same, both are wrong.
        """
        other = OTHER_NAME[name]
        if not self.has(other):
            return read(name)
        if not self.has(name):
            self._form = {**self._form, name: self._form[other]}
            return read(name)
        value = read(name)
        if read(other) != value:
            self.add(name, f"differs from {other}")
            self.add(other, f"differs from {name}")
        return value

    def number(self, name: str) -> int | None:
        """The number that is sent, as a courtesy, instead of a word; None where there is none."""
        return number_in(name, self._form.get(name))

    def one_of(self, name: str, known: Callable[[str], T | None], problem: str) -> T | None:
        """A text that `known` knows; the problem where it does not."""
        text = self.text(name)
        if name in self.problems:
            return None
        found = known(text)
        if found is None:
            self.add(name, problem)
        return found

    def network(self, name: str) -> Network | None:
        """A network's code or, as a courtesy, its number."""
        number = self.number(name)
        if number is None:
            return self.one_of(name, lambda word: self._catalogue.network(COUNTRY, word.strip()), _UNKNOWN_NETWORK)
        # A code comes first, also one that is digits.
        numbered = {network.id: network for network in self._catalogue.networks(COUNTRY)}
        found = self._catalogue.network(COUNTRY, str(number)) or numbered.get(number)
        if found is None:
            self.add(name, _UNKNOWN_NETWORK)
        return found

    def network_of_plan(self, name: str) -> Network | None:
        """The same; None where a courtesy leaves it to the plan."""
        return None if self._network_is_the_plans else self.network(name)

    def plan(self, _: str) -> Product | None:
        """The plan of `plan_id` and of the network that was read. As a courtesy the plan alone determines the network."""
        by_plan = self._network_is_the_plans
        network: Network | None = self.values["network"]
        if "plan_id" in self.problems or not (by_plan or network is not None):
            return None
        plan = self._catalogue.product(self.values["plan_id"])
        if by_plan and plan is not None and plan.country == COUNTRY:
            network = self.values["network"] = self._catalogue.network(COUNTRY, plan.network)
        if network is None:
            self.add("plan_id", "is not a data plan")
        elif plan is None or (plan.country, plan.network) != (network.country, network.code):
            self.add("plan_id", f"is not a plan of {network.name}")
        return plan

    @property
    def _network_is_the_plans(self) -> bool:
        """Whether the plan is named as a courtesy, and the network is not."""
        return self.has(OTHER_NAME["plan_id"]) and not self.has("network")

    def payment_method(self, name: str) -> Method | None:
        return self.one_of(name, _METHODS.get, "must be card, bank_transfer or ussd")

    def redirect_url(self, name: str) -> str | None:
        """Missing, null or empty is none."""
        url = self.text(name, required=False) or None
        if url is not None and not is_redirect_url(url):
            self.add(name, "must be an http or https address")
        return url

    def identity_number(self, name: str) -> str:
        """A NIN or a BVN."""
        number = self.text(name)
        if name not in self.problems and not is_number(number):
            self.add(name, "must be 11 digits")
        return number

    def card_type(self, name: str) -> str:
        # One that is no longer sold is refused after its reference was looked up, like any product.
        card_type = self.text(name)
        if name not in self.problems and card_type not in self._cards:
            self.add(name, f"must be one of {', '.join(sorted(self._cards))}")
        return card_type

    def provider(self, name: str) -> str:
        provider = self.text(name, required=False) or DEFAULT_PROVIDER
        if provider not in AUTHORITY_BY_PROVIDER:
            self.add(name, "must be idpass or mobilsix")
        return provider

    def flag(self, name: str) -> bool:
        """A boolean; missing or null is false."""
        value = self._form.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            self.add(name, "must be true or false")
            return False
        return value

    def day(self, name: str) -> date | None:
        text = self.text(name, required=False)
        if not text:
            return None
        try:
            # The library also reads weeks, such as 2025-W01-1.
            if _DAY.fullmatch(text):
                return date.fromisoformat(text)
        except ValueError:
            pass
        self.add(name, "must be a date such as 2025-05-31")
        return None

    def reference(self, header: bytes | None) -> str | None:
        """The caller's own reference: the field `reference`, or the header Idempotency-Key, or both if they agree."""
        value = self._form.get("reference")
        given = header_text(header) if header is not None else None
        if value is None:
            value = given
        elif given is not None and given != value:
            self.add("reference", "differs from the Idempotency-Key header")
            return None
        if value is None:
            return None
        if not isinstance(value, str) or not REFERENCE_TEXT.holds(value):
            self.add("reference", f"must be 1 to {REFERENCE_TEXT.longest} printable characters")
            return None
        return value


_METHODS: Final = {str(method): method for method in Method}
_MOST_DIGITS: Final = 30


def _money(value: Any, currency: Currency) -> Money | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    if isinstance(value, Decimal):
        # Written out, 1e-999999999 would fill the memory.
        exponent = value.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -_MOST_DIGITS or value.adjusted() > _MOST_DIGITS:
            return None
        value = f"{value:f}"
        if "." in value:
            value = value.rstrip("0").rstrip(".")
    try:
        return Money.parse(str(value), currency)
    except ValueError:
        return None
