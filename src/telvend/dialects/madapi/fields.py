"""Reading MADAPI's requests: who is meant, what is asked for, and every wrong field named at once.

A customer is named by the MSISDN in any spelling: E.164, its digits, the national form, with spaces and dashes. A national
form is read as the home country's (setting `madapi_home_country`) where there is one, then as Ghana's or Nigeria's, then as that
of the one other market in which it can be a mobile number. Uganda's and South Africa's look alike: without a home country theirs
are refused.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from telvend.catalog.model import PRODUCT_CODE as PRODUCT_CODE_PATTERN
from telvend.catalog.model import is_product_code
from telvend.dialects.fields import FormFields, Problems
from telvend.dialects.headers import header_text
from telvend.dialects.madapi.wire import CURRENCY
from telvend.errors import InvalidInput
from telvend.kit.money import CURRENCIES, Currency, Money
from telvend.kit.numbering import region_of_added
from telvend.kit.phone import NotAMobileNumber, parse_mobile, parse_mobile_of_any_market
from telvend.kit.secret import Secret
from telvend.operator.refills.model import RefillKind
from telvend.operator.subscribers.model import line_of

# Who a request is about -------------------------------------------------------------------------------------------------

MARKETS: Final = {"233": "GH", "234": "NG", "268": "SZ", "256": "UG", "27": "ZA"}
"""The document's markets by their calling code."""

_OTHERS: Final = ("SZ", "UG", "ZA")
LONGEST_CUSTOMER: Final = 64


def customer(text: str, home: str, field: str = "customerId") -> str:
    """The subscriber's number in E.164. Raises InvalidInput."""
    try:
        return _number(text, home)
    except NotAMobileNumber:
        raise InvalidInput(field, "is not the number of a mobile subscriber, such as 2348031234567") from None


def _number(text: str, home: str) -> str:
    digits = text.replace(" ", "").replace("-", "") if len(text) <= LONGEST_CUSTOMER else ""
    international = digits.removeprefix("+")
    if not digits.startswith("0"):
        # The rule of one market costs a microsecond, the library's reading of any number fifty.
        market = MARKETS.get(international[:3]) or MARKETS.get(international[:2])
        if market is not None:
            try:
                return parse_mobile("+" + international, market)
            except NotAMobileNumber:
                pass
    if home and not digits.startswith("+"):
        try:
            return parse_mobile(digits, home)
        except (NotAMobileNumber, LookupError):
            pass
    try:
        number = parse_mobile_of_any_market(digits)
    except NotAMobileNumber:
        found = {theirs for market in _OTHERS if (theirs := _national(digits, market))}
        if len(found) != 1:
            raise
        return found.pop()
    # By an added prefix it is Ghana's or Nigeria's; where it is another market's too, nobody knows which is meant.
    if digits.startswith("0") and region_of_added(number) and any(_national(digits, market) for market in _OTHERS):
        raise NotAMobileNumber("This may be a number of several markets.")
    return number


def _national(digits: str, market: str) -> str | None:
    try:
        return parse_mobile(digits, market)
    except NotAMobileNumber:
        return None


# What a client calls its request ----------------------------------------------------------------------------------------

_TRANSACTION_ID: Final = re.compile(r"[A-Za-z0-9+/=-]{5,20}", re.ASCII)
_SHORTEST_LONG_ID: Final = 21
_LONGEST_ID: Final = 128
_STAND_IN_BYTES: Final = 10


def usable_transaction_id(text: str) -> bool:
    return _TRANSACTION_ID.fullmatch(text) is not None


def new_transaction_id() -> str:
    """In the place of one that is missing or cannot be used: 80 random bits."""
    return secrets.token_hex(10)


def long_transaction_id(text: str) -> bool:
    """Whether this is too long to be echoed, and still names a request: a UUID, a number of 25 digits."""
    return _SHORTEST_LONG_ID <= len(text) <= _LONGEST_ID and text.isprintable()


def stand_in_of(text: str) -> str:
    """The id in force for a long one: the first 80 bits of its BLAKE2b hash, always the same.

    So a repeat is recognised by either, also by a version that has never seen the first. The rule must never change.
    Source: docs/decisions/0018-a-long-transaction-id-has-a-stand-in.md.
    """
    return hashlib.blake2b(text.encode(), digest_size=_STAND_IN_BYTES, person=b"transactionId").hexdigest()


def transaction_id_in_force(text: str) -> str:
    """What an id becomes: itself where it can be used, its stand-in where it is long, else a new one."""
    if usable_transaction_id(text):
        return text
    return stand_in_of(text) if long_transaction_id(text) else new_transaction_id()


