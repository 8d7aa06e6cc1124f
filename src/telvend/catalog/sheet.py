"""The catalogue as a CSV sheet: what import reads and export writes, the same in both directions.

    code,country,network,kind,type,size,validity,currency,price,cost,active
    GH-MTN-1GB-30D,GH,MTN,data,,1GB,30 Days,GHS,4.50,4.28,yes

The columns may stand in any order. `kind`, `type`, `currency` and `active` may be left out: they are then `data`, empty,
the currency of the country, and `yes`. Everything that is wrong is found in one reading, with its line and field.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from telvend.catalog.model import (
    CURRENCY_BY_COUNTRY,
    Network,
    Terms,
    is_product_code,
    is_product_type,
    parse_size,
    parse_validity,
)
from telvend.kit.money import Currency, Money

COLUMNS: Final = (
    "code", "country", "network", "kind", "type", "size", "validity", "currency", "price", "cost", "active",
)  # fmt: skip
_REQUIRED: Final = ("code", "country", "network", "size", "validity", "price", "cost")

_YES: Final = frozenset({"yes", "true", "1", "on"})
_NO: Final = frozenset({"no", "false", "0", "off"})

Networks = Mapping[tuple[str, str], Network]
"""The networks that products may belong to, by country and casefolded code."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a sheet: its line (from 1, the header's), the field where it is one field's, a sentence."""

    line: int
    field: str
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.field}: {self.problem}" if self.field else f"line {self.line}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a sheet says. Only a sheet without problems may be written down."""

    products: tuple[Terms, ...]
    problems: tuple[Problem, ...]
    lines: Mapping[str, int] = field(default_factory=dict, compare=False)
    """Where each product stands, by its code."""


def networks_by_word(networks: Iterable[Network]) -> Networks:
    """Arrange networks for `read` and `read_fields`."""
    return {(network.country, network.code.casefold()): network for network in networks}


def read(text: str, networks: Networks) -> Sheet:
    """Read a whole sheet, and everything that is wrong with it."""
    # A spreadsheet program puts a byte order mark in front.
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    header: list[str] | None = None
    products: list[Terms] = []
    problems: list[Problem] = []
    line_by_code: dict[str, int] = {}
    line = 1
    try:
        for row in reader:
            first_line, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in row):
                continue
            if header is None:
                header = [cell.strip().casefold() for cell in row]
                problems += _header_problems(header, first_line)
                if problems:
                    break
                continue
            if len(row) != len(header):
                problems.append(Problem(first_line, "", f"has {len(row)} fields, the header has {len(header)}"))
                continue
            terms, found = read_fields(dict(zip(header, row, strict=True)), networks)
            problems += [Problem(first_line, name, problem) for name, problem in found]
            if terms is None:
                continue
            earlier = line_by_code.setdefault(terms.code, first_line)
            if earlier != first_line:
                problems.append(Problem(first_line, "code", f"{terms.code} stands on line {earlier} already"))
            products.append(terms)
    except csv.Error as error:
        problems.append(Problem(line, "", f"is not CSV: {error}"))
    if header is None and not problems:
        problems.append(Problem(1, "", f"the header is missing: {','.join(COLUMNS)}"))
    return Sheet(tuple(products), tuple(problems), line_by_code)


def read_fields(fields: Mapping[str, str], networks: Networks) -> tuple[Terms | None, list[tuple[str, str]]]:
    """Read one product from text fields named as the columns are.

    Answers the product, or None and everything that is wrong as pairs of field and problem.
    """
    problems: list[tuple[str, str]] = []
    texts = {name: fields.get(name, "").strip() for name in COLUMNS}

    def note(name: str, problem: str) -> None:
        problems.append((name, problem))

    if not is_product_code(texts["code"]):
        note("code", "must be 1 to 64 letters, digits, dots, dashes and underscores")

    country = texts["country"].upper()
    currency = CURRENCY_BY_COUNTRY.get(country)
    network: Network | None = None
    if currency is None:
        note("country", f"must be one of {', '.join(CURRENCY_BY_COUNTRY)}")
    else:
        network = networks.get((country, texts["network"].casefold()))
        if network is None:
            known = [other.code for other in networks.values() if other.country == country]
            note("network", f"must be a network of {country}: {', '.join(known) or 'there is none yet'}")
        # Prices of one network are compared with each other, so a country has one currency.
        if texts["currency"] and texts["currency"].upper() != currency.code:
            note("currency", f"must be {currency} in {country}")

    kind = texts["kind"].casefold() or "data"
    if kind != "data":
        note("kind", "must be data")
    if not is_product_type(texts["type"]):
        note("type", "must begin with a letter and have at most 32 letters, digits, spaces, dots and dashes")

    size, days, active = "", None, True
    try:
        size = parse_size(texts["size"])
    except ValueError as error:
        note("size", str(error))
    try:
        days = parse_validity(texts["validity"])
    except ValueError as error:
        note("validity", str(error))

    price = cost = None
    if currency is not None:
        try:
            price = parse_price(texts["price"], currency)
        except ValueError as error:
            note("price", str(error))
        try:
            cost = Money.parse(texts["cost"], currency)
        except ValueError as error:
            note("cost", str(error))

    word = texts["active"].casefold()
    if word in _NO:
        active = False
    elif word and word not in _YES:
        note("active", "must be yes or no")

    if problems or network is None or price is None or cost is None:
        return None, problems
    return (
        Terms(texts["code"], country, network.code, kind, texts["type"], size, days, price, cost, active),
        problems,
    )


def parse_price(text: str, currency: Currency) -> Money:
    """An amount greater than zero. Raises ValueError with a sentence."""
    price = Money.parse(text, currency)
    if price.minor == 0:
        raise ValueError("must be greater than zero")
    return price


def write(products: Iterable[Terms]) -> str:
    """The sheet of these products, header included."""
    sheet = io.StringIO(newline="")
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(
        (
            product.code,
            product.country,
            product.network,
            product.kind,
            product.type,
            product.size,
            product.validity,
            product.currency.code,
            product.price.text,
            product.cost.text,
            "yes" if product.active else "no",
        )
        for product in products
    )
    return sheet.getvalue()


def _header_problems(header: list[str], line: int) -> list[Problem]:
    missing = [name for name in _REQUIRED if name not in header]
    unknown = [name for name in header if name not in COLUMNS]
    twice = sorted({name for name in header if name in COLUMNS and header.count(name) > 1})
    return [
        *(Problem(line, name, "this column is missing") for name in missing),
        # A misspelt column would otherwise be left out without a word.
        *(Problem(line, name, f"is not one of the columns {', '.join(COLUMNS)}") for name in unknown),
        *(Problem(line, name, "this column stands there twice") for name in twice),
    ]