def transaction_id_of(headers: Mapping[bytes, bytes]) -> str:
    return transaction_id_in_force(_sent_id(headers))


def long_id_of(headers: Mapping[bytes, bytes]) -> str | None:
    """What the client sent, where a stand-in is in force for it."""
    sent = _sent_id(headers)
    return sent if long_transaction_id(sent) else None


def _sent_id(headers: Mapping[bytes, bytes]) -> str:
    return header_text(headers.get(b"transactionid", b""))


# Queries ----------------------------------------------------------------------------------------------------------------


class Query(Problems):
    """The parameters of an address, by name in any case; of one that comes twice the last. Unknown ones are never looked at."""

    def __init__(self, query: bytes) -> None:
        super().__init__()
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True) if query else ()
        self._given = {name.casefold(): value for name, value in pairs}

    def _value(self, name: str) -> str:
        return self._given.get(name.casefold(), "").strip()

    def line(self, name: str) -> str:
        """A line as the subscriber's lines are spelt; empty where it is missing. A plus sign that was not encoded is one."""
        value = self._value(name)
        if value[:1].isdigit() and self._given[name.casefold()].startswith(" "):
            value = f"+{value}"
        if not value:
            return ""
        try:
            return line_of(value)
        except InvalidInput as error:
            self.add(name, error.problem)
            return ""

    def text(self, name: str, longest: int = 64) -> str:
        """Empty where it is missing."""
        value = self._value(name)
        if len(value) > longest or not value.isprintable():
            self.add(name, f"must be at most {longest} printable characters")
            return ""
        return value

    def one_of(self, name: str, words: tuple[str, ...]) -> str:
        """One of the words, as they are spelt here, whatever its case there; empty where it is missing."""
        value = self._value(name)
        if not value:
            return ""
        found = next((word for word in words if word.casefold() == value.casefold()), "")
        if not found:
            self.add(name, f"{_shown(value)} is not one of {', '.join(words)}")
        return found

    def flag(self, name: str) -> bool:
        return self.one_of(name, ("true", "false")) == "true"

    def whole_number(self, name: str, most_digits: int) -> int | None:
        value = self._value(name)
        if not value:
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= most_digits):
            self.add(name, f"must be a whole number of at most {most_digits} digits")
            return None
        return int(value)


def _shown(value: str) -> str:
    """A value in a sentence: quoted, short, and without what a terminal would obey."""
    return repr(value[:32] + ("..." if len(value) > 32 else ""))


class PlansQuery(msgspec.Struct, frozen=True):
    """What the parameters of a plans read ask for. `amount` in whole units; `quote` empty where there is none."""

    plan: str
    line: str
    active: bool
    unused: bool
    amount: int | None
    momo: bool
    reservations: bool
    quote: str


_USAGE: Final = {
    "1": (True, True),
    "2": (True, False),
    "3": (False, True),
    "all": (True, True),
    "active": (True, False),
    "inactive": (False, True),
}
"""`usageType`: whether wallets that are Active, and that are Unused, are shown."""

_AMOUNT_DIGITS: Final = 12


@lru_cache(maxsize=1024)
def plans_query(query: bytes) -> PlansQuery:
    """Raises InvalidFields naming every wrong parameter. Remembered, since most clients always ask the same."""
    found = Query(query)
    active, unused = _USAGE[found.one_of("usageType", tuple(_USAGE)) or "1"]
    momo = found.flag("momo")
    wanted = PlansQuery(
        found.one_of("plan", ("VOICE", "DATA", "SMS")),
        found.line("fixedLine"),
        active,
        unused,
        found.whole_number("amount", _AMOUNT_DIGITS),
        momo,
        # These two mean nothing without momo, and are then not even looked at.
        momo and found.flag("includeReservations"),
        found.text("quoteid") if momo else "",
    )
    # What else version 2.3 knows (segment, idType, prefLanguage, extRequest and more) changes nothing here: there is one
    # system, one language, one kind of customer. Its words are not minded either, since clients send others.
    found.raise_if_any()
    return wanted


# Bodies -----------------------------------------------------------------------------------------------------------------

PIN: Final = re.compile(r"[0-9]{8,20}", re.ASCII)
SERIAL: Final = re.compile(r"[A-Za-z0-9]{8,20}", re.ASCII)
PROFILE: Final = re.compile(r"[A-Za-z0-9]{1,4}", re.ASCII)
UNIT_DIGITS: Final = 12
MOST_UNITS: Final = 10**UNIT_DIGITS - 1
_UNITS: Final = re.compile(rf"[0-9]{{1,{UNIT_DIGITS}}}", re.ASCII)
TRANSACTION_TYPE: Final = re.compile(r"[A-Za-z0-9_]{1,32}", re.ASCII)
PLAN_ID: Final = re.compile(r"[A-Za-z0-9_. -]{1,64}", re.ASCII)

REFILL_TYPES: Final = {
    "voucher": RefillKind.VOUCHER,
    "voucherbase": RefillKind.VOUCHER,
    "voucherbased": RefillKind.VOUCHER,
    "voucherless": RefillKind.VOUCHERLESS,
}
"""The words of version 2.3, and the page's own ("Voucher Base"), without case, spaces and dashes."""

_OF_VOUCHERS: Final = ("voucherActivationCode", "serialNumber")
_OF_VOUCHERLESS: Final = ("refillProfileId", "transactionAmount")
TARGET_SYSTEMS: Final = ("AIR", "PPMS")
FRI_STATES: Final = ("ACTIVE", "BLOCKED")
PAYMENT_SOURCE: Final = "EVDS"
"""The payment source of a subscription that is the partner's wallet."""

PAYMENT_SOURCES: Final = ("Airtime", "MobileMoney", PAYMENT_SOURCE, "Loyalty")
GRANT: Final = "client_credentials"

LONGEST_TEXT: Final = 128
LONGEST_QUOTE: Final = 64
LONGEST_MESSAGE: Final = 256
LONGEST_SENT_ID: Final = 4096

_PARTS_OF_AMOUNT: Final = {name: (f"amount[{name}]", f"amount.{name}") for name in ("type", "value", "unit")}
AMOUNT_SPELLINGS: Final = tuple(spelling for spellings in _PARTS_OF_AMOUNT.values() for spelling in spellings)
"""How the parts of an amount are spelt in a form; of two spellings of one part the last counts."""

PRODUCT_CODE: Final = "must be 1 to 64 letters, digits, dots, dashes and underscores"


class Fields(FormFields):
    """What a body holds, field by field. One that is wrong reads as a stand-in until `raise_if_any` is called.

    Null and an empty string are the same as a field that is missing. `home` is the market whose national form is read first,
    `trace` the transactionId of the header; `sender` and `product_in_path` are what the path names.
    """

    def __init__(self, form: Mapping[str, Any], home: str = "", trace: str = "") -> None:
        super().__init__(form)
        self.home = home
        self.trace = trace
        self.sender = ""
        self.product_in_path: str | None = None

    def sent(self, name: str) -> Any:
        """The value as it was sent; None where it is missing."""
        return self._form.get(name)

    def has(self, name: str) -> bool:
        return self._form.get(name) not in (None, "")

    def text(self, name: str, *, required: bool = True, longest: int = LONGEST_TEXT) -> str:
        """Empty where it is missing or wrong."""
        value = self._form.get(name)
        if value in (None, ""):
            if required:
                self.add(name, "is required")
            return ""
        if not isinstance(value, str):
            self.add(name, "must be a string")
            return ""
        if len(value) > longest or not value.isprintable():
            self.add(name, f"must be at most {longest} printable characters")
            return ""
        return value

    def matching(self, name: str, pattern: re.Pattern[str], problem: str, *, required: bool = True) -> str:
        text = self.text(name, required=required)
        if text and not pattern.fullmatch(text):
            self.add(name, problem)
            return ""
        return text

    def one_of(self, name: str, words: tuple[str, ...], *, required: bool = True) -> str:
        text = self.text(name, required=required)
        found = next((word for word in words if word.casefold() == text.casefold()), "")
        if text and not found:
            self.add(name, f"must be one of {', '.join(words)}")
        return found

    def customer(self, name: str, home: str) -> str:
        text = self.text(name)
        if not text:
            return ""
        try:
            return customer(text, home, name)
        except InvalidInput as error:
            self.add(name, error.problem)
            return ""

    # Refills

    def refill_kind(self) -> RefillKind:
        """And none of the fields that belong to the other one."""
        text = self.text("refillType")
        word = text.casefold().replace(" ", "").replace("-", "").replace("_", "")
        kind = REFILL_TYPES.get(word)
        if kind is None:
            if text:
                self.add("refillType", "must be voucher or voucherless")
            return RefillKind.VOUCHER
        for name in _OF_VOUCHERLESS if kind is RefillKind.VOUCHER else _OF_VOUCHERS:
            if self.has(name):
                self.add(name, f"must not be sent with refillType {kind}")
        return kind

    def refills_by(self, kind: RefillKind) -> bool:
        """Whether the kind of refill that was read is this one."""
        return "refillType" not in self.problems and self.values["refill_type"] is kind

    def pin(self) -> Secret:
        """Never repeated in a sentence. A JSON number has lost its leading zeros, and is refused."""
        value = self._form.get("voucherActivationCode")
        if value in (None, ""):
            self.add("voucherActivationCode", "is required with refillType voucher")
        elif not isinstance(value, str) or not PIN.fullmatch(value):
            self.add("voucherActivationCode", "must be a string of 8 to 20 digits")
            value = ""
        return Secret(value or "")

    def serial(self) -> str | None:
        return self.matching("serialNumber", SERIAL, "must be 8 to 20 letters and digits", required=False) or None

    def profile(self) -> str:
        if not self.has("refillProfileId"):
            self.add("refillProfileId", "is required with refillType voucherless")
            return ""
        return self.matching("refillProfileId", PROFILE, "must be 1 to 4 letters and digits")

    def units(self) -> int:
        """Whole units of the currency: digits as text, or a JSON integer."""
        value = self._form.get("transactionAmount")
        if value in (None, ""):
            self.add("transactionAmount", "is required with refillType voucherless")
            return 0
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not _UNITS.fullmatch(value) or not int(value):
            self.add("transactionAmount", "must be whole units of the currency, from 1, in at most 12 digits")
            return 0
        return int(value)

    def target_system(self) -> str:
        return self.one_of("targetSystem", TARGET_SYSTEMS, required=False)

    # Premiums

    def product(self, in_path: str | None) -> str:
        """The product that the body names, which is the path's where that names one."""
        text = self.text("product")
        if text and not is_product_code(text):
            self.add("product", PRODUCT_CODE)
        if text and in_path is not None and text != in_path:
            self.add("product", "is not the product of the path")
        return text

    def transaction_type(self) -> str:
        text = self.text("transactionType").upper()
        if text and not TRANSACTION_TYPE.fullmatch(text):
            self.add("transactionType", "must be 1 to 32 letters, digits and underscores")
        return text

    def transaction_id(self, header: str) -> str:
        """What the body's own becomes. Where it is missing, which is wrong, the header's."""
        text = self.text("transactionId", longest=LONGEST_SENT_ID)
        if "transactionId" in self.problems:
            return header
        return transaction_id_in_force(text)

    def amount(self, sender: str) -> Money | None:
        """An object of `type`, `value` and `unit`, or its JSON as text, or in a form `amount[value]` or `amount.value`."""
        parts = self._amount_parts()
        if parts is None:
            return None
        inner = Fields(parts)
        if inner.text("type") and parts["type"].upper() != CURRENCY:
            inner.add("type", f"must be {CURRENCY}")
        currency = _currency(inner, sender)
        text = inner.text("value")
        found: Money | None = None
        if text and currency is not None:
            try:
                # MADAPI writes two decimals whatever the currency has, so that they may come back.
                found = Money.parse(text if currency.digits else text.removesuffix(".00"), currency)
            except ValueError as error:
                inner.add("value", str(error))
        if found is not None and not found.minor:
            inner.add("value", "must be greater than zero")
        for name, problem in inner.problems.items():
            self.add(f"amount.{name}", problem)
        return found

    def _amount_parts(self) -> Mapping[str, Any] | None:
        value = self._form.get("amount")
        if value in (None, ""):
            parts = {
                name: self._form[spelling]
                for name, spellings in _PARTS_OF_AMOUNT.items()
                for spelling in spellings
                if spelling in self._form
            }
            if parts:
                return parts
            self.add("amount", "is required")
            return None
        if isinstance(value, str):
            with suppress(msgspec.DecodeError, RecursionError):
                value = msgspec.json.decode(value)
        if not isinstance(value, dict):
            self.add("amount", "must be an object of type, value and unit")
            return None
        return value

    # Subscriptions

    def subscription_id(self) -> str:
        return self.matching("subscriptionId", PRODUCT_CODE_PATTERN, PRODUCT_CODE)

    def beneficiary(self) -> str:
        """Empty where there is none."""
        return self.customer("beneficiaryId", self.home) if self.has("beneficiaryId") else ""

    # Tariffs

    def plan_id(self) -> str:
        return self.matching("planId", PLAN_ID, "must be 1 to 64 letters, digits, dots, dashes, underscores and spaces")


# The francs of West and of Central Africa are both called FCFA. Source: MADAPI's list of units; ISO 4217 for the codes.
_CENTRAL: Final = ("+236", "+237", "+235", "+242", "+240", "+241")


def _currency(fields: Fields, sender: str) -> Currency | None:
    unit = fields.text("unit").upper()
    if unit == "FCFA":
        unit = "XAF" if sender.startswith(_CENTRAL) else "XOF"
    found = CURRENCIES.get(unit)
    if unit and found is None:
        fields.add("unit", f"must be a currency: {', '.join(CURRENCIES)}")
    return found
